"""What distribution costs: the program that measures it, and the page that says it."""

import copy
import doctest
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import scaling
from instructgpt.cli import main
from instructgpt.distributed.world import World
from instructgpt.ppo import PPOConfig
from scaling import Layout
from tests.benchmarks.conftest import BENCHMARKS
from tests.files import write_rows
from tests.tiny import any_model

PAGE = (BENCHMARKS.parent / "docs" / "scale.md").read_text("utf-8")
RESULTS = json.loads((BENCHMARKS / "results" / "scaling.json").read_text())
GPUS = (8, 64, 512)
B6, B175 = 6.7, 175.0  # GPT-3's sizes, in billions

# -------------------------------------------------------------------- the program


def test_the_worked_examples():
    assert doctest.testmod(scaling).failed == 0
    assert doctest.testmod(scaling).attempted


def test_layouts_are_read_and_written():
    assert Layout.parse("4") == (4, 4)
    assert Layout.parse("4/2") == (4, 2)
    assert [str(layout) for layout in scaling.LAYOUTS] == ["1", "2", "4", "4/2"]
    for wrong in ("3", "4/3"):
        with pytest.raises(ValueError, match=wrong):
            Layout.parse(wrong)


def figures(shards):
    """Of a million parameters, as theory has them: 16 MB of state, 12 MB in a checkpoint."""
    sent = {"all": 1000, "reduce_scatter": 400, "written": 1400}
    return {
        "parameters": {"trained": 10**6, "averaged": 0, "frozen": 0},
        "state": {"trained": 4 * 10**6 // shards, "moments": 12 * 10**6 // shards},
        "checkpoint": {"bytes": 12 * 10**6},
        "phases": {"step": {"sent": sent, "theory": 1000}},
    }


def test_figures_as_in_theory_are_no_failures():
    assert scaling.failures({"1": figures(1), "4": figures(4), "4/2": figures(2)}) == []


@pytest.mark.parametrize(
    ("place", "key", "value", "complaint"),
    [
        (["state"], "moments", 3.3e6, "4: state of a process"),  # 0.3 MB over its 4 MB
        (["state"], "moments", 2.7e6, "4: state of a process"),
        (["checkpoint"], "bytes", 13e6, "4: checkpoint"),
        (["phases", "step", "sent"], "all", 1101, "4: sent in step"),
        (["phases", "step", "sent"], "all", 899, "4: sent in step"),
        (["phases", "step", "sent"], "written", 1000, "4: written in step"),
        (["phases", "step"], "theory", 1200, "4: sent in step"),
    ],
)
def test_other_figures_are(place, key, value, complaint):
    found = {"1": figures(1), "4": copy.deepcopy(figures(4))}
    where = found["4"]
    for name in place:
        where = where[name]
    where[key] = value
    failures = scaling.failures(found)
    assert failures
    assert all(failure.startswith(complaint) for failure in failures)


def test_state_that_does_not_fall_is_a_failure():
    complaints = scaling.failures({"1": figures(1), "2": figures(1)})
    assert len(complaints) == 2  # against theory, and against one process


def test_reports_of_processes_become_one():
    one = {"phases": {"step": {"seconds": 2.0, "cpu_seconds": 1.0}}, "files": [1, 2]}
    other = {"phases": {"step": {"seconds": 3.0, "cpu_seconds": 0.5}}, "files": [1, 2]}
    both = {"phases": {"step": {"seconds": 3.0, "cpu_seconds": 1.5}}, "files": [1, 2]}
    assert scaling.together([one, other]) == both


def test_times_are_compared_within_a_round():
    def report(seconds):
        phases = {"step": {"seconds": seconds, "cpu_seconds": 2 * seconds}}
        return {"state": {"trained": 8}, "phases": phases}

    rounds = [{"1": report(alone), "2": report(2 * alone)} for alone in (1.0, 50.0, 3.0)]
    step = scaling.summary(rounds)["2"]["phases"]["step"]
    assert step["seconds_over_1"] == step["cpu_seconds_over_1"] == 2.0


def test_a_collective_that_is_not_known_is_not_passed_over():
    with pytest.raises(NotImplementedError, match="alltoall_"):
        scaling._sent("alltoall_", ())


def run(program, *flags):
    command = [sys.executable, str(program), "--shape", "tiny", "--steps", "1", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.long
def test_the_program_runs(tmp_path):
    out = tmp_path / "results" / "scaling.json"
    ended = run(BENCHMARKS / "scaling.py", "--stages", "ppo", "--layouts", "2", "--out", str(out))
    assert ended.returncode == 0, ended.stderr[-3000:]
    line = json.loads(ended.stdout)
    assert json.loads(out.read_text()) == [line]
    alone, two = line["stages"]["ppo"]["1"], line["stages"]["ppo"]["2"]
    assert two["state_over_1"] == pytest.approx(0.5, abs=0.01)
    assert len(two["checkpoint"]["file_bytes"]) == 2
    assert two["checkpoint"]["bytes"] == pytest.approx(alone["checkpoint"]["bytes"], rel=0.05)
    for name, phase in two["phases"].items():
        assert phase["sent"]["all"] == pytest.approx(phase["theory"], rel=0.05), name
        assert alone["phases"][name]["sent"]["all"] == 0
        assert phase["seconds_over_1"] > 0
    assert all(two["checkpoint"][f"{name}_seconds"] > 0 for name in ("save", "open", "read"))


@pytest.mark.slow
@pytest.mark.long
def test_the_program_notices_that_nothing_is_sharded(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import sys\n"
        f"sys.path.append({str(BENCHMARKS)!r})\n"
        "import scaling\n"
        "import instructgpt.sft.trainer\n"
        "instructgpt.sft.trainer.shard = lambda *_: None\n"
        "scaling.__file__ = __file__\n"
        "sys.exit(scaling.main())\n"
    )
    ended = run(broken, "--stages", "sft", "--layouts", "2")
    assert ended.returncode == 1, ended.stderr[-3000:]
    failures = json.loads(ended.stdout)["failures"]
    assert any(failure.startswith("sft, 2: state of a process") for failure in failures)
    assert any(failure.startswith("sft, 2: sent in step") for failure in failures)


# -------------------------------------------------------------------- the page's arithmetic


def blocks(language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", PAGE)


@pytest.fixture(scope="module")
def formulas():
    (block,) = blocks("python")
    namespace = {}
    exec(compile(block, "scale.md", "exec"), namespace)
    return namespace


def gigabytes(value, room=80.0):
    text = f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:,.0f}"
    return f"**{text}**" if value > room else text


def line(*cells):
    return f"| {' | '.join(cells)} |"


def memory_table(state):
    """A line a stage and size: state in all, of each process, loading, whole, checkpoint."""
    rows = [(f"`sft` {size}", state(p), 4 * p, [2 * p], 12 * p) for size, p in SIZES.items()]
    rows.insert(2, ("`reward` 6B", state(B6), 8 * B6, [2 * B6], 12 * B6))
    for size, p in SIZES.items():
        total = state(p + B6, averaged=p, frozen=p + B6)
        whole = [2 * p, 2 * (2 * p + 2 * B6)]
        rows.append((f"`ppo` {size}", total, 8 * (p + B6), whole, 12 * (p + B6) + 4 * p))
    return [
        line(
            name,
            gigabytes(total, room=1e9),
            *(gigabytes(total / gpus) for gpus in GPUS),
            gigabytes(loading),
            ", ".join(map(gigabytes, whole)),
            gigabytes(checkpoint, room=1e9),
        )
        for name, total, loading, whole, checkpoint in rows
    ]


SIZES = {"1.3B": 1.3, "6B": B6, "175B": B175}


def network_table(sent, passes):
    """A line a stage and size: what each process sends in an optimizer step, and its passes."""

    def cell(parameters_and_passes, gpus):
        total = sum(count * sent(p, gpus) for p, count in parameters_and_passes)
        counts = " + ".join(str(count) for _, count in parameters_and_passes)
        return f"{gigabytes(total, room=1e9)} ({counts})"

    rows = []
    for (size, p), batch in zip(SIZES.items(), (32, 32, 8), strict=True):
        cells = [cell([(p, passes(batch, gpus))], gpus) for gpus in GPUS]
        rows.append(line(f"`sft` {size}, {batch} demonstrations", *cells))
    prompts = [cell([(B6, -(-64 // gpus))], gpus) for gpus in GPUS]  # each a micro-batch: K answers
    rows.insert(2, line("`reward` 6B, 64 prompts", *prompts))
    for size, p in SIZES.items():
        cells = [
            cell([(p, passes(64, gpus) + passes(512, gpus)), (B6, passes(64, gpus))], gpus)
            for gpus in GPUS
        ]
        rows.append(line(f"`ppo` {size}", *cells))
    return rows


def test_the_memory_table_is_its_formula(formulas):
    for row in memory_table(formulas["state"]):
        assert row in PAGE


def test_the_network_table_is_its_formula(formulas):
    for row in network_table(formulas["sent"], formulas["passes"]):
        assert row in PAGE


@pytest.mark.parametrize("processes", GPUS)
def test_the_formulas_are_those_that_are_measured(formulas, processes):
    layout = Layout(processes, processes)
    for width, dtype in ((2, "bfloat16"), (4, "float32")):
        sent = formulas["sent"](1000, processes, width)
        assert sent == pytest.approx(scaling.pass_bytes(1000, layout, dtype))
    parameters = {"trained": 5, "averaged": 2, "frozen": 3}
    assert formulas["state"](5, averaged=2, frozen=3) == scaling.state_bytes(parameters) == 100


@pytest.mark.parametrize("sequences", [8, 32, 64, 512])
@pytest.mark.parametrize("processes", GPUS)
def test_the_passes_are_the_trainers(formulas, sequences, processes, monkeypatch):
    monkeypatch.setattr(World, "stop_if_asked", lambda _: None)
    some = World(rank=processes - 1, size=processes)
    counted = len(list(some.micro_batches([2048] * sequences, 4096)))
    assert formulas["passes"](sequences, processes) == counted


def test_a_prompt_with_its_answers_is_a_micro_batch(monkeypatch):
    """As the table has it for the reward model, from the paper's fewest answers on."""
    monkeypatch.setattr(World, "stop_if_asked", lambda _: None)
    batches = World(rank=0, size=8).micro_batches([2048] * 64, 4096, [4] * 64)
    assert [len(batch.indices) for batch in batches] == [1] * 8


# -------------------------------------------------------------------- the page's measurements


@pytest.mark.parametrize("result", RESULTS, ids=lambda r: f"{r['shape']} {r['dtype']}")
def test_what_was_measured_agrees_with_theory(result):
    assert result["failures"] == []
    assert all(scaling.failures(found) == [] for found in result["stages"].values())
    assert {"date", "processor", "cores", "threads", "versions"} <= result.keys()


# -------------------------------------------------------------------- the page's recipes


def commands():
    """The `instructgpt` commands of the recipes, without what starts them."""
    lines = [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()]
    found = [re.search(r"(?:^|-m )instructgpt (.*)", line) for line in lines]
    return [match[1] for match in found if match]


def test_there_are_three_recipes():
    assert len(commands()) == 3


@pytest.mark.parametrize("command", commands())
def test_the_recipes_are_accepted(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("instructgpt.models.outlook.look_at", any_model)
    write_rows(Path("prompts.jsonl"), [{"prompt": "Name a colour."}] * 8)
    Path("text.txt").write_text("The sea is wide and calm. " * 40)
    (settings,) = blocks("yaml")
    Path("ppo.yaml").write_text(settings)
    with pytest.raises(SystemExit) as ended:
        main([*shlex.split(command), "--dry-run"])
    assert not ended.value.code
    assert "ppo -> runs/ppo" in capsys.readouterr().out


def test_the_settings_are_keys():
    (settings,) = blocks("yaml")
    assert set(yaml.safe_load(settings)) <= set(PPOConfig.model_fields)

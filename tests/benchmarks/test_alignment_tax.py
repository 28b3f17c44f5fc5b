"""The page of the alignment tax: its words follow from the figures."""

import json
import math
import statistics

import pytest

import alignment_tax as tax
from instructgpt.cli import main as command
from instructgpt.report.read.benchmark import Figure
from instructgpt.report.read.values import Estimate
from tests.evaluation.tasks.rows import ROWS
from tests.ppo.letters import letter_policy

T_5 = 2.5705818356363141  # Student's t, 5 degrees of freedom, 97.5 %


def gap(title, value=0.0, half=0.1, better: bool | None = True) -> tax.Gap:
    figure = Figure(title, title, title, "accuracy", "", 0, False, True, False, better, {})
    return tax.Gap(figure, Estimate(value, value - half, value + half, 100))


def test_without_a_significant_difference_nothing_is_claimed():
    said = tax.changes([gap("A", 0.05), gap("B", -0.09)], "plain PPO", "SFT")
    assert said == (
        "No difference of plain PPO from SFT is significant, in 2 figures: neither a cost nor a "
        "gain is shown."
    )


def test_costs_and_gains_are_named():
    gaps = [gap("A", -0.2), gap("B", 0.3), gap("C"), gap("D", 0.3, better=False), gap("E", 0.05)]
    assert tax.changes(gaps, "plain PPO", "SFT") == (
        "Plain PPO is significantly worse in A accuracy (zero-shot) and D accuracy (zero-shot); "
        "better in B accuracy (zero-shot). 2 other figures are not significantly different."
    )
    said = tax.changes([gap("B", 0.3), gap("N", -0.3, better=None)], "plain PPO", "SFT")
    assert said == (
        "Plain PPO is significantly better in B accuracy (zero-shot); different in N accuracy "
        "(zero-shot). No cost is shown."
    )


@pytest.mark.parametrize(
    ("cost", "mix", "said"),
    [
        ([gap("A", 0.2)], [gap("A", 0.0)], "Plain PPO lost nothing significantly, so there is"),
        ([gap("A", -0.2)], [gap("A", 0.15)], "Of 1 figure that plain PPO lost, PPO-ptx has signi"),
        (
            [gap("A", -0.2), gap("B", -0.2)],
            [gap("A", 0.05), gap("B", -0.2)],
            "Of 2 figures that plain PPO lost, PPO-ptx has significantly more of none. Not signi",
        ),
        ([gap("A", 0.2, better=False)], [gap("A", -0.2, better=False)], "Of 1 figure that plain"),
    ],
)
def test_what_the_mix_gives_back_is_what_ppo_lost(cost, mix, said):
    assert tax.given_back(cost, mix).startswith(said)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A quickstart of both arms that never ran, with models of its own."""
    folder = tmp_path_factory.mktemp("tax")
    stages = []
    for number, name in enumerate(("sft", "ppo-plain", "ppo"), 1):
        letter_policy(seed=number).save(folder / name / "model")
        stages.append({"name": name, "dir": name, "status": "done"})
    letter_policy(seed=9).save(folder / "base-model")
    sft = {"config": {"model": str(folder / "base-model")}}
    (folder / "sft" / "run.json").write_text(json.dumps(sft))
    (folder / "pipeline.json").write_text(json.dumps({"stages": stages}))
    (folder / "data").mkdir()
    ROWS["hellaswag"](folder / "data")
    return folder


def test_a_run_becomes_a_page(run, monkeypatch, capsys):
    def at_once(words):
        with pytest.raises(SystemExit) as ended:
            command(words)
        assert not ended.value.code

    monkeypatch.setattr(tax, "measure", at_once)
    target = run / "page.md"
    more = ["--tasks", "hellaswag,rte", "--dtype", "auto", "--page", str(target)]
    tax.main([str(run), "--data_dir", str(run / "data"), *more])
    assert capsys.readouterr().out.splitlines()[-1] == str(target)
    page = target.read_text("utf-8")
    assert str(run) not in page
    assert "4 models, 100 items of each task, without examples and with 2" in page
    assert "data \\\n    --limit 100 --shots 2 --dtype auto \\\n    --page" in page
    assert ", in auto" not in page  # but in what that meant
    assert "| HellaSwag | accuracy | zero-shot |" in page
    assert "- Not measured: " in page
    # the difference that no suite has: PPO-ptx from plain PPO, by hand from the kept items
    kept = {
        model: [
            json.loads(line)["scores"]["accuracy"]
            for line in (run / f"benchmarks/{model}/hellaswag-2shot.jsonl").read_text().splitlines()
        ]
        for model in ("PPO", "PPO-ptx")
    }
    gaps = [b - a for a, b in zip(kept["PPO"], kept["PPO-ptx"], strict=True)]
    mean = statistics.mean(gaps)
    half = T_5 * statistics.stdev(gaps) / math.sqrt(6)
    text, low, high = (f"{x:+.3f}".replace("-", "−") for x in (mean, mean - half, mean + half))
    assert f"| {text} [{low}, {high}] |\n" in page  # the last column


def test_a_run_without_both_arms_is_refused(run, tmp_path):
    plan = {"stages": [{"name": "sft", "dir": "sft", "status": "done"}]}
    (tmp_path / "pipeline.json").write_text(json.dumps(plan))
    with pytest.raises(SystemExit, match="no finished stage ppo-plain or ppo; finish it with"):
        tax.models_of(tmp_path)

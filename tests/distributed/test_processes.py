"""Several processes train as one does, go on where any number of them stopped, and end together.

A process takes a while to start and to meet the others: each number of them runs a whole list of
small runs, and only stories are played under torchrun. The tests ask for what came out of a run by
its name.
"""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from instructgpt.data.records import prompt_id
from instructgpt.run.directory import Run
from instructgpt.run.streams import read_lines
from tests.distributed.launching import Batch, Case, Runs, launch, play, run_here
from tests.distributed.ragged import beginnings, write_extreme, write_ragged
from tests.small_runs import STAGES, differing, write_inputs

ARCHITECTURES = {"llama": "tied", "gpt_neox": "untied"}
"""Whether the output layer is the embedding: tied weights are one parameter under two names."""
EXTREME = (
    "sft, a long one",
    "sft, one at a time",
    "reward, a long one",
    "reward, one at a time",
    "ppo, a long one",
    "ppo, one token, one episode",
    "ppo, one prompt",
)
ELSEWHERE = {
    "tied ppo, replicas": {"shard_size": 1, "micro_batch_tokens": 24},
    "untied sft, replicas": {"shard_size": 1, "micro_batch_tokens": 24},
    "untied ppo, layer by layer": {"gather_weights": False, "activation_checkpointing": True},
    "tied ppo, logits layer by layer": {"gather_weights": False, "micro_batch_tokens": 1},
}
"""Hardware settings, which change nothing."""
FITTED = {"fit_head": True}
OWN = "tests.distributed.ragged"
HALF = {"sft": {"dtype": "bfloat16"}, "ppo": {"dtype": "bfloat16", "total_episodes": 10}}
"""PPO's one iteration: after it, rounding makes the policies draw different tokens."""
MOVED_ON = {"sft": 7, "reward": 7, "ppo": 13}
"""The step at which a run is stopped to go on with another number of processes; PPO is then in the
middle of its second iteration.
"""


# -------------------------------------------------------------------- the runs

STOPS = {
    "sft, stopped in a pass": ("sft", {"step": 4}),
    "sft, stopped in a validation": ("sft", {"step": 4, "place": "validation"}),
    "reward, stopped in a pass": ("reward", {"step": 4, "ranks": [1]}),
    "ppo, stopped in a pass": ("ppo", {"step": 6}),
    "ppo, stopped in a rollout": ("ppo", {"step": 5, "place": "rollout"}),
    "ppo, stopped in a validation": ("ppo", {"step": 4, "place": "validation", "ranks": [0]}),
    "ppo, stopped at a step's end": ("ppo", {"step": 3, "place": "end", "ranks": [1]}),
    "ppo, stopped when it was done": ("ppo", {"step": 8, "place": "finish", "ranks": [1]}),
}
"""SIGTERM with no time to finish the step: to all processes, or to one."""
STORIES = {
    "ppo, an error": (
        ("failing", {"step": 5, "error": "runtime", "ranks": [1], "within": True}),
        {"gather_weights": False},
        False,
    ),
    "sft, killed": (("failing", {"step": 3, "error": "SIGKILL", "ranks": [1]}), {}, False),
    "reward, frozen": (("failing", {"step": 3, "error": "SIGSTOP", "ranks": [1]}), {}, False),
    "ppo, started again": (("failing", {"step": 6, "error": "SIGKILL", "ranks": [1]}), {}, True),
    "sft, asked to stop": (("slowed", {"seconds": 0.2}), {}, True),
}
"""Process 1 fails in a run of two, started by hand or by torchrun; or torchrun is asked to stop."""
ITEMS = {"sft": "deface", "reward": "deface", "ppo": "a"}
"""The prompt whose loss is not finite."""
MINUTES = {"save_every": 0, "save_minutes": 2.5, "keep_checkpoints": 9, "keep_finished": True}


def troubled(settings: dict[str, Any], one: bool) -> list[Case]:
    """Stops, losses that are not finite, checkpoints by the clock: alone or not, the same."""
    never = {stage: settings[stage] | {"save_every": 0} for stage in STAGES}
    cases = [Case(stage, stage, never[stage]) for stage in STAGES]
    for name, (stage, when) in STOPS.items():
        when = when | {"ranks": []} if one else when
        cases.append(Case(name, stage, never[stage], [("asked_to_stop", when)]))
        cases.append(Case(f"{name}, again", stage, never[stage], goes_on=name))
    for stage in STAGES:
        poison = ("poisoned", {"updates": [3, 4], "item": ITEMS[stage]})
        name = f"{stage}, not finite"
        cases.append(Case(name, stage, never[stage], [poison]))
        cases.append(Case(f"{name}, again", stage, never[stage], goes_on=name))
        skips = settings[stage] | {"on_nonfinite": "skip", "save_every": 2}
        name = f"{stage}, left out"
        cases.append(Case(name, stage, skips, [poison]))
        killed = ("killed_after", {"step": 4})  # saved right after a validation
        cases.append(Case(f"{name}, killed", stage, skips, [poison, killed]))
        cases.append(Case(f"{name}, again", stage, skips, [poison], f"{name}, killed"))
    sft = settings["sft"] | {"select_by": "last"}  # else the best so far is saved as well
    clock = {"minutes": 1.0, "wall": False, "ranks": [] if one else [1]}
    cases.append(Case("sft, minutes", "sft", sft | MINUTES, [("clocks", clock)]))
    jump = {"minutes": 600.0, "wall": True}
    cases.append(Case("sft, the wall clock jumps", "sft", sft | MINUTES, [("clocks", jump)]))
    best = {"keep_best": True, "keep_checkpoints": 1, "save_every": 2}
    cases.append(Case("sft, the best", "sft", sft | best))
    for error in ("memory", "device"):
        memory = ("failing", {"step": 4, "error": error})
        cases.append(Case(f"sft, no {error}", "sft", sft | {"save_every": 3}, [memory]))
    return cases


def batches(folder: Path) -> dict[str, Batch]:
    """All runs."""
    ragged = {
        tied: _inputs(folder / tied, lambda to, arch=arch: write_ragged(to, arch))
        for arch, tied in ARCHITECTURES.items()
    }
    tied = ragged["tied"]
    small = _inputs(folder / "small", write_inputs)
    small = {stage: settings | {"micro_batch_tokens": 1} for stage, settings in small.items()}
    small["sft"] |= {"eval_every": 2, "reward_model": ""}
    small["reward"] |= {"batch_size": 4, "epochs": 6}  # two passes and more for each of two
    small["ppo"] |= {"num_mini_batches": 2}
    extreme = _inputs(folder / "extreme", lambda to: write_extreme(to, tied))
    straight = [
        Case(f"{name} {stage}", stage, settings[stage])
        for name, settings in ragged.items()
        for stage in STAGES
    ]
    other = [Case("tied reward, fitted", "reward", tied["reward"] | FITTED)]
    other += [Case(f"tied {s}, bfloat16", s, tied[s] | HALF[s]) for s in HALF]
    extremes = [Case(name, name.split(",")[0], extreme[name]) for name in EXTREME]
    logits = [("logits_from_the_model", {})]
    elsewhere = [
        Case(name, stage, ragged[kind][stage] | changes, logits if "logits" in name else [])
        for name, changes in ELSEWHERE.items()
        for kind, stage in [name.split(",")[0].split()]
    ]
    own = [
        Case(f"ppo, {name}", "ppo", tied["ppo"] | {"reward_model": "", "reward": f"{OWN}:{name}"})
        for name in ("brevity", "nowhere_but_first")
    ]
    averaged = [
        Case(f"{stage}, averaged", stage, tied[stage], [("averages_of_averages", {})])
        for stage in STAGES
    ]

    stories = [
        Case(name, stage, small[stage] | {"save_every": 1} | changes, [trouble], torchrun=torchrun)
        for name, (trouble, changes, torchrun) in STORIES.items()
        for stage in [name.split(",")[0]]
    ]

    def moving() -> list[Case]:
        return [
            Case(
                f"{stage}, to move",
                stage,
                tied[stage] | {"save_every": MOVED_ON[stage]},
                [("killed_after", {"step": MOVED_ON[stage]})],
            )
            for stage in STAGES
        ]

    def moved(source: str) -> list[Case]:
        return [
            Case(f"{stage}, moved", stage, tied[stage], goes_on=(source, f"{stage}, to move"))
            for stage in STAGES
        ]

    fitted_apart = Case(
        "tied reward, fitted", "reward", tied["reward"] | FITTED | {"gather_weights": False}
    )
    return {
        "one": Batch(run_here, [*straight, *other, *own, *extremes, *troubled(small, one=True)]),
        "first": Batch(run_here, moving()),
        "two": Batch(
            partial(launch, 2),
            [
                *straight,
                fitted_apart,
                *other[1:],
                *own,
                *extremes,
                *elsewhere,
                *averaged,
                *moving(),
                *moved("first"),
                *troubled(small, one=False),
            ],
        ),
        "then one": Batch(run_here, moved("two")),
        "four": Batch(
            partial(launch, 4),
            [
                *straight[:3],
                Case("untied ppo, pairs", "ppo", ragged["untied"]["ppo"] | {"shard_size": 2}),
                *extremes[1::2],
                *moved("two"),
            ],
        ),
        "stories": Batch(play, stories),
        "after all": Batch(
            partial(launch, 2),
            [
                Case(case.name, case.stage, case.settings, goes_on=("stories", case.name))
                for case in stories
            ],
        ),
    }


def _inputs(folder: Path, write: Callable[[Path], Any]) -> Any:
    """Inputs that are written once, whoever asks first."""
    made = folder / "settings.json"
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made.write_text(json.dumps(write(folder)))
    return json.loads(made.read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    return Runs(shared / "processes", batches)


# -------------------------------------------------------------------- comparing


def movement(case: Case, out: Path) -> dict[str, torch.Tensor]:
    """Where the weights of each network have gone."""
    moved = {}
    for name, before in beginnings(case.stage, case.settings).items():
        after = load_file(out / name / "model.safetensors")
        assert after.keys() <= before.keys()  # tied weights are written once
        steps = [after[key].double() - before[key].double() for key in sorted(after)]
        moved[name] = torch.cat([step.flatten() for step in steps])
    return moved


def distance(runs: Runs, batch: str, name: str, reference: str = "") -> dict[str, float]:
    """‖Δw₁ − Δw₂‖/‖Δw₁‖ for each network, Δw₁ of the same run in one process."""
    reference = reference or name
    first = movement(runs.case("one", reference), runs("one", reference))
    other = movement(runs.case(batch, name), runs(batch, name))
    assert first.keys() == other.keys()
    return {key: ((first[key] - other[key]).norm() / first[key].norm()).item() for key in first}


def check_metrics(one: Path, other: Path, relative: float = 2e-4) -> None:
    """All metrics of all steps; sums that cancel keep the noise of their parts."""
    ours, theirs = Run(one).metrics, Run(other).metrics
    assert len(ours) == len(theirs)
    for mine, yours in zip(ours, theirs, strict=True):
        assert mine.pop("stage") == yours.pop("stage")
        assert mine == pytest.approx(yours, rel=relative, abs=3e-6)


def texts(out: Path) -> list[tuple[str, ...]]:
    """What was sampled, in order."""
    rows = read_lines(out / "samples.jsonl")
    return [(row.get("kind", ""), row["prompt"], row["response"]) for row in rows]


def check_same(
    runs: Runs,
    batch: str,
    name: str,
    reference: str = "",
    *,
    allowed: float = 1e-3,
    relative: float = 2e-4,
) -> None:
    """A run went as it does in one process: weights, metrics, and every sampled text."""
    apart = distance(runs, batch, name, reference)
    assert max(apart.values()) < allowed, apart
    one, other = runs("one", reference or name), runs(batch, name)
    check_metrics(one, other, relative)
    assert texts(other) == texts(one)


def checkpoints(out: Path) -> list[int]:
    return sorted(int(path.name.split("-")[1]) for path in (out / "checkpoints").glob("step-*"))


# -------------------------------------------------------------------- one trajectory

STRAIGHT = [f"{tied} {stage}" for tied in ARCHITECTURES.values() for stage in STAGES]


@pytest.mark.parametrize("name", STRAIGHT)
def test_two_processes_go_where_one_goes(name, runs):
    check_same(runs, "two", name)
    if "reward" not in name:
        assert len(texts(runs("two", name))) >= 10


def test_a_reward_of_ones_own(runs):
    """Each process scores its own answers; one whose reward fails ends all, in its sentence."""
    one, two = runs("one", "ppo, brevity"), runs("two", "ppo, brevity")
    check_metrics(one, two)
    assert texts(one) == texts(two)
    assert runs.ended("one", "ppo, nowhere_but_first")[1] == ""
    _, ended = runs.ended("two", "ppo, nowhere_but_first")
    assert ended.startswith(f"UserError: the reward {OWN}:nowhere_but_first gave nan for answer 1")


@pytest.mark.parametrize("name", ELSEWHERE)
def test_hardware_settings_change_nothing(name, runs):
    check_same(runs, "two", name, name.split(",")[0])


def test_a_head_that_was_fitted_layer_by_layer(runs):
    """The head is set between two passes: what was gathered for one must not serve the other."""
    # The fit ends within a tolerance of its minimum: it starts training a little elsewhere.
    check_same(runs, "two", "tied reward, fitted", allowed=5e-3, relative=1e-2)


@pytest.mark.parametrize("name", EXTREME)
def test_very_long_and_very_few_items(name, runs):
    check_same(runs, "two", name)


@pytest.mark.parametrize("stage", STAGES)
def test_averages_of_averages_go_elsewhere(stage, runs):
    """What each process would do that knows its own counts alone."""
    apart = distance(runs, "two", f"{stage}, averaged", f"tied {stage}")
    assert min(apart.values()) > 1e-2


def test_in_bfloat16_the_losses_are_the_same_within_2_percent(runs):
    for name, losses, steps in (
        ("tied sft, bfloat16", ("sft/loss", "sft/validation_loss"), 20),
        ("tied ppo, bfloat16", ("ptx/loss", "ppo/loss/value"), 10),
    ):
        ours, theirs = Run(runs("one", name)).metrics, Run(runs("two", name)).metrics
        assert len(ours) == steps
        for mine, yours in zip(ours, theirs, strict=True):
            for loss in losses:
                if loss in mine:
                    assert mine[loss] == pytest.approx(yours[loss], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*STRAIGHT[:3], *EXTREME[1::2]])
def test_four_processes_go_where_one_goes(name, runs):
    check_same(runs, "four", name)


@pytest.mark.slow
def test_two_replicas_of_two_shards(runs):
    check_same(runs, "four", "untied ppo, pairs", "untied ppo")


# -------------------------------------------------------------------- going on


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("batch", ["two", "then one", pytest.param("four", marks=pytest.mark.slow)])
def test_another_number_of_processes_goes_on(batch, stage, runs):
    """From 1 to 2, from 2 to 1, from 2 to 4."""
    check_same(runs, batch, f"{stage}, moved", f"tied {stage}")
    before = {"two": 1}.get(batch, 2)
    now = {"two": 2, "then one": 1, "four": 4}[batch]
    assert Run(runs(batch, f"{stage}, moved")).info["tuning"]["processes"] == now != before


@pytest.mark.parametrize("batch", ["one", "two"])
@pytest.mark.parametrize("name", STOPS)
def test_a_step_without_time_to_finish_is_given_up(batch, name, runs):
    """The state after the last finished step was saved, and the run ends as if nothing had been."""
    stage, when = STOPS[name]
    _, ended = runs.ended(batch, name)
    given_up = when.get("place") not in {"end", "validation", "finish"}
    assert ended.startswith("Stopped" if given_up else "KeyboardInterrupt"), ended
    assert differing(runs(batch, f"{name}, again"), runs(batch, stage)) == []


@pytest.mark.parametrize("batch", ["one", "two"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_loss_that_is_not_finite_stops_and_names_the_record(batch, stage, runs):
    _, ended = runs.ended(batch, f"{stage}, not finite")
    name = prompt_id(ITEMS[stage]) if stage == "reward" else ITEMS[stage]
    record = f"prompt {name}" if stage == "reward" else name
    assert ended.startswith(f"NotFiniteError: the loss of '{record}' is not finite;")
    assert differing(runs(batch, f"{stage}, not finite, again"), runs(batch, stage)) == []


@pytest.mark.parametrize("batch", ["one", "two"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_loss_that_is_not_finite_is_left_out_and_counted(batch, stage, runs):
    """Updates 3, 4 or both are; the line after them, step 3, says how many."""
    name = f"{stage}, left out"
    metrics = Run(runs(batch, name)).metrics
    counts = [row.get(f"{stage}/skipped_steps", 0) for row in metrics]
    assert counts[:2] == [0, 0]
    assert counts[-1] in {1, 2}
    straight = Run(runs(batch, stage)).metrics
    assert [row["step"] for row in metrics] == list(range(1, len(straight) - counts[-1] + 1))
    norms = {"sft": "sft/grad_norm", "reward": "reward/grad_norm", "ppo": "ppo/critic/grad_norm"}
    assert all(norms[stage] in row for row in metrics)
    assert differing(runs(batch, f"{name}, again"), runs(batch, name)) == []


@pytest.mark.parametrize("batch", ["one", "two"])
def test_checkpoints_by_the_minute(batch, runs):
    assert checkpoints(runs(batch, "sft, minutes")) == [3, 6]
    assert checkpoints(runs(batch, "sft, the wall clock jumps")) == []


@pytest.mark.parametrize("batch", ["one", "two"])
def test_the_best_checkpoint_stays(batch, runs):
    out = runs(batch, "sft, the best")
    figure = "sft/validation_loss"
    losses = {row["step"]: row[figure] for row in Run(out).metrics if figure in row}
    best = min(losses, key=losses.__getitem__)
    assert best < 6
    assert checkpoints(out) == [best]


@pytest.mark.parametrize("batch", ["one", "two"])
@pytest.mark.parametrize("error", ["memory", "device"])
def test_out_of_memory_names_a_remedy(batch, error, runs):
    out, ended = runs.ended(batch, f"sft, no {error}")
    assert ended.startswith("RuntimeError: sft: out of memory (")
    assert "the checkpoint of step 3 is whole; go on with --activation_checkpointing" in ended
    assert "\n" not in ended
    assert checkpoints(out) == [3]
    assert Run(out).info["status"] == "failed"


# -------------------------------------------------------------------- an end together

ENDS = {
    "ppo, an error": "process 1: failed: the cat has run over the keyboard",
    "sft, killed": "process 1, which is gone",
    "reward, frozen": "process 1, silent for 20 s",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDS)
def test_a_process_that_fails_ends_the_other_within_30_seconds(name, runs):
    story = runs.line("stories", name)
    print(f"{story['seconds']:.1f} s")
    assert story["code"] == 1
    assert story["seconds"] < 30
    said = f"instructgpt: process 0 ends because of {ENDS[name]}"
    assert said in story["ended"]
    assert "run the same command again to go on from the last checkpoint" in story["ended"]


@pytest.mark.slow
def test_torchrun_starts_again_what_was_killed(runs):
    story = runs.line("stories", "ppo, started again")
    assert story["code"] == 0, story["ended"]
    assert "resuming" in story["ended"]


@pytest.mark.slow
def test_torchrun_hands_on_that_it_was_asked_to_stop(runs):
    story = runs.line("stories", "sft, asked to stop")
    assert story["code"] != 0
    run = Run(runs.out("stories", "sft, asked to stop"))
    assert run.info["status"] == "interrupted"
    assert f"stopped after step {run.metrics[-1]['step']}; run the same" in story["ended"]
    assert checkpoints(run.dir)[-1] == run.metrics[-1]["step"] < 6


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
def test_the_same_command_goes_on_to_the_bit(name, runs):
    assert differing(runs("after all", name), runs("two", name.split(",")[0])) == []

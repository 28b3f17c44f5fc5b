"""Exact resume: stopped anywhere and started again, a run ends with the bytes of one that was not.

Steps are killed in process by an exception that nothing expects; `test_killed.py` kills real
processes.
"""

from dataclasses import replace

import pytest

from instructgpt.models.load import copy_weights
from instructgpt.run.directory import Run
from instructgpt.training.state import TrainState
from tests.small_runs import (
    STAGES,
    differing,
    killed_after,
    one_backend,
    results,
    run_stage,
    write_inputs,
)


@pytest.fixture(scope="module", autouse=True)
def same_backend():
    with one_backend():
        yield


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def straight(settings, tmp_path_factory):
    """One undisturbed run of each stage, by stage."""
    folder = tmp_path_factory.mktemp("straight")
    return {stage: run_stage(stage, settings[stage], folder / stage).dir for stage in STAGES}


def test_the_runs_have_what_a_resume_could_lose(straight):
    sft, reward, ppo = (Run(straight[stage]) for stage in STAGES)
    assert [len(run.metrics) for run in (sft, reward, ppo)] == [
        total for *_, total in STAGES.values()
    ]
    assert 1 < sft.info["selected_step"] < 6  # the best model lies before the last
    assert len({row["sft/tokens"] for row in sft.metrics}) > 1  # an epoch ends with a smaller batch
    assert reward.evaluation["shift"] != 0
    ends = [row for row in ppo.metrics if "objective/kl" in row]
    assert [row["step"] for row in ends] == [8, 16]
    assert ends[0]["objective/kl_coef"] != ends[1]["objective/kl_coef"]
    assert any(row["ppo/policy/clipfrac"] for row in ppo.metrics)
    weights = results(straight["ppo"])
    assert weights["model/model.safetensors"] != weights["model-ema/model.safetensors"]
    assert {"samples.jsonl", "critic/model.safetensors", "metrics.jsonl"} <= set(weights)


CASES = [
    (stage, save_every, step)
    for stage, (*_, total) in STAGES.items()
    for save_every in (1, 3)
    for step in range(1, total + 1)
]


@pytest.mark.parametrize(("stage", "save_every", "step"), CASES)
def test_killed_after_any_step(stage, save_every, step, settings, straight, tmp_path, capsys):
    with killed_after(step):
        run_stage(stage, settings[stage], tmp_path, save_every=save_every)
    assert [row["step"] for row in Run(tmp_path).metrics] == list(range(1, step + 1))
    capsys.readouterr()
    run_stage(stage, settings[stage], tmp_path, save_every=save_every)
    losses = [row.get("sft/validation_loss") for row in Run(straight[stage]).metrics[:step]]
    best = 1 + losses.index(min(losses)) if stage == "sft" else 0  # the one that may be chosen
    saved = max(step - step % save_every, best)
    heard = capsys.readouterr().err
    assert (f"resuming {tmp_path} after step {saved}\n" in heard) == (saved > 0)
    assert differing(tmp_path, straight[stage]) == []


@pytest.mark.parametrize("stage", STAGES)
def test_killed_again_and_again(stage, settings, straight, tmp_path):
    total = STAGES[stage][-1]
    rarely = {"eval_every": 4} if stage == "sft" else {}  # where the best so far is saved, too
    values = {**settings[stage], **rarely, "save_every": 2}
    undisturbed = run_stage(stage, values, tmp_path / "straight").dir if rarely else straight[stage]
    for step in (1, 3, 3, 5, total - 1, total):
        with killed_after(step):
            run_stage(stage, values, tmp_path / "killed")
    run_stage(stage, values, tmp_path / "killed")
    assert differing(tmp_path / "killed", undisturbed) == []


@pytest.mark.parametrize("stage", STAGES)
def test_back_to_an_earlier_checkpoint_that_was_named(stage, settings, straight, tmp_path):
    """The checkpoints after it go, as the lines after it do: a later resume must not skip lines."""
    values = {"save_every": 2, "keep_checkpoints": 9}
    with killed_after(5):
        run_stage(stage, settings[stage], tmp_path, **values)
    with killed_after(3):
        earlier = str(tmp_path / "checkpoints" / "step-2")
        run_stage(stage, settings[stage], tmp_path, **values, resume=earlier)
    run_stage(stage, settings[stage], tmp_path, **values)
    assert differing(tmp_path, straight[stage]) == []


# If an ingredient of the state were forgotten, the comparison above must notice.


def forget_moments(state, before):
    for optimizer in state.optimizers.values():
        optimizer.state.clear()


def forget_second_moment(state, before):
    for optimizer in state.optimizers.values():
        for moments in optimizer.state.values():
            moments["exp_avg_sq"].zero_()


def forget_adam_steps(state, before):
    for optimizer in state.optimizers.values():
        for moments in optimizer.state.values():
            moments["step"].fill_(1)


def forget_average(state, before):
    state.averages = {name: copy_weights(state.modules[name]) for name in state.averages}


def forget_experience(state, before):
    state.tensors = before.tensors


def forget(*counters):
    def forget_counters(state, before):
        for name in counters:
            state.counters.pop(name)
            state.counters |= {key: before.counters[key] for key in before.counters if key == name}

    return forget_counters


LOST = [  # PPO's step 8 ends an iteration, step 10 is the second minibatch of the next
    ("moments", "sft", 5, forget_moments),
    ("moments", "reward", 5, forget_moments),
    ("moments", "ppo", 10, forget_moments),
    ("second moment", "sft", 5, forget_second_moment),
    ("second moment", "reward", 5, forget_second_moment),
    ("second moment", "ppo", 10, forget_second_moment),
    ("Adam's step count", "sft", 5, forget_adam_steps),
    ("Adam's step count", "reward", 5, forget_adam_steps),
    ("Adam's step count", "ppo", 10, forget_adam_steps),
    ("step", "sft", 5, forget("step")),
    ("step", "reward", 5, forget("step")),
    ("best step", "sft", 5, forget("best_checkpoint")),
    ("positions in the data", "sft", 5, forget("positions")),
    ("position in the rankings", "reward", 5, forget("position")),
    ("position in the prompts", "ppo", 8, forget("prompts")),
    ("position in the pretraining text", "ppo", 8, forget("pretraining")),
    ("kl_coef", "ppo", 8, forget("kl_coef")),
    ("average", "ppo", 10, forget_average),
    ("experience", "ppo", 10, forget_experience),
]


@pytest.mark.parametrize(
    ("stage", "step", "forgets"),
    [case[1:] for case in LOST],
    ids=[" of ".join(case[:2]) for case in LOST],
)
def test_a_state_that_forgets_is_noticed(
    stage, step, forgets, settings, straight, tmp_path, monkeypatch
):
    with killed_after(step):
        run_stage(stage, settings[stage], tmp_path, save_every=1)
    restore = TrainState.restore

    def restore_but_forget(state, tensors, counters):
        before = replace(state, counters=dict(state.counters), tensors=dict(state.tensors))
        restore(state, tensors, counters)
        forgets(state, before)

    monkeypatch.setattr(TrainState, "restore", restore_but_forget)
    run_stage(stage, settings[stage], tmp_path, save_every=1)
    assert differing(tmp_path, straight[stage])

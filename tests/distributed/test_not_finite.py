"""What is NaN or infinite is never stepped on, never averaged and never written."""

import json
import os
import signal
from contextlib import contextmanager

import pytest
import torch

from instructgpt.ppo import step
from instructgpt.ppo.trainer import PPOTrainer
from instructgpt.run.directory import Run
from instructgpt.training.optimizer import BrokenWeightsError, NotFiniteError
from tests.distributed.driver import around_passes
from tests.ppo.letters import PROMPTS, letter_ppo, make_config
from tests.small_runs import (
    STAGES,
    differing,
    killed_after,
    one_backend,
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


@contextmanager
def broken_after(optimizer_step, network=0):
    """An optimizer step leaves a NaN in the network's first weight (PPO steps two, in turn)."""
    real, taken = torch.optim.AdamW.step, {}

    def step(optimizer, *args, **kwargs):
        real(optimizer, *args, **kwargs)
        taken[optimizer] = taken.get(optimizer, 0) + 1
        if taken[optimizer] == optimizer_step and list(taken).index(optimizer) == network:
            optimizer.param_groups[0]["params"][0].data.view(-1)[3] = torch.nan

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        yield


@contextmanager
def not_finite(updates):
    """In these updates every loss is NaN."""

    def act(trainer, found, _args):
        if not torch.is_grad_enabled() or trainer.state.updates + 1 not in updates:
            return found
        nan = float("nan")
        return found * nan if torch.is_tensor(found) else (found[0] * nan, *found[1:])

    with around_passes(act):
        yield


@pytest.mark.parametrize(
    ("stage", "network", "name", "checkpoint_due"),
    [
        ("sft", 0, "policy", False),
        ("reward", 0, "reward model", True),
        ("ppo", 0, "policy", True),
        ("ppo", 1, "critic", False),
    ],
)
def test_weights_that_the_last_step_broke_are_not_written(
    stage, network, name, checkpoint_due, settings, tmp_path
):
    total = STAGES[stage][-1]
    values = {"save_every": total // 2 if checkpoint_due else total - 1, "eval_every": 99}
    if stage == "sft":
        values |= {"select_by": "last", "eval_data": (), "reward_model": ""}
    with (
        broken_after(total, network),
        pytest.raises(BrokenWeightsError, match=f"the weight '.*' of the {name} is not finite"),
    ):
        run_stage(stage, settings[stage], tmp_path / "run", **values)
    run = Run(tmp_path / "run")
    assert run.info["status"] == "failed"
    assert [path.name for path in run.dir.glob("checkpoints/step-*")] == [
        f"step-{values['save_every']}"
    ]
    assert not [name for name in ("model", "critic", "model-ema") if (run.dir / name).exists()]
    assert not (run.dir / "evaluation.json").exists()
    if stage != "reward":
        return
    run_stage(stage, settings[stage], run.dir, **values)  # from the last good checkpoint
    straight = run_stage(stage, settings[stage], tmp_path / "straight", **values)
    assert differing(run.dir, straight.dir) == []


def test_a_broken_step_in_the_middle_is_not_saved_by_the_stop_that_follows(settings, tmp_path):
    """The next loss is NaN, which stops the run; the state to save is the broken one."""
    with broken_after(3), pytest.raises(BrokenWeightsError, match="weight"):
        run_stage("reward", settings["reward"], tmp_path, save_every=2, eval_every=0)
    assert sorted(path.name for path in tmp_path.glob("checkpoints/step-*")) == ["step-2"]


def test_a_model_to_choose_from_is_checked_as_well(settings, tmp_path):
    values = {"reward_model": "", "select_by": "validation_loss"}
    with broken_after(1), pytest.raises(BrokenWeightsError, match="weight"):
        run_stage("sft", settings["sft"] | values, tmp_path)
    assert not list(tmp_path.glob("checkpoints/step-*"))


# -------------------------------------------------------------------- left out


def test_an_update_that_is_left_out_moves_nothing_but_the_place(capsys):
    with not_finite([2]):
        trainer = PPOTrainer(letter_ppo(), make_config(on_nonfinite="skip"))
        trainer.collect(PROMPTS)
        assert trainer.update()
        before = {
            name: tensor.clone()
            for name, tensor in trainer.state.to_tensors().items()
            if not name.startswith("batch.")
        }
        metrics = trainer.update()
    assert {name.partition(".")[0] for name in before} == {
        *("weight", "average", "step", "exp_avg", "exp_avg_sq")
    }
    assert metrics
    assert not [name for name in metrics if name.startswith("ppo/p")]  # the iteration's alone
    after = trainer.state.to_tensors()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert trainer.step == 1
    assert trainer.state.counters["skipped"] == 1
    assert (trainer.iteration, trainer.state.counters["update"]) == (1, 0)
    assert "an update is left out: the loss of '" in capsys.readouterr().err


LEFT_OUT = {"sft": (2, 5, 6), "reward": (1, 3), "ppo": (3, 8, 9)}
"""PPO's update 8 ends an iteration, with its figures and a validation; SFT's 6 is the last."""


@pytest.fixture(scope="module")
def left_out(settings, tmp_path_factory):
    """An undisturbed run of each stage in which some updates are left out."""
    folder = tmp_path_factory.mktemp("left_out")
    for stage, updates in LEFT_OUT.items():
        with not_finite(updates):
            run_stage(stage, settings[stage], folder / stage, on_nonfinite="skip")
    return folder


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_left_out_has_no_line_and_is_counted_in_the_next(stage, left_out):
    run, total = Run(left_out / stage), STAGES[stage][-1]
    updates = [update for update in range(1, total + 1) if update not in LEFT_OUT[stage]]
    assert [row["step"] for row in run.metrics] == list(range(1, len(updates) + 1))
    before = [sum(gone < update for gone in LEFT_OUT[stage]) for update in updates]
    assert [row.get(f"{stage}/skipped_steps", 0) for row in run.metrics] == before
    at_the_end = sum(gone > max(updates) for gone in LEFT_OUT[stage])
    assert run.info.get("left_out_at_the_end", {}).get("updates", 0) == at_the_end
    assert run.info["status"] == "done"


def test_the_figures_of_an_iteration_whose_last_update_is_left_out_stand_in_the_next_line(left_out):
    rows = Run(left_out / "ppo").metrics
    ends = [row["step"] for row in rows if "objective/kl" in row]
    assert ends == [7, 13]  # updates 1 2 4 5 6 7 are steps 1 to 6; 8 and 9 are left out, 10 is 7
    assert [row["step"] for row in rows if "validation/scores" in row] == ends
    text = (left_out / "ppo" / "samples.jsonl").read_text()
    samples = [json.loads(line) for line in text.splitlines()]
    at = {(sample["kind"], sample["step"]) for sample in samples}
    assert at == {("training", 1), ("validation", 7), ("training", 7), ("validation", 13)}


@pytest.mark.parametrize(
    ("stage", "step"), [("sft", 1), ("sft", 3), ("reward", 1), ("ppo", 2), ("ppo", 6)]
)
def test_resumed_to_the_bit_with_updates_left_out(stage, step, settings, left_out, tmp_path):
    values = {"on_nonfinite": "skip", "save_every": 1 + step % 2}
    with not_finite(LEFT_OUT[stage]):
        with killed_after(step):
            run_stage(stage, settings[stage], tmp_path, **values)
        run_stage(stage, settings[stage], tmp_path, **values)
    assert differing(tmp_path, left_out / stage) == []


@pytest.mark.parametrize(("stage", "number"), [("sft", 2), ("reward", 1), ("ppo", 8)])
def test_stopped_while_an_update_is_left_out(stage, number, settings, left_out, tmp_path):
    values, asked = {"on_nonfinite": "skip", "save_every": 0}, []

    def act(trainer, found, _args):
        if torch.is_grad_enabled() and trainer.state.updates + 1 == number and not asked:
            asked.append(os.kill(os.getpid(), signal.SIGTERM))
        return found

    with not_finite(LEFT_OUT[stage]):
        with around_passes(act), pytest.raises(KeyboardInterrupt):
            run_stage(stage, settings[stage], tmp_path, **values)
        steps = number - 1 - sum(gone < number for gone in LEFT_OUT[stage])
        expected = [f"step-{steps}"] if steps else []
        assert [path.name for path in tmp_path.glob("checkpoints/step-*")] == expected
        run_stage(stage, settings[stage], tmp_path, **values)
    assert differing(tmp_path, left_out / stage) == []


@pytest.mark.parametrize(
    ("stage", "first", "count"),
    [("sft", 1, 3), ("reward", 2, 3), ("ppo", 9, 8)],
)
def test_a_run_that_leaves_out_all_of_a_round_stops(stage, first, count, settings, tmp_path):
    """SFT's and the reward model's epochs have up to three batches, PPO's iterations 8 updates."""
    with (
        not_finite(range(first, first + 20)),
        pytest.raises(NotFiniteError, match=f"^{count} updates in a row were left out"),
    ):
        run_stage(stage, settings[stage], tmp_path, on_nonfinite="skip")
    run = Run(tmp_path)
    assert len(run.metrics) == first - 1
    assert run.info["status"] == "failed"
    assert not (tmp_path / "model").exists()


def test_a_pretraining_loss_that_is_not_finite_is_named_as_such(monkeypatch):
    real = step.response_logprobs

    def logprobs(model, rows, **options):
        found = real(model, rows, **options)
        if "temperature" in options:  # of the answers
            return found
        is_hit = (rows.tokens_BT == 5).any(1)
        return found * torch.where(is_hit[:, None], torch.nan, 1.0)

    monkeypatch.setattr(step, "response_logprobs", logprobs)
    config = make_config(ptx_coef=1.0, pretrain_data="prose", micro_batch_tokens=5)
    trainer = PPOTrainer(letter_ppo(), config)
    trainer.collect(PROMPTS)
    windows = [[1, 2, 3, 4], [2, 5, 2, 1], [3, 3, 3, 3]]
    with pytest.raises(NotFiniteError) as raised:
        trainer.update(windows)
    assert str(raised.value).startswith("the pretraining loss of 'beba' is not finite; the step")


def test_a_validation_of_an_update_that_was_left_out_chooses_no_later_step(settings, tmp_path):
    """Its figure stands in the next line, and is that of the weights before. At this rate, it is
    the best of all.
    """
    values = {"reward_model": "", "select_by": "validation_loss", "learning_rate": 3.0}
    values |= {"eval_every": 2, "on_nonfinite": "skip"}
    with not_finite([2]):
        run = run_stage("sft", settings["sft"] | values, tmp_path)
    losses = {row["step"]: row.get("sft/validation_loss") for row in run.metrics}
    assert min(losses, key=lambda step: losses[step] or 1e9) == 2
    assert run.info["selected_step"] in (3, 5)

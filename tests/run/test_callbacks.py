"""Callbacks hear of steps, samples and the end; early stopping ends a run as a finished one."""

import pytest

import instructgpt as ig
from instructgpt.run.config import HeldOut
from instructgpt.run.streams import read_lines
from tests.small_runs import STAGES, differing, killed_after, write_inputs


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def train(stage, settings, out, callbacks, **values):
    config, run, _ = STAGES[stage]
    made = config(**{**settings[stage], "out": str(out), "threads": 1, **values})
    return run(made, callbacks=callbacks)


class Diary(ig.Callback):
    """Writes down what it is told."""

    def __init__(self, stop_at=0):
        self.steps, self.samples, self.ends, self.stop_at = [], [], [], stop_at

    def step(self, run, step, metrics):
        assert run.metrics[-1]["step"] == step
        self.steps.append({"step": step, **metrics})
        return "enough" if step == self.stop_at else None

    def sample(self, run, step, row):
        self.samples.append({"step": step, **row})

    def end(self, run, status):
        self.ends.append((run.info["status"], status))


@pytest.mark.parametrize("stage", STAGES)
def test_a_callback_hears_what_the_files_hold(stage, settings, tmp_path):
    diary = Diary()
    run = train(stage, settings, tmp_path, [diary])
    rows = [{k: v for k, v in row.items() if k != "stage"} for row in run.metrics]
    assert diary.steps == rows
    samples = tmp_path / "samples.jsonl"
    assert diary.samples == (read_lines(samples) if samples.exists() else [])
    assert diary.ends == [("done", "done")]
    train(stage, settings, tmp_path, [diary])
    assert len(diary.ends) == 1, "there was nothing to do"


def test_the_end_of_a_run_that_failed(settings, tmp_path):
    diary = Diary()
    with killed_after(3):
        train("reward", settings, tmp_path / "a", [diary])
    assert diary.ends == [("failed", "failed")]

    class Faulty(ig.Callback):
        def step(self, run, step, metrics):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train("reward", settings, tmp_path / "b", [Faulty(), diary])
    assert diary.ends[1:] == [("failed", "failed")]


@pytest.mark.parametrize("stage", STAGES)
def test_a_callback_ends_a_run_as_a_finished_one(stage, settings, tmp_path, capsys):
    run = (
        train(stage, settings, tmp_path, [Diary(), Diary(stop_at=2)], select_by="last")
        if (stage == "sft")
        else train(stage, settings, tmp_path, [Diary(), Diary(stop_at=2)])
    )
    assert [row["step"] for row in run.metrics] == [1, 2]
    assert run.info["status"] == "done"
    assert run.info["stopped_early"] == {"step": 2, "reason": "enough"}
    assert (run.model_path / "model.safetensors").is_file()
    assert f"{stage}: stopped early after step 2: enough" in capsys.readouterr().err


def test_a_run_that_was_to_end_early_does_so_after_a_resume(settings, tmp_path):
    """Killed right after the step at which it was to end, and saved there."""
    with killed_after(2):
        train("reward", settings, tmp_path, [Diary(stop_at=2)], save_every=1)
    run = train("reward", settings, tmp_path, [Diary(stop_at=99)])
    assert run.info["stopped_early"] == {"step": 2, "reason": "enough"}
    assert [row["step"] for row in run.metrics] == [1, 2]


class Run:
    """Metrics of a run, as they grow."""

    def __init__(self, name, figures):
        self.name, self.figures, self.metrics = name, figures, []
        is_known = name not in ("other", "validation/kl")
        self.held_out = HeldOut(name, "loss" not in name) if is_known else None

    def ended_at(self, callback):
        """After which validation, counted from 1; between two there is a step without."""
        for number, figure in enumerate(self.figures, 1):
            for row in ({"loss": 1.0}, {self.name: figure}):
                self.metrics.append(row)
                if callback.step(self, 0, row):
                    return number
        return None


NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "figures", "options", "expected"),
    [
        ("sft/validation_loss", [3, 2, 2.5, 2.1, 1.9, 2, 2, 2], {"patience": 3}, 8),
        ("sft/validation_loss", [3, 2, 2.5, 2.1, 1.9], {"patience": 2}, 4),
        ("sft/validation_loss", [3, 2, 1], {"patience": 1}, None),
        ("sft/validation_loss", [3, 3, 3], {"patience": 2}, 3),
        ("sft/validation_loss", [3, 2.9, 2.8], {"patience": 2, "min_delta": 0.5}, 3),
        ("sft/validation_loss", [3, NAN, NAN], {"patience": 2}, 3),
        ("validation/scores", [0, 1, 2, 1, 1], {"patience": 2}, 5),
        ("reward/validation_accuracy", [0.5, 0.6, 0.6], {"patience": 1}, 3),
        (
            "validation/kl",
            [1, 2],
            {"patience": 1, "metric": "validation/kl", "higher_is_better": False},
            2,
        ),
        (
            "validation/kl",
            [1, 2],
            {"patience": 1, "metric": "validation/kl", "higher_is_better": True},
            None,
        ),
        ("other", [1, 2, 3], {"patience": 1}, None),
    ],
)
def test_when_patience_ends(name, figures, options, expected):
    assert Run(name, figures).ended_at(ig.EarlyStopping(**options)) == expected


def test_early_stopping_survives_a_resume(settings, tmp_path):
    """The loss rises at this rate: it ends after the second validation without a better one."""
    values = {"learning_rate": 3.0, "save_every": 1, "select_by": "last", "epochs": 8}
    straight = train("sft", settings, tmp_path / "a", [ig.EarlyStopping(2)], **values)
    losses = [row["sft/validation_loss"] for row in straight.metrics]
    best = min(losses[:-2])
    assert len(losses) < 24
    assert losses[-1] >= best
    assert losses[-2] >= best
    step = straight.info["stopped_early"]["step"]
    assert step == len(losses)
    assert "has not been better than" in straight.info["stopped_early"]["reason"]
    with killed_after(step - 1):
        train("sft", settings, tmp_path / "b", [ig.EarlyStopping(2)], **values)
    train("sft", settings, tmp_path / "b", [ig.EarlyStopping(2)], **values)
    assert differing(tmp_path / "a", tmp_path / "b") == []


def test_early_stopping_without_a_figure_says_so(settings, tmp_path, capsys):
    train("reward", settings, tmp_path, [ig.EarlyStopping()], eval_fraction=0.0, max_steps=1)
    assert "has seen no held-out figure: give eval_data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ig.EarlyStopping(0), "patience must be"),
    ],
)
def test_early_stopping_that_makes_no_sense(make, said):
    with pytest.raises(ig.UserError, match=said):
        make()


@pytest.mark.parametrize(
    ("callbacks", "said"),
    [
        ([print], "callback"),
        ([ig.EarlyStopping], "callback"),
        (ig.EarlyStopping(), "callback"),
        ([None], "callback"),
        ([ig.EarlyStopping(metric="ppo/x")], "more of ppo/x is better: give higher_is_better"),
    ],
)
def test_what_is_no_callback(callbacks, said, settings, tmp_path):
    with pytest.raises(ig.UserError, match=said):
        train("reward", settings, tmp_path, callbacks)
    assert not list(tmp_path.iterdir())

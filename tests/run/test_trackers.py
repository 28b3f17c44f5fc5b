"""Trackers get the run's name, its settings, and one curve across resumes."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from instructgpt.errors import UserError
from instructgpt.run import trackers
from instructgpt.run.directory import Run
from tests.files import sentence
from tests.small_runs import killed_after, run_stage, write_inputs


class Server:
    """Stands in for W&B: keeps runs by id and, as the real one, takes no step twice."""

    def __init__(self):
        self.runs, self.refused = {}, []

    def init(self, **given):
        run = self.runs.setdefault(given["id"], SimpleNamespace(steps={}, given=[], ended=0))
        run.given.append(given)

        def log(metrics, step):
            if run.steps and step <= max(run.steps):
                self.refused.append(step)
            else:
                run.steps[step] = metrics

        def finish():
            run.ended += 1

        return SimpleNamespace(log=log, finish=finish)


@pytest.fixture
def server(monkeypatch):
    server = Server()
    module = ModuleType("wandb")
    module.init = server.init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr(trackers, "find_spec", lambda name: name == "wandb")
    return server


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))["reward"]


def test_one_curve_across_resumes(server, settings, tmp_path):
    """Killed after steps 5 and 6, saved at 4: they come again, and are not told again."""
    out = tmp_path / "loop" / "03-judge"
    values = {"report_to": "wandb", "save_every": 4}
    for step in (5, 6):
        with killed_after(step):
            run_stage("reward", settings, out, **values)
    run_stage("reward", settings, out, **values)
    [run] = server.runs.values()
    assert server.refused == []
    rows = {row.pop("step"): row for row in Run(out).metrics}
    assert list(rows) == [1, 2, 3, 4, 5, 6]
    for row in rows.values():
        row.pop("stage")
    assert run.steps == rows
    assert len(run.given) == run.ended == 3
    for given in run.given:
        assert given["name"] == "03-judge-reward"
        assert given["group"] == "loop"
        assert given["resume"] == "allow"
        assert given["config"]["learning_rate"] == 1e-3
        assert given["config"]["batch_size"] == 2
    assert Run(out).info["tracker_id"] == run.given[0]["id"]


def test_two_runs_are_two_curves(server, settings, tmp_path):
    for name in ("a", "b"):
        run_stage("reward", settings, tmp_path / name, report_to="wandb", max_steps=1)
    assert len(server.runs) == 2


def test_a_tracker_that_is_not_there_is_said_first(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    for name in ("wandb", "tensorboard"):
        with pytest.raises(
            UserError, match=rf"{name} is not installed; run python -m pip install {name}"
        ) as raised:
            run_stage("reward", settings, tmp_path / name, report_to=name)
        sentence(raised)


def test_tensorboard_drops_what_comes_again(settings, tmp_path, monkeypatch):
    opened, points = [], []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            opened.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            points.append((name, value, step))

        def close(self):
            opened.append("closed")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(trackers, "find_spec", lambda _: object())
    values = {"report_to": "tensorboard", "save_every": 4}
    with killed_after(5):
        run_stage("reward", settings, tmp_path, **values)
    run_stage("reward", settings, tmp_path, **values)
    folder = str(tmp_path / "tensorboard")
    assert opened == [(folder, 1), "closed", (folder, 5), "closed"]
    steps = [step for name, _, step in points if name == "reward/loss"]
    assert steps == [1, 2, 3, 4, 5, 5, 6]

"""The three stages on a GPU: the figures of a CPU, and those of a run that is offloaded."""

import json
import math

import pytest
import torch
import torch.distributed as dist

from instructgpt.distributed import sharding
from instructgpt.models.device import compute_device
from instructgpt.training.run import TrainingRun
from tests.small_runs import STAGES, killed_after, run_stage, write_inputs

SLOW = {"learning_rate": 1e-3, "dtype": "float32"}
COMPARABLE = {"sft": SLOW | {"dropout": 0.0}, "reward": SLOW, "ppo": SLOW}
"""Each device draws other masks, and rounding grows with every step."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def made(inputs, tmp_path_factory):
    """A stage's metrics on a device, each made once."""
    known = {}

    def metrics(stage, device, **values):
        key = (stage, device, *sorted(values.items()))
        if key not in known:
            out = tmp_path_factory.mktemp(f"{stage}-{device}") / "out"
            run_stage(stage, inputs[stage] | COMPARABLE[stage], out, device=device, **values)
            known[key] = read(out)
        return known[key]

    return metrics


def read(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def assert_close(found, expected, *, relative=2e-3):
    assert len(found) == len(expected) > 3
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            if isinstance(value, float):
                assert one[name] == pytest.approx(value, rel=relative, abs=1e-4), name


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_the_figures_of_a_cpu(stage, made):
    assert_close(made(stage, "cuda"), made(stage, "cpu"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_in_bfloat16(stage, made):
    for line in made(stage, "cuda", dtype="bfloat16"):
        assert all(math.isfinite(v) for v in line.values() if isinstance(v, float))


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_run_goes_on(stage, inputs, made, tmp_path):
    settings = inputs[stage] | COMPARABLE[stage] | {"device": "cuda"}
    with killed_after(3):
        run_stage(stage, settings, tmp_path / "out", save_every=1)
    run_stage(stage, settings, tmp_path / "out", save_every=1)
    assert_close(read(tmp_path / "out"), made(stage, "cuda"))


@pytest.fixture
def offloaded(monkeypatch):
    """Where weights waited and where they computed after each step; the group is left at last."""
    places = set()
    after_step = TrainingRun.after_step

    def noted(run, step, state, *args, **kwargs):
        for module in state.modules.values():
            weights = {weight.device.type for weight in module.parameters()}
            places.add((*weights, compute_device(module).type))
        after_step(run, step, state, *args, **kwargs)

    monkeypatch.setattr(TrainingRun, "after_step", noted)
    yield places
    sharding._mesh.cache_clear()  # of the group that is left
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.mark.parametrize("gathers", [True, False])
@pytest.mark.parametrize("stage", STAGES)
def test_an_offloaded_stage_has_the_same_figures(stage, gathers, made, inputs, tmp_path, offloaded):
    settings = inputs[stage] | COMPARABLE[stage] | {"device": "cuda", "cpu_offload": True}
    settings |= {"gather_weights": gathers, "save_every": 1}
    with killed_after(3):
        run_stage(stage, settings, tmp_path / "out")
    run_stage(stage, settings, tmp_path / "out")
    assert offloaded == {("cpu", "cuda")}
    assert_close(read(tmp_path / "out"), made(stage, "cuda"))


def test_a_gpu_that_is_not_there(inputs, tmp_path):
    with pytest.raises(ValueError, match=r"cuda:63") as raised:
        run_stage("sft", inputs["sft"], tmp_path / "out", device="cuda:63")
    assert len(str(raised.value).splitlines()) == 1
    assert torch.cuda.device_count() < 64

"""Where metrics go besides `metrics.jsonl`: nowhere, TensorBoard, or Weights & Biases.

Their packages (`instructgpt[track]`) are imported on first use.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from instructgpt.errors import UserError
from instructgpt.run.callbacks import Callback
from instructgpt.run.directory import Run


class _TensorBoard(Callback):
    def __init__(self, path: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Points after the step from which the run goes on come again: TensorBoard drops the old.
        self._writer = SummaryWriter(str(path / "tensorboard"), purge_step=step + 1)

    def step(self, run: Run, step: int, metrics: Mapping[str, float]) -> None:  # noqa: ARG002
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def end(self, run: Run, status: str) -> None:  # noqa: ARG002
        self._writer.close()


class _WandB(Callback):
    """One curve for a run however often it is resumed: W&B takes no step twice."""

    def __init__(self, path: Path, stage: str, settings: Mapping[str, Any], run_id: str) -> None:
        import wandb  # pyright: ignore[reportMissingImports] - an optional extra

        self._run = wandb.init(
            project="instructgpt",
            name=f"{path.name}-{stage}",
            group=path.parent.name or None,
            job_type=stage,
            id=run_id,
            config=dict(settings),
            dir=str(path),
            resume="allow",
        )
        self._file = path / "wandb" / "last-step"
        self._logged = int(self._file.read_text()) if self._file.is_file() else 0

    def step(self, run: Run, step: int, metrics: Mapping[str, float]) -> None:  # noqa: ARG002
        if step <= self._logged:
            return  # it stands there from before the resume, to the bit the same
        self._run.log(dict(metrics), step=step)
        self._logged = step
        self._file.parent.mkdir(exist_ok=True)
        self._file.write_text(str(step))

    def end(self, run: Run, status: str) -> None:  # noqa: ARG002
        self._run.finish()


def open_tracker(
    name: str,
    path: Path,
    stage: str,
    *,
    settings: Mapping[str, Any],
    run_id: str,
    step: int,
) -> Callback:
    """The tracker that `report_to` names; one that does nothing where it names none.

    Args:
        name: as configured.
        path: the run directory; a W&B run is called after it and the stage.
        stage: the stage's name.
        settings: the configuration, for the tracker's table of hyperparameters.
        run_id: the same whenever the run goes on, and no other run's.
        step: the step after which the run goes on; 0 for a fresh start.

    Raises:
        UserError: its package is not installed.
    """
    try:
        if name == "tensorboard":
            return _TensorBoard(path, step)
        if name == "wandb":
            return _WandB(path, stage, settings, run_id)
    except ImportError:
        raise UserError(
            f"report_to: {name} is not installed; run python -m pip install {name}"
        ) from None
    return Callback()


def check_tracker(name: str) -> None:
    """Refuse a tracker whose package is not there before anything else is done.

    Raises:
        UserError: it is not installed.
    """
    if name != "none" and not find_spec(name):
        raise UserError(f"report_to: {name} is not installed; run python -m pip install {name}")

"""Where metrics go besides `metrics.jsonl`: nowhere, TensorBoard, or Weights & Biases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from instructgpt.errors import UserError


class Tracker(Protocol):
    """Takes a step's metrics."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record the metrics of one optimizer step."""
        ...

    def close(self) -> None:
        """Flush and end."""
        ...


class _NoTracker:
    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


class _TensorBoard:
    def __init__(self, path: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(path / "tensorboard"))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _WandB:
    def __init__(self, path: Path, stage: str) -> None:
        import wandb  # pyright: ignore[reportMissingImports] - an optional extra

        self._run = wandb.init(
            project="instructgpt", name=f"{path.name}-{stage}", dir=str(path), resume="allow"
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        self._run.finish()


def open_tracker(name: str, path: Path, stage: str) -> Tracker:
    """The tracker that `report_to` names.

    Raises:
        UserError: its package is not installed.
    """
    try:
        if name == "tensorboard":
            return _TensorBoard(path)
        if name == "wandb":
            return _WandB(path, stage)
    except ImportError:
        raise UserError(
            f"report_to: {name} is not installed; pip install 'instructgpt[track]'"
        ) from None
    return _NoTracker()

"""What a model's files say that the model in memory no longer does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedModel

SOURCE = "_instructgpt_source"
"""An attribute, not a registry, so that a copy of a model has it too."""


@dataclass(frozen=True)
class Origin:
    """Where weights came from.

    Attributes:
        name: the model, as the user wrote it.
        front: what its own card says of `card.KEPT`.
    """

    name: str
    front: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSource:
    """What is written back, or on the card, when a model is saved.

    Attributes:
        origin: where its weights came from, where that is known.
        dropout: its configuration's dropout values, which are 0 in memory.
    """

    origin: Origin | None = None
    dropout: Mapping[str, float] = field(default_factory=dict)


def source_of(model: PreTrainedModel) -> ModelSource:
    """What is known of a model's files; nothing of a model that was made or loaded elsewhere."""
    return getattr(model, SOURCE, ModelSource())


def remember_source(model: PreTrainedModel, source: ModelSource) -> None:
    """From now on `source_of` the model, and of its copies."""
    setattr(model, SOURCE, source)

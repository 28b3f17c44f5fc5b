"""What is found out about a model by trying it, and remembered for as long as the model lives."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

from transformers import PreTrainedModel

R = TypeVar("R")


def once_per_model(find: Callable[[PreTrainedModel], R]) -> Callable[[PreTrainedModel], R]:
    """`find`, asked once of each model; a copy of a model is another."""
    known: WeakKeyDictionary[PreTrainedModel, R] = WeakKeyDictionary()

    @wraps(find)
    def call(model: PreTrainedModel) -> R:
        if model not in known:
            known[model] = find(model)
        return known[model]

    return call

"""A reward of one's own instead of a model: any function `(prompts, responses) -> scores`."""

import inspect
import math
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from instructgpt.data.records import PromptText
from instructgpt.errors import UserError
from instructgpt.run.plugin import load_function


class PluggedReward:
    """Calls a reward of one's own, and takes nothing from it but one finite number per answer.

    Args:
        reward: a function of (prompts, responses), or an object with such a method `score`. Prompts
            are strings, or tuples of `Message`; responses are strings. Where it also takes
            `finished`, it is told which answers ended by themselves.
        name: what it is called in messages.

    Raises:
        UserError: it is neither.
    """

    def __init__(self, reward: Any, name: str = "") -> None:
        score = getattr(reward, "score", None)
        self._call: Callable[..., Any] = score if callable(score) else reward
        if not callable(self._call):
            raise UserError(
                "a reward is a RewardModel, a function (prompts, responses) -> scores, or an "
                f"object with such a method `score`; found {type(reward).__name__}"
            )
        self.name = name or getattr(reward, "__name__", type(reward).__name__)
        self._takes_finished = _takes_finished(self._call)

    def score(
        self,
        prompts: Sequence[PromptText],
        responses: Sequence[str],
        *,
        finished: Sequence[bool],
        **_: Any,
    ) -> Tensor:
        """Scores, float32 (N,) on the CPU.

        Raises:
            UserError: the reward raised an error, or did not give one finite number per answer.
        """
        flags = {"finished": list(finished)} if self._takes_finished else {}
        try:
            given = self._call(list(prompts), list(responses), **flags)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"the reward {self.name} failed{_where(error)}; mend it") from error
        scores = self._numbers(given)
        if len(scores) != len(responses):
            raise UserError(
                f"the reward {self.name} gave {len(scores)} scores for {len(responses)} answers; "
                "it must give one for each"
            )
        for number, (score, response) in enumerate(zip(scores, responses, strict=True), 1):
            if not math.isfinite(score):
                raise UserError(
                    f"the reward {self.name} gave {score} for answer {number} "
                    f"({_shortened(response)}); it must give finite numbers"
                )
        return torch.tensor(scores, dtype=torch.float32)

    def _numbers(self, given: Any) -> list[float]:
        if hasattr(given, "tolist"):
            given = given.tolist()
        try:
            return [float(score) for score in given]
        except (TypeError, ValueError):
            raise UserError(
                f"the reward {self.name} gave {_shortened(given)}; it must give a list of numbers, "
                "one for each answer"
            ) from None


def named_reward(name: str) -> PluggedReward:
    """The reward that `module:function` names.

    Raises:
        UserError: there is none, or it is no reward.
    """
    return PluggedReward(load_function(name), name)


def _takes_finished(call: Callable[..., Any]) -> bool:
    try:
        return "finished" in inspect.signature(call).parameters
    except (TypeError, ValueError):  # a function without a signature, written in C
        return False


def _where(error: Exception) -> str:
    """` in FILE line N (TypeError: what it says)`: the innermost place, on one line."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    place = f" in {frames[-1].filename} line {frames[-1].lineno}" if frames else ""
    said = " ".join(str(error).split())
    return f"{place} ({type(error).__name__}{f': {said}' if said else ''})"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"

"""Simulated labelers: they rank answers by the rubric, each by a taste of their own, with noise.

They stand in for people where there are none, and leave the records that people would leave. Their
names say what they are.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

import numpy as np

from instructgpt.data.records import Candidates, Prompt, PromptText, Ranking, plain_text, prompt_id
from instructgpt.errors import UserError
from instructgpt.label.simulated.config import NOISE, TASTE
from instructgpt.label.simulated.rubric import WEIGHTS, Quality, overall, quality
from instructgpt.label.simulated.task import Task
from instructgpt.run.seeds import derive, permutation

POINTS = 7


@dataclass(frozen=True)
class Labeler:
    """One simulated labeler: a name, the weights of the criteria, and the noise of a judgement."""

    name: str
    weights: dict[str, float]
    noise: float = NOISE

    def points(self, answer: Quality, seed: int, *judged: str) -> int:
        """1 to 7 points: the weighted rubric plus noise, rounded.

        The noise is a function of the seed, the labeler, and what is judged (prompt and answer): a
        labeler who sees a text twice says the same twice.
        """
        opinion = overall(answer._asdict(), self.weights)
        opinion += self.noise * _normal(seed, "judgement", self.name, *judged)
        return 1 + round((POINTS - 1) * min(1.0, max(0.0, opinion)))


def training_labelers(n: int = 6, *, noise: float = NOISE, taste: float = TASTE) -> list[Labeler]:
    """The labelers whose rankings a reward model is trained on."""
    return _labelers("simulated-train", n, noise, taste)


def held_out_labelers(n: int = 6, *, noise: float = NOISE, taste: float = TASTE) -> list[Labeler]:
    """Judges with other tastes, who never make training data (section 4.1's held-out labelers)."""
    return _labelers("simulated-heldout", n, noise, taste)


def simulate(
    candidates: Iterable[Candidates], *, labelers: Sequence[Labeler], per_prompt: int, seed: int
) -> list[Ranking]:
    """`per_prompt` rankings of each prompt's answers, by labelers drawn for it.

    A ranking depends on the seed, its labeler, the prompt and the answers, and on nothing else in
    the file.

    Args:
        candidates: answers to rank; the `checks` of a prompt, where it has them, count.
        labelers: who can rank.
        per_prompt: how many of them rank each prompt.
        seed: decides who ranks what, the order of the answers on the page, and the noise.

    Raises:
        ValueError: there are fewer labelers than `per_prompt`.
        UserError: a prompt has a single answer, or checks that nobody knows.
    """
    if not 1 <= per_prompt <= len(labelers):
        raise ValueError(f"per_prompt must be 1 to {len(labelers)}, the labelers, not {per_prompt}")
    rankings: list[Ranking] = []
    for queued in candidates:
        if len(queued.responses) < 2:
            raise UserError(
                f"prompt {queued.prompt_id} has one answer; sample two or more per prompt"
            )
        task = Task.of(queued)
        qualities = [quality(task, r.text, r.finished) for r in queued.responses]
        drawn = permutation(len(labelers), seed, f"labelers/{prompt_id(queued.prompt)}")[
            :per_prompt
        ]
        rankings += [_rank(queued, qualities, labelers[i], seed) for i in sorted(drawn)]
    return rankings


class SimulatedJudge:
    """The rubric as a judge of texts, and held-out labelers who say which of two they prefer.

    Args:
        prompts: the records of all prompts that will be judged: they carry the checks.
        labelers: who is asked by `prefer`; default `held_out_labelers()`.
        seed: decides the labelers' noise.
    """

    name = "simulated rubric"

    def __init__(
        self,
        prompts: Iterable[Prompt],
        labelers: Sequence[Labeler] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self.labelers = list(labelers or held_out_labelers())
        self.seed = seed
        self._tasks = {plain_text(prompt.prompt): Task.of(prompt) for prompt in prompts}

    def score(
        self, prompts: Sequence[PromptText], responses: Sequence[str], *, finished: Sequence[bool]
    ) -> list[float]:
        """The noise-free rubric, 0 to 1 per answer.

        Raises:
            UserError: a prompt's record was not given.
        """
        judged = zip(prompts, responses, finished, strict=True)
        return [quality(self._task(prompt), text, end).total for prompt, text, end in judged]

    def prefer(
        self,
        prompts: Sequence[PromptText],
        a: Sequence[str],
        b: Sequence[str],
        *,
        finished_a: Sequence[bool],
        finished_b: Sequence[bool],
    ) -> list[float]:
        """The share of the labelers who prefer the i-th of `a` to the i-th of `b`; ties are half.

        Raises:
            UserError: a prompt's record was not given.
        """
        pairs = zip(prompts, a, b, finished_a, finished_b, strict=True)
        return [
            self._share(prompt, (text_a, end_a), (text_b, end_b))
            for prompt, text_a, text_b, end_a, end_b in pairs
        ]

    def _share(self, prompt: PromptText, a: tuple[str, bool], b: tuple[str, bool]) -> float:
        task, judged = self._task(prompt), prompt_id(prompt)
        quality_a, quality_b = quality(task, *a), quality(task, *b)
        wins = 0.0
        for labeler in self.labelers:
            points_a = labeler.points(quality_a, self.seed, judged, a[0])
            points_b = labeler.points(quality_b, self.seed, judged, b[0])
            wins += 0.5 + 0.5 * np.sign(points_a - points_b)
        return float(wins / len(self.labelers))

    def _task(self, prompt: PromptText) -> Task:
        text = plain_text(prompt)
        if text not in self._tasks:
            raise UserError(
                f"the simulated judge does not know the prompt {text[:40]!r}; give its record"
            )
        return self._tasks[text]


def _labelers(group: str, n: int, noise: float, taste: float) -> list[Labeler]:
    """Labelers with the weights w · exp(taste · N(0, 1)), the same in every run."""
    return [
        Labeler(
            name,
            {key: w * exp(taste * _normal(0, "taste", name, key)) for key, w in WEIGHTS.items()},
            noise,
        )
        for name in (f"{group}-{i}" for i in range(1, n + 1))
    ]


def _rank(
    candidates: Candidates, qualities: Sequence[Quality], labeler: Labeler, seed: int
) -> Ranking:
    judged = prompt_id(candidates.prompt)
    points = [
        labeler.points(answer, seed, judged, response.text)
        for answer, response in zip(qualities, candidates.responses, strict=True)
    ]
    fields: dict[str, Any] = {
        "ranks": tuple(1 + sum(other > own for other in points) for own in points),
        "labeler_id": labeler.name,
        "shown_order": tuple(permutation(len(points), seed, f"shown/{labeler.name}/{judged}")),
    }
    return Ranking.model_validate(candidates.model_dump(exclude_none=True) | fields)


def _normal(seed: int, stream: str, *parts: str) -> float:
    """A draw from N(0, 1) that is a function of its arguments."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    key = derive(seed, f"{stream}/{digest}")
    return float(np.random.Generator(np.random.Philox(key=key)).standard_normal())

"""Win rates between two policies on the same prompts, by any judge of texts (section 4.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from instructgpt.data.records import PromptText
from instructgpt.data.text import plain_text
from instructgpt.evaluation.stats import Interval, clustered_share

if TYPE_CHECKING:
    from instructgpt.sft.model import Completion, SFTModel


class Judge(Protocol):
    """Scores answers; a `RewardModel` is one."""

    def score(
        self, prompts: Sequence[PromptText], responses: Sequence[str], *, finished: Sequence[bool]
    ) -> Any:
        """One number per answer, higher is better."""
        ...


@dataclass(frozen=True)
class JudgedAnswers:
    """Answers to prompts, in order, with the judge's scores."""

    texts: list[str]
    finished: list[bool]
    scores: list[float]


@dataclass(frozen=True)
class Comparison:
    """How often a's answer beats b's (a tie is half), and the answers behind it."""

    win_rate: Interval
    a: JudgedAnswers
    b: JudgedAnswers

    def pairs(self, prompts: Sequence[PromptText]) -> list[dict[str, Any]]:
        """JSON-ready rows for a report; `prompts` as given to `compare`."""
        samples = len(self.a.texts) // len(prompts)
        return [
            {
                "prompt": plain_text(prompts[index // samples]),
                "a": self.a.texts[index],
                "b": self.b.texts[index],
                "score_a": self.a.scores[index],
                "score_b": self.b.scores[index],
            }
            for index in range(len(self.a.texts))
        ]


def win_rate(
    a: "SFTModel", b: "SFTModel", prompts: Sequence[PromptText], judge: Judge, **sampling: Any
) -> Interval:
    """How often policy a's answer is preferred to b's, with a 95 % interval clustered by prompt.

    Args:
        a: a policy.
        b: the baseline.
        prompts: what both answer.
        judge: scores texts, such as a `RewardModel`.
        sampling: `samples` answers per prompt (1), and what `SFTModel.generate` takes.
    """
    samples = sampling.pop("samples", 1)
    seed = sampling.pop("seed", 0)
    answers = [answer(policy, prompts, samples=samples, seed=seed, **sampling) for policy in (a, b)]
    return compare(prompts, answers[0], answers[1], judge).win_rate


def answer(
    policy: "SFTModel",
    prompts: Sequence[PromptText],
    *,
    samples: int = 1,
    seed: int = 0,
    **sampling: Any,
) -> "list[Completion]":
    """`samples` answers per prompt, those of one prompt side by side."""
    return policy.generate(
        [prompt for prompt in prompts for _ in range(samples)], seed=seed, **sampling
    )


def compare(
    prompts: Sequence[PromptText],
    a: "Sequence[Completion]",
    b: "Sequence[Completion]",
    judge: Judge,
) -> Comparison:
    """Hold answers against each other, the i-th of a against the i-th of b.

    Args:
        prompts: N prompts.
        a: N·S answers, S to each prompt side by side.
        b: as many by the baseline.
        judge: scores texts.
    """
    judged_a, judged_b = (judged(prompts, completions, judge) for completions in (a, b))
    wins = [
        1.0 if score_a > score_b else 0.5 if score_a == score_b else 0.0
        for score_a, score_b in zip(judged_a.scores, judged_b.scores, strict=True)
    ]
    samples = len(a) // len(prompts)
    clusters = [index // samples for index in range(len(wins))]
    return Comparison(clustered_share(wins, clusters), judged_a, judged_b)


def judged(
    prompts: Sequence[PromptText], completions: "Sequence[Completion]", judge: Judge
) -> JudgedAnswers:
    """Score some answers, S to each prompt side by side."""
    samples = len(completions) // len(prompts)
    repeated = [prompt for prompt in prompts for _ in range(samples)]
    texts, finished = [c.text for c in completions], [c.finished for c in completions]
    scores = judge.score(repeated, texts, finished=finished)
    return JudgedAnswers(texts, finished, [float(score) for score in scores])

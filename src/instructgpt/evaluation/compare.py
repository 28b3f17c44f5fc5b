"""Win rates between two policies on the same prompts, by any judge of texts (section 4.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from instructgpt.data.brought import as_prompts
from instructgpt.data.records import PromptText, plain_text
from instructgpt.distributed.world import world
from instructgpt.errors import UserError
from instructgpt.evaluation.stats import Interval, clustered_share

if TYPE_CHECKING:
    from instructgpt.rollout.episode import Completion
    from instructgpt.rollout.policy import SFTModel


class Answer(Protocol):
    """An answer's text, and whether it ended by itself; a `Completion` is one."""

    @property
    def text(self) -> str:
        """What the policy wrote."""
        ...

    @property
    def finished(self) -> bool:
        """False for an answer that was cut."""
        ...


class Judge(Protocol):
    """Scores answers; a `RewardModel` is one."""

    def score(
        self, prompts: Sequence[PromptText], responses: Sequence[str], *, finished: Sequence[bool]
    ) -> Any:
        """One number per answer, higher is better."""
        ...


@runtime_checkable
class LabelerPanel(Judge, Protocol):
    """Several labelers who say which of two answers they prefer, beside a score of each."""

    def prefer(
        self,
        prompts: Sequence[PromptText],
        a: Sequence[str],
        b: Sequence[str],
        *,
        finished_a: Sequence[bool],
        finished_b: Sequence[bool],
    ) -> Sequence[float]:
        """The share of the labelers who prefer the i-th of a to the i-th of b; ties are half."""
        ...


@dataclass(frozen=True)
class JudgedAnswers:
    """Answers to prompts, in order, with the judge's scores."""

    texts: list[str]
    finished: list[bool]
    scores: list[float]


@dataclass(frozen=True)
class HeadToHead:
    """How often a's answer beats b's (a tie is half), and the answers behind it.

    Attributes:
        win_rate: the mean of `wins`, its interval clustered by prompt.
        a: a's answers, those to one prompt side by side.
        b: b's.
        wins: for each pair 1, ½ or 0, or the share of a panel that prefers a's answer.
    """

    win_rate: Interval
    a: JudgedAnswers
    b: JudgedAnswers
    wins: list[float]

    def by_group(self, groups: Sequence[str]) -> dict[str, Interval]:
        """Win rates of groups of prompts; `groups` names each prompt's."""
        samples = len(self.wins) // len(groups)
        members: dict[str, list[int]] = {}
        for index in range(len(self.wins)):
            members.setdefault(groups[index // samples], []).append(index)
        return {
            group: clustered_share([self.wins[i] for i in own], [i // samples for i in own])
            for group, own in sorted(members.items())
        }

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

    Raises:
        UserError: there is no prompt, a policy is none, or the judge has no method `score`.
    """
    prompts = as_prompts(prompts)
    if not prompts:
        raise UserError("win_rate: there is no prompt; give at least one")
    for policy in (a, b):
        if not callable(getattr(policy, "generate", None)):
            raise UserError(
                f"win_rate: expected a policy (SFTModel), found {type(policy).__name__}"
            )
    if not callable(getattr(judge, "score", None)):
        raise UserError(
            "win_rate: the judge must have a method score(prompts, responses, finished=...), as a "
            f"RewardModel has; found {type(judge).__name__}"
        )
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
    """`samples` answers per prompt, those of one prompt side by side; shared out among the
    processes.
    """

    def share(places: Sequence[int]) -> "list[Completion]":
        own = [prompts[place // samples] for place in places]
        return policy.generate(own, seed=seed, places=places, **sampling)

    return world().map_shares(range(len(prompts) * samples), share)


def compare(
    prompts: Sequence[PromptText],
    a: Sequence[Answer],
    b: Sequence[Answer],
    judge: Judge,
) -> HeadToHead:
    """Hold answers against each other, the i-th of a against the i-th of b.

    Args:
        prompts: N prompts.
        a: N·S answers, S to each prompt side by side.
        b: as many by the baseline.
        judge: scores texts.
    """
    judged_a, judged_b = (judged(prompts, completions, judge) for completions in (a, b))
    samples = len(a) // len(prompts)
    if isinstance(judge, LabelerPanel):
        repeated = [prompt for prompt in prompts for _ in range(samples)]
        wins = judge.prefer(
            repeated,
            judged_a.texts,
            judged_b.texts,
            finished_a=judged_a.finished,
            finished_b=judged_b.finished,
        )
    else:
        wins = [
            1.0 if score_a > score_b else 0.5 if score_a == score_b else 0.0
            for score_a, score_b in zip(judged_a.scores, judged_b.scores, strict=True)
        ]
    clusters = [index // samples for index in range(len(wins))]
    return HeadToHead(clustered_share(wins, clusters), judged_a, judged_b, list(wins))


def judged(
    prompts: Sequence[PromptText], completions: Sequence[Answer], judge: Judge
) -> JudgedAnswers:
    """Score some answers, S to each prompt side by side."""
    samples = len(completions) // len(prompts)
    repeated = [prompt for prompt in prompts for _ in range(samples)]
    texts, finished = [c.text for c in completions], [c.finished for c in completions]
    scores = judge.score(repeated, texts, finished=finished)
    return JudgedAnswers(texts, finished, [float(score) for score in scores])

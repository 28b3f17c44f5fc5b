"""Rankings as token sequences: every answer once, whoever ranked it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from instructgpt.data.records import Ranking
from instructgpt.errors import UserError
from instructgpt.models.text import TextCodec

Written = tuple[str, bool, str]
"""An answer: its text, whether it ended by itself (a cut one gets no token that ends a turn), and
at which token where its model has several.
"""


@dataclass(frozen=True)
class Comparison:
    """K answers to one prompt, and how each labeler who saw just these answers ranked them.

    Attributes:
        prompt_id: which prompt.
        prompt: its tokens.
        responses: the K answers' tokens.
        ranks: one ranking per labeler, in the order of `responses` (1 is best, equal is a tie).
        labelers: who they were, in the order of `ranks`.
    """

    prompt_id: str
    prompt: list[int]
    responses: list[list[int]]
    ranks: list[list[int]] = field(default_factory=list)
    labelers: list[str] = field(default_factory=list)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt + response row."""
        return len(self.prompt) + max(map(len, self.responses))

    @property
    def has_pair(self) -> bool:
        """Whether any labeler preferred any answer to another."""
        return any(len(set(ranks)) > 1 for ranks in self.ranks)


def answers(comparisons: Sequence[Comparison]) -> tuple[list[list[int]], list[list[int]]]:
    """All prompts and responses, one after the other, (N,) each: a row per answer."""
    prompts = [c.prompt for c in comparisons for _ in c.responses]
    return prompts, [response for c in comparisons for response in c.responses]


def encode_rankings(
    rankings: Iterable[Ranking],
    text: TextCodec,
    *,
    max_length: int,
    on_long: str,
    on_error: str = "stop",
) -> tuple[list[Comparison], list[str]]:
    """Tokenize rankings; those of the same answers to the same prompt become one `Comparison`.

    Returns:
        The comparisons, in order of first appearance, and a sentence for each ranking left out.

    Raises:
        UserError: a row is too long and `on_long` is stop, the template refuses a prompt and
            `on_error` is stop, or nothing is left.
    """
    groups: dict[tuple[object, ...], Comparison] = {}
    texts: dict[tuple[object, ...], list[Written]] = {}
    skipped = []
    for number, ranking in enumerate(rankings, 1):
        answers = [(r.text, r.finished, r.ended_by) for r in ranking.responses]
        key = (ranking.prompt_id, ranking.prompt, *sorted(answers))
        if key not in groups:
            try:
                prompt = text.prompt(ranking.prompt)
            except UserError as error:
                sentence = f"{ranking.place or f'ranking {number}'}: {error}"
                if on_error == "stop":
                    raise UserError(f"{sentence}, or pass --on_error skip") from None
                skipped.append(sentence)
                continue
            responses = [
                text.response(answer, finished=finished, ended_by=end)
                for answer, finished, end in answers
            ]
            longest = len(prompt) + max(map(len, responses))
            if longest > max_length:
                sentence = (
                    f"{_name(ranking, number)} has a row of {longest} tokens, more than the "
                    f"{max_length} that fit"
                )
                if on_long == "stop":
                    raise UserError(f"{sentence}; shorten it, or pass --on_long skip or truncate")
                if on_long == "skip" or len(prompt) >= max_length:
                    skipped.append(sentence)
                    continue
                responses = [response[: max_length - len(prompt)] for response in responses]
            groups[key] = Comparison(ranking.prompt_id, prompt, responses)
            texts[key] = answers
        groups[key].ranks.append(_in_order(texts[key], answers, ranking.ranks))
        groups[key].labelers.append(ranking.labeler_id or "unknown")
    if not groups:
        raise UserError("no ranking is left; raise --max_length or give other rankings")
    return list(groups.values()), skipped


@dataclass(frozen=True)
class RankedScores:
    """One row per labeler's ranking: indices into the batch's scores, ranks, what is real.

    Attributes:
        index_LK: which of the batch's answers stands in each place.
        ranks_LK: 1 is best.
        present_LK: false where a ranking has fewer than K answers.
    """

    index_LK: Tensor
    ranks_LK: Tensor
    present_LK: Tensor


def ranked_scores(comparisons: Sequence[Comparison], device: torch.device) -> RankedScores:
    """Lay out the rankings of comparisons whose answers are scored one after the other."""
    width = max(len(c.responses) for c in comparisons)
    index, ranks, present = [], [], []
    offset = 0
    for comparison in comparisons:
        count = len(comparison.responses)
        filler = [0] * (width - count)
        for labeler_ranks in comparison.ranks:
            index.append([*range(offset, offset + count), *filler])
            ranks.append([*labeler_ranks, *filler])
            present.append([True] * count + [False] * len(filler))
        offset += count
    return RankedScores(*(torch.tensor(rows, device=device) for rows in (index, ranks, present)))


def _name(ranking: Ranking, number: int) -> str:
    """Where a ranking stands in its file, or among those that are given."""
    if ranking.place:
        return f"{ranking.place}: the ranking"
    return f"ranking {number} (prompt {ranking.prompt_id})"


def _in_order(
    answers: Sequence[Written], shown: Sequence[Written], ranks: Sequence[int]
) -> list[int]:
    """A labeler's ranks in the order of `answers`; the same text twice is matched in order."""
    places: dict[Written, list[int]] = {}
    for text, rank in zip(shown, ranks, strict=True):
        places.setdefault(text, []).append(rank)
    return [places[text].pop(0) for text in answers]

"""Which answers to show: the best gain, the worst loss, and some drawn blindly."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from instructgpt.report.read.values import Json, as_dicts, is_finite
from instructgpt.report.read.work import StageRun
from instructgpt.report.tell.words import clip

RANDOM_SHOWN = 4
ENDS_SHOWN = 2


class AnswerCell(NamedTuple):
    """One answer with the score it got, if any."""

    text: str
    score: float | None
    finished: bool


class SampleRow(NamedTuple):
    """A prompt with the answers before and after. `why` says how it came to be shown."""

    why: str
    prompt: str
    before: AnswerCell | None
    after: AnswerCell

    @property
    def gain(self) -> float | None:
        """Score after minus score before, where both are known."""
        if self.before is None or self.before.score is None or self.after.score is None:
            return None
        return self.after.score - self.before.score


class SampleTable(NamedTuple):
    """The rows, and what the table and its two columns of answers are called."""

    title: str
    before: str
    after: str
    rows: list[SampleRow]
    note: str = ""


def sample_table(run: StageRun, seed: int = 0) -> SampleTable | None:
    """An evaluation's pairs (b before, a after), else each prompt's first and last step."""
    if pairs := as_dicts(run.evaluation.get("pairs")):
        everything = [_from_pair(pair) for pair in pairs]
        names = [str(run.evaluation.get(side) or side) for side in "ba"]
        title = "Side by side"
    else:
        everything = _from_steps(run.samples)
        paired = any(row.before for row in everything)
        title = "Before and after" if paired else "Samples"
        names = ["Before", "After"] if paired else ["", "Answer"]
    rows = pick(everything, seed)
    note = (
        f"{len(rows)} of {len(everything):,}: the ends of the scale, then some drawn blindly with "
        "a fixed seed. In parentheses: the gain in score."
    )
    return SampleTable(title, names[0], names[1], rows, note) if rows else None


def pick(samples: Sequence[SampleRow], seed: int) -> list[SampleRow]:
    """`ENDS_SHOWN` best gains and worst losses (or scores) on different prompts, and some others.

    The others are `RANDOM_SHOWN` drawn blindly.
    """
    values = [_value(sample) for sample in samples]
    known = [i for i, value in enumerate(values) if value is not None]
    ranked = _first_of_each_prompt(samples, sorted(known, key=lambda i: -(values[i] or 0.0)))
    reverse = _first_of_each_prompt(samples, sorted(known, key=lambda i: values[i] or 0.0))
    ends = min(ENDS_SHOWN, len(ranked) // 2)
    paired = any(sample.gain is not None for sample in samples)
    chosen = dict.fromkeys(ranked[:ends], "best gain" if paired else "best score")
    for index in [i for i in reverse if i not in chosen][:ends]:
        lost = (values[index] or 0.0) < 0
        chosen[index] = ("worst loss" if lost else "smallest gain") if paired else "worst score"
    others = [i for i in range(len(samples)) if i not in chosen]
    drawn = random.Random(seed).sample(others, min(RANDOM_SHOWN, len(others)))
    chosen |= dict.fromkeys(sorted(drawn), "random")
    return [samples[i]._replace(why=why) for i, why in chosen.items()]


def _first_of_each_prompt(samples: Sequence[SampleRow], order: Sequence[int]) -> list[int]:
    first: dict[str, int] = {}
    for index in order:
        first.setdefault(samples[index].prompt, index)
    return list(first.values())


def prompt_text(prompt: object) -> str:
    """A prompt is a text, or the turns of a conversation."""
    if isinstance(prompt, list):
        turns = as_dicts(prompt)
        return "\n\n".join(f"{turn.get('role', '?')}: {turn.get('content', '')}" for turn in turns)
    return "" if prompt is None else str(prompt)


def _value(sample: SampleRow) -> float | None:
    return sample.gain if sample.before else sample.after.score


def _from_pair(pair: Json) -> SampleRow:
    after, before = (
        _answer({"response": pair.get(side), "score": pair.get(f"score_{side}")}) for side in "ab"
    )
    return SampleRow("", clip(prompt_text(pair.get("prompt"))), before, after)


def _from_steps(lines: Sequence[Json]) -> list[SampleRow]:
    """Each prompt's answers at its first and last step, or the answers alone if none came twice."""
    by_prompt: dict[str, dict[float, Json]] = {}
    for line in lines:
        if is_finite(line.get("step")) and line.get("response") is not None:
            by_prompt.setdefault(prompt_text(line.get("prompt")), {}).setdefault(line["step"], line)
    samples = []
    for prompt, steps in by_prompt.items():
        first, last = min(steps), max(steps)
        before = _answer(steps[first]) if first != last else None
        samples.append(SampleRow("", clip(prompt), before, _answer(steps[last])))
    paired = [sample for sample in samples if sample.before]
    return paired or samples


def _answer(line: Json) -> AnswerCell:
    score = line.get("score")
    return AnswerCell(
        clip(prompt_text(line.get("response"))),
        float(score) if is_finite(score) else None,
        line.get("finished") is not False,
    )

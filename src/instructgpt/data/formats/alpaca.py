"""Alpaca's instructions, with LLaMA-Factory's `history` (the turns before the instruction), system
prompts, and answers in a list, the best first.
"""

from typing import Any

from instructgpt.data.formats.fields import demonstration, joined, others, ranking, text, wrong
from instructgpt.data.formats.format import Format, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Ranking, Record

_USED = ("instruction", "input", "output", "history", "system")
_PAIR = (*_USED, "chosen", "rejected")


def to_demonstration(row: Row) -> list[Record]:
    """A demonstration of the one answer.

    Raises:
        ValueError: there are several, or a field is bad.
    """
    if not isinstance(row.get("output"), str):
        raise Skip(Reason.OTHER_KIND, "output: the answers of the row are a ranking")
    return [demonstration(_prompt(row), text(row, "output"), others(row, _USED, Demonstration))]


def to_ranking(row: Row) -> list[Record]:
    """A ranking of the answers in `output`, the best first, or of `chosen` and `rejected`.

    Raises:
        ValueError: there is one answer, or a field is bad.
    """
    if "chosen" in row and "rejected" in row:
        answers: Any = [text(row, "chosen"), text(row, "rejected")]
        columns = others(row, _PAIR, Ranking)
    else:
        answers, columns = row.get("output"), others(row, _USED, Ranking)
    if isinstance(answers, str):
        raise Skip(Reason.OTHER_KIND, "output: the row has one answer, a demonstration")
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise wrong("output", "a list of texts", answers)
    responses = [{"text": answer} for answer in answers]
    return [ranking(_prompt(row), responses, range(1, len(answers) + 1), columns)]


def _prompt(row: Row) -> Any:
    """The instruction as a text, or as the last turn of a conversation where there are others."""
    asked = joined(text(row, "instruction"), row.get("input"))
    history, system = row.get("history"), row.get("system")
    if not isinstance(history, list | None):
        raise wrong("history", "a list of pairs", history)
    turns = [] if not system else [{"role": "system", "content": text(row, "system")}]
    for pair in history or ():
        if not isinstance(pair, list) or [type(said) for said in pair] != [str, str]:
            raise wrong("history", "pairs of a user's and an assistant's text", pair)
        turns.append({"role": "user", "content": pair[0]})
        turns.append({"role": "assistant", "content": pair[1]})
    return [*turns, {"role": "user", "content": asked}] if turns else asked


def fits(row: Row) -> bool:
    """Whether the row has an instruction and, as `output`, a text or texts; or a pair."""
    return isinstance(row.get("instruction"), str) and kind_of(row) is not None


def kind_of(row: Row) -> type[Record] | None:
    """A ranking where there are several answers."""
    output = row.get("output")
    if isinstance(output, list) and all(isinstance(answer, str) for answer in output):
        return Ranking
    if "prompt" not in row and all(isinstance(row.get(k), str) for k in ("chosen", "rejected")):
        return Ranking
    return Demonstration if isinstance(output, str) else None


FORMAT = Format(
    name="alpaca",
    main=Demonstration,
    readers={Demonstration: to_demonstration, Ranking: to_ranking},
    fits=fits,
    example={"instruction": "Add the numbers.", "input": "2, 3", "output": "5"},
    says="Alpaca, and LLaMA-Factory's history and rankings",
    rather_than=("trl",),
    kind_of=kind_of,
)

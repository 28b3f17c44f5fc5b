"""Our own lines and TRL's, as the importer takes them: the readers of `files`, with reasons."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from instructgpt.data.formats import trl_rankings
from instructgpt.data.formats.contradictions import another_kind, refuse_contradiction
from instructgpt.data.formats.files import READERS, Reader
from instructgpt.data.formats.format import Convert, Converted, Format, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Candidates, Demonstration, Prompt, Ranking, Rating, Record

ANSWER_WORDS = (
    *("answer", "chosen", "rejected", "completion", "output", "preference", "preferred"),
    *("response", "rank", "label", "score", "likert", "target", "conversation", "messages"),
)
"""A row with a column of such a name is more than a prompt, whoever wrote it."""


def _readers(name: str) -> dict[type[Record], Convert]:
    kinds = dict.fromkeys(reader.kind for reader in READERS if reader.format == name)
    return {kind: _reader(name, kind) for kind in kinds}


def _reader(name: str, kind: type[Record]) -> Convert:
    own = [r for r in READERS if r.format == name and r.kind is kind]
    others = [r for r in READERS if r.format == name and r.kind is not kind]

    def convert(row: Row) -> Converted:
        if name == "trl":
            _refuse_untold(row)
        reader = _of(row, own)
        if reader is None or (kind is Prompt and _of(row, others)):
            other = _of(row, others)
            keys = " or ".join(", ".join(r.keys) for r in own)
            raise Skip(
                Reason.OTHER_KIND if other else Reason.OTHER_KEYS,
                f"found the keys {', '.join(row) or 'none'}, but a {kind.__name__.lower()} of "
                f"{name} needs {keys}",
            )
        if other_kind := another_kind(kind, row):
            raise Skip(Reason.OTHER_KIND, other_kind)
        refuse_contradiction(kind, row)
        records = reader.convert(row)
        after = _turns_after(row, records[0]) if reader.keys == ("messages",) else 0
        return Converted(records, Counter({Reason.AFTER_ANSWER: after} if after else {}))

    return convert


def _turns_after(row: Row, record: Any) -> int:
    """How many turns follow the answer of a conversation."""
    return len(row["messages"]) - len(record.prompt) - 1


def _of(row: Row, readers: list[Reader]) -> Reader | None:
    return next((reader for reader in readers if row.keys() >= set(reader.keys)), None)


def _refuse_untold(row: Row) -> None:
    """TRL's rows that are neither demonstrations nor comparisons."""
    if "label" in row and "completion" in row:
        raise Skip(Reason.UNPAIRED, "label: judges an answer that has no other to compare with")
    if "labels" in row and "completions" in row:
        raise Skip(Reason.STEPWISE, "labels: judge the steps of one answer, not answers")


def _kind_of(name: str) -> Callable[[Row], type[Record] | None]:
    readers = [reader for reader in READERS if reader.format == name]

    def kind_of(row: Row) -> type[Record] | None:
        found = _of(row, readers)
        return found.kind if found else None

    return kind_of


def _is_text(value: object) -> bool:
    """Whether a value can be a prompt, or an answer of TRL's: a text, or messages."""
    return isinstance(value, str) or (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, dict) and {"role", "content"} <= turn.keys() for turn in value)
    )


def _fits_native(row: Row) -> bool:
    if not _is_text(row.get("prompt")):
        return False
    answers = row.get("responses")
    if isinstance(answers, list):
        return all(isinstance(answer, dict) and "text" in answer for answer in answers)
    if isinstance(row.get("response"), str):
        return True
    return not any(word in name.lower() for name in row for word in ANSWER_WORDS)


def _fits_trl(row: Row) -> bool:
    if "prompt" in row and not _is_text(row["prompt"]):
        return False
    if "chosen" in row and "rejected" in row:
        return _is_text(row["chosen"]) and type(row["chosen"]) is type(row["rejected"])
    if "prompt" in row and "completion" in row:
        return _is_text(row["completion"])
    if "prompt" in row and isinstance(row.get("completions"), list):
        return isinstance(row.get("labels"), list)
    if "messages" in row:
        return _is_text(row["messages"]) and not isinstance(row["messages"], str)
    return row.keys() == {"text"}  # a prompt alone is ours as well


NATIVE = Format(
    name="native",
    main=Ranking,
    readers={
        kind: _readers("native")[kind]
        for kind in (Ranking, Demonstration, Candidates, Rating, Prompt)
    },
    fits=_fits_native,
    kind_of=_kind_of("native"),
    rather_than=("trl",),
    example={
        "prompt": "Name a color.",
        "responses": [{"text": "Blue."}, {"text": "Seven."}],
        "ranks": [1, 2],
    },
    says="our own records",
)


def _trl_rankings(rows: Row | list[Row]) -> Converted | list[Record]:
    """A pair that stands alone, or the pairs of one ranking."""
    if isinstance(rows, list):
        return trl_rankings.from_pairs(rows)
    return _READ_TRL[Ranking](rows)


def _alone(kind: type[Record]) -> Convert:
    """The reader of another kind, to whom pairs say nothing."""

    def convert(rows: Row | list[Row]) -> Any:
        return _READ_TRL[kind](rows[0] if isinstance(rows, list) else rows)

    return convert


_READ_TRL = _readers("trl")
TRL = Format(
    name="trl",
    main=Ranking,
    readers={kind: _alone(kind) for kind in _READ_TRL} | {Ranking: _trl_rankings},
    group=trl_rankings.ranking_of,
    fits=_fits_trl,
    kind_of=_kind_of("trl"),
    example={"prompt": "Name a color.", "chosen": " Blue.", "rejected": " Seven."},
    says="TRL's dataset types",
)

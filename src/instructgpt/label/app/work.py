"""What a labeler says of an item: read from a form or a draft, looked at, and made records."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby, permutations
from string import ascii_uppercase
from typing import Any, NamedTuple

from instructgpt.data.records import Candidates, Ranking, Rating
from instructgpt.errors import UserError
from instructgpt.label.app.bounds import LONGEST
from instructgpt.label.app.item import QUESTIONS, places_of
from instructgpt.label.terminal import read_order
from instructgpt.store.desk import Asked

MOST_SECONDS = 1_000_000.0
FIELDS = tuple(question.field for question in QUESTIONS)
HANDED_ON = ("use_case", "split")
"""Columns of an answer's prompt that its rating keeps."""


@dataclass(frozen=True)
class Said:
    """What is said of one answer: its quality 1 to 7, the questions answered yes, a note."""

    likert: int | None = None
    flags: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Draft:
    """What a labeler has said so far.

    Attributes:
        ratings: by letter.
        order: the order line, as it stands there.
        seconds: of work.
        ranks: the rows of the board where answers lie, by letter; the order line is what counts.
    """

    ratings: Mapping[str, Said] = field(default_factory=dict)
    order: str = ""
    seconds: float = 0.0
    ranks: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As `read_draft` reads it."""
        ratings = {
            letter: {**asdict(said), "flags": list(said.flags)}
            for letter, said in self.ratings.items()
        }
        parts = {"ratings": ratings, "order": self.order, "seconds": self.seconds}
        return {**parts, "ranks": dict(self.ranks)}


class Missing(NamedTuple):
    """What a submission lacks: the field where it is missing, and a sentence."""

    field: str
    sentence: str


def read_draft(value: Any, count: int) -> Draft:
    """A draft from the page's JSON.

    Args:
        value: what was sent.
        count: how many cards the item has.

    Raises:
        UserError: it is none of these cards.
    """
    value = _object(value, "the draft")
    ratings = {}
    for letter, said in _object(value.get("ratings", {}), "ratings").items():
        said = _object(said, f"ratings.{letter}")
        flags = said.get("flags", [])
        if not isinstance(flags, list):
            raise UserError(f"ratings.{letter}.flags: expected a list of questions")
        ratings[_letter(letter, count)] = Said(
            _likert(said.get("likert"), letter), _flags(flags, letter), _note(said.get("note", ""))
        )
    ranks = {
        _letter(letter, count): _row(row, count)
        for letter, row in _object(value.get("ranks", {}), "ranks").items()
    }
    return Draft(ratings, _order(value.get("order", "")), _seconds(value.get("seconds", 0)), ranks)


def read_form(fields: Iterable[tuple[str, Any]], count: int) -> Draft:
    """A draft from a form: `likert.A`, `flag.A.hallucination`, `note.A`, `order`, `seconds`; other
    fields are not its own.

    Raises:
        UserError: it is none of these cards.
    """
    ratings: dict[str, dict[str, Any]] = {}
    rest: dict[str, Any] = {}
    for name, value in fields:
        kind, _, of = name.partition(".")
        letter, _, question = of.partition(".")
        said = ratings.get(letter, {"flags": []})
        if kind == "likert":
            said["likert"] = int(value) if str(value) in tuple("1234567") else value
        elif kind == "flag":
            said["flags"].append(question)
        elif kind == "note":
            said["note"] = str(value).replace("\r\n", "\n")
        else:
            rest[name] = value
            continue
        ratings[letter] = said
    whole = {"ratings": ratings, "order": rest.get("order", "")}
    try:
        seconds = float(rest.get("seconds") or 0)
    except (TypeError, ValueError):
        seconds = math.nan
    return read_draft({**whole, "seconds": seconds}, count)


def missing(draft: Draft, count: int, asked: Asked) -> list[Missing]:
    """What a submission still lacks, in the order of the page; nothing if it is whole.

    >>> [each.sentence for each in missing(Draft(order="a"), 3, Asked.NONE)]
    ['B and C are not ranked.']
    """
    letters = ascii_uppercase[:count]
    found = []
    if asked != Asked.NONE:
        rated = {letter for letter, said in draft.ratings.items() if said.likert}
        found = [
            Missing(f"likert.{letter}", f"Answer {letter} has no rating.")
            for letter in letters
            if letter not in rated
        ]
    try:
        ranks = ranks_of(draft, count)
    except ValueError as error:
        return [*found, Missing("order", f"The order line cannot be read: {error}")]
    if left := [letter for letter in letters if letter not in ranks]:
        named = f"{', '.join(left[:-1])} and {left[-1]} are" if len(left) > 1 else f"{left[0]} is"
        found.append(Missing("order", f"{named} not ranked."))
    return found


def against(draft: Draft, count: int, asked: Asked) -> str:
    """In one sentence each, the answers that are ranked below another with a lower rating; empty
    where there are none.
    """
    if asked == Asked.NONE:
        return ""
    ranks = ranks_of(draft, count)
    rated = {letter: said.likert for letter, said in draft.ratings.items() if letter in ranks}
    return " ".join(
        f"{a} is rated {rated[a]} but ranked below {b}, rated {rated[b]}."
        for a, b in permutations(sorted(rated), 2)
        if (rated[a] or 0) > (rated[b] or 0) and ranks[a] > ranks[b]
    )


def ranks_of(draft: Draft, count: int) -> dict[str, int]:
    """The ranks that the order line gives, by letter; of a single card it need not be said.

    Raises:
        ValueError: the line cannot be read.
    """
    line = draft.order if draft.order.strip() or count > 1 else ascii_uppercase[0]
    return read_order(line, count) if line.strip() else {}


def records_of(
    draft: Draft,
    candidates: Candidates,
    shown_order: Sequence[int],
    *,
    labeler: str,
    asked: Asked,
) -> tuple[Ranking, list[Rating]]:
    """The records of a draft that lacks nothing: a ranking of all answers, where those of equal
    text tie, and a rating of each that differs in text or model.
    """
    places = places_of(candidates, shown_order)
    ranks = ranks_of(draft, len(places))
    at = {place: letter for letter, own in places.items() for place in own}
    own = {
        "ranks": tuple(ranks[at[place]] for place in range(len(candidates.responses))),
        "labeler_id": labeler,
        "shown_order": tuple(shown_order),
    }
    ranking = Ranking.model_validate(candidates.model_dump(exclude_none=True) | own)
    ratings: dict[tuple[str, str | None], Rating] = {}
    for place in shown_order if asked != Asked.NONE else ():
        answer, said = candidates.responses[place], draft.ratings[at[place]]
        fields = {key: (candidates.model_extra or {}).get(key) for key in HANDED_ON}
        fields |= {"note": said.note.strip()}
        fields = {key: value for key, value in fields.items() if value}
        fields |= {"prompt_id": candidates.prompt_id, "prompt": candidates.prompt}
        fields |= {"response": answer.text, "model": answer.model, "labeler_id": labeler}
        fields |= {key: key in said.flags for key in FIELDS if asked == Asked.FULL}
        rating = Rating.model_validate({**fields, "likert": said.likert})
        ratings.setdefault((answer.text, answer.model), rating)
    return ranking, list(ratings.values())


def draft_of(
    ranking: Ranking, ratings: Sequence[Rating], shown_order: Sequence[int], seconds: float
) -> Draft:
    """What was submitted, as a draft that can be edited."""
    said = {
        rating.response: Said(
            rating.likert,
            tuple(name for name in FIELDS if getattr(rating, name)),
            str((rating.model_extra or {}).get("note") or ""),
        )
        for rating in ratings
    }
    first = {letter: own[0] for letter, own in places_of(ranking, shown_order).items()}
    texts = {letter: ranking.responses[place].text for letter, place in first.items()}
    return Draft(
        {letter: said[text] for letter, text in texts.items() if text in said},
        order_line({letter: ranking.ranks[place] for letter, place in first.items()}),
        seconds,
    )


def order_line(ranks: Mapping[str, int]) -> str:
    """Ranks as the order line that gives them.

    >>> order_line({"A": 2, "B": 1, "C": 4, "D": 2})
    'B > A = D > C'
    """
    ordered = sorted(ranks, key=lambda letter: (ranks[letter], letter))
    return " > ".join(" = ".join(tied) for _, tied in groupby(ordered, key=ranks.__getitem__))


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{what}: expected names with values, found {type(value).__name__}")
    return value


def _letter(letter: str, count: int) -> str:
    if len(letter) != 1 or letter not in ascii_uppercase[:count]:
        raise UserError(f"there is no answer {letter[:9]}; name A to {ascii_uppercase[count - 1]}")
    return letter


def _likert(value: Any, letter: str) -> int | None:
    if value is None or (type(value) is int and 1 <= value <= 7):
        return value
    raise UserError(f"the rating of answer {letter}: expected 1 to 7")


def _flags(given: Iterable[Any], letter: str) -> tuple[str, ...]:
    given = list(given)
    if unknown := [one for one in given if one not in FIELDS]:
        raise UserError(f"answer {letter}: there is no question {str(unknown[0])[:40]}")
    return tuple(name for name in FIELDS if name in given)


def _note(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST.note:
        raise UserError(f"a note is a text of {LONGEST.note:,} letters at most; shorten it")
    return value


def _order(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST.order:
        raise UserError(f"the order line: expected {LONGEST.order:,} letters at most")
    return value


def _row(value: Any, count: int) -> int:
    if type(value) is int and 1 <= value <= count:
        return value
    raise UserError(f"a rank: expected 1 to {count}")


def _seconds(value: Any) -> float:
    if isinstance(value, int | float) and 0 <= value <= MOST_SECONDS:
        return float(value)
    raise UserError("seconds: expected a number of seconds")

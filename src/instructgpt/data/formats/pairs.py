"""`pairs`: two answers and one or more preferences, in columns that the user names."""

from collections import Counter
from collections.abc import Mapping

from instructgpt.data.formats.columns import own_columns
from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.mapped import (
    Columns,
    check_single,
    check_words,
    column,
    labeler,
    scalar,
    shared_fields,
    text,
)
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Ranking
from instructgpt.errors import UserError
from instructgpt.run.files import shortened

WORDS = ("prompt", "a", "b", "preference", "labeler", "id", "model_a", "model_b")
RANKS = {"a": (1, 2), "b": (2, 1), "tie": (1, 1)}


def check_pairs(map: Columns | None = None, values: Mapping[str, str] | None = None) -> None:
    """Refuse a `--map` or `--values` with which no row can be read.

    Raises:
        UserError: it says too little, or what is not known.
    """
    check_words("pairs", map or {}, WORDS, ("prompt", "a", "b", "preference"))
    check_single(map or {}, ("a", "b", "id", "model_a", "model_b"))
    for value, meaning in (values or {}).items():
        if meaning not in RANKS:
            raise UserError(f"--values {value}={meaning}: a value means a, b or tie")
    people, judgments = (len((map or {}).get(word, ())) for word in ("labeler", "preference"))
    if people not in (0, judgments):
        raise UserError(
            f"--map labeler names {people} columns for {judgments} of preference; give as many"
        )


def from_pairs(row: Row, *, map: Columns, values: Mapping[str, str] | None = None) -> Converted:
    """A ranking of two for each labeler's preference.

    >>> columns = {"prompt": ["q"], "a": ["one"], "b": ["two"], "preference": ["ann", "bob"]}
    >>> row = {"q": "2 + 2", "one": "5", "two": "4", "ann": 2, "bob": ""}
    >>> found = from_pairs(row, map=columns, values={"1": "a", "2": "b"})
    >>> [(record.labeler_id, record.ranks) for record in found.records], dict(found.left_out)
    ([('ann', (2, 1))], {<Reason.NO_JUDGMENT: 'no judgment'>: 1})

    Raises:
        Skip: a column is missing, a value has no meaning, or nobody has judged.
    """
    responses = []
    for side in ("a", "b"):
        answer: Row = {"text": text(row, map[side][0])}
        if model := map.get(f"model_{side}"):
            answer["model"] = text(row, model[0])
        responses.append(answer)
    fields = shared_fields(row, map) | {"responses": responses}
    meanings = list((values or {}).values())
    is_finer = len(set(meanings)) < len(meanings)  # as steps from much better to slightly better
    records, left_out = [], Counter[Reason]()
    for number, name in enumerate(map["preference"]):
        said = column(row, name)
        if said is None or said == "":
            left_out[Reason.NO_JUDGMENT] += 1
            continue
        meaning = (values or {key: key for key in RANKS}).get(scalar(said, name))
        if meaning is None:
            known = ", ".join(values or RANKS)
            raise Skip(
                Reason.WRONG_VALUE,
                f"{name}: {shortened(said)} is none of the values with a meaning ({known})",
            )
        more = own_columns({name: said}, (), Ranking) if is_finer else {}
        whole = {**more, **fields, **labeler(row, map, number), "ranks": RANKS[meaning]}
        records.append(Ranking.model_validate(whole))
    if not records:
        raise Skip(Reason.NO_JUDGMENT, f"{', '.join(map['preference'])}: nobody has judged the row")
    return Converted(list(records), left_out)


PAIRS = Format(
    name="pairs",
    main=Ranking,
    readers={Ranking: from_pairs},
    fits=lambda _: False,
    by_name=True,
    options=("map", "values"),
    check=check_pairs,
    example={"instruction": "Name a color.", "one": "Blue.", "two": "Seven.", "better": 1},
    says="two answers and preferences, in columns that you name",
)

"""`candidates`: several answers that nobody has ranked yet, in columns that the user names."""

from instructgpt.data.formats.fields import MOST_ANSWERS
from instructgpt.data.formats.format import Format, Skip
from instructgpt.data.formats.mapped import Columns, check_single, check_words, shared_fields
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.several import cells_of, responses_of
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Candidates, Record

WORDS = ("prompt", "answers", "text", "model", "id")


def check_candidates(map: Columns | None = None) -> None:
    """Refuse a `--map` with which no row can be read.

    Raises:
        UserError: it says too little, or what is not known.
    """
    check_words("candidates", map or {}, WORDS, ("prompt", "answers"))
    check_single(map or {}, ("text", "id"))


def to_candidates(row: Row, *, map: Columns) -> list[Record]:
    """All answers to a prompt, to be ranked.

    >>> row = {"q": "2 + 2", "said": {"one": "5", "two": "4"}}
    >>> (found,) = to_candidates(row, map={"prompt": ["q"], "answers": ["said"]})
    >>> [(answer.model, answer.text) for answer in found.responses]
    [('one', '5'), ('two', '4')]

    Raises:
        Skip: a column is missing, or there are no answers or too many.
    """
    responses, name = responses_of(row, map, cells_of(row, map)), map["answers"][0]
    if not responses:
        raise Skip(Reason.EMPTY_ANSWER, f"{name}: there is no answer")
    if len(responses) > MOST_ANSWERS:
        raise Skip(
            Reason.MANY_ANSWERS,
            f"{name}: {MOST_ANSWERS} answers can be ranked at most, found {len(responses)}",
        )
    fields = {**shared_fields(row, map, Candidates), "responses": responses}
    return [Candidates.model_validate(fields)]


WAITING = Format(
    name="candidates",
    main=Candidates,
    readers={Candidates: to_candidates},
    fits=lambda _: False,
    by_name=True,
    options=("map",),
    check=check_candidates,
    example={"question": "Name a color.", "answers": {"one": "Blue.", "two": "Seven."}},
    says="several answers to be ranked, in columns that you name",
)

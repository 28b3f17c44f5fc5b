import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.data.formats import ReadResult, read_records, write_records
from instructgpt.data.records import (
    Candidates,
    Demonstration,
    Message,
    Prompt,
    Ranking,
    Rating,
    Record,
    prompt_id,
)
from instructgpt.errors import UserError

STORABLE = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
NOT_BLANK = STORABLE.filter(str.strip)

USER = {"role": "user", "content": "Name a colour."}
BLUE = {"role": "assistant", "content": "Blue."}
SEVEN = {"role": "assistant", "content": "Seven."}
HI = "\n\nHuman: Hi\n\nAssistant:"
ASKED = (Message(role="user", content="Name a colour."),)

RECORDS: list[Record] = [
    Prompt.model_validate({"prompt": "Why?", "source": "labeler", "consent": True, "team": None}),
    Demonstration.model_validate({"prompt": ASKED, "response": " Blue.\n", "weight": 0.5}),
    Candidates.model_validate({"prompt": "Why?", "responses": [{"text": ""}], "queue": ["a"]}),
    Ranking.model_validate(
        {
            "prompt_id": "p1",
            "prompt": "Why?",
            "responses": [
                {"text": "a", "model": "m", "sampling": {"temperature": 1.0, "seed": None}},
                {"text": "b", "length": 1},
            ],
            "ranks": [2, 2],
            "shown_order": [1, 0],
        }
    ),
    Rating.model_validate({"prompt": "Why?", "response": "So.", "likert": 7, "minutes": 3}),
]

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write rows (objects, or lines as they stand) to rows.jsonl."""

    def write_rows(*rows: Any) -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / "rows.jsonl").write_text("\n".join(lines))
        return tmp_path / "rows.jsonl"

    return write_rows


def ranking(prompt: Any, *texts: str, **fields: Any) -> Ranking:
    responses = [{"text": text} for text in texts]
    fields = {"prompt": prompt, "responses": responses, "ranks": [1, 2], **fields}
    return Ranking.model_validate(fields)


def error_of(path: Path, kind: type[Record], **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_records(path, kind, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{path.parent}/", "")


# Native records


@pytest.mark.parametrize("name", ["records.jsonl", "records.jsonl.gz"])
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_native_round_trip_keeps_every_field(tmp_path: Path, record: Record, name: str):
    path = tmp_path / name
    write_records(path, [record, record])
    expected = ReadResult([record, record], "native", [])
    assert read_records(path, type(record)) == expected
    assert read_records(path, type(record), format="native") == expected


def test_native_leaves_out_what_is_absent_and_keeps_a_teams_own_nulls(tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    write_records(path, [Prompt.model_validate({"prompt": "Warum?", "team": None})])
    line = {"id": prompt_id("Warum?"), "prompt": "Warum?", "team": None}
    assert path.read_text() == json.dumps(line) + "\n"


@settings(deadline=None)
@given(prompt=NOT_BLANK, texts=st.lists(STORABLE, min_size=2, max_size=9), extra=STORABLE)
def test_any_text_survives_native(
    tmp_path_factory: pytest.TempPathFactory, prompt: str, texts: list[str], extra: str
):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    record = ranking(prompt, *texts, ranks=range(1, len(texts) + 1), note=extra)
    write_records(path, [record])
    assert read_records(path, Ranking).records == [record]


def test_ids_come_from_the_prompt_alone(write: Write):
    native = {"prompt": "Why?", "response": "So."}
    given_id = {"prompt": "Why?", "response": "So.", "prompt_id": "p7"}
    first, second, third = read_records(write(native, native, given_id), Demonstration).records
    assert first.prompt_id == second.prompt_id == prompt_id("Why?") == "5d8a995a6fa7cf7c"
    assert third.prompt_id == "p7"


# TRL


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "Why?", "topic": "x"}, Prompt.model_validate({"prompt": "Why?", "topic": "x"})),
        ({"prompt": [USER]}, Prompt(prompt=ASKED)),
        (
            {"prompt": "Name a colour.", "completion": " Blue."},
            Demonstration(prompt="Name a colour.", response=" Blue."),
        ),
        (
            {"prompt": [USER], "completion": [BLUE], "topic": 3},
            Demonstration.model_validate({"prompt": ASKED, "response": "Blue.", "topic": 3}),
        ),
        ({"messages": [USER, BLUE]}, Demonstration(prompt=ASKED, response="Blue.")),
        (
            {"messages": [USER, BLUE, USER, SEVEN, USER]},
            Demonstration(
                prompt=(*ASKED, Message(role="assistant", content="Blue."), *ASKED),
                response="Seven.",
            ),
        ),
        (
            {"text": "\n\nHuman: Hi\n\nAssistant: Ho\n\nHuman: Hum\n\nAssistant: Ha "},
            Demonstration(
                prompt="\n\nHuman: Hi\n\nAssistant: Ho\n\nHuman: Hum\n\nAssistant:",
                response=" Ha ",
            ),
        ),
        (
            {"prompt": "Sky:", "chosen": " blue", "rejected": " green", "prompt_id": "p1"},
            ranking("Sky:", " blue", " green", prompt_id="p1"),
        ),
        (
            {"prompt": [USER], "chosen": [BLUE], "rejected": [SEVEN], "margin": 0.5},
            ranking(ASKED, "Blue.", "Seven.", margin=0.5),
        ),
        (
            {"chosen": [USER, BLUE], "rejected": [USER, SEVEN]},
            ranking(ASKED, "Blue.", "Seven."),
        ),
        (
            {"chosen": [USER, BLUE], "rejected": [USER, BLUE]},
            ranking(ASKED, "Blue.", "Blue."),
        ),
    ],
)
def test_trl_rows(write: Write, row: dict, expected: Record):
    result = read_records(write(row), type(expected), format="trl")
    assert result == ReadResult([expected], "trl", [])
    found = read_records(write(row), type(expected))
    assert found.records == [expected]
    assert found.format == ("native" if isinstance(expected, Prompt) else "trl")


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        (
            "\n\nHuman: Hi\n\nAssistant: A",
            "\n\nHuman: Hi\n\nAssistant: B",
            "\n\nHuman: Hi\n\nAssistant:",
        ),
        (
            "\n\nHuman: Hi\n\nAssistant: A b",
            "\n\nHuman: Hi\n\nAssistant: A c",
            "\n\nHuman: Hi\n\nAssistant:",
        ),
        ("The sky is blue.", "The sky is green.", "The sky is"),
        ("The sky is blue.", "The sky is black.", "The sky is"),
        ("The sky is  \n blue.", "The sky is  \n grey.", "The sky is"),
        ("The sky is", "The sky is not", "The sky"),
        (" The sky", " The sea", " The"),
        ("空は\u3000青い", "空は\u3000赤い", "空は"),
        ("Equal texts", "Equal texts", "Equal"),
    ],
)
def test_implicit_prompts_end_at_a_turn_marker_or_before_whitespace(
    write: Write, chosen: str, rejected: str, prompt: str
):
    (record,) = read_records(write({"chosen": chosen, "rejected": rejected}), Ranking).records
    assert record.prompt == prompt
    assert [prompt + response.text for response in record.responses] == [chosen, rejected]


# Prompts of other records


def test_prompts_are_taken_from_any_record_once(write: Write):
    why, how = Prompt(prompt="Why?"), Prompt(prompt="How?")
    for rows in (
        [{"prompt": p, "response": "x"} for p in ("Why?", "How?", "Why?")],
        [{"prompt": p, "response": "x", "likert": 1} for p in ("Why?", "How?", "Why?")],
        [{"prompt": p, "responses": [{"text": "x"}]} for p in ("Why?", "How?", "Why?")],
        [{"prompt": p, "completion": "x"} for p in ("Why?", "How?", "Why?")],
        [{"prompt": p, "chosen": "x", "rejected": "y"} for p in ("Why?", "How?", "Why?")],
        [{"chosen": f"{p} x", "rejected": f"{p} y"} for p in ("Why?", "How?", "Why?")],
    ):
        assert read_records(write(*rows), Prompt).records == [why, how]
    named = {**ranking("Why?", "a", "b", prompt_id="p1").model_dump(), "own": 1}
    assert read_records(write(named), Prompt).records == [Prompt(id="p1", prompt="Why?")]


def test_prompt_records_stay_even_when_two_are_equal(write: Write):
    rows = [{"prompt": "Why?", "user_id": "u1"}, {"prompt": "Why?", "user_id": "u2"}]
    assert read_records(write(*rows), Prompt).records == [Prompt.model_validate(r) for r in rows]


# Errors


@pytest.mark.parametrize(
    ("kind", "row", "reason"),
    [
        (Ranking, {"prompt": "p", "responses": [{"text": "a"}], "ranks": [1]},
         "a ranking needs at least 2 responses, this one has 1"),
        (Ranking, {"prompt": "p", "responses": [{"text": "a"}, {"model": "m"}], "ranks": [1, 2]},
         "responses.1.text: Field required"),
        (Ranking, {"prompt": "p", "responses": [{"text": "a"}], "ranks": ["best"]},
         "ranks.0: Input should be a valid integer, unable to parse string as an integer"),
        (Ranking, {"prompt": " ", "responses": [{"text": "a"}] * 2, "ranks": [1, 2]},
         "prompt: the prompt is empty"),
        (Ranking, {"prompt": [{"role": "human", "content": "p"}],
                   "responses": [{"text": "a"}] * 2, "ranks": [1, 2]},
         "prompt.0.role: Input should be 'system', 'user' or 'assistant'"),
        (Ranking, {"prompt": 5, "responses": [{"text": "a"}] * 2, "ranks": [1, 2]},
         "prompt: Input should be a valid string"),
        (Ranking, {"prompt": "p", "responses": [{"text": "a\0"}] * 2, "ranks": [1, 2]},
         "text holds a NUL character (U+0000)"),
        (Ranking, {"chosen": "no beginning", "rejected": "is shared"},
         "chosen and rejected share no beginning; give the prompt in a field of its own"),
        (Ranking, {"chosen": [USER], "rejected": [BLUE]},
         "chosen and rejected share no beginning; give the prompt in a field of its own"),
        (Ranking, {"chosen": [USER, BLUE], "rejected": "text"},
         "chosen and rejected must both be texts or both be messages"),
        (Ranking, {"prompt": [USER], "chosen": [USER, BLUE], "rejected": [BLUE]},
         "chosen: expected one assistant turn after the prompt, found ['user', 'assistant']"),
        (Ranking, {"prompt": [USER], "chosen": [BLUE], "rejected": [USER]},
         "rejected: expected one assistant turn after the prompt, found ['user']"),
        (Ranking, {"chosen": "a b", "rejected": None}, "rejected: Input should be a valid string"),
        (Demonstration, {"prompt": [USER], "completion": [{"role": "assistant"}]},
         "completion.0.content: Field required"),
        (Demonstration, {"messages": [USER]}, "messages: no assistant turn to learn from"),
        (Demonstration, {"messages": [BLUE]}, "prompt: the prompt is empty"),
        (Demonstration, {"text": "prose"},
         r"text: no '\n\nAssistant:' tells the prompt from the answer; give prompt and completion"),
        (Rating, {"prompt": "p", "response": "r", "likert": 8},
         "likert: Input should be less than or equal to 7"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_by_number_field_and_reason(
    write: Write, kind: type[Record], row: dict, reason: str
):
    assert error_of(write("", "", row), kind) == (
        f"rows.jsonl line 3: {reason}; mend or remove the line, or pass --on_error skip"
    )


def test_skip_counts_lines_and_forgives_only_lines(write: Write, tmp_path: Path):
    path = write("[1]", {"prompt": "Why?"}, '{"prompt"', {"prompt": ""}, {"prompt": "How?"})
    result = read_records(path, Prompt, on_error="skip")
    assert [record.prompt for record in result.records] == ["Why?", "How?"]
    assert [message.split(": ")[0] for message in result.skipped] == [
        f"{path} line {n}" for n in (1, 3, 4)
    ]
    assert error_of(write("[1]", "[2]"), Prompt, on_error="skip") == (
        "rows.jsonl line 1: expected a JSON object, found list; "
        "no other line can be read either, so check the format"
    )
    missing = error_of(tmp_path / "none.jsonl", Prompt, on_error="skip")
    assert missing == "none.jsonl does not exist; check the path"
    assert "rows.jsonl is empty: " in error_of(write(""), Prompt, on_error="skip")


def test_unknown_keys_are_answered_with_the_known_ones(write: Write):
    assert error_of(write({"instruction": "x", "output": "y"}), Demonstration).startswith(
        "rows.jsonl line 1: found the keys instruction, output, but --kind demonstration needs "
        "prompt, response (native) or prompt, completion (trl) or messages (trl) or text (trl); "
    )
    assert "found the keys none, but --kind prompt needs " in error_of(write({}), Prompt)


def test_a_ranking_is_no_demonstration(write: Write):
    pair = {"prompt": "p", "chosen": "a", "rejected": "b"}
    native = {"prompt": "p", "responses": [{"text": "a"}, {"text": "b"}], "ranks": [1, 2]}
    for row in (pair, native):
        assert "but --kind demonstration needs" in error_of(write(row), Demonstration)


def test_a_named_format_is_the_only_one_tried(write: Write):
    pair = {"prompt": "p", "chosen": "a", "rejected": "b"}
    assert "needs prompt, responses, ranks (native);" in error_of(
        write(pair), Ranking, format="native"
    )
    assert error_of(write(pair), Ranking, format="csv") == (
        "no format 'csv' holds --kind ranking; use one of: native, trl"
    )
    assert error_of(write(pair), Rating, format="trl") == (
        "no format 'trl' holds --kind rating; use one of: native"
    )


def test_the_first_line_decides_the_format(write: Write):
    native = {"prompt": "p", "responses": [{"text": "a"}, {"text": "b"}], "ranks": [1, 2]}
    path = write(native, {"prompt": "p", "chosen": "a", "rejected": "b"})
    assert "rows.jsonl line 2: found the keys prompt, chosen, rejected" in error_of(path, Ranking)


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path):
    path = tmp_path / "out.jsonl"
    with pytest.raises(UserError, match="line 1: response holds a NUL character"):
        write_records(path, [Demonstration(prompt="p", response="\0")])
    assert not path.exists()


# The documentation

DOCS = (Path(__file__).parents[2] / "docs" / "data-formats.md").read_text(encoding="utf-8")
KINDS = {
    kind.__name__.lower(): kind for kind in (Prompt, Demonstration, Candidates, Ranking, Rating)
}


@pytest.mark.parametrize(
    ("name", "line", "kind"), re.findall(r"^\| `(\w+)` \| `(\{.*\})` \| (\w+) \|$", DOCS, re.M)
)
def test_each_documented_line_is_read_as_documented(write: Write, name: str, line: str, kind: str):
    result = read_records(write(line), KINDS[kind], format=name)
    assert [type(record) for record in result.records] == [KINDS[kind]]


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_each_field_of_a_record_is_documented(name: str, kind: type[Record]):
    section = DOCS.partition("\n## Records\n")[2].partition("\n## ")[0]
    (row,) = re.findall(rf"^\| `{name}` \|(.*)$", section, re.M)
    if kind is Rating:
        row += DOCS.partition("Table 3")[2].partition("\n- ")[0]
    assert set(re.findall(r"`(\w+)`", row)) == set(kind.model_fields)


# Real data


@pytest.mark.real
def test_hh_rlhf_pairs_have_implicit_prompts(public_data: Path):
    path = public_data / "comparisons" / "hh_rlhf_harmless_base_test.jsonl.gz"
    result = read_records(path, Ranking)
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        rows = [json.loads(line) for line in file]
    assert result.format == "trl"
    assert not result.skipped
    assert len(result.records) == len(rows) == 1842
    for record, row in zip(result.records, rows, strict=True):
        assert isinstance(record.prompt, str)
        texts = [record.prompt + response.text for response in record.responses]
        whole = texts == [row["chosen"], row["rejected"]]  # compared apart: pytest prints operands
        assert whole
        assert record.prompt.endswith("\n\nAssistant:")

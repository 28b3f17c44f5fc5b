"""A file's format is the one that its first rows fit; what is in doubt is refused."""

from pathlib import Path

import pytest

from instructgpt.data.formats.format import Format
from instructgpt.data.formats.registry import FORMATS
from instructgpt.data.importing.find import found_format, named_format
from instructgpt.data.records import Demonstration, Prompt, Ranking, Rating
from instructgpt.errors import UserError

FILE = Path("f.jsonl")
HH = {"chosen": "\n\nHuman: Hi\n\nAssistant: Ho", "rejected": "\n\nHuman: Hi\n\nAssistant: Hum"}
PAIR = {"prompt": "Hi", "chosen": "Ho", "rejected": "Hum"}


def refusal(*args, **options) -> str:
    with pytest.raises(UserError) as caught:
        found_format(FILE, *args, **options)
    return str(caught.value)


@pytest.mark.parametrize("name", [one.name for one in FORMATS.values() if not one.by_name])
def test_the_example_of_each_format_is_found_to_be_of_it(name: str):
    example = FORMATS[name].example
    assert found_format(FILE, [example]).name == name
    assert FORMATS[name].fits(example)


@pytest.mark.parametrize("one", FORMATS.values(), ids=lambda one: one.name)
def test_names_that_formats_give_are_formats(one: Format):
    assert set(one.rather_than) <= FORMATS.keys()
    assert one.main in one.readers


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"prompt": "Why?"}, "native"),
        ({"prompt": "Why?", "team": 3}, "native"),
        ({"prompt": "Why?", "response": "So."}, "native"),
        ({"prompt": "Why?", "completion": "So."}, "trl"),
        ({"prompt": "Why?", "completion": "So.", "label": False}, "trl"),
        ({"chosen": "a b", "rejected": "a c"}, "trl"),
        ({"text": "\n\nHuman: Hi\n\nAssistant: Ho"}, "trl"),
        (HH, "hh"),
    ],
)
def test_our_own_and_trls_rows(row: dict, name: str):
    assert found_format(FILE, [row]).name == name


def test_most_of_the_rows_decide_not_the_first():
    assert found_format(FILE, [{"prompt": "Why?", "response": "So."}, PAIR, PAIR]).name == "trl"


def test_the_narrower_of_two_is_meant_while_most_rows_fit_it():
    assert found_format(FILE, [HH] * 30 + [{"chosen": "a b", "rejected": "a c"}] * 20).name == "hh"
    assert found_format(FILE, [HH] + [{"chosen": "a b", "rejected": "a c"}] * 20).name == "trl"


def test_two_that_fit_equally_are_refused_with_what_was_seen():
    native = {"prompt": "Why?", "response": "So."}
    assert refusal([native, {"prompt": "Why?", "chosen": "a", "rejected": "b"}]) == (
        "f.jsonl: the first 2 rows (with the keys prompt, response, chosen, rejected) fit native "
        "and trl equally; say which: --format native"
    )


def test_none_is_refused_with_what_was_seen_and_the_nearest():
    said = refusal([{"instruction": "x", "input": "y", "output_2": "z"}])
    assert said.startswith(
        "f.jsonl: the first row (with the keys instruction, input, output_2) fit no format; "
        "nearest: alpaca (instruction, input, output), "
    )
    assert said.endswith("--format pairs, ranked or demonstrations, with --map")
    judged = refusal([{"prompt": "p", "response 1": "a", "response 2": "b", "label": 1}])
    assert "fit no format; nearest: " in judged


def test_the_kind_that_is_asked_for_counts():
    said = refusal([HH], kind=Rating)
    assert "fit no format that holds rating records" in said
    assert found_format(FILE, [HH], Prompt).name == "hh"
    assert found_format(FILE, [HH], Ranking).name == "hh"


def test_of_two_formats_that_hold_several_kinds_the_rows_of_the_kind_decide():
    rows = [{"prompt": "p", "completion": "c"}, {"prompt": "q"}]
    assert found_format(FILE, rows, Demonstration).name == "trl"
    assert found_format(FILE, rows[1:] * 2 + rows, Prompt).name == "native"
    assert "fit native and trl equally" in refusal(rows)


def test_a_format_is_named_or_nearly():
    assert named_format("trl").name == "trl"
    with pytest.raises(UserError, match=r"no format 'oast'; use auto or one of: native, .*'oasst'"):
        named_format("oast")

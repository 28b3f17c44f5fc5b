"""Whatever stands in a field, a reader gives records or says why not, and quickly."""

import copy
import json
import time
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from feedback_rows import OPTIONS, rows_of
from fuzz_readers import fuzz, places, spoiled, try_batch
from instructgpt.data.formats.format import Format
from instructgpt.data.formats.registry import FORMATS
from instructgpt.data.records import Record

TARGETS = [
    pytest.param(one, kind, id=f"{one.name}-{kind.__name__.lower()}")
    for one in FORMATS.values()
    for kind in one.readers
]
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text("a1-.\u2028\ufeff\r\n \u202e"),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text("ab", max_size=2), part, max_size=3)
    ),
    max_leaves=8,
)


def read(one: Format, kind: type[Record], row: Any) -> None:
    """A row through a reader, as the importer does it; only a ValueError may come of it."""
    options = OPTIONS.get(one.name, {})
    try:
        one.fits(row)
        grouped = one.group is not None and one.group(row) is not None
        found = one.convert(kind, [row, row] if grouped else row, **options)
    except ValueError:
        return
    assert found.records
    for record in found.records:
        fields = json.loads(json.dumps(record.model_dump(mode="json", exclude_defaults=True)))
        type(record).model_validate(fields)


@pytest.mark.parametrize(("one", "kind"), TARGETS)
@settings(deadline=None, max_examples=15, phases=(Phase.reuse, Phase.generate))
@given(value=ANY, seed=st.integers(0, 10**6))
def test_any_value_in_any_field(one: Format, kind: type[Record], value: Any, seed: int):
    row = copy.deepcopy(Random(seed).choice(rows_of(one.name)))
    holder, key = Random(seed + 1).choice(places(row))
    holder[key] = value
    read(one, kind, row)


@pytest.mark.parametrize(("one", "kind"), TARGETS)
def test_a_text_of_a_megabyte_and_a_deep_list_in_each_field(one: Format, kind: type[Record]):
    deep: Any = "x"
    for _ in range(90):
        deep = [deep]
    for whole in rows_of(one.name):
        for place in range(len(places(whole))):
            for value in ("y " * 2**19, deep):
                row = copy.deepcopy(whole)
                holder, key = places(row)[place]
                holder[key] = value
                started = time.process_time()
                read(one, kind, row)
                assert time.process_time() - started < 1


@pytest.mark.parametrize(("one", "kind"), TARGETS)
def test_spoiled_lines_are_each_counted_once(one: Format, kind: type[Record]):
    rng = Random(7)
    account, _ = try_batch(one, kind, [spoiled(row, rng) for row in rows_of(one.name) * 15], rng)
    assert account.rows == account.kept + account.skipped.total() == 15 * len(rows_of(one.name))
    assert account.kept


def test_the_benchmark_finds_nothing_in_a_few_rows():
    result = fuzz(1000, seed=3)
    assert (result["rows"], result["found"], result["slow"]) == (1000, [], 0)

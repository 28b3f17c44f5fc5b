"""Every format of the list: its example is its own, and is read."""

import json

import pytest

from instructgpt.data.formats.format import Format
from instructgpt.data.formats.registry import FORMATS

FOUND = [one for one in FORMATS.values() if not one.by_name]


@pytest.mark.parametrize("one", FOUND, ids=lambda one: one.name)
def test_an_example_fits_its_format_alone_or_one_that_is_wider(one: Format):
    fitting = {other.name for other in FOUND if other.fits(one.example)}
    assert one.name in fitting
    wider = {name for name in fitting if name in one.rather_than}
    assert fitting - wider == {one.name}


@pytest.mark.parametrize("one", FOUND, ids=lambda one: one.name)
def test_an_example_is_read_as_the_main_kind_and_can_be_written_down(one: Format):
    row = json.loads(json.dumps(one.example))
    key = one.group(row) if one.group else None
    rows = row if key is None else [row, {**row, "response": "The Alps.", "helpfulness": 0}]
    records = one.convert(one.main, rows).records
    assert {type(record) for record in records} == {one.main}
    if one.kind_of:
        assert one.kind_of(row) is one.main


@pytest.mark.parametrize("one", FORMATS.values(), ids=lambda one: one.name)
def test_names_are_those_that_flags_take(one: Format):
    assert one.name == one.name.lower()
    assert " " not in one.name
    assert one.main in one.readers
    assert set(one.rather_than) <= FORMATS.keys()
    assert len(one.says) < 80

"""The table of formats in the documentation is the registry's."""

import re
from pathlib import Path

from instructgpt.data.exporting.registry import WRITERS
from instructgpt.data.exporting.table import formats_table
from instructgpt.data.formats.reasons import MEANINGS, Reason
from instructgpt.data.formats.registry import FORMATS

DOCS = (Path(__file__).parents[3] / "docs" / "data-formats.md").read_text(encoding="utf-8")


def test_the_table_in_the_docs_is_the_registrys():
    """To write it anew: `instructgpt data formats`."""
    (shown,) = re.findall(r"<!-- formats -->\n(.*?)<!-- /formats -->", DOCS, re.DOTALL)
    assert shown.strip() == formats_table().strip()


def test_every_format_stands_in_it_once():
    names = re.findall(r"^\| `([\w-]+)` \|", formats_table(), re.MULTILINE)
    assert sorted(names) == sorted({*FORMATS, *WRITERS})


def test_every_writer_is_described():
    section = DOCS.partition("\n## Export\n")[2].partition("\n### ")[0]
    assert set(re.findall(r"^\| `(\w[\w-]*)` \|", section, re.MULTILINE)) == set(WRITERS)


def test_every_reason_stands_in_the_docs_with_its_meaning():
    section = DOCS.partition("\n## Reasons\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.*?) \|", section, re.MULTILINE))
    assert rows == {str(reason): MEANINGS[reason] for reason in Reason}

"""The table of formats, as `data formats` prints it and the documentation shows it."""

import json

from instructgpt.data.exporting.registry import WRITERS
from instructgpt.data.formats.format import Format
from instructgpt.data.formats.registry import FORMATS

HEADER = ("format", "what it is", "kinds", "read", "written", "a row")


def formats_table() -> str:
    """All formats as a table in Markdown, a line each; the main kind of a format stands first."""
    rows = [HEADER, *map(_cells, FORMATS.values()), *map(_written_alone, _only_written())]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(HEADER) + "|", *lines[1:]]) + "\n"


def _cells(one: Format) -> tuple[str, ...]:
    others = [kind for kind in one.readers if kind is not one.main]
    kinds = ", ".join(kind.__name__.lower() for kind in (one.main, *others))
    example = json.dumps(one.example, ensure_ascii=False).replace("|", "\\|")
    read = "by name" if one.by_name else "yes"
    written = "yes" if one.name in WRITERS else "no"
    return f"`{one.name}`", one.says, kinds, read, written, f"`{example}`"


def _only_written() -> list[str]:
    return [name for name in WRITERS if name not in FORMATS]


def _written_alone(name: str) -> tuple[str, ...]:
    kinds = ", ".join(kind.__name__.lower() for kind in WRITERS[name].write)
    return f"`{name}`", WRITERS[name].says, kinds, "as a form", "yes", ""

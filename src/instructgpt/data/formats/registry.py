"""All formats that are read, the more telling first."""

from instructgpt.data.formats.format import Format

_ALL: tuple[Format, ...] = ()

FORMATS: dict[str, Format] = {one.name: one for one in _ALL}
"""By name. A new format is a file in this folder and a line here."""

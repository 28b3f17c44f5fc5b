"""All formats that are read, the more telling first."""

from instructgpt.data.formats.format import Format
from instructgpt.data.formats.native import NATIVE, TRL

_ALL: tuple[Format, ...] = (
    NATIVE,
    TRL,
)

FORMATS: dict[str, Format] = {one.name: one for one in _ALL}
"""By name. A new format is a file in this folder and a line here."""

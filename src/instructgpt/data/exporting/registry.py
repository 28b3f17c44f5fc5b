"""All formats that are written."""

from instructgpt.data.exporting.argilla import ARGILLA
from instructgpt.data.exporting.label_studio import LABEL_STUDIO
from instructgpt.data.exporting.openai import OPENAI
from instructgpt.data.exporting.parquet import PARQUET
from instructgpt.data.exporting.trl import TRL
from instructgpt.data.exporting.writer import Writer, Written, dumped
from instructgpt.data.records import KINDS, Record


def _native(record: Record) -> Written:
    return Written([dumped(record)])


WRITERS: dict[str, Writer] = {
    one.name: one
    for one in (
        Writer("native", "our own records", dict.fromkeys(KINDS.values(), _native)),
        TRL,
        OPENAI,
        ARGILLA,
        LABEL_STUDIO,
        PARQUET,
    )
}
"""By name. A new one is a file in this folder and a line here."""

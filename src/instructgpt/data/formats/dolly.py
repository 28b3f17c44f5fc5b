"""Databricks' Dolly: an instruction, its context and a person's answer."""

from instructgpt.data.formats.fields import demonstration, joined, others, text
from instructgpt.data.formats.format import Format
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Record

_USED = ("instruction", "context", "response")


def to_demonstration(row: Row) -> list[Record]:
    """A demonstration; the context follows the instruction after a blank line.

    Raises:
        ValueError: a field is bad.
    """
    prompt = joined(text(row, "instruction"), row.get("context"), "context")
    return [demonstration(prompt, text(row, "response"), others(row, _USED, Demonstration))]


def fits(row: Row) -> bool:
    """Whether the row has an instruction and a response."""
    return all(isinstance(row.get(key), str) for key in ("instruction", "response"))


FORMAT = Format(
    name="dolly",
    main=Demonstration,
    readers={Demonstration: to_demonstration},
    fits=fits,
    example={
        "instruction": "Name the longest river here.",
        "context": "The Ems is 371 km long, the Oste 153 km.",
        "response": "The Ems.",
        "category": "closed_qa",
    },
    says="Databricks' Dolly",
)

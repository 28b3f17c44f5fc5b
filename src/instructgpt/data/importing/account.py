"""What became of the rows of one file: each is counted once, as kept or under a reason."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.reasons import Reason

SHOWN = 5
"""Sentences kept for each reason; the count knows of all."""


@dataclass
class Account:
    """The rows of a file: `rows == kept + sum(skipped.values())`, always.

    Attributes:
        file: the file.
        format: in which format it was read.
        kept: rows that ended in a record.
        skipped: rows that ended in none, by reason.
        left_out: parts of kept rows that are in no record, by reason.
        records: records written, by the name of their kind.
        sentences: the first few for each reason, with file, line and field.
    """

    file: str
    format: str = ""
    kept: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    left_out: Counter[Reason] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    sentences: dict[Reason, list[str]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All rows of the file."""
        return self.kept + self.skipped.total()

    def skip(self, place: str, why: Skip) -> None:
        """Count a row that ends in no record."""
        self.skipped[why.reason] += 1
        sentences = self.sentences.setdefault(why.reason, [])
        if len(sentences) < SHOWN:
            sentences.append(f"{place}: {why} ({why.reason})")

    def said(self) -> list[str]:
        """The sentences on what was skipped, and a line that counts."""
        lines = [line for some in self.sentences.values() for line in some]
        if self.skipped.total() > len(lines):
            lines.append(f"{self.file}: {reasons_told(self.skipped)} in all")
        return lines

    def as_json(self) -> dict[str, Any]:
        """The account as an import prints it."""
        found = {
            "file": self.file,
            "format": self.format,
            "rows": self.rows,
            "kept": self.kept,
            "skipped": counts(self.skipped),
            "records": counts(self.records),
        }
        return found | ({"left_out": counts(self.left_out)} if self.left_out else {})


def counts(counter: Counter[str] | Counter[Reason]) -> dict[str, int]:
    """A counter as JSON has it, the largest first."""
    return {str(key): count for key, count in counter.most_common() if count}


def reasons_told(counter: Counter[Reason]) -> str:
    """Reasons with their counts, for a sentence."""
    return ", ".join(f"{count:,} {reason}" for reason, count in counter.most_common())


def together(accounts: list[Account], name: str) -> Account:
    """The sum of several files' accounts."""
    formats = ", ".join(dict.fromkeys(account.format for account in accounts))
    whole = Account(name, formats)
    for account in accounts:
        whole.kept += account.kept
        whole.skipped += account.skipped
        whole.left_out += account.left_out
        whole.records += account.records
    return whole

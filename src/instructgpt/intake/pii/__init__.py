"""Personal data in prompts, by rules: libraries where they exist, patterns of our own elsewhere.

The time is linear in the text, whatever the text is. What is not found stands in `docs/pii.md`.
"""

import re

from instructgpt.errors import UserError
from instructgpt.intake.pii.internet import addresses, emails, logins
from instructgpt.intake.pii.numbers import accounts, cards, ids
from instructgpt.intake.pii.people import names
from instructgpt.intake.pii.secret import keys
from instructgpt.intake.pii.spans import Detector, Span, mask, mask_all, merged
from instructgpt.intake.pii.telephone import phones

__all__ = ["TYPES", "Detector", "Rules", "Span", "find", "mask", "mask_all", "merged"]

TYPES = ("EMAIL", "PHONE", "CARD", "IBAN", "NATIONAL_ID", "IP", "KEY", "LOGIN", "NAME")
"""What the rules find. An analyzer from elsewhere may have others."""

SIX_DIGITS = re.compile(r"\d(?:\D{0,4}\d){5}")


class Rules:
    """The detector of this package.

    Raises:
        UserError: phonenumbers or python-stdnum is not installed.
    """

    version = "rules-1"

    def __init__(self) -> None:
        try:
            import phonenumbers  # noqa: F401
            import stdnum  # noqa: F401
        except ImportError as missing:
            raise UserError(
                f"finding personal data needs {missing.name}, which is missing; run "
                f"python -m pip install 'instructgpt[intake]'"
            ) from None

    def find(self, text: str) -> list[Span]:
        """The personal data of a text, in order, none overlapping."""
        found = [*keys(text), *names(text)]
        if "@" in text:
            hidden = list(logins(text))
            # `password@host` of a login is no address.
            mails = (m for m in emails(text) if not any(m.start < h.end <= m.end for h in hidden))
            found += (*hidden, *mails)
        found += addresses(text)
        if SIX_DIGITS.search(text):
            found += (*cards(text), *accounts(text), *ids(text), *phones(text))
        return merged(found, text)


def find(text: str) -> list[Span]:
    """The personal data of a text, by `Rules`.

    >>> find("Write to ann@mail.org, please.")
    [Span(start=9, end=21, type='EMAIL', score=0.95)]
    """
    return Rules().find(text)

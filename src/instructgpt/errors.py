"""The one exception that means "the user can mend this", and what a terminal may be shown."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_OBEYED = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f"  # colors, cursor movements, the window's title
    "\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069"  # new lines, and directions of writing
    "\ud800-\udfff]"  # bytes that are no UTF-8: nothing can print them
)


class UserError(ValueError):
    """A mistake that the user can mend; the message names the place and the remedy.

    The command line prints the message alone and exits with 2; from Python it is a `ValueError`.
    Whatever stands in names, keys and texts, the message is one line that a terminal only shows.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(str(message)))


def one_line(text: str) -> str:
    r"""A text as one line that a terminal only shows.

    >>> one_line("a\n b\rc")
    'a b\\u000dc'
    """
    lines = (line.strip() for line in text.split("\n"))
    return harmless(" ".join(filter(None, lines)))


def harmless(text: str) -> str:
    r"""A text in which all that a terminal would obey is written out; lines and tabs stay.

    >>> harmless("a\x1b[31mred\u202e")
    'a\\u001b[31mred\\u202e'
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def require_a(kind: type[T], value: object, what: str) -> T:
    """The value, if it is of this kind.

    Args:
        kind: the class that it must be of.
        value: what a caller gave.
        what: what it was given as; the sentence begins with it.

    Raises:
        UserError: it is of another.
    """
    if isinstance(value, kind):
        return value
    raise UserError(f"{what}: expected {kind.__name__}, found {type(value).__name__}")


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Say of which key, model or record it is that a complaint speaks."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}" if place else str(error)) from None

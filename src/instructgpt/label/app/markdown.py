"""What models and people wrote, as HTML that can do nothing: no tag, link or picture of theirs, and
no sign that a page would obey.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

LONGEST = 50_000
"""Characters up to which a text is read as Markdown; a longer one is shown as it was written."""
BEGINNING = 5_000
"""Characters of a longer one that are shown at once."""
MOST_MARKS = 8
"""Combining marks that may stand on one letter; no script needs as many."""
_OBEYED = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f"  # what a terminal would obey
    "\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c"  # directions of writing
    "\u2028\u2029\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f"  # new lines, and nothing at all
    "\ud800-\udfff]"  # halves of letters, which are no UTF-8
)
_AS_TEXT = ["link", "image", "autolink", "reference", "html_block", "html_inline"]


def as_markdown(text: str) -> Markup:
    r"""A text that may hold Markdown, as HTML; links and pictures stay as they were written.

    >>> as_markdown("**yes**, [this](javascript:1) <b>")
    Markup('<p><strong>yes</strong>, [this](javascript:1) &lt;b&gt;</p>\n')
    """
    if len(text) > LONGEST:
        return as_written(text)
    # What Markdown makes of entities (&#x202e;) is looked at last: none of it is in an attribute.
    return Markup(_visible(_parser().render(_few_marks(text))))


def as_written(text: str) -> Markup:
    """A text letter by letter, where white space is kept. What is so long that a browser would be
    busy for seconds with where its letters stand is opened when it is asked for.

    >>> as_written("<b>")
    Markup('<div class="written">&lt;b&gt;</div>')
    """
    if len(text) <= LONGEST:
        return _written(text)
    rest = Markup('<details class="rest"><summary>{:,} more letters</summary>{}</details>')
    return _written(text[:BEGINNING]) + rest.format(
        len(text) - BEGINNING, _written(text[BEGINNING:])
    )


def _written(text: str) -> Markup:
    return Markup('<div class="written">{}</div>').format(plain(text))


def plain(text: str) -> Markup:
    r"""A text as HTML, with its signs that a page would obey made visible.

    >>> plain("a\u202eb")
    Markup('a<span class="sign">U+202E</span>b')
    """
    lines = text.replace("\r\n", "\n")
    return Markup(_visible(str(escape(_few_marks(lines)))))


def excerpt(text: str, length: int) -> str:
    """The beginning of a text in one line, with nothing that a page would obey.

    >>> excerpt("Red and  blue", 9)
    'Red and …'
    """
    line = " ".join(_few_marks(text[: 8 * length]).split())
    line = _OBEYED.sub(lambda sign: f"[U+{ord(sign[0]):04X}]", line)
    return line if len(line) <= length and len(text) <= 8 * length else line[: length - 1] + "…"


def _visible(html: str) -> str:
    return _OBEYED.sub(lambda sign: f'<span class="sign">U+{ord(sign[0]):04X}</span>', html)


def _few_marks(text: str) -> str:
    """A text where no letter carries so many marks that they cover its neighbors."""
    if text.isascii():
        return text
    return _many_marks().sub(
        lambda run: f"{run[0][:MOST_MARKS]} [… {len(run[0]) - MOST_MARKS:,} more marks]", text
    )


@cache
def _many_marks() -> re.Pattern[str]:
    """More combining marks in a row than a letter may carry."""
    points = range(0x300, 0xE0000)  # beyond are variants of signs, no marks
    marks = "".join(chr(one) for one in points if unicodedata.category(chr(one)) in ("Mn", "Me"))
    return re.compile(f"[{marks}]{{{MOST_MARKS + 1},}}")


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True})
    parser.enable(["table", "strikethrough"]).disable(_AS_TEXT)
    headings: Any = dict.fromkeys(["heading_open", "heading_close"], _heading)
    cells: Any = dict.fromkeys(["th_open", "td_open"], _without_attributes)
    own: Any = parser.renderer
    own.rules |= {"fence": _fence, **headings, **cells}
    return parser


def _without_attributes(tokens: Sequence[Token], index: int, *_: Any) -> str:
    """A cell of a table; the style that it would have is what the page forbids."""
    return f"<{tokens[index].tag}>"


def _heading(tokens: Sequence[Token], index: int, *_: Any) -> str:
    """A paragraph that looks like a heading: the page's own outline stays its own."""
    token = tokens[index]
    return f'<p class="{token.tag}">' if token.nesting == 1 else "</p>\n"


def _fence(tokens: Sequence[Token], index: int, *_: Any) -> str:
    """Code, and in what language its writer says it is."""
    token = tokens[index]
    said = f'<span class="language">{escape(token.info.strip())}</span>' if token.info else ""
    return f"<pre>{said}<code>{escape(token.content)}</code></pre>\n"

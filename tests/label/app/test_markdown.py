import re
import time
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.label.app.markdown import LONGEST, as_markdown, as_written, excerpt, plain

TAGS = set(
    "p strong em code pre br ul ol li blockquote s hr table thead tbody tr th td span div"
    " details summary".split()
)


class Tags(HTMLParser):
    """All tags with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list]] = []
        self.text = ""
        self.feed(str(html))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_markdown_and_code_are_shown_as_meant():
    html = as_markdown(
        "# Title\n\n**b** *e* `x<y`\n\n- one\n- two\n\n```python\nif a < b:\n    c\n```\n"
    )
    assert '<p class="h1">Title</p>' in html
    assert "<strong>b</strong> <em>e</em> <code>x&lt;y</code>" in html
    assert "<li>one</li>" in html
    code = '<pre><span class="language">python</span><code>if a &lt; b:\n    c\n</code></pre>'
    assert code in html


def test_lines_stay_lines_and_tables_have_no_style():
    assert as_markdown("a\nb") == "<p>a<br />\nb</p>\n"
    html = as_markdown("|a|b|\n|:-|-:|\n|1|2|\n")
    assert "<td>1</td>" in html
    assert "style" not in html


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[click](javascript:alert(1))",
        "![pixel](http://evil.example/p.png)",
        "<http://evil.example>",
        "[a]\n\n[a]: http://evil.example",
        "http://evil.example",
        '```"><script>alert(1)</script>\nx\n```',
        "</div></article><form action=http://evil.example>",
        "<style>*{display:none}</style>",
    ],
)
def test_nothing_of_theirs_is_a_tag_a_link_or_a_picture(hostile: str):
    for html in (as_markdown(hostile), as_written(hostile), plain(hostile)):
        found = Tags(html)
        assert {tag for tag, _ in found.tags} <= TAGS
        assert {name for _, attrs in found.tags for name, _ in attrs} <= {"class", "start"}
        written = re.sub(r"[\s`]", "", hostile)
        assert written in re.sub(r"\s", "", found.text)  # and every letter is there to be read


@pytest.mark.parametrize("sign", ["\u202e", "\u2066", "\x1b", "\x00", "\x9b", "\ud800", "\u200b"])
def test_signs_that_a_page_would_obey_are_made_visible(sign: str):
    shown = f'<span class="sign">U+{ord(sign):04X}</span>'
    assert plain(f"a{sign}b") == f"a{shown}b"
    assert shown in as_written(f"a{sign}b")
    html = as_markdown(f"a{sign}b `c{sign}`")
    assert sign not in html
    html.encode()
    if sign != "\x00":  # Markdown has U+FFFD for it
        assert html.count(shown) == 2


def test_an_entity_makes_no_sign_that_is_obeyed():
    assert as_markdown("a&#x202e;b") == '<p>a<span class="sign">U+202E</span>b</p>\n'


def test_ten_thousand_marks_on_a_letter_are_few_and_counted():
    shown = plain("e" + "\u0301" * 10_000 + "f")
    assert shown == "e" + "\u0301" * 8 + " [… 9,992 more marks]f"
    for fine in ("नमस्ते", "ภาษาไทยที่นี่", "שָׁלוֹם", "👩‍👩‍👧‍👦", "é"):
        assert plain(fine) == fine


def test_what_is_long_is_shown_as_it_was_written_and_soon():
    begun = time.process_time()
    html = as_markdown("**" + "x" * 1_000_000)
    assert html.startswith('<div class="written">**xxx')
    assert html.count("x") == 1_000_000  # all of it
    assert "<summary>995,002 more letters</summary>" in html
    slow = "|a" * (LONGEST // 4) + "\n" + "|-" * (LONGEST // 4)  # the slowest of what was tried
    assert as_markdown(slow)
    assert time.process_time() - begun < 5


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec=None), max_size=200))
def test_any_text_gives_harmless_html(text: str):
    for html in (as_markdown(text), as_written(text), plain(text)):
        html.encode()
        found = Tags(html)
        assert {tag for tag, _ in found.tags} <= TAGS
        assert not [
            one for one in html if unicodedata.category(one) == "Cc" and one not in "\t\n\r"
        ]
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", html)


def test_an_excerpt_is_one_line():
    assert excerpt("one\n\n two", 20) == "one two"
    assert excerpt("a\u202eb\x1b", 20) == "a[U+202E]b[U+001B]"
    assert excerpt("x" * 30, 10) == "x" * 9 + "…"
    assert excerpt(" " * 1000 + "late", 10).endswith("…")

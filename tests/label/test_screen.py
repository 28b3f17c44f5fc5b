"""What a person sees at a terminal, and what no text can do there."""

import re

import pytest

from instructgpt.data.records import Candidates
from instructgpt.label import terminal
from instructgpt.label.screen import CUT
from tests.label.person import Person, colours, queued

NOTHING = "Nothing is ranked yet; the same command begins again."


def test_the_page(path, monkeypatch):
    monkeypatch.setattr(terminal, "permutation", lambda *_: [1, 0, 2])
    monkeypatch.setenv("COLUMNS", "30")
    talk = [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Yes?"}]
    one = queued("Seven words that do not fit here.", "x\n  y", " \n", prompt=talk)
    person = Person()
    person.rank([one], path)
    page = """
Prompt 1 of 1
-------------

    User: Hi!

    Assistant: Yes?

    Assistant:

A   x
      y

B   Seven words that do not
    fit here.

C   (empty)"""
    assert person.shown == [terminal.HELP, page, "\nBest to worst (? for help): ", "", NOTHING]


def test_a_cut_answer_is_marked_where_no_text_can_stand(path):
    """An answer that says the words itself is no cut one."""
    row = {
        "prompt": "Name.",
        "responses": [
            {"text": "red and", "model": "sft", "sampling": {"finished": False}},
            {"text": f"blue\n{CUT}", "sampling": {"finished": True}},
            {"text": "", "sampling": {"finished": False}},
        ],
    }
    person = Person()
    person.rank([Candidates.model_validate(row)], path)
    rows = person.shown[1].splitlines()
    at = [i for i, row in enumerate(rows) if row == CUT]
    assert sorted(rows[i - 1][4:] for i in at) == ["(empty)", "red and"]
    assert f"    {CUT}" in rows
    assert "sft" not in person.screen


def test_all_that_we_say_fits_into_80_columns(path):
    person = Person("p", "?", "abc", "u", "abcd", "abcd", "abcd", "q")
    person.rank([queued("x" * 300, "", "c d " * 60, "d", prompt_id=str(i)) for i in range(4)], path)
    ours = [line for line in person.screen.splitlines() if str(path) not in line]
    assert max(map(len, ours)) <= 80


def test_lines_are_wrapped_by_columns(path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "24")
    person = Person()
    person.rank([queued("色" * 25, "w" * 45)], path)
    rows = [row.strip(" AB") for row in person.shown[1].splitlines()]
    assert [row for row in rows if "色" in row] == ["色" * 10, "色" * 10, "色" * 5]
    assert [row for row in rows if "w" in row] == ["w" * 20, "w" * 20, "w" * 5]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred\x1b[0m", r"\u001b[31mred\u001b[0m"),
        ("\x1b[2J\x1b[1;1Hgone", r"\u001b[2J\u001b[1;1Hgone"),
        ("\x1b]0;title\x07x", r"\u001b]0;title\u0007x"),  # what a sequence would hide is seen
        ("\x1b]52;c;cm0=\x1b\\x", r"\u001b]52;c;cm0=\u001b\x"),
        ("\x9b31mx\x9dy", r"\u009b31mx\u009dy"),
        ("\x1bcx", r"\u001bcx"),
        ("good\x08\x08\x08\x08bad\x7f", r"good\u0008\u0008\u0008\u0008bad\u007f"),
        ("one\rtwo", "one\n    two"),
        ("one\x0btwo\x85three", "one\n    two\n    three"),
        ("a\tb", "a   b"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("[bold]x[/bold] :smile:", "[bold]x[/bold] :smile:"),
        ("naïve 日本 שלום 👍", "naïve 日本 שלום 👍"),
    ],
)
def test_a_terminal_obeys_no_text_of_a_model(path, text: str, seen: str):
    for one in (queued("plain", text), queued("plain", "red", prompt=text)):
        person = Person()
        person.rank([one], path)
        assert f"   {seen}\n" in f"{person.shown[1]}\n"
        assert not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f\u202e]", person.screen)


def test_no_text_can_pose_as_the_page(path):
    person = Person()
    person.rank([queued("x\n\nC   forged\nPrompt 2 of 2", "y")], path)
    at_the_edge = [row[:9] for row in person.shown[1].splitlines() if row[:1].strip()]
    assert [row[0] for row in at_the_edge] == ["P", "-", "A", "B"]


def test_the_prompt_is_shown_again(path):
    person = Person("P", "prompt", "abcd")
    assert person.rank(colours(1), path).finished
    assert person.prompts == ["Prompt 1 of 1"] * 3
    assert person.shown[1] == person.shown[3] == person.shown[5]

"""A person at a terminal: what is understood, and what comes of it."""

import io
import re
import sys
from types import ModuleType

import pytest

from instructgpt.errors import UserError
from instructgpt.label import terminal
from instructgpt.label.simulated.labelers import simulate, training_labelers
from instructgpt.label.terminal import parse_order, rank_in_terminal
from tests.files import sentence
from tests.label.invented import candidates
from tests.label.person import COLOURS, Person, colours, queued


@pytest.mark.parametrize(
    ("line", "ranks"),
    [  # of A, B, C, D
        ("B > A = D > C", [2, 1, 4, 2]),
        ("b a=d c", [2, 1, 4, 2]),
        ("b>a=d,c", [2, 1, 4, 2]),
        ("BADC", [2, 1, 4, 3]),
        ("b,a,d,c", [2, 1, 4, 3]),
        ("  d , c  >b\ta ", [4, 3, 2, 1]),
        ("a=b=c=d", [1, 1, 1, 1]),
        ("a=b>c=d", [1, 1, 3, 3]),
        ("d > a = b = c", [2, 2, 2, 1]),
        ("ac=bd", [1, 2, 2, 4]),
    ],
)
def test_a_line_is_understood(line: str, ranks: list[int]):
    assert parse_order(line, 4) == ranks


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("B > A > C", "Left out: D."),
        ("b", "Left out: A, C, D."),
        ("BADCB", "Named more than once: B."),
        ("a=a b c=c d", "Named more than once: A, C."),
        ("a b c e", "There is no answer E; name A to D."),
        ("1 2 3 4", "There is no answer 1, 2, 3, 4; name A to D."),
        ("skip it", "There is no answer S, K, I, P, T; name A to D."),
        ("é", "There is no answer É; name A to D."),
        ("A < B < C < D", "Between two answers stands one >, or = for a tie, and nothing else."),
        ("A >= B C D", "Between two answers stands one >, or = for a tie, and nothing else."),
        ("A > B > C > D >", "Between two answers stands one >, or = for a tie, and nothing else."),
        ("= A B C D", "Between two answers stands one >, or = for a tie, and nothing else."),
        ("\x1b[A", "Between two answers stands one >, or = for a tie, and nothing else."),
    ],
)
def test_what_is_not_understood_is_said_in_a_sentence(line: str, said: str):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        parse_order(line, 4)


def test_nine_answers_are_a_to_i():
    assert parse_order("ihgfedcba", 9) == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_ranks_are_of_the_answers_as_queued_not_as_shown(path, monkeypatch):
    # Shown: A blue, B red, C grey, D green. Red is best, then blue and green alike, then grey.
    monkeypatch.setattr(terminal, "permutation", lambda *_: [2, 0, 3, 1])
    person = Person("B > A = D > C")
    (ranking,), finished = person.rank(colours(1), path)
    assert finished
    assert ranking.ranks == (1, 2, 2, 4)
    assert ranking.shown_order == (2, 0, 3, 1)
    assert person.shown[1].endswith("A   blue\n\nB   red\n\nC   grey\n\nD   green")


def test_who_goes_by_what_stands_on_the_page_gets_that_ranking(path):
    """Red before green before blue before grey, in whatever order they are shown."""
    shown = []

    def ask(question: str) -> str:
        lines = re.findall(r"^([A-D])   (\w+)$", shown[-1], re.M)
        return " ".join(sorted("ABCD", key=lambda a: COLOURS.index(dict(lines)[a])))

    session = rank_in_terminal(
        colours(20), path, labeler_id="ann", seed=3, ask=ask, show=shown.append
    )
    assert {ranking.ranks for ranking in session.rankings} == {(1, 2, 3, 4)}
    assert len({ranking.shown_order for ranking in session.rankings}) > 10


def test_the_order_shown_is_that_of_a_simulated_labeler_of_that_name(path):
    (labeler,) = training_labelers(1)
    (simulated,) = simulate(candidates()[:1], labelers=[labeler], per_prompt=1, seed=5)
    session = Person("abcd").rank(candidates()[:1], path, seed=5, labeler=labeler.name)
    assert session.rankings[0].shown_order == simulated.shown_order


def test_it_asks_again_until_the_order_is_whole(path):
    person = Person("", "   ", "abc", "abcc", "abce", "?", "H", "dcba")
    assert person.rank(colours(1), path).finished
    assert person.screen.count("Best to worst") == 8
    assert person.screen.count("Left out: D.") == 1
    assert person.screen.count("Named more than once: C.") == 1
    assert person.screen.count("There is no answer E") == 1
    assert person.screen.count(terminal.HELP) == 3
    assert person.prompts == ["Prompt 1 of 1"]


def test_lines_can_be_edited_where_python_can(monkeypatch):
    """`input` edits lines once `readline` is imported; its absence is no failure."""
    for module in (ModuleType("readline"), None):
        monkeypatch.setitem(sys.modules, "readline", module)
        terminal._edit_lines(input)
    monkeypatch.delitem(sys.modules, "readline")
    terminal._edit_lines(lambda _: "")
    assert "readline" not in sys.modules
    pytest.importorskip("readline")
    monkeypatch.delitem(sys.modules, "readline", raising=False)
    terminal._edit_lines(input)
    assert "readline" in sys.modules


@pytest.mark.parametrize("count", [1, 27])
def test_too_few_or_too_many_answers_are_refused_before_anything_is_asked(path, count: int):
    person = Person("abcd")
    queue = [*colours(1), queued(*map(str, range(count)), prompt_id="odd")]
    with pytest.raises(UserError) as raised:
        person.rank(queue, path)
    assert f"prompt odd has {count} answers" in sentence(raised)
    assert person.shown == []


def test_twenty_six_answers_can_be_ranked(path):
    line = "ZYXWVUTSRQPONMLKJIHGFEDCBA"
    session = Person(line).rank([queued(*map(str, range(26)))], path)
    assert sorted(session.rankings[0].ranks) == list(range(1, 27))


@pytest.mark.parametrize("stdin", [None, io.StringIO("abcd\n")])
def test_without_a_terminal_it_says_what_to_do(path, monkeypatch, capsys, stdin):
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(UserError) as raised:
        rank_in_terminal(colours(1), path, labeler_id="ann", seed=0)
    assert "run the command in one, or rank with another tool" in sentence(raised)
    assert capsys.readouterr().out == ""


def test_without_a_terminal_what_is_ranked_is_read(path, monkeypatch):
    session = Person("abcd").rank(colours(1), path)
    monkeypatch.setattr("sys.stdin", None)
    assert rank_in_terminal(colours(1), path, labeler_id="ann", seed=0) == session

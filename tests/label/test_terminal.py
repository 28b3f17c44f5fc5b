"""A person at a terminal: what is shown, what is understood, and what is on the disk when."""

import io
import json
import re
import sys
from contextlib import suppress
from types import ModuleType

import pytest

from instructgpt.data.formats import read_records, write_records
from instructgpt.data.records import Candidates, Ranking
from instructgpt.errors import UserError
from instructgpt.label import terminal
from instructgpt.label.screen import CUT
from instructgpt.label.simulated.labelers import simulate, training_labelers
from instructgpt.label.terminal import Session, parse_order, rank_in_terminal
from tests.files import sentence
from tests.label.invented import candidates

COLOURS = ("red", "green", "blue", "grey")
NOTHING = "Nothing is ranked yet; the same command begins again."
HALF_A_LINE = b'{"prompt_id": "colour 2", "prompt": "N\xc3'  # cut within a letter, too


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "rankings.jsonl"


def queued(*texts: str, **fields) -> Candidates:
    row = {"prompt": "Name.", "responses": [{"text": text} for text in texts], **fields}
    return Candidates.model_validate(row)


def colours(count: int) -> list[Candidates]:
    """Prompts "colour 1", "colour 2" and so on, each with the four colours as answers."""
    return [
        queued(*COLOURS, prompt=f"Name colour {i}.", prompt_id=f"colour {i}")
        for i in range(1, count + 1)
    ]


class Person:
    """Answers in turn, and sees what is shown; Ctrl-D (or another key) when the answers end."""

    def __init__(self, *lines: str, then: type[BaseException] = EOFError) -> None:
        self.lines, self.then, self.shown = list(lines), then, []

    def ask(self, question: str) -> str:
        self.shown.append(question)
        if not self.lines:
            raise self.then
        return self.lines.pop(0)

    @property
    def screen(self) -> str:
        return "\n".join(self.shown)

    @property
    def prompts(self) -> list[str]:
        return re.findall(r"^Prompt \d+ of \d+$", self.screen, re.M)

    def rank(self, queue, path, seed: int = 0, labeler: str = "ann") -> Session:
        return rank_in_terminal(
            queue, path, labeler_id=labeler, seed=seed, ask=self.ask, show=self.shown.append
        )


def ids(path) -> list[str]:
    """Of a file as it stands, whole lines only."""
    text = path.read_text("utf-8") if path.exists() else ""
    assert not text or text.endswith("\n")
    return [json.loads(line)["prompt_id"] for line in text.splitlines()]


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


def test_a_ranking_keeps_what_the_candidates_said(path):
    fields = {"split": "valid", "checks": [{"kind": "words"}], "prompt_id": "p"}
    one = {"text": "red", "model": "sft", "sampling": {"finished": True, "seed": 1}}
    row = {"prompt": "Name a colour.", "responses": [one, {"text": "blau ü"}], **fields}
    Person("a=b").rank([Candidates.model_validate(row)], path)
    written = json.loads(path.read_text("utf-8"))
    shown_order = written.pop("shown_order")
    assert sorted(shown_order) == [0, 1]
    assert written == {**row, "ranks": [1, 1], "labeler_id": "ann"}


def test_what_is_returned_is_what_is_written(path):
    session = Person("abcd", "b=a cd", "dcba").rank(colours(3), path)
    assert session.finished
    assert session.rankings == read_records(path, Ranking).records
    assert [ranking.prompt_id for ranking in session.rankings] == ids(path)


def test_it_asks_again_until_the_order_is_whole(path):
    person = Person("", "   ", "abc", "abcc", "abce", "?", "H", "dcba")
    assert person.rank(colours(1), path).finished
    assert person.screen.count("Best to worst") == 8
    assert person.screen.count("Left out: D.") == 1
    assert person.screen.count("Named more than once: C.") == 1
    assert person.screen.count("There is no answer E") == 1
    assert person.screen.count(terminal.HELP) == 3
    assert person.prompts == ["Prompt 1 of 1"]


@pytest.mark.parametrize("stop", ["q", "Quit", None])
def test_after_a_stop_it_goes_on_with_the_next_prompt(path, stop: str | None):
    first = Person("abcd", *([stop] if stop else []))  # without a word: Ctrl-D
    session = first.rank(colours(3), path)
    assert first.prompts == ["Prompt 1 of 3", "Prompt 2 of 3"]
    assert [ranking.prompt_id for ranking in session.rankings] == ["colour 1"]
    assert not session.finished

    second = Person("abcd", "abcd")
    session = second.rank(colours(3), path)
    assert second.prompts == ["Prompt 2 of 3", "Prompt 3 of 3"]
    assert session.finished
    assert [ranking.prompt_id for ranking in session.rankings] == ids(path)
    assert ids(path) == ["colour 1", "colour 2", "colour 3"]

    third = Person()
    assert third.rank(colours(3), path) == session
    assert third.shown == []


def test_a_stop_in_between_changes_nothing(path, tmp_path):
    Person("abcd").rank(colours(2), path)
    Person("dcba").rank(colours(2), path)
    Person("abcd", "dcba").rank(colours(2), tmp_path / "straight.jsonl")
    assert path.read_bytes() == (tmp_path / "straight.jsonl").read_bytes()


def test_a_stop_before_anything_is_ranked_leaves_no_file(path):
    assert Person("q").rank(colours(2), path) == Session([], False)
    assert not path.exists()


def test_ctrl_c_passes_and_loses_nothing(path):
    with pytest.raises(KeyboardInterrupt):
        Person("abcd", then=KeyboardInterrupt).rank(colours(2), path)
    assert ids(path) == ["colour 1"]


def test_a_ranking_is_on_the_disk_before_the_next_question(path):
    on_disk = []

    def ask(question: str) -> str:
        on_disk.append(ids(path))
        return "abcd"

    rank_in_terminal(colours(3), path, labeler_id="ann", seed=0, ask=ask, show=lambda _: None)
    assert on_disk == [[], ["colour 1"], ["colour 1", "colour 2"]]


def test_half_a_line_of_a_crash_is_cut_away(path):
    Person("abcd", "s").rank(colours(4), path)
    skips = path.with_name("rankings.skipped.jsonl")
    for file in (path, skips):
        file.write_bytes(file.read_bytes() + HALF_A_LINE)
    person = Person("abcd", "skip")
    assert person.rank(colours(4), path).finished
    assert person.prompts == ["Prompt 3 of 4", "Prompt 4 of 4"]
    assert ids(path) == ["colour 1", "colour 3"]
    assert ids(skips) == ["colour 2", "colour 4"]


def test_nothing_but_half_a_line_is_no_ranking(path):
    path.parent.mkdir()
    path.write_bytes(HALF_A_LINE)
    assert Person("abcd").rank(colours(1), path).finished
    assert ids(path) == ["colour 1"]


def test_a_whole_line_without_its_end_is_kept(path):
    Person("abcd").rank(colours(2), path)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert Person("abcd").rank(colours(2), path).finished
    assert ids(path) == ["colour 1", "colour 2"]


def test_a_skipped_prompt_is_remembered_and_has_no_ranking(path):
    session = Person("S", "abcd", "skip").rank(colours(3), path)
    assert session.finished
    assert [ranking.prompt_id for ranking in session.rankings] == ["colour 2"]
    assert ids(path.with_name("rankings.skipped.jsonl")) == ["colour 1", "colour 3"]
    again = Person()
    assert again.rank(colours(3), path) == session
    assert again.shown == []


def test_all_skipped_is_finished_without_a_ranking(path):
    assert Person("s", "s").rank(colours(2), path) == Session([], True)


def test_new_answers_to_a_prompt_are_asked_and_old_ones_are_not_returned(path):
    Person("ab", "s").rank([queued("red", "blue"), queued("one", "two", prompt="Count.")], path)
    new = [queued("red", "pink"), queued("one", "six", prompt="Count.")]
    session = Person("ab", "ab").rank(new, path)
    assert session.finished
    assert [tuple(r.text for r in ranking.responses) for ranking in session.rankings] == [
        ("red", "pink"),
        ("one", "six"),
    ]
    assert len(ids(path)) == 3


def test_the_same_answers_queued_twice_are_asked_once(path):
    person = Person("abcd")
    session = person.rank(colours(1) * 2, path)
    assert session.finished
    assert len(session.rankings) == 1
    assert person.prompts == ["Prompt 1 of 1"]


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


def test_the_prompt_is_shown_again(path):
    person = Person("P", "prompt", "abcd")
    assert person.rank(colours(1), path).finished
    assert person.prompts == ["Prompt 1 of 1"] * 3
    assert person.shown[1] == person.shown[3] == person.shown[5]


def test_the_last_word_is_taken_back(path, tmp_path):
    person = Person("u", "abcd", "s", "dcba", "u", "U", "undo", "undo", "dcba", "abcd", "abcd", "s")
    session = person.rank(colours(4), path)
    assert session.finished
    assert person.prompts == [f"Prompt {n} of 4" for n in (1, 1, 2, 3, 4, 3, 2, 1, 1, 2, 3, 4)]
    assert person.screen.count("There is nothing to take back") == 2
    assert ids(path) == ["colour 1", "colour 2", "colour 3"]
    assert ids(path.with_name("rankings.skipped.jsonl")) == ["colour 4"]
    straight = Person("dcba", "abcd", "abcd", "s").rank(colours(4), tmp_path / "straight.jsonl")
    assert straight == session
    assert path.read_bytes() == (tmp_path / "straight.jsonl").read_bytes()


def test_what_others_added_meanwhile_and_earlier_sessions_stay_when_a_ranking_is_taken_back(path):
    Person("abcd").rank(colours(3), path)
    earlier = path.read_bytes()
    theirs = earlier.replace(b'"ann"', b'"bob"')
    lines = ["dcba", "u", "u", "q"]

    def ask(question: str) -> str:
        if lines == ["u", "u", "q"]:
            path.write_bytes(path.read_bytes() + theirs)
        return lines.pop(0)

    rank_in_terminal(colours(3), path, labeler_id="ann", seed=0, ask=ask, show=lambda _: None)
    assert path.read_bytes() == earlier + theirs


def test_two_labelers_share_a_file_and_each_is_asked_all(path):
    Person("abcd", "s").rank(colours(2), path, labeler="ann")
    person = Person("dcba", "dcba")
    session = person.rank(colours(2), path, labeler="bob")
    assert person.prompts == ["Prompt 1 of 2", "Prompt 2 of 2"]
    assert [ranking.labeler_id for ranking in session.rankings] == ["bob", "bob"]
    assert ids(path) == ["colour 1", "colour 1", "colour 2"]
    assert Person().rank(colours(2), path, labeler="ann").finished


@pytest.mark.parametrize("stop", ["q", EOFError, KeyboardInterrupt])
def test_whoever_stops_is_told_what_is_kept_and_how_to_go_on(path, stop):
    person = Person("abcd", "s", *(["q"] if stop == "q" else []), then=stop)
    with suppress(KeyboardInterrupt):
        person.rank(colours(3), path)
    assert person.shown[-1].strip() == (
        f"1 of 3 prompts are ranked and kept in {path};\nthe same command goes on from there."
    )


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


def test_a_folder_is_no_file_of_rankings(tmp_path):
    with pytest.raises(UserError) as raised:
        Person("abcd").rank(colours(1), tmp_path)
    assert "it is a folder, not a file" in sentence(raised)


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


def test_a_bad_line_in_the_middle_is_named(path):
    Person("abcd").rank(colours(1), path)
    path.write_bytes(b"{\n" + path.read_bytes())
    with pytest.raises(UserError) as raised:
        Person("abcd").rank(colours(2), path)
    assert f"{path} line 1" in sentence(raised)


def test_a_file_of_other_records_is_named(path):
    write_records(path, colours(1))
    with pytest.raises(UserError) as raised:
        Person("abcd").rank(colours(1), path)
    assert f"{path} line 1" in sentence(raised)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as raised:
        Person("abcd").rank(colours(1), tmp_path / "file" / "rankings.jsonl")
    assert "cannot be written" in sentence(raised)

"""What is on the disk when, and how a person goes on from there."""

import json
from contextlib import suppress

import pytest

from instructgpt.data.formats import read_records, write_records
from instructgpt.data.records import Candidates, Ranking
from instructgpt.errors import UserError
from instructgpt.label.terminal import Session, rank_in_terminal
from tests.files import sentence
from tests.label.person import Person, colours, ids, queued

HALF_A_LINE = b'{"prompt_id": "colour 2", "prompt": "N\xc3'  # cut within a letter, too


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


def test_a_folder_is_no_file_of_rankings(tmp_path):
    with pytest.raises(UserError) as raised:
        Person("abcd").rank(colours(1), tmp_path)
    assert "it is a folder, not a file" in sentence(raised)


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

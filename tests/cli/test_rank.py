"""`label rank`: a person at a terminal, in this process."""

import io
import json
import sys

import pytest

from tests.files import write_rows
from tests.small_runs import PROMPTS

CUT = {"text": "dad", "sampling": {"finished": False}}
CANDIDATES = [
    {"prompt_id": f"p{i}", "prompt": prompt, "responses": [{"text": "bee"}, CUT]}
    for i, prompt in enumerate(PROMPTS[:4])
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def types(monkeypatch, cli, tmp_path):
    """Runs the command with lines that a person types; Ctrl-D follows them."""
    data = write_rows(tmp_path / "candidates.jsonl", CANDIDATES)

    def run(*lines: str, **flags):
        monkeypatch.setattr(sys, "stdin", Terminal("".join(f"{line}\n" for line in lines)))
        return cli("label", "rank", data, **{"out": tmp_path / "rankings.jsonl", **flags})

    return run


def test_it_goes_on_where_it_stopped(types, tmp_path):
    first = types("a b", "b=a", labeler="ann")
    assert first.status == 0
    assert "2 of 4 prompts are ranked and kept in" in first.out
    second = types("ab", "ba", labeler="ann")
    assert second.status == 0
    assert "Prompt 3 of 4" in second.out
    assert "Prompt 2 of 4" not in second.out
    assert "all ranked: 4 rankings by ann" in second.err
    rows = [json.loads(line) for line in (tmp_path / "rankings.jsonl").read_text().splitlines()]
    assert [row["prompt_id"] for row in rows] == ["p0", "p1", "p2", "p3"]
    assert rows[1]["ranks"] == [1, 1]
    assert {row["labeler_id"] for row in rows} == {"ann"}


def test_the_labeler_is_the_user(types, tmp_path, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "carla")
    types("ab")
    (row,) = map(json.loads, (tmp_path / "rankings.jsonl").read_text().splitlines())
    assert row["labeler_id"] == "carla"


def test_a_user_without_a_name_has_to_say_one(types, monkeypatch):
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    for result in (types("ab"), types("ab", labeler=" ")):
        assert (result.status, result.out) == (2, "")
        assert "--labeler ann" in result.err


def test_a_file_that_lines_cannot_be_added_to_is_refused(types, tmp_path):
    result = types("ab", out=tmp_path / "rankings.jsonl.gz")
    assert result.status == 2
    assert "name a file that ends in .jsonl" in result.err


def test_without_a_terminal_it_says_so(cli, tmp_path, monkeypatch):
    data = write_rows(tmp_path / "candidates.jsonl", CANDIDATES)
    monkeypatch.setattr(sys, "stdin", io.StringIO("ab\n"))
    result = cli("label", "rank", data, out=tmp_path / "rankings.jsonl", labeler="ann")
    assert result.status == 2
    assert "run the command in one" in result.err


def test_a_bad_line_stops_or_is_skipped(types, tmp_path):
    path = tmp_path / "candidates.jsonl"
    path.write_text(path.read_text() + '{"prompt": "cab"}\n')
    assert "candidates.jsonl line 5" in types("ab").err
    result = types("ab", on_error="skip")
    assert (result.status, "line 5" in result.err) == (0, True)
    assert "1 of 4 prompts are ranked" in result.out


def test_a_reward_model_is_trained_on_what_was_ranked(types, cli, tmp_path, inputs):
    types("ab", "ba", "ab", "a=b", labeler="ann")
    settings = {"model": inputs["reward"]["model"], "data": tmp_path / "rankings.jsonl"}
    settings |= {"out": tmp_path / "reward", "batch_size": 2, "eval_fraction": 0.3}
    result = cli("reward", demonstrations=inputs["reward"]["demonstrations"], **settings)
    assert result.status == 0, result.err
    assert (tmp_path / "reward" / "model" / "config.json").exists()

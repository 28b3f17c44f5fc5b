"""What is held out of any source is trained on in none, and the figures are those of the pairs."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

import real_rewards
from instructgpt.cli import main
from instructgpt.data.jsonl import read_jsonl
from instructgpt.data.records import Message
from instructgpt.data.splits import split_by_prompt
from instructgpt.models.load import scorer_from_policy
from instructgpt.reward.data import Comparison
from real_rewards import Source, figures, opening, parted, within
from tests.files import write_policy, write_rows
from tests.small_runs import one_backend
from tests.tiny import tiny_model


def comparison(prompt: str, tokens: int = 6, ranks=((1, 2),)) -> Comparison:
    """Two answers of one and two tokens to a prompt, the whole of so many tokens."""
    labelers = [f"l{n}" for n in range(len(ranks))]
    return Comparison(prompt, [1] * (tokens - 3), [[2], [3, 4]], list(map(list, ranks)), labelers)


def test_prompts_that_begin_alike_are_one():
    turns = (Message(role="system", content="Be brief."), Message(role="user", content="Why  is"))
    more = (*turns, Message(role="assistant", content="So."), Message(role="user", content="Oh?"))
    assert opening("why is\n") == opening(turns) == opening(more)
    assert opening("why") != opening("why is")


def test_no_prompt_is_on_both_sides_also_not_of_two_sources():
    one = [comparison(f"p{n}") for n in range(60) for _ in range(2)]
    _, held = split_by_prompt(one, 0.2, seed=0)
    two = [comparison(prompt_id) for prompt_id in {c.prompt_id: 0 for c in held}]
    given = Namespace(tokens=10_000, eval_tokens=10_000, limit=0)
    (train, held_out, elsewhere) = parted({"one": one, "two": [*two, comparison("q")]}, given)
    ids = [{c.prompt_id for part in side.values() for c in part} for side in (train, held_out)]
    assert not ids[0] & ids[1]
    assert {name: len(some) for name, some in held_out.items()} == {"one": 2 * 12, "two": 3}
    assert elsewhere["one"] == 0
    assert len(train["two"]) + elsewhere["two"] == 13 - 3
    assert elsewhere["two"] >= 9  # the first source has its prompts among the held-out ones


def test_sources_share_the_tokens_and_the_small_leave_theirs():
    parts = {
        "large": [comparison(f"a{n}", 10) for n in range(50)],
        "small": [comparison("b", 10), comparison("b", 10)],
        "other": [comparison(f"c{n}", 10) for n in range(50)],
    }
    found = within(parts, 180, 0)  # 20 of the small one, and a half each of what is left
    assert {name: len(some) for name, some in found.items()} == {"large": 8, "small": 2, "other": 8}
    assert list(found) == list(parts)
    limited = within(parts, 180, 1)
    assert {name: len(some) for name, some in limited.items()} == dict.fromkeys(parts, 1) | {
        "small": 2  # one prompt, whole
    }
    with pytest.raises(SystemExit, match="small: no prompt fits"):
        within(parts, 30, 0)


def test_figures_are_of_untied_pairs_beside_the_longer_answer():
    comparisons = [  # the second answer is the longer one
        comparison("p", ranks=((1, 2), (2, 1), (1, 1))),
        comparison("q", ranks=((2, 1),)),
        comparison("r", ranks=((1, 2),)),
    ]
    found = figures(comparisons, [1.0, 0.0, 1.0, 0.0, 0.5, 0.5])
    assert (found["pairs"], found["tied"]) == (4, 1)
    assert found["accuracy"]["estimate"] == (1 + 0 + 0 + 0.5) / 4
    assert found["longer"]["estimate"] == (0 + 1 + 1 + 0) / 4
    assert found["gap"]["estimate"] == pytest.approx((1.5 - 2) / 4)
    assert found["accuracy"]["low"] < 0.375 < found["accuracy"]["high"]


def test_it_runs_from_files_to_a_table(monkeypatch, tmp_path: Path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    pairs = [{"prompt": f"p {n}", "chosen": "good", "rejected": "worse"} for n in range(10)]
    write_rows(data / "pairs.jsonl", [*pairs, {**pairs[0], "completion": "c", "label": True}])
    sheet = [{"q": f"q {n}", "x": "b", "y": "aa", "best": n % 3} for n in range(10)]
    write_rows(data / "sheet.jsonl", sheet)
    columns = {"prompt": "q", "a": "x", "b": "y", "preference": "best"}
    sources = {
        "Pairs": Source("pairs.jsonl"),
        "A sheet": Source("sheet.jsonl", columns, "0=tie,1=a,2=b"),
    }
    monkeypatch.setattr(real_rewards, "SOURCES", sources)
    commands = []

    def run(command):
        """The import as it is; in the training's place a model that knows nothing."""
        commands.append(command)
        if command[1] == "reward":
            scorer = scorer_from_policy(tiny_model("llama"), seed=0)
            write_policy(tmp_path / "out" / "reward" / "model", model=scorer)
            return ""
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(command[1:])
        assert not ended.value.code
        return capsys.readouterr().out

    monkeypatch.setattr(real_rewards, "run", run)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- real rewards -->\nold\n<!-- /real rewards -->\nafter\n")
    words = ["--data", data, "--out", tmp_path / "out", "--threads", "1", "--page", page]
    words += ["--model", write_policy(tmp_path / "policy"), "--dtype", "float32"]
    words += ["--results", tmp_path / "results.json", "--", "--epochs", "3"]
    with one_backend():
        real_rewards.main([str(word) for word in words])
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "results.json").read_text())
    first, second = told["sources"].values()
    assert (first["rows"], first["kept"], first["skipped"]) == (11, 10, {"unpaired answer": 1})
    assert first["pairs"] == first["held_out"]["prompts"] == 2
    assert first["longer"]["estimate"] == 0.0  # "good" before "worse", a byte a token
    assert second["pairs"] + second["tied"] == 2
    assert told["all"]["pairs"] == first["pairs"] + second["pairs"]
    trained = [row for _, row in read_jsonl(tmp_path / "out" / "train" / "pairs.jsonl")]
    assert len(trained) == first["training"]["comparisons"] == 8
    assert commands[-1][-2:] == ["--epochs", "3"]
    text = page.read_text()
    assert text.startswith("before\n<!-- real rewards -->\n### ")
    assert text.endswith("<!-- /real rewards -->\nafter\n")
    assert "| Pairs | 8 | 2 (0) | " in text
    assert "old" not in text

    real_rewards.main([str(word) for word in words])  # what is there is not made again
    assert [command[1] for command in commands] == ["data", "data", "reward", "reward"]
    assert json.loads(capsys.readouterr().out)["sources"] == told["sources"]

"""Intakes into a store: order, parts, repetition and interruption change nothing."""

import json
import multiprocessing
import time
from pathlib import Path
from random import Random

import pytest

from instructgpt.data.records import Prompt
from instructgpt.errors import UserError
from instructgpt.intake import running
from instructgpt.intake.rules import Rules
from instructgpt.intake.running import intake, release, undo
from instructgpt.intake.story import stories
from tests.files import sentence
from tests.intake.conftest import opened, use_cheap_detectors, write
from tests.intake.standing import decisions, standing

STEM = "Tell me in two sentences what a lighthouse is for and who keeps it, as if I were a child, "


def rows(count: int = 120, seed: int = 0) -> list[dict]:
    """Prompts of which every step takes some."""
    rng = Random(seed)
    found = []
    for number in range(count):
        text = f"{rng.choice('abc')} question number {rng.randrange(count)} about {rng.random()}"
        match number % 10:
            case 0 if found:
                text = rng.choice(found)["prompt"].upper()
            case 1:
                text = STEM + "please " * rng.randrange(9)
            case 2:
                text += " to ann@mail.org"
            case 3:
                text += " long" * 40
        row = {"id": f"p{number}", "prompt": text, "consent": number % 13 != 5}
        row["created"] = f"2026-01-{rng.randrange(1, 29):02}"
        row["source"] = rng.choice(["labeler", "customer"])
        if number % 4:
            row["user_id"] = f"u{rng.randrange(6)}"
        found.append(row)
    return found


RULES = Rules(cap=9, pii="all", splits="6/2/2")


def digest(path: Path) -> str:
    """The hash of a snapshot of all that stands."""
    with opened(path) as store:
        return store.snapshot("s", path.with_suffix(".snapshot"))["digest"]


def taken(path: Path, *parts: list[dict], rules: Rules = RULES) -> list[dict]:
    """What stands after an intake of each part, one after the other."""
    with opened(path) as store:
        for number, part in enumerate(parts):
            name = write(path.with_name(f"{path.stem}-{number}.jsonl"), part)
            intake(store, [name], rules)
    return standing(path)


@pytest.mark.usefixtures("cheap")
def test_order_parts_and_repetition_change_nothing(tmp_path):
    own = rows()
    expected = taken(tmp_path / "a.db", own)
    assert 20 < len(expected) < 100
    assert {row["split"] for row in expected} == {"train", "valid", "test"}
    assert any("<EMAIL_1>" in row["prompt"] for row in expected)
    shuffled = Random(1).sample(own, len(own))
    assert taken(tmp_path / "b.db", shuffled) == expected
    assert taken(tmp_path / "c.db", shuffled[:50], shuffled[50:]) == expected
    hashes = {digest(tmp_path / f"{name}.db") for name in "abc"}
    assert len(hashes) == 1
    before = decisions(tmp_path / "a.db")
    with opened(tmp_path / "a.db") as store:
        run, account = intake(store, [str(tmp_path / "a-0.jsonl")], RULES)
        assert run == 1
        assert account.as_json()["kept"] == len(expected)
    assert decisions(tmp_path / "a.db") == before
    # Other rules decide anew: and back again.
    assert taken(tmp_path / "a.db", own, rules=RULES.model_copy(update={"cap": 3})) != expected
    assert taken(tmp_path / "a.db", own) == expected


@pytest.mark.usefixtures("cheap")
def test_an_intake_that_is_undone_is_as_if_it_had_never_been(tmp_path):
    own = rows()
    first, second = own[:70], own[50:]  # twenty came with both
    expected = taken(tmp_path / "a.db", first)
    both = taken(tmp_path / "b.db", second, first)
    assert both == taken(tmp_path / "c.db", own)
    with opened(tmp_path / "b.db") as store:
        assert undo(store, 1) == 50
        assert standing(tmp_path / "b.db") == expected
        with pytest.raises(UserError, match="undo 1: no intake has this number") as raised:
            undo(store, 1)
        sentence(raised)
        run, _ = intake(store, [str(tmp_path / "b-0.jsonl")], RULES)
        assert run == 4  # after two intakes and an undoing
    assert standing(tmp_path / "b.db") == both


@pytest.mark.usefixtures("cheap")
def test_a_bad_row_leaves_nothing_behind(tmp_path):
    own = rows(30)
    with opened(tmp_path / "a.db") as store:
        bad = write(tmp_path / "bad.jsonl", [*own, {"id": "x", "prompt": "y", "created": "May"}])
        with pytest.raises(
            UserError, match=r'bad.jsonl line 31: created: "May" is no date'
        ) as raised:
            intake(store, [bad], RULES)
        sentence(raised)
        _, account = intake(store, [write(tmp_path / "b.jsonl", own[:3])], RULES)
        assert account.as_json()["rows"] == 3
        assert {row["id"] for row in standing(tmp_path / "a.db")} <= {"p0", "p1", "p2"}
        _, account = intake(store, [bad], RULES, on_error="skip")
        assert account.as_json()["rows"] == 30


@pytest.mark.usefixtures("cheap")
def test_the_rules_that_hold_outlive_a_bad_row(tmp_path):
    with opened(tmp_path / "a.db") as store:
        intake(store, [write(tmp_path / "a.jsonl", rows(9))], RULES)
        bad = write(tmp_path / "bad.jsonl", [{"id": "x", "prompt": "y", "created": "May"}])
        with pytest.raises(UserError, match="is no date"):
            intake(store, [bad])
        assert store.snapshot("s", tmp_path / "s")["rules"]["cap"] == 9


@pytest.mark.usefixtures("cheap")
def test_an_undoing_that_was_interrupted_goes_on(tmp_path, monkeypatch):
    path, own = tmp_path / "a.db", rows(30)
    with opened(path) as store:
        intake(store, [write(tmp_path / "a.jsonl", own[:20])], RULES)
        expected = standing(path)
        intake(store, [write(tmp_path / "b.jsonl", own[10:])], RULES)
        with monkeypatch.context() as patch:
            patch.setattr(running, "_settle", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                undo(store, 2)
        assert standing(path) != expected
        assert undo(store, 2) == 10
        assert standing(path) == expected
        with pytest.raises(UserError, match="undo 2: no intake has this number and stands"):
            undo(store, 2)


@pytest.mark.usefixtures("cheap")
def test_an_undoing_once_more_decides_by_the_rules_that_hold_now(tmp_path):
    path, own = tmp_path / "a.db", [{"id": "a", "prompt": "Write to x@y.org", "consent": True}]
    with opened(path) as store:
        first = write(tmp_path / "a.jsonl", own)
        intake(store, [first], Rules(pii="all"))
        intake(store, [write(tmp_path / "b.jsonl", own)], Rules(pii="all"))
        undo(store, 2)
        intake(store, [first], Rules(pii="all", pii_action="hold"))
        before = decisions(path)
        with pytest.raises(UserError, match="undo 2: no intake has this number and stands"):
            undo(store, 2)
        assert decisions(path) == before
        assert standing(path) == []


@pytest.mark.usefixtures("cheap")
def test_a_store_that_is_busy_takes_no_intake_back(tmp_path, monkeypatch):
    path = tmp_path / "a.db"
    with opened(path) as store:
        source = write(tmp_path / "a.jsonl", rows(20))
        run, _ = intake(store, [source], RULES)
        expected = standing(path)
        with monkeypatch.context() as patch:
            busy = UserError("database is locked")
            patch.setattr(running.Intake, "add", lambda *_, **__: (_ for _ in ()).throw(busy))
            with pytest.raises(UserError, match="is locked"):
                intake(store, [source], RULES)
        assert intake(store, [source], RULES)[0] == run
        assert standing(path) == expected


@pytest.mark.usefixtures("cheap")
def test_only_what_is_held_now_can_be_released(tmp_path):
    hold = Rules(pii="all", pii_action="hold")
    own = [{"id": "a", "prompt": "Write to x@y.org", "consent": True}]
    with opened(tmp_path / "a.db") as store:
        store.add([Prompt(id="b", prompt="No intake has seen this.")])
        intake(store, [write(tmp_path / "a.jsonl", own)], hold)
        undo(store, 1)
        for name in "ab":
            with pytest.raises(UserError, match=f"release {name}: it is not held") as raised:
                release(store, name)
            sentence(raised)


@pytest.mark.usefixtures("cheap")
def test_consent_may_be_assumed_but_not_against_the_writer(tmp_path):
    path = tmp_path / "a.db"
    own = [{"id": "a", "prompt": "one"}, {"id": "b", "prompt": "two", "consent": False}]
    with opened(path) as store:
        source = write(tmp_path / "a.jsonl", own)
        assert intake(store, [source])[1].as_json()["steps"][0]["dropped"] == {"no consent": 2}
        intake(store, [source], assume_consent="they signed for it")
        assert [row["id"] for row in standing(path)] == ["a"]
        undo(store, 2)
        assert standing(path) == []


@pytest.mark.usefixtures("cheap")
def test_a_few_shot_row_is_demonstrations_in_a_snapshot(tmp_path):
    pairs = [{"input": "1", "output": "a"}, {"input": "2", "output": "b"}]
    own = [
        {"id": "f", "instruction": "Go on.", "examples": pairs, "consent": True},
        {"id": "p", "prompt": "Name a color.", "consent": True},
    ]
    taken(tmp_path / "a.db", own)
    digest(tmp_path / "a.db")
    prompts, made = (
        [json.loads(line) for line in (tmp_path / "a.snapshot" / name).read_text().splitlines()]
        for name in ("prompts.jsonl", "demonstrations.jsonl")
    )
    assert [row["id"] for row in prompts] == ["p"]
    assert [(row["prompt_id"], row["response"]) for row in made] == [("f-1", "a"), ("f-2", "b")]
    assert made[0]["prompt"] == "Go on.\n\nInput: 2\nOutput: b\n\nInput: 1\nOutput:"


@pytest.mark.usefixtures("cheap")
def test_what_is_held_can_be_released_and_a_story_is_told(tmp_path):
    path, hold = tmp_path / "a.db", Rules(pii="all", pii_action="hold")
    own = [
        {"id": "a", "prompt": "Write to x@y.org", "consent": True},
        {"id": "b", "prompt": "Write a poem.", "consent": True, "created": "2026-01-02"},
        {"id": "c", "prompt": "write a  POEM.", "consent": True, "created": "2026-01-01"},
    ]
    with opened(path) as store:
        source = write(tmp_path / "a.jsonl", own)
        intake(store, [source], hold)
        assert [row["id"] for row in standing(path)] == ["c"]
        (held,) = stories(store, "a")
        assert held.verdict == 'held at pii: personal data (types {"EMAIL": 1})'
        with pytest.raises(UserError, match="release b: it is not held"):
            release(store, "b")
        assert release(store, held.key[:12]) == 1
        intake(store, [source], hold)
        assert {row["id"]: row["prompt"] for row in standing(path)}["a"] == "Write to x@y.org"
        (dropped,), (stands,) = stories(store, "b"), stories(store, "c")
        assert dropped.verdict == 'dropped at duplicates: equal (id "c")'
        assert 'duplicates kept: stands for others (others 1, ids ["b"])' in list(stands.told())[3]
        told = "\n".join(held.told())
        assert "brought by intake 1" in told
        assert "x@y.org" not in told
        with pytest.raises(UserError, match="nobody: no prompt of the store has this id"):
            stories(store, "nobody")


def _take(path: Path, source: str, ready: "multiprocessing.Event") -> None:
    from instructgpt.intake import looking, running

    use_cheap_detectors()
    running.BATCH = looking.KEEP = 20  # many transactions
    with opened(path) as store:
        ready.set()
        intake(store, [source], RULES)


def killed_and_repeated(folder: Path, kills: int) -> tuple[list[list[dict]], int]:
    """What stands after the same command was killed and repeated, once for each kill, and how often
    the kill came before its end.
    """
    source = write(folder / "rows.jsonl", rows(200))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.intake.test_running", "instructgpt.store.intake"])

    def run(path: Path, after: float | None) -> float:
        ready = context.Event()
        process = context.Process(target=_take, args=(path, source, ready))
        process.start()
        ready.wait(60)
        begun = time.perf_counter()
        process.join(after)
        if after is None:
            assert process.exitcode == 0
        process.kill()
        process.join()
        return time.perf_counter() - begun

    whole = run(folder / "whole.db", None)
    found, early = [standing(folder / "whole.db")], 0
    rng = Random(7)
    for number in range(kills):
        path = folder / f"{number}.db"
        opened(path).close()
        run(path, whole * rng.random())
        early += standing(path) != found[0]
        run(path, None)
        found.append(standing(path))
    return found, early


def test_a_kill_changes_nothing(tmp_path):
    (whole, *others), early = killed_and_repeated(tmp_path, 2)
    assert len(whole) > 50
    assert others == [whole] * 2
    assert early > 0


@pytest.mark.long
def test_twenty_kills_change_nothing(tmp_path):
    (whole, *others), early = killed_and_repeated(tmp_path, 20)
    assert others == [whole] * 20
    assert early > 5

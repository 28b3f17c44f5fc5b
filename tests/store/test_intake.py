"""What intake reads and writes, on both engines."""

import pytest

from instructgpt.data.records import Prompt
from instructgpt.errors import UserError
from instructgpt.intake.rules import Rules
from instructgpt.intake.running import intake, undo
from instructgpt.intake.story import stories
from instructgpt.store import Store
from instructgpt.store.decisions import Change
from instructgpt.store.intake import Intake
from tests.intake.conftest import cheap as cheap
from tests.intake.conftest import write


@pytest.mark.usefixtures("cheap")
def test_an_intake_and_its_undoing_on_both_engines(store, tmp_path):
    own = [
        {"id": "a", "prompt": "One.", "user_id": "u", "created": "2026-01-02", "ambiguous": True},
        {"id": "b", "prompt": "ONE.", "user_id": "v", "created": "2026-01-01"},
        {
            "id": "c",
            "prompt": "Two x@y.org",
            "org_id": "o",
            "team": {"z": 1, "a": [None, "\u00e9"]},
        },
    ]
    rules = Rules(pii="all", splits="1/0/0")
    source = write(tmp_path / "a.jsonl", own)
    run, account = intake(store, [source], rules, assume_consent="a test")
    told = account.as_json()
    assert (told["kept"], told["splits"]["train"]) == (2, 2)
    assert intake(store, [source], rules, assume_consent="a test")[0] == run
    assert [stories(store, name)[0].verdict for name in "abc"] == [
        'dropped at duplicates: equal (id "b")',
        "kept",
        "kept",
    ]
    assert list(Intake(store).annotated()) == [(stories(store, "a")[0].key, "ambiguous")]
    other, _ = intake(store, [write(tmp_path / "b.jsonl", own[1:2])], rules, assume_consent="why")
    assert undo(store, run) == 2
    assert [stories(store, name)[0].verdict for name in "abc"] == [
        "undone at arrival",
        "kept",
        "undone at arrival",
    ]
    assert [one.number for one in Intake(store).active()] == [other]


def test_prompts_come_by_their_keys_with_what_is_known_of_consent(store):
    own = Intake(store)
    first = own.begin("intake", {"assume_consent": "yes"}, {"a": "1"})
    second = own.begin("intake", {"assume_consent": ""}, {"b": "2"})
    said = [None, True, None, True, False, None]
    prompts = [Prompt(prompt=f"number {n}", extra=n, consent=c) for n, c in enumerate(said)]
    keys = own.add(first, prompts[:3], [{}] * 3, assumed=True)
    keys += own.add(second, prompts[2:], [{"use_case": "other"}] + [{}] * 3)[1:]
    assert own.add(second, prompts[2:3], [{"use_case": "other"}]) == keys[2:3]
    found = list(own.prompts([first, second]))
    assert [one.key for one in found] == sorted(keys)
    agreed = [one.row["extra"] for one in found if one.consents]
    assert sorted(agreed) == [0, 1, 2, 3]  # the third by the first intake alone
    assert all(one.row["extra"] == int(one.row["prompt"][-1]) for one in found)
    found_second = {one.key: one.consents for one in own.prompts([second])}
    assert list(found_second) == sorted(keys[2:])
    assert {keys.index(key) for key, agreed in found_second.items() if agreed} == {3}
    assert [[tuple(one[:4]) for one in own.consents(key)] for key in keys] == [
        [(first, True, True, "yes")],
        [(first, True, False, "")],
        [(first, True, True, "yes")],
        [(second, True, False, "")],
        [(second, False, False, "")],
        [],
    ]
    assert own.withdrawn([second]) == sorted(keys[:2])
    assert dict(own.rows(keys[1:2])) == {keys[1]: {one.key: one.row for one in found}[keys[1]]}
    assert list(own.annotated()) == [(keys[2], "use_case")]


@pytest.mark.usefixtures("cheap")
def test_whose_prompt_was_erased_has_agreed_all_the_same(url, tmp_path):
    own = [
        {"id": "a", "prompt": "One.", "user_id": "u", "consent": True},
        {"id": "b", "prompt": "Two.", "user_id": "u"},
        {"id": "c", "prompt": "Three.", "user_id": "v", "consent": False},
    ]
    with Store.open(url) as store:
        source = write(tmp_path / "a.jsonl", own)
        intake(store, [source], assume_consent="their contract")
        store.erase("u")
        said = [list(stories(store, name)[0].told()) for name in "abc"]
        assert [lines[0].partition(": ")[2][:9] for lines in said] == ["erased on"] * 2 + [
            "dropped a"
        ]
        at = said[0][1].rpartition(" of ")[2].partition(": ")[0]
        assert [lines[2] for lines in said] == [
            f"  consent given by its record, brought by intake 1 of {at}",
            f"  consent assumed by intake 1 of {at}: their contract",
            f"  consent refused by its record, brought by intake 1 of {at}",
        ]
        (told,) = stories(store, "b")
        assert told.as_json()["consents"] == [
            {"run": 1, "given": True, "assumed": True, "reason": "their contract", "at": at}
        ]


def test_nothing_of_who_is_erased_comes_back_by_an_intake_that_runs(url):
    """What it has in its hand was read before; and what a record says of itself is a text too."""
    with Store.open(url) as store:
        prompts = [Prompt(prompt=f"number {n}", user_id=f"u{n}", use_case="mine") for n in "12"]
        store.add(prompts)
        own = Intake(store)
        run = own.begin("intake", {})
        first, second = own.add(run, prompts[:1], [{}]) + own.add(run, prompts[1:], [{}])
        store.erase("u1")
        for late in (
            lambda: own.keep([(first, "d", "number 1")]),
            lambda: own.decide(
                run, [Change(first, "pii", "kept", "", {"fields": {"prompt": "1"}})]
            ),
            lambda: list(own.rows([first, second])),
        ):
            with pytest.raises(UserError, match="somebody was erased meanwhile; run the same"):
                late()
        again = Intake(store)
        again.add(run, prompts, [{"use_case": "mine"}] * 2)
        assert list(again.annotated()) == [(second, "use_case")]
        assert again.found("d") == {}
        assert again.story(first) == []


def test_the_last_decision_of_a_step_counts_and_findings_are_kept_once(store):
    own = Intake(store)
    run = own.begin("intake", {})
    one, other = sorted(own.add(run, [Prompt(prompt="1"), Prompt(prompt="2")], [{}, {}]))
    own.decide(
        run, [Change(one, "cap", "dropped", "over", None), Change(one, "use", "kept", "", {})]
    )
    own.decide(run, [Change(one, "cap", "kept", "", {"a": [1]})])
    found = own.current([one, other])
    assert {step: change[2:5] for step, change in found[one].items()} == {
        "cap": ("kept", "", {"a": [1]}),
        "use": ("kept", "", {}),
    }
    assert other not in found
    assert [change.run for change in own.story(one)] == [run] * 3
    own.keep([(one, "d", None), (other, "d", {"x": 1})])
    own.keep([(one, "d", "again")])
    assert own.found("d") == {one: None, other: {"x": 1}}
    assert own.found("e") == {}

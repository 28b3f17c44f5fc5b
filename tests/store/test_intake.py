"""What intake reads and writes, on both engines."""

import pytest

from instructgpt.data.records import Prompt
from instructgpt.intake.rules import Rules
from instructgpt.intake.running import intake, undo
from instructgpt.intake.story import stories
from instructgpt.store.intake import Change, Intake
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


def test_prompts_come_by_their_keys_with_what_their_runs_assume(store):
    own = Intake(store)
    first = own.begin("intake", {"assume_consent": "yes"}, {"a": "1"})
    second = own.begin("intake", {"assume_consent": ""}, {"b": "2"})
    prompts = [Prompt(prompt=f"number {n}", extra=n) for n in range(5)]
    keys = own.add(first, prompts[:3], [{}] * 3)
    keys += own.add(second, prompts[2:], [{"use_case": "other"}] + [{}] * 2)[1:]
    assert own.add(second, prompts[2:3], [{"use_case": "other"}]) == keys[2:3]
    found = list(own.prompts([first, second], [first]))
    assert [one.key for one in found] == sorted(keys)
    assert {one.row["prompt"]: one.is_assumed for one in found} == {
        f"number {n}": n < 3 for n in range(5)
    }
    assert all(one.row["extra"] == int(one.row["prompt"][-1]) for one in found)
    assert [one.key for one in own.prompts([second], [])] == sorted(keys[2:])
    assert own.withdrawn([second]) == sorted(keys[:2])
    assert dict(own.rows(keys[1:2])) == {keys[1]: {one.key: one.row for one in found}[keys[1]]}
    assert list(own.annotated()) == [(keys[2], "use_case")]


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

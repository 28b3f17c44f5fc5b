"""The ten steps over a dozen prompts, each decision by hand; and what is added to what holds."""

from collections import Counter
from itertools import pairwise

from instructgpt.intake.account import Account, fate_of
from instructgpt.intake.deciding import changes, decide
from instructgpt.intake.entry import Decision, entry_of, normal
from instructgpt.intake.rules import Rules
from instructgpt.intake.texts import whole_text

KEY = b"k" * 32
LONG = "Describe the harbor of a small town in the morning, with its boats, its gulls and its noise"
ALL_TRAIN = {"splits": "1/0/0", "uses": "0/0/1", "labeler_uses": "1/0/0"}
ROWS = {
    "k01": {"prompt": "Name a color.", "created": "2026-01-01"},
    "k02": {"prompt": "name a  COLOR.", "created": "2026-01-02"},
    "k03": {"prompt": "No.", "consent": False},
    "k04": {"prompt": "Nobody asked whether I agree.", "consent": None},
    "k05": {"prompt": LONG, "created": "2026-02-01"},
    "k06": {"prompt": LONG + " at noon", "created": "2026-02-02"},
    "k07": {"prompt": "too long " * 12},
    "k08": {"prompt": "Mail a@b.org", "source": "labeler"},
    "k09": {"prompt": "of u1, first", "user_id": "u1"},
    "k10": {"prompt": "of u1, second", "user_id": "u1"},
    "k11": {"prompt": "of u1, third", "user_id": "u1"},
    "k12": {
        "prompt": "Add. 1",
        "instruction": "Add.",
        "examples": [{"input": "1", "output": "2"}, {"input": "2", "output": "3"}],
    },
}


class ByHand:
    """Texts from the rows above, and detectors that find what this test says."""

    def normal(self, keys):
        return [(key, normal(whole_text(ROWS[key]))) for key in keys]

    def found(self, tokens, pii, language):
        counts = {key: len(ROWS[key]["prompt"].split()) for key in tokens}
        personal = {"fields": {"prompt": "Mail <EMAIL_1>"}, "types": {"EMAIL": 1}}
        found = {key: personal if "@" in ROWS[key]["prompt"] else None for key in pii}
        return counts, found, {key: ["en", 0.9] for key in language}


def decided(released=(), **rules):
    entries = [
        entry_of(key, {"id": f"id-{key}", **row}, row.get("consent", True) is True)
        for key, row in ROWS.items()
    ]
    rules = Rules(tokenizer="words", max_tokens=20, cap=2, **ALL_TRAIN, **rules)
    forward = dict(decide(entries, rules, KEY, ByHand(), released))
    assert dict(decide(entries[::-1], rules, KEY, ByHand(), released)) == forward
    assert list(forward) == sorted(ROWS)
    return forward


def test_what_becomes_of_twelve_prompts():
    found = decided()
    stops = {key: (last.step, last.reason) for key, (*_, last) in found.items() if not last.passes}
    capped = {key for key, stop in stops.items() if stop[0] == "cap"}
    assert len(capped) == 1
    assert capped < {"k09", "k10", "k11"}
    assert {key: stop for key, stop in stops.items() if key not in capped} == {
        "k02": ("duplicates", "equal"),
        "k03": ("consent", "no consent"),
        "k04": ("consent", "no consent"),
        "k06": ("duplicates", "common prefix"),
        "k07": ("form", "too long"),
    }
    # Both know of each other.
    assert found["k02"][-1].detail == {"of": "k01", "id": "id-k01"}
    assert found["k01"][0] == Decision(
        "duplicates", "kept", "stands for others", {"others": 1, "ids": ["id-k02"]}
    )
    assert found["k07"][-1].detail == {"tokens": 24}
    assert found["k08"] == [
        Decision("split", "kept", "train", {"fields": {"split": "train"}}),
        Decision("use", "kept", "sft", {"fields": {"use": "sft"}}),
        Decision(
            "pii",
            "kept",
            "masked",
            {"types": {"EMAIL": 1}, "fields": {"prompt": "Mail <EMAIL_1>"}},
        ),
        Decision("language", "kept", "en", {"fields": {"language": "en"}, "score": 0.9}),
    ]
    assert found["k12"][-1] == Decision("few-shot", "kept", "", {"demonstrations": 2})
    assert found["k05"][2].reason == "ppo"


def test_what_may_become_of_personal_data():
    dropped = decided(pii_action="drop")["k08"]
    assert (dropped[-1].outcome, dropped[-1].detail) == ("dropped", {"types": {"EMAIL": 1}})
    held = decided(pii_action="hold")["k08"]
    assert [(d.step, d.outcome) for d in held[2:]] == [("pii", "held"), ("language", "kept")]
    let_go = decided(pii_action="hold", released={"k08"})["k08"]
    assert [(d.step, d.outcome) for d in let_go[2:]] == [("pii", "released"), ("language", "kept")]
    assert [d.step for d in decided(pii="none")["k08"]] == ["split", "use", "language"]


def test_the_account_counts_rows_and_a_step_takes_what_the_one_before_kept():
    fates = {key: fate_of(said) for key, said in decided(pii_action="hold").items()}
    rows = Counter(dict.fromkeys(ROWS, 1)) + Counter({"k01": 1, "k02": 1, "k03": 1, "gone": 1})
    told = Account(rows, Counter({True: 2, False: 1}), fates).as_json()
    kept = {step["step"]: (step["in"], step["kept"]) for step in told["steps"]}
    dropped = {step["step"]: step["dropped"] for step in told["steps"] if step["dropped"]}
    assert told["rows"] == 19
    assert dropped == {
        "consent": {"erased": 1, "no consent": 4},  # one of them empty
        "form": {"empty": 2, "too long": 1},
        "duplicates": {"common prefix": 1, "equal": 3},  # k02 twice, k01 again
        "cap": {"over 2 per user": 1},
        "pii": {"personal data": 1},
    }
    assert list(kept) == [
        *("consent", "form", "duplicates", "cap", "split", "use", "pii", "language"),
        *("annotations", "few-shot"),
    ]
    chain = [19, 14, 11, 7, 6, 6, 6, 5, 5, 5, 5]
    assert list(kept.values()) == list(pairwise(chain))
    assert (told["kept"], told["splits"]) == (5, {"train": 5, "valid": 0, "test": 0})
    assert told["uses"] == {"sft": 1, "reward": 0, "ppo": 4}


def test_only_what_differs_is_added():
    split = Decision("split", "kept", "train", {"fields": {"split": "train"}})
    masked = Decision("pii", "kept", "masked", {"types": {"EMAIL": 1}})
    capped = Decision("cap", "dropped", "over 2 per user")
    assert list(changes([split, masked], {})) == [split, masked]
    assert list(changes([split, masked], {"split": split, "pii": masked})) == []
    # Not over the cap any more; and nothing is found any more.
    assert list(changes([split], {"cap": capped, "pii": masked})) == [
        Decision("cap", "kept"),
        split,
        Decision("pii", "kept"),
    ]
    # What later steps said before says nothing of a prompt that is dropped.
    assert list(changes([capped], {"split": split, "pii": masked})) == [capped]
    back = {"arrival": Decision("arrival", "undone")}
    assert list(changes([split], back)) == [Decision("arrival", "kept"), split]
    assert list(changes([split], {"arrival": Decision("arrival", "kept"), "split": split})) == []

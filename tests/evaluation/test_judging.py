"""How good a judge is: the formats of known texts, and accuracy and AUC by hand."""

import hashlib
import json

import pytest

from instructgpt.cli import main
from instructgpt.errors import UserError
from instructgpt.evaluation.judges import quality_of
from instructgpt.evaluation.judging import known_texts, measured_on, told
from tests.evaluation.tasks.rows import write_csv
from tests.files import sentence, write_policy, write_rows

PAIRS = [
    {"prompt": f"Q: Do {n} frogs fly?\nA: {answer}\nTrue:", "completion": verdict}
    for n in (2, 3)
    for answer, verdict in (("No.", " yes"), ("Yes.", " no"))
]


class Judge:
    quality = None

    def __init__(self, scores):
        self.scores = scores

    def score(self, texts):
        return [self.scores[text["text"]] for text in texts]


def ran(*words):
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code


def test_accuracy_and_auc_by_hand(tmp_path):
    """Right: a, c, d. Of the pairs yes > no: a > c, a > d, b < c, b > d."""
    rows = [("a", 1), ("b", 1), ("c", 0), ("d", 0)]
    path = write_rows(tmp_path / "x.jsonl", [{"text": t, "label": label} for t, label in rows])
    _, known = known_texts(path)
    found = measured_on(Judge({"a": 0.9, "b": 0.2, "c": 0.3, "d": 0.1}), known)
    assert found["accuracy"]["estimate"] == 3 / 4
    assert found["auc"]["estimate"] == 3 / 4
    assert (found["n"], found["groups"], found["said_yes"]) == (4, 4, 0.25)
    assert (found["share_yes"], found["always_one_word"]) == (0.5, 0.5)


def test_texts_of_one_kind_have_no_auc(tmp_path):
    path = write_rows(tmp_path / "x.jsonl", [{"text": t, "toxicity": 0.9} for t in "ab"])
    found = measured_on(Judge({"a": 0.9, "b": 0.2}), known_texts(path)[1])
    assert found["auc"] is None
    assert found["accuracy"]["estimate"] == found["share_yes"] - 0.5 == 0.5
    assert "all of one kind" in told([{"kind": "toxicity", "on": "x", **found}])


def test_training_rows_tell_what_they_are_about(tmp_path):
    kind, known = known_texts(write_rows(tmp_path / "x.jsonl", PAIRS))
    assert kind == "truth"
    assert known[1] == ({"question": "Do 2 frogs fly?", "answer": "Yes."}, False, "Do 2 frogs fly?")
    assert [one.is_yes for one in known] == [True, False, True, False]
    renamed = [{"prompt": row["prompt"], "response": row["completion"]} for row in PAIRS]
    assert known_texts(write_rows(tmp_path / "y.jsonl", renamed)) == (kind, known)


def test_a_moderated_text_is_toxic_by_any_column_but_self_harm(tmp_path):
    rows = [
        {"prompt": "a", "S": 0, "H": 0, "V": 0, "HR": 1},
        {"prompt": "b", "S": 0, "SH": 1},
        {"prompt": "c", "V2": 1},
        {"prompt": "d", "V": 0},
    ]
    kind, known = known_texts(write_rows(tmp_path / "x.jsonl", rows))
    assert kind == "toxicity"
    assert [one.is_yes for one in known] == [True, False, True, False]


def test_published_scores_are_yes_from_a_half_on(tmp_path):
    rows = [
        {"question": "q", "answer": a, "true": true, "info": info}
        for a, true, info in (("x", 0.5, 0.4), ("y", 0.49, 0.9), ("z", "", 0.5))
    ]
    write_csv(tmp_path / "t.csv", rows)
    assert [one.is_yes for one in known_texts(tmp_path / "t.csv", "truth")[1]] == [True, False]
    assert [one.is_yes for one in known_texts(tmp_path / "t.csv", "info")[1]] == [False, True, True]
    with pytest.raises(UserError, match="say with --kind which") as raised:
        known_texts(tmp_path / "t.csv")
    sentence(raised)
    write_csv(tmp_path / "r.csv", [{"context": "c", "sample": "s", "toxicity": 0.7}])
    assert known_texts(tmp_path / "r.csv") == ("toxicity", [({"text": "s"}, True, "c")])


@pytest.mark.parametrize(
    ("row", "kind", "why"),
    [
        ({"text": "rude"}, "", "a row needs"),
        ({"text": "rude", "label": "perhaps"}, "", "yes or no"),
        ({"text": "rude", "label": 1}, "truth", "about toxicity"),
        ({"prompt": "rude", "completion": " yes"}, "", "ends with none"),
        ({"prompt": "Q: rude\nA: x\nTrue:", "completion": " yes"}, "info", "not one of info"),
        ({"text": "rude", "label": None}, "", "no text with a label"),
    ],
)
def test_a_file_in_no_format_is_named_and_not_printed(tmp_path, row, kind, why):
    path = write_rows(tmp_path / "x.jsonl", [row])
    with pytest.raises(UserError, match=why) as raised:
        known_texts(path, kind)
    assert path in sentence(raised)
    assert "rude" not in str(raised.value)


def test_the_command_keeps_what_it_has_measured(tmp_path, capsys):
    place = write_policy(tmp_path / "judge")
    path = write_rows(tmp_path / "x.jsonl", PAIRS)
    assert ran("eval", "judge", place, path, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["judge"] == place
    (found,) = printed["measured"]
    assert found.pop("kind") == "truth"
    assert quality_of(place, "truth") == {**found, "others": []}
    assert (found["on"], found["n"], found["groups"]) == ("x.jsonl", 4, 2)
    content = (tmp_path / "x.jsonl").read_bytes()
    assert found["file"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert ran("eval", "judge", place, path) == 0
    assert "truth on x.jsonl: 4 texts in 2 groups" in capsys.readouterr().out
    assert ran("eval", "judge", place) == 2


@pytest.mark.real
def test_the_shared_files(public_data):
    folder = public_data / "evals"
    scores = folder / "instructgpt_samples" / "real_toxicity_samples.csv.gz"
    kind, known = known_texts(scores)
    assert (kind, len(known), sum(one.is_yes for one in known)) == ("toxicity", 3060, 431)
    kind, known = known_texts(folder / "truthfulqa" / "judge_truth.jsonl.gz")
    assert (kind, len(known), sum(one.is_yes for one in known)) == ("truth", 6000, 2586)

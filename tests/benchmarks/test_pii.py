"""The measurements of personal data and languages run, on a few texts."""

import gzip
import json
import sys

import pytest

import languages
import pii
import pii_texts


@pytest.mark.parametrize("part", ["seen", "held out", "fresh"])
def test_pieces_stand_where_the_texts_say(part):
    made = pii_texts.texts(80, part, 5, personal=True)
    assert all(0 <= piece.start < piece.end <= len(one.text) for one in made for piece in one.gold)
    assert all(one.gold for one in made)
    assert made == pii_texts.texts(80, part, 5, personal=True)
    assert not any(one.gold for one in pii_texts.texts(40, part, 5, personal=False))


class Exact:
    """Finds what stands in the first text, one sign too much; and in the second something else."""

    version = "exact"

    def find(self, text):
        kind = "EMAIL" if text.startswith("a@b.org") else "PHONE"
        return [pii.Span(0, 8, kind, 1.0)]


def test_recall_and_precision_by_hand():
    gold = (pii_texts.Gold(0, 7, "EMAIL"),)
    texts = [pii_texts.Text(one, gold, "en_US") for one in ("a@b.org is mine", "c@d.org is not")]
    assert pii.score(texts, Exact()) == {
        "EMAIL": {"pieces": 2, "spans": 1, "recall": 0.5, "precision": 1.0},
        "PHONE": {"pieces": 0, "spans": 1, "recall": 0, "precision": 0.0},
    }


def test_the_measurement_of_personal_data_runs(tmp_path, monkeypatch, capsys):
    out = tmp_path / "pii.json"
    monkeypatch.setattr(sys, "argv", ["pii.py", "--count", "120", "--out", str(out)])
    monkeypatch.setattr(pii, "speed", lambda *_: {})
    pii.main()
    found = json.loads(out.read_text())
    assert found == json.loads(capsys.readouterr().out)
    assert found["held_out"].keys() >= {"EMAIL", "PHONE", "IBAN"} <= found["fresh"].keys()


def test_the_measurement_of_languages_runs(tmp_path, monkeypatch, capsys):
    for name, text in (
        ("lima", "Why is the sky blue in the morning?"),
        ("oasst1_zh_sft", "天空为什么是蓝色的？"),
    ):
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.write(json.dumps({"instruction": text}) + "\n")
    with gzip.open(tmp_path / "gsm8k_train.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({"question": "How many apples are left?"}) + "\n")
    monkeypatch.setattr(sys, "argv", ["languages.py", "--data", str(tmp_path), "--count", "1"])
    monkeypatch.setattr(languages, "LENGTHS", (20,))
    languages.main()
    found = json.loads(capsys.readouterr().out)
    assert found["people, 20 characters"]["texts"] == 2
    assert found["word lists, 20 characters"]["0.0"]["told"] == 1.0

"""What a judge is trained on shares no question with what it is measured on."""

import json
import subprocess
import sys

import pytest

from judges import rows_of
from tests.benchmarks.conftest import BENCHMARKS
from tests.evaluation.tasks.rows import write_csv
from tests.files import write_policy, write_rows
from tests.tiny import tiny_model

QUESTIONS = [f"Do frogs of kind {n} fly?" for n in range(26)]


@pytest.fixture
def data(tmp_path):
    """Two answers to each question, of which the first two were published; moderated texts."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, word in (("truth", "True"), ("info", "Helpful")):
        rows = [
            {"prompt": f"Q: {q}\nA: {answer}\n{word}:", "completion": verdict}
            for answer, verdict in (("No.", " yes"), ("Yes.", " no"))
            for q in QUESTIONS
        ]
        write_rows(folder / f"judge_{name}.jsonl", rows)
    published = [
        {"question": q, "answer": a, "true": true, "info": 1 - true}
        for q in QUESTIONS[:2]
        for a, true in (("No, never.", 0.9), ("Often.", 0.1))
    ]
    write_csv(folder / "truthful_qa_samples.csv", published)
    texts = [{"prompt": f"Frog {n} croaks " * 30, "H": n % 2, "SH": 1} for n in range(24)]
    write_rows(folder / "openai_moderation.jsonl", texts)
    scored = [{"context": f"c{n}", "sample": f"s {n}", "toxicity": n % 2} for n in range(4)]
    write_csv(folder / "real_toxicity_samples.csv", scored)
    return folder


@pytest.mark.parametrize("kind", ["truth", "info"])
def test_whole_questions_are_held_out_and_the_published_ones_left_out(kind, data):
    parts = rows_of(kind, str(data))
    asked = {
        name: {row["prompt"].split("\n")[0].removeprefix("Q: ") for row in rows}
        for name, rows in parts.items()
    }
    assert {name: len(found) for name, found in asked.items()} == {"train": 18, "val": 2, "test": 4}
    assert sum(map(len, parts.values())) == 2 * 24
    assert not set.union(*asked.values()) & {*QUESTIONS[:2]}
    assert len(set.union(*asked.values())) == 24


def test_moderated_texts_are_short_and_apart(data):
    parts = rows_of("toxicity", str(data))
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 18, "val": 2, "test": 4}
    rows = [row for part in parts.values() for row in part]
    assert len({row["prompt"] for row in rows}) == 24
    for row in rows:
        text = row["prompt"].removesuffix("\nToxic:")
        assert len(text) <= 200
        assert text.endswith(("Frog", "croaks", text.split()[1]))
        number = int(text.split()[1])
        assert row["completion"] == (" yes" if number % 2 else " no")


@pytest.mark.slow
@pytest.mark.long
def test_three_judges_are_trained_and_measured(data, tmp_path):
    model = write_policy(tmp_path / "model", model=tiny_model(context=256))
    command = [sys.executable, str(BENCHMARKS / "judges.py"), "--data", str(data)]
    command += ["--out", str(tmp_path / "out"), "--model", model, "--threads", "1"]
    printed = subprocess.run(
        [*command, "--dtype", "float32", "--", "--max_steps", "2", "--warmup", "1"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    judges = json.loads(printed)["judges"]
    assert set(judges) == {"truth", "info", "toxicity"}
    for kind, found in judges.items():
        held_out, published = found["measured"]
        assert held_out["n"] == found["rows"]["test"]
        assert published["n"] == 4
        kept = json.loads((tmp_path / "out" / kind / "model" / "judge.json").read_text())
        assert kept["measured"] == found["measured"]

"""Texts from elsewhere: three formats, the figures by hand, and the paper's own twelve models."""

import json

import pytest

from instructgpt.cli import main
from instructgpt.errors import UserError
from instructgpt.evaluation.benchmark import stage
from instructgpt.evaluation.benchmark.config import BenchmarkConfig
from instructgpt.evaluation.benchmark.samples import (
    agreement,
    agreement_json,
    as_json,
    judged_anew,
    read_samples,
    results_of,
)
from instructgpt.evaluation.benchmark.tell import WIDTH, side_by_side, told
from tests.evaluation.tasks.rows import ROWS, write_csv
from tests.files import write_policy, write_rows
from tests.ppo.letters import letter_policy
from tests.tiny import byte_tokenizer


def scored(*paths, data_dir=""):
    return as_json(results_of(read_samples(paths, data_dir)))["models"]


def figures(task):
    """Estimates by prompt and metric."""
    return {(f["prompt"], f["metric"]): f["estimate"] for f in task["figures"]}


def published(path, *, samples=("", ""), **columns):
    """Rows as in the paper's csv, a model's each."""
    models = zip(("gpt-xl", "sft-xl"), samples, strict=True)
    rows = [
        {"": n, "model_type": model, "prompt_type": "zeroshot", "sample": sample, **columns}
        for n, (model, sample) in enumerate(models)
    ]
    write_csv(path, rows)
    return path


# ---------------------------------------------------------------- the published files


def test_answers_to_published_questions(tmp_path):
    about = {"context": "Title: x\n\nBackground: y\n\nQ: z\n\nA:", "ref_text": "a red fox|fox"}
    path = published(tmp_path / "any.csv", samples=("\nthe fox ", "grey fox"), **about)
    found = scored(path)
    assert figures(found["gpt-xl"]["paper-squadv2"]) == {
        ("zeroshot", "f1"): 100.0,
        ("zeroshot", "exact_match"): 100.0,
    }
    assert figures(found["sft-xl"]["paper-squadv2"]) == {
        ("zeroshot", "f1"): pytest.approx(100 * 2 / 3),  # 1 word of 2 and of 1
        ("zeroshot", "exact_match"): 0.0,
    }
    assert found["sft-xl"]["paper-squadv2"]["difference"]["estimate"] == pytest.approx(-100 / 3)


def test_stored_scores_of_judges(tmp_path):
    rows = [
        {
            "model_type": "gpt-xl",
            "prompt_type": "QA prompt",
            "adversarial": "True",
            "question": f"Question {i}?",
            "answer": "yes",
            "true": true,
            "info": info,
        }
        for i, (true, info) in enumerate([(0.9, 0.4), (0.5, 0.8), (0.49, 1.0), (0.2, 0.1)])
    ]
    write_csv(tmp_path / "truth.csv", rows)
    task = scored(tmp_path / "truth.csv")["gpt-xl"]["paper-truthfulqa"]
    assert figures(task) == {
        ("QA prompt", "true"): 0.5,
        ("QA prompt", "true and informative"): 0.25,
        ("QA prompt", "informative"): 0.5,
    }
    assert task["judges"] == {"truth": {"stored": "truth.csv"}}
    about = {"context": "Once", "toxicity": 0.75}
    path = published(tmp_path / "toxic.csv", samples=("x", "x"), **about)
    assert figures(scored(path)["sft-xl"]["paper-toxicity"])["zeroshot", "toxicity"] == 0.75


# ---------------------------------------------------------------- what eval has kept


def test_what_eval_has_kept_gives_its_figures_again(tmp_path):
    for task in ("squadv2", "drop", "hellaswag"):
        ROWS[task](tmp_path)
    letter_policy(seed=1).save(tmp_path / "model")
    run = stage.evaluate(
        BenchmarkConfig(
            models=[str(tmp_path / "model")],
            names=["mine"],
            tasks=["squadv2", "drop", "hellaswag"],
            data_dir=str(tmp_path),
            out=str(tmp_path / "run"),
            shots=2,
            limit=5,
        )
    )
    files = sorted((run.dir / "mine").glob("*.jsonl"))
    assert [file.name for file in files] == [
        "drop-2shot.jsonl",
        "hellaswag-2shot.jsonl",
        "squadv2-2shot.jsonl",
    ]
    before = json.loads((run.dir / "results.json").read_text())["models"]["mine"]
    again = scored(*files)["mine"]
    assert again.keys() == before.keys()
    for task, result in again.items():
        for key in ("estimate", "low", "high", "n", "shots", "metric", "endings", "version"):
            assert result[key] == before[task][key], (task, key)
        assert [f["estimate"] for f in result["figures"]] == [
            f["estimate"] for f in before[task]["figures"]
        ]


# ---------------------------------------------------------------- anybody's JSON Lines


def test_rows_with_references(tmp_path):
    rows = [
        {"task": "squadv2", "model": "m", "text": "Q?", "references": ["sea"], "output": "the sea"},
        {"task": "squadv2", "model": "m", "id": 7, "references": "lake", "output": "sea"},
        {"task": "drop", "id": "d", "references": [["Bob", "Eve"], "both"], "output": "Eve, Bob"},
        {"task": "wmt15-fr-en", "id": 1, "references": ["a b c d e"], "output": "a b c d e"},
        {"task": "cnndm", "prompt": "short", "id": 1, "references": ["a b"], "output": "a b c d"},
    ]
    path = tmp_path / "outputs.jsonl"
    write_rows(path, rows)
    found = scored(path)
    assert figures(found["m"]["squadv2"]) == {("", "f1"): 50.0, ("", "exact_match"): 50.0}
    assert found["m"]["squadv2"]["n"] == 2
    own = found["outputs"]  # without a model, the file's name
    assert figures(own["drop"]) == {("", "f1"): 100.0, ("", "exact_match"): 100.0}
    assert figures(own["wmt15-fr-en"]) == {("", "bleu"): pytest.approx(100.0)}
    assert figures(own["cnndm"]) == {("short", "rouge_l"): pytest.approx(2 / 3)}


def test_a_task_of_ones_own(tmp_path):
    own = "instructgpt.evaluation.tasks.squadv2:SquadV2"
    write_rows(tmp_path / "my.jsonl", [{"task": own, "id": 1, "references": "a", "output": "b c"}])
    assert scored(tmp_path / "my.jsonl")["my"]["squadv2"]["estimate"] == 0.0


def test_rows_that_name_an_item(tmp_path):
    ROWS["drop"](tmp_path)
    query = "Passage: Ann threw a 2-yard pass in two games, Bob and Eve none.\n"
    rows = [
        {"task": "drop", "id": "one-2", "output": "Bob and Eve"},
        {"task": "drop", "text": f"{query}Question: When?\nAnswer:", "output": "May 1999"},
    ]
    write_rows(tmp_path / "my.jsonl", rows)
    found = scored(tmp_path / "my.jsonl", data_dir=tmp_path)["my"]["drop"]
    assert figures(found) == {("", "f1"): 90.0, ("", "exact_match"): 50.0}  # 1 and 0.8
    write_rows(tmp_path / "other.jsonl", [{"task": "drop", "id": "nine", "output": "x"}])
    with pytest.raises(UserError, match=r"other\.jsonl line 1: no item has the id 'nine'"):
        scored(tmp_path / "other.jsonl", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"output": "x"}, "'task' is missing"),
        ({"task": "squadv3", "output": "x", "id": 1}, "there is no 'squadv3'"),
        ({"task": "squadv2", "id": 1}, "'output' is missing"),
        ({"task": "squadv2", "output": "x"}, "'id' is missing"),
        ({"task": "squadv2", "id": 1, "output": 3}, "must be texts"),
        ({"task": "squadv2", "id": 1, "output": "x"}, "lack what its figures need"),
        ({"task": "hellaswag", "id": 1, "references": ["x"], "output": "x"}, "lack what"),
        (
            {"task": "paper-toxicity", "text": "x", "output": "y", "judged": {"toxicity": 2}},
            "toxicity must lie between 0 and 1",
        ),
    ],
)
def test_a_bad_row_is_one_sentence(row, said, tmp_path):
    write_rows(tmp_path / "bad.jsonl", [row])
    with pytest.raises(UserError, match=said):
        scored(tmp_path / "bad.jsonl")


def test_a_bad_csv_is_one_sentence(tmp_path):
    (tmp_path / "bad.csv").write_text("model_type,sample\nx,y\n")
    with pytest.raises(UserError, match=r"bad\.csv: the column 'context' is missing; give a csv"):
        scored(tmp_path / "bad.csv")
    (tmp_path / "none.csv").write_text("model_type,sample\n")
    with pytest.raises(UserError, match=r"none\.csv has no texts"):
        scored(tmp_path / "none.csv")


# ---------------------------------------------------------------- judges


class FirstLetter:
    """Says yes of what begins with x; counts what it is asked."""

    def __init__(self):
        self.asked, self.quality = 0, {"accuracy": 0.75}

    def score(self, texts):
        self.asked += len(texts)
        return [0.9 if text["text"].startswith("x") else 0.1 for text in texts]


def test_texts_that_are_read_by_another_judge(tmp_path):
    rows = [
        {"model_type": "m", "prompt_type": "basic", "context": c, "sample": s, "toxicity": t}
        for c, s, t in [("a", "x", 0.9), ("b", "x", 0.2), ("c", "y", 0.1), ("d", "z", 0.3)]
    ]
    write_csv(tmp_path / "toxic.csv", rows)
    found, judge = read_samples([tmp_path / "toxic.csv"]), FirstLetter()
    anew = judged_anew(found, {"toxicity": lambda: judge})
    task = as_json(results_of(anew))["models"]["m"]["paper-toxicity"]
    assert figures(task)["basic", "toxicity"] == pytest.approx((0.9 + 0.9 + 0.1 + 0.1) / 4)
    assert task["judges"] == {"toxicity": {"accuracy": 0.75}}
    assert judge.asked == 3  # equal texts once
    both = agreement(found, anew)["paper-toxicity"]["toxicity"]
    assert (both.same.estimate, both.same.n) == (0.75, 4)
    assert both.auc.estimate == pytest.approx((0.5 + 1 + 1) / 3)  # 0.9 over 0.9, 0.1, 0.1
    assert agreement_json({"t": {"toxicity": both}})["t"]["toxicity"]["same"]["n"] == 4


# ---------------------------------------------------------------- the command


def test_the_command_prints_json_or_a_table(tmp_path, capsys):
    about = {"context": "French: oui\nEnglish:", "ref_text": "yes it is so indeed"}
    path = published(tmp_path / "fr.csv", samples=("yes it is so indeed", "no"), **about)
    with pytest.raises(SystemExit):
        main(["eval", "samples", str(path), "--json"])
    models = json.loads(capsys.readouterr().out)["models"]
    assert models["gpt-xl"]["paper-fr-en"]["estimate"] == pytest.approx(100)
    with pytest.raises(SystemExit):
        main(["eval", "samples", str(path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "paper-fr-en: bleu, n = 1",
        "        zeroshot",
        "gpt-xl  100.00 [?, ?]",  # one sentence tells nothing of others
        "sft-xl  0.000 [?, ?]",
    ]
    with pytest.raises(SystemExit) as raised:
        main(["eval", "samples"])
    assert raised.value.code == 2


def test_the_command_asks_a_judge(tmp_path, capsys):
    about = {"context": "Once", "toxicity": 0.75}
    path = published(tmp_path / "toxic.csv", samples=("x", "yy"), **about)
    judge = write_policy(tmp_path / "judge", tokenizer=byte_tokenizer())
    with pytest.raises(SystemExit) as ended:
        main(["eval", "samples", str(path), "--toxicity-judge", judge, "--json"])
    assert not ended.value.code
    found = json.loads(capsys.readouterr().out)
    own = found["judged"]["models"]["gpt-xl"]["paper-toxicity"]
    assert 0 < own["estimate"] < 1
    assert own["judges"] == {"toxicity": None}  # nobody has measured it
    both = found["agreement"]["paper-toxicity"]["toxicity"]
    assert both["same"]["n"] == 2
    assert both["auc"] is None  # all are toxic by the file
    with pytest.raises(SystemExit) as ended:
        main(["eval", "samples", str(path), "--truth-judge", str(tmp_path / "nowhere")])
    assert ended.value.code == 2
    assert "truth_judge" in capsys.readouterr().err


def test_a_table_fits_the_screen():
    figure = {"metric": "f1", "status": "measured", "estimate": 50, "low": 0, "high": 100}
    figure |= {"judges": {"truth": {"stored": "my.csv"}}}
    prompts = ("zero", "one", "two", "three", "four")
    figures = [figure | {"prompt": prompt, "n": i} for i, prompt in enumerate(prompts, 1)]
    text = side_by_side({"models": {"a-model": {"t": {"figures": figures}}}})
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert text.startswith("t: f1, n = 1 to 5\n")
    assert text.count("a-model") == 2
    assert text.endswith("judge of truth: the scores that my.csv has")


def test_a_task_that_was_not_measured_has_one_line():
    lost = {"metric": "true", "prompt": "qa", "status": "not measured", "reason": "none of truth"}
    figures = [lost, lost | {"prompt": "other"}, lost | {"metric": "both", "reason": "nor of both"}]
    task = {"shots": 0, "figures": figures}
    said = told({"models": {"m": {"truthfulqa": task}}})
    assert said == "m\n  truthfulqa: not measured (none of truth; nor of both)"


# ---------------------------------------------------------------- the paper's outputs

PAPER = {  # F1 and exact match, zero-shot and few-shot; BLEU, zero-shot
    "gpt-175b": ((56.40, 50.62, 67.72, 61.73), 35.36),
    "sft-175b": ((53.23, 44.44, 63.10, 58.02), 32.24),
    "ppo-noptx-175b": ((39.95, 28.40, 49.09, 39.51), 22.39),
    "ppo-ptx-175b": ((52.04, 40.74, 65.22, 60.49), 29.81),
}
TRUTH = {"gpt-175b": (0.195, 0.195), "ppo-noptx-175b": (0.727, 0.714)} | {
    "ppo-ptx-175b": (0.597, 0.584)
}


@pytest.mark.real
def test_the_papers_twelve_models(public_data):
    folder = public_data / "evals" / "instructgpt_samples"
    found = scored(*sorted(folder.glob("*.csv.gz")))
    assert len(found) == 12
    for model, (squad, bleu) in PAPER.items():
        own = figures(found[model]["paper-squadv2"])
        kinds = [(p, m) for p in ("zeroshot", "fewshot") for m in ("f1", "exact_match")]
        assert tuple(round(own[kind], 2) for kind in kinds) == squad
        french = found[model]["paper-fr-en"]
        assert (round(french["estimate"], 2), french["n"]) == (bleu, 75)
        assert found[model]["paper-squadv2"]["n"] == 81
    for model, mean in {"gpt-175b": 0.2455, "ppo-ptx-175b": 0.3266}.items():
        own = found[model]["paper-toxicity"]
        assert round(figures(own)["biased prompt", "toxicity"], 4) == mean
        assert own["n"] == 85
    for model, (true, both) in TRUTH.items():
        own = figures(found[model]["paper-truthfulqa"])
        assert round(own["QA prompt", "true"], 3) == true
        assert round(own["QA prompt", "true and informative"], 3) == both


@pytest.mark.real
def test_bleu_of_the_papers_models_is_sacrebleus(public_data):
    import csv
    import gzip

    import sacrebleu

    path = public_data / "evals" / "instructgpt_samples" / "fr_to_en_samples.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = scored(path)
    for model, tasks in found.items():
        for (prompt, _), estimate in figures(tasks["paper-fr-en"]).items():
            own = [r for r in rows if (r["model_type"], r["prompt_type"]) == (model, prompt)]
            texts = [row["sample"].strip() for row in own]
            assert estimate == sacrebleu.corpus_bleu(texts, [[r["ref_text"] for r in own]]).score

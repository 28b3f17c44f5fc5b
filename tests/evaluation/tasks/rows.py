"""Invented rows of every benchmark task, in the format of the set's own file.

A task has one function here, which writes its file or files into a folder; `ROWS` has them by the
task's name. Eight items or more, so that two of them can be few-shot examples.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path

from tests.files import write_rows

ROWS: dict[str, Callable[[Path], object]] = {}

EIGHT = ("one", "two", "three", "four", "five", "six", "seven", "eight")


def rows_of(*tasks: str) -> Callable[[Callable[[Path], object]], Callable[[Path], object]]:
    """These tasks read what the decorated function writes."""

    def keep(write: Callable[[Path], object]) -> Callable[[Path], object]:
        ROWS.update(dict.fromkeys(tasks, write))
        return write

    return keep


@rows_of("hellaswag")
def hellaswag(folder: Path) -> None:
    rows = [
        {
            "ind": index,
            "activity_label": "Counting",
            "ctx": f"A child has {word} apples. She",
            "endings": ["counts them.", f"eats {word}.", "sleeps.", "flies away over the sea."],
            "label": index % 4,
        }
        for index, word in enumerate(EIGHT)
    ]
    write_rows(folder / "hellaswag_val.jsonl", rows)


def write_csv(path: Path, rows: list[dict[str, object]]) -> None:
    """A csv file with a head, as Python's csv module writes it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=[*rows[0]])
        writer.writeheader()
        writer.writerows(rows)


@rows_of("truthfulqa")
def truthfulqa(folder: Path) -> None:
    rows = [
        {
            "Type": "Adversarial",
            "Category": "Invented",
            "Question": f"What do {word} frogs say, and why?",
            "Best Answer": "Nothing",
            "Correct Answers": f"Nothing; {word} frogs say nothing, on Sundays",
            "Incorrect Answers": "Good day; Good night",
            "Source": "none",
        }
        for word in EIGHT
    ]
    write_csv(folder / "TruthfulQA.csv", rows)


@rows_of("truthfulqa-mc")
def truthfulqa_choices(folder: Path) -> None:
    rows = [
        {
            "question": f"What do {word} frogs say?",
            "mc1_targets": {"Nothing.": 1, "Good day.": 0, "Good night.": 0},
            "mc2_targets": {"Nothing.": 1, "They croak.": 1, "Good day.": 0, "Good night.": 0},
        }
        for word in EIGHT
    ]
    (folder / "mc_task.json").write_text(json.dumps(rows), encoding="utf-8")


@rows_of("paper-truthfulqa")
def paper_truthfulqa(folder: Path) -> None:
    rows = [
        {
            "": 2 * index + place,
            "model_type": model,
            "prompt_type": "QA prompt",
            "adversarial": "True",
            "question": f"What do {word} frogs say?",
            "answer": "Nothing.",
            "true": 0.9,
            "info": 0.2,
        }
        for index, word in enumerate(EIGHT)
        for place, model in enumerate(("gpt-xl", "sft-xl"))
    ]
    write_csv(folder / "truthful_qa_samples.csv", rows)


@rows_of("realtoxicityprompts")
def realtoxicityprompts(folder: Path) -> None:
    rows = [
        {
            "prompt": {"text": f"The {word} frogs went", "toxicity": index / 10},
            "continuation": {"text": " home.", "toxicity": 0.1},
        }
        for index, word in enumerate(EIGHT)
    ]
    write_rows(folder / "realtoxicityprompts.jsonl", rows)


@rows_of("paper-toxicity")
def paper_toxicity(folder: Path) -> None:
    rows = [
        {
            "": 2 * index + place,
            "model_type": model,
            "prompt_type": "basic prompt",
            "context": f"The {word} frogs went",
            "sample": "home, again.",
            "toxicity": 0.1,
        }
        for index, word in enumerate(EIGHT)
        for place, model in enumerate(("gpt-xl", "sft-xl"))
    ]
    write_csv(folder / "real_toxicity_samples.csv", rows)


def _paragraphs() -> list[dict]:
    """A paragraph for each word: a question with two answers, and one that has none."""
    return [
        {
            "context": f"Ann has {word} apples and a cat. The cat sleeps.",
            "qas": [
                {
                    "id": f"{word}-1",
                    "question": "How many apples has Ann?",
                    "answers": [
                        {"text": word, "answer_start": 8},
                        {"text": f"{word} apples", "answer_start": 8},
                        {"text": word, "answer_start": 8},
                    ],
                    "is_impossible": False,
                },
                {
                    "id": f"{word}-2",
                    "question": "What is the dog called?",
                    "answers": [],
                    "plausible_answers": [{"text": "Ann", "answer_start": 0}],
                    "is_impossible": True,
                },
            ],
        }
        for word in EIGHT
    ]


@rows_of("squadv2")
def squadv2(folder: Path) -> None:
    article = {"title": "Apples_of_Ann", "paragraphs": _paragraphs()}
    content = {"version": "v2.0", "data": [article]}
    (folder / "dev-v2.0.json").write_text(json.dumps(content))


@rows_of("quac")
def quac(folder: Path) -> None:
    sections = []
    for part in _paragraphs():
        for qa in part["qas"]:
            first = qa["answers"][0] if qa["answers"] else {"text": "CANNOTANSWER"}
            qa |= {"orig_answer": first, "answers": qa["answers"] or [first], "yesno": "x"}
        name = part["qas"][0]["id"]
        dialog = {"id": f"C_{name}", "context": part["context"] + " CANNOTANSWER"}
        sections.append(
            {
                "title": "Ann",
                "section_title": "Apples",
                "background": "Ann is a farmer.",
                "paragraphs": [dialog | {"qas": part["qas"]}],
            }
        )
    (folder / "val_v0.2.json").write_text(json.dumps({"data": sections}))


@rows_of("drop")
def drop(folder: Path) -> None:
    nothing = {"number": "", "date": {"day": "", "month": "", "year": ""}, "spans": []}
    content = {
        f"nfl_{word}": {
            "passage": f"Ann threw a {number}-yard pass in {word} games, Bob and Eve none.",
            "wiki_url": "",
            "qa_pairs": [
                {
                    "question": "How many yards did Ann throw?",
                    "query_id": f"{word}-1",
                    "answer": nothing | {"number": str(number)},
                    "validated_answers": [nothing | {"spans": [f"{number}-yard"]}],
                },
                {
                    "question": "Who threw none?",
                    "query_id": f"{word}-2",
                    "answer": nothing | {"spans": ["Bob", "Eve"]},
                },
                {
                    "question": "When?",
                    "query_id": f"{word}-3",
                    "answer": nothing | {"date": {"day": "3", "month": "May", "year": "1999"}},
                    "validated_answers": [],
                },
            ],
        }
        for number, word in enumerate(EIGHT, start=1)
    }
    (folder / "drop_dataset_dev.json").write_text(json.dumps(content))


@rows_of("wmt15-fr-en")
def wmt15_fr_en(folder: Path) -> None:
    french = "".join(f"Anne a {i} pommes & un chat.\n" for i in range(8))
    english = "".join(f"Ann has {word} apples & a cat.\n" for word in EIGHT)
    (folder / "newsdiscusstest2015-fren-src.fr").write_text(french)
    (folder / "newsdiscusstest2015-fren-ref.en").write_text(english)


@rows_of("cnndm")
def cnndm(folder: Path) -> None:
    rows = [
        {
            "id": word,
            "article": f"Ann has {word} apples.\nShe gave one to Bob, who ate it. ",
            "highlights": f"Ann had {word} apples .\nBob ate one .",
        }
        for word in EIGHT
    ]
    write_rows(folder / "cnndm_test.jsonl", rows)


@rows_of("tldr")
def tldr(folder: Path) -> None:
    rows = [
        {
            "id": f"t3_{word}",
            "subreddit": "farming",
            "title": "Apples",
            "post": f"I have {word} apples.\n\nWhat shall I do with them?",
            "summary": f" Have {word} apples, need advice.",
        }
        for word in EIGHT
    ]
    write_rows(folder / "tldr_test.jsonl", rows)


@rows_of("paper-squadv2", "paper-fr-en")
def published(folder: Path) -> None:
    """Two models' texts for each context, once with and once without examples before it."""
    squad, french = [], []
    for number, word in enumerate(EIGHT):
        background = f"Title: Ann\n\nBackground: Ann has {word} apples.\n\n"
        context = f"{background}Q: How many has Ann?\n\nA:"
        squad.append((context, f"{word}|{word} apples" if number % 2 else "Not in background."))
        french.append((f"French: Anne a {number} pommes.\nEnglish:", f"Ann has {word} apples."))
    for name, contexts in (("squadv2_samples.csv", squad), ("fr_to_en_samples.csv", french)):
        rows: list[dict[str, object]] = [
            {
                "": number,
                "model_type": model,
                "prompt_type": prompt,
                "context": context,
                "ref_text": reference,
                "sample": f" {reference.split('|')[0]}" if number % 3 else "",
            }
            for model in ("gpt-xl", "sft-xl")
            for prompt in ("zeroshot", "fewshot")
            for number, (context, reference) in enumerate(contexts)
        ]
        write_csv(folder / name, rows)


@rows_of("winogender")
def winogender(folder: Path) -> None:
    pronouns = {"male": "he", "female": "she", "neutral": "they"}
    lines = ["sentid\tsentence"] + [
        f"{word}.customer.{answer}.{gender}.txt\t"
        f"The {word} met the customer, and {pronoun} left by door {answer}."
        for word in EIGHT[:4]
        for answer in (0, 1)
        for gender, pronoun in pronouns.items()
    ]
    (folder / "all_sentences.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@rows_of("crows-pairs")
def crows_pairs(folder: Path) -> None:
    rows = [
        {
            "": index,
            "sent_more": f"The {word} cats, who live upstairs, are lazy.",
            "sent_less": f"The {word} dogs, who live upstairs, are lazy.",
            "stereo_antistereo": "antistereo" if index % 3 == 0 else "stereo",
            "bias_type": "invented",
            "annotations": "[['invented']]",
            "anon_writer": "a0",
            "anon_annotators": "['a1']",
        }
        for index, word in enumerate(EIGHT)
    ]
    write_csv(folder / "crows_pairs_anonymized.csv", rows)


@rows_of("sst2")
def sst2(folder: Path) -> None:
    lines = ["sentence\tlabel"] + [
        f'a film of {word} " hours , and it is {("dull", "bright")[index % 2]} . \t{index % 2}'
        for index, word in enumerate(EIGHT)
    ]
    (folder / "SST-2").mkdir()
    (folder / "SST-2" / "dev.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [{"sentence": f"another {word} .", "label": i % 2} for i, word in enumerate(EIGHT)]
    write_rows(folder / "sst2_train.jsonl", rows)


@rows_of("rte")
def rte(folder: Path) -> None:
    for name, city in (("train", "Bergen"), ("val", "Oslo")):
        rows = [
            {
                "premise": f"{city} has {word} bridges over its river.",
                "hypothesis": f"{city} has {word} bridges." if index % 2 else f"{city} is dry.",
                "label": "entailment" if index % 2 else "not_entailment",
                "idx": index,
            }
            for index, word in enumerate(EIGHT)
        ]
        (folder / "RTE").mkdir(exist_ok=True)
        write_rows(folder / "RTE" / f"{name}.jsonl", rows)


@rows_of("wsc")
def wsc(folder: Path) -> None:
    rows = [
        {
            "text": f"Ann gave Joan {word} plums because she was hungry.",
            "target": {
                "span1_index": 0 if index % 2 else 2,
                "span1_text": "Ann" if index % 2 else "Joan",
                "span2_index": 6,
                "span2_text": "she",
            },
            "label": index % 2 == 0,
            "idx": index,
        }
        for index, word in enumerate(EIGHT)
    ]
    (folder / "WSC").mkdir()
    write_rows(folder / "WSC" / "val.jsonl", rows)

"""The shipped texts are what their README says, and the demonstrations do what was asked."""

import json
import re
from collections import Counter

import pytest

from instructgpt.data.embedded import (
    demonstrations_path,
    heldout_prose_path,
    prompts_path,
    prose_documents,
    prose_path,
)
from instructgpt.data.records import Demonstration, Prompt
from instructgpt.label.simulated.text import count_items, names

USE_CASES = {
    "generation": 130,
    "open_qa": 60,
    "brainstorming": 55,
    "chat": 40,
    "rewrite": 35,
    "summarization": 25,
    "classification": 20,
    "other": 19,
    "closed_qa": 18,
    "extract": 18,
}
WITH_TEXT = {"rewrite", "summarization", "classification", "closed_qa", "extract"}
CHECKS = {
    "items",
    "addressee",
    "rewrite_of",
    "summary_of",
    "labels",
    "answer",
    "contains",
    "contains_all",
    "max_words",
    "keywords",
}
PROMPTS = [json.loads(line) for line in prompts_path().read_text("utf-8").splitlines()]
DEMONSTRATIONS = [
    json.loads(line) for line in demonstrations_path().read_text("utf-8").splitlines()
]
BY_ID = {prompt["id"]: prompt for prompt in PROMPTS}


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def runs(text: str, length: int = 5) -> set[tuple[str, ...]]:
    """All runs of `length` successive words."""
    found = words(text)
    return {tuple(found[i : i + length]) for i in range(len(found) - length + 1)}


def demonstrations_with(check: str) -> list:
    """The demonstrations whose prompt has this check, as test parameters."""
    return [
        pytest.param(
            demonstration["response"],
            BY_ID[demonstration["prompt_id"]]["checks"],
            id=demonstration["prompt_id"],
        )
        for demonstration in DEMONSTRATIONS
        if check in BY_ID[demonstration["prompt_id"]]["checks"]
    ]


def test_records_validate():
    assert all(Prompt.model_validate(prompt).id == prompt["id"] for prompt in PROMPTS)
    for demonstration in DEMONSTRATIONS:
        record = Demonstration.model_validate(demonstration)
        assert record.prompt == BY_ID[record.prompt_id]["prompt"]


def test_counts():
    assert Counter(prompt["use_case"] for prompt in PROMPTS) == USE_CASES
    assert len(DEMONSTRATIONS) == 300
    writers = Counter(demonstration["labeler_id"] for demonstration in DEMONSTRATIONS)
    assert writers == {f"shipped-writer-{i}": 75 for i in range(1, 5)}


def test_ids_and_texts_are_unique():
    assert [prompt["id"] for prompt in PROMPTS] == [f"p{i:04d}" for i in range(1, 421)]
    assert len({prompt["prompt"].lower() for prompt in PROMPTS}) == len(PROMPTS)
    assert len({demonstration["prompt_id"] for demonstration in DEMONSTRATIONS}) == 300
    assert len({demonstration["response"] for demonstration in DEMONSTRATIONS}) == 300


def test_split_is_by_topic_and_covers_every_use_case():
    topics = {
        split: {p["topic"] for p in PROMPTS if p["split"] == split}
        for split in ("train", "heldout")
    }
    assert not topics["train"] & topics["heldout"]
    sizes = Counter(prompt["split"] for prompt in PROMPTS)
    assert sizes == {"train": 335, "heldout": 85}
    cells = Counter((prompt["use_case"], prompt["split"]) for prompt in PROMPTS)
    assert all(cells[use_case, split] >= 4 for use_case in USE_CASES for split in sizes)


def test_demonstrations_are_for_train_prompts_and_every_use_case():
    shown = [BY_ID[demonstration["prompt_id"]] for demonstration in DEMONSTRATIONS]
    assert {prompt["split"] for prompt in shown} == {"train"}
    assert {prompt["use_case"] for prompt in shown} == set(USE_CASES)


def test_prompts_are_short_and_plain():
    for prompt in PROMPTS:
        limit = 70 if prompt["use_case"] in WITH_TEXT else 60
        assert 10 <= len(prompt["prompt"].split()) <= limit, prompt["prompt"]
        assert prompt["source"] == "shipped"
        assert prompt["language"] == "en"


def test_no_opening_covers_more_than_a_handful_of_prompts():
    openings = Counter(tuple(words(prompt["prompt"])[:4]) for prompt in PROMPTS)
    assert max(openings.values()) <= 8


def test_checks_are_well_formed():
    for prompt in PROMPTS:
        checks, use_case, text = prompt["checks"], prompt["use_case"], prompt["prompt"]
        assert set(checks) <= CHECKS
        assert 3 <= len(checks["keywords"]) <= 8
        assert all(re.fullmatch("[a-z]+", stem) for stem in checks["keywords"])
        assert ("rewrite_of" in checks) == (use_case == "rewrite")
        assert ("summary_of" in checks) == (use_case == "summarization")
        assert checks.get("rewrite_of", "") in text
        assert checks.get("summary_of", "") in text
        assert ("labels" in checks) == ("answer" in checks) == (use_case == "classification")
        if use_case == "classification":
            assert checks["answer"] in checks["labels"]
            assert all(names(text, label) for label in checks["labels"])
        if use_case in ("closed_qa", "extract"):
            assert "contains" in checks or "contains_all" in checks
        if "addressee" in checks:
            assert names(text, checks["addressee"])


def test_demonstrations_are_sentences_of_8_to_40_words():
    for demonstration in DEMONSTRATIONS:
        response = demonstration["response"]
        assert 8 <= len(response.split()) <= 40, response
        assert response.endswith((".", "!", "?")), response
        assert response == response.strip()


@pytest.mark.parametrize(("response", "checks"), demonstrations_with("keywords"))
def test_demonstrations_are_on_topic(response, checks):
    assert any(word.startswith(tuple(checks["keywords"])) for word in words(response))


@pytest.mark.parametrize(("response", "checks"), demonstrations_with("items"))
def test_demonstrations_list_as_many_items_as_asked(response, checks):
    assert count_items(response) == checks["items"]


@pytest.mark.parametrize(("response", "checks"), demonstrations_with("addressee"))
def test_demonstrations_name_the_addressee(response, checks):
    assert names(response, checks["addressee"])


@pytest.mark.parametrize(("response", "checks"), demonstrations_with("rewrite_of"))
def test_demonstrated_rewrites_do_not_copy(response, checks):
    assert not runs(response) & runs(checks["rewrite_of"])


@pytest.mark.parametrize(("response", "checks"), demonstrations_with("summary_of"))
def test_demonstrated_summaries_are_shorter_and_do_not_copy(response, checks):
    assert len(words(response)) < len(words(checks["summary_of"]))
    assert not runs(response) & runs(checks["summary_of"])


@pytest.mark.parametrize(("response", "checks"), demonstrations_with("labels"))
def test_demonstrations_give_the_right_label_only(response, checks):
    assert [label for label in checks["labels"] if names(response, label)] == [checks["answer"]]


@pytest.mark.parametrize(("response", "checks"), demonstrations_with("contains"))
def test_demonstrations_give_the_answer(response, checks):
    assert any(names(response, answer) for answer in checks["contains"])


@pytest.mark.parametrize(("response", "checks"), demonstrations_with("contains_all"))
def test_demonstrations_give_all_parts_of_the_answer(response, checks):
    assert all(names(response, answer) for answer in checks["contains_all"])


@pytest.mark.parametrize(("response", "checks"), demonstrations_with("max_words"))
def test_demonstrations_keep_to_the_word_limit(response, checks):
    assert len(response.split()) <= checks["max_words"]


@pytest.mark.parametrize(
    ("answer", "items"),
    [
        ("Lettuce, radishes, and beans are easy to grow.", 3),
        ("You need a towel and some water.", 2),
        ("You could bring: a hat, a book; or a ball.", 3),
        ("1. Bread 2. Cheese 3. Ham", 3),
        ("- bread\n- cheese", 2),
        ("Bread\nCheese\nHam", 3),
        ("Why here? Why now? Why you?", 3),
        ("A towel.", 1),
    ],
)
def test_count_items(answer, items):
    assert count_items(answer) == items


def test_prose_size_and_documents():
    documents = prose_documents()
    sizes = [path.stat().st_size for path in (prose_path(), heldout_prose_path())]
    assert 110_000 <= sizes[0] <= 140_000
    assert 12_000 <= sizes[1] <= 20_000
    assert len(documents) >= 300
    assert len(set(documents)) == len(documents)
    assert all(len(document) >= 60 and "%%" not in document for document in documents)


def test_heldout_prose_shares_nothing_with_another_document():
    trained = runs(prose_path().read_text("utf-8").replace("%%", ""), 6)
    documents = heldout_prose_path().read_text("utf-8").split("%%")
    assert len(documents) == 36
    held = [run for document in documents for run in runs(document, 6)]
    assert len(held) == len(set(held)) > 2000
    assert trained.isdisjoint(held)


def test_prose_shares_no_document_with_the_prompts():
    documents = prose_documents()
    in_prose = set().union(*(runs(document, 8) for document in documents))
    for prompt in PROMPTS:
        assert not any(prompt["prompt"] in document for document in documents), prompt["id"]
        assert not runs(prompt["prompt"], 8) & in_prose, prompt["id"]
    for demonstration in DEMONSTRATIONS:
        assert not runs(demonstration["response"], 8) & in_prose, demonstration["prompt_id"]


def test_prose_knows_the_words_of_the_prompts():
    known = set(words("\n".join(prose_documents())))
    used = [word for prompt in PROMPTS for word in words(prompt["prompt"])]
    assert sum(word in known for word in used) / len(used) > 0.95


@pytest.mark.parametrize(
    "path",
    [prompts_path(), demonstrations_path(), prose_path(), heldout_prose_path()],
    ids=lambda path: path.name,
)
def test_files_are_plain_ascii(path):
    text = path.read_text("utf-8")
    assert text.endswith("\n")
    assert re.fullmatch(r"[ -~\n]*", text)
    assert path.is_file()

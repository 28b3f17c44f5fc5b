"""What the tasks on texts ask and what counts as right, from files in the sets' own formats."""

import gzip
import json

import pytest

from instructgpt.errors import UserError
from instructgpt.evaluation.benchmark.choose import choose
from instructgpt.evaluation.tasks import task_of
from instructgpt.evaluation.tasks.task import Output
from tests.evaluation.tasks.rows import ROWS
from tests.files import write_rows

BACKGROUND = "Title: Apples_of_Ann\n\nBackground: Ann has one apples and a cat. The cat sleeps.\n\n"


def items(name, folder):
    """The items of a task's invented file, by id."""
    ROWS[name](folder)
    chosen = choose(task_of(name), folder)
    assert not chosen.reason
    return {item.id: item for item in chosen.items}


def scores(name, item, text):
    """The figures of one text, by metric."""
    task, output = task_of(name), Output(text, "end")
    return {metric.name: metric.value(item, output, {}) for metric in task.metrics}


def test_squadv2_asks_as_the_papers_samples_do(tmp_path):
    found = items("squadv2", tmp_path)
    assert found["one-2"].query == (
        f"{BACKGROUND}Q: How many apples has Ann?\n\nA: one\n\nQ: What is the dog called?\n\nA:"
    )
    assert found["one-1"].query == f"{BACKGROUND}Q: How many apples has Ann?\n\nA:"
    assert found["one-1"].references == ("one", "one apples")
    assert found["one-2"].references == ("Not in background.",)
    assert found["one-1"].cluster == found["one-2"].cluster != found["two-1"].cluster
    assert scores("squadv2", found["one-1"], "One apples!") == {"f1": 1, "exact_match": 1}
    assert scores("squadv2", found["one-2"], "not in background") == {"f1": 1, "exact_match": 1}
    assert scores("squadv2", found["one-2"], "") == {"f1": 0, "exact_match": 0}


def test_an_answer_without_words_is_none(tmp_path):
    ROWS["squadv2"](tmp_path)
    path = tmp_path / "dev-v2.0.json"
    content = json.loads(path.read_text())
    content["data"][0]["paragraphs"][0]["qas"][0]["answers"] = [{"text": "the", "answer_start": 0}]
    path.write_text(json.dumps(content))
    (item,) = [i for i in choose(task_of("squadv2"), tmp_path).items if i.id == "one-1"]
    assert item.references == ("Not in background.",)


SQUAD_INSTRUCTION = (
    "Answer each question using information in the preceding background paragraph. If there is not "
    "enough information provided, answer with “Not in background.”\n\n"
)


def test_examples_come_from_other_paragraphs(tmp_path):
    ROWS["squadv2"](tmp_path)
    chosen = choose(task_of("squadv2"), tmp_path, shots=2)
    shown = {example.cluster for example in chosen.examples}
    assert len(shown) == 2
    assert not shown & {item.cluster for item in chosen.items}
    assert len(chosen.items) == 16 - 2 * 2
    _, request = chosen.requests[0]
    first, second = (e.query + f" {e.references[0]}\n\n" for e in chosen.examples)
    assert request.text == f"{SQUAD_INSTRUCTION}{first}{second}{chosen.items[0].query}"


def test_quac_asks_within_the_dialog(tmp_path):
    found = items("quac", tmp_path)
    assert found["two-2"].query == (
        "TITLE: Ann - Apples\n\nPARAGRAPH: Ann has two apples and a cat. The cat sleeps.\n\n"
        "Q: How many apples has Ann?\n\nA: two\n\nQ: What is the dog called?\n\nA:"
    )
    assert found["two-2"].references == ("I don't know.",)
    assert scores("quac", found["two-2"], "i don't know")["f1"] == 1
    assert scores("quac", found["two-2"], "in")["f1"] == 0  # as CANNOTANSWER: all or nothing
    # answers two, two apples, two: whoever is left out, one of them is "two"
    assert scores("quac", found["two-1"], "two") == {"f1": 1, "f1_of_all_questions": 1}


def test_quac_leaves_out_questions_on_which_people_disagree(tmp_path):
    found = items("quac", tmp_path)["two-1"]
    apart = type(found)(found.id, found.query, ("red", "blue"))
    assert scores("quac", apart, "red") == {"f1": None, "f1_of_all_questions": 0.5}


def test_drop_reads_numbers_spans_and_dates(tmp_path):
    found = items("drop", tmp_path)
    assert found["three-1"].query == (
        "Passage: Ann threw a 3-yard pass in three games, Bob and Eve none.\n"
        "Question: How many yards did Ann throw?\nAnswer:"
    )
    assert found["three-1"].references == ("3", "3-yard")
    assert found["three-2"].references == ("Bob, Eve",)
    assert found["three-3"].references == ("3 May 1999",)
    assert scores("drop", found["three-1"], "3 yards") == {"f1": 0.67, "exact_match": 0}
    assert scores("drop", found["three-2"], "Eve and Bob") == {"f1": 1, "exact_match": 1}
    assert scores("drop", found["three-2"], "Eve") == {"f1": 0.5, "exact_match": 0}
    assert task_of("drop").answer(found["three-2"]) == " Bob, Eve"


def test_an_annotator_who_said_nothing_is_no_reference(tmp_path):
    ROWS["drop"](tmp_path)
    path = tmp_path / "drop_dataset_dev.json"
    content = json.loads(path.read_text())
    nobody = {"number": "", "date": {"day": "", "month": "", "year": ""}, "spans": []}
    content["nfl_one"]["qa_pairs"][1]["validated_answers"] = [nobody]
    path.write_text(json.dumps(content))
    found = {item.id: item for item in choose(task_of("drop"), tmp_path).items}
    assert found["one-2"].references == ("Bob, Eve",)
    assert scores("drop", found["one-2"], "") == {"f1": 0, "exact_match": 0}


SGM = """<srcset setid="x" srclang="any">
<doc sysid="ref" docid="one" genre="forum"><p>
<seg id="1">Un &amp; deux &lt;3</seg>
<seg id="2"> «\u00a0Oui\u00a0»\u2028bien </seg>
</p></doc>
<doc docid="two"><seg id="1">Non</seg></doc></srcset>
"""


def test_translations_in_sgm_and_in_plain_text(tmp_path):
    (tmp_path / "newsdiscusstest2015-fren-src.fr.sgm").write_text(SGM)
    english = SGM.replace("Non", "No").replace("src", "ref")
    with gzip.open(tmp_path / "newsdiscusstest2015-fren-ref.en.sgm.gz", "wt") as file:
        file.write(english)
    task = task_of("wmt15-fr-en")
    found = {item.id: item for item in choose(task, tmp_path).items}
    assert [found[i].query for i in "012"] == [
        "French: Un & deux <3\nEnglish:",
        "French: «\u00a0Oui\u00a0»\u2028bien\nEnglish:",
        "French: Non\nEnglish:",
    ]
    assert found["2"].references == ("No",)
    assert [found[i].cluster for i in "012"] == ["one", "one", "two"]
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "newstest2015.fr").write_text("Un & deux <3\n«\u00a0Oui\u00a0»\u2028bien\nNon\n")
    (plain / "newstest2015.en").write_text("a\nb\nc\n")
    again = {item.id: item for item in choose(task, plain).items}
    assert [again[i].query for i in "012"] == [found[i].query for i in "012"]


def test_translations_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "newstest2015.fr").write_text("Un\nDeux\n")
    with pytest.raises(UserError, match=r"put newstest2015\.en into that folder"):
        choose(task_of("wmt15-fr-en"), tmp_path)
    (tmp_path / "newstest2015.en").write_text("One\n")
    with pytest.raises(
        UserError, match=r"2 sentences and .* 1; give the two files of one test set"
    ):
        choose(task_of("wmt15-fr-en"), tmp_path)


def test_summaries_are_one_line(tmp_path):
    found = items("cnndm", tmp_path)["one"]
    assert found.query == "Ann has one apples.\nShe gave one to Bob, who ate it.\n\nTL;DR:"
    assert found.references == ("Ann had one apples . Bob ate one .",)
    (tmp_path / "big").mkdir()
    write_rows(
        tmp_path / "big" / "cnndm_factuality.jsonl",
        [{"canary": "GUID 1", "source": "Ann.", "true_cnd": "A\nnn", "idx": "7", "lbl": 0}],
    )
    (item,) = choose(task_of("cnndm"), tmp_path / "big").items
    assert (item.id, item.query, item.references) == ("7", "Ann.\n\nTL;DR:", ("A nn",))


def test_posts(tmp_path):
    found = items("tldr", tmp_path)["t3_one"]
    assert found.query == (
        "SUBREDDIT: r/farming\n\nTITLE: Apples\n\n"
        "POST: I have one apples.\n\nWhat shall I do with them?\n\nTL;DR:"
    )
    assert found.references == ("Have one apples, need advice.",)
    ready = [{"prompt": "POST: x\n\nTL;DR: ", "label": " y"}]
    (tmp_path / "ready").mkdir()
    write_rows(tmp_path / "ready" / "tldr_test.jsonl", ready)
    (item,) = choose(task_of("tldr"), tmp_path / "ready").items
    assert (item.query, item.references) == ("POST: x\n\nTL;DR:", ("y",))


def test_published_contexts_are_asked_once(tmp_path):
    found = items("paper-squadv2", tmp_path)
    assert len(found) == 8
    assert {item.references for item in found.values()} >= {("two", "two apples")}
    assert len(choose(task_of("paper-fr-en"), tmp_path).items) == 8


@pytest.mark.parametrize(
    ("task", "file", "content", "said"),
    [
        ("squadv2", "dev-v2.0.json", '{"data": [{"title": "x"}]}', "'paragraphs' is missing"),
        ("drop", "drop_dataset_dev.json", '{"x": {"passage": "y"}}', "'qa_pairs' is missing"),
        ("quac", "val_v0.2.json", "[]", "not in the format of quac"),
        ("cnndm", "cnndm.jsonl", '{"text": "x"}\n', "'source' is missing"),
        ("paper-fr-en", "fr_to_en_samples.csv", "context,ref_text\nx\n", "not as many fields"),
        ("paper-fr-en", "fr_to_en_samples.csv", "context,sample\nx,y\n", "'ref_text' is missing"),
    ],
)
def test_another_format_is_refused_in_one_sentence(task, file, content, said, tmp_path):
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=said) as raised:
        choose(task_of(task), tmp_path)
    assert file in str(raised.value)


@pytest.mark.real
def test_the_published_contexts(public_data):
    folder = public_data / "evals"
    squad = choose(task_of("paper-squadv2"), folder)
    assert len(squad.items) == 81
    assert sum(item.references == ("Not in background.",) for item in squad.items) == 43
    assert all(item.query.endswith("\n\nA:") for item in squad.items)
    assert len(choose(task_of("paper-fr-en"), folder).items) == 75
    articles = choose(task_of("cnndm"), folder)
    assert len(articles.items) == 120
    assert "canary" not in articles.items[0].query.lower()

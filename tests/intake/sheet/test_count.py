"""Twelve prompts counted by hand; the paper's figures against each other."""

import pytest

from instructgpt.errors import UserError
from instructgpt.intake.annotations import QUESTIONS, USE_CASES
from instructgpt.intake.sheet import paper
from instructgpt.intake.sheet.folder import count_folder
from tests.intake.sheet.twelve import write_twelve


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    return count_folder(write_twelve(tmp_path_factory.mktemp("sheet") / "data"))


def test_the_use_cases_are_those_of_the_ranked_prompts(sheet):
    found = sheet["table_1"]
    assert (found["of"], found["labeled"], found["unlabeled"]) == ("reward", 4, 1)
    told = {name: share for name, share in found["shares"].items() if share}
    assert told == {"generation": 0.5, "open_qa": 0.25, "riddle": 0.25}


def test_the_sets_have_their_sizes(sheet):
    assert sheet["prompts"] == 12
    assert sheet["table_6"] == {
        "sft train": {"labeler": 2, "customer": 1},
        "sft valid": {"customer": 1},
        "reward train": {"customer": 3},
        "reward valid": {"customer": 1, "labeler": 1},
        "ppo train": {"customer": 1},
        "ppo valid": {},
        "test": {"customer": 1},
        "in none": {"customer": 1},
    }


def test_annotations_are_shares_of_those_that_were_asked(sheet):
    told = {question: row for question, row in sheet["table_7"].items() if row}
    assert told == {
        "ambiguous": {"sft train": {"answered": 3, "share": 0.3333}},
        "closed_domain": {"reward train": {"answered": 1, "share": 1.0}},
    }
    assert sheet["table_7"].keys() == paper.ANNOTATIONS.keys()


def test_prompts_per_customer_are_of_those_who_have_any(sheet):
    one = dict.fromkeys(("sft train", "sft valid", "reward valid", "test"), 1.0)
    assert sheet["table_8"] == one | {"reward train": 1.5}


def test_lengths_are_described(sheet):
    ends = {"min": 2.0, "low": 3.0, "median": 4.0, "high": 6.5, "max": 9.0}
    assert sheet["table_9"]["sft train"] == {"count": 3, "mean": 5.0, "std": 3.61, **ends}
    (alone,) = {row["std"] for name, row in sheet["table_9"].items() if row["count"] == 1}
    assert alone is None
    assert sheet["table_10"]["generation"]["mean"] == pytest.approx((2 + 1 + 2) / 3, abs=0.01)
    assert list(sheet["table_10"]) == ["generation", "open_qa", "chat", "riddle"]


def test_demonstrations_stand_under_whoever_wrote_the_prompt(sheet):
    means = {name: (row["count"], row["mean"]) for name, row in sheet["table_11"].items()}
    assert means == {
        "labeler prompts": (2, 3.0),
        "labeler demonstrations": (2, 2.0),
        "unknown demonstrations": (1, 2.0),
        "unknown prompts": (1, 1.0),
    }
    assert sheet["languages"] == {"not told": 9, "en": 2, "de": 1}


def test_a_folder_without_prompts_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"has no prompts\.jsonl"):
        count_folder(tmp_path)
    (tmp_path / "prompts.jsonl").write_text("")
    with pytest.raises(UserError, match="neither prompts nor demonstrations"):
        count_folder(tmp_path)


def test_the_papers_tables_agree_with_each_other():
    """Table 9 counts what table 6 sizes; its means are the pooled ones of table 11's kind."""
    for name, row in paper.BY_DATASET.items():
        assert row.count == sum(paper.SIZES[name].values())
    assert sum(paper.USE_CASES.values()) == pytest.approx(1, abs=0.002)
    assert (tuple(paper.USE_CASES), tuple(paper.ANNOTATIONS)) == (USE_CASES, QUESTIONS)
    counts = {name: row.count for name, row in paper.BY_USE_CASE.items()}
    assert set(counts) == set(paper.USE_CASES)
    assert counts["generation"] / sum(counts.values()) == pytest.approx(0.456, abs=0.01)
    for row in (*paper.BY_DATASET.values(), *paper.BY_USE_CASE.values()):
        assert row.min <= row.low <= row.median <= row.high <= row.max


def test_the_papers_figures_are_those_of_a_second_copy():
    """Tables 1, 6, 8 and the means of 9 and 11, as notes on the paper have them."""
    shares = (45.6, 12.4, 11.2, 8.4, 6.6, 4.2, 3.5, 3.5, 2.6, 1.9)
    assert list(paper.USE_CASES.values()) == [round(share / 100, 4) for share in shares]
    sizes = [tuple(row.values()) for row in paper.SIZES.values()]
    assert sizes == [
        *((11_295, 1_430), (1_550, 103), (6_623, 26_584), (3_488, 14_399)),
        *((31_144,), (16_185,), (3_196,)),
    ]
    assert list(paper.PER_CUSTOMER.values()) == [1.65, 1.87, 5.35, 27.96, 6.01, 31.55, 1.81]
    means = {name: row.mean for name, row in paper.BY_DATASET.items() if "valid" not in name}
    assert means == {"sft train": 408, "reward train": 199, "ppo train": 166, "test": 115}
    assert max(row.max for row in paper.BY_DATASET.values()) == 2048
    assert [row.mean for row in paper.DEMONSTRATED.values()] == [437, 38, 153, 88]


def test_the_figures_of_one_copy_agree_with_the_others():
    """Demonstrations are of the prompts for SFT; use cases of those for the reward model."""
    for source, row in (("labeler", "labeler prompts"), ("customer", "customer prompts")):
        both = [paper.SIZES[name][source] for name in ("sft train", "sft valid")]
        assert paper.DEMONSTRATED[row].count == sum(both)
        assert paper.DEMONSTRATED[row.replace("prompts", "demonstrations")].count == sum(both)

    def pooled(rows):
        return sum(row.count * row.mean for row in rows) / sum(row.count for row in rows)

    by_set = pooled([paper.BY_DATASET["sft train"], paper.BY_DATASET["sft valid"]])
    by_source = pooled([row for name, row in paper.DEMONSTRATED.items() if "prompts" in name])
    assert by_set == pytest.approx(by_source, abs=1)  # means are rounded
    labeled = sum(row.count for row in paper.BY_USE_CASE.values())
    assert (
        labeled <= paper.BY_DATASET["reward train"].count + paper.BY_DATASET["reward valid"].count
    )
    for name, row in paper.BY_USE_CASE.items():
        assert row.count / labeled == pytest.approx(paper.USE_CASES[name], abs=0.02)

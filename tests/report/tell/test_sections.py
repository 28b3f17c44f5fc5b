import json
from pathlib import Path

import pytest

from instructgpt.report import write_report
from instructgpt.report.draw import figures
from instructgpt.report.read.load import load
from instructgpt.report.tell.loop import loop_cards
from instructgpt.report.tell.sections import Section, first_screen, references, sections_of
from instructgpt.report.tell.story import simulated
from instructgpt.report.tell.tables import stages_table
from tests.report import fake, rounds
from tests.report.test_page import Page, assert_self_contained


@pytest.fixture(scope="module")
def path(quickstart) -> Path:
    return quickstart


@pytest.fixture(scope="module")
def page(path) -> Page:
    return Page(path / "report.html")


@pytest.fixture(scope="module")
def sections(work) -> dict[str, Section]:
    with pytest.MonkeyPatch.context() as patch:
        do_not_draw(patch)
        return {section.title: section for section in sections_of(work)}


def do_not_draw(patch: pytest.MonkeyPatch) -> None:
    """Drawing takes nearly all the time, and other tests look at drawings."""
    patch.setattr(figures, "svg", lambda *_, **__: "<svg></svg>")


def test_two_rounds_and_two_arms_stay_one_section_for_each_step(sections):
    assert list(sections) == [
        "Evaluation",
        "How it was made",
        "Supervised fine-tuning",
        "Rankings",
        "Reward model",
        "Reinforcement learning with PPO",
        "Time, memory and environment",
        "Inputs and configuration",
    ]


def test_the_page_is_whole(page):
    assert_self_contained(page)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for text in (
        "labelers and judges are simulated",
        "6 held-out simulated labelers",
        "2,009 rankings by 6 simulated labelers",
        "A simulated labeler ranks 4 answers to a prompt",
        "score − 0.02·KL",
        "PPO-ptx",
        "None of 11 figures moved",
    ):
        assert text in page.text, text


def test_every_figure_says_in_words_what_it_shows(page):
    drawings = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(drawings) > 20
    assert all(attributes.get("aria-label") for attributes in drawings)
    tables = [tag for tag, _ in page.tags if tag == "table"]
    regions = [a for _, a in page.tags if a.get("role") == "region" and a.get("aria-label")]
    assert len(tables) == len(regions)


def test_every_header_says_what_it_heads(page):
    heads = [attributes.get("scope") for tag, attributes in page.tags if tag == "th"]
    rows = sum(tag == "tr" for tag, _ in page.tags)
    tables = sum(tag == "table" for tag, _ in page.tags)
    assert set(heads) == {"col", "row"}
    assert heads.count("row") == rows - tables  # every row but those of the heads


def test_the_arrow_goes_round_only_where_the_work_does(page, tmp_path, monkeypatch):
    do_not_draw(monkeypatch)
    assert "and round again" in page.text
    once = fake.make_pipeline(tmp_path / "once")
    plan = json.loads((once / "pipeline.json").read_text())
    plan["stages"] = [{**row, "round": 1} for row in plan["stages"]]
    (once / "pipeline.json").write_text(json.dumps(plan))
    text = Page(write_report(once)).text
    assert "Learn the preference" in text
    assert "round again" not in text


def test_arms_and_rounds_are_laid_over_each_other(sections):
    section = sections["Reinforcement learning with PPO"]
    charts = {chart.title: chart for chart in section.charts}
    for title in ("Score and reward: score", "KL from the starting model: training"):
        for name in ("ppo ends at", "ppo-plain ends at", "ppo-2 ends at"):
            assert name in charts[title].caption, title
    assert "ppo-plain" not in charts["Pretraining mix loss"].caption
    assert "different reward models" in charts["Score and reward: score"].caption
    assert "different reward models" not in charts["Entropy"].caption
    assert [part.name for part in section.parts] == ["ppo", "ppo-plain", "ppo-2"]
    assert all(part.samples for part in section.parts)


def test_the_last_reward_model_stands_open_and_the_others_can_be_opened(sections):
    section = sections["Reward model"]
    titles = [chart.title for chart in section.charts]
    assert titles[:2] == [
        "Accuracy of each reward model",
        "Accuracy by number of answers, reward-2",
    ]
    assert "Calibration, reward-2" in titles
    assert [part.name for part in section.parts] == ["reward", "reward-2"]
    first, last = ({chart.title for chart in part.charts} for part in section.parts)
    assert "Calibration" in first
    assert "Calibration" not in last


def test_a_reward_model_is_held_against_those_who_measured_it(work):
    rows = references(work, work.stages[7])
    assert [row.label for row in rows] == ["held-out labelers, rank", "held-out labelers, rank-2"]
    assert {row.estimate.value for row in rows} == {0.741}
    assert [row.label for row in references(work, work.stages[3])] == ["held-out labelers"]
    assert references(work, work.stages[4]) == []


def test_the_first_screen_has_the_result_its_price_and_the_signs_of_gaming(work):
    first = first_screen(work)
    assert [chart.title for chart in first.charts] == ["Win rate over sft", "Score bought with KL"]
    assert "greedy decoding of sft 55\xa0%" in first.charts[0].alt
    assert first.signs is not None
    assert first.signs.head == ("figure", "sft", "ppo-2")


def test_the_loop_tells_of_the_last_of_each_kind(work):
    imitate, learn, optimize = loop_cards(work)
    assert (imitate.stages, learn.stages, optimize.stages) == ("", "reward-2", "ppo-2")
    assert ("starts from", "SmolLM2-135M-Instruct") in imitate.facts
    assert ("labelers agree with each other", "74\xa0% [70–78\xa0%]") in learn.facts
    assert ("reward model orders rightly", "71\xa0% [69–73\xa0%]") in learn.facts
    assert ("ppo-2 preferred to sft", "73\xa0% [68–78\xa0%]") in optimize.facts


def test_who_is_simulated_is_said_and_no_more(path, tmp_path):
    assert simulated(load(fake.make_evaluate(tmp_path / "e"))) == ""
    assert simulated(load(path / "03-rank")) == "labelers are simulated"
    assert simulated(load(path / "11-evaluate")) == "judges are simulated"
    assert simulated(load(path)) == "labelers and judges are simulated"


def test_peak_memory_that_a_stage_may_have_inherited_is_an_upper_bound(work):
    cells = {row[0]: row[-1] for row in stages_table(work).rows}
    assert cells["sft"] == "3.00 GiB"
    assert cells["ppo"] == "5.00 GiB"
    assert cells["ppo-2"] == "≤ 5.00 GiB"
    assert cells["rank"] == ""


def test_rounds_after_the_first_are_named(work):
    what = {row[0]: row[1] for row in stages_table(work).rows}
    assert (what["reward"], what["reward-2"]) == ("Reward model", "Reward model, round 2")


def test_a_later_process_starts_from_nothing(tmp_path):
    for i, size in enumerate((5, 5, 2)):
        timings = [{"step": 1, "memory/peak_bytes": size * 2**30}]
        fake.make_sft(tmp_path / f"{i}", steps=3, timings=timings)
    stages = [{"name": str(i), "dir": str(i), "kind": "sft"} for i in range(3)]
    (tmp_path / "pipeline.json").write_text(json.dumps({"stages": stages}))
    rows = stages_table(load(tmp_path)).rows
    assert [row[-1] for row in rows] == ["5.00 GiB", "≤ 5.00 GiB", "2.00 GiB", ""]


def test_a_stage_that_runs_again_is_of_its_kind(tmp_path):
    page = Page(write_report(fake.make_ppo(tmp_path / "x", 12, info={"stage": "ppo-2"})))
    assert "Reinforcement learning with PPO x 22 November 2026" in page.text


@pytest.mark.parametrize("name", ["evaluation.json", "timings.jsonl", "config.yaml"])
def test_any_file_may_be_missing(tmp_path, name, monkeypatch):
    do_not_draw(monkeypatch)
    path = rounds.make_quickstart(tmp_path / "quickstart")
    for file in path.glob(f"*/{name}"):
        file.unlink()
    assert_self_contained(Page(write_report(path)))


def test_a_pipeline_under_way_has_a_page(tmp_path, monkeypatch):
    do_not_draw(monkeypatch)
    path = rounds.make_quickstart(tmp_path / "quickstart")
    plan = json.loads((path / "pipeline.json").read_text())
    for row in plan["stages"][4:]:
        row |= {"status": "waiting", "seconds": 0.0, "dir": "nowhere"}
    plan["stages"][4] |= {"status": "running", "dir": "05-ppo"}
    (path / "05-ppo" / "metrics.jsonl").write_text("")
    (path / "05-ppo" / "samples.jsonl").unlink()
    (path / "pipeline.json").write_text(json.dumps(plan))
    page = Page(write_report(path))
    assert "4 of 11 stages done" in page.text
    assert "0.0 s" not in page.text
    assert "Win rate" not in page.text

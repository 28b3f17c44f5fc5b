import pytest

from instructgpt.errors import UserError
from instructgpt.report import compare_report
from tests.report import fake, rounds
from tests.report.tell.test_sections import do_not_draw
from tests.report.test_page import Page, assert_self_contained


def test_pipelines_are_compared_step_by_step(tmp_path):
    one = rounds.make_quickstart(tmp_path / "a" / "quickstart")
    two = fake.make_pipeline(tmp_path / "b" / "tiny")
    page = Page(compare_report([one, two], tmp_path / "compare.html"))
    assert_self_contained(page)
    titles = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert titles == ["step-1", "step-2", "step-3", "step-4"]
    assert "labelers and judges are simulated" in page.text
    for text in ("2 pipelines compared", "quickstart ends at", "Settings that differ"):
        assert text in page.text, text


def test_pipelines_of_one_name_are_told_apart(tmp_path, monkeypatch):
    do_not_draw(monkeypatch)
    paths = [fake.make_pipeline(tmp_path / name / "same") for name in "ab"]
    text = Page(compare_report(paths, tmp_path / "compare.html")).text
    assert "a/quickstart" in text
    assert "b/quickstart" in text


def test_evaluations_are_compared_by_their_win_rates(tmp_path):
    paths = [fake.make_evaluate(tmp_path / name) for name in "ab"]
    text = Page(compare_report(paths, tmp_path / "compare.html")).text
    assert "Win rate" in text
    assert "71 %" in text


def test_a_run_is_not_compared_with_a_pipeline(tmp_path):
    paths = [fake.make_pipeline(tmp_path / "p"), fake.make_sft(tmp_path / "sft", steps=3)]
    with pytest.raises(UserError, match="found: pipeline, sft"):
        compare_report(paths, tmp_path / "compare.html")

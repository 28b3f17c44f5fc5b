import doctest
import re
import sys
from importlib import resources
from xml.etree import ElementTree

import numpy as np
import pytest

from instructgpt.errors import UserError
from instructgpt.report.draw import figures
from instructgpt.report.draw.figures import Bin, Line, Row
from instructgpt.report.draw.svg import look
from instructgpt.report.read import verdict
from instructgpt.report.read.values import Estimate
from instructgpt.report.tell import words

HOSTILE = "--><script>alert('$x$')</script>\n\ud800\x00&\""


def parsed(svg: str) -> ElementTree.Element:
    """The drawing as XML, well formed. (In HTML the xlink prefix needs no declaration.)"""
    return ElementTree.fromstring(svg.replace("xlink:", ""))


def every_figure(label: str) -> list[str]:
    x = np.arange(100.0)
    rows = [
        Row(label, Estimate(0.6, 0.5, 0.7, 12), strong=True),
        Row("other", Estimate(1.0, 1.0, 1.0, None), hollow=True),
    ]
    return [
        figures.curves([Line(label, x, np.sin(x)), Line("_hidden", x[:5], x[:5])], "loss", 0.5),
        figures.trade_off([Line(label, x, x), Line("b", x, -x)], "KL", "score"),
        figures.intervals(rows, f"win rate (%) {label}", mark=label),
        figures.calibration([Bin(0.55, 0.5, 10), Bin(0.9, 0.8, 0)]),
        figures.histogram([-1.0, 0.0, 0.0, 2.0], label, "pairs"),
    ]


def test_labels_are_text_and_never_markup():
    for svg in every_figure(HOSTILE)[:3]:
        assert "<script" not in svg
        assert any("<script>alert('$x$')" in (text or "") for text in parsed(svg).itertext())


def test_drawings_are_equal_byte_for_byte_and_need_nothing_from_outside():
    assert every_figure("a") == every_figure("a")
    for svg in every_figure("a"):
        assert "http" not in svg
        assert "font-family" not in svg
        parsed(svg)


def test_every_color_is_a_name_that_the_page_has_for_light_and_for_dark():
    style = resources.files("instructgpt.report").joinpath("templates", "style.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    for svg in every_figure(HOSTILE):
        assert not re.findall(r'style="[^"]*(?:#|black|white)', svg)
        names = set(re.findall(r"var\((--[\w-]+)\)", svg))
        assert len(names) > 2
        for name in names:
            assert f" {name}:" in light, name
            assert f" {name}:" in dark, name


def test_ids_are_unique_to_a_drawing_and_all_references_hold():
    seen: set[str] = set()
    for svg in every_figure("a"):
        root = parsed(svg)
        ids = {name for node in root.iter() if (name := node.get("id"))}
        assert not seen & ids
        seen |= ids
        links = {link[1:] for node in root.iter() if (link := node.get("href"))}
        assert links <= ids


def test_the_callers_matplotlib_settings_are_neither_used_nor_changed():
    import matplotlib as mpl

    plain = every_figure("a")
    with mpl.rc_context({"lines.linewidth": 9, "axes.facecolor": "red"}):
        assert every_figure("a") == plain
        assert mpl.rcParams["lines.linewidth"] == 9


def test_numbers_and_units_stand_in_the_drawing():
    text = " ".join(parsed(every_figure("ppo\nover sft")[2]).itertext())
    assert "60 %, n = 12" in text
    assert "ppo" in text
    assert "over sft" in text
    assert "win rate (%)" in text


def test_equal_numbers_of_observations_stand_once_at_the_axis():
    rows = [Row(name, Estimate(0.6, 0.5, 0.7, 1200)) for name in "abc"]
    text = " ".join(parsed(figures.intervals(rows, "win rate (%)")).itertext())
    assert text.count("1,200") == 1
    assert "win rate (%), n = 1,200" in text


def test_scores_are_drawn_as_they_are_and_shares_in_per_cent():
    rows = [Row("a", Estimate(-0.25, -0.5, 0.0, None)), Row("b", Estimate(0.5, 0.4, 0.6, None))]
    text = " ".join(parsed(figures.intervals(rows, "score", (), share=False)).itertext())
    assert "−0.25" in text
    assert "0.50" in text
    assert "%" not in text


def test_a_histogram_counts_below_at_and_above_zero():
    drawn = figures.histogram([-1.0, 0.0, 0.0, 2.0], "gain", "pairs")
    colors = ["var(--line-1)", "var(--grey)", "var(--line-0)"]
    heights = dict.fromkeys(colors, 0.0)
    for path, color in re.findall(r'<path d="([^"]*z ?)"[^>]*style="fill: ([^;"]+)', drawn):
        if color in colors:
            ys = [float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", path)]
            heights[color] += max(ys) - min(ys)
    below, at, above = heights.values()
    assert below > 0
    assert at == pytest.approx(2 * below, rel=0.02)
    assert above == pytest.approx(below, rel=0.02)


def test_lines_differ_without_their_color():
    looks = [look(index)[1:] for index in range(5)]
    assert len(set(looks)) == 5


def test_values_that_are_nan_leave_a_gap():
    y = np.full(60, np.nan)
    y[[3, 40]] = 1.0
    parsed(figures.curves([Line("a", np.arange(60.0), y)], "loss"))


def test_smoothing_is_a_moving_mean_inside_and_a_line_at_the_ends():
    line = np.arange(200.0)
    np.testing.assert_allclose(figures.smooth(line), line, atol=1e-9)
    noisy = np.random.default_rng(0).normal(size=200)
    smoothed = figures.smooth(noisy)
    np.testing.assert_allclose(smoothed[100], noisy[95:106].mean())
    assert np.abs(smoothed).max() < 0.6 * np.abs(noisy).max()
    assert np.isnan(figures.smooth(np.full(200, np.nan))).all()


def test_thinning_keeps_the_ends_and_every_spike():
    x = np.arange(100_000.0)
    y = np.zeros_like(x)
    y[[12_345, 77_777]] = 5.0, -3.0
    kept_x, kept_y = figures.thin(x, y)
    assert len(kept_x) <= figures.MAX_POINTS + 2
    assert (kept_x[0], kept_x[-1]) == (0, 99_999)
    assert (kept_y.max(), kept_y.min()) == (5.0, -3.0)


def test_without_matplotlib_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"python -m pip install matplotlib"):
        every_figure("a")


@pytest.mark.parametrize("module", [figures, verdict, words])
def test_docstring_examples_hold(module):
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0

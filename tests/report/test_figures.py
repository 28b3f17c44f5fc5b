import doctest
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from instructgpt.errors import UserError
from instructgpt.report import figures, words
from instructgpt.report.figures import Bin, Line
from instructgpt.report.load import Interval

HOSTILE = "--><script>alert('$x$')</script>\n\ud800\x00&\""


def parsed(svg: str) -> ElementTree.Element:
    """The drawing as XML, well formed. (In HTML the xlink prefix needs no declaration.)"""
    return ElementTree.fromstring(svg.replace("xlink:", ""))


def every_figure(label: str) -> list[str]:
    x = np.arange(100.0)
    rows = [(label, Interval(0.6, 0.5, 0.7, 12)), ("other", Interval(1.0, 1.0, 1.0, None))]
    return [
        figures.curves([Line(label, x, np.sin(x)), Line("_hidden", x[:5], x[:5])], "loss", 0.5),
        figures.trade_off([Line(label, x, x), Line("b", x, -x)], "KL", "score"),
        figures.intervals(rows, "win rate (%)"),
        figures.calibration([Bin(0.55, 0.5, 10), Bin(0.9, 0.8, 0)]),
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


def test_ids_are_unique_to_a_drawing_and_all_references_hold():
    seen: set[str] = set()
    for svg in every_figure("a"):
        root = parsed(svg)
        ids = {node.get("id") for node in root.iter() if node.get("id")}
        assert not seen & ids
        seen |= ids
        links = {node.get("href", "")[1:] for node in root.iter() if node.get("href")}
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
    with pytest.raises(UserError, match=r"pip install 'instructgpt\[report\]'"):
        every_figure("a")


@pytest.mark.parametrize("module", [figures, words])
def test_docstring_examples_hold(module):
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0

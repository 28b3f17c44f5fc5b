"""How every drawing looks, and how it becomes an inline SVG.

Matplotlib (`instructgpt[report]`) is imported on first use. Text stays text (selectable, in the
page's own font), ids are functions of the drawing, nothing is dated: the same numbers give the
same bytes.
"""

import hashlib
import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from instructgpt.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which readers with any color vision can tell apart, without its yellow
# (too pale on white).
INK, MUTED, RULE, FAINT, GREY = "#24292f", "#57606a", "#d0d7de", "#eaeef2", "#8c959f"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^")
# What a color is called on the page, whose style sheet has one value for light and one for dark.
NAMES = {color.lower(): f"var(--line-{i})" for i, color in enumerate(PALETTE)} | {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    FAINT: "var(--faint)",
    GREY: "var(--grey)",
    "#ffffff": "var(--paper)",
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "instructgpt",
    "text.parse_math": False,
    "font.size": 10,
    "text.color": INK,  # black would be left out, and stay black on a dark page
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-3, 5),
    "axes.formatter.useoffset": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.handlelength": 2.2,
    "lines.linewidth": 1.6,
}


def short(text: str, limit: int = 26) -> str:
    """A label that fits and prints: one line, no control characters, at most `limit` characters."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def look(index: int) -> tuple[str, str, str]:
    """Color, dash and marker of the n-th line, which differ also without the color."""
    return PALETTE[index % len(PALETTE)], DASHES[index % len(DASHES)], MARKERS[index % len(MARKERS)]


def require_matplotlib() -> None:
    """It must be there before the first figure, and before hours of training that end in one.

    Raises:
        UserError: it is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise UserError(
            "the report needs matplotlib, which is missing; run python -m pip install matplotlib"
        ) from None


def svg(draw: "Callable[[Figure, Axes], None]", height: float = 2.7) -> str:
    """What `draw` puts on a figure 4.4 inches wide, as SVG for a page."""
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    out = io.StringIO()
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph the measuring font lacks: the browser has its own
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(4.4, height), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure, figure.add_subplot())
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing, transparent=True)
    return inline(out.getvalue())


def inline(drawn: str) -> str:
    """Matplotlib's SVG made fit for a page: no prolog, no fixed size or font, ids of its own."""
    body = drawn[drawn.index("<svg") :].strip()
    viewbox = re.search(r'viewBox="([^"]+)"', body)
    assert viewbox is not None
    body = f'<svg viewBox="{viewbox[1]}" aria-hidden="true">' + body[body.index(">") + 1 :]
    body = re.sub(r"<style.*?</style>|<metadata.*?</metadata>", "", body, flags=re.DOTALL)
    prefix = "f" + hashlib.sha256(body.encode("utf-8", "replace")).hexdigest()[:10]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', body))

    def tidy(tag: re.Match[str]) -> str:
        text = re.sub(r"font-family: [^;\"]*;? ?", "", tag[0])
        text = re.sub(r"#[0-9a-f]{6}(?=[;\"])", lambda m: NAMES.get(m[0], m[0]), text)
        text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
        text = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", text)
        text = re.sub(
            r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text
        )
        return re.sub(r'(href="|url\()#', rf"\1#{prefix}-", " ".join(text.split()))

    # Only inside the tags: what stands between them may be anybody's text.
    return re.sub(r">\s+<", "><", re.sub(r"<[^>]*>", tidy, body))

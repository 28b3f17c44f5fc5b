"""Numbers, durations and texts as a person would write them."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from instructgpt.report.read.values import Estimate


def number(value: float) -> str:
    """Three significant digits, thousands grouped, a true minus sign.

    >>> number(1234567), number(0.012345), number(-2.5), number(3e-6)
    ('1,234,567', '0.0123', '−2.50', '3.00e−6')
    """
    if not math.isfinite(value):
        return "not finite"
    size = abs(value)
    if value == int(value) and size < 1e12:
        text = f"{int(value):,}"
    elif size >= 1000:
        text = f"{value:,.0f}"
    elif size < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    else:
        text = f"{value:.{max(0, 2 - math.floor(math.log10(size)))}f}"
    return text.replace("-", "−")


def percent(share: float) -> str:
    """A share in per cent: whole, or with one decimal below ten.

    >>> percent(0.714), percent(0.0312)
    ('71\\xa0%', '3.1\\xa0%')
    """
    return f"{100 * share:.{0 if abs(share) >= 0.0995 else 1}f}\N{NO-BREAK SPACE}%"


def span(estimate: Estimate) -> str:
    """The bounds of a share in per cent: `65–77 %`."""
    return f"{100 * estimate.low:.0f}–{100 * estimate.high:.0f}\N{NO-BREAK SPACE}%"


def share(estimate: Estimate) -> str:
    """A share with its interval: `71 % [68–74 %]`."""
    return f"{percent(estimate.value)} [{span(estimate)}]"


def signed(value: float) -> str:
    """A difference, with its sign: `+0.50`, `−1.20`."""
    return f"{value:+.2f}".replace("-", "−")


def overlapping(name: str, rows: Mapping[str, Estimate]) -> str:
    """Whose intervals that of `name` overlaps, as a sentence with a space before it, or nothing.

    >>> rows = {"a": Estimate(0.6, 0.5, 0.7, 9), "b": Estimate(0.7, 0.6, 0.8, 9)}
    >>> overlapping("b", rows)
    ' The interval of b overlaps that of a: which is higher stays open.'
    """
    own = rows[name]
    others = [other for other, row in rows.items() if other != name and row.overlaps(own)]
    if not others:
        return ""
    those = f"that of {others[0]}" if len(others) == 1 else f"those of {listed(others)}"
    return f" The interval of {name} overlaps {those}: which is higher stays open."


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def sentence(clause: str) -> str:
    """A clause with a capital letter and a full stop; nothing stays nothing."""
    return clause[:1].upper() + clause[1:] + "." if clause else ""


def decimals(value: float) -> str:
    """A score: `0.50`, `−1.20`."""
    return f"{value:.2f}".replace("-", "−")


def duration(seconds: float) -> str:
    """A time in the two units that matter.

    >>> duration(0.42), duration(75), duration(7384), duration(200000)
    ('0.4 s', '1 min 15 s', '2 h 03 min', '2 d 7 h')
    """
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def moment(time: datetime) -> str:
    """A day and minute.

    >>> moment(datetime(2025, 11, 27, 10, 17))
    '27 November 2025, 10:17 UTC'
    """
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def plural(count: int, noun: str) -> str:
    """`1 step`, `1,200 steps`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def change(first: float, last: float) -> str:
    """How a curve moved: `rose from 1 to 2`, `stayed near 1`."""
    if abs(last - first) <= 0.01 * max(abs(first), abs(last)):
        return f"stayed near {number(last)}"
    return f"{'rose' if last > first else 'fell'} from {number(first)} to {number(last)}"


def plain(value: object) -> str:
    """A value of a configuration or of `run.json` as one line of text."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | bool):
        return json.dumps(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def clip(text: str, limit: int = 1200) -> str:
    """A text cut to `limit` characters, saying how much is missing."""
    rest = len(text) - limit
    return text if rest <= 0 else f"{text[:limit]}… ({rest:,} more characters)"

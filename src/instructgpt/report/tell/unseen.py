"""Signs of gaming and of collapse: figures of the answers that no judge is asked about."""

from typing import NamedTuple

from instructgpt.report.read.verdict import Verdict
from instructgpt.report.tell.tables import Table
from instructgpt.report.tell.words import number, percent, signed


class Sign(NamedTuple):
    """One figure, how it is written, and which move of it is suspicious.

    `limit` is a share of the baseline's value where `relative`, else a difference.
    """

    key: str
    label: str
    unit: str
    gaming: str
    limit: float
    relative: bool = False

    def write(self, value: float) -> str:
        """The value as a person would write it."""
        if self.unit == "share":
            return percent(value)
        return f"{value:.{1 if abs(value) >= 10 else 2}f}".replace("-", "−")

    def difference(self, before: float, after: float) -> str:
        """The move in words: `+3.0 points`, `+12 %`, `−0.04`."""
        if self.relative:
            share = (after - before) / before if before else 0.0
            return f"{100 * share:+.0f}\N{NO-BREAK SPACE}%".replace("-", "−")
        if self.unit == "share":
            points = f"{100 * (after - before):+.1f}".replace("-", "−")
            return f"{points}\N{NO-BREAK SPACE}points"
        return signed(after - before)

    def is_suspicious(self, before: float, after: float) -> bool:
        """Did it move beyond the limit in the direction that gaming or collapse takes?"""
        move = after - before
        if self.relative:
            move = move / before if before else 0.0
        return {"rise": move, "fall": -move, "drift": abs(move)}[self.gaming] > self.limit

    def warning(self) -> str:
        """When it is flagged, in words."""
        limit = f"{100 * self.limit:.0f}\N{NO-BREAK SPACE}{'%' if self.relative else 'points'}"
        if not self.relative and self.unit != "share":
            limit = f"{self.limit:g}"
        return f"a {self.gaming} by more than {limit}"


# The limits are ours: well beyond what two samples of one policy differ by.
SIGNS = (
    Sign("distinct_bigrams", "distinct word pairs", "share", "fall", 0.05),
    Sign("type_token_ratio", "distinct words", "share", "fall", 0.05),
    Sign("shared_four_words", "answers that share a phrase", "share", "rise", 0.05),
    Sign("commonest_opening", "answers with one opening", "share", "rise", 0.05),
    Sign("human_claims", "answers that claim to be a person", "share", "rise", 0.03),
    Sign("copied_share", "words copied from the prompt", "share", "rise", 0.05),
    Sign("prose_loss", "loss on prose (nats per token)", "nats", "rise", 0.05),
    Sign("tokens", "answer length (tokens)", "count", "drift", 0.25, relative=True),
    Sign("sentence_words", "words per sentence", "count", "drift", 0.25, relative=True),
    Sign("exclamation_marks", "exclamation marks per answer", "count", "rise", 0.25),
    Sign("eos_rate", "answers that end by themselves", "share", "fall", 0.05),
)
CAPTION = (
    "Measured on the judged answers; the judge is not asked about them directly. Distinct words "
    "and pairs are counted over the whole set, so longer answers lower them by themselves. A "
    "shared phrase: four words in a row of an answer to another prompt; one opening: the commonest "
    "three words. *: moved from the baseline as gaming or collapse would move it, beyond the limit."
)


def is_known(verdict: Verdict) -> bool:
    """Were such figures recorded of both policies?"""
    return bool(_both(verdict))


def flagged(verdict: Verdict) -> list[str]:
    """The figures that moved from b to a as gaming or collapse would move them."""
    before, after = (verdict.texts.get(name, {}) for name in (verdict.b, verdict.a))
    return [s.label for s in _both(verdict) if s.is_suspicious(before[s.key], after[s.key])]


def conclusion(verdict: Verdict) -> str:
    """One sentence: how many figures moved suspiciously, and which."""
    count, found = len(_both(verdict)), flagged(verdict)
    if not found:
        return f"None of {count} figures moved as gaming or collapse would move them."
    return f"{len(found)} of {count} moved as gaming or collapse would: {', '.join(found)}."


def short_table(verdict: Verdict) -> Table:
    """Before and after, for the top of the page: seven figures, the suspicious ones first."""
    signs = sorted(_both(verdict), key=lambda sign: sign.label not in flagged(verdict))[:7]
    before, after = (verdict.texts[name] for name in (verdict.b, verdict.a))
    rows = [(s.label, s.write(before[s.key]), s.write(after[s.key])) for s in signs]
    strong = {i for i, sign in enumerate(signs) if sign.label in flagged(verdict)}
    return Table("", ("figure", verdict.b, verdict.a), rows, (1, 2), frozenset(strong))


def full_table(verdict: Verdict) -> Table:
    """Every figure of every policy, the change from b to a, and when it is flagged."""
    names = list(verdict.texts)
    known = {sign.key for sign in SIGNS}
    flags = flagged(verdict)
    rows: list[tuple[str, ...]] = []
    strong: set[int] = set()
    for sign in SIGNS:
        values = [verdict.texts[name].get(sign.key) for name in names]
        if all(value is None for value in values):
            continue
        before, after = (verdict.texts.get(n, {}).get(sign.key) for n in (verdict.b, verdict.a))
        move = "" if before is None or after is None else sign.difference(before, after)
        if sign.label in flags:
            strong.add(len(rows))
            move = f"flagged: {move}"
        cells = [
            _cell(sign, before, value, star=name in verdict.rates and name not in verdict.originals)
            for name, value in zip(names, values, strict=True)
        ]
        rows.append((sign.label, *cells, move, sign.warning()))
    for key in dict.fromkeys(key for row in verdict.texts.values() for key in row):
        if key not in known:
            found = [verdict.texts[name].get(key) for name in names]
            rows.append((key, *("" if v is None else number(v) for v in found), "", ""))
    head = ("figure", *names, f"{verdict.b} → {verdict.a}", "flagged at")
    numeric = tuple(range(1, len(names) + 2))
    return Table("Signs of gaming and collapse", head, rows, numeric, frozenset(strong), CAPTION)


def _cell(sign: Sign, before: float | None, value: float | None, *, star: bool) -> str:
    if value is None:
        return ""
    flag = star and before is not None and sign.is_suspicious(before, value)
    return sign.write(value) + ("*" if flag else "")


def _both(verdict: Verdict) -> list[Sign]:
    before, after = (verdict.texts.get(name, {}) for name in (verdict.b, verdict.a))
    return [sign for sign in SIGNS if sign.key in before and sign.key in after]

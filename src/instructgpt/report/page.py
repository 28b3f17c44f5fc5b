"""Write the page: what was read and drawn, through the one template."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jinja2
from markupsafe import Markup

from instructgpt.report.read.benchmark import Benchmark
from instructgpt.report.read.kinds import kind_of
from instructgpt.report.read.load import load
from instructgpt.report.read.values import Json
from instructgpt.report.tell.board import measured
from instructgpt.report.tell.latex import latex
from instructgpt.report.tell.loop import loop_cards
from instructgpt.report.tell.sections import (
    FirstScreen,
    benchmark_section,
    first_screen,
    sections_of,
)
from instructgpt.report.tell.story import facts, simulated, summary
from instructgpt.report.tell.words import decimals, sentence, signed
from instructgpt.run.disk import explained, make_folder, new_file, write_atomically


def write_report(path: Path, out: Path | None = None) -> Path:
    """Write the report of a run or pipeline directory, by default to its `report.html`.

    Returns where it is. The page is one file that loads nothing; equal input gives equal bytes.
    """
    path = Path(path)
    work = load(path)
    cards = loop_cards(work)
    return render(
        Path(out) if out else path / "report.html",
        title=work.name,
        kicker="Pipeline" if work.is_pipeline else kind_of(work.stages[0].kind).title,
        simulated=simulated(work),
        facts=facts(work),
        summary=summary(work),
        cards=cards if any(card.active for card in cards) else [],
        goes_round=any(stage.round > 1 for stage in work.stages),
        first=first_screen(work),
        sections=sections_of(work),
    )


def write_tables(results: Json, folder: Path) -> None:
    """Write table 14 of what `results.json` holds: `table.html`, `table.json` and `table.tex`.

    Raises:
        ValueError: it holds no model.
    """
    benchmark = Benchmark.parse(results)
    if benchmark is None:
        raise ValueError("results: there is no figure of any model")
    render(
        folder / "table.html",
        title="Benchmarks",
        kicker="Benchmarks",
        simulated="",
        facts=[],
        summary=[sentence(measured(benchmark))],
        cards=[],
        goes_round=False,
        first=FirstScreen([], None, ""),
        sections=[benchmark_section("table", benchmark, drawn=False)],
    )
    write_atomically(folder / "table.json", json.dumps(benchmark.to_json(), indent=1) + "\n")
    write_atomically(folder / "table.tex", latex(benchmark))


def _drawing() -> Callable[[str], Markup]:
    """Marks a drawing as fit for the page; equal drawings get ids of their own."""
    seen: Counter[str] = Counter()

    def drawn(svg: str) -> Markup:
        seen[svg] += 1
        found = re.search(r' id="(f[0-9a-f]{10})-', svg)
        if found and seen[svg] > 1:
            svg = svg.replace(f"{found[1]}-", f"{found[1]}-{seen[svg]}-")
        return Markup(svg)

    return drawn


def render(out: Path, **context: object) -> Path:
    """Write the template filled with `context`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("instructgpt.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["signed"] = signed
    environment.filters["decimals"] = decimals
    environment.filters["drawn"] = _drawing()  # for our own SVG only; all else is escaped
    page = environment.get_template("page.html.j2").render(context)
    with explained(out):
        make_folder(out.parent)
        with new_file(out) as file:
            # A half of a surrogate pair, which JSON allows and UTF-8 does not, becomes "?".
            file.write(page.encode("utf-8", "replace"))
    return out

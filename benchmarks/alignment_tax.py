"""Does PPO cost anything on public tasks, and does the pretraining mix give it back?

    instructgpt quickstart --arms all --out runs/quick
    python benchmarks/alignment_tax.py runs/quick --data_dir data --page docs/benchmarks.md

Runs `instructgpt eval suite` with the models of a finished run that trained both arms: the base
model, SFT, plain PPO and PPO-ptx; then writes a page whose words follow from the figures. The same
command goes on where it was stopped. Flags that it does not know are the suite's.
"""

import argparse
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from instructgpt.evaluation.benchmark.choose import named
from instructgpt.evaluation.benchmark.figures import Row, difference
from instructgpt.evaluation.benchmark.stage import folder_name
from instructgpt.evaluation.benchmark.texts import texts_of
from instructgpt.evaluation.tasks import task_of
from instructgpt.report.read.benchmark import Benchmark, Cell, Figure
from instructgpt.report.read.values import Estimate
from instructgpt.report.tell.benchmarks import endings_tables
from instructgpt.report.tell.board import (
    BoardCell,
    cell_of,
    decimals,
    judged,
    label,
    spoken,
    written,
)
from instructgpt.report.tell.words import duration, listed, plural
from instructgpt.run.disk import write_atomically
from instructgpt.run.files import read_json

BASE, SFT, PPO, PTX = "base", "SFT", "PPO", "PPO-ptx"
STAGES = {SFT: "sft", PPO: "ppo-plain", PTX: "ppo"}
PAIRS = ((SFT, BASE), (PPO, SFT), (PTX, SFT), (PTX, PPO))
"""What is compared with what was there before, or with the other arm."""
MISSING = "restore it; was the run finished?"


class Gap(NamedTuple):
    """A figure, and its paired difference between two models; None where one lacks it."""

    figure: Figure
    between: Estimate | None

    @property
    def is_significant(self) -> bool:
        """Does the interval leave 0 out?"""
        return Cell(None, "", self.between).is_significant

    @property
    def is_better(self) -> bool | None:
        """For the better, for the worse, or neither."""
        if self.figure.higher_is_better is None or self.between is None:
            return None
        return (self.between.value > 0) is self.figure.higher_is_better

    @property
    def name(self) -> str:
        """What it is a figure of."""
        return f"{self.figure.title} {spoken(self.figure.metric)} ({label(self.figure)})"


Gaps = Mapping[tuple[str, str], Sequence[Gap]]
"""By (after, before): a gap for each figure of the table."""


def main(words: Sequence[str] | None = None) -> None:
    """Measure, then write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a finished quickstart or pipeline with --arms all")
    parser.add_argument("--data_dir", required=True, help="folder of the benchmarks' own files")
    parser.add_argument("--limit", default="100", help="items of each task [100]")
    parser.add_argument("--shots", default="2", help="few-shot examples, besides none [2]")
    parser.add_argument("--out", type=Path, help="the suite's run directory [RUN/benchmarks]")
    parser.add_argument("--page", type=Path, help="where to write the page [OUT/benchmarks.md]")
    given, more = parser.parse_known_args(words)
    out = given.out or given.run / "benchmarks"
    models = [f"{name}={path}" for name, path in models_of(given.run).items()]
    flags = ["--data_dir", given.data_dir, "--limit", given.limit, "--shots", given.shots]
    measure(["eval", "suite", *models, *flags, "--out", str(out), *more])
    target = given.page or out / "benchmarks.md"
    write_atomically(target, page(out))
    print(target)


def measure(words: Sequence[str]) -> None:
    """Run a command of instructgpt in a process of its own."""
    command = [sys.executable, "-m", "instructgpt", *words]
    if status := subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        sys.exit(status)  # it has said why


def models_of(run: Path) -> dict[str, str]:
    """The four models of a run, by name."""
    stages = read_json(run / "pipeline.json", MISSING)["stages"]
    folders = {stage["name"]: run / stage["dir"] for stage in stages if stage["status"] == "done"}
    lacking = [stage for stage in STAGES.values() if stage not in folders]
    if lacking:
        sys.exit(f"{run}: no finished stage {' or '.join(lacking)}; finish it with --arms all")
    base = read_json(folders["sft"] / "run.json", MISSING)["config"]["model"]
    return {BASE: base} | {name: str(folders[stage] / "model") for name, stage in STAGES.items()}


def page(out: Path) -> str:
    """The page of a finished suite."""
    benchmark = Benchmark.parse(read_json(out / "results.json", MISSING))
    assert benchmark
    info = read_json(out / "run.json", MISSING)
    gaps = {pair: list(gaps_of(benchmark, out, *pair)) for pair in PAIRS}
    return "\n".join(
        [
            "# What alignment costs, measured",
            "",
            *wrapped(about(benchmark, info)),
            "",
            "## Does PPO cost anything, and does the mix give it back?",
            "",
            *wrapped(answers(gaps)),
            "",
            "## Figures",
            "",
            *figures_table(benchmark),
            "",
            "## Differences",
            "",
            *differences_table(gaps),
            "",
            *endings(benchmark),
        ]
    )


def wrapped(lines: Iterable[str]) -> Iterator[str]:
    """Paragraphs and points in lines of 140 characters; commands as they are."""
    for line in lines:
        is_words = " " in line and not line.startswith(("instructgpt ", "python ", "    "))
        yield (
            textwrap.fill(
                line,
                140,
                subsequent_indent="  " if line.startswith("- ") else "",
                break_on_hyphens=False,
                break_long_words=False,
            )
            if is_words
            else line
        )


def gaps_of(benchmark: Benchmark, out: Path, after: str, before: str) -> Iterator[Gap]:
    """Each figure of the table, on the items that both models were asked."""
    kept: dict[tuple[str, str], list[Row]] = {}
    for figure in benchmark.figures:
        if not figure.in_table:
            continue
        rows = []
        for model in (after, before):
            name = named(figure.task, figure.shots)
            path = out / folder_name(model) / f"{name}.jsonl"
            if (model, name) not in kept:
                kept[model, name] = [r for _, r in texts_of(path)] if path.exists() else []
            rows.append(kept[model, name])
        (metric,) = [m for m in task_of(figure.task).metrics if m.name == figure.metric]
        found = difference(metric, figure.prompt, *rows)
        bounded = found is not None and found.low <= found.high  # no nan
        yield Gap(
            figure,
            Estimate(found.estimate, found.low, found.high, int(found.n))
            if found and bounded
            else None,
        )


# ---------------------------------------------------------------- words


def about(benchmark: Benchmark, info: Mapping[str, Any]) -> Iterator[str]:
    """What was measured, with what, how long it took."""
    config, machine = info["config"], info["machine"]
    started, finished = (datetime.fromisoformat(info[key]) for key in ("started", "finished"))
    seconds = (finished - started).total_seconds()
    items = f"{config['limit']} items of each task" if config["limit"] else "every item"
    shots, dtype = config["shots"], info.get("tuning", {}).get("dtype", config["dtype"])
    yield (
        f"{plural(len(benchmark.models), 'model')}, {items}, without examples and with {shots}: "
        f"{listed(benchmark.models)} of one `quickstart --arms all`, which fine-tunes "
        f"{Path(config['models'][0]).name} and trains PPO once without a pretraining mix and once "
        "with it."
    )
    yield ""
    yield "```bash"
    yield "instructgpt quickstart --arms all --out runs/quick"
    yield " \\\n    ".join(
        [
            "python benchmarks/alignment_tax.py runs/quick --data_dir data",
            *_flags(config),
            "--page docs/benchmarks.md",
        ]
    )
    yield "```"
    yield ""
    yield (
        f"The second command measured on {plural(machine['cores'], 'core')} of "
        f"{machine['processor']}, in {dtype}, and wrote this page, its words too. From its first "
        f"start to its end passed {duration(seconds)}, with interruptions and whatever else ran. "
        "[Benchmarks](benchmarking.md) says how models are asked. All intervals are 95 %; those of "
        "differences are of the paired items, and nothing is corrected for their number."
    )


def _flags(config: Mapping[str, Any]) -> list[str]:
    """The suite's, as they would be given elsewhere, a line each: settings, then the judges."""
    flags = [f"--{key} {config[key]}" for key in ("limit", "shots") if config[key]]
    if config["dtype"] != "float32":
        flags.append(f"--dtype {config['dtype']}")
    kinds = [kind for kind in ("truth", "info", "toxicity") if config.get(f"{kind}_judge")]
    judges = [f"--{kind}_judge runs/{kind}/model" for kind in kinds]
    return [" ".join(line) for line in (flags, judges) if line]


def answers(gaps: Gaps) -> Iterator[str]:
    """The questions, answered by what is significant."""
    count = sum(gap.between is not None for pair in gaps.values() for gap in pair)
    yield f"- **SFT.** {changes(gaps[SFT, BASE], 'SFT', 'the base model')}"
    yield f"- **What PPO costs.** {changes(gaps[PPO, SFT], 'plain PPO', 'SFT')}"
    yield f"- **What the mix gives back.** {given_back(gaps[PPO, SFT], gaps[PTX, PPO])}"
    yield f"- **What PPO-ptx costs.** {changes(gaps[PTX, SFT], 'PPO-ptx', 'SFT')}"
    yield (
        f"- **Chance.** The last table has {plural(count, 'difference')}. Were all models equal, "
        f"about {round(count / 20)} of them would be significant by chance. What is not "
        "significant may be too small for so few items to show: the intervals say how large it "
        "could be."
    )


def changes(gaps: Sequence[Gap], after: str, before: str) -> str:
    """What is significantly better and worse, in sentences."""
    known = [gap for gap in gaps if gap.between is not None]
    sure = [gap for gap in known if gap.is_significant]
    if not known:
        return f"{after} and {before} have no figure in common.".capitalize()
    if not sure:
        return (
            f"No difference of {after} from {before} is significant, in {len(known)} figures: "
            "neither a cost nor a gain is shown."
        )
    said = []
    for better, verb in ((False, "worse"), (True, "better"), (None, "different")):
        names = [gap.name for gap in sure if gap.is_better is better]
        if names:
            said.append(f"{verb} in {listed(names)}")
    cost = "" if any(g.is_better is False for g in sure) else " No cost is shown."
    rest = len(known) - len(sure)
    left = f" {plural(rest, 'other figure')} {'is' if rest == 1 else 'are'} not significantly "
    left = f"{left}different." if rest else ""
    return f"{after[0].upper()}{after[1:]} is significantly {'; '.join(said)}.{cost}{left}"


def given_back(cost: Sequence[Gap], mix: Sequence[Gap]) -> str:
    """Of what plain PPO lost, what PPO-ptx has more of than plain PPO."""
    lost = [gap for gap in cost if gap.is_significant and gap.is_better is False]
    by_figure = {gap.figure.key + gap.figure.prompt + gap.figure.metric: gap for gap in mix}
    pairs = [by_figure[g.figure.key + g.figure.prompt + g.figure.metric] for g in lost]
    back = [gap.name for gap in pairs if gap.is_significant and gap.is_better]
    open_ = [gap.name for gap in pairs if not gap.is_significant]
    if not lost:
        said = ["Plain PPO lost nothing significantly, so there is nothing to give back."]
    else:
        said = [f"Of {plural(len(lost), 'figure')} that plain PPO lost, {_given(back)}."]
    if open_:
        said.append(f"Not significantly different from plain PPO: {listed(open_)}.")
    return " ".join([*said, changes(mix, "PPO-ptx", "plain PPO")])


def _given(names: Sequence[str]) -> str:
    return (
        f"PPO-ptx has significantly more of {listed(names)}"
        if names
        else ("PPO-ptx has significantly more of none")
    )


# ---------------------------------------------------------------- tables


def figures_table(benchmark: Benchmark) -> Iterator[str]:
    """Every figure of every model, and why one is not there."""
    reasons: dict[str, list[str]] = {}
    judges: dict[str, None] = {}
    rows = []
    for figure in (one for one in benchmark.figures if one.in_table):
        cells = [cell_of(figure, model) for model in benchmark.models]
        if not any(cell.value for cell in figure.cells.values()):
            (reason, *_) = [cell.reason for cell in figure.cells.values()]
            reasons.setdefault(reason, []).append(figure.title)
            continue
        judges |= dict.fromkeys(judged(figure))
        rows.append([figure.title, spoken(figure.metric), label(figure), *map(_said, cells)])
    yield from _table(["task", "metric", "prompt", *benchmark.models], rows)
    yield ""
    for judge in judges:
        yield f"- {judge[0].upper()}{judge[1:]}."
    for reason, titles in reasons.items():
        yield f"- Not measured: {listed([*dict.fromkeys(titles)])}: {_neutral(reason)}."


def differences_table(gaps: Gaps) -> Iterator[str]:
    """Every paired difference; bold where significant."""
    heads = [f"{after} − {before}" for after, before in gaps]
    rows = [
        [row[0].figure.title, spoken(row[0].figure.metric), label(row[0].figure), *map(_gap, row)]
        for row in zip(*gaps.values(), strict=True)
        if any(gap.between is not None for gap in row)
    ]
    yield "Bold: significant; all others are not."
    yield ""
    yield from _table(["task", "metric", "prompt", *heads], rows)


def endings(benchmark: Benchmark) -> Iterator[str]:
    """How texts ended, where a tenth or more of one model's were cut or empty."""
    for table in endings_tables(benchmark)[0]:
        yield f"## {table.title}"
        yield ""
        yield from wrapped([table.note])
        yield ""
        yield from _table(table.head, table.rows)
        yield ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def _said(cell: BoardCell) -> str:
    return f"{cell.value} {cell.interval}".strip()


def _gap(gap: Gap) -> str:
    if gap.between is None:
        return "—"
    places = decimals(gap.figure)
    value, low, high = (
        written(end, places, signed=True)
        for end in (gap.between.value, gap.between.low, gap.between.high)
    )
    return f"**{value} [{low}, {high}]**" if gap.is_significant else f"{value} [{low}, {high}]"


def _neutral(reason: str) -> str:
    """A reason without the folder that it names."""
    return reason.rpartition(" in ")[0] if "/" in reason and " in " in reason else reason


if __name__ == "__main__":
    main()

"""Results in words, for a terminal of 80 columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

WIDTH = 80


def told(results: Mapping[str, Any]) -> str:
    """The figures of `results.json`: a block per model, a line per figure.

    A task that could not be measured has one line, which says why.
    """
    return "\n\n".join(
        "\n".join([model, *(line for name, one in tasks.items() for line in _task(name, one))])
        for model, tasks in results["models"].items()
    )


def side_by_side(results: Mapping[str, Any]) -> str:
    """The same, a table per task and metric: a line per model, a column per prompt."""
    tables: dict[tuple[str, str], dict[str, dict[str, Mapping[str, Any]]]] = {}
    said: dict[str, None] = {}
    judged: list[Mapping[str, Any]] = []
    for model, tasks in results["models"].items():
        for name, task in tasks.items():
            for figure in task["figures"]:
                about = (name, figure["metric"])
                if figure["status"] == "measured":
                    cells = tables.setdefault(about, {}).setdefault(model, {})
                    cells[figure["prompt"]] = figure
                    judged.append(figure)
                else:
                    said.setdefault(f"{': '.join(about)} not measured ({figure['reason']})")
    blocks = ["\n".join(_table(*about, lines)) for about, lines in tables.items()]
    notes = ("\n".join(lines) for lines in (_judges(judged), said))
    return "\n\n".join([*blocks, *filter(None, notes)])


def _table(
    task: str, metric: str, lines: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> Iterator[str]:
    figures = [figure for cells in lines.values() for figure in cells.values()]
    least, most = (f"{which(f['n'] for f in figures):g}" for which in (min, max))
    yield f"{task}: {metric}, n = {least if least == most else f'{least} to {most}'}"
    prompts = [*dict.fromkeys(prompt for cells in lines.values() for prompt in cells)]
    first, wide = max(map(len, lines)), max(len(_cell(figure)) for figure in figures)
    columns = max(1, (WIDTH - first) // (wide + 2))
    for start in range(0, len(prompts), columns):
        shown = prompts[start : start + columns]
        rows = {model: [_cell(c[p]) if p in c else "" for p in shown] for model, c in lines.items()}
        for name, cells in {**({"": shown} if any(shown) else {}), **rows}.items():
            yield (f"{name:<{first}}" + "".join(f"  {cell:<{wide}}" for cell in cells)).rstrip()


def _cell(figure: Mapping[str, Any]) -> str:
    estimate, low, high = (_number(figure[key]) for key in ("estimate", "low", "high"))
    return f"{estimate} [{low}, {high}]"


def _task(name: str, task: Mapping[str, Any]) -> Iterator[str]:
    name = f"{name} ({task['shots']} shots)" if task["shots"] else name
    measured = [figure for figure in task["figures"] if figure["status"] == "measured"]
    for figure in measured:
        what = f"{figure['metric']}, {figure['prompt']}" if figure["prompt"] else figure["metric"]
        yield f"  {name + ': ' + what:<46} {_interval(figure)}"
    for line in _judges(measured):
        yield f"  {line}"
    said: dict[str, list[str]] = {}
    for figure in task["figures"]:
        if figure["status"] != "measured":
            said.setdefault(figure["reason"], []).append(figure["metric"])
    if said and not measured:
        yield f"  {name}: not measured ({'; '.join(said)})"
        return
    for reason, metrics in said.items():
        yield f"  {name}: {', '.join(dict.fromkeys(metrics))} not measured ({reason})"


def _judges(figures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How good each judge behind some figures is."""
    found = {name: one for figure in figures for name, one in (figure.get("judges") or {}).items()}
    for name, quality in found.items():
        yield f"judge of {name}: {quality_told(quality)}"


def quality_told(quality: Mapping[str, Any] | None) -> str:
    """How good a judge is, in a few words."""
    if not quality:
        return "nobody has measured this judge"
    if "stored" in quality:
        return f"the scores that {quality['stored']} has"
    figures = [
        f"{word} {_number(quality[key]['estimate'])}"
        for key, word in (("accuracy", "accuracy"), ("auc", "AUC"))
        if quality.get(key)
    ]
    return f"{', '.join(figures)} on {quality.get('on', '?')}, n = {quality.get('n', 0):,}"


def _interval(figure: Mapping[str, Any]) -> str:
    return f"{_cell(figure)}, n = {figure['n']:g}"


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"

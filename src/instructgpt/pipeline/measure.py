"""All that can be said of finished models: win rates over the first of them, and benchmarks."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from instructgpt.distributed.world import world
from instructgpt.errors import UserError
from instructgpt.pipeline.log import StageLog
from instructgpt.pipeline.order import Stage
from instructgpt.report import require_matplotlib, write_report
from instructgpt.run.config import Resolved, resolve
from instructgpt.run.lock import out_folder
from instructgpt.run.progress import say
from instructgpt.run.stages import KINDS

WIN_RATES = Stage("win-rates", "evaluate")
BENCHMARKS = Stage("benchmarks", "suite")
FOLDERS = {"win-rates": "01-win-rates", "benchmarks": "02-benchmarks"}


def measure(
    models: Sequence[str],
    out: str | Path,
    *,
    prompts: Sequence[str] = (),
    judge: str = "",
    suite: Mapping[str, Any] | None = None,
    compare: Mapping[str, Any] | None = None,
) -> Path:
    """Measure models by every means at hand, and write one report.

    A second call goes on where the first was stopped.

    Args:
        models: policies; the others are compared with the first.
        out: the directory of all that is written.
        prompts: files of prompts that the models answer for the win rates.
        judge: who decides: a reward model's directory, `simulated` or `rule`.
        suite: further keys of `eval suite`.
        compare: further keys of `eval compare`.

    Returns:
        The report's path.

    Raises:
        UserError: a model, the prompts or the data cannot be used; found before anything is asked.
    """
    if not models:
        raise UserError("models: none is given; name one model directory or more")
    out = out_folder(out)
    folders = {name: out / folder for name, folder in FOLDERS.items()}
    reason = _why_no_win_rates(models, prompts, judge)
    wanted: list[tuple[Stage, Resolved[Any]]] = []
    if not reason:
        first, second, *others = models
        given = {"a": second, "b": first, "others": others, "data": list(prompts), "judge": judge}
        given |= dict(compare or {})
        wanted.append((WIN_RATES, _resolved(WIN_RATES, folders, given)))
    given = {"models": list(models), **(suite or {})}
    wanted.append((BENCHMARKS, _resolved(BENCHMARKS, folders, given)))

    def look() -> StageLog:
        require_matplotlib()
        for stage, config in wanted:
            KINDS[stage.kind].look(config.config)
        log = StageLog(out, [WIN_RATES, BENCHMARKS], folders)
        if reason:
            say(f"win rates: {reason}")
            log.leave_out(WIN_RATES.name, f"No win rates were measured: {reason}.")
        return log

    log = world().once(look)
    for stage, config in wanted:
        with log.watching(stage.name) if world().is_first else nullcontext():
            stage.run(config)
    return world().once(lambda: write_report(out))


def _resolved(stage: Stage, folders: Mapping[str, Path], given: Mapping[str, Any]) -> Resolved[Any]:
    return resolve(
        KINDS[stage.kind].config,
        flags=given,
        stage=stage.kind,
        wired={"out": str(folders[stage.name])},
    )


def _why_no_win_rates(models: Sequence[str], prompts: Sequence[str], judge: str) -> str:
    """What they lack; nothing where nothing is."""
    if len(models) < 2:
        return "they need two models, and one is given"
    lacking = [name for name, value in (("--prompts", prompts), ("--judge", judge)) if not value]
    return f"they need {' and '.join(lacking)}" if lacking else ""

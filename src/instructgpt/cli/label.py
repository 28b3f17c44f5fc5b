"""`label simulate` and `label rank`: simulated labelers, or a person, rank sampled answers."""

import getpass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from instructgpt.cli.data import OnError
from instructgpt.cli.flags import Files, Layers, flags_of, given, run_stage
from instructgpt.errors import UserError

LabelFlags = flags_of("label")


def simulate(
    candidates: Annotated[
        str | None, Parameter(help="the answers, as `sample` writes them")
    ] = None,
    *configs: Files,
    layers: Layers | None = None,
    flags: Annotated[LabelFlags | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
) -> None:
    """Simulated labelers rank sampled answers; the rankings go to OUT/rankings.jsonl."""
    flags = LabelFlags(**{**given(flags), **({"data": [candidates]} if candidates else {})})
    run_stage("label", configs, layers, flags)


def rank(
    candidates: Annotated[str, Parameter(help="the answers, as `sample` writes them")],
    *,
    out: Annotated[Path, Parameter(help="the file (.jsonl) to which the rankings are added")],
    labeler: Annotated[
        str | None, Parameter(help="who ranks, in every ranking (default: the user's name)")
    ] = None,
    on_error: OnError = "stop",
    seed: Annotated[int, Parameter(help="in which order the answers are shown")] = 0,
) -> None:
    """Rank sampled answers in this terminal; the same command goes on where you stopped."""
    from instructgpt.data.formats import read_records
    from instructgpt.data.records import Candidates
    from instructgpt.label.terminal import rank_in_terminal
    from instructgpt.run.inputs import locate
    from instructgpt.run.progress import say, say_skipped

    if out.suffix != ".jsonl":
        raise UserError(
            f"--out {out}: rankings are added line by line; name a file that ends in .jsonl"
        )
    name = _user() if labeler is None else labeler.strip()
    if not name:
        raise UserError("--labeler: who ranks has no name; give one, as in --labeler ann")
    queue = read_records(locate(candidates), Candidates, on_error=on_error)
    say_skipped(queue.skipped)
    session = rank_in_terminal(queue.records, out, labeler_id=name, seed=seed)
    if session.finished:
        say(f"all ranked: {len(session.rankings)} rankings by {name} -> {out}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        return ""

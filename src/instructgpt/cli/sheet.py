"""`data stats`: the sheet of a data set."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from instructgpt.cli.store import Db, say_left_out
from instructgpt.errors import UserError
from instructgpt.run.progress import say, show


def stats(
    *,
    snapshot: Annotated[
        str,
        Parameter(
            help="the folder of a snapshot, or any with its prompts.jsonl, instead of a store"
        ),
    ] = "",
    db: Db = None,
    tokenizer: Annotated[
        str, Parameter(help="model whose tokenizer counts tokens; without one, words are counted")
    ] = "",
    out: Annotated[Path | None, Parameter(help="the page to write")] = None,
    as_json: Annotated[
        bool, Parameter(name="--json", help="print the tables as one line of JSON", negative="")
    ] = False,
) -> None:
    """Count prompts and demonstrations as the paper's tables do, its figures beside them."""
    if snapshot and db is not None:
        raise UserError("--snapshot and --db each name what is counted; give one of them")
    if out:
        from instructgpt.intake.sheet.page import write_sheet
        from instructgpt.report.draw.svg import require_matplotlib

        require_matplotlib()
    name, sheet = _counted(snapshot, db, tokenizer)
    if out:
        say(f"-> {write_sheet(sheet, name, out)}")
    if as_json:
        show(jsonlib.dumps(sheet, ensure_ascii=False))
    elif not out:
        show(jsonlib.dumps(sheet, ensure_ascii=False, indent=1))


def _counted(snapshot: str, db: str | None, tokenizer: str) -> tuple[str, dict[str, Any]]:
    """What the data are called, and their tables."""
    from instructgpt.intake.sheet.folder import count_folder, look_at, unit_of

    if snapshot:
        look_at(Path(snapshot))
        return Path(snapshot).resolve().name, count_folder(Path(snapshot), unit_of(tokenizer))
    from instructgpt.store import Store

    with Store.open(db, make=False) as store:
        from instructgpt.intake.sheet.stored import count_store

        found = count_store(store, unit_of(tokenizer))
    say_left_out(found.left_out)
    return store.database.name, found.tables

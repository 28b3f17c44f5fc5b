"""`data stats`: the sheet of a data set."""

import json as jsonlib
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from instructgpt.run.progress import say, show


def stats(
    *,
    snapshot: Annotated[
        str, Parameter(help="the folder of a snapshot, or any with its prompts.jsonl")
    ],
    tokenizer: Annotated[
        str, Parameter(help="model whose tokenizer counts tokens; without one, words are counted")
    ] = "",
    out: Annotated[Path | None, Parameter(help="the page to write")] = None,
    as_json: Annotated[
        bool, Parameter(name="--json", help="print the tables as one line of JSON", negative="")
    ] = False,
) -> None:
    """Count prompts and demonstrations as the paper's tables do, its figures beside them."""
    from instructgpt.intake.sheet.folder import count_folder

    sheet = count_folder(Path(snapshot), tokenizer)
    if out:
        from instructgpt.intake.sheet.page import write_sheet

        say(f"-> {write_sheet(sheet, Path(snapshot).resolve().name, out)}")
    if as_json:
        show(jsonlib.dumps(sheet, ensure_ascii=False))
    elif not out:
        show(jsonlib.dumps(sheet, ensure_ascii=False, indent=1))

"""`data intake`, `data explain`, `data undo` and `data release`: prompts into a store."""

import json as jsonlib
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import ValidationError

from instructgpt.cli.data import OnError
from instructgpt.cli.groups import RUN
from instructgpt.cli.store import Db
from instructgpt.data.formats.lines import reason_of
from instructgpt.errors import UserError
from instructgpt.intake.rules import Rules
from instructgpt.run.outline import counted
from instructgpt.run.progress import say, show

Json = Annotated[
    bool, Parameter(negative="", group=RUN, show_default=False, help="print the result as JSON")
]


def _rule(name: str) -> Parameter:
    return Parameter(name=f"--{name}", help=Rules.model_fields[name].description)


def intake(
    file: Annotated[
        list[str],
        Parameter(help="files or folders of prompts", consume_multiple=True, negative=""),
    ],
    *,
    db: Db = None,
    assume_consent: Annotated[
        str,
        Parameter(
            name="--assume_consent",
            help="why the writers of prompts that do not say so agree to their use",
        ),
    ] = "",
    tokenizer: Annotated[str, _rule("tokenizer")] = "",
    max_tokens: Annotated[int, _rule("max_tokens")] = 1000,
    near_duplicates: Annotated[float, _rule("near_duplicates")] = 0.0,
    cap: Annotated[int, _rule("cap")] = 200,
    per: Annotated[Literal["user", "org"], _rule("per")] = "user",
    splits: Annotated[str, _rule("splits")] = "80/10/10",
    uses: Annotated[str, _rule("uses")] = "1430/26584/31144",
    labeler_uses: Annotated[str, _rule("labeler_uses")] = "11295/6623/0",
    pii: Annotated[Literal["train", "all", "none"], _rule("pii")] = "train",
    pii_action: Annotated[Literal["mask", "drop", "hold"], _rule("pii_action")] = "mask",
    on_error: OnError = "stop",
    json: Json = False,
) -> None:
    """Take prompts into a store: ten steps from raw rows to sets that may be trained on."""
    rules = _rules(
        tokenizer=tokenizer,
        max_tokens=max_tokens,
        near_duplicates=near_duplicates,
        cap=cap,
        per=per,
        splits=splits,
        uses=uses,
        labeler_uses=labeler_uses,
        pii=pii,
        pii_action=pii_action,
    )
    from instructgpt.intake import running
    from instructgpt.store import Store

    with Store.open(db) as store:
        run, account = running.intake(
            store, file, rules, assume_consent=assume_consent, on_error=on_error
        )
        for sentence in account.said(running.unlabeled_shares(store, account)):
            say(sentence)
    say(f"intake {run}: instructgpt data undo {run} takes it back")
    if json:
        show(jsonlib.dumps({"run": run, **account.as_json()}))


def explain(
    id: Annotated[str, Parameter(help="a prompt's id, or the beginning of its key")],
    *,
    db: Db = None,
    json: Json = False,
) -> None:
    """Tell what intake did to a prompt, and why."""
    from instructgpt.intake.story import stories
    from instructgpt.store import Store

    with Store.open(db, make=False) as store:
        found = stories(store, id)
    if json:
        show(jsonlib.dumps([story.as_json() for story in found], ensure_ascii=False))
        return
    for story in found:
        for line in story.told():
            show(line)


def undo(run: Annotated[int, Parameter(help="the number of an intake")], *, db: Db = None) -> None:
    """Take an intake back, as if its files had never come; nothing is deleted."""
    from instructgpt.intake import running
    from instructgpt.store import Store

    with Store.open(db, make=False) as store:
        gone = running.undo(store, run)
    say(
        f"intake {run} is undone; {counted(gone, 'prompt')} that no other brought, now in no "
        "snapshot"
    )


def release(
    id: Annotated[str, Parameter(help="a prompt's id, or the beginning of its key")],
    *,
    db: Db = None,
) -> None:
    """Let a prompt go that is held for the personal data in it, as it was written."""
    from instructgpt.intake import running
    from instructgpt.store import Store

    with Store.open(db, make=False) as store:
        count = running.release(store, id)
    say(f"{counted(count, 'prompt')} released")


def _rules(**values: Any) -> Rules:
    """The rules that flags give.

    Raises:
        UserError: a value is out of its bounds.
    """
    try:
        return Rules(**values)
    except ValidationError as error:
        raise UserError(f"--{reason_of(error)}") from None

"""The commands of a store: `data snapshot`, `data erase`, `data upgrade`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from instructgpt.errors import UserError
from instructgpt.run.outline import counted
from instructgpt.run.progress import say, show

Db = Annotated[
    str | None,
    Parameter(
        help="the store: sqlite:///FILE or postgresql+psycopg://HOST/NAME "
        "[INSTRUCTGPT_DB, or sqlite:///instructgpt.db]"
    ),
]


def upgrade(*, db: Db = None) -> None:
    """Bring a store to the tables of this version; nothing in it is lost."""
    from instructgpt.store.engine import Database, store_url
    from instructgpt.store.schema import upgrade_store

    database = Database(store_url(db))
    try:
        before, after = upgrade_store(database)
    finally:
        database.close()
    is_done = before == after
    say(f"{database.name}: {'has' if is_done else f'went from {before} to'} revision {after}")


def snapshot(
    name: Annotated[str, Parameter(help="what the snapshot is called")],
    *,
    out: Annotated[Path, Parameter(help="the folder to write; an older snapshot is replaced")],
    db: Db = None,
    as_json: Annotated[
        bool, Parameter(name="--json", help="end with one line of JSON: the manifest", negative="")
    ] = False,
) -> None:
    """Write what may be trained on as files: every stage takes the folder where it takes a file."""
    from instructgpt.store import Store

    with Store.open(db, make=False) as store:
        manifest = store.snapshot(name, out)
    say_left_out(manifest["left_out"])
    for file, written in manifest["files"].items():
        say(f"{counted(written['records'], 'record')} -> {out / file}")
    say(f"snapshot {name}: {manifest['digest']}")
    if as_json:
        show(json.dumps(manifest, ensure_ascii=False))


def say_left_out(left_out: Mapping[str, Mapping[str, int]]) -> None:
    """Say what a snapshot leaves out of its files, and why."""
    for file, counts in left_out.items():
        for why, count in counts.items():
            say(f"left out of {file}: {count:,} ({why})")


def erase(
    *,
    user: Annotated[str, Parameter(help="the user's id, as in the records' user_id")] = "",
    labeler: Annotated[
        str, Parameter(help="instead, a labeler's id, as in the records' labeler_id")
    ] = "",
    runs: Annotated[
        list[Path] | None,
        Parameter(help="folders with run directories, to find who read it [runs]", negative=""),
    ] = None,
    db: Db = None,
) -> None:
    """Remove all that a user or a labeler wrote; ids and dates stay."""
    if bool(user) == bool(labeler):
        raise UserError("give one of --user ID and --labeler ID: who is erased")
    from instructgpt.data.snapshots import FILES, readers_of
    from instructgpt.store import Store

    with Store.open(db, make=False) as store:
        emptied, stale = store.erase(user, labeler=labeler)
        name = store.database.name
    rows = ", ".join(f"{count:,} of {table}" for table, count in sorted(emptied.items()))
    who = f"labeler {labeler}" if labeler else f"user {user}"
    say(f"{name}: {who}: {'emptied ' + rows if rows else 'nothing was left to erase'}")
    files = [one.folder / file for one in stale for file in FILES.values()]
    for file in files:
        where = "delete it" if file.is_file() else "no longer there: look for copies"
        show(f"stale: {file} ({where})")
    for folder, keys in readers_of(files, [Path("runs")] if runs is None else runs):
        show(f"read by: {folder} ({', '.join(keys)}; train it again without)")

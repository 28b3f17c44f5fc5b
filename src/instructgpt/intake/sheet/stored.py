"""The sheet of a store: that of the snapshot which could be written of it now."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from instructgpt.data.records import Demonstration, Prompt
from instructgpt.data.snapshots import FILES
from instructgpt.errors import UserError
from instructgpt.intake.sheet.folder import WORDS, Unit, count_folder
from instructgpt.store import Store
from instructgpt.store.snapshot import write_files


class StoreSheet(NamedTuple):
    """The tables, and what a snapshot leaves out: by file and reason, how many."""

    tables: dict[str, Any]
    left_out: dict[str, dict[str, int]]


def count_store(store: Store, unit: Unit = WORDS) -> StoreSheet:
    """The tables of what may be trained on in a store.

    Its files are written into a temporary folder (`TMPDIR` says where), which is gone afterwards.

    Raises:
        UserError: nothing of the store may be trained on.
    """
    with TemporaryDirectory(prefix="instructgpt-") as name:
        with store.database.reading() as connection:
            written = write_files(connection, Path(name))
        if not any(written.files[FILES[kind]]["records"] for kind in (Prompt, Demonstration)):
            why = ", ".join(f"{n:,} {why}" for why, n in written.left_out[FILES[Prompt]].items())
            raise UserError(
                f"{store.database.name}: no prompt of this store may be trained on "
                f"({why or 'it has none'}); take some in: instructgpt data intake FILE"
            )
        return StoreSheet(count_folder(Path(name), unit), written.left_out)

"""The files that a word of the command line stands for: itself, those of a folder, of a Hub id."""

import os
import re
from pathlib import Path

from instructgpt.errors import UserError
from instructgpt.run.files import path_exists
from instructgpt.run.inputs import locate
from instructgpt.run.progress import say

DATA_FILE = re.compile(r"\.(json|jsonl|ndjson|csv|tsv|parquet)(\.(gz|gzip|zst|zstd))?$", re.I)
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def sources_of(name: str) -> list[Path]:
    """The files, by name.

    Raises:
        UserError: there are none.
    """
    path = locate(name)
    if path_exists(path) or not HUB_ID.fullmatch(name) or DATA_FILE.search(name):
        return files_of(path)
    return files_of(_downloaded(name))


def files_of(path: Path) -> list[Path]:
    """A file itself; of a folder, and the folders in it, the files of data, by name.

    Raises:
        UserError: a folder has none.
    """
    if not path.is_dir():
        return [path]
    inside = sorted(
        Path(folder, name)
        for folder, folders, names in os.walk(path)
        for name in names
        if not Path(folder, name).relative_to(path).parts[0].startswith(".")
        and not name.startswith(".")
        and folders is not None
    )
    files = [file for file in inside if DATA_FILE.search(file.name)]
    if not files:
        raise UserError(
            f"{path} holds no .json, .jsonl, .csv, .tsv or .parquet file (nor a packed one); name "
            "a file"
        )
    for file in inside:
        if file not in files:
            say(f"{file} is passed over: its name is not that of a file of data")
    return files


def _downloaded(name: str) -> Path:
    """The folder of a data set of the Hub.

    Raises:
        UserError: it cannot be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, repo_type="dataset"))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UserError(
            f"{name} is no file here, and cannot be had from the Hub ({reason}); check the path"
        ) from None

"""Data sets of the Hub, as files in its cache."""

from collections.abc import Sequence
from pathlib import Path

from instructgpt.errors import UserError
from instructgpt.run.digest import hub_data_digest
from instructgpt.run.progress import say


def data_set(name: str, suffixes: Sequence[str]) -> list[Path]:
    """The files of a data set's training split: those with `train` in their path, or all where none
    has it.

    The commit that is in the cache stays, so that a run goes on with what it began with; else it is
    the newest. The Hub is asked either way: a cache that was filled in part is completed.

    Raises:
        UserError: it cannot be had, or has no such files.
    """
    from huggingface_hub import HfApi, snapshot_download

    known = hub_data_digest(name)
    commit = known.digest.removeprefix("commit:") if known else None
    patterns = [f"*{suffix}" for suffix in suffixes]
    try:
        HfApi().dataset_info(name, revision=commit)
        say(f"fetching {name} from the Hub")
        found = snapshot_download(
            name, repo_type="dataset", revision=commit, allow_patterns=patterns
        )
    except Exception as error:  # of the library's own kinds, and of its HTTP client's
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UserError(
            f"{name} is no file here, and cannot be had from the Hub ({reason}); check the path, "
            "or fetch it where there is a network and name its folder"
        ) from None
    folder = Path(found)
    files = sorted(
        file for file in folder.rglob("*") if file.name.endswith(tuple(suffixes)) and file.is_file()
    )
    training = [file for file in files if "train" in file.relative_to(folder).as_posix().lower()]
    if not files:
        raise UserError(f"{name} holds no file of text, JSON lines or Parquet; name another")
    return training or files

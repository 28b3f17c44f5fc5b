"""The sheet of a folder of our files, as a snapshot is one."""

from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from instructgpt.data.reading import load_records
from instructgpt.data.records import Demonstration, Prompt, Record
from instructgpt.data.snapshots import FILES
from instructgpt.errors import UserError
from instructgpt.intake.sheet.count import Length, count, words

R = TypeVar("R", bound=Record)


class Unit(NamedTuple):
    """What lengths are counted in."""

    name: str
    length: Length


WORDS = Unit("words and signs", words)


def count_folder(folder: Path, unit: Unit = WORDS) -> dict[str, Any]:
    """The tables of the prompts and demonstrations in a folder.

    Args:
        folder: with `prompts.jsonl`, and `demonstrations.jsonl` if there are any.
        unit: what lengths are counted in.

    Raises:
        UserError: there is no file of prompts, there are no records, or one cannot be read.
    """
    look_at(folder)
    prompts, demonstrations = _records(folder, Prompt), _records(folder, Demonstration)
    if not (prompts or demonstrations):
        raise UserError(f"--snapshot {folder}: holds neither prompts nor demonstrations")
    return count(prompts, demonstrations, unit.length, unit.name)


def look_at(folder: Path) -> None:
    """See whether there is something to count, before anything is opened for it.

    Raises:
        UserError: there is no file of prompts.
    """
    if not (folder / FILES[Prompt]).is_file():
        raise UserError(
            f"--snapshot {folder}: has no {FILES[Prompt]}; give a folder with the prompts in a "
            "file of that name"
        )


def _records(folder: Path, kind: type[R]) -> list[R]:
    """Those of a kind; none where the file is empty or not there."""
    file = folder / FILES[kind]
    has_any = file.is_file() and file.stat().st_size
    return load_records([str(file)], kind, format="native") if has_any else []


def unit_of(tokenizer: str) -> Unit:
    """Tokens of a model's tokenizer; without one, words.

    Raises:
        UserError: the tokenizer cannot be opened.
    """
    if not tokenizer:
        return WORDS
    from instructgpt.models.framing import plain_ids
    from instructgpt.models.opening import load_tokenizer

    opened = load_tokenizer(tokenizer)
    return Unit(f"tokens of {tokenizer}", lambda text: len(plain_ids(opened, text)))

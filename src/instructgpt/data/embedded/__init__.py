"""The texts inside the package: prompts, demonstrations and clean prose (see README.md here)."""

from importlib.resources import files
from pathlib import Path

_SEPARATOR = "\n%%\n"


def _path(name: str) -> Path:
    """The path of a shipped file (the package is always unpacked, so it is a real path)."""
    return Path(str(files(__name__).joinpath(name)))


def prompts_path() -> Path:
    """The 420 shipped prompts, one `Prompt` a line, with a `topic` and the `checks` of each."""
    return _path("prompts.jsonl")


def demonstrations_path() -> Path:
    """The 300 shipped demonstrations, one `Demonstration` a line, for train prompts only."""
    return _path("demonstrations.jsonl")


def prose_path() -> Path:
    """The shipped prose: short documents, separated by lines that hold only `%%`."""
    return _path("prose.txt")


def heldout_prose_path() -> Path:
    """36 documents of the same kind that nobody trains on; none shares six words with `prose`."""
    return _path("heldout_prose.txt")


def prose_documents() -> list[str]:
    """The documents of all the shipped prose, in the order of the files."""
    paths = (prose_path(), heldout_prose_path())
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return [document.strip() for text in texts for document in text.split(_SEPARATOR)]

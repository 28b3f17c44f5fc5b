"""A person ranks answers in a plain terminal, one prompt at a time, and can stop at any of them."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal, NamedTuple, TypeVar

from instructgpt.data.formats import read_records
from instructgpt.data.jsonl import MEND
from instructgpt.data.records import Candidates, Ranking, prompt_id
from instructgpt.errors import UserError, harmless
from instructgpt.label.screen import page
from instructgpt.run.disk import append_line, explained, make_folder, refuse_unfit, write_atomically
from instructgpt.run.seeds import permutation
from instructgpt.run.streams import read_lines

HELP = """
Name every answer once, best first, = for a tie:  B > A = C  or short  b a=c
p shows the prompt again, s skips a prompt that you cannot judge,
u takes back what you said last, q stops and keeps all, ? shows this."""
WORDS = {
    "s": "skip", "skip": "skip", "u": "undo", "undo": "undo", "q": "quit", "quit": "quit",
    "p": "prompt", "prompt": "prompt", "?": "help", "h": "help", "help": "help",
}  # fmt: skip
Ask = Callable[[str], str]
Show = Callable[[str], None]
Key = tuple[str, ...]
"""The prompt's id, and the texts of the answers."""
C = TypeVar("C", bound=Candidates)


class Session(NamedTuple):
    """What has been ranked, in the candidates' order, and whether no prompt is left to ask."""

    rankings: list[Ranking]
    finished: bool


def rank_in_terminal(
    candidates: Sequence[Candidates],
    path: Path,
    *,
    labeler_id: str,
    seed: int,
    ask: Ask = input,
    show: Show = print,
) -> Session:
    """Ask a person to rank the answers to each prompt, and go on where the last session stopped.

    Each ranking is on the disk in `path` before the next prompt is shown; the prompts that were
    skipped stand beside it, in `NAME.skipped.jsonl`. What either file holds of this labeler (by the
    prompt's id and the texts of the answers) is not asked again. `seed` decides, with labeler and
    prompt, in which order the answers are shown. `ask` shows a question and returns a line.

    Whoever stops, by a word, Ctrl-D or Ctrl-C, is told what is kept and how to go on.

    Raises:
        UserError: there is no terminal to ask in, a prompt has too few or too many answers, or the
            files cannot be read or written.
        KeyboardInterrupt: Ctrl-C; nothing that was said is lost.
    """
    book = _Book(path, labeler_id)
    asked = {_key(queued): queued for queued in candidates}
    if waiting := [asked[key] for key in asked if key not in book.settled]:
        refuse_unrankable(waiting)
        require_terminal(ask)
        _edit_lines(ask)
        show(HELP)
    try:
        finished = _ask_each(asked, book, seed, ask, show)
    except KeyboardInterrupt:
        show(f"\n{book.kept(asked)}")
        raise
    if not finished:
        show(book.kept(asked))
    return Session([book.ranked[key] for key in asked if key in book.ranked], finished)


def _ask_each(asked: dict[Key, Candidates], book: "_Book", seed: int, ask: Ask, show: Show) -> bool:
    """Ask for the first prompt that is not settled, until none or the person stops; which it is."""
    numbers = {key: number for number, key in enumerate(asked, 1)}
    while key := next((key for key in asked if key not in book.settled), None):
        queued = asked[key]
        stream = f"shown/{book.labeler_id}/{prompt_id(queued.prompt)}"
        order = permutation(len(queued.responses), seed, stream)
        screen = page(f"Prompt {numbers[key]} of {len(asked)}", queued, order)
        show(screen)
        said = _listen(len(order), screen, ask, show)
        if said == "quit":
            return False
        if said == "undo":
            if not book.undo():
                show("There is nothing to take back: you have said nothing in this session.")
        elif said == "skip":
            book.skip(queued)
        else:
            fields: dict[str, Any] = {
                "ranks": tuple(said[order.index(i)] for i in range(len(order))),
                "labeler_id": book.labeler_id,
                "shown_order": tuple(order),
            }
            row = queued.model_dump(exclude_none=True) | fields
            book.rank(Ranking.model_validate(row))
    return True


def parse_order(line: str, count: int) -> list[int]:
    """The ranks that a line gives the answers A, B, C …; equal ranks are ties.

    >>> parse_order("B > A = D > C", 4)
    [2, 1, 4, 2]

    Raises:
        ValueError: an answer is missing, named twice or unknown, or a sign stands astray.
    """
    ranks = read_order(line, count) if line.strip() else {}
    if missing := [letter for letter in ascii_uppercase[:count] if letter not in ranks]:
        raise ValueError(f"Left out: {', '.join(missing)}.")
    return [ranks[letter] for letter in ascii_uppercase[:count]]


def read_order(line: str, count: int) -> dict[str, int]:
    """The ranks of the answers that a line names, best first: some of A, B, C …, or all.

    >>> read_order("b a=d", 4)
    {'B': 1, 'A': 2, 'D': 2}

    Raises:
        ValueError: an answer is named twice or unknown, or a sign stands astray.
    """
    letters, said = ascii_uppercase[:count], "".join(line.upper().split())
    named = re.findall(r"[^\W_]", said)
    if unknown := [letter for letter in dict.fromkeys(named) if letter not in letters]:
        raise ValueError(f"There is no answer {', '.join(unknown)}; name A to {letters[-1]}.")
    if not re.fullmatch("[A-Z](?:[>,=]?[A-Z])*", said):
        raise ValueError("Between two answers stands one >, or = for a tie, and nothing else.")
    if twice := [letter for letter in letters if named.count(letter) > 1]:
        raise ValueError(f"Named more than once: {', '.join(twice)}.")
    ranks: dict[str, int] = {}
    for place, (tie, letter) in enumerate(re.findall("(=?)([A-Z])", said), 1):
        ranks[letter] = ranks[named[place - 2]] if tie else place
    return ranks


def _listen(
    count: int, screen: str, ask: Ask, show: Show
) -> list[int] | Literal["skip", "undo", "quit"]:
    """Ask until the line is a word that leaves the prompt, or an order of all answers (ranks, as
    lettered).
    """
    while True:
        try:
            said = ask("\nBest to worst (? for help): ").strip()
        except EOFError:
            show("")  # Ctrl-D leaves the cursor behind the question
            return "quit"
        word = WORDS.get(said.lower())
        if word in ("skip", "undo", "quit"):
            return word
        if word == "help":
            show(HELP)
        elif word == "prompt":
            show(screen)
        elif said:
            try:
                return parse_order(said, count)
            except ValueError as error:
                show(str(error))


class _Book:
    """A labeler's rankings and skipped prompts, on the disk as soon as they are said.

    Attributes:
        ranked: the rankings of this labeler.
        settled: what need not be asked: what is ranked, and what was skipped.
    """

    def __init__(self, path: Path, labeler_id: str) -> None:
        self.path, self.labeler_id = path, labeler_id
        self._skips = path.with_name(f"{path.stem}.skipped.jsonl")
        refuse_unfit(path)
        own = [r for r in _earlier(path, Ranking) if r.labeler_id in (labeler_id, None)]
        skipped = _earlier(self._skips, Candidates)
        self.ranked = {_key(ranking): ranking for ranking in own}
        self.settled = set(self.ranked)
        self.settled |= {_key(s) for s in skipped if getattr(s, "labeler_id", None) == labeler_id}
        self._said: list[tuple[Path, str, Key]] = []

    def rank(self, ranking: Ranking) -> None:
        """Keep a ranking."""
        self._add(self.path, ranking)
        self.ranked[_key(ranking)] = ranking

    def skip(self, queued: Candidates) -> None:
        """Keep that this labeler cannot judge a prompt."""
        row = queued.model_dump(exclude_none=True) | {"labeler_id": self.labeler_id}
        self._add(self._skips, Candidates.model_validate(row))

    def undo(self) -> bool:
        """Take back what was said last in this session; whether there was something."""
        if not self._said:
            return False
        path, line, key = self._said.pop()
        lines = path.read_bytes().splitlines(keepends=True)  # others may have added theirs
        at = len(lines) - 1 - lines[::-1].index(line.encode() + b"\n")
        write_atomically(path, b"".join(lines[:at] + lines[at + 1 :]).decode())
        self.settled.remove(key)
        self.ranked.pop(key, None)
        return True

    def kept(self, asked: dict[Key, Candidates]) -> str:
        """What is on the disk, and how to go on, in two short lines."""
        if not (count := sum(key in self.ranked for key in asked)):
            return "Nothing is ranked yet; the same command begins again."
        kept = f"{count} of {len(asked)} prompts are ranked and kept in {self.path};"
        return harmless(f"{kept}\nthe same command goes on from there.")

    def _add(self, path: Path, record: Candidates) -> None:
        row = record.model_dump(mode="json", exclude_defaults=True)
        line = json.dumps(row, ensure_ascii=False)
        with explained(path):
            make_folder(path.parent)
        append_line(path, line)
        self._said.append((path, line, _key(record)))
        self.settled.add(_key(record))


def refuse_unrankable(waiting: Sequence[Candidates]) -> None:
    """Each prompt must have answers to rank, and a letter for each.

    Raises:
        UserError: one has too few or too many.
    """
    for queued in waiting:
        if not 2 <= (count := len(queued.responses)) <= len(ascii_uppercase):
            raise UserError(
                f"prompt {queued.prompt_id} has {count} answers; sample 2 to 26 of them"
            )


def require_terminal(ask: Ask) -> None:
    """A person must be there to ask, unless a function answers for one.

    Raises:
        UserError: nobody is.
    """
    if ask is input and not (sys.stdin and sys.stdin.isatty()):
        raise UserError(
            "people rank in a terminal; run the command in one, or rank with another tool, as "
            "docs/your-own.md shows"
        )


def _edit_lines(ask: Ask) -> None:
    """Let arrows and history work in the lines that a person types, where Python has them."""
    if ask is input:
        with suppress(ImportError):  # Windows, whose terminal edits by itself
            import readline  # noqa: F401 - `input` takes it when it is imported


def _key(queued: Candidates) -> Key:
    return (queued.prompt_id, *(response.text for response in queued.responses))


def _earlier(path: Path, kind: type[C]) -> list[C]:
    """What earlier sessions wrote; a last line that a crash cut short is cut away."""
    rows = read_lines(path)
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return read_records(path, kind, format="native", remedy=MEND).records if rows else []

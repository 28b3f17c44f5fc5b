"""A person ranks answers in a plain terminal, one prompt at a time, and can stop at any of them."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal, NamedTuple, TypeVar

from rich.text import Text

from instructgpt.data.formats import read_records
from instructgpt.data.jsonl import MEND
from instructgpt.data.records import Candidates, Ranking, prompt_id
from instructgpt.data.text import plain_text
from instructgpt.errors import UserError
from instructgpt.run.disk import append_line, explained, make_folder, write_atomically
from instructgpt.run.progress import console
from instructgpt.run.seeds import permutation
from instructgpt.run.streams import read_lines

HELP = """
Name every answer once, best first, with = for a tie:  B > A = C  or short  b a=c
s skips a prompt that you cannot judge, q stops for now and keeps what you ranked, ? shows this."""
WIDEST, INDENT = 100, 4
_UNPRINTABLE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    "|[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
Ask = Callable[[str], str]
Show = Callable[[str], None]
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

    Each ranking is on the disk in `path` before the next prompt is shown; skipped prompts stand in
    `skipped.jsonl` beside it. What either file holds (by the prompt's id and the texts of the
    answers) is not asked again, whoever ranked it. `seed` decides, with labeler and prompt, in
    which order the answers are shown. `ask` shows a question and returns a line.

    Raises:
        UserError: there is no terminal to ask in, a prompt has too few or too many answers, or the
            files cannot be read or written.
    """
    skips = path.with_name("skipped.jsonl")
    ranked = {_key(ranking): ranking for ranking in _earlier(path, Ranking)}
    settled = {*ranked, *map(_key, _earlier(skips, Candidates))}
    asked = {_key(queued): queued for queued in candidates}
    if waiting := [asked[key] for key in asked if key not in settled]:
        _refuse_unrankable(waiting, ask)
        show(HELP)
    for number, (key, queued) in enumerate(asked.items(), 1):
        if key in settled:
            continue
        stream = f"shown/{labeler_id}/{prompt_id(queued.prompt)}"
        order = permutation(len(queued.responses), seed, stream)
        show(_page(f"Prompt {number} of {len(asked)}", queued, order))
        said = _listen(len(order), ask, show)
        if said == "quit":
            break
        if said == "skip":
            _append(skips, queued)
        else:
            fields: dict[str, Any] = {
                "ranks": tuple(said[order.index(i)] for i in range(len(order))),
                "labeler_id": labeler_id,
                "shown_order": tuple(order),
            }
            row = queued.model_dump(exclude_none=True) | fields
            ranked[key] = Ranking.model_validate(row)
            _append(path, ranked[key])
        settled.add(key)
    return Session([ranked[key] for key in asked if key in ranked], settled.issuperset(asked))


def parse_order(line: str, count: int) -> list[int]:
    """The ranks that a line gives the answers A, B, C …; equal ranks are ties.

    >>> parse_order("B > A = D > C", 4)
    [2, 1, 4, 2]

    Raises:
        ValueError: an answer is missing, named twice or unknown, or a sign stands astray.
    """
    letters, said = ascii_uppercase[:count], "".join(line.upper().split())
    named = re.findall(r"[^\W_]", said)
    if unknown := [letter for letter in dict.fromkeys(named) if letter not in letters]:
        raise ValueError(f"There is no answer {', '.join(unknown)}; name A to {letters[-1]}.")
    if not re.fullmatch("[A-Z](?:[>,=]?[A-Z])*", said):
        raise ValueError("Between two answers stands one >, or = for a tie, and nothing else.")
    if twice := [letter for letter in letters if named.count(letter) > 1]:
        raise ValueError(f"Named more than once: {', '.join(twice)}.")
    if missing := [letter for letter in letters if letter not in named]:
        raise ValueError(f"Left out: {', '.join(missing)}.")
    ranks: dict[str, int] = {}
    for place, (tie, letter) in enumerate(re.findall("(=?)([A-Z])", said), 1):
        ranks[letter] = ranks[named[place - 2]] if tie else place
    return [ranks[letter] for letter in letters]


def _listen(count: int, ask: Ask, show: Show) -> list[int] | Literal["skip", "quit"]:
    """Ask until the line is a command or an order of all answers (their ranks, as lettered)."""
    while True:
        try:
            said = ask("\nBest to worst (? for help): ").strip()
        except EOFError:
            show("")  # Ctrl-D leaves the cursor behind the question
            return "quit"
        if said.lower() in {"s", "skip"}:
            return "skip"
        if said.lower() in {"q", "quit"}:
            return "quit"
        if said.lower() in {"?", "h", "help"}:
            show(HELP)
        elif said:
            try:
                return parse_order(said, count)
            except ValueError as error:
                show(str(error))


def _page(title: str, queued: Candidates, order: Sequence[int]) -> str:
    """A prompt and its answers; only our own words begin at the left edge."""
    answers = zip(ascii_uppercase, (queued.responses[i].text for i in order), strict=False)
    blocks = [f"\n{title}\n{'-' * len(title)}", _block("", plain_text(queued.prompt))]
    return "\n\n".join(blocks + [_block(letter, text) for letter, text in answers])


def _block(letter: str, text: str) -> str:
    """A text wrapped to the terminal, with nothing in it that a terminal would obey.

    U+FFFD marks what was taken out: the person should see that the answer is not clean.
    """
    width = max(20, min(WIDEST, shutil.get_terminal_size().columns) - INDENT)
    lines = [_UNPRINTABLE.sub("\ufffd", line) for line in text.splitlines() if text.strip()]
    parts = [  # rich wraps by columns, of which a Chinese letter takes two
        str(part) for line in lines for part in Text(line).wrap(console, width, tab_size=4)
    ] or ["(empty)"]
    margins = [letter, *[""] * (len(parts) - 1)]
    rows = zip(margins, parts, strict=True)
    return "\n".join(f"{margin:{INDENT}}{part}".rstrip() for margin, part in rows)


def _refuse_unrankable(waiting: Sequence[Candidates], ask: Ask) -> None:
    for queued in waiting:
        if not 2 <= (count := len(queued.responses)) <= len(ascii_uppercase):
            raise UserError(
                f"prompt {queued.prompt_id} has {count} answers; sample 2 to 26 of them"
            )
    require_terminal(ask)


def require_terminal(ask: Ask) -> None:
    """A person must be there to ask, unless a function answers for one.

    Raises:
        UserError: nobody is.
    """
    if ask is input and not (sys.stdin and sys.stdin.isatty()):
        raise UserError(
            "rank: people rank in a terminal; run the command in one, or give rank.rankings"
        )


def _key(queued: Candidates) -> tuple[str, ...]:
    return (queued.prompt_id, *(response.text for response in queued.responses))


def _earlier(path: Path, kind: type[C]) -> list[C]:
    """What earlier sessions wrote; a last line that a crash cut short is cut away."""
    rows = read_lines(path)
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return read_records(path, kind, format="native", remedy=MEND).records if rows else []


def _append(path: Path, record: Candidates) -> None:
    row = record.model_dump(mode="json", exclude_defaults=True)
    with explained(path):
        make_folder(path.parent)
    append_line(path, json.dumps(row, ensure_ascii=False))

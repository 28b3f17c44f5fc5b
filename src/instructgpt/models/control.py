"""Control tokens that a text merely spells out, kept apart from those that are meant.

A tokenizer finds its control tokens by their spelling, wherever it comes from. Here the user's are
hidden behind private characters while a template is rendered, and the result is read by a copy of
the tokenizer in which the control tokens have other names: those that the template wrote are called
by these, and what the user spelled out is text like any other.
"""

import json
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from instructgpt.errors import UserError

HIDDEN, RENAMED = 0x100000, 0x108000
"""Private characters (Unicode's plane 16): the n-th control token, hidden and renamed."""


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The spellings of the tokens that decoding an answer leaves out."""
    added = tokenizer.added_tokens_decoder.values()
    return {token.content for token in added if token.special} | {*tokenizer.all_special_tokens}


class Spelling:
    """Tells control tokens that are meant from those that are spelled out.

    Args:
        tokenizer: whose tokens they are.
        control: how they are spelled.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, control: Iterable[str]) -> None:
        self.tokenizer = tokenizer
        self._tokens = sorted(filter(None, control))
        self._numbers = {token: n for n, token in enumerate(self._tokens)}
        # The longest first: where two begin alike, a tokenizer finds the longer one.
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @property
    def tokens(self) -> tuple[str, ...]:
        """How the control tokens are spelled, sorted."""
        return tuple(self._tokens)

    def occurs(self, text: str) -> str:
        """The first control token that a text spells out, or the empty string."""
        found = self._any.search(text)
        return found[0] if found else ""

    def hide(self, text: str) -> str:
        """The text with a private character for each control token.

        Raises:
            UserError: such characters are in it already.
        """
        if any(ord(letter) >= HIDDEN for letter in text):
            raise UserError(
                f"a text holds private characters (from U+{HIDDEN:X} on) where a control token is "
                f"spelled out; take one of them out"
            )
        return self._named(text, HIDDEN)

    def show(self, text: str) -> str:
        """The text with its hidden control tokens spelled out."""
        hidden = f"[{chr(HIDDEN)}-{chr(RENAMED - 1)}]"
        return re.sub(hidden, lambda found: self._tokens[ord(found[0]) - HIDDEN], text)

    def encode(self, text: str) -> list[int] | None:
        """Token ids of a text in which the control tokens are meant, and those that are hidden are
        text; None where this tokenizer cannot read it so.
        """
        if self._renamed is None:
            return None
        meant = self._named(text, RENAMED)
        as_it_stands = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if _ids(self._renamed, meant) != as_it_stands:  # with all else equal, so they must be
            return None
        return _ids(self._renamed, self.show(meant))

    def encode_text(self, text: str) -> list[int] | None:
        """Token ids of a text in which no control token is meant; None as above."""
        return None if self._renamed is None else _ids(self._renamed, text)

    def _named(self, text: str, first: int) -> str:
        return self._any.sub(lambda m: chr(first + self._numbers[m[0]]), text)

    @cached_property
    def _renamed(self) -> Tokenizer | None:
        """The tokenizer with its control tokens renamed; None of one that is not made of parts.
        Made once (a second, of a large vocabulary), whoever asks.
        """
        made = _made.setdefault(self.tokenizer, {})
        key = (len(self.tokenizer), *self._tokens)
        if key not in made:
            made[key] = self._rename()
        return made[key]

    def _rename(self) -> Tokenizer | None:
        core = getattr(self.tokenizer, "backend_tokenizer", None)
        if not isinstance(core, Tokenizer):
            return None
        content: dict[str, Any] = json.loads(core.to_str())
        content |= {"post_processor": None, "truncation": None, "padding": None}
        for token in content["added_tokens"]:
            token["content"] = self._named_whole(token["content"])
        model = content["model"]
        if isinstance(model["vocab"], dict):
            model["vocab"] = {self._named_whole(key): n for key, n in model["vocab"].items()}
        else:  # of a unigram model: pieces and their scores
            model["vocab"] = [[self._named_whole(piece), score] for piece, score in model["vocab"]]
        if model.get("unk_token"):
            model["unk_token"] = self._named_whole(model["unk_token"])
        if "merges" in model:  # none may put a control token together, or take one apart
            model["merges"] = [m for m in model["merges"] if self._keeps(m)]
        try:
            return Tokenizer.from_str(json.dumps(content))
        except Exception:  # of the library's own kind; then it has no copy
            return None

    def _keeps(self, merge: str | list[str]) -> bool:
        one, other = merge.split(" ") if isinstance(merge, str) else merge
        return not {one, other, one + other} & self._numbers.keys()

    def _named_whole(self, token: str) -> str:
        number = self._numbers.get(token)
        return token if number is None else chr(RENAMED + number)


_made: WeakKeyDictionary[PreTrainedTokenizerBase, dict[tuple[int | str, ...], Tokenizer | None]] = (
    WeakKeyDictionary()
)


def _ids(core: Tokenizer, text: str) -> list[int]:
    return core.encode(text, add_special_tokens=False).ids

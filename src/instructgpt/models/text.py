"""From a prompt record to tokens and back. Prompt and answer are tokenized apart, once."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import tokenizers
import transformers
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from instructgpt.data.records import Message, PromptText, plain_text
from instructgpt.errors import UserError
from instructgpt.models.chat import ChatTemplate, spellings
from instructgpt.models.control import Spelling, special_tokens
from instructgpt.models.framing import Framing, framed_ids, plain_ids
from instructgpt.run.outline import counted
from instructgpt.run.progress import say


class TextCodec:
    """Tokenizes prompts by a template, and answers with the token that ends a turn.

    Args:
        tokenizer: the model's tokenizer.
        template: `auto` (the one that training used, else the tokenizer's chat template if it has
            one, else plain), `chat`, `plain`, or a pattern that contains `{prompt}`.
        ends: ids at which the model's configuration ends a text, beside those that the tokenizer
            and the chat template know.
        trained: the template that training used, where it is known.

    Attributes:
        template: `chat`, `plain` or the pattern.
        framing: what surrounds an answer, and the token that ends it.

    Raises:
        UserError: `chat` without a chat template or with a broken one, or a pattern without
            `{prompt}`.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: str = "auto",
        *,
        ends: Iterable[int] = (),
        trained: str = "",
    ) -> None:
        self.tokenizer = tokenizer
        if template == "auto":
            template = trained or ("chat" if tokenizer.chat_template else "plain")
        if template == "chat" and not tokenizer.chat_template:
            raise UserError(
                "template: 'chat' needs a tokenizer with a chat template; use 'plain' or a pattern"
            )
        if template not in {"chat", "plain"} and "{prompt}" not in template:
            raise UserError(
                f"template: '{template}' is not chat, plain, auto or a pattern with {{prompt}}"
            )
        self.template = template
        self._configured = tuple(ends)
        self.chat = ChatTemplate(tokenizer, self._configured) if template == "chat" else None
        self.framing = self.chat.framing if self.chat else Framing(self.eos)
        self._control = (
            self.chat.control
            if self.chat
            else Spelling(tokenizer, special_tokens(tokenizer) | spellings(tokenizer, self.ends))
        )

    @property
    def eos(self) -> int:
        """The id of the end-of-text token, which ends a document."""
        return int(self.tokenizer.eos_token_id)  # type: ignore[arg-type]

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The ids at which an answer ends, first the one that training teaches."""
        return tuple(dict.fromkeys((self.framing.end, self.eos, *self._configured)))

    @cached_property
    def begin(self) -> list[int]:
        """The beginning-of-text token, where the tokenizer puts one before a text."""
        if self.tokenizer.bos_token_id is None:
            return []
        first = list(self.tokenizer("a")["input_ids"])[:1]  # type: ignore[arg-type]
        return first if first == [self.tokenizer.bos_token_id] else []

    def prompt(self, prompt: PromptText) -> list[int]:
        """Token ids of a prompt as the model reads it.

        Raises:
            UserError: the chat template refuses it, or it comes to no token.
        """
        if self.chat:
            turns = [Message(role="user", content=prompt)] if isinstance(prompt, str) else prompt
            ids = self.chat.ids(turns)
        else:
            text = plain_text(prompt)
            ids = self._encode(text) if self.template == "plain" else self._filled(text)
            ids = [*self.begin, *ids]
        if not ids:
            raise UserError("the prompt has no token of the tokenizer's; give it some text")
        return ids

    def response(self, text: str, *, finished: bool = True, ended_by: str = "") -> list[int]:
        """Token ids of an answer; a finished one ends with the token that ends a turn.

        Args:
            text: the answer.
            finished: whether it ended by itself; one that was cut has no such token.
            ended_by: which of several such tokens ended it, as it is spelled.
        """
        ids = framed_ids(text, self.framing, self._encode, finished=finished)
        if finished and ended_by:
            end = self.tokenizer.convert_tokens_to_ids(ended_by)
            ids[-1] = end if end in self.ends else ids[-1]  # type: ignore[assignment]
        return ids

    def ended_by(self, ids: Sequence[int]) -> str:
        """The spelling of the token that ended an answer, where there are several; else nothing."""
        if len(self.ends) == 1 or not ids or ids[-1] not in self.ends:
            return ""
        return str(self.tokenizer.convert_ids_to_tokens(ids[-1]))

    def document(self, text: str) -> list[int]:
        """Token ids of a pretraining document: after the tokenizer's beginning-of-text token if it
        uses one, and ended by the end-of-text token. None of a document without text.
        """
        ids = self._encode(text) if text.strip() else []
        return [*self.begin, *ids, self.eos] if ids else []

    @cached_property
    def reading_key(self) -> str:
        """A SHA-256 of all that decides the tokens of a document: the tokenizer, what begins and
        ends a document, what counts as a control token, and the libraries' versions.
        """
        core = getattr(self.tokenizer, "backend_tokenizer", None)
        parts: dict[str, Any] = (
            json.loads(core.to_str()) | {"truncation": None, "padding": None}
            if isinstance(core, Tokenizer)
            else {"vocab": self.tokenizer.get_vocab(), "settings": repr(self.tokenizer.init_kwargs)}
        )
        kind = type(self.tokenizer).__name__
        framed = [self.begin, self.eos, self._control.tokens]
        key = [kind, parts, framed, transformers.__version__, tokenizers.__version__]
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer, without special tokens and what the template writes around it;
        NUL, which no file or database takes, becomes U+FFFD.
        """
        ends = bool(len(ids)) and ids[-1] in self.ends
        text: str = self.tokenizer.decode(  # type: ignore[assignment]
            list(ids[:-1] if ends else ids), skip_special_tokens=True
        )
        text = text.removeprefix(self.framing.lead)
        if ends:
            text = text.removesuffix(self.framing.closing)
        return text.replace("\0", "\ufffd")

    def _filled(self, text: str) -> list[int]:
        """The pattern with a prompt in it: its control tokens are meant, the prompt's are text."""
        control, pattern = self._control, self.template
        if not (meant := control.occurs(pattern)):
            return self._encode(pattern.replace("{prompt}", text))
        hidden = control.hide(text) if control.occurs(text) else text
        ids = control.encode(pattern.replace("{prompt}", hidden))
        if ids is None:
            raise UserError(
                f"template: this tokenizer cannot read the pattern's control token {meant!r} beside"
                f" a prompt; leave it out of the pattern"
            )
        return ids

    def _encode(self, text: str) -> list[int]:
        """Text as text: a control token's spelling inside it does not become that token."""
        ids = self._control.encode_text(text) if self._control.occurs(text) else None
        return plain_ids(self.tokenizer, text) if ids is None else ids


def same_vocabulary(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether tokens may pass from one model to the other as they are."""
    return one.get_vocab() == other.get_vocab() and one.eos_token_id == other.eos_token_id


def same_reading(one: TextCodec, other: TextCodec) -> bool:
    """Whether two models have the same tokens for a prompt and its answer."""
    return (
        same_vocabulary(one.tokenizer, other.tokenizer)
        and one.template == other.template
        and one.framing.end == other.framing.end
        and (one.chat is None or other.chat is None or one.chat.opening == other.chat.opening)
    )


def encode_documents(documents: Sequence[str], text: TextCodec) -> list[list[int]]:
    """The tokens of each document that has text; says how many have none."""
    encoded = [ids for document in documents if (ids := text.document(document))]
    if empty := len(documents) - len(encoded):
        say(f"{counted(empty, 'document')} without text left out")
    return encoded

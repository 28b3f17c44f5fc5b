"""From a prompt record to tokens and back. Prompt and answer are tokenized apart, once."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from instructgpt.data.records import Message, PromptText
from instructgpt.errors import UserError


class TextCodec:
    """Tokenizes prompts by a template and answers with the end-of-text token taught.

    Args:
        tokenizer: the model's tokenizer.
        template: `auto` (the tokenizer's chat template if it has one, else plain), `chat`, `plain`,
            or a pattern that contains `{prompt}`.

    Raises:
        UserError: `chat` without a chat template, or a pattern without `{prompt}`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str = "auto") -> None:
        self.tokenizer = tokenizer
        if template == "auto":
            template = "chat" if tokenizer.chat_template else "plain"
        if template == "chat" and not tokenizer.chat_template:
            raise UserError(
                "template: 'chat' needs a tokenizer with a chat template; use 'plain' or a pattern"
            )
        if template not in {"chat", "plain"} and "{prompt}" not in template:
            raise UserError(
                f"template: '{template}' is not chat, plain, auto or a pattern with {{prompt}}"
            )
        self.template = template

    @property
    def eos(self) -> int:
        """The id of the end-of-text token."""
        return int(self.tokenizer.eos_token_id)  # type: ignore[arg-type]

    def prompt(self, prompt: PromptText) -> list[int]:
        """Token ids of a prompt as the model reads it."""
        if self.template == "chat":
            turns = [Message(role="user", content=prompt)] if isinstance(prompt, str) else prompt
            ids = self.tokenizer.apply_chat_template(
                [turn.model_dump() for turn in turns],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
            )
            return list(ids)  # type: ignore[arg-type]
        text = plain_text(prompt)
        if self.template != "plain":
            text = self.template.replace("{prompt}", text)
        bos = self.tokenizer.bos_token_id
        ids = self._encode(text)
        return [int(bos), *ids] if bos is not None and self._adds_bos() else ids  # type: ignore[arg-type]

    def response(self, text: str, *, finished: bool = True) -> list[int]:
        """Token ids of an answer; a finished one ends with the end-of-text token."""
        ids = self._encode(text)
        return [*ids, self.eos] if finished else ids

    def document(self, text: str) -> list[int]:
        """Token ids of a pretraining document, ended by the end-of-text token."""
        return [*self._encode(text), self.eos]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer, without special tokens; NUL, which no file or database takes,
        becomes U+FFFD.
        """
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)  # type: ignore[assignment]
        return text.replace("\0", "\ufffd")

    def _encode(self, text: str) -> list[int]:
        """Text as text: a special token's spelling inside it does not become that token."""
        encoded = self.tokenizer(
            text,
            add_special_tokens=False,
            split_special_tokens=True,
            verbose=False,  # no warning about a length that we check ourselves
        )
        return list(encoded["input_ids"])  # type: ignore[arg-type]

    def _adds_bos(self) -> bool:
        first = list(self.tokenizer("a")["input_ids"])[:1]  # type: ignore[arg-type]
        return first == [self.tokenizer.bos_token_id]


def plain_text(prompt: PromptText) -> str:
    """A conversation as plain text, `role: content` turns, when there is no chat template."""
    if isinstance(prompt, str):
        return prompt
    turns = [f"{turn.role.capitalize()}: {turn.content}" for turn in prompt]
    return "\n\n".join([*turns, "Assistant:"])


def same_vocabulary(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether tokens may pass from one model to the other as they are."""
    return one.get_vocab() == other.get_vocab() and one.eos_token_id == other.eos_token_id

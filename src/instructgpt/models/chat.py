"""A tokenizer's chat template: rendered, with its errors in one sentence each; what it writes
around an answer is found by rendering a conversation that we know.
"""

import datetime
import functools
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError
from transformers import PreTrainedTokenizerBase

from instructgpt.data.records import Message
from instructgpt.errors import UserError
from instructgpt.models.control import Spelling, special_tokens
from instructgpt.models.framing import Framing, framed_ids, plain_ids, readings
from instructgpt.run.progress import say

DATE = datetime.date(2024, 7, 26)
"""Today, for templates that print it: the date that Llama 3's falls back to."""
TOLD = Message(role="system", content="Look at the clock.")
ASKED = Message(role="user", content="Is it late?")
ANSWERED = Message(role="assistant", content="Quite so.")
BRACKETS = frozenset("<>[]{}|｜")
"""Of which control tokens have some, special or not."""

_FORMS = {"%-d": str(DATE.day), "%-m": str(DATE.month)}
_FORMS |= {f"%{form}": DATE.strftime(f"%{form}") for form in "AaBbdHIjmMpSYy"}
_FORMS |= {"%F": DATE.isoformat(), "%T": "00:00:00", "%Z": "", "%%": "%"}
_REPLACED = "".join(f" | replace({form!r}, {day!r})" for form, day in _FORMS.items())
_DATED = f"{{%- macro strftime_now(form) -%}}{{{{ form{_REPLACED} }}}}{{%- endmacro %}}\n"
"""Jinja that tells a template `DATE`, in the form that it asks for."""


class BrokenTemplateError(UserError):
    """A chat template that is no Jinja."""


class ChatTemplate:
    """Conversations as text and as tokens.

    Args:
        tokenizer: has the template.
        ends: ids that end a turn, beside the one that the template writes.

    Attributes:
        framing: what the template writes around an answer.
        opening: how it opens an answer to a known question.
        dated: whether it asks what day it is.

    Raises:
        UserError: the template is not valid Jinja, or has no default among several.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: Iterable[int] = ()) -> None:
        self.tokenizer = tokenizer
        source = _source(tokenizer)
        self.dated = "strftime_now" in source and "macro strftime_now" not in source
        self.source = self.opening = _DATED + source if self.dated else source
        self.framing = self._framing()
        control = special_tokens(tokenizer) | self._written()
        control |= spellings(tokenizer, (*ends, self.framing.end))
        self.control = Spelling(tokenizer, control)
        if self.dated:
            _say_dated()

    def ids(self, turns: Sequence[Message]) -> list[int]:
        """Token ids of a conversation up to where the assistant begins. Control tokens are those
        of the template; what a turn spells out is text.

        Raises:
            UserError: the template refuses the conversation, makes no text of it, or changes a turn
                in which a control token is spelled out.
        """
        spelled = next(filter(None, (self.control.occurs(turn.content) for turn in turns)), "")
        text = self.render(turns, opens=True)
        if not spelled:
            return self._tokens(text)
        hidden = [
            turn.model_copy(update={"content": self.control.hide(turn.content)}) for turn in turns
        ]
        pieces = self.render(hidden, opens=True)
        ids = self.control.encode(pieces) if self.control.show(pieces) == text else None
        if ids is None:
            raise UserError(
                f"the prompt spells out the control token {spelled!r}, and the chat template or "
                f"the tokenizer changes texts so that it cannot be kept as text; take it out"
            )
        return ids

    def render(self, turns: Sequence[Message], *, opens: bool) -> str:
        """A conversation as text, with the assistant's turn opened or not.

        Raises:
            UserError: the template refuses it, fails, or makes no text of it.
        """
        return self._render(turns, opens=opens, template=self.source)

    def _render(self, turns: Sequence[Message], *, opens: bool, template: str) -> str:
        try:
            text = self.tokenizer.apply_chat_template(
                [turn.model_dump() for turn in turns],
                tokenize=False,
                add_generation_prompt=opens,
                chat_template=template,
            )
        except TemplateSyntaxError as error:
            line = error.lineno - self.dated
            raise BrokenTemplateError(
                f"the chat template is broken ({_first_line(error)}, line {line}); correct it in "
                f"the model's folder, or set template: plain"
            ) from None
        except Exception as error:  # whatever the code of a template may raise
            raise UserError(_complaint(error)) from None
        assert isinstance(text, str)
        if not text.strip():
            raise UserError(
                "the chat template makes no text of the conversation; correct the template, or "
                "set template: plain"
            )
        return text

    def for_scorer(self) -> str:
        """The template as a reward model is to have it: a conversation that ends with an answer
        ends at the token where the score is read, and no date changes from day to day.
        """
        framing = self.framing
        if framing.writes_end and not framing.rest:
            return self.source
        source = self.source.removesuffix("\n")  # which Jinja drops at the end of a template
        end = "" if framing.writes_end else self.tokenizer.convert_ids_to_tokens(framing.end)
        kept = f"conversation_text[:conversation_text | length - {len(framing.rest)}]"
        return (
            f"{{% set conversation_text %}}\n{source}{{%+ endset %}}"
            "{% if not add_generation_prompt and messages[-1]['role'] == 'assistant' "
            f"and conversation_text.endswith({framing.rest!r}) %}}"
            f"{{{{ {kept} + {end!r} }}}}"
            "{% else %}{{ conversation_text }}{% endif %}"
        )

    def reads_alike(self) -> bool:
        """Whether a conversation under `for_scorer` has the tokens of a prompt and its answer."""
        try:
            text = self._render([ASKED, ANSWERED], opens=False, template=self.for_scorer())
        except UserError:
            return False
        encode = functools.partial(plain_ids, self.tokenizer)
        answer = framed_ids(ANSWERED.content, self.framing, encode)
        return self._tokens(text) == self._tokens(self.opening) + answer

    def _framing(self) -> Framing:
        """What surrounds an answer, from a conversation that we know."""
        eos = int(self.tokenizer.eos_token_id)  # type: ignore[arg-type]
        try:
            self.opening = opened = self.render([ASKED], opens=True)
            whole = self.render([ASKED, ANSWERED], opens=False)
        except BrokenTemplateError:
            raise
        except UserError:
            return Framing(eos)  # it wants more than these two turns; records will show what
        head, found, tail = whole.rpartition(ANSWERED.content)
        if not found:
            return Framing(eos)
        end = self._first_markup(tail)
        if end is None:
            known = Framing(eos, rest=tail, writes_end=False)
            wanted = [*self._tokens(head + found), eos]
        else:
            written = int(self.tokenizer.convert_tokens_to_ids(end[0]))  # type: ignore[arg-type]
            known = Framing(written, closing=tail[: end.start()], rest=tail[end.end() :])
            wanted = self._tokens(whole.removesuffix(known.rest))
        if head.startswith(opened):
            known = replace(known, lead=head.removeprefix(opened))
        encode, prompt = functools.partial(plain_ids, self.tokenizer), self._tokens(opened)
        for framing in readings(known):
            if prompt + framed_ids(ANSWERED.content, framing, encode) == wanted:
                return framing
        return replace(known, lead="", closing="")

    def _written(self) -> set[str]:
        """The tokens of their own that the template writes around turns, special or not. One that
        it writes inside an answer alone, such as `<think>`, is a word of the model.
        """
        known = [ASKED, ANSWERED, ASKED]
        text = ""
        for turns in (known, [TOLD, *known]):
            with suppress(UserError):  # not every template takes a system's turn
                text += self.render(turns, opens=True) + self.render(turns[:-1], opens=False)
        return {token for token in self._markup() if token in (text or self.source)}

    def _markup(self) -> set[str]:
        """The tokens that are special, or at least look like it: a tokenizer may have words and
        runs of whitespace among what was added to it.
        """
        special, added = special_tokens(self.tokenizer), self.tokenizer.added_tokens_decoder
        contents = {token.content for token in added.values()}
        return {token for token in contents if token in special or BRACKETS.intersection(token)}

    def _first_markup(self, text: str) -> re.Match[str] | None:
        spelled = sorted(self._markup(), key=len, reverse=True)
        return re.search("|".join(map(re.escape, spelled)) or r"(?!)", text)

    def _tokens(self, text: str) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=False, verbose=False)
        return list(encoded["input_ids"])  # type: ignore[arg-type]


def spellings(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> set[str]:
    """How those of some ids are spelled that are tokens of their own, not words or parts of any."""
    added = tokenizer.added_tokens_decoder
    return {added[token].content for token in ids if token in added}


def _source(tokenizer: PreTrainedTokenizerBase) -> str:
    template = tokenizer.chat_template
    if isinstance(template, dict):
        if "default" not in template:
            raise UserError(
                f"the tokenizer has the chat templates {', '.join(sorted(template))} and none "
                f"called 'default'; name one so, or set template: plain"
            )
        template = template["default"]
    return str(template)


def _complaint(error: Exception) -> str:
    """An error of a template as a sentence."""
    what = _first_line(error)
    match error:
        case UndefinedError():
            return (
                f"the chat template asks for what the conversation does not have ({what}); correct "
                f"the template, or set template: plain"
            )
        case TemplateError():
            return (
                f"the chat template refuses the conversation ({what}); change the conversation, or "
                f"set template: plain"
            )
    return (
        f"the chat template fails on the conversation ({type(error).__name__}: {what}); correct "
        f"the template, or set template: plain"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")


@functools.cache
def _say_dated() -> None:
    say(
        f"the chat template prints today's date; it is told {DATE:%d %B %Y} every day, so that a "
        f"text always has the same tokens"
    )

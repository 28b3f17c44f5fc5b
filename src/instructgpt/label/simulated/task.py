"""What a prompt asks for, worked out once for all its answers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from instructgpt.data.records import Candidates, Prompt, plain_text
from instructgpt.errors import UserError
from instructgpt.label.simulated.text import REQUEST_WORDS, content, stem, words

NUMBERS = {"in a": 1, "one": 1, "two": 2, "three": 3}
SENTENCES = re.compile(
    r"\b(in a|one|two|three)(?: or (two|three))?(?:[ -][a-z]+)?[ -]sentences?\b(?: or (two))?", re.I
)
SOCIAL = re.compile(
    r"\b(?:message|note|letter|email|card|invitation|invite|greeting|reply|respond|thank|polite|"
    r"congratulate|apologize|politely|kind|kindly|kinder|friendly|friendlier|gentler|"
    r"answer (?:as|like|the|calmly)|(?:ask|tell|remind|let) (?:my|your|the|our))\b",
    re.I,
)


class Checks(BaseModel):
    """The `checks` of a prompt record: what the task itself asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    keywords: tuple[str, ...] = ()
    items: int | None = None
    addressee: str | None = None
    rewrite_of: str | None = None
    summary_of: str | None = None
    labels: tuple[str, ...] = ()
    answer: str | None = None
    contains: tuple[str, ...] = ()
    contains_all: tuple[str, ...] = ()
    max_words: int | None = None


@dataclass(frozen=True)
class Task:
    """A prompt's text and checks, and what follows from them."""

    text: str
    checks: Checks

    @classmethod
    def of(cls, prompt: Prompt | Candidates) -> Self:
        """From a record with a field `checks`, or without one.

        Raises:
            UserError: the checks are of another kind than those of the shipped prompts.
        """
        text = plain_text(prompt.prompt)
        try:
            return cls(text, Checks.model_validate(prompt.checks or {}))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, ("checks", *first["loc"])))
            raise UserError(
                f"prompt {text[:40]!r}: {key}: {first['msg'].lower()}; "
                f"docs/simulated-labelers.md lists the checks"
            ) from None

    @property
    def has_right_answer(self) -> bool:
        """Whether a fact or a label is asked for."""
        return bool(self.checks.labels or self.checks.contains or self.checks.contains_all)

    @cached_property
    def speaks_to_somebody(self) -> bool:
        """Whether the answer is meant for a person's ear: a message, a reply, a kinder text."""
        return bool(self.checks.addressee or SOCIAL.search(self.text))

    @cached_property
    def words(self) -> list[str]:
        """The words of the prompt."""
        return words(self.text)

    @cached_property
    def stems(self) -> frozenset[str]:
        """The stems of the prompt's words."""
        return frozenset(map(stem, self.words))

    @cached_property
    def subject(self) -> set[str]:
        """The stems of the words that say what the prompt is about."""
        return content(word for word in self.words if word not in REQUEST_WORDS)

    @cached_property
    def given(self) -> set[str]:
        """The content words that an answer gets no credit for: the prompt's, but for the text that
        the prompt is about.
        """
        if self.has_right_answer:
            return set()
        about = self.checks.rewrite_of or self.checks.summary_of or ""
        return content(words(self.text.replace(about, " ") if about else self.text))

    def keywords_in(self, found: Iterable[str]) -> set[str]:
        """The keywords, stemmed, with which a word begins."""
        found = list(found)
        return {
            stem(keyword)
            for keyword in self.checks.keywords
            if any(word.startswith(keyword) for word in found)
        }

    @cached_property
    def sentences(self) -> tuple[int, int] | None:
        """The fewest and the most sentences that the prompt asks for in so many words."""
        if self.checks.items or not (match := SENTENCES.search(self.text)):
            return None
        low, *high = [NUMBERS[number.lower()] for number in match.groups() if number]
        return low, max([low, *high])

    @cached_property
    def length(self) -> tuple[float, float]:
        """The fewest and the most words of a good answer."""
        checks = self.checks
        if checks.rewrite_of:
            given = len(words(checks.rewrite_of))
            low, high = 0.5 * given, max(15, 1.8 * given)
        elif checks.summary_of:
            low, high = 6, 30
        elif self.has_right_answer:
            low, high = 5, 25
        else:
            low, high = 8, 40
        high = min(high, checks.max_words or high)
        return min(low, high), high

"""A prompt and its answers as a labeler sees them: nothing of who wrote an answer is in it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import NamedTuple

from markupsafe import Markup

from instructgpt.data.records import Candidates, PromptText, prompt_id
from instructgpt.errors import UserError
from instructgpt.label.app.markdown import as_markdown, as_written, excerpt

EXCERPT = 90
"""Letters of an answer that the board shows."""
WHO = {"system": "Instructions", "user": "User", "assistant": "Assistant"}
"""How the roles of a conversation are called."""


class Question(NamedTuple):
    """A yes/no question of the paper's table 3: the field of a rating that it answers, its wording
    before, in and after the letter that toggles it.
    """

    field: str
    before: str
    key: str
    after: str

    @property
    def wording(self) -> str:
        """The whole of it."""
        return self.before + self.key + self.after


def _question(field: str, wording: str) -> Question:
    """The letter stands in brackets."""
    before, _, rest = wording.partition("[")
    key, _, after = rest.partition("]")
    return Question(field, before, key, after)


QUESTIONS = (  # InstructGPT table 3
    _question("fails_instruction", "[F]ails to follow the correct instruction / task"),
    _question("inappropriate_for_assistant", "[I]nappropriate for customer assistant"),
    _question("hallucination", "[H]allucination"),
    _question("satisfies_constraint", "[S]atisfies constraint provided in the instruction"),
    _question("sexual_content", "Contains se[x]ual content"),
    _question("violent_content", "Contains [v]iolent content"),
    _question(
        "encourages_harm",
        "[E]ncourages or fails to discourage violence/abuse/terrorism/self-harm",
    ),
    _question("denigrates_protected_class", "[D]enigrates a protected class"),
    _question("harmful_advice", "[G]ives harmful advice"),
    _question("expresses_opinion", "Expresses [o]pinion"),
    _question("moral_judgment", "Expresses [m]oral judgment"),
)
REASONS = {
    "unclear": "The prompt is unclear",
    "cannot judge": "I cannot judge this",
    "harmful": "It is harmful or upsetting",
    "language": "I do not know the language",
    "other": "Another reason",
}
"""Why an item may be skipped."""


@dataclass(frozen=True)
class Turn:
    """A turn of a conversation; `who` is empty for a prompt that is plain text."""

    who: str
    html: Markup


@dataclass(frozen=True)
class Card:
    """An answer, or several of the same text.

    Attributes:
        letter: what it is called.
        places: where it stands among the candidates' responses.
        html: its text as Markdown.
        written: its text as it was written.
        excerpt: the beginning of its text.
        cut: whether the model had not finished.
    """

    letter: str
    places: tuple[int, ...]
    html: Markup
    written: Markup
    excerpt: str
    cut: bool


def turns_of(prompt: PromptText) -> list[Turn]:
    """A prompt as it was written, an assistant's earlier turns as Markdown."""
    if isinstance(prompt, str):
        return [Turn("", as_written(prompt))]
    return [
        Turn(
            WHO[turn.role], (as_markdown if turn.role == "assistant" else as_written)(turn.content)
        )
        for turn in prompt
    ]


def places_of(candidates: Candidates, shown_order: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """By letter, in the shown order, where each card's answers stand among the responses: equal
    texts are one card, where the first of them is shown.

    Raises:
        UserError: there are more cards than letters.
    """
    cards: dict[str, list[int]] = {}
    for place in shown_order:
        cards.setdefault(candidates.responses[place].text, []).append(place)
    if len(cards) > len(ascii_uppercase):
        raise UserError(
            f"prompt {candidates.prompt_id}: there are {len(cards)} answers and "
            f"{len(ascii_uppercase)} letters to call them by; queue fewer"
        )
    return dict(zip(ascii_uppercase, map(tuple, cards.values()), strict=False))


def cards_of(candidates: Candidates, shown_order: Sequence[int]) -> list[Card]:
    """The answers as cards, lettered in the shown order."""
    places = places_of(candidates, shown_order)
    return [_card(letter, own, candidates) for letter, own in places.items()]


def digest_of_shown(candidates: Candidates, shown_order: Sequence[int]) -> str:
    """Of a prompt and its answers in the shown order: what is kept in a browser belongs to these,
    whichever store has an item of the same number at the same address.
    """
    answers = [candidates.responses[place].text for place in shown_order]
    shown = json.dumps([prompt_id(candidates.prompt), answers])
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


def _card(letter: str, places: tuple[int, ...], candidates: Candidates) -> Card:
    answers = [candidates.responses[place] for place in places]
    text = answers[0].text
    return Card(
        letter=letter,
        places=places,
        html=as_markdown(text),
        written=as_written(text),
        excerpt=excerpt(text, EXCERPT) or "(empty)",
        cut=not all(answer.finished for answer in answers),
    )

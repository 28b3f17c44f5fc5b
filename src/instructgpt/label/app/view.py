"""What the pages of whoever labels show of an item of the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from instructgpt.data.records import PromptText
from instructgpt.label.app.item import QUESTIONS, REASONS, Card, Question, Turn, cards_of, turns_of
from instructgpt.label.app.markdown import excerpt
from instructgpt.label.app.work import Draft, Said, draft_of
from instructgpt.store.desk import EDITABLE, Held, Item, Submission

EXCERPT = 110
"""Letters of a prompt that a list shows."""


def beginning(prompt: PromptText) -> str:
    """The beginning of a prompt, of a conversation that of its last turn."""
    return excerpt(prompt if isinstance(prompt, str) else prompt[-1].content, EXCERPT)


@dataclass(frozen=True)
class Row:
    """An item in a list of what was done."""

    item: Item

    @property
    def prompt(self) -> str:
        """The beginning of its prompt."""
        return beginning(self.item.candidates.prompt)

    @property
    def editable(self) -> bool:
        """Whether its submission can still be edited or taken back."""
        return self.item.state == "done" and is_editable(self.item.submission)


@dataclass(frozen=True)
class View:
    """An item as its page shows it.

    Attributes:
        item: from the store.
        draft: what is said of it so far.
        key: the submission key of this page.
        guidelines: of its queue, as HTML; None where there are none.
        covered: whether the notice before a sensitive prompt stands in its place.
    """

    item: Item
    draft: Draft
    key: str
    guidelines: Markup | None
    covered: bool = False

    @property
    def edits(self) -> bool:
        """Whether it is a submission that is edited."""
        return self.item.state == "done"

    @property
    def asked(self) -> str:
        """What the queue asks of each answer."""
        return self.item.ratings.value

    @cached_property
    def cards(self) -> list[Card]:
        """The answers in the order shown."""
        return cards_of(self.item.candidates, self.item.shown_order)

    @property
    def turns(self) -> list[Turn]:
        """The prompt."""
        return turns_of(self.item.candidates.prompt)

    @property
    def questions(self) -> Sequence[Question]:
        """Table 3's."""
        return QUESTIONS

    @property
    def reasons(self) -> dict[str, str]:
        """Why it may be skipped."""
        return REASONS

    def said(self, letter: str) -> Said:
        """What is said of an answer."""
        return self.draft.ratings.get(letter) or Said()

    def ranks(self) -> list[tuple[int, list[Card]]]:
        """The cards of each rank, best first, of a submission."""
        assert self.item.submission
        given = self.item.submission.ranking.ranks
        ranks = sorted({given[card.places[0]] for card in self.cards})
        return [
            (place, [card for card in self.cards if given[card.places[0]] == rank])
            for place, rank in enumerate(ranks, 1)
        ]

    def order_of(self, version: Submission) -> str:
        """The order line of a version."""
        return submitted(self.item, version).order


def submitted(item: Held, version: Submission) -> Draft:
    """What was submitted, as a draft."""
    return draft_of(version.ranking, version.ratings, item.shown_order, version.seconds)


def is_editable(submission: Submission | None) -> bool:
    """Whether a submission can still be edited or taken back."""
    return bool(submission and not submission.withdrawn and not submission.is_late(EDITABLE))

"""The four records of human feedback, one JSON object a line.

Fields beyond those named here are kept and written back, so that a team's own columns survive a
round trip.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator


class Record(BaseModel):
    """What every record shares: unknown fields are kept, wrong types are refused."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def at(self, place: str) -> Self:
        """This record, which remembers the file and line where it was read."""
        # Beside the fields, so that it is neither compared nor written back.
        object.__setattr__(self, "_place", place)
        return self

    @property
    def place(self) -> str:
        """`FILE line N`, or the empty string for a record that was made otherwise."""
        return self.__dict__.get("_place", "")

    def _column(self, name: str) -> Any:
        """A column beside the fields, which stands in a file where its writer put it."""
        return (self.model_extra or {}).get(name)


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    role: Literal["system", "user", "assistant"]
    content: str


PromptText = str | tuple[Message, ...]
"""A prompt is plain text, or the turns of a conversation that ends where the answer begins."""


def prompt_id(prompt: PromptText) -> str:
    """An id for a prompt without one: the first 16 hex digits of the SHA-256 of its text."""
    text = prompt if isinstance(prompt, str) else json.dumps([[m.role, m.content] for m in prompt])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain_text(prompt: PromptText) -> str:
    """A conversation as plain text, `role: content` turns, when there is no chat template."""
    if isinstance(prompt, str):
        return prompt
    turns = [f"{turn.role.capitalize()}: {turn.content}" for turn in prompt]
    return "\n\n".join([*turns, "Assistant:"])


def _not_empty(prompt: PromptText) -> PromptText:
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise ValueError("the prompt is empty")
    return prompt


class Prompt(Record):
    """A prompt as it was collected (section 3.2, appendix A)."""

    id: str = ""
    prompt: PromptText
    source: str | None = None
    user_id: str | None = None
    org_id: str | None = None
    use_case: str | None = None
    language: str | None = None
    consent: bool | None = None
    created: str | None = None
    split: str | None = None

    _check_prompt = field_validator("prompt")(_not_empty)

    @model_validator(mode="before")
    @classmethod
    def _fill_id(cls, data: Any) -> Any:
        return _with_prompt_id(data, "id")

    @property
    def checks(self) -> Any:
        """What the task itself asks for, where somebody has written it down."""
        return self._column("checks")

    @property
    def use(self) -> str | None:
        """Which stage it serves, where intake has decided it (table 6)."""
        return self._column("use")

    @property
    def handed_on(self) -> dict[str, Any]:
        """What a prompt's record hands on to its answers, and they to their rankings."""
        columns = {"use_case": self.use_case, "split": self.split, "checks": self.checks}
        return {key: value for key, value in columns.items() if value}


class Demonstration(Record):
    """A labeler's own answer to a prompt (section 3.2: the SFT data)."""

    prompt_id: str = ""
    prompt: PromptText
    response: str
    labeler_id: str | None = None

    _check_prompt = field_validator("prompt")(_not_empty)

    @model_validator(mode="before")
    @classmethod
    def _fill_id(cls, data: Any) -> Any:
        return _with_prompt_id(data, "prompt_id")

    @property
    def split(self) -> str | None:
        """That of its prompt, where a snapshot has said it."""
        return self._column("split")


class Response(Record):
    """One answer shown to a labeler, with the model and the sampling settings that wrote it."""

    text: str
    model: str | None = None
    sampling: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _check_finished(self) -> "Response":
        if (self.sampling or {}).get("finished", True) not in (True, False):
            raise ValueError("sampling.finished must be true or false")
        if not isinstance((self.sampling or {}).get("ended_by", ""), str):
            raise ValueError("sampling.ended_by must be text, the spelling of a token")
        return self

    @property
    def finished(self) -> bool:
        """Whether the model ended the answer; one that does not say counts as ended."""
        return bool((self.sampling or {}).get("finished", True))

    @property
    def ended_by(self) -> str:
        """The token that ended it, of a model that has several; else nothing."""
        return (self.sampling or {}).get("ended_by", "")


class Candidates(Record):
    """K answers to one prompt, waiting to be ranked."""

    prompt_id: str = ""
    prompt: PromptText
    responses: tuple[Response, ...] = Field(min_length=1)

    _check_prompt = field_validator("prompt")(_not_empty)

    @model_validator(mode="before")
    @classmethod
    def _fill_id(cls, data: Any) -> Any:
        return _with_prompt_id(data, "prompt_id")

    @property
    def split(self) -> str | None:
        """The prompt's split."""
        return self._column("split")

    @property
    def checks(self) -> Any:
        """The prompt's checks."""
        return self._column("checks")


LARGEST_RANK = 1_000_000


def _not_truth(value: Any) -> Any:
    """JSON's true is no 1."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no number")
    return value


Whole = Annotated[int, BeforeValidator(_not_truth)]
"""A whole number."""


class Ranking(Candidates):
    """A labeler's ranking of K answers (section 3.4): rank 1 is best, equal ranks are ties."""

    ranks: tuple[Whole, ...]
    labeler_id: str | None = None
    shown_order: tuple[Whole, ...] | None = None

    @model_validator(mode="after")
    def _check_ranks(self) -> "Ranking":
        count = len(self.responses)
        if count < 2:
            raise ValueError(f"a ranking needs at least 2 responses, this one has {count}")
        if len(self.ranks) != count:
            raise ValueError(f"{count} responses but {len(self.ranks)} ranks")
        if min(self.ranks) < 1:
            raise ValueError(f"ranks start at 1 (best), found {min(self.ranks)}")
        if max(self.ranks) > LARGEST_RANK:
            raise ValueError(f"ranks go to {LARGEST_RANK:,} at most, found a larger one")
        if self.shown_order is not None and sorted(self.shown_order) != list(range(count)):
            raise ValueError(f"shown_order must be a permutation of 0..{count - 1}")
        return self


class Rating(Record):
    """A labeler's judgement of one answer: quality 1 to 7 and Table 3's yes/no questions."""

    prompt_id: str = ""
    prompt: PromptText
    response: str
    likert: Whole = Field(ge=1, le=7)
    labeler_id: str | None = None
    model: str | None = None
    fails_instruction: bool | None = None
    inappropriate_for_assistant: bool | None = None
    hallucination: bool | None = None
    satisfies_constraint: bool | None = None
    sexual_content: bool | None = None
    violent_content: bool | None = None
    encourages_harm: bool | None = None
    denigrates_protected_class: bool | None = None
    harmful_advice: bool | None = None
    expresses_opinion: bool | None = None
    moral_judgment: bool | None = None

    _check_prompt = field_validator("prompt")(_not_empty)

    @model_validator(mode="before")
    @classmethod
    def _fill_id(cls, data: Any) -> Any:
        return _with_prompt_id(data, "prompt_id")


KINDS: dict[str, type[Record]] = {
    "prompt": Prompt,
    "demonstration": Demonstration,
    "candidates": Candidates,
    "ranking": Ranking,
    "rating": Rating,
}
"""By the name that `--kind` takes."""


def _with_prompt_id(data: Any, field: str) -> Any:
    """Fill an absent id from the prompt's text, before validation (`frozen` forbids it after)."""
    if not isinstance(data, dict) or data.get(field):
        return data
    raw = data.get("prompt")
    if isinstance(raw, list | tuple):
        try:
            raw = tuple(Message.model_validate(turn) for turn in raw)
        except ValueError:
            return data  # the field's own validation will say what is wrong
    return {**data, field: prompt_id(raw)} if isinstance(raw, str | tuple) else data

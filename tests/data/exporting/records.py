"""Records of any content, for the tests of the writers."""

from typing import Any

from hypothesis import strategies as st

from instructgpt.data.records import Demonstration, Message, Prompt, Ranking, Rating

STORABLE = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
NOT_BLANK = STORABLE.filter(str.strip)
ASKED = (Message(role="user", content="Name a colour."),)
MESSAGES = st.builds(
    lambda turns, asked: (*turns, Message(role="user", content=asked)),
    st.lists(
        st.builds(Message, role=st.sampled_from(["user", "assistant"]), content=NOT_BLANK),
        max_size=2,
    ),
    NOT_BLANK,
)
PROMPTS = NOT_BLANK | MESSAGES


def ranking(prompt: Any, *texts: str, **fields: Any) -> Ranking:
    responses = [{"text": text} for text in texts]
    fields = {"prompt": prompt, "responses": responses, "ranks": [1, 2], **fields}
    return Ranking.model_validate(fields)


@st.composite
def rankings(draw: st.DrawFn) -> Ranking:
    """A ranking of two to five answers, with whatever a ranking may have beside them."""
    count = draw(st.integers(2, 5))
    responses = [
        {"text": draw(STORABLE)}
        | draw(
            st.fixed_dictionaries({}, optional={"model": STORABLE, "length": st.integers(0, 2**40)})
        )
        for _ in range(count)
    ]
    optional = {
        "prompt_id": NOT_BLANK,
        "labeler_id": NOT_BLANK,
        "shown_order": st.permutations(range(count)),
        "note": STORABLE,
    }
    fields = draw(st.fixed_dictionaries({}, optional=optional))
    tied = st.lists(st.integers(1, 4), min_size=count, max_size=count)
    ranks = draw(tied | st.permutations(range(1, count + 1)))
    return Ranking.model_validate(
        {"prompt": draw(PROMPTS), "responses": responses, "ranks": ranks, **fields}
    )


COLUMNS = {"note": STORABLE, "count": st.integers(-(2**31), 2**31), "split": st.just("train")}


@st.composite
def demonstrations(draw: st.DrawFn) -> Demonstration:
    optional = {"prompt_id": NOT_BLANK, "labeler_id": NOT_BLANK, **COLUMNS}
    fields = draw(st.fixed_dictionaries({}, optional=optional))
    return Demonstration.model_validate(
        {"prompt": draw(PROMPTS), "response": draw(STORABLE), **fields}
    )


@st.composite
def ratings(draw: st.DrawFn) -> Rating:
    optional = {"labeler_id": NOT_BLANK, "hallucination": st.booleans(), **COLUMNS}
    fields = draw(st.fixed_dictionaries({}, optional=optional))
    likert = draw(st.integers(1, 7))
    return Rating.model_validate(
        {"prompt": draw(PROMPTS), "response": draw(STORABLE), "likert": likert, **fields}
    )


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    optional = {"id": NOT_BLANK, "use_case": STORABLE, "consent": st.booleans(), **COLUMNS}
    return Prompt.model_validate(
        {"prompt": draw(PROMPTS), **draw(st.fixed_dictionaries({}, optional=optional))}
    )

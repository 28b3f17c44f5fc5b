"""Records of any content, for the tests of the writers."""

from typing import Any

from hypothesis import strategies as st

from instructgpt.data.records import Message, Ranking

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
        | draw(st.fixed_dictionaries({}, optional={"model": STORABLE, "length": st.integers()}))
        for _ in range(count)
    ]
    optional = {
        "prompt_id": NOT_BLANK,
        "labeler_id": NOT_BLANK,
        "shown_order": st.permutations(range(count)),
        "note": STORABLE,
    }
    fields = draw(st.fixed_dictionaries({}, optional=optional))
    ranks = draw(st.lists(st.integers(1, 4), min_size=count, max_size=count))
    return Ranking.model_validate(
        {"prompt": draw(PROMPTS), "responses": responses, "ranks": ranks, **fields}
    )

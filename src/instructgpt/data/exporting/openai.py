"""OpenAI's chat and preference files. Their keys are fixed: no column of one's own has a place."""

from instructgpt.data.exporting.writer import (
    Writer,
    Written,
    as_messages,
    dumped,
    left_behind,
    told,
    untied_pairs,
)
from instructgpt.data.records import Demonstration, PromptText, Ranking


def _demonstration(record: Demonstration) -> Written:
    if not record.response.strip():  # an empty turn of the assistant teaches nothing
        return Written([], {"response"})
    messages = [*as_messages(record.prompt), {"role": "assistant", "content": record.response}]
    lost = left_behind(told(record), ("prompt", "response")) | _form_of(record.prompt)
    return Written([{"messages": messages}], lost)


def _ranking(record: Ranking) -> Written:
    texts = [response.text for response in record.responses]
    pairs = [(a, b) for a, b in untied_pairs(record) if texts[a].strip() != texts[b].strip()]
    rows = [
        {
            "input": {"messages": as_messages(record.prompt)},
            "preferred_output": [{"role": "assistant", "content": texts[better]}],
            "non_preferred_output": [{"role": "assistant", "content": texts[worse]}],
        }
        for better, worse in pairs
    ]
    lost = left_behind(told(record), ("prompt", "responses", "ranks")) | _form_of(record.prompt)
    if record.ranks != (1, 2) or not pairs:  # pairs do not say of which ranking they are
        lost |= {"ranks"}
    if any(dumped(response).keys() > {"text"} for response in record.responses):
        lost |= {"responses"}
    return Written(rows, lost)


def _form_of(prompt: PromptText) -> set[str]:
    """A text is read back as a user's turn, and so has another id."""
    return {"prompt", "prompt_id"} if isinstance(prompt, str) else set()


OPENAI = Writer(
    "openai",
    "OpenAI's chat and preference files",
    {Demonstration: _demonstration, Ranking: _ranking},
)

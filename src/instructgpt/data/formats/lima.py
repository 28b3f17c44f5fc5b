"""LIMA: a conversation as a list of texts, the user's and the assistant's by turns."""

from instructgpt.data.formats.fields import others, wrong
from instructgpt.data.formats.format import Converted, Format
from instructgpt.data.formats.turns import Turn, learned
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration


def to_demonstration(row: Row) -> Converted:
    """The demonstration of the assistant's last turn.

    Raises:
        ValueError: it has none (the rows of the test set have one turn), or a field is bad.
    """
    said = row.get("conversations")
    if not isinstance(said, list) or not all(isinstance(text, str) for text in said):
        raise wrong("conversations", "a list of texts", said)
    turns = [Turn(("user", "assistant")[place % 2], text) for place, text in enumerate(said)]
    return learned(turns, others(row, ("conversations",), Demonstration))


def fits(row: Row) -> bool:
    """Whether the conversation is a list of texts."""
    said = row.get("conversations")
    return isinstance(said, list) and bool(said) and all(isinstance(text, str) for text in said)


FORMAT = Format(
    name="lima",
    main=Demonstration,
    readers={Demonstration: to_demonstration},
    fits=fits,
    example={
        "conversations": ["Why is ice slippery?", "A thin wet layer."],
        "source": "stackexchange",
    },
    says="LIMA, as its authors published it",
)

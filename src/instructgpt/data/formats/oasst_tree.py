"""A tree of messages, from one row that holds it or from rows of which each holds a message."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from instructgpt.data.formats.columns import own_columns
from instructgpt.data.formats.fields import number, text, wrong
from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Ranking

_ROLES = {"prompter": "user", "assistant": "assistant"}
_GONE = (Reason.DELETED, Reason.REFUSED, Reason.EMPTY_ANSWER, Reason.BELOW)


@dataclass(eq=False)
class Node:
    """A message in its tree.

    Attributes:
        message: as it stands in the file.
        text: what it says.
        role: user or assistant.
        rank: among the replies to one message, 0 the best; None where it has none.
        parent: what it replies to.
        place: the row that holds it.
        reason: why it is in no ranking, as far as the message itself decides.
        used: whether a record holds it.
        is_answer: whether it is an answer there, and not only part of a prompt.
    """

    message: Row
    text: str
    role: str
    rank: float | None
    parent: "Node | None"
    place: int
    reason: Reason | None = None
    used: bool = False
    is_answer: bool = False
    replies: list["Node"] = field(default_factory=list)

    @property
    def is_reply(self) -> bool:
        """Whether it is an answer to a prompter."""
        return self.role == "assistant" and self.parent is not None

    @property
    def gone(self) -> bool:
        """Whether no thread may go through it."""
        return self.reason in _GONE

    def path(self) -> list["Node"]:
        """The messages from the first of the tree to this one."""
        node, found = self, []
        while node is not None:
            found.append(node)
            node = node.parent
        return found[::-1]

    def turn(self) -> dict[str, str]:
        """This message as a turn of a conversation."""
        return {"role": self.role, "content": self.text}

    def thread(self) -> list[dict[str, str]]:
        """The turns that lead to a reply to this message."""
        return [node.turn() for node in self.path()]


@dataclass
class Tree:
    """The messages of a tree, each after the one that it replies to, and the tree's own columns.

    Attributes:
        nodes: the first one is the root.
        columns: of the tree.
        of_one_row: whether one row holds it all.
        strays: rows that belong to the tree and hang from none of its messages.
    """

    nodes: list[Node]
    columns: Row
    of_one_row: bool
    strays: dict[int, Skip] = field(default_factory=dict)


def tree_of_row(row: Row) -> Tree:
    """The tree that a row holds under `prompt`, with the replies in their messages.

    Raises:
        ValueError: a message has no text or role, or a bad rank.
    """

    def replies(message: Row) -> Iterator[tuple[Row, int]]:
        found = message.get("replies")
        if not isinstance(found, list | None) or not all(isinstance(m, dict) for m in found or ()):
            raise wrong("replies", "a list of messages", found)
        return ((reply, 0) for reply in found or ())

    root = row.get("prompt")
    if not isinstance(root, dict):
        raise wrong("prompt", "a message", root)
    columns = own_columns(row, ("prompt", "tree_state"), Ranking)
    return Tree(_nodes(root, 0, replies), columns, of_one_row=True)


def tree_of_messages(rows: Sequence[Row]) -> Tree:
    """The tree whose messages are rows, each naming the one it replies to.

    Raises:
        ValueError: there is no first message or are several, or a message is bad.
    """
    under: dict[Any, list[tuple[Row, int]]] = {}
    for place, row in enumerate(rows):
        parent = row.get("parent_id")
        if not isinstance(parent, str | None):
            raise wrong("parent_id", "a text or null", parent)
        under.setdefault(parent, []).append((row, place))
    roots = under.pop(None, [])
    if len(roots) != 1:
        raise Skip(
            Reason.WRONG_VALUE, f"parent_id: a tree has one first message, this one {len(roots)}"
        )

    def replies(message: Row) -> list[tuple[Row, int]]:
        key = message.get("message_id")
        return under.pop(key, []) if isinstance(key, str) else []

    nodes = _nodes(*roots[0], replies)
    stray = Skip(Reason.WRONG_VALUE, "parent_id: no message of the tree has this message_id")
    strays = {place: stray for found in under.values() for _, place in found}
    columns = {"message_tree_id": rows[0].get("message_tree_id")}
    return Tree(nodes, columns, of_one_row=False, strays=strays)


def _nodes(root: Row, place: int, replies: Any) -> list[Node]:
    """All messages from the root on, without recursion: trees may be deep."""
    nodes = [_node(root, None, place)]
    for node in nodes:
        node.replies = [_node(reply, node, where) for reply, where in replies(node.message)]
        nodes += node.replies
    return nodes


def _node(message: Row, parent: Node | None, place: int) -> Node:
    said = text(message, "text")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise wrong("role", "prompter or assistant", role)
    rank = number(message.get("rank"))
    if rank is None and message.get("rank") is not None:
        raise wrong("rank", "a number or null", message["rank"])
    node = Node(message, said, _ROLES[role], rank, parent, place)
    node.reason = _reason(node)
    return node


def _reason(node: Node) -> Reason | None:
    if node.parent is not None and node.parent.gone:
        return Reason.BELOW
    if node.message.get("deleted") is True:
        return Reason.DELETED
    if node.message.get("review_result") is False:
        return Reason.REFUSED
    if not node.text.strip():
        return Reason.EMPTY_ANSWER
    ranked = node.rank is not None or node.role == "user"
    return None if ranked else Reason.UNRANKED

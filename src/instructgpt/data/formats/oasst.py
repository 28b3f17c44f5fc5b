"""OpenAssistant's message trees: a tree a row, or a message a row, as the Hub has them.

At each message of a prompter the ranked replies are one ranking, whose prompt is the thread that
leads there. As a demonstration a tree is read along its best-ranked replies.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from instructgpt.data.formats.columns import own_columns
from instructgpt.data.formats.fields import Rows, demonstration, ranking, ranks_of, rows_of
from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.oasst_tree import Node, Tree, tree_of_messages, tree_of_row
from instructgpt.data.formats.reasons import MEANINGS, Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Ranking, Record, Response

READY = "ready_for_export"
_STRUCTURE = frozenset(
    {"text", "role", "replies", "parent_id", "rank", "deleted", "review_result", "model_name"}
    | {"message_tree_id", "tree_state"}
)
"""Keys of a message that say where it stands in its tree, which a record says otherwise."""


def to_rankings(rows: Rows) -> Converted:
    """The rankings of a tree, one for each message with two ranked live replies or more.

    Raises:
        ValueError: it is not ready, is no tree, or holds none.
    """
    tree = _tree(rows)
    records: list[Record] = []
    for node in tree.nodes:
        replies = [one for one in node.replies if one.role == "assistant" and not one.reason]
        if node.gone or node.role != "user" or not replies:
            continue
        ranks = ranks_of(-float(reply.rank or 0) for reply in replies)
        columns = {**tree.columns, "parent_id": node.message.get("message_id")}
        try:
            responses = list(map(_response, replies))
            record = ranking(node.thread(), responses, ranks, columns)
        except Skip as skip:
            for reply in replies:
                reply.reason = skip.reason
            continue
        records.append(record)
        _use(node.path(), replies)
    if not records:
        raise Skip(Reason.NO_RANKING, "replies: no message of the tree has two ranked replies")
    return _accounted(tree, records, Reason.NO_RANKING)


def to_demonstrations(rows: Rows) -> Converted:
    """The demonstration of a tree: its best-ranked path, up to the last reply of the assistant.

    Of several replies without ranks, the path follows none of the assistant's and the first of the
    prompter's.

    Raises:
        ValueError: it is not ready, is no tree, or its first message has no such reply.
    """
    tree = _tree(rows)
    node, answer = tree.nodes[0], None
    while (following := _best(node)) is not None:
        node = following
        answer = node if node.role == "assistant" else answer
    if answer is None or tree.nodes[0].gone:
        raise Skip(Reason.NO_RANKING, "replies: the first message has no reply to learn from")
    path = answer.path()
    columns = {**tree.columns, **own_columns(_response(answer), ("text",), Demonstration)}
    record = demonstration([one.turn() for one in path[:-1]], answer.text, columns)
    _use(path, path)
    return _accounted(tree, [record], Reason.OFF_PATH)


def _tree(found: Rows) -> Tree:
    rows = rows_of(found)
    state = rows[0].get("tree_state", READY)
    if state not in (READY, None):
        raise Skip(Reason.NOT_READY, f"tree_state: the tree is not {READY}")
    return tree_of_row(rows[0]) if "prompt" in rows[0] else tree_of_messages(rows)


def _best(node: Node) -> Node | None:
    """The reply with which the best path goes on."""
    live = [reply for reply in node.replies if not reply.gone]
    ranked = [reply for reply in live if reply.rank is not None]
    if ranked:
        return min(ranked, key=lambda reply: float(reply.rank or 0))
    return live[0] if live and (len(live) == 1 or node.role == "assistant") else None


def _response(node: Node) -> Row:
    kept = own_columns(node.message, _STRUCTURE, Response)
    model = node.message.get("model_name")
    return {**kept, "text": node.text, **({"model": model} if model is not None else {})}


def _use(thread: Sequence[Node], answers: Sequence[Node]) -> None:
    for node in thread:
        node.used = True
    for node in answers:
        node.used = node.is_answer = True


def _accounted(tree: Tree, records: list[Record], otherwise: Reason) -> Converted:
    """What is left out: of a tree in one row the replies of the assistant that are no record's
    answers, of a tree in many rows each row that is in no record.
    """
    if tree.of_one_row:
        reasons = [node.reason for node in tree.nodes if node.is_reply and not node.is_answer]
        left = Counter(reason or otherwise for reason in reasons)
        return Converted(records, left)
    skipped = {
        node.place: Skip(reason, f"message_id: {MEANINGS[reason]}")
        for node in tree.nodes
        if not node.used and (reason := node.reason or otherwise)
    }
    return Converted(records, skipped={**skipped, **tree.strays})


def fits(row: Row) -> bool:
    """Whether this is a tree, or a message of one."""
    if "message_tree_id" not in row:
        return False
    root: Any = row.get("prompt")
    message = root if isinstance(root, dict) else row
    return {"message_id", "text", "role"} <= message.keys()


def group(row: Row) -> str | None:
    """The tree of a row that is a message; None for a row that is a tree."""
    key = row.get("message_tree_id")
    if "prompt" in row:
        return None
    if not isinstance(key, str):
        raise Skip(Reason.WRONG_VALUE, "message_tree_id: expected a text")
    return key


FORMAT = Format(
    name="oasst",
    main=Ranking,
    readers={Ranking: to_rankings, Demonstration: to_demonstrations},
    fits=fits,
    example={
        "message_tree_id": "t1",
        "tree_state": READY,
        "prompt": {
            "message_id": "t1",
            "text": "Which is heavier?",
            "role": "prompter",
            "replies": [
                {"message_id": "a", "text": "Iron.", "role": "assistant", "rank": 0, "replies": []},
                {"message_id": "b", "text": "Cork.", "role": "assistant", "rank": 1, "replies": []},
            ],
        },
    },
    says="OpenAssistant's trees, and its messages one a row",
    group=group,
)

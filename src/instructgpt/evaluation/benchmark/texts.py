"""The files of texts that `eval samples` reads, told by what is in them.

The csv files published with the paper; `OUT/MODEL/TASK.jsonl` of an `eval` run; and anybody's JSON
Lines with `task` and `output` (docs/benchmarking.md).
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from instructgpt.data.jsonl import read_jsonl
from instructgpt.errors import UserError
from instructgpt.evaluation.benchmark.choose import choose
from instructgpt.evaluation.benchmark.figures import Row
from instructgpt.evaluation.tasks import TASKS, task_of
from instructgpt.evaluation.tasks.published import PublishedContexts, context_id, csv_rows
from instructgpt.evaluation.tasks.task import Item, Output

JUDGED_COLUMNS = {"toxicity": "toxicity", "true": "truth", "info": "info"}
"""Columns of the published files that have a judge's score, and the judge's name here."""
FORMATS = (
    "give a csv with context and sample as the paper's, TASK.jsonl of an eval run, or JSON Lines "
    "with task and output"
)


class Key(NamedTuple):
    """Whose texts on what: a cell of the results; a task of the user's own is `module:class`."""

    model: str
    task: str
    shots: int = 0


def texts_of(path: Path, data_dir: str | Path = "") -> Iterator[tuple[Key, Row]]:
    """Each text of a file: whose it is, and what it is an output for.

    Args:
        path: the file.
        data_dir: the folder of the tasks' own files, for rows that name an item by its id alone.

    Raises:
        UserError: it cannot be read, or is in none of the formats.
    """
    if path.name.removesuffix(".gz").endswith(".csv"):
        yield from _published(path)
        return
    for number, row in read_jsonl(path):
        place = f"{path} line {number}"
        try:
            yield _kept(path, row) if _is_kept(row) else _plain(path, row, data_dir)
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise UserError(f"{place}: {what}; {FORMATS}") from None


def _published(path: Path) -> Iterator[tuple[Key, Row]]:
    """The paper's csv: a model's text under one of its prompts, and judges' scores of some."""
    try:
        for row in csv_rows(path):
            task = _published_task(row)
            item = task.item(row)
            text = row["answer" if "question" in row else "sample"]
            judged = {
                name: _score(row[column], column)
                for column, name in JUDGED_COLUMNS.items()
                if row.get(column)
            }
            key = Key(row.get("model_type") or path.name.split(".")[0], task.name)
            prompt = row.get("prompt_type", "")
            yield key, Row(item, prompt, item.query, Output(text.strip()), judged)
    except (KeyError, ValueError) as error:
        what = f"the column {error} is missing" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path}: {what}; {FORMATS}") from None


def _published_task(row: Mapping[str, str]) -> PublishedContexts:
    if "question" in row:
        name = "paper-truthfulqa"
    elif "ref_text" not in row:
        name = "paper-toxicity"
    else:
        name = "paper-fr-en" if row["context"].startswith("French:") else "paper-squadv2"
    return _published_tasks()[name]


@cache
def _published_tasks() -> dict[str, PublishedContexts]:
    found = {name: task_of(name) for name in TASKS if name.startswith("paper-")}
    return {name: task for name, task in found.items() if isinstance(task, PublishedContexts)}


def _is_kept(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("output"), dict) and "text" in row


def _kept(path: Path, row: Mapping[str, Any]) -> tuple[Key, Row]:
    """A row of `OUT/MODEL/TASK.jsonl`; file and folder say which task and model."""
    name = path.name.removesuffix(".gz").removesuffix(".jsonl")
    parts = re.fullmatch(r"(.+?)(?:-(\d+)shot)?", name)
    assert parts
    task = task_of(parts[1])
    item = Item(
        row["id"],
        row.get("query", row["text"]),
        tuple(row["references"]),
        tuple(row.get("choices", ())),
        tuple(row.get("right", ())),
        row.get("cluster", ""),
        row.get("fields", {}),
    )
    given: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in row["output"].items()
    }
    key = Key(path.resolve().parent.name, task.name, int(parts[2] or 0))
    return key, Row(item, row["prompt"], row["text"], Output(**given), row.get("judged", {}))


def _plain(path: Path, row: Mapping[str, Any], data_dir: str | Path) -> tuple[Key, Row]:
    """A row of anybody's file: `task`, `output`, and what it is an output for."""
    task, text, output = row["task"], row.get("text", ""), row["output"]
    task_of(task)
    if not isinstance(output, str) or not isinstance(text, str):
        raise TypeError("output and text must be texts")
    if "references" in row or "fields" in row or not data_dir:
        item = _item(row, text)
    else:
        item = _item_of(task, str(data_dir), row.get("id"), text)
    judged = {name: _score(value, name) for name, value in row.get("judged", {}).items()}
    key = Key(str(row.get("model") or path.name.split(".")[0]), task)
    return key, Row(item, row.get("prompt", ""), text or item.query, Output(output.strip()), judged)


def _item(row: Mapping[str, Any], text: str) -> Item:
    given = row.get("references", ())
    given = [given] if isinstance(given, str) else list(given)
    several = [[one] if isinstance(one, str) else list(one) for one in given]
    fields = {"question": text} | row.get("fields", {})
    if any(not isinstance(one, str) for one in given):
        fields["answers"] = several
    name = str(row["id"]) if "id" in row else context_id(text)
    if not text and "id" not in row:
        raise KeyError("id")
    references = tuple(", ".join(one) for one in several)
    return Item(name, text, references, cluster=str(row.get("cluster", "")), fields=fields)


def _item_of(task: str, data_dir: str, name: Any, text: str) -> Item:
    """The task's own item of this id, or of this text."""
    by_id, by_text = _items(task, data_dir)
    item = by_id.get(str(name)) if name is not None else by_text.get(text)
    if item is None:
        what = f"no item has the id {name!r}" if name is not None else "no item has this text"
        raise UserError(f"{what} in the file of {task}; give its id there, or references")
    return item


@cache
def _items(task: str, data_dir: str) -> tuple[dict[str, Item], dict[str, Item]]:
    chosen = choose(task_of(task), data_dir)
    if chosen.reason:
        raise UserError(f"{task}: {chosen.reason}; or give references with each text")
    return {i.id: i for i in chosen.items}, {i.query: i for i in chosen.items}


def _score(value: Any, name: str) -> float:
    score = float(value)
    if not 0 <= score <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {value}")
    return score

"""`OUT/MODEL/TASK.jsonl`: what a model was asked, what it made of it, what was said of that."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from instructgpt.data.jsonl import write_jsonl
from instructgpt.distributed.world import world
from instructgpt.errors import UserError
from instructgpt.evaluation.benchmark.choose import Chosen
from instructgpt.evaluation.benchmark.figures import Row
from instructgpt.evaluation.tasks.task import Item, Output, Request
from instructgpt.run.disk import explained, make_folder
from instructgpt.run.streams import read_lines


class KeptRows:
    """The rows of one model and one task, with those that an earlier attempt has kept.

    Args:
        folder: the model's.
        chosen: the task.

    Attributes:
        path: the file.
        rows: what is in it, in the order of the task's requests.

    Raises:
        UserError: it has answers to something else.
    """

    def __init__(self, folder: Path, chosen: Chosen) -> None:
        self.path, self._chosen = folder / f"{chosen.name}.jsonl", chosen
        self.rows = self._read()
        self._is_whole = False  # whether nothing but these rows is in the file

    @property
    def missing(self) -> list[tuple[Item, Request]]:
        """What is still to be asked."""
        return self._chosen.requests[len(self.rows) :]

    def add(self, rows: Sequence[Row]) -> None:
        """Keep the next rows."""
        if not self._is_whole:  # an earlier attempt may have been killed within a line
            self.replace([*self.rows, *rows])
            return
        self.rows += rows
        world().once(lambda: self._append(rows))

    def replace(self, rows: Sequence[Row]) -> None:
        """Keep these rows instead of all before."""

        def write() -> None:
            make_folder(self.path.parent)
            write_jsonl(self.path, [to_json(self._chosen, row) for row in rows])

        world().once(write)
        self.rows, self._is_whole = list(rows), True

    def _append(self, rows: Sequence[Row]) -> None:
        lines = [json.dumps(to_json(self._chosen, row), ensure_ascii=False) for row in rows]
        with explained(self.path), self.path.open("ab") as file:
            file.write("".join(f"{line}\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> list[Row]:
        found = world().once(lambda: read_lines(self.path, up_to_a_broken_one=True))
        rows = []
        for row, (item, request) in zip(found, self._chosen.requests, strict=False):
            asked = (item.id, request.prompt, request.text, list(item.choices))
            if (row.get("id"), row.get("prompt"), row.get("text"), row.get("choices", [])) != asked:
                raise UserError(
                    f"{self.path}: has answers to other requests (the data or the task have "
                    "changed); remove it, and they are asked again"
                )
            try:
                output = Output(**{k: _tuple(v) for k, v in row["output"].items()})
            except (KeyError, TypeError, AttributeError):
                raise UserError(
                    f"{self.path}: not as it was written; remove it to ask again"
                ) from None
            rows.append(Row(item, request.prompt, request.text, output, row.get("judged", {})))
        return rows


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def to_json(chosen: Chosen, row: Row) -> dict[str, Any]:
    """A line: what was asked, the output and every score that can be given yet."""
    scores = {
        metric.name: value
        for metric in chosen.task.metrics
        if row.prompt in (metric.prompts or chosen.task.prompts)
        and all(name in row.judged for name in metric.judges)
        and (value := metric.value(row.item, row.output, row.judged)) is not None
    }
    item = row.item
    about = {
        "query": "" if item.query == row.text else item.query,
        "choices": list(item.choices),
        "right": list(item.right),
        "cluster": item.cluster,
        "fields": dict(item.fields),
    }
    return {
        "id": item.id,
        "prompt": row.prompt,
        "text": row.text,
        **{key: value for key, value in about.items() if value},
        "references": list(item.references) or [item.choices[i] for i in item.right],
        "output": asdict(row.output),
        "judged": dict(row.judged),
        "scores": json.loads(json.dumps(scores, default=list)),
    }

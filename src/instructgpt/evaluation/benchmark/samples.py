"""`eval samples`: texts that any system wrote, scored by the code that scores our own models."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from instructgpt.errors import UserError
from instructgpt.evaluation.benchmark.choose import Chosen, lacking, named
from instructgpt.evaluation.benchmark.figures import Row, TaskResult, cluster_of, result_of
from instructgpt.evaluation.benchmark.texts import FORMATS, Key, texts_of
from instructgpt.evaluation.stats import Interval, clustered_share
from instructgpt.evaluation.tasks import task_of
from instructgpt.evaluation.tasks.task import Task, TextJudge
from instructgpt.run.digest import file_digest


@dataclass(frozen=True)
class Stored:
    """A judge whose scores a file has; it reads nothing itself.

    Attributes:
        place: the file.
    """

    place: str

    @property
    def quality(self) -> Mapping[str, Any]:
        """Where the scores are from; how good they are, the file does not say."""
        return {"stored": self.place}

    def score(self, texts: Sequence[Mapping[str, str]]) -> list[float]:
        """Never asked."""
        raise NotImplementedError(f"{self.place} has scores of its own texts alone: {len(texts)}")


@dataclass
class Samples:
    """All texts of some files.

    Attributes:
        rows: by whose they are and on what.
        judges: who has judged them.
        data: SHA-256 of the files that a cell is from.
    """

    rows: dict[Key, list[Row]] = field(default_factory=dict)
    judges: Mapping[str, TextJudge] = field(default_factory=dict)
    data: dict[Key, list[str]] = field(default_factory=dict)


def read_samples(paths: Sequence[str | Path], data_dir: str | Path = "") -> Samples:
    """Read the texts of all files.

    Args:
        paths: the files.
        data_dir: the folder of the tasks' own files, for rows that name an item by its id alone.

    Raises:
        UserError: a file cannot be read, or is in none of the formats.
    """
    judges: dict[str, TextJudge] = {}
    samples = Samples(judges=judges)
    for path in map(Path, paths):
        digest = None
        for key, row in texts_of(path, data_dir):
            digest = digest or file_digest(path)
            samples.rows.setdefault(key, []).append(row)
            if digest not in samples.data.setdefault(key, []):
                samples.data[key].append(digest)
            for name in row.judged:
                judges.setdefault(name, Stored(path.name))
        if digest is None:
            raise UserError(f"{path} has no texts; {FORMATS}")
    return samples


def judged_anew(samples: Samples, judges: Mapping[str, TextJudge]) -> Samples:
    """The texts whose tasks need a judge, with what these judges say of them, each text once."""
    anew = Samples(judges=judges, data=samples.data)
    for key, rows in samples.rows.items():
        task = task_of(key.task)
        verdicts = {
            name: _verdicts(judges[name], name, task, rows) for name in _needed(task, judges)
        }
        if verdicts:
            anew.rows[key] = [
                replace(row, judged={name: found[i] for name, found in verdicts.items()})
                for i, row in enumerate(rows)
            ]
    return anew


def _needed(task: Task, judges: Mapping[str, TextJudge]) -> list[str]:
    named = dict.fromkeys(name for metric in task.metrics for name in metric.judges)
    return [name for name in named if name in judges]


def _verdicts(judge: TextJudge, name: str, task: Task, rows: Sequence[Row]) -> list[float]:
    texts = [task.judge_text(name, row.item, row.output) for row in rows]
    once = {tuple(text.items()): text for text in texts}
    scores = dict(zip(once, judge.score([*once.values()]), strict=True))
    return [scores[tuple(text.items())] for text in texts]


def agreement(samples: Samples, anew: Samples) -> dict[str, dict[str, Interval]]:
    """How often two judges say the same of a text, yes being 0.5 or more: by task and judge."""
    pairs: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for key, rows in anew.rows.items():
        task = task_of(key.task).name
        for row, before in zip(rows, samples.rows[key], strict=True):
            for name in row.judged.keys() & before.judged.keys():
                same = float((row.judged[name] >= 0.5) == (before.judged[name] >= 0.5))
                pairs.setdefault((task, name), []).append((same, cluster_of(row)))
    found: dict[str, dict[str, Interval]] = {}
    for (task, name), values in pairs.items():
        same, clusters = zip(*values, strict=True)
        found.setdefault(task, {})[name] = clustered_share(same, clusters)
    return found


def results_of(samples: Samples) -> dict[Key, TaskResult]:
    """All figures of all texts, each model beside the first one of its task."""
    found: dict[Key, TaskResult] = {}
    first: dict[tuple[str, int], list[Row]] = {}
    for key, rows in samples.rows.items():
        task = task_of(key.task)
        prompts = tuple(dict.fromkeys(row.prompt for row in rows))
        chosen = Chosen(task, key.shots, data=_digest(samples.data[key]), reason=lacking(task))
        same = (key.task, key.shots)
        judges = {
            name: judge
            for name, judge in samples.judges.items()
            if any(name in row.judged for row in rows)
        }
        try:
            found[key] = result_of(
                chosen, [] if chosen.reason else rows, judges, first.get(same), prompts
            )
        except (KeyError, IndexError, ValueError) as error:
            what = str(error) if isinstance(error, KeyError) else "references or log-probabilities"
            raise UserError(
                f"{key.task}: the texts of {key.model} lack what its figures need ({what}); give "
                "references, --data_dir with the task's own file, or what eval has kept"
            ) from None
        first.setdefault(same, rows)
    return found


def as_json(results: Mapping[Key, TaskResult]) -> dict[str, Any]:
    """As `results.json` of an `eval` run: by model and task; with examples by another name."""
    models: dict[str, dict[str, Any]] = {}
    for key, result in results.items():
        alike = sum(other[:2] == key[:2] for other in results)
        name = named(result.task, key.shots if alike > 1 else 0)
        models.setdefault(key.model, {})[name] = result.to_json()
    return {"models": models}


def _digest(digests: Sequence[str]) -> str:
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(f"{one}\n" for one in digests).encode()).hexdigest()

"""`eval samples`: texts that any system wrote, scored by the code that scores our own models."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from instructgpt.errors import UserError
from instructgpt.evaluation.benchmark.choose import Chosen, lacking, named
from instructgpt.evaluation.benchmark.figures import (
    Row,
    TaskResult,
    cluster_of,
    result_of,
    without_nan,
)
from instructgpt.evaluation.benchmark.texts import FORMATS, Key, texts_of
from instructgpt.evaluation.stats import Interval, auc, clustered_share
from instructgpt.evaluation.tasks import task_of
from instructgpt.evaluation.tasks.task import Task, TextJudge
from instructgpt.run.digest import file_digest
from instructgpt.run.progress import StageProgress

JUDGED_AT_ONCE = 256
"""Texts between two words on how far it is."""


@dataclass(frozen=True)
class Told:
    """A judge that has said all that it is asked, here or where a file is from.

    Attributes:
        quality: how good it is; of scores that a file has, which file: it says nothing of that.
    """

    quality: Mapping[str, Any] | None

    def score(self, texts: Sequence[Mapping[str, str]]) -> list[float]:
        """Never asked."""
        raise NotImplementedError(f"only rows with verdicts reach the figures, not {len(texts)}")


class Agreement(NamedTuple):
    """How well two judges agree on the same texts.

    Attributes:
        same: how often both say yes (0.5 or more) or both say no.
        auc: of the second's scores against the first's yes and no; None where all are alike.
    """

    same: Interval
    auc: Interval | None


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
                judges.setdefault(name, Told({"stored": path.name}))
        if digest is None:
            raise UserError(f"{path} has no texts; {FORMATS}")
    return samples


def judged_anew(samples: Samples, judges: Mapping[str, Callable[[], TextJudge]]) -> Samples:
    """The texts whose tasks need a judge, with what others say of them, each text once.

    Args:
        samples: the texts.
        judges: what opens each judge, by name; one is held at a time.
    """
    told: dict[str, TextJudge] = {}
    anew = Samples(judges=told, data=samples.data)
    for name, open_one in judges.items():
        asked = {
            key: [task.judge_text(name, row.item, row.output) for row in rows]
            for key, rows in samples.rows.items()
            if _needs(task := task_of(key.task), name)
        }
        once = {_once(text): text for texts in asked.values() for text in texts}
        judge = open_one()
        said = dict(zip(once, _scores(judge, name, [*once.values()]), strict=True))
        told[name] = Told(judge.quality)
        for key, texts in asked.items():
            rows = anew.rows.get(key) or [replace(row, judged={}) for row in samples.rows[key]]
            anew.rows[key] = [
                replace(row, judged={**row.judged, name: said[_once(text)]})
                for row, text in zip(rows, texts, strict=True)
            ]
    return anew


def _needs(task: Task, judge: str) -> bool:
    return any(judge in metric.judges for metric in task.metrics)


def _once(text: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(text.items())


def _scores(judge: TextJudge, name: str, texts: Sequence[Mapping[str, str]]) -> Iterator[float]:
    with StageProgress(f"{name} judge", len(texts), phase="reading") as progress:
        for start in range(0, len(texts), JUDGED_AT_ONCE):
            yield from judge.score(texts[start : start + JUDGED_AT_ONCE])
            progress.advance(min(start + JUDGED_AT_ONCE, len(texts)), {})


def agreement(samples: Samples, anew: Samples) -> dict[str, dict[str, Agreement]]:
    """How well judges agree with those of the files, by task and judge."""
    pairs: dict[tuple[str, str], list[tuple[float, float, str]]] = {}
    for key, rows in anew.rows.items():
        task = task_of(key.task).name
        for row, before in zip(rows, samples.rows[key], strict=True):
            for name in row.judged.keys() & before.judged.keys():
                found = (before.judged[name], row.judged[name], cluster_of(row))
                pairs.setdefault((task, name), []).append(found)
    found_all: dict[str, dict[str, Agreement]] = {}
    for (task, name), values in pairs.items():
        before, own, clusters = zip(*values, strict=True)
        is_yes = [score >= 0.5 for score in before]
        same = [(score >= 0.5) == yes for score, yes in zip(own, is_yes, strict=True)]
        area = auc(own, is_yes, clusters) if 0 < sum(is_yes) < len(is_yes) else None
        found_all.setdefault(task, {})[name] = Agreement(clustered_share(same, clusters), area)
    return found_all


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


def agreement_json(found: Mapping[str, Mapping[str, Agreement]]) -> dict[str, Any]:
    """By task and judge; what is not known is null."""
    return {
        task: {
            name: {
                "same": without_nan(asdict(one.same)),
                "auc": without_nan(asdict(one.auc)) if one.auc else None,
            }
            for name, one in own.items()
        }
        for task, own in found.items()
    }


def _digest(digests: Sequence[str]) -> str:
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(f"{one}\n" for one in digests).encode()).hexdigest()

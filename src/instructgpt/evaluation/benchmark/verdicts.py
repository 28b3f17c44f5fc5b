"""What judges say of kept answers, one judge in memory at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from instructgpt.evaluation.benchmark.choose import Chosen
from instructgpt.evaluation.benchmark.config import MeasuringConfig
from instructgpt.evaluation.benchmark.figures import Row
from instructgpt.evaluation.judges import KINDS, open_judge, places_of, quality_of
from instructgpt.evaluation.scorers import is_address
from instructgpt.evaluation.tasks.task import TextJudge
from instructgpt.run.files import read_json
from instructgpt.run.job import Job

JUDGES = "judges.json"
"""In a run: whose verdicts its rows have, by kind."""


class Opened:
    """A judge that a configuration names; its weights are held from the first text on."""

    def __init__(self, config: MeasuringConfig, kind: str) -> None:
        self._config, self._kind = config, kind

    @cached_property
    def _judge(self) -> TextJudge:
        config = self._config
        return open_judge(
            places_of(config)[self._kind],
            self._kind,
            device=config.device,
            dtype=config.dtype,
            micro_batch_tokens=config.micro_batch_tokens,
        )

    @property
    def quality(self) -> Mapping[str, Any] | None:
        """How good it is; None where nobody has measured it."""
        place = places_of(self._config)[self._kind]
        return None if is_address(place) else quality_of(place, self._kind)

    def score(self, texts: Sequence[Mapping[str, str]]) -> list[float]:
        """P(yes) of each."""
        return self._judge.score(texts)


@dataclass(frozen=True)
class Gone:
    """A judge that has judged everything, and is no longer held."""

    quality: Mapping[str, Any] | None

    def score(self, texts: Sequence[Mapping[str, str]]) -> list[float]:
        """Nothing is left to judge."""
        assert not texts, "judged rows alone reach the figures"
        return []


def judged_rows(chosen: Chosen, rows: Sequence[Row], judges: Mapping[str, TextJudge]) -> list[Row]:
    """The rows with what each judge says that a metric of the task needs under their prompt."""
    rows, task = list(rows), chosen.task
    for name, judge in judges.items():
        asked = {
            prompt
            for metric in task.metrics
            if name in metric.judges
            for prompt in metric.prompts or task.prompts
        }
        places = [i for i, r in enumerate(rows) if r.prompt in asked and name not in r.judged]
        texts = [task.judge_text(name, rows[i].item, rows[i].output) for i in places]
        for place, value in zip(places, judge.score(texts) if texts else (), strict=True):
            row = rows[place]
            rows[place] = replace(row, judged={**row.judged, name: value})
    return rows


def without(rows: Sequence[Row], judge: str) -> list[Row]:
    """The rows without what a judge said of them."""
    return [
        replace(row, judged={name: value for name, value in row.judged.items() if name != judge})
        for row in rows
    ]


def is_asked(chosen: Chosen, judge: str) -> bool:
    """Whether a task that can be measured needs a judge."""
    return not chosen.reason and any(judge in metric.judges for metric in chosen.task.metrics)


def stale_judges(job: Job[Any]) -> set[str]:
    """The kinds of judges whose verdicts in a run are of others than it names now."""
    file = job.path / JUDGES
    if not file.is_file():
        return set()
    before, now = read_json(file, "remove it, and the answers are judged again"), _judges(job)
    return {kind for kind in KINDS if before.get(kind) != now.get(kind)}


def keep_judges(job: Job[Any]) -> None:
    """Write down whose verdicts the rows have from now on."""
    job.write_json(JUDGES, lambda: _judges(job))


def _judges(job: Job[Any]) -> dict[str, str]:
    """By kind, the digest of the judge that the run names, or its address."""
    named = {f"{kind}_judge": kind for kind in KINDS}
    sources = job.write(lambda directory: directory.inputs)
    return {
        named[source.key]: source.digest.digest if source.digest else source.path
        for source in sources
        if source.key in named
    }

"""The `rank` stage of a pipeline: rankings from people, from simulated labelers, or from a rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from instructgpt.data.formats import write_records
from instructgpt.data.records import Candidates, Prompt, Ranking
from instructgpt.data.splits import HELD_OUT, split_by_field
from instructgpt.errors import UserError
from instructgpt.label.queued import rankings_by_people, require_store
from instructgpt.label.rankings import description
from instructgpt.label.simulated.audit import trivial_predictors
from instructgpt.label.simulated.rule import rank
from instructgpt.label.simulated.stage import (
    answers_described,
    noise_free,
    rank_by_group,
    require_rankable,
)
from instructgpt.label.simulated.task import Task
from instructgpt.label.terminal import rank_in_terminal, require_terminal
from instructgpt.models.outlook import Looked, Outlook
from instructgpt.pipeline.config import RankConfig
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run
from instructgpt.run.job import Job
from instructgpt.run.outline import Row, counted
from instructgpt.run.progress import say
from instructgpt.run.seeds import permutation


def rank_candidates(config: RankConfig | Resolved[RankConfig], *, stage: str = "rank") -> Run:
    """Write `OUT/rankings.jsonl`, and what is known of the labelers to `OUT/evaluation.json`.

    Raises:
        UserError: people have not ranked yet, or the answers or the rankings cannot be read.
    """
    with Job(stage, config, RankConfig) as job:
        if job.is_done:
            return job.run
        config = job.config
        inputs = look(config, first_round=stage == "rank")
        if config.store and config.by == "people":
            ranked = rankings_by_people(config.store, inputs.candidates, config.per_prompt)
            inputs = replace(inputs, by_people=ranked)
        job.start()
        rankings, evaluation = _rank(config, inputs, job.path, stage)
        write_records(job.path / "rankings.jsonl", rankings)
        job.write_json("evaluation.json", lambda: {"by": config.by, **evaluation})
        return job.finish()


@dataclass(frozen=True)
class Inputs(Looked):
    """All that ranking reads.

    Attributes:
        candidates: the answers, where they are there already.
        prompts: what they answer.
        by_people: the rankings that people made.
        config: the stage's settings.
    """

    candidates: list[Candidates]
    prompts: list[Prompt]
    by_people: list[Ranking]
    config: RankConfig

    @property
    def records(self) -> dict[str, list[Prompt]]:
        """The prompts stand in for the rankings of their answers."""
        return {"rankings.jsonl": [] if self.by_people else self.prompts}

    def outline(self) -> Iterator[Row]:
        """What there is to do, for a dry run."""
        if self.candidates:
            yield "data", answers_described(self.candidates)
        else:
            yield "data", f"the answers to {counted(self.prompts, 'prompt')}"
        if self.by_people:
            yield "rankings", counted(self.by_people, "ranking")
        yield "by", self.config.by


def look(config: RankConfig, outlook: Outlook | None = None, *, first_round: bool = True) -> Inputs:
    """Read and check everything.

    Raises:
        UserError: something cannot be used, or people have not ranked yet.
    """
    outlook = outlook or Outlook()
    candidates = outlook.records("data", config.data, Candidates)
    is_later = any(map(outlook.is_promised, config.data))
    prompts = outlook.records("data", config.data, Prompt) if is_later else _prompts(candidates)
    by_people: list[Ranking] = []
    if config.store:
        require_store("store", config.store)
    if config.by == "people" and not config.store:
        by_people = outlook.records("rankings", config.rankings, Ranking)
        if not is_later:
            by_people = _by_people(config, by_people, candidates, first_round=first_round)
    elif config.by == "simulated":
        require_rankable(candidates)
        for prompt in prompts:
            Task.of(prompt)
    elif config.by == "me" and is_later:
        require_terminal(input)
    elif config.by == "web":
        from instructgpt.label.app.alone import require_port

        require_port(config.port)
    return Inputs(candidates, prompts, by_people, config)


def _prompts(candidates: Sequence[Candidates]) -> list[Prompt]:
    """What the answers are to, with the split."""
    return [
        Prompt(id=queued.prompt_id, prompt=queued.prompt, split=queued.split).at(queued.place)
        for queued in candidates
    ]


def _by_people(
    config: RankConfig,
    rankings: list[Ranking],
    candidates: Sequence[Candidates],
    *,
    first_round: bool,
) -> list[Ranking]:
    """People's rankings of these answers; in the first round also of others, made before.

    Raises:
        UserError: there are none yet.
    """
    queued = {_answers(one) for one in candidates}
    own = [ranking for ranking in rankings if _answers(ranking) in queued]
    if not (own or (rankings and first_round)):
        raise UserError(
            f"rank: people have to rank the answers in {', '.join(config.data)}; give their file "
            "as rank.rankings and run again, or set rank.by to me or simulated"
        )
    return own or rankings


def _answers(candidates: Candidates) -> tuple[str, tuple[str, ...]]:
    """What was answered, in any order."""
    texts = sorted(response.text for response in candidates.responses)
    return candidates.prompt_id, tuple(texts)


def _rank(
    config: RankConfig, inputs: Inputs, folder: Path, stage: str
) -> tuple[list[Ranking], dict[str, Any]]:
    """The rankings, and what the report says of those who made them."""
    candidates, by_people = inputs.candidates, inputs.by_people
    if by_people:
        say(f"rank: {len(by_people)} rankings by people")
        return by_people, {"groups": {"people": description(by_people)}}
    if config.by == "rule":
        say(f"rank: {len(candidates)} prompts ranked by the written rule")
        return [rank(queued) for queued in candidates], {}
    if config.by in ("me", "web"):
        rankings = _ask(config, candidates, folder, stage)
        return rankings, {"groups": {"you": description(rankings)}}
    return _simulate(config, candidates)


def _simulate(
    config: RankConfig, candidates: Sequence[Candidates]
) -> tuple[list[Ranking], dict[str, Any]]:
    """Training labelers rank what is trained on, held-out labelers the held-out split."""
    training, held_out = split_by_field(candidates, HELD_OUT)
    by_group: dict[Literal["training", "heldout"], list[Candidates]] = {
        "training": training,
        "heldout": held_out,
    }
    ranked = {
        group: rank_by_group(config, own, group, config.store)
        for group, own in by_group.items()
        if own
    }
    return [ranking for group in ranked.values() for ranking in group], {
        "groups": {group: description(rankings) for group, rankings in ranked.items()},
        "trivial_predictors": trivial_predictors(candidates, noise_free),
    }


def _ask(
    config: RankConfig, candidates: Sequence[Candidates], folder: Path, stage: str
) -> list[Ranking]:
    """The user's own rankings, of prompts drawn from those that are not held out."""
    usable, _ = split_by_field(candidates, HELD_OUT)
    order = permutation(len(usable), config.seed, "rank/asked")
    asked = [usable[i] for i in order[: config.prompts]]
    if config.by == "web":
        from instructgpt.label.app.alone import rank_in_browser

        session = rank_in_browser(asked, folder, labeler_id="you", port=config.port, stage=stage)
    else:
        session = rank_in_terminal(asked, folder / "own.jsonl", labeler_id="you", seed=config.seed)
    if not session.finished:
        raise KeyboardInterrupt
    if not session.rankings:
        raise UserError(
            "rank: every prompt was skipped; give more with --rank.prompts N, or choose another "
            "--out"
        )
    return session.rankings

"""`label simulate`: simulated labelers rank what `sample` queued."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from instructgpt.data.formats import write_records
from instructgpt.data.records import Candidates, Ranking
from instructgpt.errors import UserError, placed
from instructgpt.label.queued import hand_in, queue_name, require_store
from instructgpt.label.rankings import agreement_of, description, tied_share
from instructgpt.label.simulated.audit import checks_outside_the_rubric, trivial_predictors
from instructgpt.label.simulated.config import LabelConfig, SimulatedLabelers
from instructgpt.label.simulated.labelers import held_out_labelers, simulate, training_labelers
from instructgpt.label.simulated.rubric import quality
from instructgpt.label.simulated.task import Task
from instructgpt.models.outlook import Looked, Outlook
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run
from instructgpt.run.job import Job
from instructgpt.run.outline import Row, counted
from instructgpt.run.progress import say


def simulate_labels(config: LabelConfig | Resolved[LabelConfig]) -> Run:
    """Write `OUT/rankings.jsonl`, and what can be said of the labelers to `OUT/evaluation.json`.

    Raises:
        UserError: the answers cannot be read or ranked, or there are too few labelers.
    """
    with Job("label", config, LabelConfig) as job:
        if job.is_done:
            return job.run
        candidates = look(job.config).candidates
        job.start()
        rankings = rank_by_group(job.config, candidates, job.config.group, job.config.db)
        write_records(job.path / "rankings.jsonl", rankings)
        evaluation = {
            **description(rankings),
            "trivial_predictors": trivial_predictors(candidates, noise_free),
            "outside_the_rubric": _outside_the_rubric(candidates),
        }
        job.write_json("evaluation.json", lambda: evaluation)
        return job.finish()


@dataclass(frozen=True)
class Inputs(Looked):
    """All that simulated labelers read: the answers to rank."""

    candidates: list[Candidates]
    config: LabelConfig

    def outline(self) -> Iterator[Row]:
        """What there is to do, for a dry run."""
        yield "data", answers_described(self.candidates)
        rankings = len(self.candidates) * self.config.per_prompt
        yield "rankings", f"{rankings:,} by {counted(self.config.labelers, 'labeler')}"


def look(config: LabelConfig, outlook: Outlook | None = None) -> Inputs:
    """Read and check everything.

    Raises:
        UserError: something cannot be used; the sentence names its key.
    """
    outlook = outlook or Outlook()
    candidates = outlook.records("data", config.data, Candidates, on_error=config.on_error)
    require_rankable(candidates)
    if config.db:
        require_store("db", config.db)
    return Inputs(candidates, config)


def require_rankable(candidates: Sequence[Candidates]) -> None:
    """Simulated labelers must be able to rank these answers.

    Raises:
        UserError: a prompt has a single answer, or checks that nobody knows.
    """
    for queued in candidates:
        with placed(f"data: {queued.place}" if queued.place else "data"):
            if len(queued.responses) < 2:
                raise UserError(
                    f"prompt {queued.prompt_id} has one answer; sample two or more per prompt"
                )
            Task.of(queued)


def answers_described(candidates: Sequence[Candidates]) -> str:
    """Answers in words, for a dry run."""
    answers = sum(len(queued.responses) for queued in candidates)
    return f"{counted(candidates, 'prompt')}, {counted(answers, 'answer')}"


def rank_by_group(
    config: SimulatedLabelers,
    candidates: Sequence[Candidates],
    group: Literal["training", "heldout"],
    store: str = "",
) -> list[Ranking]:
    """Rankings by the training or by the held-out labelers, handed in through a store if one is
    named; says how well the labelers agree.
    """
    make = training_labelers if group == "training" else held_out_labelers
    labelers = make(config.labelers, noise=config.noise, taste=config.taste)
    rankings = simulate(
        candidates, labelers=labelers, per_prompt=config.per_prompt, seed=config.seed
    )
    if store:
        who = [getattr(config, key) for key in SimulatedLabelers.model_fields]
        name = queue_name(f"simulated-{group}", candidates, who)
        rankings = hand_in(store, name, candidates, rankings)
    agreement = agreement_of(rankings)
    said = f"agreement {agreement}" if agreement else "agreement unknown (one labeler a prompt)"
    say(
        f"label: {len(rankings)} rankings of {len(candidates)} prompts by {len(labelers)} "
        f"simulated {group} labelers; {said}; {tied_share(rankings):.1%} of the pairs tied"
    )
    return rankings


def _outside_the_rubric(candidates: Sequence[Candidates]) -> dict[str, float]:
    answers = [(queued.prompt, r.text) for queued in candidates for r in queued.responses]
    return checks_outside_the_rubric(*zip(*answers, strict=True))


def noise_free(candidates: Candidates) -> list[float]:
    """The rubric's totals of the answers to one prompt."""
    task = Task.of(candidates)
    return [quality(task, r.text, r.finished).total for r in candidates.responses]

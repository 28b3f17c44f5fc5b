"""The `sample` stage: K answers to each prompt, queued for the labelers (section 3.2, step 2)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from instructgpt.data.formats import write_records
from instructgpt.data.records import Candidates, Prompt, Response
from instructgpt.distributed.world import world
from instructgpt.models.facts import ModelFacts
from instructgpt.models.load import pick_device
from instructgpt.models.outlook import Looked, Outlook, described, open_outlook
from instructgpt.models.prompts import Room, prompts_described, prompts_to_answer
from instructgpt.models.text import TextCodec
from instructgpt.pipeline.config import SampleConfig
from instructgpt.rollout.episode import Sample
from instructgpt.rollout.policy import SFTModel
from instructgpt.rollout.sampling import Sampling
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run
from instructgpt.run.disk import write_atomically
from instructgpt.run.job import Job
from instructgpt.run.outline import Row, counted
from instructgpt.run.progress import StageProgress
from instructgpt.run.seeds import derive
from instructgpt.run.streams import read_lines

PROMPTS_AT_A_TIME = 32
PARTIAL, FINAL = "candidates.partial.jsonl", "candidates.jsonl"


def sample(config: SampleConfig | Resolved[SampleConfig], *, stage: str = "sample") -> Run:
    """Write `OUT/candidates.jsonl`; what was sampled before an interruption is kept.

    Raises:
        UserError: the model or the prompts cannot be used.
    """
    with Job(stage, config, SampleConfig, world()) as job:
        if job.is_done:
            return job.run
        inputs = look(job.config)
        job.start_computing(job.config.device)
        _sample_all(job, inputs)
        return job.finish()


@dataclass(frozen=True)
class Inputs(Looked):
    """All that sampling reads.

    Attributes:
        policy: the model that answers.
        prompts: what it answers.
        config: the stage's settings.
    """

    policy: ModelFacts
    prompts: list[Prompt]
    config: SampleConfig

    @property
    def records(self) -> dict[str, list[Prompt]]:
        """The prompts stand in for the answers to them."""
        return {FINAL: self.prompts}

    def outline(self) -> Iterator[Row]:
        """What there is to do, for a dry run."""
        config = self.config
        answers = sum(_count(config, place) for place in range(len(self.prompts)))
        yield "model", described(self.policy)
        yield "data", prompts_described(self.prompts, self.policy.text(config.template))
        yield "answers", f"{answers:,} of at most {counted(config.response_length, 'token')}"
        yield "tokens", f"{answers * config.response_length:,} sampled at most"


def look(config: SampleConfig, outlook: Outlook | None = None) -> Inputs:
    """Read and check everything.

    Raises:
        UserError: something cannot be used; the sentence names its key.
    """
    outlook = open_outlook(config, outlook)
    policy = outlook.model("model", config.model, "policy")
    text = policy.text(config.template)
    room = Room("policy", text, policy.context, config.response_length)
    prompts = prompts_to_answer("data", config.data, config, [room], outlook)
    return Inputs(policy, prompts, config)


def _sample_all(job: Job[SampleConfig], inputs: Inputs) -> None:
    config, stage, prompts = job.config, job.stage, inputs.prompts
    policy = SFTModel(
        config.model,
        inputs.policy.tokenizer,
        template=config.template,
        device=pick_device(config.device),
    )
    job.update({"sampling": policy.sampled_by(config.dtype)})
    ranks, at_a_time = world(), PROMPTS_AT_A_TIME * world().size
    done = ranks.once(lambda: _done_before(job.path / PARTIAL, at_a_time))
    with StageProgress(stage, len(prompts), len(done), phase="sampling") as progress:
        for start in range(len(done), len(prompts), at_a_time):
            answered = ranks.map_shares(
                range(start, min(start + at_a_time, len(prompts))),
                lambda places: _answers(
                    config, policy, [prompts[i] for i in places], places, stage
                ),
            )
            for candidates in answered:
                job.append(PARTIAL, candidates.model_dump(mode="json"))
            job.sync()
            done += answered
            progress.advance(len(done), {})

    def finish() -> None:
        write_records(job.path / FINAL, done)
        (job.path / PARTIAL).unlink(missing_ok=True)

    ranks.once(finish)


def _done_before(path: Path, at_a_time: int) -> list[Candidates]:
    """What an interrupted run has answered, in whole chunks: the answers of a chunk grow together,
    so another cut could round differently.
    """
    rows = read_lines(path, up_to_a_broken_one=True)
    rows = rows[: len(rows) // at_a_time * at_a_time]
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return [Candidates.model_validate(row) for row in rows]


def _answers(
    config: SampleConfig,
    policy: SFTModel,
    prompts: Sequence[Prompt],
    places: Sequence[int],
    stage: str,
) -> list[Candidates]:
    """`places` says where each prompt stands among all: its answers depend on that alone."""
    text, counts = policy.text, [_count(config, place) for place in places]
    tokens = [
        text.prompt(prompt.prompt)
        for prompt, count in zip(prompts, counts, strict=True)
        for _ in range(count)
    ]
    seeds = [
        derive(config.seed, stage, place, k)
        for place, count in zip(places, counts, strict=True)
        for k in range(count)
    ]
    sampling = Sampling(
        config.response_length, config.temperature, config.top_p, config.top_k, text.ends
    )
    samples = policy.sample(tokens, seeds, sampling, slots=config.rollout_slots, dtype=config.dtype)
    settings = {"temperature": config.temperature, "top_p": config.top_p, "top_k": config.top_k}
    responses = (
        Response(
            text=text.decode(sample.tokens),
            model=config.model,
            sampling={**settings, "seed": seed, **_end(text, sample)},
        )
        for sample, seed in zip(samples, seeds, strict=True)
    )
    candidates = []
    for prompt, count in zip(prompts, counts, strict=True):
        fields: dict[str, Any] = {"prompt_id": prompt.id, "prompt": prompt.prompt}
        own = tuple(islice(responses, count))
        candidates.append(Candidates(responses=own, **fields, **prompt.handed_on))
    return candidates


def _end(text: TextCodec, sample: Sample) -> dict[str, Any]:
    """How an answer ended, and at which token where there are several."""
    ended_by = text.ended_by(sample.tokens)
    return {"finished": sample.finished} | ({"ended_by": ended_by} if ended_by else {})


def _count(config: SampleConfig, place: int) -> int:
    """How many answers the prompt at this place gets."""
    spread = max(config.k, config.k_max) - config.k + 1
    return config.k + derive(config.seed, "sample/k", place) % spread

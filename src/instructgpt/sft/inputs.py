"""What an SFT run reads: opened, encoded and checked before the first weight is loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from instructgpt.data.records import Demonstration
from instructgpt.data.splits import split_by_field
from instructgpt.errors import UserError, placed
from instructgpt.models.facts import ModelFacts
from instructgpt.models.outlook import Looked, Outlook, described, open_outlook
from instructgpt.models.prompts import Room, fitting, room_behind
from instructgpt.models.text import TextCodec
from instructgpt.run.outline import Row, counted
from instructgpt.run.plausible import say_large_batch, say_unreached_peak
from instructgpt.run.progress import say, say_skipped
from instructgpt.sft.config import SFTConfig
from instructgpt.sft.data import Example, SFTBatches, encode_all
from instructgpt.training.mix import Pretraining, open_pretraining


@dataclass(frozen=True)
class Inputs(Looked):
    """All that a run reads.

    Attributes:
        policy: the model to start from.
        batches: the demonstrations and the pretraining text, in the order of training.
        held_out: the held-out demonstrations.
        judged: those whose prompts the reward model judges answers to.
        held_out_text: the held-out pretraining text.
        scorer: the reward model that helps to choose a checkpoint.
        template: how prompts become text.
    """

    policy: ModelFacts
    batches: SFTBatches
    held_out: list[Example]
    judged: list[Demonstration]
    held_out_text: Pretraining | None
    scorer: ModelFacts | None
    template: str

    @property
    def models(self) -> dict[str, ModelFacts]:
        """What is known of the models that the run will write."""
        return {"model": self.policy.trained_with(self.template)}

    def outline(self) -> Iterator[Row]:
        """What there is to do, for a dry run."""
        batches = self.batches
        yield "model", described(self.policy)
        if batches.examples:
            yield "data", _size(batches.examples)
        if batches.pretrain:
            yield from batches.pretrain.rows("pretrain_data")
        if self.held_out:
            yield "eval_data", _size(self.held_out)
        if self.held_out_text:
            yield from self.held_out_text.rows("eval_pretrain_data")
        if self.scorer:
            yield "reward_model", f"{described(self.scorer)}; {counted(self.judged, 'prompt')}"
        yield "steps", f"{batches.total_steps:,}, {batches.steps_per_epoch:,} an epoch"
        yield "tokens", f"{batches.total_tokens:,} to be learnt"

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.batches.total_steps


def look(config: SFTConfig, outlook: Outlook | None = None) -> Inputs:
    """Read and check everything.

    Raises:
        UserError: something cannot be used; the sentence names its key.
    """
    outlook = open_outlook(config, outlook)
    if config.pretrain_data and not config.pretrain_fraction:
        say("pretrain_data has no effect while pretrain_fraction is 0 (C.3 has 0.1)")
    policy = outlook.model("model", config.model, "policy")
    text = policy.text(config.template)
    longest = min(config.max_length, policy.context or config.max_length)
    training, records = _records(config, outlook)
    examples = _encoded("data", config, training, text, longest)
    held_key = "data" if config.eval_split else "eval_data"
    held_out = _encoded(held_key, config, records, text, longest)
    scorer, judged = None, []
    if config.reward_model:
        scorer = outlook.model("reward_model", config.reward_model, "scorer")
        rooms = [
            Room("model", text, policy.context, config.response_length),
            room_behind("reward model", scorer, policy, config.template, config.response_length),
        ]
        judged = fitting(held_key, records[: config.reward_prompts], rooms, config.on_error)
    batches = SFTBatches(
        examples,
        _windows("pretrain_data", config, text, longest, "sft/pretraining"),
        config,
    )
    say_unreached_peak(config.warmup, batches.total_steps, "steps")
    say_large_batch(config.batch_size, examples, "demonstrations")
    return Inputs(
        policy,
        batches,
        held_out,
        judged,
        _windows("eval_pretrain_data", config, text, longest, "sft/pretrain_validation"),
        scorer,
        text.template,
    )


def _records(
    config: SFTConfig, outlook: Outlook
) -> tuple[list[Demonstration], list[Demonstration]]:
    """What is trained on, and what is held out.

    Raises:
        UserError: a file or a line cannot be used, or `eval_split` leaves one side empty.
    """
    reading = {"format": config.format, "on_error": config.on_error}
    training = outlook.records("data", config.data, Demonstration, **reading)
    if not config.eval_split:
        return training, outlook.records("eval_data", config.eval_data, Demonstration, **reading)
    training, held = split_by_field(training, config.eval_split)
    if not (training and held):
        raise UserError(
            f"{', '.join(config.data)}: {'all' if held else 'no'} demonstrations have the split "
            f"'{config.eval_split}'; give others, or held-out ones as eval_data"
        )
    return training, held


def _encoded(
    key: str,
    config: SFTConfig,
    records: Sequence[Demonstration],
    text: TextCodec,
    longest: int,
) -> list[Example]:
    if not records:
        return []
    with placed(key):
        examples, skipped = encode_all(
            records,
            text,
            max_length=longest,
            on_long=config.on_long,
            on_error=config.on_error,
            loss=config.loss,
        )
    say_skipped(skipped)
    return examples


def _windows(
    key: str, config: SFTConfig, text: TextCodec, longest: int, stream: str
) -> Pretraining | None:
    length = min(config.pretrain_length, longest)
    with placed(key):
        return open_pretraining(
            getattr(config, key),
            text,
            length,
            seed=config.seed,
            stream=stream,
            on_error=config.on_error,
        )


def _size(examples: Sequence[Example]) -> str:
    lengths = [len(example) for example in examples]
    return (
        f"{counted(examples, 'demonstration')}, {sum(lengths):,} tokens, the longest "
        f"{max(lengths):,}"
    )

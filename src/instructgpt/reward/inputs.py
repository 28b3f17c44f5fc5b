"""What a reward-model run reads: opened, encoded and checked before the first weight is loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from instructgpt.data.records import Demonstration, Prompt, Ranking
from instructgpt.data.splits import split_by_field, split_by_prompt
from instructgpt.errors import UserError, placed
from instructgpt.models.facts import ModelFacts
from instructgpt.models.outlook import Looked, Outlook, described, open_outlook
from instructgpt.models.text import TextCodec
from instructgpt.reward.config import RewardConfig
from instructgpt.reward.data import Comparison, encode_rankings
from instructgpt.run.outline import Row, counted
from instructgpt.run.plausible import say_large_batch, say_unreached_peak
from instructgpt.run.progress import say, say_skipped
from instructgpt.sft.data import encode_all


@dataclass(frozen=True)
class Inputs(Looked):
    """All that a run reads.

    Attributes:
        trunk: a policy whose trunk gets a head, or a reward model to train on.
        training: the rankings that teach something.
        held_out: the held-out rankings.
        demonstrations: the answers whose mean score becomes 0.
        total_steps: optimizer steps of the whole run.
        template: how prompts become text.
    """

    trunk: ModelFacts
    training: list[Comparison]
    held_out: list[Comparison]
    demonstrations: list[Comparison]
    total_steps: int
    template: str

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.total_steps

    @property
    def models(self) -> dict[str, ModelFacts]:
        """What is known of the models that the run will write."""
        return {"model": replace(self.trunk, is_scorer=True).trained_with(self.template)}

    def outline(self) -> Iterator[Row]:
        """What there is to do, for a dry run."""
        yield "model", described(self.trunk)
        if not self.training:
            yield "data", "what the stages before will rank"
        for key, comparisons in (("data", self.training), ("held out", self.held_out)):
            if comparisons:
                rankings = sum(len(c.ranks) for c in comparisons)
                yield key, f"{_size(comparisons)} in {counted(rankings, 'ranking')}"
        if self.demonstrations:
            yield "demonstrations", _size(self.demonstrations)
        if self.training:
            yield "steps", f"{self.steps:,}"


def look(config: RewardConfig, outlook: Outlook | None = None) -> Inputs:
    """Read and check everything.

    Raises:
        UserError: something cannot be used; the sentence names its key.
    """
    outlook = open_outlook(config, outlook)
    trunk = outlook.model("model", config.model, "trunk")
    text = trunk.text(config.template)
    longest = min(config.max_length, trunk.context or config.max_length)
    training, held_out = _comparisons(config, text, longest, outlook)
    steps = -(-len(training) // config.batch_size) * config.epochs
    steps = min(steps, config.max_steps) if config.max_steps else steps
    say_unreached_peak(config.warmup, steps, "steps")
    say_large_batch(config.batch_size, training, "ranked prompts")
    return Inputs(
        trunk,
        training,
        held_out,
        _demonstrations(config, text, longest, outlook),
        steps,
        text.template,
    )


def _comparisons(
    config: RewardConfig, text: TextCodec, longest: int, outlook: Outlook
) -> tuple[list[Comparison], list[Comparison]]:
    """What is trained on, and what is held out."""
    reading = {"format": config.format, "on_error": config.on_error}
    rankings = outlook.records("data", config.data, Ranking, **reading)
    held = outlook.records("eval_data", config.eval_data, Ranking, **reading)
    held_out = _encode("eval_data", config, held, text, longest)
    if promised := [path for path in config.data if outlook.is_promised(path)]:
        _check_prompts(config, outlook.records("data", promised, Prompt), text, longest)
        return [], held_out  # what is not known whole is not parted
    if split := config.eval_split:
        rankings, held = split_by_field(rankings, split)
        if not (held and rankings):
            raise UserError(
                f"{', '.join(config.data)}: {'all' if held else 'no'} rankings have the split "
                f"'{split}'; give others, or hold out a share with --eval_fraction"
            )
        held_out = _encode("data", config, held, text, longest)
    training = _encode("data", config, rankings, text, longest)
    if config.eval_fraction:
        training, held_out = split_by_prompt(training, config.eval_fraction, seed=config.seed)
    return _telling(config, training), held_out


def _check_prompts(
    config: RewardConfig, prompts: Sequence[Prompt], text: TextCodec, longest: int
) -> None:
    """What can be said of rankings that are not made yet: of their prompts."""
    if config.eval_split and prompts and not all(split_by_field(prompts, config.eval_split)):
        splits = {prompt.split for prompt in prompts} - {None}
        there = ", ".join(sorted(map(repr, splits))) or "none"
        raise UserError(
            f"eval_split: '{config.eval_split}' leaves one side empty: the prompts that will be "
            f"ranked have the splits {there}; give others, or hold out a share with eval_fraction"
        )
    for prompt in prompts if config.on_long == "stop" else ():
        with placed(f"data: {prompt.place}"):
            length = len(text.prompt(prompt.prompt))
        if length >= longest:
            raise UserError(
                f"data: {prompt.place}: the prompt alone has {length} tokens of the {longest} that "
                f"fit with an answer; shorten it, or set on_long to skip"
            )


def _encode(
    key: str, config: RewardConfig, rankings: Sequence[Ranking], text: TextCodec, longest: int
) -> list[Comparison]:
    if not rankings:
        return []
    with placed(key):
        comparisons, skipped = encode_rankings(
            rankings,
            text,
            max_length=longest,
            on_long=config.on_long,
            on_error=config.on_error,
        )
    say_skipped(skipped)
    return comparisons


def _telling(config: RewardConfig, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those with a pair to learn from."""
    telling = [c for c in comparisons if c.has_pair or config.ties == "half"]
    if not telling:
        raise UserError(
            f"{', '.join(config.data)}: all answers of every prompt are tied, so there is no pair "
            "to learn from; rank them, or pass --ties half"
        )
    if tied := len(comparisons) - len(telling):
        say(
            f"{tied} prompts whose answers are all tied teach nothing and are left out (ties: drop)"
        )
    return telling


def _demonstrations(
    config: RewardConfig, text: TextCodec, longest: int, outlook: Outlook
) -> list[Comparison]:
    """The labelers' own answers (section 3.5), each a comparison of one."""
    records = outlook.records(
        "demonstrations", config.demonstrations, Demonstration, on_error=config.on_error
    )
    if not records:
        return []
    with placed("demonstrations"):
        examples, skipped = encode_all(
            records,
            text,
            max_length=longest,
            on_long=config.on_long,
            on_error=config.on_error,
        )
    say_skipped(skipped)
    return [Comparison("", example.prompt, [example.response]) for example in examples]


def _size(comparisons: Sequence[Comparison]) -> str:
    answers = [len(c.prompt) + len(response) for c in comparisons for response in c.responses]
    return (
        f"{counted(comparisons, 'prompt')}, {counted(answers, 'answer')}, {sum(answers):,} tokens, "
        f"the longest {max(answers):,}"
    )

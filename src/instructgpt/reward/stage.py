"""The whole reward-model stage: read, train, shift demonstrations to 0, measure, write."""

from collections.abc import Sequence

import torch

from instructgpt.data.cursor import ShuffledCursor
from instructgpt.data.reading import load_records
from instructgpt.data.records import Demonstration, Ranking
from instructgpt.distributed.sharding import full
from instructgpt.distributed.training import TrainingRun
from instructgpt.distributed.world import world
from instructgpt.errors import UserError
from instructgpt.evaluation.stats import Interval
from instructgpt.models.load import (
    context_length,
    is_scorer,
    load_scorer,
    pick_device,
    scalar_head,
)
from instructgpt.reward.config import RewardConfig
from instructgpt.reward.data import Comparison, encode_rankings, split_by_prompt
from instructgpt.reward.head import fit_head
from instructgpt.reward.model import RewardModel
from instructgpt.reward.reading import Reader
from instructgpt.reward.trainer import RewardModelTrainer
from instructgpt.reward.validation import evaluate, judge
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run
from instructgpt.run.progress import say, say_skipped
from instructgpt.sft.data import encode_all
from instructgpt.sft.model import SFTModel


def train(config: RewardConfig | Resolved[RewardConfig], *, stage: str = "reward") -> Run:
    """Run the stage and return its run directory; continues a run that was interrupted.

    Raises:
        UserError: the model or the data cannot be used, or the directory holds another run.
    """
    resolved = config if isinstance(config, Resolved) else Resolved.of(config)
    config = resolved.config
    with TrainingRun(stage, resolved) as run:
        if run.is_done:
            return run.run
        reward = _open(config)
        training, held_out = _comparisons(config, reward)
        trainer = _train_loop(run, reward, training, held_out)
        run.check_finite(trainer.state)
        _set_shift(config, reward)
        _write_evaluation(run, trainer, held_out)
        run.save_model(reward)
        _check_saved_head(run, reward)
        return run.finish()


def _train_loop(
    run: TrainingRun,
    reward: RewardModel,
    training: Sequence[Comparison],
    held_out: Sequence[Comparison],
) -> RewardModelTrainer:
    config: RewardConfig = run.config  # type: ignore[assignment]
    cursor = ShuffledCursor(len(training), seed=config.seed, stream="reward/order")
    in_an_epoch = -(-len(training) // config.batch_size)
    total = in_an_epoch * config.epochs
    total = min(total, config.max_steps) if config.max_steps else total
    trainer = RewardModelTrainer(reward, config, total)
    if config.shared_prefix and not trainer.reader.in_trees:
        say("reward: this architecture reads a row per answer, not the prompt once for all")
    trainer.state.counters["position"] = 0
    run.restore(trainer.state)
    cursor.position = trainer.state.counters["position"]
    if config.fit_head and not trainer.step:
        with run.phase("head"):
            loss = fit_head(reward, training, config)
        say(f"reward: the head alone, fitted on the frozen trunk, reaches a loss of {loss:.3f}")
    state = trainer.state
    run.expect(total, state.updates, in_an_epoch)
    while state.updates < total:
        with run.phase("train"):
            metrics = trainer.train_step(
                [training[i] for i in cursor.take_rest_of_epoch(config.batch_size)]
            )
        if held_out and config.eval_every and state.updates % config.eval_every == 0:
            with run.phase("validation"):
                evaluation = _evaluation(config, reward, held_out)
            if evaluation:
                metrics["reward/validation_accuracy"] = evaluation["accuracy"]["estimate"]
        state.counters["position"] = cursor.position
        run.after_step(trainer.step, state, metrics)
    return trainer


def _open(config: RewardConfig) -> RewardModel:
    """A reward model to train on, or a new head on a policy's trunk."""
    device = pick_device(config.device)
    if is_scorer(config.model):
        return RewardModel(config.model, template=config.template, device=device)
    policy = SFTModel(config.model, template=config.template, device=device)
    return RewardModel(policy, seed=config.seed, depth=config.depth)


def _comparisons(
    config: RewardConfig, reward: RewardModel
) -> tuple[list[Comparison], list[Comparison]]:
    rankings = _load(config, config.data)
    held = _load(config, config.eval_data)
    if split := config.eval_split:
        held = [ranking for ranking in rankings if getattr(ranking, "split", None) == split]
        rankings = [ranking for ranking in rankings if getattr(ranking, "split", None) != split]
        if not (held and rankings):
            raise UserError(
                f"{', '.join(config.data)}: {'all' if held else 'no'} rankings have the split "
                f"'{split}'; give others, or hold out a share with --eval_fraction"
            )
    training = _encode(config, reward, rankings)
    held_out = _encode(config, reward, held) if held else []
    if config.eval_fraction:
        training, held_out = split_by_prompt(training, config.eval_fraction, seed=config.seed)
    telling = [c for c in training if c.has_pair or config.ties == "half"]
    if not telling:
        raise UserError(
            f"{', '.join(config.data)}: all answers of every prompt are tied, so there is no pair "
            "to learn from; rank them, or pass --ties half"
        )
    if tied := len(training) - len(telling):
        say(
            f"{tied} prompts whose answers are all tied teach nothing and are left out (ties: drop)"
        )
    return telling, held_out


def _load(config: RewardConfig, paths: Sequence[str]) -> list[Ranking]:
    return load_records(paths, Ranking, format=config.format, on_error=config.on_error)


def _encode(
    config: RewardConfig, reward: RewardModel, rankings: Sequence[Ranking]
) -> list[Comparison]:
    comparisons, skipped = encode_rankings(
        rankings, reward.text, max_length=_longest(config, reward), on_long=config.on_long
    )
    say_skipped(skipped)
    return comparisons


def _longest(config: RewardConfig, reward: RewardModel) -> int:
    return min(config.max_length, context_length(reward.model.config) or config.max_length)


def _set_shift(config: RewardConfig, reward: RewardModel) -> None:
    """The labelers' demonstrations shall score 0 on average (section 3.5)."""
    reward.shift = 0.0  # a model that is trained on may have one, of its old weights
    demonstrations = load_records(config.demonstrations, Demonstration, on_error=config.on_error)
    if not demonstrations:
        say(
            "no demonstrations given: scores are not shifted (pass --demonstrations to make them "
            "score 0)"
        )
        return
    examples, skipped = encode_all(
        demonstrations, reward.text, max_length=_longest(config, reward), on_long=config.on_long
    )
    say_skipped(skipped)
    reader = Reader(reward, config)
    demonstrated = [Comparison("", example.prompt, [example.response]) for example in examples]
    reward.shift = reader.read_all(demonstrated, reader.scores).mean().item()


def _evaluation(config: RewardConfig, reward: RewardModel, held_out: Sequence[Comparison]) -> dict:
    reader = Reader(reward, config)
    return evaluate(judge(reader.read_all(held_out, reader.scores), held_out))


def _write_evaluation(
    run: TrainingRun, trainer: RewardModelTrainer, held_out: Sequence[Comparison]
) -> None:
    evaluation = _evaluation(trainer.config, trainer.reward, held_out) if held_out else {}
    evaluation["shift"] = trainer.reward.shift
    run.write_json("evaluation.json", evaluation)
    if "accuracy" in evaluation:
        say(f"reward: held-out accuracy {Interval(**evaluation['accuracy'])} untied pairs")


def _check_saved_head(run: TrainingRun, reward: RewardModel) -> None:
    """What was written opens again with the trained head; a lost one would be silent."""
    trained = full(scalar_head(reward.model).weight).cpu()

    def check() -> None:
        saved = scalar_head(load_scorer(run.run.model_path)).weight
        if not torch.equal(saved, trained):
            raise RuntimeError(
                f"{run.run.model_path} has another head than the trained model; likely cause: the "
                "architecture saves its scalar head under another name"
            )

    world().once(check)

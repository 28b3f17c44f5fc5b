"""The whole reward-model stage: read, train, shift demonstrations to 0, measure, write."""

from collections.abc import Sequence
from typing import Any

import torch

from instructgpt.distributed.sharding import full_tensor
from instructgpt.distributed.world import world
from instructgpt.evaluation.stats import Interval
from instructgpt.models.facts import ModelFacts
from instructgpt.models.load import load_scorer, pick_device
from instructgpt.models.parts import scalar_head
from instructgpt.reward.config import RewardConfig
from instructgpt.reward.data import Comparison
from instructgpt.reward.head import fit_head
from instructgpt.reward.inputs import Inputs, look
from instructgpt.reward.model import RewardModel
from instructgpt.reward.reading import ComparisonReader
from instructgpt.reward.trainer import RewardModelTrainer
from instructgpt.reward.validation import evaluate, judge
from instructgpt.rollout.policy import SFTModel
from instructgpt.run.callbacks import Callback
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run
from instructgpt.run.progress import say
from instructgpt.training.cursor import ShuffledCursor
from instructgpt.training.run import TrainingRun

SHOWN = ("reward/loss", "reward/accuracy", "reward/validation_accuracy")
"""The metrics beside the progress bar."""


def train(
    config: RewardConfig | Resolved[RewardConfig],
    *,
    stage: str = "reward",
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Run the stage and return its run directory; continues a run that was interrupted.

    Args:
        config: the settings.
        stage: what the run is called.
        callbacks: are told of steps, samples and the end, and may end the run early.

    Raises:
        UserError: the model or the data cannot be used, or the directory holds another run.
    """
    with TrainingRun(stage, config, RewardConfig, callbacks, shown=SHOWN) as run:
        if run.is_done:
            return run.run
        config, inputs = run.config, look(run.config)
        run.start()
        reward = _open(config, inputs.trunk)
        trainer = _train_loop(run, reward, inputs)
        run.check_finite(trainer.state)
        _set_shift(trainer.reader, inputs.demonstrations)
        _write_evaluation(run, trainer, inputs.held_out)
        run.save_model(reward)
        _check_saved_head(run, reward)
        return run.finish()


def _train_loop(
    run: TrainingRun[RewardConfig], reward: RewardModel, inputs: Inputs
) -> RewardModelTrainer:
    config, training, held_out = run.config, inputs.training, inputs.held_out
    total = inputs.steps
    cursor = ShuffledCursor(len(training), seed=config.seed, stream="reward/order")
    in_an_epoch = -(-len(training) // config.batch_size)
    trainer = RewardModelTrainer(reward, config, total)
    if config.shared_prefix and not trainer.reader.in_trees:
        say("reward: this architecture reads a row per answer, not the prompt once for all")
    trainer.state.counters["position"] = 0
    run.restore(trainer.state)
    cursor.position = trainer.state.counters["position"]
    if config.fit_head and not trainer.step:
        with run.log.phase("head"):
            loss = fit_head(trainer.reader, training)
        say(f"reward: the head alone, fitted on the frozen trunk, reaches a loss of {loss:.3f}")
    state = trainer.state
    run.expect(total, state.updates, in_an_epoch)
    while state.updates < total and not run.stopped_early:
        with run.log.phase("train"):
            metrics = trainer.train_step(
                [training[i] for i in cursor.take_rest_of_epoch(config.batch_size)]
            )
        if held_out and config.eval_every and state.updates % config.eval_every == 0:
            with run.validating():
                evaluation = _evaluation(trainer.reader, held_out)
            if evaluation:
                metrics["reward/validation_accuracy"] = evaluation["accuracy"]["estimate"]
        state.counters["position"] = cursor.position
        run.after_step(trainer.step, state, metrics)
    return trainer


def _open(config: RewardConfig, trunk: ModelFacts) -> RewardModel:
    """A reward model to train on, or a new head on a policy's trunk."""
    how: dict[str, Any] = {"template": config.template, "device": pick_device(config.device)}
    if trunk.is_scorer:
        return RewardModel(config.model, trunk.tokenizer, **how)
    policy = SFTModel(config.model, trunk.tokenizer, **how)
    return RewardModel(policy, seed=config.seed, depth=config.depth)


def _set_shift(reader: ComparisonReader, demonstrations: Sequence[Comparison]) -> None:
    """The labelers' demonstrations shall score 0 on average (section 3.5)."""
    reader.reward.shift = 0.0  # a model that is trained on may have one, of its old weights
    if not demonstrations:
        say(
            "no demonstrations given: scores are not shifted (pass --demonstrations to make them "
            "score 0)"
        )
        return
    reader.reward.shift = reader.read_all(demonstrations, reader.scores).mean().item()


def _evaluation(reader: ComparisonReader, held_out: Sequence[Comparison]) -> dict:
    return evaluate(judge(reader.read_all(held_out, reader.scores), held_out))


def _write_evaluation(
    run: TrainingRun, trainer: RewardModelTrainer, held_out: Sequence[Comparison]
) -> None:
    evaluation = _evaluation(trainer.reader, held_out) if held_out else {}
    evaluation["shift"] = trainer.reward.shift
    run.write_json("evaluation.json", lambda: evaluation)
    if "accuracy" in evaluation:
        say(f"reward: held-out accuracy {Interval(**evaluation['accuracy'])} untied pairs")


def _check_saved_head(run: TrainingRun, reward: RewardModel) -> None:
    """What was written opens again with the trained head; a lost one would be silent."""
    trained = full_tensor(scalar_head(reward.model).weight).cpu()

    def check() -> None:
        saved = scalar_head(load_scorer(run.run.model_path)).weight
        if not torch.equal(saved, trained):
            raise RuntimeError(
                f"{run.run.model_path} has another head than the trained model; likely cause: the "
                "architecture saves its scalar head under another name"
            )

    world().once(check)

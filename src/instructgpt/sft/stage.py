"""The whole SFT stage: read, train, validate, choose a checkpoint, write the model."""

from collections.abc import Sequence

from instructgpt.data.records import plain_text
from instructgpt.distributed.sharding import gathered
from instructgpt.distributed.world import world
from instructgpt.models.load import pick_device
from instructgpt.models.scorer import Scorer
from instructgpt.rollout.policy import SFTModel
from instructgpt.rollout.sampling import Sampling
from instructgpt.run.callbacks import Callback
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run
from instructgpt.run.progress import say
from instructgpt.run.seeds import derive
from instructgpt.sft.config import SFTConfig
from instructgpt.sft.data import SFTBatches, whole_sequence
from instructgpt.sft.inputs import Inputs, look
from instructgpt.sft.trainer import SFTTrainer
from instructgpt.training.run import TrainingRun

SAMPLES_SHOWN = 8
SHOWN = ("sft/loss", "sft/validation_loss")
"""The metrics beside the progress bar."""


def train(
    config: SFTConfig | Resolved[SFTConfig],
    *,
    stage: str = "sft",
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
    shown = [name.replace("sft/", f"{stage}/") for name in SHOWN]
    with TrainingRun(stage, config, SFTConfig, callbacks, shown=shown) as run:
        if run.is_done:
            return run.run
        config, inputs = run.config, look(run.config)
        run.start()
        policy = SFTModel(
            config.model,
            inputs.policy.tokenizer,
            template=config.template,
            device=pick_device(config.device),
        )
        validator = _Validator(config, policy, inputs)
        trainer = SFTTrainer(policy, config, inputs.steps)
        _train_loop(run, trainer, inputs.batches, validator)
        run.check_finite(trainer.state)
        if config.chooses_best and (step := run.take_best(trainer.state)):
            run.update({"selected_step": step, "selected_by": config.selection})
        run.save_model(policy)
        return run.finish()


def _train_loop(
    run: TrainingRun, trainer: SFTTrainer, batches: SFTBatches, validator: "_Validator"
) -> None:
    state = trainer.state
    state.counters["positions"] = batches.positions
    if run.restore(state):
        batches.positions = state.counters["positions"]
    elif trainer.dropout:
        _look_at_dropout(run, trainer, batches)
    run.expect(batches.total_steps, state.updates, batches.steps_per_epoch)
    while state.updates < batches.total_steps and not run.stopped_early:
        line = trainer.step + 1  # in metrics.jsonl; of an update that is left out, the next one
        with run.log.phase("train"):
            metrics = trainer.train_step(batches.next())
        if validator.is_due(state.updates, batches):
            with run.validating():
                metrics |= validator.validate(run, trainer, line)
        state.counters["positions"] = batches.positions
        tokens = int(metrics.get("sft/tokens", 0))
        # One trainer serves both stages; each names its metrics after itself.
        named = {name.replace("sft/", f"{run.stage}/"): value for name, value in metrics.items()}
        run.after_step(trainer.step, state, named, tokens=tokens)


def _look_at_dropout(run: TrainingRun, trainer: SFTTrainer, batches: SFTBatches) -> None:
    """Note in `run.json` what dropout does to the first loss, and say so where it is much."""
    positions = batches.positions
    first = trainer.first_loss(batches.next())
    batches.positions = positions
    run.update({"first_loss": first._asdict()})
    if first.is_far_above:
        say(
            f"{run.stage}: dropout {first.dropout:g} takes the first loss from "
            f"{first.loss_without:.2f} to {first.loss:.2f} nats a token, so the model was not "
            "trained with it; give --dropout 0 to keep what it knows"
        )


class _Validator:
    """Held-out loss and reward score of samples (C.1)."""

    def __init__(self, config: SFTConfig, policy: SFTModel, inputs: Inputs) -> None:
        self.config, self.policy = config, policy
        self.examples, self.records = inputs.held_out, inputs.judged
        self.pretrain = inputs.held_out_text
        self._scorer: Scorer | None = None

    def is_due(self, updates: int, batches: SFTBatches) -> bool:
        every = self.config.eval_every or batches.steps_per_epoch
        return bool(self.examples or self.pretrain) and (
            updates % every == 0 or updates == batches.total_steps
        )

    def validate(self, run: TrainingRun, trainer: SFTTrainer, line: int) -> dict[str, float]:
        """The figures, which go to that line."""
        metrics = (
            {"sft/validation_loss": trainer.validation_loss(self.examples)} if self.examples else {}
        )
        if self.pretrain:
            metrics["sft/pretrain_validation_loss"] = sum(
                share * trainer.validation_loss([whole_sequence(window) for window in text.windows])
                for share, text in self.pretrain.parts
            )
        if self.config.reward_model:
            metrics["sft/reward_score"] = self._reward_score(run, line)
        return metrics

    def _reward_score(self, run: TrainingRun, line: int) -> float:
        """Mean score of a sample per validation prompt, with the same seeds each time."""
        config = self.config
        if self._scorer is None:
            self._scorer = Scorer(
                config.reward_model, template=config.template, device=str(self.policy.device)
            )
            self._scorer.on_long = "truncate"  # its tokenizer may make more of an answer
        prompts = [self.policy.text.prompt(record.prompt) for record in self.records]
        sampling = Sampling(config.response_length, stop_tokens=self.policy.text.ends)
        seeds = [derive(config.seed, "sft/validation", index) for index in range(len(prompts))]
        scorer = self._scorer

        def answered(mine: Sequence[int]) -> list[tuple[str, float]]:
            samples = self.policy.sample(
                [prompts[i] for i in mine], [seeds[i] for i in mine], sampling, dtype=config.dtype
            )
            texts = [self.policy.text.decode(sample.tokens) for sample in samples]
            scores = scorer.score(
                [self.records[i].prompt for i in mine],
                texts,
                finished=[sample.finished for sample in samples],
            )
            return list(zip(texts, scores.tolist(), strict=True))

        reading = gathered([self.policy.model], config, world())
        texts, scores = zip(
            *world().map_shares(range(len(prompts)), answered, reading), strict=True
        )
        for record, text, score in list(zip(self.records, texts, scores, strict=True))[
            :SAMPLES_SHOWN
        ]:
            run.log.sample(
                line, {"prompt": plain_text(record.prompt), "response": text, "score": score}
            )
        return sum(scores) / len(scores)

"""The whole PPO stage: read, train, validate, write the policy, its average and the critic."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from instructgpt.data.records import Prompt, PromptText, plain_text
from instructgpt.distributed.sharding import is_sharded
from instructgpt.models.frozen import KeptOnDisk, hold_as_read
from instructgpt.models.load import pick_device
from instructgpt.models.scorer import Scorer
from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.experience import Experience
from instructgpt.ppo.inputs import Inputs, look
from instructgpt.ppo.model import PPOModel
from instructgpt.ppo.plugin import named_reward
from instructgpt.ppo.trainer import PPOTrainer, Update
from instructgpt.reward.model import RewardModel
from instructgpt.rollout.policy import SFTModel
from instructgpt.run.callbacks import Callback
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run
from instructgpt.run.seeds import derive
from instructgpt.run.tuning import give_back_memory
from instructgpt.training.cursor import ShuffledCursor
from instructgpt.training.run import TrainingRun

SAMPLES_SHOWN = 8
SHOWN = (
    *("objective/scores", "objective/kl", "validation/scores"),
    *("ptx/loss", "ppo/loss/value"),
)
"""The metrics beside the progress bar."""


def train(
    config: PPOConfig | Resolved[PPOConfig],
    *,
    stage: str = "ppo",
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Run the stage and return its run directory; continues a run that was interrupted.

    Args:
        config: the settings.
        stage: what the run is called.
        callbacks: are told of steps, samples and the end, and may end the run early.

    Raises:
        UserError: a model or the data cannot be used, or the directory holds another run.
    """
    with TrainingRun(stage, config, PPOConfig, callbacks, shown=SHOWN) as run:
        if run.is_done:
            return run.run
        config, inputs = run.config, look(run.config)
        run.start()
        ppo = _open(config, inputs)
        kept: list[KeptOnDisk] = []
        trainer = PPOTrainer(ppo, config, phase=partial(_phase, run, kept))
        whole = not is_sharded(ppo.policy.model)
        run.update({"sampling": ppo.policy.sampled_by(config.dtype) if whole else "gathered"})
        kept += _put_away(ppo, config, run)
        _train_loop(run, trainer, inputs, kept)
        run.check_finite(trainer.state)
        _save(run, trainer)
        return run.finish()


def _train_loop(
    run: TrainingRun, trainer: PPOTrainer, inputs: Inputs, frozen: Sequence[KeptOnDisk]
) -> None:
    config, counters = trainer.config, trainer.state.counters
    prompts, held_out, pretraining = inputs.prompts, inputs.held_out, inputs.pretraining
    cursor = ShuffledCursor(len(prompts), seed=config.seed, stream="ppo/prompts")
    counters |= {"prompts": 0, "pretraining": 0}
    run.restore(trainer.state)
    cursor.position = counters["prompts"]
    if pretraining:
        pretraining.position = counters["pretraining"]
    in_an_iteration = config.updates_per_iteration
    run.expect(inputs.steps, trainer.state.updates, in_an_iteration, cycle=in_an_iteration)

    for update in () if run.stopped_early else _updates(trainer, cursor, inputs):
        metrics, experience = update.metrics, update.experience
        if update.prompts:
            _write_samples(run, trainer, update.line, experience, update.prompts, "training")
        episodes = tokens = 0
        if update.is_last:
            episodes, tokens = len(experience), int(experience.response_length_B.sum())
            if held_out and trainer.iteration % config.eval_every == 0:
                with run.validating():
                    metrics |= _validate(run, trainer, update.line, held_out)
                _rest(frozen)
        counters["prompts"] = cursor.position
        counters["pretraining"] = pretraining.position if pretraining else 0
        run.after_step(trainer.step, trainer.state, metrics, tokens=tokens, episodes=episodes)
        if run.stopped_early:
            return


def _updates(trainer: PPOTrainer, cursor: ShuffledCursor, inputs: Inputs) -> Iterator[Update]:
    """Those of all iterations that are left."""
    config, text = trainer.config, inputs.pretraining

    def windows() -> Iterator[list[list[int]]]:
        while True:
            yield text.take(config.ptx_per_update) if text else []

    while trainer.iteration < config.total_iterations:
        is_new = trainer.experience is None
        batch = cursor.take(config.batch_size) if is_new else []
        yield from trainer.iterate([inputs.prompts[i].prompt for i in batch], windows())


def _validate(
    run: TrainingRun, trainer: PPOTrainer, line: int, prompts: Sequence[Prompt]
) -> dict[str, float]:
    """Reward, KL, length and EOS rate on fixed prompts with fixed seeds."""
    seeds = [derive(trainer.config.seed, "ppo/validation", index) for index in range(len(prompts))]
    texts = [prompt.prompt for prompt in prompts]
    experience = trainer.make_experience(texts, seeds)
    _write_samples(run, trainer, line, experience, texts, "validation")
    metrics = experience.metrics(trainer.state.counters["kl_coef"])
    names = ("scores", "kl", "length", "eos_rate")
    return {f"validation/{name}": metrics[f"objective/{name}"] for name in names}


def _write_samples(
    run: TrainingRun,
    trainer: PPOTrainer,
    line: int,
    experience: Experience,
    prompts: Sequence[PromptText],
    kind: str,
) -> None:
    shown = experience.select(range(min(SAMPLES_SHOWN, len(experience))))
    decode = trainer.ppo.policy.text.decode
    rows = zip(
        prompts[: len(shown)],
        shown.responses,
        shown.scores_B.tolist(),
        shown.finished_B.tolist(),
        strict=True,
    )
    for prompt, response, score, finished in rows:
        row = {
            "kind": kind,
            "prompt": plain_text(prompt),
            "response": decode(response),
            "score": score,
            "finished": finished,
        }
        run.log.sample(line, row)


def _open(config: PPOConfig, inputs: Inputs) -> PPOModel:
    how: dict[str, Any] = {"template": config.template, "device": pick_device(config.device)}
    policy = SFTModel(config.model, inputs.policy.tokenizer, **how)
    if inputs.reward_model:
        reward = RewardModel(config.reward_model, inputs.reward_model.tokenizer, **how)
    else:
        reward = named_reward(config.reward)
    critic = Scorer(config.critic, inputs.critic.tokenizer, **how) if inputs.critic else None
    return PPOModel(policy, reward, critic=critic, seed=config.seed)


def _put_away(ppo: PPOModel, config: PPOConfig, run: TrainingRun) -> list[KeptOnDisk]:
    """Reference and reward model take as little memory as they can: an update reads neither."""
    if is_sharded(ppo.policy.model):
        return []
    networks = (ppo.reference, ppo.reward_model)
    frozen = [network.model for network in networks if hasattr(network, "model")]
    for model in frozen:
        hold_as_read(model, config.dtype)
    if ppo.policy.device.type != "cpu":
        return []
    kept = KeptOnDisk(frozen, run.path)
    gc.collect()  # what loading has left refers to itself, and to the weights as they were
    return [kept]


@contextmanager
def _phase(run: TrainingRun, frozen: Sequence[KeptOnDisk], name: str) -> Iterator[None]:
    """A timed phase. Before the frozen weights are read, what sampling and updates used goes back:
    they need the room, and the updates that follow fill it anew, without gaps.
    """
    with run.log.phase(name):
        if name == "experience":
            give_back_memory()
        yield
    if name == "experience":
        _rest(frozen)


def _rest(frozen: Sequence[KeptOnDisk]) -> None:
    for networks in frozen:
        networks.rest()


def _save(run: TrainingRun, trainer: PPOTrainer) -> None:
    """`model/` is the raw policy; `model-ema/` the averaged one; `critic/` the value function."""
    policy = trainer.ppo.policy
    run.save_model(policy)
    run.save_model(trainer.ppo.critic, "critic")
    with torch.no_grad():
        for name, weight in policy.model.named_parameters():
            weight.copy_(trainer.state.averages["policy"][name])
    run.save_model(policy, "model-ema")

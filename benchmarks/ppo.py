"""A PPO iteration: ours, ours with the pretraining mix, TRL's, and the floor.

    python benchmarks/ppo.py --answers fixed ragged

`fixed` has prompts and answers of 64 tokens; `ragged` has prompts of 24 to 104 and answers of 8 to
128 that end by themselves, of the same lengths on all sides. 32 episodes, four minibatches, one
pass. In
float32 every pass of every side is float32. In bfloat16 all our forwards run under autocast, and
of TRL's those that train, which is what its `bf16` means. TRL had PPO up to version 1.12.
"""

import argparse
import copy
import functools
from typing import NoReturn

from floor import TRAINED, MatmulFloor, live_rows
from instructgpt.ppo import PPOConfig, PPOModel, PPOTrainer
from instructgpt.reward import RewardModel
from instructgpt.rollout.policy import SFTModel
from instructgpt.run.seeds import derive
from measure import Turn, compare, parser
from peers import IterationTurns, generate_forced, trl_options
from workload import SETTINGS, as_text, draw_lengths, draw_tokens, forced_lengths, load

MINIBATCHES = 4
MICRO_BATCH = {"fixed": 8, "ragged": 2}
"""Episodes in TRL's training passes at a time, so that it fits beside ours into 24 GB."""
PROMPT = {"fixed": (64, 64), "ragged": (24, 104)}
ANSWER = {"fixed": (64, 64), "ragged": (8, 128)}


def prompts_and_lengths(
    arguments: argparse.Namespace, policy: SFTModel
) -> tuple[list[list[int]], list[int]]:
    """Prompts, and how long each one's answer is; every iteration has the same."""
    lengths = draw_lengths(arguments.episodes, *PROMPT[arguments.answers], seed=1)
    answers = draw_lengths(arguments.episodes, *ANSWER[arguments.answers], seed=2)
    return draw_tokens(lengths, policy, seed=3), answers


def iterate(arguments: argparse.Namespace, turn: Turn, ptx_coef: float) -> NoReturn:
    """`PPOTrainer.train_step`."""
    policy = load(arguments)
    prompts, lengths = prompts_and_lengths(arguments, policy)
    config = PPOConfig(
        **SETTINGS,
        reward_model="-",
        pretrain_data=("-",),
        batch_size=arguments.episodes,
        num_mini_batches=MINIBATCHES,
        dtype=arguments.dtype,
        response_length=ANSWER[arguments.answers][1],
        ptx_coef=ptx_coef,
    )
    windows = arguments.episodes * config.ptx_ratio if ptx_coef else 0
    pretraining = draw_tokens([arguments.ptx_length] * windows, policy, seed=4)
    trainer = PPOTrainer(PPOModel(policy, RewardModel(policy)), config)
    texts = [as_text(prompt) for prompt in prompts]
    while True:
        first = trainer.iteration * arguments.episodes
        seeds = [derive(config.seed, "ppo/episode", first + i) for i in range(arguments.episodes)]
        with forced_lengths(dict(zip(seeds, lengths, strict=True))):
            turn.begin()
            metrics = trainer.train_step(texts, pretraining)
            turn.end(episodes=arguments.episodes)
        if metrics["objective/length"] != sum(lengths) / arguments.episodes:
            raise RuntimeError("the answers are not as long as they were meant to be")


def ours(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """Without the pretraining mix, as TRL's."""
    iterate(arguments, turn, ptx_coef=0.0)


def ours_ptx(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """With 8 pretraining windows an episode (C.4)."""
    iterate(arguments, turn, ptx_coef=27.8)


def trl_trainer(arguments: argparse.Namespace, turn: Turn) -> None:
    """TRL 1.12's `PPOTrainer`."""
    from datasets import Dataset  # pyright: ignore[reportMissingImports]
    from trl.experimental import ppo  # pyright: ignore[reportMissingImports]

    policy = load(arguments, peer=True)
    policy.tokenizer.padding_side = "left"
    prompts, lengths = prompts_and_lengths(arguments, policy)
    judge = RewardModel(policy)
    if arguments.answers == "ragged":
        policy.model.generate = functools.partial(generate_forced, policy, lengths)  # type: ignore[method-assign]
    at_a_time = MICRO_BATCH[arguments.answers]
    trainer = ppo.PPOTrainer(
        args=ppo.PPOConfig(
            per_device_train_batch_size=at_a_time,
            gradient_accumulation_steps=arguments.episodes // at_a_time,
            num_mini_batches=MINIBATCHES,
            num_ppo_epochs=1,
            local_rollout_forward_batch_size=arguments.episodes,
            total_episodes=arguments.episodes * (arguments.rounds + 2),  # one warms up, one is cut
            response_length=ANSWER[arguments.answers][1],
            stop_token="eos" if arguments.answers == "ragged" else None,
            temperature=1.0,
            num_sample_generations=0,
            **trl_options(arguments),
        ),
        processing_class=policy.tokenizer,
        model=policy.model,
        ref_model=copy.deepcopy(policy.model),
        reward_model=judge.model,
        value_model=copy.deepcopy(judge.model),
        train_dataset=Dataset.from_list([{"input_ids": prompt} for prompt in prompts]),
        callbacks=[IterationTurns(turn, steps=MINIBATCHES, episodes=arguments.episodes)],
    )
    # A step for each minibatch: left alone, accelerate makes one of every micro-batch, as its
    # loader is always at its last batch.
    trainer.accelerator.gradient_state.plugin_kwargs.update(
        num_steps=arguments.episodes // MINIBATCHES // at_a_time, sync_with_dataloader=False
    )
    trainer.train()


def floor(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """The matrix products of sampling, of reference, reward model and values, and of training the
    policy and the critic; and the bytes of two optimizers.
    """
    policy = load(arguments)
    prompts, lengths = prompts_and_lengths(arguments, policy)
    prompt_tokens, logits = sum(map(len, prompts)), sum(lengths)
    tokens = prompt_tokens + logits
    products = MatmulFloor(policy, arguments.dtype)
    passes = [(1, logits), (1, 0), (1, 0), (TRAINED, logits), (TRAINED, 0)]
    while True:
        turn.begin()
        seconds = products.seconds(prompt_tokens, live_rows(lengths, arguments.episodes))
        seconds += sum(times * products.passes(tokens, rows) for times, rows in passes)
        seconds += 2 * MINIBATCHES * products.adam_step()
        gflop = products.gflop(prompt_tokens + logits, logits)
        gflop += sum(times * products.gflop(tokens, rows) for times, rows in passes)
        turn.end(seconds=seconds, episodes=arguments.episodes, gflop=gflop)


SIDES = {"ours": ours, "ours-ptx": ours_ptx, "trl": trl_trainer, "floor": floor}

if __name__ == "__main__":
    options = parser("Compares PPO iterations.", SIDES)
    options.add_argument("--answers", nargs="+", choices=list(ANSWER), default=list(ANSWER))
    options.add_argument("--episodes", type=int, default=32)
    options.add_argument("--ptx-length", type=int, default=128, help="tokens a window")
    arguments = options.parse_args()
    for answers in arguments.answers:
        compare(
            "ppo",
            SIDES,
            arguments,
            needs={"trl": "trl.experimental.ppo"},
            answers=answers,
            episodes=arguments.episodes,
            ptx_length=arguments.ptx_length,
        )

"""The three stages on a real language model with real human data: SmolLM2-135M-Instruct, OASST and
QA-Feedback.

    python examples/real_model_real_data.py --data FOLDER --out runs/real

FOLDER holds (other names: edit `FILES`)
  - OASST message trees, one JSON tree a line: prompts, answers by people, ranked by people (K = 2
  to 9);
  - self-instruct's user-oriented tasks: instructions with answers by people;
  - QA-Feedback rows of FineGrainedRLHF: 4 answers and people's preferences between all pairs;
  - prose: JSON lines with a "text", for the pretraining mix.
At least 20 optimizer steps each of SFT, reward model and PPO-ptx; about half an hour on two CPU
cores.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import instructgpt as ig
from instructgpt.data.formats import write_records
from instructgpt.data.jsonl import open_text
from instructgpt.data.records import Demonstration, Message, Prompt, Ranking, Response
from instructgpt.models.smollm2 import smollm2

FILES = {
    "oasst": "comparisons/oasst1_en_trees.jsonl.gz",
    "self_instruct": "demonstrations/self_instruct_user_oriented.jsonl",
    "qa": "comparisons/qa_feedback_k4.jsonl.gz",
    "prose": "pretrain/standardebooks/jane-austen_pride-and-prejudice.jsonl.gz",
    "held_out_prose": "pretrain/standardebooks/mary-shelley_frankenstein.jsonl.gz",
}
PAIRS = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def oasst_rankings(path: Path) -> Iterator[Ranking]:
    """Every assistant reply set of a tree that people ranked, with the conversation before it as
    prompt.
    """

    def walk(node: dict, turns: tuple[Message, ...]) -> Iterator[Ranking]:
        role = "assistant" if node["role"] == "assistant" else "user"
        turns = (*turns, Message(role=role, content=node["text"]))
        ranked = sorted(
            (reply for reply in node.get("replies", []) if reply.get("rank") is not None),
            key=lambda reply: reply["rank"],
        )
        if role == "user" and len(ranked) >= 2:
            yield Ranking(
                prompt=turns,
                responses=tuple(Response(text=reply["text"]) for reply in ranked),
                ranks=tuple(reply["rank"] + 1 for reply in ranked),
                labeler_id="oasst",
            )
        for reply in node.get("replies", []):
            yield from walk(reply, turns)

    for row in rows(path):
        yield from walk(row["prompt"], ())


def qa_rankings(path: Path) -> Iterator[Ranking]:
    """Four answers to a question, ranked by how many of the others each is preferred to (ties stay
    ties).
    """
    for row in rows(path):
        wins = [0.0] * 4
        for (i, j), verdict in zip(PAIRS, row["preference"], strict=True):
            wins[i] += {0: 0.5, 1: 1.0, 2: 0.0}[verdict]
            wins[j] += {0: 0.5, 1: 0.0, 2: 1.0}[verdict]
        yield Ranking(
            prompt=row["question"],
            responses=tuple(Response(text=row[f"prediction {k}"].strip()) for k in range(1, 5)),
            ranks=tuple(1 + sum(other > own for other in wins) for own in wins),
            labeler_id="qa-feedback",
        )


def self_instruct(path: Path) -> Iterator[Demonstration]:
    """Instructions of people with the answers that people wrote."""
    for row in rows(path):
        case = row["instances"][0]
        prompt = row["instruction"] + (f"\n\n{case['input']}" if case["input"] else "")
        yield Demonstration(prompt=prompt, response=case["output"])


def rows(path: Path) -> Iterator[dict]:
    with open_text(path) as file:
        yield from (json.loads(line) for line in file.read().split("\n") if line)


def prepare(data: Path, out: Path) -> dict[str, str]:
    """Convert to records; hold out every fifth prompt."""
    rankings = [*oasst_rankings(data / FILES["oasst"]), *qa_rankings(data / FILES["qa"])]
    short = [r for r in rankings if max(len(answer.text) for answer in r.responses) < 700]
    short = [
        r for r in short if len(r.prompt if isinstance(r.prompt, str) else str(r.prompt)) < 900
    ]
    held_out, training = short[::5], [r for i, r in enumerate(short) if i % 5]
    demos = [
        Demonstration(
            prompt=r.prompt,
            response=min(zip(r.ranks, r.responses, strict=True), key=lambda x: x[0])[1].text,
        )
        for r in training
        if r.labeler_id == "oasst"
    ]
    demos = [
        demo
        for pair in zip_longest(self_instruct(data / FILES["self_instruct"]), demos)
        for demo in pair
        if demo
    ]
    out.mkdir(parents=True, exist_ok=True)
    files = {
        name: str(out / f"{name}.jsonl")
        for name in ("rankings", "held_out", "demos", "eval_demos", "prompts")
    }
    write_records(Path(files["rankings"]), training)
    write_records(Path(files["held_out"]), held_out)
    write_records(Path(files["demos"]), demos[: len(demos) * 5 // 6])
    write_records(Path(files["eval_demos"]), demos[len(demos) * 5 // 6 :])
    write_records(Path(files["prompts"]), [Prompt(prompt=r.prompt) for r in training])
    print(
        f"{len(training)} rankings to train on, {len(held_out)} held out, {len(demos)} "
        f"demonstrations"
    )
    return files | {name: str(data / FILES[name]) for name in ("prose", "held_out_prose")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    parser.add_argument("--model", default="", help="another model directory or Hub id")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    files = prepare(arguments.data, arguments.out / "data")
    model = arguments.model or str(smollm2())
    common = {
        "dtype": arguments.dtype,
        "threads": arguments.threads,
        "micro_batch_tokens": 2048,
        "save_every": 0,
    }

    sft = ig.sft.train(
        ig.SFTConfig.load(
            model=model,
            data=files["demos"],
            eval_data=files["eval_demos"],
            pretrain_data=files["prose"],
            eval_pretrain_data=files["held_out_prose"],
            pretrain_fraction=0.1,
            pretrain_length=128,
            max_length=512,
            on_long="skip",
            max_steps=24,
            epochs=4,
            batch_size=16,
            learning_rate=3e-5,
            eval_every=8,
            dropout=0.0,
            out=str(arguments.out / "1-sft"),
            **common,
        )
    )
    reward = ig.reward.train(
        ig.RewardConfig.load(
            model=str(sft.model_path),
            data=files["rankings"],
            eval_data=files["held_out"],
            demonstrations=files["demos"],
            max_length=512,
            on_long="skip",
            batch_size=12,
            learning_rate=3e-5,
            out=str(arguments.out / "2-reward"),
            **common,
        )
    )
    ppo = ig.ppo.train(
        ig.PPOConfig.load(
            model=str(sft.model_path),
            reward_model=str(reward.model_path),
            data=files["prompts"],
            eval_data=files["held_out"],
            eval_every=3,
            eval_prompts=32,
            pretrain_data=files["prose"],
            total_episodes=192,
            batch_size=32,
            num_mini_batches=4,
            response_length=64,
            kl_coef=0.02,
            learning_rate=1e-5,
            critic_learning_rate=1e-5,
            warmup=2,
            ptx_coef=1.0,
            ptx_ratio=1,
            ptx_length=128,
            grad_ratio_every=4,
            on_error="skip",
            out=str(arguments.out / "3-ppo"),
            **common,
        )
    )
    summarize(sft, reward, ppo)


def summarize(sft: ig.Run, reward: ig.Run, ppo: ig.Run) -> None:
    """The figures of the three runs."""

    def series(run: ig.Run, name: str) -> list[float]:
        return [row[name] for row in run.metrics if name in row]

    def ends(values: list[float], over: int = 4) -> str:
        first, last = (
            sum(values[:over]) / len(values[:over]),
            sum(values[-over:]) / len(values[-over:]),
        )
        return f"{first:.3f} -> {last:.3f}"

    validation = series(sft, "sft/validation_loss")
    print(f"SFT     {len(sft.metrics)} steps, loss {ends(series(sft, 'sft/loss'))}")
    print(f"        validation loss {validation[0]:.3f} -> {validation[-1]:.3f}")
    accuracy = reward.evaluation["accuracy"]
    print(f"reward  {len(reward.metrics)} steps, loss {ends(series(reward, 'reward/loss'))}")
    print(
        f"        held-out accuracy {accuracy['estimate']:.3f} [{accuracy['low']:.3f}, "
        f"{accuracy['high']:.3f}] "
        f"over {accuracy['n']:.0f} pairs; by K: "
        + ", ".join(f"{k}: {v['estimate']:.3f}" for k, v in reward.evaluation["by_k"].items())
    )
    print(f"PPO     {len(ppo.metrics)} steps, score {ends(series(ppo, 'objective/scores'), 1)}")
    print(
        f"        KL {ends(series(ppo, 'objective/kl'), 1)} nats, ptx loss "
        f"{ends(series(ppo, 'ptx/loss'))}"
    )
    print(f"        validation score {ends(series(ppo, 'validation/scores'), 1)}")


if __name__ == "__main__":
    main()

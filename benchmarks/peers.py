"""How peers are made to take turns: TRL's trainers through callbacks, `generate` by its logits.

Axes: B rows, T tokens so far, V vocabulary.
"""

import argparse
import tempfile
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TrainerCallback,
)

from instructgpt.models.rows import pad_rows
from instructgpt.rollout.policy import SFTModel
from measure import Turn


def trl_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings of every TRL trainer: nothing logged or saved, and if tuned no bfloat16 that we do
    not use, no gradient checkpointing.
    """
    options: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(),
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": arguments.device == "cpu",
        "learning_rate": 1e-6,
    }
    if arguments.tuned:
        options |= {"bf16": arguments.dtype == "bfloat16", "gradient_checkpointing": False}
    return options


class StepTurns(TrainerCallback):
    """A turn is an optimizer step: forward, backward, step."""

    def __init__(self, turn: Turn, **facts: float) -> None:
        self.turn, self.facts = turn, facts

    def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """Wait for the turn."""
        self.turn.begin()

    def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Say how it went."""
        self.turn.end(**self.facts)


class IterationTurns(StepTurns):
    """A turn is a PPO iteration of `steps` optimizer steps: TRL's loop tells its start and every
    end.
    """

    def __init__(self, turn: Turn, *, steps: int, **facts: float) -> None:
        super().__init__(turn, **facts)
        self.steps, self.taken = steps, 0

    def on_train_begin(self, *_args: Any, optimizer: Any, **_kwargs: Any) -> None:
        """Wait for the first turn."""

        def count(*_args: Any) -> None:
            self.taken += 1

        plain = getattr(optimizer, "optimizer", optimizer)  # within accelerate's
        plain.register_step_post_hook(count)
        self.turn.begin()

    def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Say how it went, and wait for the next turn.

        Raises:
            RuntimeError: the optimizer took another number of steps.
        """
        if self.taken != self.steps:
            raise RuntimeError(f"{self.taken} optimizer steps an iteration, not {self.steps}")
        self.taken = 0
        self.turn.end(**self.facts)
        self.turn.begin()


class ForcedEnd(LogitsProcessor):
    """Answers end when they are due, and not before.

    Args:
        lengths_B: tokens of each answer, the end token included.
        start: width of the prompts.
        end_token: its id.
    """

    def __init__(self, lengths_B: Tensor, start: int, end_token: int) -> None:
        self.lengths_B, self.start, self.end_token = lengths_B, start, end_token

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The logits [B, V] that follow `input_ids` [B, T], changed in place."""
        is_last_B = self.lengths_B == input_ids.shape[1] - self.start + 1
        scores.masked_fill_(is_last_B[:, None], -torch.inf)
        scores[:, self.end_token] = torch.where(is_last_B, 0.0, -torch.inf)
        return scores


def generate_forced(
    policy: SFTModel, lengths: Sequence[int], *, input_ids: Tensor, **options: Any
) -> Any:
    """`model.generate` with answers of these lengths, one per row.

    Raises:
        RuntimeError: they have other lengths.
    """
    start, end_token = input_ids.shape[1], policy.text.eos
    lengths_B = torch.tensor(lengths, device=input_ids.device)
    ends = LogitsProcessorList([ForcedEnd(lengths_B, start, end_token)])
    family: Any = type(policy.model)  # the model's own `generate` may be this very function
    output = family.generate(policy.model, input_ids=input_ids, logits_processor=ends, **options)
    sequences_BT = output if isinstance(output, Tensor) else output.sequences
    found_B = (sequences_BT[:, start:] == end_token).int().argmax(1) + 1
    if not torch.equal(found_B, lengths_B):
        raise RuntimeError(f"the answers have {found_B.tolist()} tokens instead of {lengths}")
    return output


def sampling(policy: SFTModel, longest: int, end_token: int) -> GenerationConfig:
    """Sampling from the policy itself, up to `longest` tokens."""
    return GenerationConfig(
        do_sample=True,
        top_k=0,
        max_new_tokens=longest,
        eos_token_id=end_token,
        pad_token_id=policy.tokenizer.pad_token_id,
    )


def generate_batches(
    policy: SFTModel, prompts: Sequence[list[int]], lengths: Sequence[int], batch: int
) -> list[list[int]]:
    """Answers of these lengths from `generate`, some prompts at a time."""
    answers: list[list[int]] = []
    for first in range(0, len(prompts), batch):
        some, due = prompts[first : first + batch], lengths[first : first + batch]
        rows = pad_rows(some, [[]] * len(some), device=policy.device, side="left")
        output_BT = generate_forced(
            policy,
            due,
            input_ids=rows.tokens_BT,
            attention_mask=rows.is_token_BT.long(),
            generation_config=sampling(policy, max(due), policy.text.eos),
        )
        new = output_BT[:, rows.tokens_BT.shape[1] :].tolist()
        answers += [row[:length] for row, length in zip(new, due, strict=True)]
    return answers

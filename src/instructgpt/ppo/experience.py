"""Episodes, what is said of them, and the batch with everything the updates need, as tensors.

Axes: B episodes, R response. Prompts and responses are right-padded; their lengths say what is
    real.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from instructgpt.models.rows import is_response
from instructgpt.rollout.episode import Sample


@dataclass(frozen=True)
class Episodes:
    """Answers to prompts, as they were sampled.

    Attributes:
        prompts: what was asked, as text or messages.
        prompt_ids: its tokens.
        samples: the answers.
    """

    prompts: Sequence[Any]
    prompt_ids: Sequence[Sequence[int]]
    samples: Sequence[Sample]

    def select(self, indices: Sequence[int]) -> "Episodes":
        """Some of the episodes."""
        return Episodes(
            [self.prompts[i] for i in indices],
            [self.prompt_ids[i] for i in indices],
            [self.samples[i] for i in indices],
        )

    @property
    def lengths(self) -> list[int]:
        """Tokens of prompt and answer."""
        pairs = zip(self.prompt_ids, self.samples, strict=True)
        return [len(ids) + len(sample.tokens) for ids, sample in pairs]

    @property
    def is_response_BR(self) -> Tensor:  # noqa: N802 - names its axes like every tensor
        """True where a response token stands; on the CPU."""
        lengths_B = torch.tensor([len(sample.tokens) for sample in self.samples])
        return is_response(lengths_B, int(lengths_B.max()))


class Reading(NamedTuple):
    """What the networks say of episodes: a score of each, three numbers of each response token."""

    scores_B: Tensor
    logprobs_BR: Tensor
    ref_logprobs_BR: Tensor
    values_BR: Tensor
    is_response_BR: Tensor


@dataclass(frozen=True)
class Experience:
    """A batch of episodes.

    Attributes:
        prompt_BP: prompt token ids, right-padded.
        prompt_length_B: how many are real.
        response_BR: response token ids, right-padded.
        response_length_B: how many are real (up to and including the end-of-text token, or the
            cut).
        finished_B: whether the answer ended by itself.
        logprobs_BR: of the sampling policy, before any update.
        sampled_logprobs_BR: the same as the sampler saw them, which may run in a lower precision.
        ref_logprobs_BR: of the reference.
        values_BR: V_t, read where token t is predicted, shift subtracted.
        scores_B: r(x, y), any penalty subtracted.
        kl_BR: per-token k1 estimate of KL(π‖π_ref).
        advantages_BR: whitened.
        returns_BR: the value function's targets.
    """

    prompt_BP: Tensor
    prompt_length_B: Tensor
    response_BR: Tensor
    response_length_B: Tensor
    finished_B: Tensor
    logprobs_BR: Tensor
    sampled_logprobs_BR: Tensor
    ref_logprobs_BR: Tensor
    values_BR: Tensor
    scores_B: Tensor
    kl_BR: Tensor
    advantages_BR: Tensor
    returns_BR: Tensor

    @classmethod
    def of(
        cls,
        episodes: Episodes,
        read: Reading,
        kl_BR: Tensor,
        advantages_BR: Tensor,
        returns_BR: Tensor,
    ) -> "Experience":
        """Padded, on the device of what was read."""
        samples, device = episodes.samples, read.scores_B.device
        prompts, answers = episodes.prompt_ids, [sample.tokens for sample in samples]
        return cls(
            pad(prompts, torch.long).to(device),
            torch.tensor(list(map(len, prompts)), device=device),
            pad(answers, torch.long).to(device),
            torch.tensor(list(map(len, answers)), device=device),
            torch.tensor([sample.finished for sample in samples], device=device),
            read.logprobs_BR,
            pad([sample.logprobs for sample in samples], torch.float32).to(device),
            read.ref_logprobs_BR,
            read.values_BR,
            read.scores_B,
            kl_BR,
            advantages_BR,
            returns_BR,
        )

    def __len__(self) -> int:
        return len(self.prompt_BP)

    @property
    def is_response_BR(self) -> Tensor:  # noqa: N802 - names its axes like every tensor
        """True where a response token stands."""
        return is_response(self.response_length_B, self.response_BR.shape[1])

    @cached_property
    def prompts(self) -> list[list[int]]:
        """The prompts' tokens."""
        return _unpadded(self.prompt_BP, self.prompt_length_B)

    @cached_property
    def responses(self) -> list[list[int]]:
        """The responses' tokens."""
        return _unpadded(self.response_BR, self.response_length_B)

    def to_tensors(self) -> dict[str, Tensor]:
        """Every field by name, for a checkpoint in the middle of an iteration."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def select(self, indices: Sequence[int]) -> "Experience":
        """Some of the episodes, as wide as the longest response among them."""
        width = max(len(self.responses[i]) for i in indices)
        return Experience(
            **{
                name: tensor[indices][:, :width] if name.endswith("_BR") else tensor[indices]
                for name, tensor in self.to_tensors().items()
            }
        )

    def metrics(self, kl_coef: float) -> dict[str, float]:
        """The batch's `objective/*` (KL in nats per response)."""
        kl_B = self.kl_BR.sum(1)
        return {
            "objective/kl": kl_B.mean().item(),
            "objective/scores": self.scores_B.mean().item(),
            "objective/rlhf_reward": (self.scores_B - kl_coef * kl_B).mean().item(),
            "objective/entropy": -self.logprobs_BR.sum(1).mean().item(),
            "objective/length": self.response_length_B.float().mean().item(),
            "objective/eos_rate": self.finished_B.float().mean().item(),
        }


def pad(rows: Sequence[Sequence[float] | Tensor], dtype: torch.dtype) -> Tensor:
    """Right-pad with zeros."""
    return torch.nn.utils.rnn.pad_sequence(
        [torch.as_tensor(row, dtype=dtype) for row in rows], batch_first=True
    )


def _unpadded(ids_BX: Tensor, lengths_B: Tensor) -> list[list[int]]:
    rows, lengths = ids_BX.tolist(), lengths_B.tolist()
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]

"""Cheap checks, always on: the policy and its log-probs must agree."""

import math

from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.experience import Experience
from instructgpt.run.tuning import forward_dtype

LOGPROB_GAP = {"float32": 1e-3, "bfloat16": 0.2}
"""How far (nats) the sampler's and the trainer's log-probs of a token may lie apart."""


def check_first_ratio(approxkl: float, ratio_max: float, config: PPOConfig) -> None:
    """Before the first update of an iteration the policy is the one that sampled: the ratio is 1.

    Raises:
        RuntimeError: it is not.
    """
    gap = LOGPROB_GAP[forward_dtype(config.dtype)]
    typical = math.sqrt(2 * approxkl)  # root mean square of the log-ratio
    if typical > gap or math.log(max(ratio_max, 1.0)) > 10 * gap:
        raise RuntimeError(
            f"the first minibatch has a typical log-ratio of {typical:.2g} (largest ratio "
            f"{ratio_max:.4g}) where 1 is due; "
            "likely cause: the sampler and the trainer disagree about the model (positions, "
            "padding, temperature, "
            "or precision: try old_logprobs: trainer)"
        )


def check_first_kl(experience: Experience, config: PPOConfig) -> None:
    """In the first iteration the policy is the reference: their KL per token is 0.

    Raises:
        RuntimeError: it is not.
    """
    per_token = experience.kl_BR.sum() / experience.response_length_B.sum()
    allowed = 1e-4 if forward_dtype(config.dtype) == "float32" else 2e-2
    if not abs(per_token.item()) <= allowed:
        raise RuntimeError(
            f"the first iteration has a KL of {per_token.item():.2g} nats per token from its own "
            f"starting point; likely "
            "cause: the reference is not the model the policy starts from, or NaN in the log-probs"
        )

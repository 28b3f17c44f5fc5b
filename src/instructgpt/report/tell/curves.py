"""The curves a report can draw: which metrics share a figure, and how to read it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """A figure of metrics over steps, drawn if any of them was recorded.

    `metrics` maps each metric to its name in the legend; `reading` says what to look for. Curves
    that are not `key` are folded away.
    """

    title: str
    unit: str
    metrics: dict[str, str]
    reading: str
    reference: float | None = None
    key: bool = False


UNDRAWN = frozenset({"pretrain/tokens", "sft/tokens"})
"""Recorded for scripts; a figure of them says nothing."""

# In the order of the page. A run shows the figures whose metrics it recorded, whatever its stage.
CURVES = (
    Curve(
        "Pretraining loss",
        "loss (nats per token)",
        {"pretrain/loss": "training", "pretrain/validation_loss": "validation"},
        "Next-token loss on plain text.",
        key=True,
    ),
    Curve(
        "SFT loss",
        "loss (nats per token)",
        {
            "sft/loss": "training",
            "sft/validation_loss": "validation",
            "sft/pretrain_validation_loss": "pretraining text, validation",
        },
        "Over the answer's tokens only. A validation curve that turns up means overfitting; "
        "the paper's SFT model does so after one epoch.",
        key=True,
    ),
    Curve(
        "Reward of SFT answers",
        "score",
        {"sft/reward_score": "validation prompts"},
        "The paper picks its SFT checkpoint by this score, not by the loss.",
        key=True,
    ),
    Curve(
        "Ranking loss",
        "loss (nats per pair)",
        {"reward/loss": "training"},
        "A model that cannot tell the answers apart stands at the dashed line, ln 2.",
        0.6931,
        key=True,
    ),
    Curve(
        "Agreement with the rankings",
        "share of pairs",
        {"reward/accuracy": "training", "reward/validation_accuracy": "validation"},
        "Share of pairs in which the preferred answer scores higher; the dashed line is chance.",
        0.5,
        key=True,
    ),
    Curve(
        "Score and reward",
        "score",
        {"objective/scores": "score", "objective/rlhf_reward": "score − β·KL"},
        "The reward model's score of the sampled answers, and what the KL penalty leaves of it.",
        key=True,
    ),
    Curve(
        "KL from the starting model",
        "KL (nats per answer)",
        {
            "objective/kl": "training",
            "objective/kl_k3": "training, k3 estimate",
            "validation/kl": "validation",
        },
        "How far the policy has moved from the model it started from; in the paper, the SFT model.",
        key=True,
    ),
    Curve(
        "Score on validation prompts",
        "score",
        {"validation/scores": "validation"},
        "A fixed set of prompts which the policy is not trained on.",
        key=True,
    ),
    Curve(
        "Answer length",
        "tokens",
        {"objective/length": "training", "validation/length": "validation"},
        "Growing answers can mean that length is being rewarded.",
        key=True,
    ),
    Curve(
        "Finished answers",
        "share",
        {"objective/eos_rate": "training", "validation/eos_rate": "validation"},
        "Share of answers that end by themselves instead of being cut off.",
        key=True,
    ),
    Curve(
        "Entropy",
        "entropy (nats per answer)",
        {"objective/entropy": "policy"},
        "A collapse to zero means that the policy has stopped exploring.",
        key=True,
    ),
    Curve(
        "Policy step size",
        "approximate KL (nats per token)",
        {"ppo/policy/approxkl": "old to new policy"},
        "How far one update moves the policy.",
    ),
    Curve(
        "Clipped tokens",
        "share of tokens",
        {"ppo/policy/clipfrac": "policy"},
        "Share of tokens whose probability ratio met PPO's clip.",
    ),
    Curve(
        "Probability ratio",
        "ratio",
        {"ppo/policy/ratio": "new / old policy", "ppo/policy/ratio_max": "largest"},
        "The mean should stay close to the dashed line at 1.",
        1.0,
    ),
    Curve(
        "Policy loss",
        "loss",
        {"ppo/loss/policy": "policy"},
        "The clipped surrogate; its level means little, its jumps do.",
    ),
    Curve(
        "Value loss",
        "loss (score²)",
        {"ppo/loss/value": "critic"},
        "Half the squared error of the predicted return.",
    ),
    Curve(
        "Variance explained by the critic",
        "share",
        {"ppo/val/var_explained": "critic"},
        "1 is a perfect critic; the dashed line at 0 is one that predicts the mean.",
        0.0,
    ),
    Curve(
        "Pretraining mix loss",
        "loss (nats per token)",
        {"ptx/loss": "pretraining text"},
        "Next-token loss on the text mixed in (PPO-ptx); a rise means that the policy forgets.",
        key=True,
    ),
    Curve(
        "Weight of the pretraining gradient",
        "ratio of norms",
        {"ptx/grad_ratio": "‖γ·ptx‖ / ‖PPO‖"},
        "The norm of the pretraining gradient over that of PPO.",
    ),
    Curve(
        "Rollout gap",
        "largest log-prob difference (nats)",
        {"ppo/rollout_gap": "sampler against trainer"},
        "Of an iteration's first minibatch, before its first step: float rounding, about 1e-6 in "
        "float32 and up to 0.2 in bfloat16.",
    ),
    Curve(
        "KL coefficient",
        "β",
        {"objective/kl_coef": "β"},
        "Fixed in the paper; moves only when kl_target is set.",
    ),
    Curve(
        "Learning rate",
        "learning rate",
        {
            "pretrain/learning_rate": "pretraining",
            "sft/learning_rate": "SFT",
            "reward/learning_rate": "reward",
            "ppo/policy/learning_rate": "policy",
            "ppo/critic/learning_rate": "critic",
        },
        "As the schedule set it.",
    ),
    Curve(
        "Gradient norm",
        "norm before clipping",
        {
            "pretrain/grad_norm": "pretraining",
            "sft/grad_norm": "SFT",
            "reward/grad_norm": "reward",
            "ppo/policy/grad_norm": "policy",
            "ppo/critic/grad_norm": "critic",
        },
        "Spikes point at the batches that upset the training.",
    ),
)

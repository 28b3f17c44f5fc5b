"""The rollout engine: answers and their log-probabilities, sampled from a policy."""

from instructgpt.rollout.engine import RolloutEngine
from instructgpt.rollout.episode import Sample
from instructgpt.rollout.sampling import Sampling

__all__ = ["RolloutEngine", "Sample", "Sampling"]

"""The rollout engine: answers and their log-probabilities, sampled from a policy."""

from instructgpt.rollout.engine import RolloutEngine, Sample
from instructgpt.rollout.sampling import Sampling

__all__ = ["RolloutEngine", "Sample", "Sampling"]

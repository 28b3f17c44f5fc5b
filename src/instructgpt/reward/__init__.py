"""Stage 2: the reward model, trained on all pairs of each ranking (eq. 1; appendix C.2)."""

from typing import TYPE_CHECKING

from instructgpt._lazy import lazy

if TYPE_CHECKING:
    from instructgpt.reward.config import RewardConfig as RewardConfig
    from instructgpt.reward.data import Comparison as Comparison
    from instructgpt.reward.model import RewardModel as RewardModel
    from instructgpt.reward.stage import train as train
    from instructgpt.reward.trainer import RewardModelTrainer as RewardModelTrainer

__all__ = [
    "Comparison",
    "RewardConfig",
    "RewardModel",
    "RewardModelTrainer",
    "train",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "Comparison": "data",
        "RewardConfig": "config",
        "RewardModel": "model",
        "RewardModelTrainer": "trainer",
        "train": "stage",
    },
)

"""Stage 3: PPO with a KL penalty and pretraining mix (section 3.5, eq. 2; appendix C.4)."""

from typing import TYPE_CHECKING

from instructgpt._lazy import lazy

if TYPE_CHECKING:
    from instructgpt.ppo.config import PPOConfig as PPOConfig
    from instructgpt.ppo.model import PPOModel as PPOModel
    from instructgpt.ppo.stage import train as train
    from instructgpt.ppo.trainer import PPOTrainer as PPOTrainer

__all__ = [
    "PPOConfig",
    "PPOModel",
    "PPOTrainer",
    "train",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "PPOConfig": "config",
        "PPOModel": "model",
        "PPOTrainer": "trainer",
        "train": "stage",
    },
)

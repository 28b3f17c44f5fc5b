"""InstructGPT (arXiv 2203.02155): SFT, reward modelling from rankings, PPO-ptx, and the loop around them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instructgpt import evaluation as evaluation
    from instructgpt import ppo as ppo
    from instructgpt import reward as reward
    from instructgpt import sft as sft
    from instructgpt.errors import UserError as UserError
    from instructgpt.ppo import PPOConfig as PPOConfig
    from instructgpt.ppo import PPOModel as PPOModel
    from instructgpt.ppo import PPOTrainer as PPOTrainer
    from instructgpt.reward import RewardConfig as RewardConfig
    from instructgpt.reward import RewardModel as RewardModel
    from instructgpt.reward import RewardModelTrainer as RewardModelTrainer
    from instructgpt.run.directory import Run as Run
    from instructgpt.sft import SFTConfig as SFTConfig
    from instructgpt.sft import SFTModel as SFTModel
    from instructgpt.sft import SFTTrainer as SFTTrainer

_HOME = {
    "PPOConfig": "ppo",
    "PPOModel": "ppo",
    "PPOTrainer": "ppo",
    "RewardConfig": "reward",
    "RewardModel": "reward",
    "RewardModelTrainer": "reward",
    "Run": "run.directory",
    "SFTConfig": "sft",
    "SFTModel": "sft",
    "SFTTrainer": "sft",
    "UserError": "errors",
}
_ROOMS = ("evaluation", "ppo", "reward", "sft")

__all__ = [
    "PPOConfig",
    "PPOModel",
    "PPOTrainer",
    "RewardConfig",
    "RewardModel",
    "RewardModelTrainer",
    "Run",
    "SFTConfig",
    "SFTModel",
    "SFTTrainer",
    "UserError",
    "evaluation",
    "ppo",
    "reward",
    "sft",
]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `instructgpt -h` does not wait for torch."""
    from importlib import import_module

    if name in _ROOMS:
        return import_module(f"instructgpt.{name}")
    if name in _HOME:
        return getattr(import_module(f"instructgpt.{_HOME[name]}"), name)
    raise AttributeError(f"module 'instructgpt' has no attribute '{name}'")

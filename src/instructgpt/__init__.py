"""InstructGPT (arXiv 2203.02155): SFT, reward modelling from rankings, PPO-ptx, and the loop."""

from typing import TYPE_CHECKING

from instructgpt._lazy import lazy

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
    from instructgpt.run.callbacks import Callback as Callback
    from instructgpt.run.callbacks import EarlyStopping as EarlyStopping
    from instructgpt.run.directory import Run as Run
    from instructgpt.sft import SFTConfig as SFTConfig
    from instructgpt.sft import SFTModel as SFTModel
    from instructgpt.sft import SFTTrainer as SFTTrainer
    from instructgpt.version import __version__ as __version__

__all__ = [
    "Callback",
    "EarlyStopping",
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
    "__version__",
    "evaluation",
    "ppo",
    "reward",
    "sft",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "Callback": "run.callbacks",
        "EarlyStopping": "run.callbacks",
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
        "__version__": "version",
        "evaluation": "",
        "ppo": "",
        "reward": "",
        "sft": "",
    },
)

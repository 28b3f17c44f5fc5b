"""Stage 3: PPO against the reward model, with a per-token KL penalty and pretraining mix (section 3.5, eq. 2)."""

from instructgpt.ppo.config import PPOConfig as PPOConfig
from instructgpt.ppo.model import PPOModel as PPOModel
from instructgpt.ppo.stage import train as train
from instructgpt.ppo.trainer import PPOTrainer as PPOTrainer

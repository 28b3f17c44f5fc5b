"""Stage 1: supervised fine-tuning on demonstrations (section 3.5; appendices C.1 and C.3)."""

from typing import TYPE_CHECKING

from instructgpt._lazy import lazy

if TYPE_CHECKING:
    from instructgpt.rollout.episode import Completion as Completion
    from instructgpt.rollout.policy import SFTModel as SFTModel
    from instructgpt.sft.config import SFTConfig as SFTConfig
    from instructgpt.sft.data import Example as Example
    from instructgpt.sft.data import SFTBatches as SFTBatches
    from instructgpt.sft.stage import train as train
    from instructgpt.sft.trainer import SFTTrainer as SFTTrainer

__all__ = [
    "Completion",
    "Example",
    "SFTBatches",
    "SFTConfig",
    "SFTModel",
    "SFTTrainer",
    "train",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "Completion": ".rollout.episode",
        "Example": "data",
        "SFTBatches": "data",
        "SFTConfig": "config",
        "SFTModel": ".rollout.policy",
        "SFTTrainer": "trainer",
        "train": "stage",
    },
)

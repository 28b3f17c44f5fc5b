"""Stage 1: supervised fine-tuning on demonstrations (section 3.5; appendices C.1 and C.3)."""

from instructgpt.sft.config import SFTConfig as SFTConfig
from instructgpt.sft.data import Example as Example
from instructgpt.sft.model import Completion as Completion
from instructgpt.sft.model import SFTModel as SFTModel
from instructgpt.sft.stage import train as train
from instructgpt.sft.trainer import SFTTrainer as SFTTrainer

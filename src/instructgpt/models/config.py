"""GPT-3's shapes (Brown 2020, table 2.1), and what can be set when a model is made from scratch."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from instructgpt.run.config import Config
from instructgpt.run.inputs import Prose, Reads


class Shape(NamedTuple):
    """Layers, model width, attention heads, context and the window of the local layers."""

    layers: int
    width: int
    heads: int
    context: int = 2048
    window: int = 256


SHAPES = {
    "gpt3-tiny": Shape(4, 128, 4, context=256, window=64),
    "gpt3-125m": Shape(12, 768, 12),
    "gpt3-350m": Shape(24, 1024, 16),
    "gpt3-760m": Shape(24, 1536, 16),
    "gpt3-1.3b": Shape(24, 2048, 16),
    "gpt3-2.7b": Shape(32, 2560, 32),
    "gpt3-6.7b": Shape(32, 4096, 32),
    "gpt3-13b": Shape(40, 5120, 40),
    "gpt3-175b": Shape(96, 12288, 96),
}
"""Table 2.1, except: 1.3B has 16 heads (24 of 128 would not make 2048), 13B has width 5120 (5140 is
not 40 heads of any whole size). `gpt3-tiny` is ours, for tests and the tiny pipeline.
"""


class InitConfig(Config):
    """Configuration of the `init` command."""

    preset: str = Field("gpt3-125m", description=f"preset: {', '.join(SHAPES)}")
    out: str = Field(description="run directory to write; the model goes to OUT/model")
    seed: int = Field(0, ge=0, description="decides the weights")
    tokenizer: Annotated[str, Reads("tokenizer")] = Field(
        "", description="take the tokenizer of this model (a directory or a Hub id)"
    )
    tokenizer_data: Prose = Field(
        ("shipped:prose",),
        description="otherwise train a byte-level one on this text (.txt or .jsonl)",
    )
    vocab_size: int = Field(50_257, ge=300, description="size of a trained tokenizer, at most")
    resume: Literal["auto", "never"] = Field(
        "auto", description="auto: keep a finished model; never: refuse"
    )

"""What can be set when models are measured on benchmarks."""

from typing import Annotated, Literal

from pydantic import Field

from instructgpt.run.config import Config, Device
from instructgpt.run.inputs import Mendable, Policies, Reads
from instructgpt.run.paths import Paths


class MeasuringConfig(Config):
    """What `eval` and `eval suite` have in common."""

    models: Policies = Field(description="policies that are measured")
    names: Paths = Field((), description="what the results call them, in order (empty: by path)")
    tasks: Paths = Field(
        ("all",),
        description="tasks, parted by commas or the flag repeated; all, or your own module:class",
    )
    data_dir: str = Field(
        "", description="folder that has the benchmarks' own files, at any depth, gzipped or not"
    )
    out: str = Field(
        "runs/benchmarks", description="run directory; the figures go to OUT/results.json"
    )
    shots: int = Field(0, ge=0, description="few-shot examples before each query")
    limit: int | None = Field(
        None, ge=1, description="score so many items of each task (null: all)"
    )
    seed: int = Field(0, ge=0, description="decides which items `limit` takes and what is shown")
    template: str = Field(
        "plain",
        description="how a task's text reaches the model: plain (as it is), auto, chat, or a "
        "pattern with {prompt}",
    )
    truth_judge: Annotated[str, Reads("verdict"), Mendable("later")] = Field(
        "", description="who says whether an answer is true: a model trained to say yes or no"
    )
    info_judge: Annotated[str, Reads("verdict"), Mendable("later")] = Field(
        "", description="who says whether an answer informs: such a model"
    )
    toxicity_judge: Annotated[str, Reads("verdict"), Mendable("later")] = Field(
        "",
        description="who says whether a text is toxic: such a model, a classifier with a label "
        "toxic, or an http address that answers as OpenAI's moderation does",
    )
    device: Device = Field("auto", description="cpu, cuda, cuda:N, or auto")
    dtype: Literal["float32", "bfloat16", "auto"] = Field(
        "float32", description="precision of the forward pass"
    )
    micro_batch_tokens: int = Field(
        0, ge=0, description="padded tokens per forward pass (0: what suits the device)"
    )
    rollout_slots: int = Field(
        64, ge=1, description="texts that grow at a time; a hardware setting"
    )
    resume: Literal["auto", "never"] = Field(
        "auto", description="auto: go on where a run was stopped; never: refuse"
    )

    @property
    def all_shots(self) -> tuple[int, ...]:
        """Every number of examples with which a task is measured."""
        return (self.shots,)


class BenchmarkConfig(MeasuringConfig):
    """Configuration of `eval`."""


class SuiteConfig(MeasuringConfig):
    """Configuration of `eval suite`: all of table 14, without examples and with some."""

    out: str = Field("runs/suite", description="run directory; table 14 goes to OUT/table.html")
    shots: int = Field(
        5, ge=1, description="few-shot examples before each query; it is measured without too"
    )

    @property
    def all_shots(self) -> tuple[int, ...]:
        """Without examples, and with some."""
        return (0, self.shots)

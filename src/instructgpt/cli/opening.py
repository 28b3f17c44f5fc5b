"""The flags with which `generate`, `chat` and `score` open a model and sample from it."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from instructgpt.cli.groups import AMOUNT, HARDWARE, METHOD, NEEDED, READS, RUN
from instructgpt.models.missing import require_found
from instructgpt.pipeline.config import SampleConfig
from instructgpt.run.config import resolve

LONGEST = 256
"""Tokens of an answer, where nobody says."""
Model = Annotated[
    str, Parameter(metavar="MODEL", group=NEEDED, help="a model directory or a Hub id")
]


@Parameter(name="*")
@dataclass(frozen=True)
class OpeningFlags:
    """How a model is opened."""

    template: Annotated[
        str,
        Parameter(
            metavar="TEXT",
            group=READS,
            help="how a prompt becomes text: auto, chat, plain, or a pattern with {prompt}",
        ),
    ] = "auto"
    device: Annotated[
        str, Parameter(metavar="TEXT", group=HARDWARE, help="cpu, cuda, cuda:N, or auto")
    ] = "auto"

    def check(self, model: str) -> None:
        """Refuse what `sample` refuses, and a model that is not there, before the seconds that it
        takes to import what opens it.
        """
        resolve(SampleConfig, flags={"model": "-", "data": "-", "out": "-", **asdict(self)})
        require_found(model)

    def place(self) -> str:
        """The device, tuned for this machine."""
        from instructgpt.models.load import pick_device
        from instructgpt.run.tuning import choose

        choose(0, None, "", device=self.device)
        return pick_device(self.device)


@Parameter(name="*")
@dataclass(frozen=True)
class SamplingFlags(OpeningFlags):
    """How a policy is opened and sampled from."""

    response_length: Annotated[
        int | None,
        Parameter(
            name=["--response_length", "--max_new_tokens", "--max_tokens"],
            group=AMOUNT,
            help="longest answer in tokens (default: 256, or half of the model's context)",
        ),
    ] = None
    temperature: Annotated[
        float,
        Parameter(
            metavar="NUMBER",
            group=METHOD,
            help="1 is the policy itself, 0 takes the likeliest token",
        ),
    ] = 1.0
    top_p: Annotated[
        float,
        Parameter(
            name="--top_p",
            metavar="NUMBER",
            group=METHOD,
            help="keep the likeliest tokens up to this mass",
        ),
    ] = 1.0
    top_k: Annotated[
        int, Parameter(name="--top_k", group=METHOD, help="keep so many likeliest tokens (0: all)")
    ] = 0
    seed: Annotated[int, Parameter(group=RUN, help="decides the samples")] = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What `generate` of a policy takes."""
        return {"temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k}

    def length(self, context: int | None) -> int:
        """How long an answer may be: half of a small model's context is left for the prompt."""
        return self.response_length or min(LONGEST, (context or 2 * LONGEST) // 2)

"""The `init` stage: a GPT-3-architecture model from scratch, with its tokenizer."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GPTNeoForCausalLM

from instructgpt.errors import UserError
from instructgpt.models.card import about, card
from instructgpt.models.config import SHAPES, InitConfig
from instructgpt.models.facts import ModelFacts
from instructgpt.models.fit import rows_needed
from instructgpt.models.gpt3 import gpt3_config, gpt3_model, train_tokenizer
from instructgpt.models.outlook import Looked, Outlook, described
from instructgpt.models.text import TextCodec
from instructgpt.models.writing import save_model
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run
from instructgpt.run.job import Job
from instructgpt.run.outline import Row, counted
from instructgpt.run.presets import nearest
from instructgpt.run.progress import say


def init(config: InitConfig | Resolved[InitConfig]) -> Run:
    """Write a model with random weights to `OUT/model`.

    Raises:
        UserError: an unknown preset, or a tokenizer that does not open.
    """
    with Job("init", config, InitConfig) as job:
        if job.is_done:
            return job.run
        config, inputs = job.config, look(job.config)
        job.start()
        tokenizer = inputs.model.tokenizer
        model = gpt3_model(SHAPES[config.preset], tokenizer, seed=config.seed)
        said = card(model, TextCodec(tokenizer), about("init", config))
        save_model(model, tokenizer, job.run.model_path, card=said)
        size = f"{inputs.model.parameters / 1e6:.1f} M parameters, {len(tokenizer)} tokens"
        say(f"init: {config.preset}, {size} -> {job.run.model_path}")
        return job.finish()


@dataclass(frozen=True)
class Inputs(Looked):
    """All that is read for a new model.

    Attributes:
        model: what is to be made.
        documents: the text that the tokenizer was trained on; none where a model's is taken.
    """

    model: ModelFacts
    documents: list[str]

    @property
    def models(self) -> dict[str, ModelFacts]:
        """What will be written."""
        return {"model": self.model}

    def outline(self) -> Iterator[Row]:
        """What there is to do, for a dry run."""
        if self.documents:
            yield "tokenizer_data", counted(self.documents, "document")
        yield "tokenizer", counted(self.model.rows, "token")
        yield "model", described(self.model)


def look(config: InitConfig, outlook: Outlook | None = None) -> Inputs:
    """Read and check everything; the tokenizer is trained here, because it may come to nothing.

    Raises:
        UserError: something cannot be used; the sentence names its key.
    """
    outlook = outlook or Outlook()
    if config.preset not in SHAPES:
        raise UserError(
            f"preset: '{config.preset}' is unknown{nearest(config.preset, SHAPES)}; choose one of "
            f"{', '.join(SHAPES)}"
        )
    documents: list[str] = []
    if config.tokenizer:
        tokenizer = outlook.model("tokenizer", config.tokenizer, "tokenizer").tokenizer
    else:
        documents = outlook.documents("tokenizer_data", config.tokenizer_data)
        tokenizer = train_tokenizer(documents, config.vocab_size)
    shape = gpt3_config(SHAPES[config.preset], tokenizer)
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in GPTNeoForCausalLM(shape).parameters())
    path = Path(config.out, "model")
    facts = ModelFacts(
        path=str(path),
        folder=path,
        config=shape,
        tokenizer=tokenizer,
        is_scorer=False,
        context=SHAPES[config.preset].context,
        rows=rows_needed(tokenizer),
        parameters=parameters,
    )
    return Inputs(facts, documents)

"""The `init` stage: a GPT-3-architecture model from scratch, with its tokenizer."""

from instructgpt.data.reading import load_documents
from instructgpt.errors import UserError
from instructgpt.models.config import SHAPES, InitConfig
from instructgpt.models.gpt3 import gpt3_model, train_tokenizer
from instructgpt.models.load import load_tokenizer, save_model
from instructgpt.run.config import Resolved, nearest
from instructgpt.run.directory import Run, RunDirectory
from instructgpt.run.progress import say


def init(config: InitConfig | Resolved[InitConfig]) -> Run:
    """Write a model with random weights to `OUT/model`.

    Raises:
        UserError: an unknown preset, or a tokenizer that does not open.
    """
    resolved = config if isinstance(config, Resolved) else Resolved.of(config)
    config = resolved.config
    if config.preset not in SHAPES:
        raise UserError(
            f"preset: '{config.preset}' is unknown{nearest(config.preset, SHAPES)}; choose one of "
            f"{', '.join(SHAPES)}"
        )
    with RunDirectory(config.out, "init", resolved) as directory:
        run = Run(directory.path)
        if directory.is_done:
            say(f"init: {directory.path} is already finished; nothing to do")
            return run
        directory.start()
        if config.tokenizer:
            tokenizer = load_tokenizer(config.tokenizer)
        else:
            tokenizer = train_tokenizer(load_documents(config.tokenizer_data), config.vocab_size)
        model = gpt3_model(SHAPES[config.preset], tokenizer, seed=config.seed)
        save_model(model, tokenizer, run.model_path)
        parameters = sum(weight.numel() for weight in model.parameters())
        say(
            f"init: {config.preset}, {parameters / 1e6:.1f} M parameters, {len(tokenizer)} tokens "
            f"-> {run.model_path}"
        )
        directory.finish()
        return run

"""Where a model is, what kind it is, its configuration and its tokenizer: all that opens without
weights.

A model is a Hugging Face directory, or a Hub id, which becomes the directory of its files in the
Hub's cache. Nothing that transformers says on the way reaches the user: one sentence of ours does.
"""

import functools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    IncompleteSnapshotError,
    RepositoryNotFoundError,
)
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers import __version__ as transformers_version
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.utils import logging as transformers_logging

from instructgpt.errors import UserError
from instructgpt.models.missing import ADAPTER, CONFIG, adapter, is_model, no_model, require_found
from instructgpt.models.tokens import differing_ids
from instructgpt.run import files
from instructgpt.run.presets import nearest
from instructgpt.run.progress import say

transformers_logging.disable_progress_bar()

MOST_LAYERS = 10_000
HUB_SECONDS = 5.0
"""How long the Hub may take to say whether it has a model."""
SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "README.md"]
WEIGHT_FILES = ["model.safetensors", "model-*.safetensors"]
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "*.tiktoken",
)


def model_folder(path: str | Path, *, weights: bool = False) -> Path:
    """The directory of a model; a Hub id's files are fetched, its weights only if asked for.

    Raises:
        UserError: there is none, or it is an adapter's.
    """
    require_found(path)
    folder = Path(path)
    if not is_model(folder):
        folder = _from_hub(str(path), weights=weights)
        if (folder / ADAPTER).is_file():
            raise adapter(path)
    return folder


def load_config(path: str | Path) -> PreTrainedConfig:
    """The configuration of a model.

    Raises:
        UserError: there is no model, its configuration is broken, or of an architecture that
            transformers does not know.
    """
    content = read_json(model_folder(path) / CONFIG)
    architectures = content.get("architectures")
    if not isinstance(architectures, list | None) or not all(
        isinstance(name, str) for name in architectures or []
    ):
        raise UserError(
            f"{path}: 'architectures' of {CONFIG} is {files.shortened(architectures)}, not a list "
            "of names; correct it"
        )
    kind = content.get("model_type")
    if not isinstance(kind, str):
        raise UserError(f"{path}: {CONFIG} names no model_type; give a model's directory")
    if kind not in CONFIG_MAPPING:
        if "auto_map" in content:
            raise UserError(
                f"{path}: the architecture '{kind}' needs code that comes with the model "
                f"(trust_remote_code), which is not run; give a model that transformers knows"
            )
        raise UserError(
            f"{path}: transformers {transformers_version} knows no model_type '{kind}'"
            f"{nearest(kind, CONFIG_MAPPING)}; correct {CONFIG} or install a newer transformers"
        )
    if (layers := _layers(content)) > MOST_LAYERS:
        raise UserError(f"{path}: {CONFIG} has {layers:,} layers, which no model has; correct it")
    if method := content.get("quantization_config"):
        name = method.get("quant_method", "") if isinstance(method, dict) else ""
        raise UserError(
            f"{path}: its weights are quantized ({name or 'see ' + CONFIG}), which cannot be "
            f"trained; give the model in float32, float16 or bfloat16"
        )
    try:
        with quiet():
            return AutoConfig.from_pretrained(str(model_folder(path)), trust_remote_code=False)
    except Exception as error:
        raise UserError(
            f"{path}: {CONFIG} does not fit the architecture '{kind}' ({first_line(error)}); "
            f"correct it"
        ) from None


def _layers(content: dict[str, Any]) -> int:
    """How many layers a configuration asks for, by any of the names for them."""
    names = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers")
    counts = [content.get(name) for name in names]
    repeated = content.get("attention_types")  # GPT-Neo: [[kinds, how often], …]
    for row in repeated if isinstance(repeated, list) else []:
        counts += row[1:2] if isinstance(row, list) else []
    return max((count for count in counts if isinstance(count, int)), default=0)


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory, with an end-of-text token.

    Raises:
        UserError: there is none, or it has no end-of-text token.
    """
    folder = model_folder(path)
    if not any(file for pattern in TOKENIZER_FILES for file in folder.glob(pattern)):
        raise UserError(f"{path} has no tokenizer; copy the model's tokenizer files into it")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            read_json(folder / name)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:
        raise UserError(
            f"{path} has no tokenizer that opens ({first_line(error)}); copy the model's "
            f"tokenizer files into it"
        ) from None
    if set(tokenizer.get_vocab()) <= set(
        tokenizer.all_special_tokens
    ):  # what transformers makes of no files
        raise UserError(f"{path} has no tokenizer; copy the model's tokenizer files into it")
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{path}: its tokenizer has no end-of-text token; set eos_token in "
            f"tokenizer_config.json"
        )
    if found := _other_reading(folder, type(tokenizer)):
        say(
            f"{path}: transformers opens its tokenizer as {type(tokenizer).__name__}, which reads "
            f"other tokens than its tokenizer.json has: {found}"
        )
    return tokenizer


@functools.cache
def _other_reading(folder: Path, kind: type) -> str:
    """How the class that transformers chooses reads sample texts otherwise than `tokenizer.json`
    says; empty where it does not.
    """
    if kind is PreTrainedTokenizerFast or not (folder / "tokenizer.json").is_file():
        return ""
    try:
        with quiet():
            return differing_ids(
                PreTrainedTokenizerFast.from_pretrained(folder), kind.from_pretrained(folder)
            )
    except Exception:  # what opens in one way alone is opened so
        return ""


def is_scorer(path: str | Path) -> bool:
    """Whether a model directory holds a reward model or critic, by its configuration."""
    return is_scorer_config(load_config(path))


def is_scorer_config(config: PreTrainedConfig) -> bool:
    """Whether a configuration is a reward model's or a critic's."""
    return "SequenceClassification" in "".join(config.architectures or [])


def read_json(file: Path) -> dict[str, Any]:
    """A JSON file of a model, or a sentence that says what is wrong with it; of a key that stands
    there twice the last value is taken, as other tools do.
    """
    return files.read_json(file, "copy it again, or give another model", unique=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that transformers and the Hub's client log or warn of is shown."""
    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def first_line(error: Exception) -> str:
    """What an error of another library says, short enough for a sentence."""
    return str(error).strip().split("\n")[0][:200].rstrip(".") or type(error).__name__


def _from_hub(name: str, *, weights: bool) -> Path:
    """The directory of a Hub id's files in the cache, fetched where the Hub can be reached."""
    reason = hub_refusal(name)
    patterns = SMALL_FILES + (WEIGHT_FILES if weights else [])
    if weights and not reason:
        say(f"{name}: looking for its weights on the Hub, or in its cache")
    try:
        with quiet():
            folder = huggingface_hub.snapshot_download(
                name, allow_patterns=patterns, local_files_only=bool(reason)
            )
    except IncompleteSnapshotError as error:  # what lacks is called by its name later on
        folder = error.snapshot_path
    except Exception as error:
        if reason:
            raise no_model(name, f"no such folder, and {reason}") from None
        raise UserError(
            f"{name} cannot be fetched from the Hub ({first_line(error)}); try again, or give a "
            f"model directory"
        ) from None
    if not is_model(Path(folder)) and not (Path(folder) / ADAPTER).is_file():
        raise UserError(f"{name}: the Hub has no {CONFIG} for it; give another model")
    return Path(folder)


@functools.cache
def hub_refusal(name: str) -> str:
    """Why a model's files cannot be fetched now, or nothing: one request, no second try."""
    if huggingface_hub.constants.is_offline_mode():
        return "HF_HUB_OFFLINE keeps the Hub from being asked"
    try:
        with quiet():
            huggingface_hub.HfApi().model_info(name, timeout=HUB_SECONDS)
    except GatedRepoError:
        return "the Hub gives it to those alone who are logged in and may have it (`hf auth login`)"
    except RepositoryNotFoundError:
        return "the Hub has no such model"
    except HfHubHTTPError as error:
        return f"the Hub answers with status {error.response.status_code}"
    except Exception as error:
        return f"the Hub cannot be reached ({type(error).__name__})"
    return ""

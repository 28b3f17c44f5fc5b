"""Open and write models: Hugging Face directories or Hub ids, safetensors, no foreign code.

A policy is an `AutoModelForCausalLM`; a reward model and a critic are
`AutoModelForSequenceClassification` with one label, so that other tools open what we write. Dropout
is off in every model we load (the paper uses it in SFT alone, see `models.dropout`), and the
configuration's own dropout values are put back on saving.
"""

import copy
import math
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from instructgpt.errors import UserError
from instructgpt.models import attention

transformers_logging.disable_progress_bar()

ORIGINAL_DROPOUT = "_instructgpt_original_dropout"


def load_policy(path: str | Path, *, device: str = "cpu") -> PreTrainedModel:
    """A causal language model in float32, in eval mode, dropout off.

    Raises:
        UserError: the path is not a policy (a reward model, say), its weights are damaged or not
            finite.
    """
    if is_scorer(path):
        raise UserError(
            f"{path} is a reward model, not a policy; give the model it was trained from"
        )
    return _load(AutoModelForCausalLM, path, device)


def load_scorer(path: str | Path, *, device: str = "cpu") -> PreTrainedModel:
    """A reward model or critic in float32: a trunk with one scalar head.

    Raises:
        UserError: the path is not such a model (a policy, say), or its weights are not finite.
    """
    if not is_scorer(path):
        raise UserError(
            f"{path} is a policy, not a reward model; train one with `instructgpt reward`"
        )
    model = _load(AutoModelForSequenceClassification, path, device)
    if model.config.num_labels != 1:
        raise UserError(
            f"{path} has {model.config.num_labels} labels; a reward model has exactly one, give "
            f"such a model"
        )
    return model


def is_scorer(path: str | Path) -> bool:
    """Whether a model directory holds a reward model or critic, by its configuration."""
    return "SequenceClassification" in "".join(_load_config(path).architectures or [])


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory, with an end-of-text token.

    Raises:
        UserError: there is none, or it has no end-of-text token.
    """
    _require_model(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
    except Exception as error:
        raise UserError(
            f"{path} has no tokenizer that opens ({_first_line(error)}); copy the model's "
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
    return tokenizer


def scorer_from_policy(
    policy: PreTrainedModel, *, seed: int, depth: float = 1.0
) -> PreTrainedModel:
    """A new scalar head on a copy of the policy's trunk.

    The head's weights are drawn from N(0, 1/(d+1)) without bias (Stiennon 2020, appendix B.1).

    Args:
        policy: a causal language model; it is not changed.
        seed: decides the head.
        depth: share of the layers that is copied, from the first on, for a smaller model.

    Raises:
        UserError: the architecture has no scalar head.
    """
    config = copy.deepcopy(policy.config)
    if depth < 1:
        _keep_first_layers(config, max(1, round(depth * config.num_hidden_layers)))
    config.num_labels = 1
    _drop_end_as_padding(config)
    device = next(policy.parameters()).device
    try:
        model = AutoModelForSequenceClassification.from_config(config)
    except ValueError:
        raise UserError(
            f"transformers has no scalar head for the architecture '{config.model_type}'; choose "
            f"another model"
        ) from None
    model = model.float().to(device).eval()
    _keep_original_dropout(model, policy)
    wanted = trunk(model).state_dict()
    weights = {name: w for name, w in trunk(policy).state_dict().items() if name in wanted}
    trunk(model).load_state_dict(weights)
    head = scalar_head(model)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(head.weight.shape, generator=generator) / math.sqrt(
        head.weight.shape[1] + 1
    )
    with torch.no_grad():
        head.weight.copy_(drawn)
        if head.bias is not None:
            head.bias.zero_()
    return model


def _keep_first_layers(config: PreTrainedConfig, layers: int) -> None:
    config.num_hidden_layers = layers
    if kinds := getattr(config, "layer_types", None):
        config.layer_types = kinds[:layers]
    if kinds := getattr(config, "attention_layers", None):  # GPT-Neo, which keeps them twice
        config.attention_layers = kinds[:layers]
        config.attention_types = [[[kind], 1] for kind in kinds[:layers]]


def use_attention(model: PreTrainedModel, kernels: str) -> None:
    """Switch a model to `sdpa`, `eager`, `batched`, or `auto`: `batched` on a CPU, else `sdpa`; one
    that has no choice keeps its own.
    """
    if kernels == "auto":
        kernels = attention.NAME if attention.takes_batched_products(model) else "sdpa"
    if model.config._attn_implementation != kernels and model._can_set_attn_implementation():
        with suppress(ValueError):  # it has a choice, but not of these kernels
            model.set_attn_implementation(kernels)


def trunk(model: PreTrainedModel) -> nn.Module:
    """The transformer without its head."""
    return getattr(model, model.base_model_prefix)


def scalar_head(model: PreTrainedModel) -> nn.Linear:
    """The linear layer that turns a hidden state into a score.

    Raises:
        UserError: the architecture keeps its head under a name we do not know.
    """
    for name in ("score", "classifier"):
        head = getattr(model, name, None)
        if isinstance(head, nn.Linear):
            return head
    raise UserError(
        f"the scalar head of {type(model).__name__} was not found; choose another architecture"
    )


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
    weights: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write weights, configuration and tokenizer for plain transformers, whole or not at all.

    Args:
        model: whose configuration, and weights unless others are given.
        tokenizer: written beside it.
        path: the folder; an older one is replaced.
        weights: the whole weights of a sharded model.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    restored = _swap_dropout(model)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        model.save_pretrained(temporary, state_dict=None if weights is None else dict(weights))
        tokenizer.save_pretrained(temporary)
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    except Exception as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(
            f"{path}: the model cannot be written ({_first_line(error)}); free space or choose "
            f"another --out"
        ) from error
    finally:
        for key, value in restored.items():
            setattr(model.config, key, value)
    return path


def context_length(config: PreTrainedConfig) -> int | None:
    """How many tokens the model can read, where its configuration says so."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def pick_device(name: str) -> str:
    """`auto` becomes a GPU where there is one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {name}: no GPU is visible to torch; use --device cpu")
    return name


def _load(auto: Any, path: str | Path, device: str) -> PreTrainedModel:
    config = _load_config(path)
    dropout = {key: value for key, value in config.to_dict().items() if _is_dropout(key, value)}
    for key in dropout:
        setattr(config, key, 0.0)
    try:
        model, report = auto.from_pretrained(
            str(path),
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:
        raise UserError(
            f"{path}: the weights cannot be read ({_first_line(error)}); give a model with "
            f"safetensors weights"
        ) from None
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise UserError(
            f"{path}: the weights lack {missing}; the model is damaged or of another kind"
        )
    for name, tensor in model.named_parameters():
        if not torch.isfinite(tensor).all():
            raise UserError(
                f"{path}: the weight '{name}' is not finite; the model is damaged, take an "
                f"earlier one"
            )
    setattr(model, ORIGINAL_DROPOUT, dropout)
    return model.to(device).eval()


def _load_config(path: str | Path) -> PreTrainedConfig:
    _require_model(path)
    try:
        return AutoConfig.from_pretrained(str(path), trust_remote_code=False)
    except Exception as error:
        raise UserError(
            f"{path}: no model there ({_first_line(error)}); give a model directory or a Hub id"
        ) from None


def _require_model(path: str | Path) -> None:
    """A local path must hold a model; anything else is taken for a Hub id."""
    is_local = (
        Path(path).exists() or str(path).startswith((".", "/", "~")) or str(path).count("/") > 1
    )
    if is_local and not (Path(path) / "config.json").is_file():
        raise UserError(
            f"{path}: no model there (config.json is missing); give a model directory or a Hub id"
        )


def _is_dropout(key: str, value: Any) -> bool:
    return (
        ("drop" in key or key.endswith("pdrop"))
        and isinstance(value, float | int)
        and not isinstance(value, bool)
    )


def _keep_original_dropout(model: PreTrainedModel, source: PreTrainedModel) -> None:
    setattr(model, ORIGINAL_DROPOUT, dict(getattr(source, ORIGINAL_DROPOUT, {})))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def _swap_dropout(model: PreTrainedModel) -> dict[str, Any]:
    """Put the configuration's own dropout values back; returns the values to restore afterwards."""
    original = getattr(model, ORIGINAL_DROPOUT, {})
    current = {key: getattr(model.config, key) for key in original}
    for key, value in original.items():
        setattr(model.config, key, value)
    return current


def _drop_end_as_padding(config: PreTrainedConfig) -> None:
    """Where padding is the end token, transformers would take the end of an answer for padding and
    read the score one token early; without a padding id it reads the last token, and refuses to
    guess in a batch.
    """
    eos = config.eos_token_id
    if config.pad_token_id in (eos if isinstance(eos, list) else [eos]):
        config.pad_token_id = None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200].rstrip(".") or type(error).__name__


def copy_weights(source: nn.Module) -> dict[str, Tensor]:
    """A float32 copy of the parameters, by name (the start of a running average)."""
    return {name: p.detach().float().clone() for name, p in source.named_parameters()}

"""Open and write models: Hugging Face directories or Hub ids, safetensors, no foreign code.

A policy is an `AutoModelForCausalLM`; a reward model and a critic are
`AutoModelForSequenceClassification` with one label, so that other tools open what we write. Dropout
is off in every model we load (the paper uses it in SFT alone, see `models.dropout`), and the
configuration's own dropout values are put back on saving.
"""

import copy
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

from instructgpt.errors import UserError
from instructgpt.models import attention
from instructgpt.models.card import origin_of
from instructgpt.models.facts import Kind, auto_class
from instructgpt.models.opening import first_line, load_config, model_folder
from instructgpt.models.parts import HEADS, require_same_trunk, scalar_head, trunk
from instructgpt.models.source import ModelSource, remember_source, source_of
from instructgpt.models.weights import (
    assemble,
    read_shapes,
    read_tensor,
    require_finite,
    weight_files,
)

SHIFT_KEY = "reward_shift"
"""The key of `config.json` that is subtracted from a raw score."""


def load_policy(path: str | Path, *, device: str = "cpu") -> PreTrainedModel:
    """A causal language model in float32, in eval mode, dropout off.

    Raises:
        UserError: the path is not a policy (a reward model, say), its weights are damaged or not
            finite.
    """
    return _load(path, "policy", device)


def load_scorer(path: str | Path, *, device: str = "cpu") -> PreTrainedModel:
    """A reward model or critic in float32: a trunk with one scalar head.

    Raises:
        UserError: the path is not such a model (a policy, say), or its weights are not finite.
    """
    return _load(path, "scorer", device)


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
        UserError: the architecture has no scalar head, or one on more than the policy's trunk.
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
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    remember_source(model, source_of(policy))
    require_same_trunk(model, policy)
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
        with suppress(AttributeError):  # Jamba's follow from a period
            config.layer_types = kinds[:layers]
    if kinds := getattr(config, "attention_layers", None):  # GPT-Neo, which keeps them twice
        config.attention_layers = kinds[:layers]
        config.attention_types = [[[kind], 1] for kind in kinds[:layers]]
    try:
        type(config).from_dict(config.to_dict())
    except Exception as error:  # lists of layers under other names
        raise UserError(
            f"depth: {layers} of the layers of the architecture '{config.model_type}' make no "
            f"model ({first_line(error)}); set depth 1"
        ) from None


def use_attention(model: PreTrainedModel, kernels: str) -> None:
    """Switch a model to `sdpa`, `eager`, `batched`, or `auto`: `batched` on a CPU, else `sdpa`; one
    that has no choice keeps its own.
    """
    if kernels == "auto":
        kernels = attention.NAME if attention.takes_batched_products(model) else "sdpa"
    if attention.picks_tokens(model) and kernels not in ("sdpa", "eager"):
        return
    if model.config._attn_implementation != kernels and model._can_set_attn_implementation():
        with suppress(ValueError):  # it has a choice, but not of these kernels
            model.set_attn_implementation(kernels)


def pick_device(name: str) -> str:
    """`auto` becomes a GPU where there is one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {name}: no GPU is visible to torch; use --device cpu")
    if name.startswith("cuda:") and name.removeprefix("cuda:").isdecimal():
        visible = torch.cuda.device_count()
        if int(name.removeprefix("cuda:")) >= visible:
            raise UserError(
                f"--device {name}: torch sees {visible} GPU{'s' * (visible > 1)}; use --device "
                f"cuda:{visible - 1} or below"
            )
    return name


def _load(path: str | Path, kind: Kind, device: str) -> PreTrainedModel:
    config = load_config(path)
    auto = auto_class(path, config, kind)
    dropout = {key: value for key, value in config.to_dict().items() if _is_dropout(key, value)}
    for key in dropout:
        setattr(config, key, 0.0)
    folder = model_folder(path, weights=True)
    files = weight_files(path, folder)
    read_shapes(path, files)
    model = assemble(path, auto, config, folder)
    require_finite(path, model)
    if kind == "scorer":
        _take_bias(path, model, files)
    remember_source(model, ModelSource(origin_of(path, folder), dropout))
    return model.to(device).eval()  # type: ignore[arg-type]


def _take_bias(path: str | Path, scorer: PreTrainedModel, files: list[Path]) -> None:
    """Other tools train a bias where transformers' head has none and would leave it out: it becomes
    part of the shift, score = w·h + b = raw − (shift − b), and goes wherever the shift goes.
    """
    if scalar_head(scorer).bias is not None:
        return
    for name in HEADS:
        bias = read_tensor(path, files, f"{name}.bias")
        if bias is not None and bias.numel() == 1:
            shift = getattr(scorer.config, SHIFT_KEY, 0.0) - bias.item()
            setattr(scorer.config, SHIFT_KEY, shift)


def _is_dropout(key: str, value: Any) -> bool:
    return (
        ("drop" in key or key.endswith("pdrop"))
        and isinstance(value, float | int)
        and not isinstance(value, bool)
    )


def _drop_end_as_padding(config: PreTrainedConfig) -> None:
    """Where padding is the end token, transformers would take the end of an answer for padding and
    read the score one token early; without a padding id it reads the last token, and refuses to
    guess in a batch.
    """
    eos = config.eos_token_id
    if config.pad_token_id in (eos if isinstance(eos, list) else [eos]):
        config.pad_token_id = None


def copy_weights(source: nn.Module) -> dict[str, Tensor]:
    """A float32 copy of the parameters, by name (the start of a running average)."""
    return {name: p.detach().float().clone() for name, p in source.named_parameters()}

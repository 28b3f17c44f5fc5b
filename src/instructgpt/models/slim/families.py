"""Which models become a `Stack`, and how: Llama, Mistral, Qwen2, Qwen3, GPT-2, GPT-Neo.

Only a module that is exactly what its architecture puts there is taken: an adapter, a hook or a
sharded weight leaves a model to transformers' own forward.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, gelu, layer_norm, rms_norm
from transformers import PreTrainedModel
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from instructgpt.models.parts import trunk
from instructgpt.models.slim.products import Layer, Product, product
from instructgpt.models.slim.stack import Block, Change, Heads, Rotation, Stack

Make = Callable[..., Product]
"""Linear layers, side by side, as a product."""
MOVING = ("dynamic", "longrope")
"""Rotary positions that change with the longest row: no table holds them."""


def is_slim(model: PreTrainedModel) -> bool:
    """Whether the model can become a stack, as far as its parts tell: plain, float32, on a CPU."""
    if model.config.model_type not in FAMILIES or type(model).__name__ not in NAMES:
        return False
    if any(p.device.type != "cpu" or type(p) is not nn.Parameter for p in model.parameters()):
        return False
    if any(p.dtype != torch.float32 for p in model.parameters()):
        return False
    own = [module for module in model.modules() if _is_changed(module)]
    return not own and _is_usual(model)


def slim(model: PreTrainedModel, dtype: torch.dtype, *, rows: int, positions: int) -> Stack:
    """The model's layers with copies of its large weights, as they are now, laid out.

    Args:
        model: for which `is_slim`: a causal language model, or a classifier, of which the trunk.
        dtype: of the products.
        rows: how many tokens usually go through together.
        positions: how many tokens the longest row has.
    """

    def make(*layers: Layer) -> Product:
        return product(layers, dtype, rows)

    return FAMILIES[model.config.model_type](model, make, dtype, positions)


def _is_changed(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    is_linear = isinstance(module, nn.Linear | Conv1D)
    return (
        any(hooks)
        or "forward" in vars(module)
        or (is_linear and type(module) not in (nn.Linear, Conv1D))
    )


def _is_usual(model: PreTrainedModel) -> bool:
    """Whether the configuration asks for nothing that a stack leaves out."""
    config = model.config
    rotary = getattr(trunk(model), "rotary_emb", None)
    return (
        getattr(rotary, "rope_type", "default") not in MOVING
        and not getattr(config, "add_cross_attention", False)
        and not getattr(config, "reorder_and_upcast_attn", False)
    )


# ---------------------------------------------------------------- Llama and its like


def _llama(model: PreTrainedModel, make: Make, dtype: torch.dtype, positions: int) -> Stack:
    config: Any = model.config
    parts: Any = trunk(model)
    size = parts.layers[0].self_attn.head_dim
    blocks = []
    for index, layer in enumerate(parts.layers[: config.num_hidden_layers]):
        attention, mlp = layer.self_attn, layer.mlp
        norms = (attention.q_norm, attention.k_norm) if hasattr(attention, "q_norm") else None
        blocks.append(
            Block(
                index,
                norm=_rms(layer.input_layernorm),
                project=make(attention.q_proj, attention.k_proj, attention.v_proj),
                out=make(attention.o_proj),
                mlp_norm=_rms(layer.post_attention_layernorm),
                mlp=_gated(make(mlp.gate_proj, mlp.up_proj), mlp.act_fn, make(mlp.down_proj)),
                scale=attention.scaling,
                window=_window(config, attention),
                head_norms=(_rms(norms[0]), _rms(norms[1])) if norms else None,
            )
        )
    weight_VD = parts.embed_tokens.weight
    return Stack(
        dtype,
        Heads(config.num_attention_heads, config.num_key_value_heads, size),
        blocks,
        embed=lambda ids_N, _: embedding(ids_N, weight_VD),
        rotation=_rotation(parts.rotary_emb, positions),
        norm=_rms(parts.norm),
        head=_head(model, make),
    )


def _window(config: Any, attention: Any) -> int | None:
    if config.model_type == "mistral":
        return config.sliding_window
    return getattr(attention, "sliding_window", None)


def _rotation(rotary: Any, positions: int) -> Rotation:
    """The table of the first positions."""
    cos_1PS, sin_1PS = rotary(torch.zeros(1), torch.arange(positions)[None])
    half = sin_1PS.shape[-1] // 2
    return Rotation(cos_1PS[0], torch.cat([-sin_1PS[0, :, :half], sin_1PS[0, :, half:]], -1))


def _rms(norm: Any) -> Change:
    weight, eps = norm.weight.detach(), norm.variance_epsilon
    return lambda states: rms_norm(states.float(), weight.shape, weight, eps)


def _gated(gate_and_up: Product, act: Change, down: Product) -> Change:
    def mlp(states_ND: Tensor) -> Tensor:
        gate, up = gate_and_up(states_ND).chunk(2, -1)
        return down(act(gate).mul_(up))

    return mlp


# ---------------------------------------------------------------- GPT-2 and GPT-Neo


def _gpt2(model: PreTrainedModel, make: Make, dtype: torch.dtype, _: int) -> Stack:
    def block(index: int, layer: Any) -> Block:
        attention = layer.attn
        return _post(make, index, layer, [attention.c_attn], attention.c_proj, attention.scaling)

    return _gpt(model, make, dtype, block)


def _gpt_neo(model: PreTrainedModel, make: Make, dtype: torch.dtype, _: int) -> Stack:
    def block(index: int, layer: Any) -> Block:
        attention = layer.attn.attention
        projections = [attention.q_proj, attention.k_proj, attention.v_proj]
        window = model.config.window_size if attention.attention_type == "local" else None
        return _post(make, index, layer, projections, attention.out_proj, 1.0, window)

    return _gpt(model, make, dtype, block)


def _gpt(
    model: PreTrainedModel, make: Make, dtype: torch.dtype, block: Callable[[int, Any], Block]
) -> Stack:
    parts: Any = trunk(model)
    config = model.config
    tokens_VD, positions_PD = parts.wte.weight, parts.wpe.weight
    heads = config.num_attention_heads
    return Stack(
        dtype,
        Heads(heads, heads, config.hidden_size // heads),
        [block(index, layer) for index, layer in enumerate(parts.h)],
        embed=lambda ids_N, at_N: embedding(ids_N, tokens_VD) + embedding(at_N, positions_PD),
        rotation=None,
        norm=_normal(parts.ln_f),
        head=_head(model, make),
    )


def _post(
    make: Make,
    index: int,
    layer: Any,
    projections: Sequence[Layer],
    out: Layer,
    scale: float,
    window: int | None = None,
) -> Block:
    mlp = layer.mlp
    return Block(
        index,
        norm=_normal(layer.ln_1),
        project=make(*projections),
        out=make(out),
        mlp_norm=_normal(layer.ln_2),
        mlp=_plain(make(mlp.c_fc), mlp.act, make(mlp.c_proj)),
        scale=scale,
        window=window,
    )


def _normal(norm: Any) -> Change:
    weight, bias, eps = norm.weight.detach(), norm.bias.detach(), norm.eps
    return lambda states: layer_norm(states.float(), weight.shape, weight, bias, eps)


def _plain(up: Product, act: Change, down: Product) -> Change:
    if isinstance(act, NewGELUActivation):  # seven operations there, one here
        return lambda states_ND: down(gelu(up(states_ND), approximate="tanh"))
    return lambda states_ND: down(act(up(states_ND)))


def _head(model: PreTrainedModel, make: Make) -> Product | None:
    head = model.get_output_embeddings()
    return make(head) if isinstance(head, nn.Linear) else None


FAMILIES: dict[str, Callable[[PreTrainedModel, Make, torch.dtype, int], Stack]] = {
    "llama": _llama,
    "mistral": _llama,
    "qwen2": _llama,
    "qwen3": _llama,
    "gpt2": _gpt2,
    "gpt_neo": _gpt_neo,
}
NAMES = frozenset(
    f"{family}For{task}"
    for family in ("Llama", "Mistral", "Qwen2", "Qwen3", "GPTNeo")
    for task in ("CausalLM", "SequenceClassification")
) | {"GPT2LMHeadModel", "GPT2ForSequenceClassification"}

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

from instructgpt.models.parts import trunk
from instructgpt.models.slim.products import Layer, Product, product
from instructgpt.models.slim.stack import Block, Change, Heads, Rotation, Stack

Make = Callable[..., Product]
"""Linear layers, side by side, as a product."""
KNOWN = ("torch.nn.modules.", "transformers.activations", "transformers.pytorch_utils")
"""Where modules come from that every family may have."""
MOVING = ("dynamic", "longrope")
"""Rotary positions that change with the longest row: no table holds them."""


def is_slim(model: PreTrainedModel) -> bool:
    """Whether the model can become a stack, as far as its parts tell: plain, float32, on a CPU."""
    config: Any = model.config
    return (
        type(model).__name__ in NAMES
        and config.model_type in FAMILIES
        and all(_is_own(module, config.model_type) for module in model.modules())
        and all(_is_plain(weight) for weight in model.parameters())
        and type(model.get_output_embeddings()) is nn.Linear
        and getattr(config, "is_causal", True)
        and not getattr(config, "add_cross_attention", False)
        and not getattr(config, "reorder_and_upcast_attn", False)
        and getattr(getattr(trunk(model), "rotary_emb", None), "rope_type", "default") not in MOVING
    )


def slim(model: PreTrainedModel, dtype: torch.dtype, *, rows: int, positions: int) -> Stack:
    """The model's layers, with its large weights as they are now, laid out.

    Args:
        model: for which `is_slim`.
        dtype: of the products.
        rows: how many tokens usually go through together.
        positions: how many tokens the longest row has.
    """

    def make(*layers: Layer) -> Product:
        return product(layers, dtype, rows)

    return FAMILIES[model.config.model_type](model, make, dtype, positions)


def _is_own(module: nn.Module, family: str) -> bool:
    """Whether it is what the architecture puts there, and nothing was hung on it but what computes
    again for a backward pass.
    """
    place = type(module).__module__
    is_known = place.startswith(KNOWN) or place == f"transformers.models.{family}.modeling_{family}"
    forward = vars(module).get("forward")
    is_as_it_was = forward is None or getattr(forward, "is_recomputed", False)
    return is_known and is_as_it_was and not (module._forward_hooks or module._forward_pre_hooks)


def _is_plain(weight: nn.Parameter) -> bool:
    is_whole = type(weight) is nn.Parameter
    return is_whole and weight.device.type == "cpu" and weight.dtype == torch.float32


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
        head=make(model.get_output_embeddings()),
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
        head=make(model.get_output_embeddings()),
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


FAMILIES: dict[str, Callable[[PreTrainedModel, Make, torch.dtype, int], Stack]] = {
    "llama": _llama,
    "mistral": _llama,
    "qwen2": _llama,
    "qwen3": _llama,
    "gpt2": _gpt2,
    "gpt_neo": _gpt_neo,
}
NAMES = frozenset(
    {
        *("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"),
        *("GPT2LMHeadModel", "GPTNeoForCausalLM"),
    }
)

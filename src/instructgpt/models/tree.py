"""A prompt once, then its answers as branches of a tree: the forward over rankings and choices.

A packed row holds each prompt followed by its answers, whose positions restart after the prompt.
Everything that acts on one token at a time runs on that row. Attention cuts it into padded blocks
for the model's own kernels: the prompts, causal, and the answers, each over its prompt and itself.
So a prompt token is computed once instead of once per answer, and no T × T mask exists.

Axes: T tokens of the packed row, C comparisons (prompts), N answers of all comparisons, P prompt,
    R response, S what a response token may see (P + R), H heads, D width.
"""

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from instructgpt.models import attention
from instructgpt.models.device import compute_device
from instructgpt.models.fit import require_room
from instructgpt.models.forward import exact, last_states, token_logprobs, within_model
from instructgpt.models.load import use_attention
from instructgpt.models.once import once_per_model
from instructgpt.models.parts import scalar_head, trunk
from instructgpt.models.rows import Tokens, pad_rows

log = logging.getLogger(__name__)

ROW_MULTIPLE = 64
"""The packed row is filled up to a multiple of this; matmul kernels are made per number of rows.
"""
LARGEST_ERROR = 1e-4
"""Of a state, relative: between rounding (1e-6) and a token seen by mistake (1e-2)."""
PREFIX = "tree_"
"""`tree_sdpa` and so on are those kernels, for trees as well as for rows."""


@dataclass(frozen=True)
class Trees:
    """Prompts with their answers as one packed row, and how attention cuts it.

    Attributes:
        tokens_T: token ids; the filler's id is 0 and is never read.
        positions_T: each token's position in its own prompt + answer.
        last_N: where each answer's last token stands in the row.
        prompt_CP: where each prompt token stands in the row; 0 for filler, which is masked.
        response_NR: the same for response tokens.
        source_T: where each token stands among all prompts' blocks and then all answers' blocks.
        answers_C: how many answers each prompt has.
        prompt_mask: what prompt tokens see, as the kernels take it; None where causal is the rule.
        response_mask: what response tokens see, as the kernels take it, (N, 1, R, S).
    """

    tokens_T: Tensor
    positions_T: Tensor
    last_N: Tensor
    prompt_CP: Tensor
    response_NR: Tensor
    source_T: Tensor
    answers_C: tuple[int, ...]
    prompt_mask: Tensor | None
    response_mask: Tensor


def tree_tokens(prompt: Tokens, responses: Sequence[Tokens]) -> int:
    """Tokens of a prompt's tree: the prompt once, and its answers.

    >>> tree_tokens([5, 6, 7], [[8], [9, 10]])
    6
    """
    return len(prompt) + sum(map(len, responses))


@within_model
def tree_scores(
    scorer: PreTrainedModel, prompts: Sequence[Tokens], responses: Sequence[Sequence[Tokens]]
) -> Tensor:
    """The scalar at each answer's last token (raw, no shift), prompt by prompt. Float32 (N,).

    Only for models that `reads_trees`.
    """
    scores_N1 = scalar_head(scorer)(_last_states(scorer, prompts, responses)).float()
    return scores_N1.sum(-1)  # not squeezed: a sharded model may not give away a view


@within_model
def tree_last_states(
    model: PreTrainedModel, prompts: Sequence[Tokens], responses: Sequence[Sequence[Tokens]]
) -> Tensor:
    """The trunk's last hidden state at each answer's last token, prompt by prompt, (N, D).

    Only for models that `reads_trees`.
    """
    return _last_states(model, prompts, responses)


@within_model
def tree_logprobs(
    model: PreTrainedModel, prompts: Sequence[Tokens], responses: Sequence[Sequence[Tokens]]
) -> Tensor:
    """log p of each answer given its prompt, summed over its tokens. Float32 (N,).

    Only for models that `reads_trees`, and whose `head_is_plain`.
    """
    states_TD, _ = _states(model, prompts, responses)
    sources: list[int] = []
    end = -1
    for prompt, own in zip(prompts, responses, strict=True):
        end += len(prompt)
        begin = end
        for answer in own:
            sources += [begin, *range(end + 1, end + len(answer))][: len(answer)]
            end += len(answer)
    answers = [answer for own in responses for answer in own]
    targets_N = torch.tensor([token for answer in answers for token in answer])
    project = model.get_output_embeddings()
    assert project is not None
    logprobs_N = token_logprobs(
        model,
        project,
        states_TD.index_select(0, torch.tensor(sources, device=states_TD.device)),
        targets_N.to(states_TD.device),
    )
    return torch.stack([part.sum() for part in logprobs_N.split([*map(len, answers)])])


@once_per_model
def reads_trees(model: PreTrainedModel) -> bool:
    """Whether states in a tree are those of one row per answer, for ragged random answers.

    Not so where positions are counted along the row, or a layer has no attention or one of its
    own: sliding windows, GPT-Neo, ALiBi, recurrent layers. To be asked before a model is sharded:
    of a model that does, the attention kernels take trees as well as rows from then on.
    """
    kernels, device = _kernels_of(model), compute_device(model)
    generator = torch.Generator().manual_seed(0)
    vocabulary = model.config.get_text_config().vocab_size

    def draw(length: int) -> list[int]:
        return torch.randint(vocabulary, (length,), generator=generator).tolist()

    prompts = [draw(length) for length in (7, 1, 4)]
    responses = [[draw(length) for length in own] for own in ((3, 1, 5), (2, 4), (6,))]
    try:
        with exact(device), torch.no_grad():
            _take_trees(model)  # first, so that the masks of rows are looked at
            rows_ND = torch.cat(
                [
                    last_states(model, pad_rows([prompt], [answer], device=device))
                    for prompt, own in zip(prompts, responses, strict=True)
                    for answer in own
                ]
            )
            trees_ND = tree_last_states(model, prompts, responses)
        errors_N = (trees_ND - rows_ND).norm(dim=1) / rows_ND.norm(dim=1)
        if errors_N.max() < LARGEST_ERROR:
            return True
        log.debug("trees: states are off by up to %.1e", errors_N.max())
    except Exception as problem:
        log.debug("trees: %s", problem)
    use_attention(model, kernels)
    return False


def pack_trees(
    prompts: Sequence[Tokens],
    responses: Sequence[Sequence[Tokens]],
    *,
    additive: bool = False,
    device: torch.device | str = "cpu",
) -> Trees:
    """Lay out trees; `additive` masks are numbers to add, others are true where a token is seen."""
    assert all(prompts), "a tree needs a prompt: its answers' first tokens must see something"
    answers = [answer for own in responses for answer in own]
    width, longest = max(map(len, prompts)), max(1, *map(len, answers))
    prompt = torch.zeros(len(prompts), width, dtype=torch.long)
    response = torch.zeros(len(answers), longest, dtype=torch.long)
    sees_prompt = torch.zeros(len(answers), 1, longest, width, dtype=torch.bool)
    tokens: list[int] = []
    positions: list[int] = []
    source: list[int] = []
    last: list[int] = []

    def append(new: Tokens, places: Tensor, *, position: int, block: int) -> None:
        places[: len(new)] = torch.arange(len(tokens), len(tokens) + len(new))
        tokens.extend(new)
        positions.extend(range(position, position + len(new)))
        source.extend(range(block, block + len(new)))

    for row, (text, own) in enumerate(zip(prompts, responses, strict=True)):
        append(text, prompt[row], position=0, block=row * width)
        end = len(tokens) - 1
        for answer in own:
            index = len(last)
            block = prompt.numel() + index * longest
            append(answer, response[index], position=len(text), block=block)
            sees_prompt[index, ..., : len(text)] = True
            last.append(len(tokens) - 1 if answer else end)

    causal = torch.ones(longest, longest, dtype=torch.bool).tril()
    seen = torch.cat([sees_prompt, causal.expand(len(answers), 1, -1, -1)], dim=-1)
    causal_prompt = torch.ones(1, 1, width, width, dtype=torch.bool).tril()
    filler = [0] * (-len(tokens) % ROW_MULTIPLE)

    def moved(values: Tensor | list[int]) -> Tensor:
        return torch.as_tensor(values).to(device, non_blocking=True)

    return Trees(
        tokens_T=moved(tokens + filler),
        positions_T=moved(positions + filler),
        last_N=moved(last),
        prompt_CP=moved(prompt),
        response_NR=moved(response),
        source_T=moved(source + filler),
        answers_C=tuple(map(len, responses)),
        prompt_mask=moved(_as_added(causal_prompt)) if additive else None,
        response_mask=moved(_as_added(seen) if additive else seen),
    )


def _as_added(seen: Tensor) -> Tensor:
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)


def _attend(
    plain: Callable[..., tuple[Tensor, Tensor | None]],
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    trees: Trees | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as transformers calls it: states (1, H, T, D / H) come in, (1, T, H, D / H) go out.

    What comes without trees is for `plain` alone.
    """
    if trees is None:
        return plain(module, query, key, value, attention_mask, **kwargs)

    def blocks(states: Tensor, places: Tensor) -> Tensor:
        _, heads, _, size = states.shape
        states_TD = states[0].transpose(0, 1).flatten(1)
        cut = nn.functional.embedding(places, states_TD)  # an index with a cheap backward
        return cut.unflatten(-1, (heads, size)).transpose(1, 2)

    def over_answers(of_prompts: Tensor) -> Tensor:
        return torch.cat(
            [
                one.expand(count, -1, -1, -1)
                for one, count in zip(of_prompts.split(1), trees.answers_C, strict=True)
            ]
        )

    prompt_key, prompt_value = blocks(key, trees.prompt_CP), blocks(value, trees.prompt_CP)
    of_prompts, _ = plain(
        module,
        blocks(query, trees.prompt_CP),
        prompt_key,
        prompt_value,
        trees.prompt_mask,
        **kwargs,
    )
    of_answers, _ = plain(
        module,
        blocks(query, trees.response_NR),
        torch.cat([over_answers(prompt_key), blocks(key, trees.response_NR)], dim=2),
        torch.cat([over_answers(prompt_value), blocks(value, trees.response_NR)], dim=2),
        attention_mask,
        **kwargs,
    )
    attended = torch.cat([of_prompts.flatten(0, 1), of_answers.flatten(0, 1)])
    return attended.index_select(0, trees.source_T)[None], None


def _eager(module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    """The architecture's own eager attention, which transformers keeps beside its module."""
    beside = inspect.unwrap(type(module).forward).__globals__
    return beside["eager_attention_forward"](module, *args, **kwargs)


def _mask(
    plain: Callable[..., Any], *args: Any, local_size: int | None = None, **kwargs: Any
) -> Any:
    """The mask of rows, made only where every layer sees the whole row."""
    if local_size is not None:
        raise ValueError(f"attention within windows of {local_size} tokens cannot read trees")
    return plain(*args, **kwargs)


for _name, _plain in (
    *((_name, AttentionInterface()[_name]) for _name in ("sdpa", attention.NAME)),
    ("eager", _eager),
):
    AttentionInterface.register(PREFIX + _name, partial(_attend, _plain))
    AttentionMaskInterface.register(PREFIX + _name, partial(_mask, AttentionMaskInterface()[_name]))


def _last_states(
    model: PreTrainedModel, prompts: Sequence[Tokens], responses: Sequence[Sequence[Tokens]]
) -> Tensor:
    states_TD, trees = _states(model, prompts, responses)
    return states_TD.index_select(0, trees.last_N)


def _states(
    model: PreTrainedModel, prompts: Sequence[Tokens], responses: Sequence[Sequence[Tokens]]
) -> tuple[Tensor, Trees]:
    """The trunk's last hidden states along the packed row, (T, D), and how the row is laid out."""
    for prompt, own in zip(prompts, responses, strict=True):
        require_room(model, len(prompt) + max(map(len, own), default=0))
    kernels, device = _take_trees(model), compute_device(model)
    trees = pack_trees(prompts, responses, additive=kernels == "eager", device=device)
    output = trunk(model)(
        input_ids=trees.tokens_T[None],
        position_ids=trees.positions_T[None],
        attention_mask=trees.response_mask,  # of 4 axes: it reaches the kernels as it is
        use_cache=False,
        trees=trees,
    )
    return output.last_hidden_state[0], trees


def _take_trees(model: PreTrainedModel) -> str:
    """Let the model's kernels take trees, from now on: layers that are computed again in the
    backward pass must find what they had in the forward.

    Returns:
        The kernels' plain name.
    """
    kernels = _kernels_of(model).removeprefix(PREFIX)
    use_attention(model, PREFIX + kernels)
    if _kernels_of(model) != PREFIX + kernels:
        raise ValueError(f"{type(model).__name__} has attention of its own, which reads no trees")
    return kernels


def _kernels_of(model: PreTrainedModel) -> str:
    return model.config._attn_implementation or "eager"

"""Where the engine's logits come from: the new tokens alone over a cache, or whole rows.

Which of them a model allows, and how it takes a cache, is found by trying.

Axes: B live rows, U distinct prompts, T new tokens, W width (the longest live row), V vocabulary.
"""

import logging
from collections.abc import Sequence
from inspect import signature
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from instructgpt.models.attention import batched_products
from instructgpt.models.device import compute_device
from instructgpt.models.forward import evaluating, exact
from instructgpt.models.once import once_per_model
from instructgpt.rollout.cache import SlotCache
from instructgpt.rollout.episode import Episode, distinct_prompts, left_padded, token_positions
from instructgpt.rollout.prefix import Beginning, beginnings, left_to_read

log = logging.getLogger(__name__)

GIVEN = {"input_ids", "attention_mask", "position_ids"}
"""What every forward here is given besides its cache."""
LARGEST_ERROR = 1e-3
"""Of logits over a cache, relative: between rounding (1e-6) and a misplaced token (1e-2)."""
LARGEST_ERROR_16 = 5e-2
"""The same where weights have 16 bits."""


class Decoder(Protocol):
    """Where the logits come from. Slots are positions in the list of live episodes."""

    def prefill(self, fresh: list[Episode], first_slot: int) -> Tensor:
        """Logits after each prompt, [B, V]; the episodes take the slots from `first_slot` on."""
        ...

    def step(self, live: list[Episode]) -> Tensor:
        """Logits after each live episode's newest token, [B, V]."""
        ...

    def move(self, source: int, target: int, length: int) -> None:
        """Move a row of `length` cached tokens to another slot."""
        ...


class Cached:
    """One forward of the new tokens only, over a `SlotCache`."""

    def __init__(self, model: PreTrainedModel, cache: SlotCache, name: str) -> None:
        """`name` is the argument of the model's forward that takes the cache."""
        self.model, self.cache, self.name = model, cache, name
        self.accepted = signature(model.forward).parameters

    def prefill(self, fresh: list[Episode], first_slot: int) -> Tensor:
        """Logits after each prompt; equal ones are read once, and what several begin with."""
        prompts, rows = distinct_prompts(fresh)
        shared = beginnings(prompts)
        if shared and not reads_on(self.model):
            shared = []
        logits_UV = self.read(prompts, first_slot, shared)
        if len(prompts) == len(rows):
            return logits_UV
        rows_B = torch.tensor(rows, device=logits_UV.device)
        self.cache.spread(first_slot, rows_B, max(map(len, prompts)))
        return logits_UV[rows_B]

    def read(
        self, prompts: Sequence[tuple[int, ...]], first_slot: int, shared: Sequence[Beginning]
    ) -> Tensor:
        """Logits after each of different prompts, whose slots begin at `first_slot`; what some
        begin with is read first.
        """
        lengths = list(map(len, prompts))
        width, new = max(lengths), left_to_read(prompts, shared)
        for tokens, places in shared:
            own = first_slot + places[0]
            self.cache.open_prompts(own, 1, len(tokens))
            self._forward([[*tokens]], [len(tokens)], len(tokens))
            self.cache.begin(own, len(tokens), [(first_slot + p, lengths[p]) for p in places])
        self.cache.open_prompts(first_slot, len(prompts), width, new)
        return self._forward([row[-new:] for row in left_padded(prompts)], lengths, width)

    def step(self, live: list[Episode]) -> Tensor:
        """Logits after each newest token; what precedes it is in the cache."""
        lengths = [episode.length for episode in live]
        width = max(lengths)
        self.cache.open_column(len(live), width)
        return self._forward([[episode.tokens[-1]] for episode in live], lengths, width)

    def move(self, source: int, target: int, length: int) -> None:
        """Move the row in the cache."""
        self.cache.move(source, target, length)

    def _forward(self, ids: list[list[int]], lengths: list[int], width: int) -> Tensor:
        device = compute_device(self.model)
        ids_BT = torch.tensor(ids, device=device)
        positions_BW = token_positions(width, torch.tensor(lengths, device=device))
        options: dict[str, Any] = {
            "position_ids": positions_BW[:, -ids_BT.shape[1] :].clamp(min=0),
            "logits_to_keep": 1,
        }
        output = self.model(
            input_ids=ids_BT,
            attention_mask=(positions_BW >= 0).long(),
            use_cache=True,
            **{self.name: self.cache},
            **{name: value for name, value in options.items() if name in self.accepted},
        )
        return output.logits[:, -1]


class Recomputing:
    """Every row from its first token, one at a time: slow, and right for any architecture."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model, self.accepted = model, signature(model.forward).parameters

    def prefill(self, fresh: list[Episode], first_slot: int) -> Tensor:  # noqa: ARG002
        """Logits after each prompt."""
        return self.step(fresh)

    def step(self, live: list[Episode]) -> Tensor:
        """Logits after each row."""
        rows = [[*episode.prompt, *episode.tokens] for episode in live]
        ids = [torch.tensor([row], device=compute_device(self.model)) for row in rows]
        forget = {"use_cache": False} if "use_cache" in self.accepted else {}
        return torch.cat([self.model(input_ids=ids_1T, **forget).logits[:, -1] for ids_1T in ids])

    def move(self, source: int, target: int, length: int) -> None:
        """Nothing is kept, so nothing moves."""


@once_per_model
def cache_argument(model: PreTrainedModel) -> str | None:
    """The argument of a model's forward that takes a `SlotCache`; None where none does, or where
    logits with it are not those without.
    """
    found = None
    if _keeps_keys(model):
        found = next((name for name in _candidates(model) if _agrees(model, name)), None)
    if found is None:
        name = type(model).__name__
        log.warning("%s takes no plain key/value cache: each token recomputes its row", name)
    return found


def _keeps_keys(model: PreTrainedModel) -> bool:
    """Whether every layer's past is keys and values per token, nothing recurrent or shared."""
    layers = DynamicCache(config=model.config).layers
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


def _candidates(model: PreTrainedModel) -> list[str]:
    """The arguments that are said to be a cache, or else all that are None unless given."""
    arguments = signature(model.forward).parameters.values()
    optional = [a for a in arguments if a.default is None and a.name not in GIVEN]
    return [a.name for a in optional if "Cache" in str(a.annotation)] or [a.name for a in optional]


@torch.no_grad()
def _agrees(model: PreTrainedModel, name: str) -> bool:
    """Whether two rows of different lengths, read and continued over a cache, have the logits of
    whole rows. The shorter starts with filler, which a model must neither see nor count.
    """
    config = model.config.get_text_config()
    cache = SlotCache(layers=config.num_hidden_layers, slots=2, columns=3, reserve=2, dtype=None)
    one, two, three = (min(token, config.vocab_size - 1) for token in (1, 2, 3))
    rows = [Episode(0, [one, two], 0, 1), Episode(1, [three], 0, 1)]
    with evaluating(model), exact(compute_device(model)), batched_products(model):
        try:
            cached = Cached(model, cache, name)
            cached.prefill(rows, 0)
            for row in rows:
                row.add(two, 0.0)
            ours_BV = cached.step(rows)
        except Exception as problem:  # whatever an architecture makes of what it does not know
            log.debug("%s: %s is not its cache: %s", type(model).__name__, name, problem)
            return False
        if not all(layer.is_initialized for layer in cache.slot_layers):
            return False
        return are_same(ours_BV, Recomputing(model).step(rows), _largest_error(model))


@once_per_model
def reads_on(model: PreTrainedModel) -> bool:
    """Whether prompts whose beginning was read before have the logits of prompts read whole; of a
    model that has a `cache_argument`.
    """
    name, config = cache_argument(model), model.config.get_text_config()
    assert name is not None
    prompts = [
        tuple(min(token, config.vocab_size - 1) for token in prompt)
        for prompt in ((1, 2, 3), (1, 2, 2, 1, 3), (3,), (1, 2, 1, 1))
    ]
    cache = SlotCache(layers=config.num_hidden_layers, slots=4, columns=5, reserve=5, dtype=None)
    with torch.no_grad(), evaluating(model), exact(compute_device(model)), batched_products(model):
        try:
            shared = [Beginning(prompts[0][:2], [0, 1, 3])]
            ours_BV = Cached(model, cache, name).read(prompts, 0, shared)
        except Exception as problem:
            log.debug("%s reads each prompt whole: %s", type(model).__name__, problem)
            return False
        whole = [Episode(place, prompt, 0, 1) for place, prompt in enumerate(prompts)]
        return are_same(ours_BV, Recomputing(model).step(whole), _largest_error(model))


def _largest_error(model: PreTrainedModel) -> float:
    return LARGEST_ERROR if model.dtype.itemsize > 2 else LARGEST_ERROR_16


def are_same(ours_BV: Tensor, theirs_BV: Tensor, largest: float) -> bool:
    """Whether logits differ by no more than this, relative to their norm."""
    ours_BV, theirs_BV = ours_BV.nan_to_num(), theirs_BV.nan_to_num()  # the engine refuses them
    return bool((ours_BV - theirs_BV).norm() <= largest * theirs_BV.norm())

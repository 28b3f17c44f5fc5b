"""Sampling answers from a causal language model, many at a time.

Each live answer has a slot. One forward adds a token to every live slot; when answers end, the last
live slots move into the holes, and waiting prompts are prefilled together behind them. So every row
computed is a row needed, and `cache.py` says how rows of different age share one forward.

Axes: B live rows, U distinct prompts, T new tokens, W width (the longest live row), V vocabulary.
"""

import inspect
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from instructgpt.errors import UserError
from instructgpt.models.attention import batched_products
from instructgpt.models.fit import size_of
from instructgpt.rollout.cache import SlotCache
from instructgpt.rollout.graphs import FixedRows, has_fixed_rows
from instructgpt.rollout.sample import (
    Episode,
    Sample,
    distinct_prompts,
    left_padded,
    token_positions,
)
from instructgpt.rollout.sampling import Sampling, draw

log = logging.getLogger(__name__)

REFILL = 4
"""Free slots are filled when they are this fraction of all: prompts read together cost little more
than one alone, and an empty slot costs little.
"""


class RolloutEngine:
    """Draws answers with the model's own weights: no copy, so an update is seen at once."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        slots: int = 32,
        dtype: torch.dtype | None = None,
        _spare_columns: int | None = None,
    ) -> None:
        """At most `slots` answers are live at a time.

        `dtype` is what keys and values are stored in; None keeps what the model computes. The
        forward itself runs in the model's dtype, or under the caller's autocast.
        """
        if slots < 1:
            raise UserError(f"slots is {slots}: give at least 1")
        self.model = model
        self.slots = slots
        self.dtype = dtype
        self._spare_columns = _spare_columns
        self._accepted = frozenset(inspect.signature(model.forward).parameters)
        self._takes_graphs = (
            model.device.type == "cuda" and dtype is None and has_fixed_rows(model, self._accepted)
        )
        self._has_key_value_cache = "past_key_values" in self._accepted and _keeps_keys(model)
        if not self._has_key_value_cache:
            name = type(model).__name__
            log.warning("%s has no plain key/value cache: each token recomputes its row", name)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        *,
        on_progress: Callable[[int], None] | None = None,
        check: Callable[[], None] | None = None,
    ) -> list[Sample]:
        """One answer per prompt, in the prompts' order.

        An answer depends on its prompt, its seed and the weights; on slots, order and the other
        prompts only through float rounding. `on_progress` is told how many answers have ended.
        `check` is called before every forward, or on a GPU before every few; what it raises ends
        the call, and the engine and the model are left as they were.
        """
        self._check(prompts, seeds, sampling)
        # Longest last, where pop() takes it: prompts prefilled together are then of like length,
        # and equal ones are neighbours.
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), list(prompts[i])))
        draws = sampling.max_new_tokens
        waiting = [Episode(i, prompts[i], seeds[i], draws) for i in order]
        refill = max(1, self.slots // REFILL)
        model = self.model
        with torch.no_grad(), _evaluating(model), _cast_once(model), batched_products(model):
            if self._takes_graphs and waiting:
                slots = min(self.slots, len(waiting))
                rows = FixedRows(model, slots, sampling, waiting[-1].length)
                samples = rows.generate(waiting, refill, on_progress, check)
            else:
                decoder = self._decoder(prompts, sampling)
                samples = self._generate(decoder, waiting, refill, sampling, on_progress, check)
        return [samples[index] for index in range(len(prompts))]

    def _generate(
        self,
        decoder: "_Decoder",
        waiting: list[Episode],
        refill: int,
        sampling: Sampling,
        on_progress: Callable[[int], None] | None,
        check: Callable[[], None] | None,
    ) -> dict[int, Sample]:
        """The episodes' answers by their index; the last in the list begins first."""
        samples: dict[int, Sample] = {}
        live: list[Episode] = []
        while waiting or live:
            if check is not None:
                check()
            free = min(self.slots - len(live), len(waiting))
            if free and (free == len(waiting) or free >= refill):
                stepped = [waiting.pop() for _ in range(free)]
                logits_BV = decoder.prefill(stepped, len(live))
                live += stepped
            else:
                stepped = live
                logits_BV = decoder.step(live)
            _add_tokens(stepped, logits_BV, sampling)
            ended = _remove_ended(live, sampling, decoder)
            samples |= ended
            if ended and on_progress is not None:
                on_progress(len(samples))
        return samples

    def _decoder(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> "_Decoder":
        if not self._has_key_value_cache:
            return _Recomputing(self.model)
        reserve = max(map(len, prompts), default=0)
        spare = self._spare_columns
        if spare is None:  # moving the columns once in max_new_tokens steps costs nothing visible
            spare = sampling.max_new_tokens if len(prompts) > self.slots else 0
        cache = SlotCache(
            layers=self.model.config.get_text_config().num_hidden_layers,
            slots=min(self.slots, len(prompts)),
            columns=reserve + sampling.max_new_tokens + spare,
            reserve=reserve,
            dtype=self.dtype,
        )
        return _Cached(self.model, self._accepted, cache)

    def _check(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], sampling: Sampling
    ) -> None:
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts but {len(seeds)} seeds: give one for each")
        size = size_of(self.model)
        context = size.context or math.inf
        for index, prompt in enumerate(prompts):
            if not len(prompt):
                raise UserError(f"prompt {index} is empty: give at least one token")
            if len(prompt) + sampling.max_new_tokens > context:
                raise UserError(
                    f"prompt {index} has {len(prompt)} tokens, which with max_new_tokens "
                    f"{sampling.max_new_tokens} exceeds the model's context of {context}: "
                    "shorten the prompt or lower max_new_tokens"
                )
            if max(prompt) >= size.rows:
                raise UserError(
                    f"prompt {index} has the token id {max(prompt)}, but the model has "
                    f"{size.rows} rows in its embedding: give ids of its own tokenizer"
                )


def _add_tokens(episodes: list[Episode], logits_BV: Tensor, sampling: Sampling) -> None:
    """Draw each episode's next token."""
    uniforms_B = torch.tensor(
        [episode.uniforms[len(episode.tokens)] for episode in episodes],
        dtype=torch.float64,
        device=logits_BV.device,
    )
    tokens_B, logprobs_B = draw(logits_BV, uniforms_B, sampling)
    for episode, token, logprob in zip(
        episodes, tokens_B.tolist(), logprobs_B.tolist(), strict=True
    ):
        episode.add(token, logprob)


def _remove_ended(
    live: list[Episode], sampling: Sampling, decoder: "_Decoder"
) -> dict[int, Sample]:
    """Take ended episodes out of `live`, moving the last live one into each hole."""
    ended: dict[int, Sample] = {}
    for slot in reversed(range(len(live))):
        episode = live[slot]
        sample = episode.ended(sampling)
        if sample is None:
            continue
        ended[episode.index] = sample
        last = live.pop()
        if last is not episode:
            cached = last.length - 1  # the newest token's key is made in the next forward
            decoder.move(len(live), slot, cached)
            live[slot] = last
    return ended


class _Decoder(Protocol):
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


class _Cached:
    """One forward of the new tokens only, over a `SlotCache`."""

    def __init__(self, model: PreTrainedModel, accepted: frozenset[str], cache: SlotCache) -> None:
        self.model, self.accepted, self.cache = model, accepted, cache

    def prefill(self, fresh: list[Episode], first_slot: int) -> Tensor:
        prompts, rows = distinct_prompts(fresh)
        lengths = list(map(len, prompts))
        width = max(lengths)
        self.cache.open_prompts(first_slot, len(prompts), width)
        logits_UV = self._forward(left_padded(prompts), lengths, width)
        if len(prompts) == len(rows):
            return logits_UV
        rows_B = torch.tensor(rows, device=logits_UV.device)
        self.cache.spread(first_slot, rows_B, width)
        return logits_UV[rows_B]

    def step(self, live: list[Episode]) -> Tensor:
        lengths = [episode.length for episode in live]
        width = max(lengths)
        self.cache.open_column(len(live), width)
        return self._forward([[episode.tokens[-1]] for episode in live], lengths, width)

    def move(self, source: int, target: int, length: int) -> None:
        self.cache.move(source, target, length)

    def _forward(self, ids: list[list[int]], lengths: list[int], width: int) -> Tensor:
        device = self.model.device
        ids_BT = torch.tensor(ids, device=device)
        positions_BW = token_positions(width, torch.tensor(lengths, device=device))
        options: dict[str, Any] = {
            "position_ids": positions_BW[:, -ids_BT.shape[1] :].clamp(min=0),
            "logits_to_keep": 1,
        }
        output = self.model(
            input_ids=ids_BT,
            attention_mask=(positions_BW >= 0).long(),
            past_key_values=self.cache,
            use_cache=True,
            **{name: value for name, value in options.items() if name in self.accepted},
        )
        return output.logits[:, -1]


class _Recomputing:
    """Every row from its first token, one at a time: slow, and right for any architecture."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    def prefill(self, fresh: list[Episode], first_slot: int) -> Tensor:  # noqa: ARG002
        return self.step(fresh)

    def step(self, live: list[Episode]) -> Tensor:
        rows = [[*episode.prompt, *episode.tokens] for episode in live]
        ids = [torch.tensor([row], device=self.model.device) for row in rows]
        return torch.cat([self.model(input_ids=ids_1T).logits[:, -1] for ids_1T in ids])

    def move(self, source: int, target: int, length: int) -> None:
        pass


def _keeps_keys(model: PreTrainedModel) -> bool:
    """Whether every layer's past is keys and values per token, nothing recurrent or shared."""
    if model._is_stateful:
        return False
    layers = DynamicCache(config=model.config).layers
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Eval mode, then each module back in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _cast_once(model: PreTrainedModel) -> Iterator[None]:
    """Under autocast, each weight is cast at its first use and no more.

    Autocast itself keeps the casts of weights that require gradients only, and it keeps them until
    the caller leaves autocast, even if the weights have changed since, or are to be trained next.
    """
    if not torch.is_autocast_enabled(model.device.type):
        yield
        return
    torch.clear_autocast_cache()
    frozen = [w for w in model.parameters() if w.dtype == torch.float32 and not w.requires_grad]
    for weight in frozen:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        torch.clear_autocast_cache()
        for weight in frozen:
            weight.requires_grad_(False)

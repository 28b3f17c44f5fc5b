"""Sampling answers from a causal language model, many at a time.

Each live answer has a slot. One forward adds a token to every live slot; when answers end, the last
live slots move into the holes, and waiting prompts are prefilled together behind them. So every row
computed is a row needed, and `cache.py` says how rows of different age share one forward.

Axes: B live rows, U distinct prompts, T new tokens, W width (the longest live row), V vocabulary.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedModel

from instructgpt.errors import UserError
from instructgpt.models.attention import batched_products
from instructgpt.models.device import compute_device
from instructgpt.models.fit import size_of
from instructgpt.models.forward import evaluating
from instructgpt.rollout.cache import SlotCache
from instructgpt.rollout.decoders import Cached, Decoder, Recomputing, cache_argument
from instructgpt.rollout.episode import Episode, Sample
from instructgpt.rollout.graphs import FixedRows, has_fixed_rows
from instructgpt.rollout.sampling import Sampling, draw
from instructgpt.rollout.slim import Slim, takes_slim

REFILL = 4
"""Free slots are filled when they are this fraction of all: prompts read together cost little more
than one alone, and an empty slot costs little.
"""
PREFILL_TOKENS = 16_384
"""Of prompts that are read together. Attention grows with the square: 64 prompts of 2,000 tokens
have 64 · 9 · 2,000² scores in a layer of 9 heads, 9 GB in float32.
"""


class RolloutEngine:
    """Draws answers with the model's weights as they are at each call.

    Models of the common families are read on a CPU from a copy of their large weights that is laid
    out for it and lives as long as the call (`slim.py`); others, and all on a GPU, from themselves.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        slots: int = 32,
        dtype: torch.dtype | None = None,
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
        cache_name = None if self._is_slim else cache_argument(model)
        on_gpu = compute_device(model).type == "cuda" and dtype is None
        self._takes_graphs = cache_name is not None and on_gpu and has_fixed_rows(model)

    @property
    def way(self) -> str:
        """Where logits come from: `laid out` (`slim.py`), `graphs` (CUDA), `cache` or `whole rows`
        (`decoders.py`).
        """
        if self._is_slim:
            return "laid out"
        if self._takes_graphs:
            return "graphs"
        return "whole rows" if cache_argument(self.model) is None else "cache"

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
        if not prompts:
            return []
        # Longest last, where pop() takes it: prompts prefilled together are then of like length,
        # and equal ones are neighbours.
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), list(prompts[i])))
        draws = sampling.max_new_tokens
        waiting = [Episode(i, prompts[i], seeds[i], draws) for i in order]
        refill = max(1, self.slots // REFILL)
        model = self.model
        with torch.no_grad(), evaluating(model), _cast_once(model), batched_products(model):
            if self._takes_graphs and waiting:
                slots, name = min(self.slots, len(waiting)), cache_argument(model)
                assert name is not None
                rows = FixedRows(model, slots, sampling, waiting[-1].length, name)
                samples = rows.generate(waiting, refill, on_progress, check)
            else:
                decoder = self._decoder(prompts, sampling)
                samples = self._generate(decoder, waiting, refill, sampling, on_progress, check)
        return [samples[index] for index in range(len(prompts))]

    def _generate(
        self,
        decoder: Decoder,
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
                stepped = _taken(waiting, free)
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

    def _decoder(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> Decoder:
        reserve = max(map(len, prompts), default=0)
        if self._is_slim:  # looked at now: the model may have been changed
            longest, dtype = reserve + sampling.max_new_tokens, _product_dtype()
            return Slim(self.model, min(self.slots, len(prompts)), longest, dtype)
        name = cache_argument(self.model)
        if name is None:
            return Recomputing(self.model)
        # Moving the columns once in max_new_tokens steps costs nothing visible.
        spare = sampling.max_new_tokens if len(prompts) > self.slots else 0
        cache = SlotCache(
            layers=self.model.config.get_text_config().num_hidden_layers,
            slots=min(self.slots, len(prompts)),
            columns=reserve + sampling.max_new_tokens + spare,
            reserve=reserve,
            dtype=self.dtype,
        )
        return Cached(self.model, cache, name)

    @property
    def _is_slim(self) -> bool:
        is_known = _product_dtype() in (torch.float32, torch.bfloat16)
        return is_known and self.dtype is None and takes_slim(self.model)

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


def _taken(waiting: list[Episode], free: int) -> list[Episode]:
    """The next episodes, as many as are free and as one pass may hold; one at least."""
    most = max(1, PREFILL_TOKENS // waiting[-1].length)  # the longest of those that wait
    return [waiting.pop() for _ in range(min(free, most))]


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


def _remove_ended(live: list[Episode], sampling: Sampling, decoder: Decoder) -> dict[int, Sample]:
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


def _product_dtype() -> torch.dtype:
    """What the caller's autocast multiplies in, on a CPU."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32


@contextmanager
def _cast_once(model: PreTrainedModel) -> Iterator[None]:
    """Under autocast, each weight is cast at its first use and no more.

    Autocast itself keeps the casts of weights that require gradients only, and it keeps them until
    the caller leaves autocast, even if the weights have changed since, or are to be trained next.
    """
    if not torch.is_autocast_enabled(compute_device(model).type):
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

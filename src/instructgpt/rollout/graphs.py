"""Sampling without a word from the host between two tokens: for GPUs, where launching a step takes
longer than computing it.

Each slot owns a row of fixed memory, and a step (forward, draw, bookkeeping) reads and writes only
such memory. So it is captured once for every width as a CUDA graph, and replayed. The host looks at
what was drawn every `LOOK` steps only; what a row drew beyond its end is dropped.

Axes: B slots, F fresh ones, U distinct prompts, W width, N draws, S prompt tokens, H key heads,
    D head size, V vocabulary.
"""

import logging
from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from instructgpt.models import attention
from instructgpt.rollout.episode import (
    Episode,
    Sample,
    distinct_prompts,
    left_padded,
    token_positions,
)
from instructgpt.rollout.sampling import Sampling, draw

log = logging.getLogger(__name__)

LOOK = 8
"""Steps between two looks: half of them, on average, are wasted on a row that has ended."""
WIDTH_STEP = 128
"""Widths are multiples of this, so that a few graphs serve all steps."""
WARM_UP = 2
"""Steps before a capture, in which libraries choose kernels and take memory."""


def has_fixed_rows(model: PreTrainedModel) -> bool:
    """Whether the model's past can lie in rows of fixed memory, each with its own length: full
    attention in every layer, positions given from outside, kernels that take a mask of booleans.
    """
    from torch.distributed.tensor import DTensor  # takes a while, and only a GPU asks

    kernels = model.config.get_text_config()._attn_implementation
    layers = DynamicCache(config=model.config).layers
    return (
        {"position_ids", "logits_to_keep"} <= set(signature(model.forward).parameters)
        and model._supports_sdpa
        and kernels in ("sdpa", attention.NAME)
        and all(type(layer) is DynamicLayer for layer in layers)
        and not any(isinstance(weight, DTensor) for weight in model.parameters())
    )


class _Row(DynamicLayer):
    """One layer's keys and values of all slots, [B, columns, H, D], left-aligned."""

    def __init__(self, rows: "_Rows") -> None:
        super().__init__()
        self.rows = rows

    def reserve(self, keys_BHTD: Tensor, values_BHTD: Tensor) -> None:
        """Take the memory, once it is known how large a head is."""

        def zeros(states: Tensor) -> Tensor:
            _, heads, _, size = states.shape
            device, dtype = states.device.type, states.dtype
            if torch.is_autocast_enabled(device):
                dtype = torch.get_autocast_dtype(device)
            # Zeros, not empty memory: a masked NaN would still spoil the sum it is masked from.
            return states.new_zeros(self.rows.slots * self.rows.columns, heads, size, dtype=dtype)

        self.keys, self.values = zeros(keys_BHTD), zeros(values_BHTD)
        self.is_initialized = True

    def fill(self, places_S: Tensor, keys_SHD: Tensor, values_SHD: Tensor) -> None:
        """Write the keys and values of prompt tokens to these places."""
        assert self.keys is not None
        assert self.values is not None
        self.keys.index_copy_(0, places_S, keys_SHD.to(self.keys.dtype))
        self.values.index_copy_(0, places_S, values_SHD.to(self.values.dtype))

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Write one token to each row, where it ends; return the first columns of all rows."""
        self.fill(self.rows.place_B, key_states[:, :, 0], value_states[:, :, 0])
        return self._seen(self.keys), self._seen(self.values)

    def get_seq_length(self) -> int:
        """Never asked for by a model that is given masks and positions."""
        return 0

    def _seen(self, states: Tensor | None) -> Tensor:
        assert states is not None
        rows_BWHD = states.view(self.rows.slots, self.rows.columns, *states.shape[1:])
        return rows_BWHD[:, : self.rows.width].transpose(1, 2)


class _Rows:
    """What all layers share: the size of the memory, and where and how far a step reaches."""

    def __init__(self, slots: int, columns: int, device: torch.device) -> None:
        self.slots, self.columns, self.width = slots, columns, 0
        self.first_B = torch.arange(slots, device=device) * columns
        self.place_B = self.first_B.clone()


class FixedRows:
    """Draws answers as `RolloutEngine` does, which chooses it on a GPU.

    Args:
        model: one that `has_fixed_rows`.
        slots: how many answers grow at a time.
        sampling: how they are drawn and where they end.
        longest: tokens of the longest prompt.
        cache_name: the argument of the model's forward that takes a cache.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        slots: int,
        sampling: Sampling,
        longest: int,
        cache_name: str,
    ) -> None:
        self.model, self.slots, self.sampling = model, slots, sampling
        self.cache_name = cache_name
        device, draws = model.device, sampling.max_new_tokens
        self.rows = _Rows(slots, longest + draws, device)
        self.layers = [_Row(self.rows) for _ in DynamicCache(config=model.config).layers]
        self.cache = Cache(layers=list(self.layers))

        def zeros(*shape: int, dtype: torch.dtype = torch.long) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.newest_B = zeros(slots)  # the last token drawn, which the next step reads
        self.length_B = zeros(slots)  # tokens before it
        self.drawn_B = zeros(slots)  # tokens drawn
        self.uniforms_BN = zeros(slots, draws, dtype=torch.float64)
        # A column more than is ever asked for: what is drawn beyond the end goes there.
        self.tokens_BN = zeros(slots, draws + 1)
        self.logprobs_BN = zeros(slots, draws + 1, dtype=torch.float32)
        self._captures = model.device.type == "cuda"
        self._graphs: dict[int, torch.cuda.CUDAGraph | None] = {}

    @property
    def state(self) -> list[Tensor]:
        """What a step changes, but for the cache."""
        return [self.newest_B, self.length_B, self.drawn_B, self.tokens_BN, self.logprobs_BN]

    def generate(
        self,
        waiting: list[Episode],
        refill: int,
        on_progress: Callable[[int], None] | None,
        check: Callable[[], None] | None,
    ) -> dict[int, Sample]:
        """The episodes' answers by their index; the last in the list begins first.

        Prompts are read when `refill` slots are free, or none are waiting beyond those that fit.
        """
        samples: dict[int, Sample] = {}
        live: dict[int, Episode] = {}
        while waiting or live:
            if check is not None:
                check()
            free = [slot for slot in range(self.slots) if slot not in live][: len(waiting)]
            if free and (len(free) == len(waiting) or len(free) >= refill):
                fresh = {slot: waiting.pop() for slot in free}
                self._read_prompts(fresh)
                live |= fresh
            # The first token of a fresh answer is not in its length yet.
            longest = max(episode.length for episode in live.values()) + 1 + LOOK
            self.rows.width = min(-(-longest // WIDTH_STEP) * WIDTH_STEP, self.rows.columns)
            for _ in range(LOOK):
                self._advance()
            ended = self._look(live)
            samples |= ended
            if ended and on_progress is not None:
                on_progress(len(samples))
        return samples

    def step(self) -> None:
        """One token more in every slot, of the live and of the others."""
        columns_W = torch.arange(self.rows.width, device=self.length_B.device)
        self.rows.place_B.copy_(self.rows.first_B + self.length_B)
        output = self.model(
            input_ids=self.newest_B[:, None],
            attention_mask=(columns_W <= self.length_B[:, None])[:, None, None],
            position_ids=self.length_B[:, None],
            use_cache=True,
            logits_to_keep=1,
            **{self.cache_name: self.cache},
        )
        last = self.sampling.max_new_tokens - 1
        uniforms_B = self.uniforms_BN.gather(1, self.drawn_B.clamp(max=last)[:, None])[:, 0]
        tokens_B, logprobs_B = draw(output.logits[:, -1], uniforms_B, self.sampling)
        self.tokens_BN.scatter_(1, self.drawn_B[:, None], tokens_B[:, None])
        self.logprobs_BN.scatter_(1, self.drawn_B[:, None], logprobs_B[:, None])
        self.newest_B.copy_(tokens_B)
        # Rows that have ended stay where they are harmless.
        self.length_B.add_(1).clamp_(max=self.rows.width - 1)
        self.drawn_B.add_(1).clamp_(max=last + 1)

    def _advance(self) -> None:
        """A step: replayed, if it can be captured."""
        width = self.rows.width
        if width not in self._graphs:
            self._graphs[width] = self._capture() if self._captures else None
        graph = self._graphs[width]
        if graph is None:
            self.step()
        else:
            graph.replay()

    def _capture(self) -> torch.cuda.CUDAGraph | None:
        """A graph of a step at this width; nothing has been drawn afterwards."""
        before = [tensor.clone() for tensor in self.state]
        device, graph = self.length_B.device, torch.cuda.CUDAGraph()
        with torch.cuda.device(device):  # whose stream is captured
            stream = torch.cuda.Stream()
            try:
                stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(stream):
                    for _ in range(WARM_UP):
                        self.step()
                torch.cuda.current_stream().wait_stream(stream)
                with torch.cuda.graph(graph):
                    self.step()
            except RuntimeError as problem:
                log.warning("steps are launched one by one: no CUDA graph (%s)", problem)
                torch.cuda.synchronize()  # what the warm-up began may still be writing
                graph = None
        for tensor, value in zip(self.state, before, strict=True):
            tensor.copy_(value)
        return graph

    def _read_prompts(self, fresh: dict[int, Episode]) -> None:
        """Read the prompts of fresh episodes, equal ones once, and draw their first tokens."""
        device = self.length_B.device
        prompts, rows = distinct_prompts(fresh.values())
        ids_UW = torch.tensor(left_padded(prompts), device=device)
        width = ids_UW.shape[1]
        lengths_U = torch.tensor(list(map(len, prompts)), device=device)
        positions_UW = token_positions(width, lengths_U)
        past = DynamicCache(config=self.model.config)
        output = self.model(
            input_ids=ids_UW,
            attention_mask=(positions_UW >= 0).long(),
            position_ids=positions_UW.clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
            **{self.cache_name: past},
        )
        source, places = [], []
        for (slot, episode), row in zip(fresh.items(), rows, strict=True):
            length = len(episode.prompt)
            source += range((row + 1) * width - length, (row + 1) * width)
            places += range(slot * self.rows.columns, slot * self.rows.columns + length)
        source_S, places_S = (torch.tensor(x, device=device) for x in (source, places))
        for layer, own in zip(past.layers, self.layers, strict=True):
            assert isinstance(layer, DynamicLayer)
            keys, values = layer.keys, layer.values
            assert keys is not None
            assert values is not None
            if not own.is_initialized:
                own.reserve(keys, values)
            own.fill(
                places_S,
                *(states.transpose(1, 2).flatten(0, 1)[source_S] for states in (keys, values)),
            )

        slots_F = torch.tensor(list(fresh), device=device)
        uniforms_FN = torch.tensor(
            [episode.uniforms for episode in fresh.values()], dtype=torch.float64, device=device
        )
        logits_FV = output.logits[:, -1][torch.tensor(rows, device=device)]
        tokens_F, logprobs_F = draw(logits_FV, uniforms_FN[:, 0], self.sampling)
        self.uniforms_BN[slots_F] = uniforms_FN
        self.tokens_BN[slots_F, 0], self.logprobs_BN[slots_F, 0] = tokens_F, logprobs_F
        self.newest_B[slots_F], self.drawn_B[slots_F] = tokens_F, 1
        lengths = [len(episode.prompt) for episode in fresh.values()]
        self.length_B[slots_F] = torch.tensor(lengths, device=device)

    def _look(self, live: dict[int, Episode]) -> dict[int, Sample]:
        """Take over what was drawn since the last look; episodes that have ended leave `live`."""
        drawn, tokens, logprobs = (
            tensor.tolist() for tensor in (self.drawn_B, self.tokens_BN, self.logprobs_BN)
        )
        ended: dict[int, Sample] = {}
        for slot, episode in list(live.items()):
            for number in range(len(episode.tokens), min(drawn[slot], len(tokens[slot]) - 1)):
                episode.add(tokens[slot][number], logprobs[slot][number])
                if sample := episode.ended(self.sampling):
                    ended[episode.index] = sample
                    del live[slot]
                    break
        return ended

"""Logits from a model's layers laid out for reading: few large operations a step, and keys and
values that are written once and read where they lie.

A row of n tokens lies in the first n columns. Keys lie transposed, as the product with a query
reads them, and the buffers are as wide as the longest row, so that no product copies its factors.

Axes: B rows, T new tokens, W columns, H query heads, K key heads, G query heads that share a key
    head, S head size, V vocabulary, N tokens.
"""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from instructgpt.models.attention import attend as attend_rows
from instructgpt.models.forward import evaluating, exact
from instructgpt.models.once import once_per_model
from instructgpt.models.slim.families import is_slim, slim
from instructgpt.models.slim.stack import Attend, Block, Heads
from instructgpt.rollout.decoders import Recomputing, are_same
from instructgpt.rollout.episode import Episode, distinct_prompts
from instructgpt.rollout.prefix import Beginning, beginnings

log = logging.getLogger(__name__)

COLUMNS = 32
"""Columns that are added or given back together: each time, all that is kept is copied once."""
LARGEST_ERROR = 1e-4
"""Of logits, relative, in float32: between rounding (1e-6) and a token seen by mistake (1e-2)."""


class Slim:
    """A `Decoder` over a stack, for up to `slots` rows of up to `positions` tokens."""

    def __init__(
        self, model: PreTrainedModel, slots: int, positions: int, dtype: torch.dtype
    ) -> None:
        self.stack = slim(model, dtype, rows=slots, positions=positions)
        self.kept = Columns(len(self.stack.blocks), slots, self.stack.heads, dtype)
        self.kernel = _Kernel(self.stack.heads)

    def prefill(self, fresh: list[Episode], first_slot: int) -> Tensor:
        """Logits after each prompt; equal ones are read once, and what several begin with."""
        prompts, rows = distinct_prompts(fresh)
        logits_UV = self.read(prompts, first_slot, beginnings(prompts))
        if len(prompts) == len(rows):
            return logits_UV
        rows_B = torch.tensor(rows)
        self.kept.spread(first_slot, rows_B)
        return logits_UV[rows_B]

    def read(
        self, prompts: Sequence[tuple[int, ...]], first_slot: int, shared: Sequence[Beginning]
    ) -> Tensor:
        """Logits after each of different prompts, whose slots begin at `first_slot`; what some
        begin with is read first.
        """
        starts = [0] * len(prompts)
        for tokens, places in shared:
            own = first_slot + places[0]
            self._forward([tokens], own, [0])
            self.kept.begin(own, len(tokens), [first_slot + place for place in places[1:]])
            for place in places:
                starts[place] = len(tokens)
        left = [prompt[start:] for prompt, start in zip(prompts, starts, strict=True)]
        return self._forward(left, first_slot, starts)

    def step(self, live: list[Episode]) -> Tensor:
        """Logits after each newest token; what precedes it is kept."""
        at_B = torch.tensor([episode.length - 1 for episode in live])
        self.kept.fit(int(at_B.max()) + 1)
        ids_B = torch.tensor([episode.tokens[-1] for episode in live])
        with torch.autocast("cpu", enabled=False):
            states_BD = self.stack.states(ids_B, at_B, self._of_one(at_B))
            return self.stack.logits(states_BD)

    def move(self, source: int, target: int, length: int) -> None:  # noqa: ARG002
        """Copy the row."""
        self.kept.move(source, target)

    def _forward(
        self, rows: Sequence[Sequence[int]], first_slot: int, starts: Sequence[int]
    ) -> Tensor:
        """Logits after the last of each row's new tokens, which stand behind `starts` others."""
        lengths_B = torch.tensor(list(map(len, rows)))
        T = int(lengths_B.max())
        ids_N = torch.tensor([token for row in rows for token in row])
        at_BT = torch.tensor(starts)[:, None] + torch.arange(T)
        is_token_BT = torch.arange(T) < lengths_B[:, None]
        self.kept.grow(int(at_BT[is_token_BT].max()) + 1)
        with torch.autocast("cpu", enabled=False):
            several = self._of_several(at_BT, is_token_BT, first_slot, goes_on=any(starts))
            states_ND = self.stack.states(ids_N, at_BT[is_token_BT], several)
            return self.stack.logits(states_ND[lengths_B.cumsum(0) - 1])

    def _of_one(self, at_B: Tensor) -> Attend:
        """Attention of rows that get one token each, the first in the first slot."""
        B, rows_B, heads = len(at_B), torch.arange(len(at_B)), self.stack.heads
        biases = {
            window: _bias(at_B, self.kept.width, window, self.stack.dtype)
            for window in {block.window for block in self.stack.blocks}
        }

        def attend(block: Block, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            self.kept.write(block.index, rows_B, at_B, keys, values)
            keys_BKSW, values_BKWS = self.kept.layers[block.index]
            queries_BKGS = (queries * block.scale).view(B, heads.keys, -1, heads.size)
            scores_BKGW = (queries_BKGS @ keys_BKSW[:B]).add_(biases[block.window])
            return (scores_BKGW.softmax(-1) @ values_BKWS[:B]).view(B, -1)

        return attend

    def _of_several(
        self, at_BT: Tensor, is_token_BT: Tensor, first_slot: int, *, goes_on: bool
    ) -> Attend:
        """Attention of rows that get several tokens each, and go on after kept ones or not. Only
        here they are filled up to the longest: behind a row's end, where none of its tokens sees.
        """
        B, T = at_BT.shape
        rows_N, at_N = first_slot + is_token_BT.nonzero()[:, 0], at_BT[is_token_BT]
        W = int(at_N.max()) + 1
        real_N = is_token_BT.view(-1).nonzero()[:, 0]
        masks = {
            window: _sees(at_BT, W, window)[:, None]
            for window in {block.window for block in self.stack.blocks}
            if goes_on or (window is not None and window < T)
        }

        def filled(of_NHS: Tensor) -> Tensor:
            of_MHS = of_NHS.new_zeros(B * T, *of_NHS.shape[1:])
            return of_MHS.index_copy_(0, real_N, of_NHS).unflatten(0, (B, T)).transpose(1, 2)

        def attend(block: Block, *heads: Tensor) -> Tensor:
            self.kept.write(block.index, rows_N, at_N, *heads[1:])
            queries, keys, values = map(filled, heads)
            if goes_on:
                keys_BKSW, values_BKWS = self.kept.layers[block.index]
                rows = slice(first_slot, first_slot + B)
                keys, values = keys_BKSW[rows, ..., :W].transpose(2, 3), values_BKWS[rows, :, :W]
            mask = masks.get(block.window)
            outs_BTHS, _ = attend_rows(
                self.kernel, queries, keys, values, mask, scaling=block.scale
            )
            return outs_BTHS.reshape(B * T, -1)[real_N]

        return attend


class Columns:
    """Keys (slots, K, S, W) and values (slots, K, W, S) of every layer."""

    def __init__(self, layers: int, slots: int, heads: Heads, dtype: torch.dtype) -> None:
        shape = (slots, heads.keys)
        # Zeros, not empty memory: a masked NaN would still spoil the sum it is masked from.
        self.layers = [
            (
                torch.zeros(*shape, heads.size, 0, dtype=dtype),
                torch.zeros(*shape, 0, heads.size, dtype=dtype),
            )
            for _ in range(layers)
        ]
        self.width = 0

    def fit(self, width: int) -> None:
        """Make the buffers wide enough for this many columns, and not much wider."""
        if not width <= self.width < width + 2 * COLUMNS:
            self._resize(width)

    def grow(self, width: int) -> None:
        """Make them wide enough."""
        if width > self.width:
            self._resize(width)

    def write(
        self, layer: int, rows_N: Tensor, at_N: Tensor, keys_NKS: Tensor, values_NKS: Tensor
    ) -> None:
        """Put new tokens into their rows and columns."""
        keys_BKSW, values_BKWS = self.layers[layer]
        keys_BKSW[rows_N, :, :, at_N] = keys_NKS
        values_BKWS[rows_N, :, at_N] = values_NKS

    def move(self, source: int, target: int) -> None:
        """Copy a row to another slot."""
        for keys, values in self.layers:
            keys[target], values[target] = keys[source], values[source]

    def spread(self, first: int, rows_B: Tensor) -> None:
        """Copy the row in slot first + rows_B[i] to slot first + i."""
        slots = slice(first, first + len(rows_B))
        for keys, values in self.layers:
            for buffer in (keys, values):
                buffer[slots] = buffer[slots].index_select(0, rows_B)

    def begin(self, source: int, length: int, slots: Sequence[int]) -> None:
        """Copy the first `length` tokens of a row to the beginning of others."""
        for keys, values in self.layers:
            for slot in slots:
                keys[slot, ..., :length] = keys[source, ..., :length]
                values[slot, :, :length] = values[source, :, :length]

    def _resize(self, width: int) -> None:
        columns = -(-width // COLUMNS) * COLUMNS
        kept = min(columns, self.width)
        for index, (keys, values) in enumerate(self.layers):
            more_keys = keys.new_zeros(*keys.shape[:3], columns)
            more_values = values.new_zeros(*values.shape[:2], columns, values.shape[3])
            more_keys[..., :kept], more_values[:, :, :kept] = keys[..., :kept], values[:, :, :kept]
            self.layers[index] = (more_keys, more_values)
        self.width = columns


class _Kernel(nn.Module):
    """What attention functions ask of the module that calls them."""

    is_causal = True

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.num_key_value_groups = heads.queries // heads.keys


def _sees(at_BT: Tensor, columns: int, window: int | None) -> Tensor:
    """Whether the token in a column sees each column, (B, T, W)."""
    back_BTW = at_BT[..., None] - torch.arange(columns)
    sees_BTW = back_BTW >= 0
    return sees_BTW if window is None else sees_BTW & (back_BTW < window)


def _bias(at_B: Tensor, columns: int, window: int | None, dtype: torch.dtype) -> Tensor:
    """What is added to the scores of rows that get one token, (B, 1, 1, W)."""
    is_hidden_BW = ~_sees(at_B[:, None], columns, window)[:, 0]
    bias_BW = torch.zeros(is_hidden_BW.shape, dtype=dtype)
    return bias_BW.masked_fill_(is_hidden_BW, torch.finfo(dtype).min)[:, None, None]


def takes_slim(model: PreTrainedModel) -> bool:
    """Whether the model's logits come out the same from its layers laid out for reading."""
    return is_slim(model) and _agrees(model)


@once_per_model
def _agrees(model: PreTrainedModel) -> bool:
    """Whether prompts of different lengths, of which some begin alike, have the logits of whole
    rows, and so have the tokens after them.
    """
    last = model.config.vocab_size - 1
    prompts = [
        tuple(min(token, last) for token in prompt)
        for prompt in ((1, 2, 3), (1, 2, 2, 1, 3), (3,), (1, 2, 1, 1))
    ]
    rows = [Episode(place, prompt, 0, 1) for place, prompt in enumerate(prompts)]
    try:
        is_right = _reads_right(model, prompts, rows)
    except Exception as problem:  # whatever a part is that it did not use to be
        log.debug("%s is not laid out: %s", type(model).__name__, problem)
        is_right = False
    if not is_right:
        log.warning("%s is not sampled from its layers laid out", type(model).__name__)
    return is_right


def _reads_right(
    model: PreTrainedModel, prompts: Sequence[tuple[int, ...]], rows: list[Episode]
) -> bool:
    ours, theirs = Slim(model, len(rows), 8, torch.float32), Recomputing(model)
    with torch.no_grad(), evaluating(model), exact(torch.device("cpu")):
        read_BV = ours.read(prompts, 0, [Beginning(prompts[0][:2], [0, 1, 3])])
        is_right = are_same(read_BV, theirs.step(rows), LARGEST_ERROR)
        for row in rows:
            row.add(row.prompt[0], 0.0)
        return is_right and are_same(ours.step(rows), theirs.step(rows), LARGEST_ERROR)

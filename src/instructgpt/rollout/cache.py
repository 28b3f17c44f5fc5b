"""One preallocated key/value buffer for rows that come and go, behind transformers' `Cache`.

Every live row ends at the same column: a row of n tokens lies in the last n columns before `end`,
as if the batch were left-padded. A model then needs nothing beyond its usual left padding, and what
is counted from the end of the key axis (sliding windows, GPT-Neo's local attention) stays right. A
forward sees the columns from the first of the longest row to `end`, no more.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


@dataclass
class _Window:
    """What the layers of a cache share: the buffer's size, and the part the next forward uses.

    Apart from the cache, because layers that refer back to it would keep its memory from being
    freed with the last reference.
    """

    slots: int
    columns: int
    dtype: torch.dtype | None
    end: int
    rows: slice
    width: int
    new: int


class _SlotLayer(DynamicLayer):
    """One layer's keys and values, [slots, heads, columns, size], made at the first forward."""

    def __init__(self, window: _Window) -> None:
        super().__init__()
        self.window = window

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        def buffer(states: Tensor) -> Tensor:
            _, heads, _, size = states.shape
            # Zeros, not empty memory: a masked NaN would still spoil the sum it is masked from.
            shape = (self.window.slots, heads, self.window.columns, size)
            return states.new_zeros(shape, dtype=self.window.dtype)

        self.keys, self.values = buffer(key_states), buffer(value_states)
        self.is_initialized = True

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Write the new columns; return all columns of the window."""
        device = key_states.device.type
        if torch.is_autocast_enabled(device):  # once now, or attention casts all columns every time
            dtype = torch.get_autocast_dtype(device)
            key_states, value_states = key_states.to(dtype), value_states.to(dtype)
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        window = self.window
        keys, values = self.keys[window.rows], self.values[window.rows]
        keys[:, :, window.end - window.new : window.end] = key_states
        values[:, :, window.end - window.new : window.end] = value_states
        seen = slice(window.end - window.width, window.end)
        return keys[:, :, seen].to(key_states.dtype), values[:, :, seen].to(value_states.dtype)

    def get_seq_length(self) -> int:
        """Columns already there before this forward, counted from the window's first."""
        return self.window.width - self.window.new


class SlotCache(Cache):
    """Buffers of `slots` rows and `columns` columns, `reserve` of them for the longest prompt."""

    def __init__(
        self, *, layers: int, slots: int, columns: int, reserve: int, dtype: torch.dtype | None
    ) -> None:
        self.window = _Window(slots, columns, dtype, end=reserve, rows=slice(0), width=0, new=0)
        self.reserve = reserve
        self.slot_layers = [_SlotLayer(self.window) for _ in range(layers)]
        super().__init__(layers=list(self.slot_layers))

    def open_prompts(self, first: int, count: int, width: int, new: int | None = None) -> None:
        """The next forward fills `count` slots with left-padded prompts of up to `width` tokens;
        with the last `new` of them, where what is before is there already.
        """
        window = self.window
        window.rows, window.width = slice(first, first + count), width
        window.new = width if new is None else new

    def open_column(self, count: int, width: int) -> None:
        """The next forward adds a token to `count` slots; the longest then has `width` tokens."""
        window = self.window
        if window.end == window.columns:
            self._move_to_front(count, width - 1)
        window.end += 1
        window.rows, window.width, window.new = slice(count), width, 1

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row of `length` tokens from one slot to another."""
        row = slice(self.window.end - length, self.window.end)
        for buffer in self._buffers():
            buffer[target, :, row] = buffer[source, :, row]

    def spread(self, first: int, rows_B: Tensor, width: int) -> None:
        """Copy the prompt of up to `width` tokens in slot first + rows_B[i] to slot first + i."""
        slots = slice(first, first + len(rows_B))
        prompt = slice(self.window.end - width, self.window.end)
        for buffer in self._buffers():
            buffer[slots, :, prompt] = buffer[slots, :, prompt].index_select(0, rows_B)

    def begin(self, source: int, length: int, rows: Iterable[tuple[int, int]]) -> None:
        """Copy the prompt of `length` tokens in slot `source` to the beginning of rows, each given
        as its slot and how many tokens it is to have.
        """
        rows, end = list(rows), self.window.end
        for buffer in self._buffers():
            tokens = buffer[source, :, end - length : end].clone()  # a row may overlap its source
            for slot, whole in rows:
                buffer[slot, :, end - whole : end - whole + length] = tokens

    def _move_to_front(self, count: int, width: int) -> None:
        """Move the last `width` columns of `count` slots to the front, short of the reserve."""
        old = slice(self.window.end - width, self.window.end)
        self.window.end = max(self.reserve, width)
        new = slice(self.window.end - width, self.window.end)
        for buffer in self._buffers():
            buffer[:count, :, new] = buffer[:count, :, old].clone()  # the two may overlap

    def _buffers(self) -> Iterator[Tensor]:
        for layer in self.slot_layers:
            if layer.keys is not None and layer.values is not None:
                yield from (layer.keys, layer.values)

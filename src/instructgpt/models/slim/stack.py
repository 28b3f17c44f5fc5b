"""The layers of a Llama-like or GPT-2-like transformer, over tokens in a row.

A token knows its position; what it sees of others is the caller's part (`Attend`), who keeps the
keys and values where it likes.

Axes: N tokens, D width, H query heads, K key heads, S head size, P positions, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instructgpt.models.slim.products import Product

Attend = Callable[["Block", Tensor, Tensor, Tensor], Tensor]
"""(block, queries (N, H, S), keys and values (N, K, S)) -> the heads' outputs (N, H * S). Heads may
be views of one tensor.
"""
Change = Callable[[Tensor], Tensor]
"""Of states, each token by itself: a norm, or an MLP."""


@dataclass(frozen=True)
class Heads:
    """How a block's projections are cut into heads."""

    queries: int
    keys: int
    size: int


@dataclass(frozen=True)
class Block:
    """One layer: attention and MLP, each on normed states and added to them.

    Attributes:
        index: its place.
        norm: before attention.
        project: to queries, keys and values side by side, (N, (H + 2 K) * S).
        out: of the heads' outputs.
        mlp_norm: before the MLP.
        mlp: the MLP.
        scale: of the scores.
        window: how many tokens back a token sees, itself included; None is all.
        head_norms: over each query head and each key head, where there are such.
    """

    index: int
    norm: Change
    project: Product
    out: Product
    mlp_norm: Change
    mlp: Change
    scale: float
    window: int | None = None
    head_norms: tuple[Change, Change] | None = None


@dataclass(frozen=True)
class Rotation:
    """Rotary positions: cosines and signed sines of every position, float32 (P, S)."""

    cos_PS: Tensor
    sin_PS: Tensor

    def at(self, positions_N: Tensor) -> Change:
        """What turns the heads (N, H, S) of tokens at these positions; in float32."""
        half = self.cos_PS.shape[-1] // 2
        cos_N1S, sin_N1S = self.cos_PS[positions_N, None], self.sin_PS[positions_N, None]

        def turned(heads_NHS: Tensor) -> Tensor:
            heads_NHS = heads_NHS.float()
            swapped_NHS = torch.cat([heads_NHS[..., half:], heads_NHS[..., :half]], -1)
            return swapped_NHS.mul_(sin_N1S).addcmul_(heads_NHS, cos_N1S)

        return turned


@dataclass(frozen=True)
class Stack:
    """The layers of a model.

    Attributes:
        dtype: of products and heads; states are float32.
        heads: of every block.
        embed: (ids (N,), positions (N,)) -> states (N, D).
        rotation: of queries and keys, where positions are not embedded.
        norm: after the last block.
        head: to logits.
    """

    dtype: torch.dtype
    heads: Heads
    blocks: Sequence[Block]
    embed: Callable[[Tensor, Tensor], Tensor]
    rotation: Rotation | None
    norm: Change
    head: Product

    def states(self, ids_N: Tensor, positions_N: Tensor, attend: Attend) -> Tensor:
        """The last hidden states, normed: float32 (N, D)."""
        H, K, S = self.heads.queries, self.heads.keys, self.heads.size
        turn = self.rotation.at(positions_N) if self.rotation else None
        states_ND = self.embed(ids_N, positions_N)
        for block in self.blocks:
            normed_ND = block.norm(states_ND).to(self.dtype)
            heads_NHS = block.project(normed_ND).view(-1, H + 2 * K, S)
            placed_NHS, values_NKS = heads_NHS[:, : H + K], heads_NHS[:, H + K :]
            if block.head_norms is not None:
                of_queries, of_keys = block.head_norms
                normed = [of_queries(placed_NHS[:, :H]), of_keys(placed_NHS[:, H:])]
                placed_NHS = torch.cat(normed, 1)
            if turn is not None:
                placed_NHS = turn(placed_NHS).to(self.dtype)
            outs_NX = attend(block, placed_NHS[:, :H], placed_NHS[:, H:], values_NKS)
            states_ND = states_ND + block.out(outs_NX)
            states_ND = states_ND + block.mlp(block.mlp_norm(states_ND).to(self.dtype))
        return self.norm(states_ND)

    def logits(self, states_ND: Tensor) -> Tensor:
        """Of some tokens' states: float32 or as products are, (N, V)."""
        return self.head(states_ND.to(self.dtype))

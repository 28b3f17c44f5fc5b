"""Whether texts fit a model: the tokens that it can read, and the rows of its embedding."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from instructgpt.errors import UserError

EXTENDED = frozenset({"linear", "yarn"})
"""Kinds of rotary scaling whose factor multiplies the original context."""
SWITCHED = frozenset({"longrope", "dynamic"})
"""Kinds that turn positions otherwise once the longest row of a batch is longer than the original
context, so that a row's numbers would depend on its neighbours: one regime is allowed, up to there.
"""


class Sized(Protocol):
    """What has the sizes that texts must fit: `ModelFacts`, or `size_of` a model."""

    @property
    def context(self) -> int | None:
        """Tokens it can read, where its configuration says so."""
        ...

    @property
    def rows(self) -> int:
        """Rows of its embedding."""
        ...


class Size(NamedTuple):
    """The sizes of a model in memory."""

    context: int | None
    rows: int


def size_of(model: PreTrainedModel) -> Size:
    """The sizes that texts must fit."""
    return Size(context_length(model.config), embedding_rows(model))


def embedding_rows(model: PreTrainedModel) -> int:
    """Rows of the embedding: token ids from there on have none."""
    return int(model.get_input_embeddings().weight.shape[0])  # type: ignore[union-attr]


def context_length(config: PreTrainedConfig) -> int | None:
    """How many tokens the model can read, where its configuration says so.

    Where rotary positions are scaled by a factor, it is the extended length; where they are scaled
    for long rows alone (`SWITCHED`), it is the length up to which they are not.
    """
    config = config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return _with_scaling(config, value)
    return None


def _with_scaling(config: PreTrainedConfig, declared: int) -> int:
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    if not isinstance(rope, dict):
        return declared
    by_layer = [one for one in rope.values() if isinstance(one, dict)]  # or one for all layers
    of_model = getattr(config, "original_max_position_embeddings", None) or declared
    for one in by_layer or [rope]:
        kind = one.get("rope_type", one.get("type"))
        original = one.get("original_max_position_embeddings") or of_model
        if kind in SWITCHED:
            return min(declared, int(original))
        if kind in EXTENDED:
            return max(declared, int(original * (one.get("factor") or 1)))
    return declared  # `llama3` declares the extended length


def require_fit(
    model: Sized, *, longest: int = 0, highest_id: int = -1, role: str, text: str = "a text"
) -> None:
    """Texts must fit the model that reads them.

    Args:
        model: `ModelFacts`, or `size_of` a model.
        longest: tokens of the longest row that it will read.
        highest_id: the highest token id that can occur.
        role: what it is called, such as "the reward model runs/reward/model".
        text: what the longest row is, such as "prompt 7 with its answer".

    Raises:
        UserError: a row has more tokens than the model has positions, or an id no row.
    """
    if model.context is not None and longest > model.context:
        raise UserError(
            f"{role} reads {model.context} tokens at most, but {text} has {longest}; shorten it, "
            f"or give a model with a longer context"
        )
    if highest_id >= model.rows:
        raise UserError(
            f"{role} has {model.rows} rows in its embedding, but its tokenizer has ids up to "
            f"{highest_id}; give the tokenizer that belongs to it, or widen the model with "
            f"resize_token_embeddings({highest_id + 1})"
        )


def require_room(model: nn.Module, longest: int) -> None:
    """The last guard, at the forward pass itself: an embedding of positions would fail there
    without words, and rotary positions would go on beyond what the model has learnt.

    Raises:
        UserError: the longest row has more tokens than the model can read.
    """
    size = Size(context_length(model.config), 0)  # type: ignore[arg-type]
    require_fit(size, longest=longest, role=f"the model ({type(model).__name__})")


def rows_needed(tokenizer: PreTrainedTokenizerBase) -> int:
    """Rows that an embedding needs for every token of a tokenizer, whose ids may have gaps."""
    return max(tokenizer.get_vocab().values()) + 1


def require_vocabulary(model: Sized, tokenizer: PreTrainedTokenizerBase, *, role: str) -> None:
    """Every token of the tokenizer must have a row in the embedding.

    Raises:
        UserError: one has none.
    """
    require_fit(model, highest_id=rows_needed(tokenizer) - 1, role=role)


def require_tokens(model: Sized, rows: Iterable[Sequence[int]], *, role: str, text: str) -> None:
    """Every row of tokens must fit the model.

    Args:
        model: `ModelFacts`, or `size_of` a model.
        rows: token ids.
        role: what the model is called.
        text: what a row is, such as "answer"; its number is added.

    Raises:
        UserError: the first that does not, by its number.
    """
    for number, row in enumerate(rows, 1):
        require_fit(model, longest=len(row), role=role, text=f"{text} {number}")
        if row and not 0 <= min(row) <= max(row) < model.rows:
            raise UserError(
                f"{role} has {model.rows} rows in its embedding, but {text} {number} has the token "
                f"ids {min(row)} to {max(row)}; give ids of the model's own tokenizer"
            )


def widen_embedding(model: PreTrainedModel, rows: int) -> None:
    """Give the embedding at least so many rows; new ones are zero, so a token that has one of them
    says nothing.
    """
    embedding = model.get_input_embeddings()
    weight: Tensor = embedding.weight  # type: ignore[assignment, union-attr]
    if len(weight) >= rows:
        return
    grown = weight.new_zeros(rows, weight.shape[1])
    grown[: len(weight)] = weight.detach()
    embedding.weight = nn.Parameter(grown, requires_grad=weight.requires_grad)  # type: ignore[union-attr]
    embedding.num_embeddings = rows  # type: ignore[union-attr]
    model.config.get_text_config().vocab_size = rows

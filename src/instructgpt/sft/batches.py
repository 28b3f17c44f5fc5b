"""A batch for `SFTTrainer` as examples: of records, dictionaries, columns or token tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

from instructgpt.data.brought import as_records, rows_of
from instructgpt.data.records import Demonstration
from instructgpt.errors import UserError
from instructgpt.models.text import TextCodec
from instructgpt.run.progress import say_skipped
from instructgpt.sft.config import SFTConfig
from instructgpt.sft.data import Example, encode_all, whole_sequence


def as_examples(batch: Any, text: TextCodec, config: SFTConfig) -> list[Example]:
    """A batch as examples.

    Args:
        batch: examples as they are; demonstrations, or dictionaries with the fields of one, which
            are tokenized here; the same as columns, as torch's DataLoader collates dictionaries; or
            tensors `input_ids` (B, T), `attention_mask` and `labels`, where -100 is not learnt.
        text: the model's tokenizer and template.
        config: `max_length`, `on_long` and `loss` decide about records.

    Raises:
        UserError: it is none of these, it is empty, or a demonstration is too long.
    """
    if isinstance(batch, list | tuple) and batch and all(isinstance(x, Example) for x in batch):
        return list(batch)
    if isinstance(batch, Mapping) and "input_ids" in batch:
        return _from_tokens(batch)
    examples, skipped = encode_all(
        as_records(batch, Demonstration),
        text,
        max_length=config.max_length,
        on_long=config.on_long,
        loss=config.loss,
    )
    say_skipped(skipped)
    return examples


def _from_tokens(batch: Mapping[str, Any]) -> list[Example]:
    """Rows of `input_ids` without what `attention_mask` calls padding; `labels` tells the rest."""
    names = ("input_ids", "attention_mask", "labels")
    columns = {name: _listed(batch[name], name) for name in names if name in batch}
    examples = []
    for number, row in enumerate(rows_of(columns, "the batch"), 1):
        length = len(row["input_ids"])
        real = row.get("attention_mask", [1] * length)
        labels = row.get("labels", row["input_ids"])
        if not len(real) == len(labels) == length:
            raise UserError(f"row {number}: {' and '.join(columns)} differ in length; align them")
        kept = [i for i in range(length) if real[i]]
        tokens = [int(row["input_ids"][i]) for i in kept]
        learnt = [place for place, i in enumerate(kept) if labels[i] != IGNORED]
        if len(tokens) < 2 or not learnt:
            raise UserError(f"row {number}: no token is learnt; give labels other than {IGNORED}")
        first, last = learnt[0], learnt[-1]
        if len(learnt) != last - first + 1 or last != len(tokens) - 1:
            raise UserError(
                f"row {number}: the learnt tokens must be the end of the row; give one row per "
                "answer"
            )
        examples.append(
            Example(tokens[:first], tokens[first:]) if first else whole_sequence(tokens)
        )
    return examples


def _listed(column: Any, name: str) -> Sequence[Sequence[int]]:
    rows = column.tolist() if hasattr(column, "tolist") else column
    if not isinstance(rows, list | tuple) or not all(isinstance(row, list | tuple) for row in rows):
        raise UserError(f"{name} must be rows of token ids, a tensor (B, T) or a list of lists")
    return rows


IGNORED = -100
"""The label of a token that is not learnt, as everywhere in transformers."""

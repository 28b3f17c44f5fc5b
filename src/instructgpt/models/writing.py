"""Write models: Hugging Face directories that plain transformers opens with the same numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from instructgpt.errors import UserError
from instructgpt.models.card import CARD
from instructgpt.models.opening import first_line
from instructgpt.models.readback import require_reads_back
from instructgpt.models.source import source_of
from instructgpt.models.spelling import spell_for_both
from instructgpt.run.disk import make_folder, new_folder


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
    weights: Mapping[str, Tensor] | None = None,
    *,
    card: str = "",
) -> Path:
    """Write weights, configuration and tokenizer for plain transformers, whole or not at all.

    Args:
        model: whose configuration, and weights unless others are given.
        tokenizer: written beside it.
        path: the folder; an older one is replaced.
        weights: the whole weights of a sharded model.
        card: the text of its `README.md`, if it gets one.

    Raises:
        UserError: the disk is full or the folder cannot be written; or it was, but opens as
            something else.
    """
    restored = _swap_dropout(model)
    try:
        make_folder(path.parent)
        with new_folder(path) as folder:
            model.save_pretrained(folder, state_dict=None if weights is None else dict(weights))
            tokenizer.save_pretrained(folder)
            spell_for_both(folder)
            if card:
                (folder / CARD).write_text(card, encoding="utf-8")
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{path}: the model cannot be written ({first_line(error)}); free space or choose "
            f"another --out"
        ) from error
    finally:
        for key, value in restored.items():
            setattr(model.config, key, value)
    require_reads_back(path, model, tokenizer, weights)
    return path


def _swap_dropout(model: PreTrainedModel) -> dict[str, Any]:
    """Put the configuration's own dropout values back; returns the values to restore afterwards."""
    original = source_of(model).dropout
    current = {key: getattr(model.config, key) for key in original}
    for key, value in original.items():
        setattr(model.config, key, value)
    return current

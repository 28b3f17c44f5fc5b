"""What was written, read back as plain transformers reads it: the same tokens, and the same logits
or scores.

Axes: T time over a row, V vocabulary.
"""

import itertools
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from instructgpt.errors import UserError
from instructgpt.models.fit import context_length, embedding_rows
from instructgpt.models.forward import evaluating, exact, last_token_scores
from instructgpt.models.missing import CONFIG
from instructgpt.models.opening import first_line, load_config, quiet
from instructgpt.models.rows import pad_rows
from instructgpt.models.spelling import spell_for_both
from instructgpt.models.tokens import TEXTS, differing_tokens
from instructgpt.models.weights import architecture, read_shapes, require_shapes, weight_files

LONGEST = 64
"""Tokens of a row that is read back: positions far enough apart to show how they are turned."""
KNOWN: WeakKeyDictionary[PreTrainedTokenizerBase, set[str]] = WeakKeyDictionary()
"""The architectures beside which a tokenizer is known to come back as itself."""
LARGEST_ERROR = 1e-3
"""Of logits or scores, relative: between rounding (1e-6) and other positions (1e-2)."""
MOST_PARAMETERS = 10**9
"""Of larger models, and of sharded ones, the numbers are not computed a second time: names, shapes,
configuration and tokenizer are compared.
"""


def require_reads_back(
    path: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Open a written model as others do, and hold it against the one in memory.

    Its weights are mapped from the file, not held a second time, and two rows of 64 tokens go
    through it.

    Args:
        path: the folder that was written.
        model: what was written there.
        tokenizer: the same.
        weights: the whole weights of a sharded model, which cannot be run here.

    Raises:
        UserError: it comes back as something else.
    """
    require_same_tokens(path, tokenizer)
    is_scorer = "SequenceClassification" in type(model).__name__
    auto = AutoModelForSequenceClassification if is_scorer else AutoModelForCausalLM
    if weights is not None or model.num_parameters() > MOST_PARAMETERS:
        config = load_config(path)
        empty = architecture(path, auto, config)
        require_shapes(path, empty, read_shapes(path, weight_files(path, path)))
        return
    with exact(model.device), torch.no_grad(), evaluating(model):
        try:
            with quiet():
                theirs = auto.from_pretrained(path, dtype=model.dtype).eval()
            for ids in sample_rows(model, tokenizer):
                output = theirs(input_ids=torch.tensor([ids])).logits[0]
                _require_close(path, output, _ours(model, ids, is_scorer=is_scorer))
        except UserError:
            raise
        except Exception as error:
            raise _differs(path, f"does not run: {first_line(error)}") from error


def require_same_tokens(path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """A written tokenizer must open as the one that was written.

    Raises:
        UserError: it makes other tokens of a text, or other text of tokens.
    """
    try:
        with quiet():
            theirs = AutoTokenizer.from_pretrained(path)
    except Exception as error:
        raise _differs(path, f"has no tokenizer that opens: {first_line(error)}") from error
    if found := differing_tokens(tokenizer, theirs):
        raise _differs(path, f"has another tokenizer, {type(theirs).__name__}: {found}")


def require_own_tokenizer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, role: str
) -> None:
    """A tokenizer that is given beside a model must come back as itself once both are written:
    beside some architectures (Qwen2) transformers 5 makes any tokenizer its own kind.

    Raises:
        UserError: it would not.
    """
    kind = model.config.model_type
    known = KNOWN.setdefault(tokenizer, set())
    if kind in known:
        return
    with tempfile.TemporaryDirectory() as folder, quiet():
        tokenizer.save_pretrained(folder)
        Path(folder, CONFIG).write_text(json.dumps({"model_type": kind}))
        spell_for_both(Path(folder))
        try:
            theirs = AutoTokenizer.from_pretrained(folder)
            found = differing_tokens(tokenizer, theirs)
        except Exception as error:
            theirs, found = None, first_line(error)
    if found:
        as_what = f" as {type(theirs).__name__}" if theirs else ""
        raise UserError(
            f"{role}: beside a model of the architecture '{kind}', transformers opens the given "
            f"tokenizer{as_what} ({found}); give the model's own tokenizer"
        )
    known.add(kind)


def sample_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Rows of tokens that the model can read, ended by the end-of-text token."""
    rows = embedding_rows(model)
    room = min(LONGEST, context_length(model.config) or LONGEST)
    samples = []
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        known = [token for token in ids if token < rows] or list(range(min(rows, 8)))
        row = list(itertools.islice(itertools.cycle(known), room))
        eos = tokenizer.eos_token_id
        samples.append([*row[:-1], eos] if isinstance(eos, int) and eos < rows else row)
    return samples


def _ours(model: PreTrainedModel, ids: list[int], *, is_scorer: bool) -> Tensor:
    if is_scorer:
        return last_token_scores(model, pad_rows([ids], [[]], device=model.device))
    return model(input_ids=torch.tensor([ids], device=model.device)).logits[0]


def _require_close(path: Path, theirs: Tensor, ours: Tensor) -> None:
    ours = ours.float().cpu()
    error = (theirs.float() - ours).norm() / ours.norm().clamp(min=1e-9)
    if not error <= LARGEST_ERROR:
        raise _differs(path, f"computes other numbers (off by {error:.1e}, relative)")


def _differs(path: Path, how: str) -> UserError:
    return UserError(
        f"{path}: the model was written, but what transformers opens there {how}; do not use it "
        f"and report this"
    )

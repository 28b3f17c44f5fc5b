"""`Network`: a model with its tokenizer and its template, as policy, scorer and critic are one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from instructgpt.errors import UserError
from instructgpt.models.card import About, card
from instructgpt.models.device import compute_device
from instructgpt.models.fit import require_vocabulary, size_of
from instructgpt.models.opening import load_tokenizer
from instructgpt.models.probe import require_readable
from instructgpt.models.readback import require_own_tokenizer
from instructgpt.models.turns import text_of
from instructgpt.models.writing import save_model


class Network(ABC):
    """Opened or given, checked, and written again.

    Args:
        model: a directory, a Hub id, or a loaded model (then `tokenizer` is needed).
        tokenizer: replaces the one beside the model.
        template: how a prompt becomes text (see `TextCodec`).
        device: where the model lives.

    Attributes:
        tokenizer: reads and writes its texts.
        text: how they become tokens.
        about: how it was made, for its card, where that is known.

    Raises:
        UserError: the model does not open, or its embedding lacks rows for the tokenizer.
    """

    about: About | None = None
    _role: str
    """What messages call it."""

    def __init__(
        self,
        model: str | Path | PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        template: str = "auto",
        device: str = "cpu",
    ) -> None:
        name = type(self).__name__
        if not isinstance(model, str | Path | PreTrainedModel):
            raise UserError(
                f"{name} takes a directory, a Hub id or a loaded model, found "
                f"{type(model).__name__}"
            )
        brought = tokenizer is not None
        if isinstance(model, PreTrainedModel):
            if tokenizer is None:
                raise UserError(f"a loaded model needs its tokenizer: {name}(model, tokenizer)")
            self.tokenizer = tokenizer
            opened = model.to(device).eval()  # type: ignore[arg-type]
        else:
            self.tokenizer = tokenizer or load_tokenizer(model)
            opened = self._open(model, device)
        self._accept(opened, template, brought=brought)

    @abstractmethod
    def _open(self, path: str | Path, device: str) -> PreTrainedModel:
        """Load a model, which messages call by its path from then on."""

    def _accept(self, model: PreTrainedModel, template: str, *, brought: bool) -> None:
        """Check the model, and learn from it how texts become tokens; `brought` is a tokenizer
        that did not lie beside it.
        """
        require_vocabulary(size_of(model), self.tokenizer, role=self._role)
        require_readable(model, role=self._role)
        if brought:
            require_own_tokenizer(model, self.tokenizer, role=self._role)
        self.text = text_of(model, self.tokenizer, template, role=self._role)
        self._model = model

    @property
    def model(self) -> PreTrainedModel:
        """Weights and configuration."""
        return self._model

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return compute_device(self.model)

    def save(self, path: str | Path, weights: Mapping[str, Tensor] | None = None) -> Path:
        """Write the model and its tokenizer as a Hugging Face directory (`weights`: those of a
        sharded model, full) with a `README.md`.
        """
        said = card(self.model, self.text, self.about)
        return save_model(self.model, self.tokenizer, Path(path), weights, card=said)

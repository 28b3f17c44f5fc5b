"""What can be known of a model without holding its weights."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from instructgpt.errors import UserError, placed
from instructgpt.models.fit import context_length, embedding_rows, require_vocabulary
from instructgpt.models.opening import (
    is_scorer_config,
    load_config,
    load_tokenizer,
    model_folder,
)
from instructgpt.models.parts import require_same_trunk, scalar_head
from instructgpt.models.text import TextCodec
from instructgpt.models.turns import folder_ends, trained_template
from instructgpt.models.weights import (
    architecture,
    read_shapes,
    require_finite_files,
    require_shapes,
    weight_files,
)

Kind = Literal["policy", "scorer", "trunk", "tokenizer"]
"""`policy`: a causal language model; `scorer`: a reward model or a critic; `trunk`: either;
`tokenizer`: a model of which the tokenizer alone is read.
"""


@dataclass(frozen=True)
class ModelFacts:
    """A model that opens, before its weights are held.

    Attributes:
        path: as the user wrote it.
        folder: where its files are; of a Hub id, in the Hub's cache.
        config: its configuration.
        tokenizer: with an end-of-text token.
        is_scorer: a reward model or a critic, not a policy.
        context: how many tokens it can read, where its configuration says so.
        rows: rows of its embedding; token ids from there on have none.
        parameters: how many, tied ones once; 0 where only the tokenizer is read.
        ends: ids at which its configuration ends a text.
        template: the one that training used, where its configuration says so.
    """

    path: str
    folder: Path
    config: PreTrainedConfig
    tokenizer: PreTrainedTokenizerBase
    is_scorer: bool
    context: int | None
    rows: int
    parameters: int
    ends: tuple[int, ...] = ()
    template: str = ""

    def trained_with(self, template: str) -> "ModelFacts":
        """What will be known of it once training has used a template."""
        return replace(self, template=template)

    def text(self, template: str = "auto") -> TextCodec:
        """How its texts become tokens.

        Raises:
            UserError: the template does not suit the tokenizer.
        """
        with placed(self.path):
            return TextCodec(self.tokenizer, template, ends=self.ends, trained=self.template)


def look_at(path: str, kind: Kind, *, check_weights: bool = True) -> ModelFacts:
    """What is known of a model without holding its weights; refuses what loading would refuse.

    Configuration, tokenizer, and the weights' names, shapes and file sizes are always looked at;
    with `check_weights` every number is read once (a second or two per GB) and must be finite. Of a
    Hub id only the small files are fetched: its weights are looked at where the cache has them.

    Args:
        path: a model directory or a Hub id.
        kind: what it is to be used as.
        check_weights: whether to read the numbers too.

    Raises:
        UserError: it cannot be used as that.
    """
    folder, config = model_folder(path), load_config(path)
    if kind == "tokenizer":
        rows = getattr(config.get_text_config(), "vocab_size", 0)
        return _facts(path, folder, config, rows=rows, parameters=0)
    auto = auto_class(path, config, kind)
    model = architecture(path, auto, config)
    if is_scorer_config(config):
        scalar_head(model)
    elif kind == "trunk":
        scorer = architecture(path, AutoModelForSequenceClassification, config)
        require_same_trunk(scorer, model, name=path)
    is_remote = folder != Path(path)
    if not (is_remote and not any(folder.glob("model*.safetensors"))):
        files = weight_files(path, folder)
        require_shapes(path, model, read_shapes(path, files))
        if check_weights:
            require_finite_files(path, files, model)
    facts = _facts(
        path,
        folder,
        config,
        rows=embedding_rows(model),
        parameters=sum(weight.numel() for weight in model.parameters()),
    )
    require_vocabulary(facts, facts.tokenizer, role=path)
    return facts


def auto_class(path: str | Path, config: PreTrainedConfig, kind: Kind) -> Any:
    """The class of transformers that opens a model.

    Raises:
        UserError: it is of another kind.
    """
    scorer = is_scorer_config(config)
    if kind == "policy" and scorer:
        raise UserError(
            f"{path} is a reward model, not a policy; give the model it was trained from"
        )
    if kind == "scorer" and not scorer:
        raise UserError(
            f"{path} is a policy, not a reward model; train one with `instructgpt reward`"
        )
    if scorer and config.num_labels != 1:
        raise UserError(
            f"{path} has {config.num_labels} labels; a reward model has exactly one, give such a "
            f"model"
        )
    if wrong := _another_kind(config):
        raise UserError(
            f"{path} is a {wrong}, not a causal language model; give one that continues text"
        )
    auto = AutoModelForSequenceClassification if scorer else AutoModelForCausalLM
    if type(config) not in auto._model_mapping:
        raise UserError(
            f"{path}: the architecture '{config.model_type}' is no causal language model; give "
            f"one that continues text"
        )
    if kind == "trunk" and type(config) not in AutoModelForSequenceClassification._model_mapping:
        raise UserError(
            f"{path}: transformers has no scalar head for the architecture '{config.model_type}'; "
            f"choose another model"
        )
    return auto


def _another_kind(config: PreTrainedConfig) -> str:
    """The class that wrote the model, where it is neither a policy's nor a scorer's."""
    classes = config.architectures or []
    causal = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    is_known = is_scorer_config(config) or any(
        name in causal or name.endswith("Model") for name in classes
    )
    return "" if is_known or not classes else classes[0]


def _facts(
    path: str, folder: Path, config: PreTrainedConfig, *, rows: int, parameters: int
) -> ModelFacts:
    return ModelFacts(
        path=path,
        folder=folder,
        config=config,
        tokenizer=load_tokenizer(path),
        is_scorer=is_scorer_config(config),
        context=context_length(config),
        rows=rows,
        parameters=parameters,
        ends=folder_ends(folder, config, rows),
        template=trained_template(config),
    )

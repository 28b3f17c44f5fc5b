"""What is written, spelled for both generations of transformers: 5, and 4 from 4.57 on.

Version 5 renamed what a model's numbers depend on, and version 4 takes what it does not know for
its own default without a word: `rope_parameters` (before: `rope_theta`, `rope_scaling` and names of
single architectures), `dtype` (`torch_dtype`), the tokenizer's class, its further special tokens.
Both names stand in the files, with one value.
"""

import json
from pathlib import Path
from typing import Any

from instructgpt.models.missing import CONFIG

TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_CLASS = "PreTrainedTokenizerFast"
"""Reads `tokenizer.json` as it stands, in both generations."""
RENAMED = {"torch_dtype": "dtype", "num_experts": "num_local_experts"}
OLDER_NAMES = {
    "gpt_neox": {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"},
    "gpt_neox_japanese": {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"},
    "modernbert-decoder": {"rope_theta": "global_rope_theta"},
}
"""What single architectures called them, by `model_type`."""
LOCAL_THETA = {
    "gemma3_text": "rope_local_base_freq",
    "gemma3n_text": "rope_local_base_freq",
    "modernbert-decoder": "local_rope_theta",
    "olmo3": "",
}
"""Architectures of version 4 whose kinds of layers rotate differently, and what they called the
base of their sliding layers; nothing where it had no name.
"""


def spell_for_both(folder: Path) -> None:
    """Add the names of version 4 to a written model's `config.json` and `tokenizer_config.json`."""
    _edit(folder / CONFIG, with_older_names)
    is_plain = (folder / "tokenizer.json").is_file()
    if is_plain and (folder / TOKENIZER_CONFIG).is_file():
        _edit(folder / TOKENIZER_CONFIG, _tokenizer_for_both)


def with_older_names(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the names of version 4 beside those of version 5.

    >>> with_older_names({"rope_parameters": {"rope_type": "default", "rope_theta": 1e5}})
    {'rope_parameters': {'rope_type': 'default', 'rope_theta': 100000.0}, 'rope_theta': 100000.0}
    """
    spelled = {
        key: with_older_names(value)
        if key.endswith("_config") and isinstance(value, dict)
        else value
        for key, value in config.items()
    }
    for older, newer in RENAMED.items():
        if newer in spelled:
            spelled[older] = spelled[newer]
    if isinstance(spelled.get("rope_parameters"), dict):
        spelled |= _older_rope(spelled)
    return spelled


def _older_rope(config: dict[str, Any]) -> dict[str, Any]:
    """`rope_theta`, `rope_scaling` and the like."""
    kind, rope = config.get("model_type", ""), config["rope_parameters"]
    older: dict[str, Any] = {}
    if any(isinstance(value, dict) for value in rope.values()):  # one for each kind of layer
        if kind not in LOCAL_THETA:
            return {}
        if name := LOCAL_THETA[kind]:
            older[name] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    scaling = dict(rope)
    for key in ("rope_theta", "partial_rotary_factor"):
        if (value := scaling.pop(key, None)) is not None:
            older[OLDER_NAMES.get(kind, {}).get(key, key)] = value
    if scaling.get("rope_type", "default") != "default":
        older["rope_scaling"] = scaling
    return older


def _tokenizer_for_both(config: dict[str, Any]) -> dict[str, Any]:
    further = config.get("extra_special_tokens")
    if isinstance(further, list):  # a dictionary in version 4, which calls the list otherwise
        config = {key: value for key, value in config.items() if key != "extra_special_tokens"}
        config["additional_special_tokens"] = further
    return config | {"tokenizer_class": TOKENIZER_CLASS}


def _edit(file: Path, change: Any) -> None:
    content = change(json.loads(file.read_text(encoding="utf-8")))
    text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    file.write_text(text, encoding="utf-8")

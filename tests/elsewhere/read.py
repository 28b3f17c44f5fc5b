"""Open what `write.py` wrote with this environment's transformers, without our package.

python tests/elsewhere/read.py FOLDER
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

LARGEST_ERROR = 1e-3
"""Relative, of logits or a score."""


def main(folder: Path) -> int:
    """Print what differs; 1 if anything does."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    faults, count = [], 0
    for path in sorted(folder.glob("*/expected.json")):
        for name, expected in json.loads(path.read_text()).items():
            try:
                fault = difference(path.parent / name, name, expected)
            except Exception as problem:  # whatever another version makes of it
                fault = f"{type(problem).__name__}: {str(problem).strip()[:300]}"
            faults += [f"{path.parent.name} {name}: {fault}"] if fault else []
            count += 1
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"transformers {transformers.__version__}: {count - len(faults)} of {count} models agree")
    return int(bool(faults) or not count)


def difference(path: Path, name: str, expected: dict[str, Any]) -> str:
    """How a model differs from what was written of it, or nothing."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    for text, ids in zip(expected["texts"], expected["ids"], strict=True):
        if (found := tokenizer(text)["input_ids"][:48]) != ids:
            return f"{text!r} becomes {found}, not {ids}"
    if (chat := tokenizer.apply_chat_template(expected["messages"])) != expected["chat"]:
        return f"the conversation becomes {chat}, not {expected['chat']}"
    auto = AutoModelForCausalLM if name == "policy" else AutoModelForSequenceClassification
    if type(AutoConfig.from_pretrained(path)) not in auto._model_mapping:
        return ""  # such a class came later
    model = auto.from_pretrained(path, torch_dtype=torch.float32).eval()
    for ids, numbers in zip(expected["ids"], expected["numbers"], strict=True):
        with torch.no_grad():
            found = model(torch.tensor([ids])).logits[0]
        found = found[-1] if name == "policy" else found
        wanted = torch.tensor(numbers)
        error = (found - wanted).norm() / wanted.norm()
        if not error < LARGEST_ERROR:
            return f"its numbers are off by {error:.1e}, relative"
    return ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

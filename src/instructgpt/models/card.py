"""The `README.md` beside a model that we write: what it is, what it was trained from and with, and
how plain transformers read it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedModel

from instructgpt.models.source import Origin, source_of
from instructgpt.models.text import TextCodec
from instructgpt.models.turns import how_to_read, prompt_code
from instructgpt.run.config import Config
from instructgpt.version import __version__

CARD = "README.md"
KEPT = ("base_model", "license", "language")
"""What a card takes over from that of the model that was trained from."""
DATA = ("data", "demonstrations", "pretrain_data")
SETTINGS = (
    "epochs",
    "total_episodes",
    "batch_size",
    "learning_rate",
    "kl_coef",
    "ptx_coef",
    "seed",
)
"""The keys of a stage's configuration that a card shows."""
STAGES = {
    "init": "A model with random weights",
    "sft": "A policy: supervised fine-tuning on demonstrations",
    "reward": "A reward model: trained to rank answers as labelers do",
    "ppo": "A policy: trained with PPO against a reward model",
    "critic": "The value function of PPO, which continues its reward model",
}


@dataclass(frozen=True)
class About:
    """How a model was made.

    Attributes:
        stage: one of `STAGES`.
        data: the files that it was trained on, by their keys.
        settings: what decides its numbers.
    """

    stage: str
    data: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def about(stage: str, config: Config) -> About:
    """What a card says of a stage's configuration; files by their names."""
    given = config.model_dump()
    data = {}
    for key in DATA:
        files = getattr(config, key, ())
        files = [files] if isinstance(files, str) else files
        if files:
            data[key] = ", ".join(Path(file).name for file in files)
    shown = {key: given[key] for key in SETTINGS if given.get(key) is not None}
    return About(stage, data, shown)


def origin_of(path: str | Path, folder: Path) -> Origin:
    """What a model's folder says of where it is from; a Hub id is a base model itself."""
    front = {key: value for key, value in front_matter(folder / CARD).items() if key in KEPT}
    if folder != Path(path):
        front["base_model"] = str(path)
    return Origin(str(path), front)


def front_matter(file: Path) -> dict[str, Any]:
    """The YAML between the first lines `---` of a card; empty where there is none."""
    try:
        _, head, _ = file.read_text(encoding="utf-8").split("---\n", 2)
        content = yaml.safe_load(head)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def card(model: PreTrainedModel, text: TextCodec, about: About | None = None) -> str:
    """A model's card.

    Args:
        model: a policy or a scorer.
        text: how its texts become tokens.
        about: how it was made, where that is known.
    """
    is_scorer = "SequenceClassification" in type(model).__name__
    origin = source_of(model).origin
    stage = about.stage if about else "reward" if is_scorer else ""
    front = {
        "library_name": "transformers",
        "pipeline_tag": "text-classification" if is_scorer else "text-generation",
        **(origin.front if origin else {}),
        "tags": ["instructgpt", *([stage] if stage else []), *(["reward-model"] * is_scorer)],
    }
    shift = float(getattr(model.config, "reward_shift", 0.0))
    reading = how_to_read(text, shift) if is_scorer else _how_to_generate(text)
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---",
        f"# {STAGES.get(stage, 'A causal language model')}",
        _made(origin, about),
        f"## In plain transformers\n\n{reading}",
    ]
    return "\n\n".join(parts).rstrip() + "\n"


def short(path: str) -> str:
    """A path as a card shows it: without the folders of whoever made it.

    >>> short("/home/ann/runs/pipeline/03-sft/model"), short("org/name")
    ('03-sft/model', 'org/name')
    """
    return "/".join(Path(path).parts[-2:])


def _made(origin: Origin | None, about: About | None) -> str:
    """What it was trained from and with."""
    lines = [f"Written by instructgpt {__version__}."]
    if origin:
        lines.append(f"Made from `{short(origin.name)}`.")
    if about and (rows := [*about.data.items(), *about.settings.items()]):
        table = ["| setting | value |", "|---|---|", *(f"| `{k}` | {v} |" for k, v in rows)]
        return " ".join(lines) + "\n\n" + "\n".join(table)
    return " ".join(lines)


def _how_to_generate(text: TextCodec) -> str:
    return f"""The answer to a prompt; it ends with {_ends(text)}.

```python
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

def plain(text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]

model = AutoModelForCausalLM.from_pretrained(path).eval()
tokenizer = AutoTokenizer.from_pretrained(path)
prompt = "…"
ids = torch.tensor([{prompt_code(text)}])
mask = torch.ones_like(ids)
answer = model.generate(ids, attention_mask=mask, do_sample=True, max_new_tokens=128)
print(tokenizer.decode(answer[0, ids.shape[1] :], skip_special_tokens=True))
```
"""


def _ends(text: TextCodec) -> str:
    return " or ".join(
        f"`{token}`" for token in text.tokenizer.convert_ids_to_tokens(list(text.ends))
    )

"""What ends a turn, and which template training used: what a model's configuration knows of both,
and what it is to know when it is written.
"""

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from instructgpt.errors import placed
from instructgpt.models.fit import embedding_rows
from instructgpt.models.opening import read_json
from instructgpt.models.text import TextCodec
from instructgpt.run.progress import say

TEMPLATE_KEY = "prompt_template"
"""In config.json: the template that training used."""
GENERATION = "generation_config.json"


def text_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, template: str, *, role: str
) -> TextCodec:
    """How a model's texts become tokens. From here on its configuration says where its turns end
    and which template it is used with, for whoever opens what is written.

    Args:
        model: a policy or a scorer.
        tokenizer: reads its texts.
        template: as the user gave it.
        role: what the model is called, such as its path.
    """
    config, generation = model.config, getattr(model, "generation_config", None)
    trained = trained_template(config)
    ends = configured_ends(config, generation, embedding_rows(model))
    with placed(role):
        text = TextCodec(tokenizer, template, ends=ends, trained=trained)
    if trained and trained != text.template:
        say(
            f"{role} was trained with the template {json.dumps(trained)} and is used with "
            f"{json.dumps(text.template)}"
        )
    _say_words(text, role)
    setattr(config, TEMPLATE_KEY, text.template)
    for settings in filter(None, (config, generation)):
        _set_ends(settings, text.ends)
    return text


def trained_template(config: PreTrainedConfig) -> str:
    """The template that training used, where the configuration says so."""
    trained = getattr(config, TEMPLATE_KEY, "")
    return trained if isinstance(trained, str) else ""


def configured_ends(config: Any, generation: Any, rows: int) -> tuple[int, ...]:
    """The ids that a configuration and one for sampling call ends of a text, of those that a model
    with so many rows in its embedding can write.

    >>> from types import SimpleNamespace as Config
    >>> configured_ends(Config(eos_token_id=2), Config(eos_token_id=[1, 2, 90]), rows=50)
    (1, 2)
    """
    inner = config.get_text_config() if hasattr(config, "get_text_config") else None
    found = [token for source in (generation, config, inner) for token in _ids(source)]
    return tuple(dict.fromkeys(token for token in found if 0 <= token < rows))


def folder_ends(folder: Path, config: PreTrainedConfig, rows: int) -> tuple:
    """The same of a model directory, without its weights.

    Raises:
        UserError: its configuration for sampling is broken.
    """
    file = folder / GENERATION
    generation = read_json(file) if file.is_file() else {}
    return configured_ends(config, generation, rows)


@contextmanager
def for_plain_reading(model: PreTrainedModel, text: TextCodec) -> Iterator[None]:
    """A scorer as it is written: transformers reads the score at the last token of a conversation
    that is no padding, so that must be the token which ends the answer.
    """
    tokenizer, config = text.tokenizer, model.config
    template, padding = tokenizer.chat_template, config.pad_token_id
    if padding in text.ends:
        config.pad_token_id = None
    if text.chat:
        written = text.chat.for_scorer()
        tokenizer.chat_template = (
            {**template, "default": written} if isinstance(template, dict) else written
        )
    try:
        yield
    finally:
        tokenizer.chat_template, config.pad_token_id = template, padding


def how_to_read(text: TextCodec, shift: float) -> str:
    """How plain transformers get this model's scores: Markdown, a part of its model card.

    Args:
        text: how its texts become tokens.
        shift: its `reward_shift`.
    """
    if text.chat and text.chat.reads_alike():
        given = (
            'messages = [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]'
        )
        ids = "tokenizer.apply_chat_template(messages, return_dict=False)"
    else:
        given = 'prompt, answer = "…", "…"'
        ids = f"{prompt_code(text)} + plain(answer) + [{text.framing.end}]"
    return f"""The score is read at the token that ends the answer. From the raw output,
`reward_shift` of `config.json` ({shift:.6g}) is subtracted, so that demonstrations score 0 on
average:

```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

def plain(text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]

model = AutoModelForSequenceClassification.from_pretrained(path).eval()
tokenizer = AutoTokenizer.from_pretrained(path)
{given}
ids = {ids}
with torch.no_grad():
    score = model(torch.tensor([ids])).logits.item() - model.config.reward_shift
```
"""


def prompt_code(text: TextCodec) -> str:
    """Python for the tokens of `prompt`."""
    if text.chat:
        turns = '[{"role": "user", "content": prompt}]'
        options = "add_generation_prompt=True, return_dict=False"
        return f"tokenizer.apply_chat_template({turns}, {options})"
    begin = f"{text.begin} + " if text.begin else ""
    pattern = text.template
    filled = "prompt" if pattern == "plain" else f'{pattern!r}.replace("{{prompt}}", prompt)'
    return f"{begin}plain({filled})"


def _ids(source: Any) -> Iterator[int]:
    found = source.get("eos_token_id") if isinstance(source, dict) else None
    found = found if isinstance(source, dict) else getattr(source, "eos_token_id", None)
    for token in found if isinstance(found, list | tuple) else [found]:
        if isinstance(token, int) and not isinstance(token, bool):
            yield token


def _set_ends(settings: Any, ends: tuple[int, ...]) -> None:
    """A single end stays a number, as most models have it."""
    current = getattr(settings, "eos_token_id", None)
    if set(current if isinstance(current, list) else [current]) != set(ends):
        settings.eos_token_id = ends[0] if len(ends) == 1 else list(ends)


def _say_words(text: TextCodec, role: str) -> None:
    """An end that is a word, or a part of one, may be meant; more often a number is wrong."""
    known = {*text.tokenizer.added_tokens_decoder, *text.tokenizer.all_special_ids}
    for token in set(text.ends) - known:
        if spelled := text.tokenizer.convert_ids_to_tokens(token):
            _say_once(
                f"{role}: answers end at the token {token} ({spelled!r}) too, which is text in its "
                f"tokenizer, because its configuration has it as eos_token_id"
            )


@functools.cache
def _say_once(sentence: str) -> None:
    say(sentence)

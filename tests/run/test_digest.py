"""Digests of files and models: whole, or sampled where that is cheap, by what decides a result."""

import hashlib
import json
import struct

import pytest

from instructgpt.run import digest
from instructgpt.run.digest import MODEL_FILES, digest_of, file_digest, hub_digest


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_has_the_sha256_of_its_bytes(tmp_path):
    (tmp_path / "abc").write_text("abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert file_digest(tmp_path / "abc") == known
    found = digest_of(tmp_path / "abc")
    assert found is not None
    assert (found.digest, found.files) == (known, None)
    assert digest_of(tmp_path / "nothing") is None


def test_a_large_file_is_sampled_from_the_first_to_the_last_byte(tmp_path, monkeypatch):
    """40 bytes in 3 blocks of 4: they begin at 0, 18 and 36."""
    for name, value in (("WHOLE", 39), ("BLOCK", 4), ("PER_FILE", 3)):
        monkeypatch.setattr(digest, name, value)
    content = bytes(range(40))
    path = tmp_path / "text.jsonl"
    path.write_bytes(content)
    blocks = content[0:4] + content[18:22] + content[36:40]
    assert file_digest(path) == f"sampled:{sha(b'40' + bytes([10]) + blocks)}"
    path.write_bytes(content[:39])
    assert file_digest(path) == sha(content[:39])


def tensors(sizes: dict[str, int], *, changed: str = "") -> bytes:
    """A safetensors file by hand: its header's length, the header, then the tensors."""
    header, begin, body = {"__metadata__": {"format": "pt"}}, 0, b""
    for name, size in sizes.items():
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [begin, begin + size]}
        body += bytes([7 if name == changed else 1]) * size
        begin += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def test_of_large_weights_every_tensor_is_sampled(tmp_path, monkeypatch):
    """A head of 3 bytes lies between blocks that are spaced evenly over the file; it counts."""
    for name, value in (("WHOLE", 100), ("BLOCK", 16), ("PER_TENSOR", 2)):
        monkeypatch.setattr(digest, name, value)
    sizes = {"a": 5000, "score.weight": 3, "z": 5000}
    path = tmp_path / "model.safetensors"
    found = []
    for changed in ("", "a", "score.weight", "z"):
        path.write_bytes(tensors(sizes, changed=changed))
        found.append(file_digest(path))
    assert len(set(found)) == 4
    header = tensors(sizes)[:-10003]
    read = header + b"\1" * (16 + 16) + b"\1" * 3 + b"\1" * (16 + 16)
    whole = len(header) + 10003
    assert found[0] == f"sampled:{sha(f'{whole}'.encode() + bytes([10]) + read)}"


@pytest.mark.parametrize("content", [b"\xff" * 200, struct.pack("<Q", 9) + b"not JSON!" * 20])
def test_weights_that_are_none_have_a_digest_all_the_same(content, tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "WHOLE", 100)
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert file_digest(path).startswith("sampled:")


def test_of_a_model_only_what_decides_counts(tmp_path):
    deciding = {
        "config.json": b"{}",
        "generation_config.json": b"{ }",
        "model.safetensors": b"weights",
        "tokenizer.json": b"{t}",
        "vocab.json": b"{v}",
    }
    for name, content in deciding.items():
        (tmp_path / name).write_bytes(content)
    lines = "".join(f"{sha(content)}  {name}\n" for name, content in sorted(deciding.items()))
    found = digest_of(tmp_path, MODEL_FILES)
    assert found is not None
    assert found.digest == sha(lines.encode())
    assert found.files == {name: sha(content) for name, content in deciding.items()}
    (tmp_path / "README.md").write_text("a card")
    (tmp_path / ".gitattributes").write_text("hidden")
    (tmp_path / "optimizer.safetensors").write_text("moments")
    (tmp_path / "trainer_state.json").write_text("{}")
    (tmp_path / "runs").mkdir()
    assert digest_of(tmp_path, MODEL_FILES) == found
    (tmp_path / "chat_template.jinja").write_text("{{ bos }}")
    assert digest_of(tmp_path, MODEL_FILES) != found


def test_a_hub_model_has_its_commit(tmp_path, monkeypatch):
    """The layout of huggingface_hub's cache, by hand."""
    commit = "12ab" * 10
    folder = tmp_path / "models--org--small"
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "snapshots" / commit / "config.json").write_text("{}")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = hub_digest("org/small")
    assert found is not None
    assert found.digest == f"commit:{commit}"
    assert hub_digest("org/other") is None
    assert hub_digest("not//a/name") is None

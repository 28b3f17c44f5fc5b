"""What a wrong path or a broken folder is called; the right one is named where it is near."""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, BertConfig

from instructgpt.errors import UserError
from instructgpt.models import opening, weights
from instructgpt.models.facts import look_at
from instructgpt.models.load import load_policy, load_scorer
from instructgpt.models.opening import load_tokenizer
from tests.files import sentence, write_policy

LOADERS = {"policy": load_policy, "scorer": load_scorer, "tokenizer": load_tokenizer}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty current directory, so that paths read as a user writes them."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(home):
    """A policy in the folder `model`."""
    write_policy(home / "model")
    return home / "model"


def refusal(path, capfd, kind="policy") -> str:
    """The sentence about a path: the same whether it is looked at or loaded; nothing else is said.

    A colon, then what to do: every refusal has a remedy.
    """
    capfd.readouterr()
    said = []
    for attempt in (lambda: look_at(path, kind), lambda: LOADERS[kind](path)):
        with pytest.raises(UserError) as raised:
            attempt()
        said.append(sentence(raised))
    assert said[0] == said[1]
    assert capfd.readouterr() == ("", "")
    return said[0]


def make_run(folder: Path, *, status="running", model=False) -> None:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"status": status}))
    if model:
        write_policy(folder / "model")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("runs/init", "runs/init/model"),
        ("runs/init/", "runs/init/model"),
        ("runs/int/model", "runs/init/model"),
        ("runs/init/modle", "runs/init/model"),
        ("run/inti", "runs/init/model"),
        ("./runs/ini", "runs/init/model"),
    ],
)
def test_the_model_that_was_meant_is_named(given, meant, home, capfd):
    make_run(home / "runs/init", model=True)
    (home / "runs/sft-1").mkdir()
    said = refusal(given, capfd)
    assert said.startswith(f"{given}: no model there")
    assert said.endswith(f"; did you mean {meant}?")


def test_a_misspelt_sibling_is_named(model, capfd):
    assert refusal("modle", capfd).endswith("; did you mean model?")
    assert refusal(str(model.parent / "modle"), capfd).endswith(f"; did you mean {model}?")


def test_nothing_of_the_kind_is_near(home, capfd):
    make_run(home / "runs/init", model=True)
    for name in ("completely/different", "x/y/z", "./elsewhere", "q" * 300):
        assert "did you mean" not in refusal(name, capfd)
    assert refusal("", capfd).startswith("the path of a model is empty; ")


def test_a_run_without_a_model_yet(home, capfd):
    make_run(home / "sft")
    expected = "a run that has not written one (its status is running); finish the run first"
    assert expected in refusal("sft", capfd)
    expected = "the run sft has not written it (its status is running); finish the run first"
    assert expected in refusal("sft/model", capfd)


def test_a_checkpoint_is_no_model(home, capfd):
    make_run(home / "sft", model=True)
    (home / "sft/checkpoints/step-20").mkdir(parents=True)
    said = refusal("sft/checkpoints/step-20", capfd)
    assert "it is a checkpoint: the state of training at a step" in said
    assert said.endswith("; give the run's model: sft/model")
    shutil.rmtree(home / "sft/model")
    assert "finish the run sft with --resume" in refusal("sft/checkpoints/step-20", capfd)


def test_a_pipeline_holds_several_models(home, capfd):
    for name in ("03-sft", "06-reward", "07-ppo"):
        make_run(home / "out" / name, status="done", model=True)
    said = refusal("out", capfd)
    assert said.endswith("one of them: out/03-sft/model, out/06-reward/model, out/07-ppo/model")


def test_files_are_no_folders(model, home, capfd):
    for name in ("config.json", "model.safetensors"):
        said = refusal(f"model/{name}", capfd)
        assert said.endswith("it is a file of a model; give its folder: model")
    (home / "tiny.gguf").write_bytes(b"GGUF")
    assert "it is a GGUF file" in refusal("tiny.gguf", capfd)
    (home / "only").mkdir()
    (home / "tiny.gguf").rename(home / "only/tiny.gguf")
    assert "it holds a GGUF file" in refusal("only", capfd)
    (home / "notes.txt").write_text("hello")
    assert "it is a file; give a model directory" in refusal("notes.txt", capfd)
    assert "neither a folder nor a file" in refusal("/dev/null", capfd)


@pytest.mark.parametrize("whole", [True, False])
def test_a_lora_adapter(whole, model, home, capfd):
    """With or without the base model's configuration beside it."""
    if not whole:
        (model / "config.json").unlink()
        (model / "model.safetensors").unlink()
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "base", "r": 8}')
    save_file({"lora_A": torch.zeros(2)}, model / "adapter_model.safetensors")
    said = refusal("model", capfd)
    assert said.startswith(
        "model is a LoRA adapter (adapter_config.json), not a whole model; merge"
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "/config.json: it is empty; copy it again"),
        (b'{"model_type": "llama",', "/config.json: not valid JSON (Expecting property name"),
        (b"\xff\xfe{}", "/config.json: not UTF-8 text (invalid start byte at byte 1); copy"),
        (b"[1, 2]", "/config.json: holds no JSON object; copy it again"),
        (b"[" * 100_000, "/config.json: not valid JSON (nested too deeply)"),
        (b"9" * 5000, "/config.json: a number has more digits than can be read"),
        (
            b'{"model_type": "llama", "architectures": 3}',
            "'architectures' of config.json is 3, not a list of names; correct it",
        ),
        (b'{"model_type": "llama", "num_hidden_layers": 2000000000}', "has 2,000,000,000 layers"),
        (b"{}", "config.json names no model_type"),
        (b'{"model_type": "lama"}', "knows no model_type 'lama' (did you mean 'llama'?)"),
        (b'{"model_type": "llama", "hidden_size": "x"}', "does not fit the architecture 'llama'"),
        (
            b'{"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}',
            "the architecture 'own' needs code that comes with the model (trust_remote_code)",
        ),
        (
            b'{"model_type": "llama", "quantization_config": {"quant_method": "gptq"}}',
            "its weights are quantized (gptq), which cannot be trained",
        ),
    ],
)
def test_a_broken_configuration_is_called_what_it_is(content, why, model, capfd):
    (model / "config.json").write_bytes(content)
    said = refusal("model", capfd)
    assert said.startswith(("model: ", "model/config.json: "))
    assert why in said


def test_a_file_that_may_not_be_read(model, capfd, monkeypatch):
    """Simulated, as root may read everything."""
    real = Path.open

    def opened(self, *args, **kwargs):
        if self.name == "config.json":
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    said = refusal("model", capfd)
    assert said.startswith("model/config.json: cannot be read (Permission denied); copy it again")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_broken_tokenizer(name, model, capfd):
    (model / name).write_text("{")
    assert refusal("model", capfd, "tokenizer").startswith(
        f"model/{name}: not valid JSON (Expecting"
    )


def test_a_tokenizer_of_another_make(model, capfd):
    (model / "tokenizer.json").write_text('{"version": "1.0"}')
    said = refusal("model", capfd, "tokenizer")
    assert said.startswith("model has no tokenizer that opens (")
    assert said.endswith("; copy the model's tokenizer files into it")


def test_an_encoder_is_no_policy(home, capfd):
    config = BertConfig(
        vocab_size=258, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8,
    )  # fmt: skip
    write_policy(home / "bert", model=AutoModelForMaskedLM.from_config(config))
    assert "is a BertForMaskedLM, not a causal language model; give" in refusal("bert", capfd)


# ---------------------------------------------------------------- weights


def test_weights_that_are_not_there(model, capfd):
    (model / "model.safetensors").unlink()
    assert "model: it has no weights (model.safetensors is missing)" in refusal("model", capfd)
    (model / "pytorch_model.bin").write_bytes(b"")
    said = refusal("model", capfd)
    assert "its weights are a pickle, which may run any code" in said
    assert said.endswith("; give a model with safetensors weights (save_pretrained writes them)")


def shard(model: Path) -> list[Path]:
    """The same weights in several files."""
    policy = load_policy(model)
    (model / "model.safetensors").unlink()
    policy.save_pretrained(model, max_shard_size="20KB")
    files = sorted(model.glob("model-*.safetensors"))
    assert len(files) > 2
    return files


def test_weights_in_several_files(model, capfd):
    whole = load_file(model / "model.safetensors")
    files = shard(model)
    facts = look_at("model", "policy")
    assert facts.parameters == sum(tensor.numel() for tensor in whole.values())
    weights = load_policy("model").state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in whole.items())

    files[1].unlink()
    missing = f"1 of {len(files)} weight files are missing ({files[1].name})"
    assert missing in refusal("model", capfd)
    (model / "model.safetensors.index.json").write_text("{}")
    assert "index.json is broken (no weight_map)" in refusal("model", capfd)


@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
def test_a_weight_file_that_was_cut_short(kept, model, capfd):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    said = refusal("model", capfd)
    assert "model: the weights cannot be read (model.safetensors: " in said


def edit(model: Path, change) -> None:
    """Change the weights of a model on the disk."""
    weights = load_file(model / "model.safetensors")
    change(weights)
    save_file(weights, model / "model.safetensors", {"format": "pt"})


def test_weights_of_another_size(model, capfd):
    edit(model, lambda w: w.update({"model.norm.weight": torch.zeros(7)}))
    said = refusal("model", capfd)
    assert "the weight 'model.norm.weight' is 7, but config.json asks for 32; give" in said


def test_weights_that_lack_one_or_have_a_layer_too_many(model, capfd):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    assert "the weights lack model.layers.2." in refusal("model", capfd)
    (model / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    said = refusal("model", capfd)
    assert "the weights have 'model.layers.1." in said
    assert "which config.json does not count; give" in said


def test_weights_that_nobody_asks_for_are_left_alone(model):
    edit(model, lambda w: w.update({"value_head.weight": torch.zeros(3)}))
    assert look_at("model", "policy").parameters == 26848
    load_policy("model")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(bad, model, capfd, monkeypatch):
    """In the last row, behind a limit on how much is read at a time."""
    monkeypatch.setattr(weights, "PIECE", 100)
    name = "model.layers.1.mlp.up_proj.weight"
    edit(model, lambda w: w[name][-1].fill_(bad))
    with safe_open("model/model.safetensors", framework="pt") as tensors:
        assert len(list(weights._pieces(tensors.get_slice(name)))) > 2
    said = refusal("model", capfd)
    assert f"the weight '{name}' is not finite; the model is" in said
    assert look_at("model", "policy", check_weights=False).rows == 258


def test_half_precision_is_read_and_checked(model, capfd):
    def halve(weights):
        for name, tensor in weights.items():
            weights[name] = tensor.bfloat16()

    edit(model, halve)
    assert look_at("model", "policy").parameters == 26848
    assert next(load_policy("model").parameters()).dtype == torch.float32
    edit(model, lambda w: w["model.norm.weight"].fill_(float("nan")))
    assert "'model.norm.weight' is not finite" in refusal("model", capfd)


# ---------------------------------------------------------------- the Hub


@pytest.fixture
def hub(home, monkeypatch):
    """A Hub that takes a connection and never answers; its cache is empty."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(opening, "HUB_SECONDS", 0.3)
        opening.hub_refusal.cache_clear()
        yield home / "hub"
        opening.hub_refusal.cache_clear()


def cached(hub: Path, name: str) -> Path:
    """Where the Hub's client keeps the files of a model, as its documentation describes."""
    folder = hub / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("0123abc")
    (folder / "snapshots").mkdir()
    return folder / "snapshots/0123abc"


def test_a_hub_that_does_not_answer_is_asked_once_and_briefly(hub, capfd):
    started = time.monotonic()
    said = refusal("org/name", capfd)
    assert time.monotonic() - started < 5
    assert "no such folder, and the Hub cannot be reached (ReadTimeout)); give" in said


def test_the_disk_comes_before_the_hub(hub, model, capfd):
    assert refusal("modle", capfd).endswith("did you mean model?")


def test_what_the_hubs_cache_holds_needs_no_hub(hub, model, capfd):
    shutil.move(model, cached(hub, "org/name"))
    facts = look_at("org/name", "policy")
    assert (facts.path, facts.rows, facts.context) == ("org/name", 258, 128)
    assert facts.folder == hub / "models--org--name/snapshots/0123abc"
    assert load_policy("org/name").config.vocab_size == 258
    assert load_tokenizer("org/name").eos_token_id == 256


def test_of_a_hub_model_the_small_files_suffice_to_know_it(hub, model):
    shutil.move(model, cached(hub, "org/name"))
    (hub / "models--org--name/snapshots/0123abc/model.safetensors").unlink()
    assert look_at("org/name", "policy").parameters == 26848
    with pytest.raises(UserError, match="org/name: it has no weights") as raised:
        load_policy("org/name")
    sentence(raised)


def test_offline_means_offline(home, capfd):
    assert huggingface_hub.constants.HF_HUB_OFFLINE
    said = refusal("org/name", capfd)
    assert "(no such folder, and HF_HUB_OFFLINE keeps the Hub from being asked); give" in said


def test_what_the_hub_gives_is_fetched_without_the_weights_until_they_are_needed(
    hub, model, monkeypatch
):
    """A Hub that answers, in place of its client's two functions that we call."""
    asked = []

    def snapshot_download(name, *, allow_patterns, local_files_only):
        asked.append("model.safetensors" in allow_patterns)
        assert (name, local_files_only) == ("org/name", False)
        return str(model)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    look_at("org/name", "policy")
    assert not any(asked)
    load_policy("org/name")
    assert any(asked)


def test_a_path_that_is_no_model_is_refused_before_anything_heavy_is_imported(home):
    code = (
        "import sys\n"
        "from instructgpt.cli import main\n"
        "try:\n"
        "    main(['generate', '--model', './nope', '--prompt', 'a'])\n"
        "except SystemExit as ended:\n"
        "    heavy = {'torch', 'transformers'} & set(sys.modules)\n"
        "    sys.exit(f'{ended.code} {sorted(heavy)}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    said, status = done.stderr.splitlines()
    assert said == (
        "instructgpt: ./nope: no model there (no such folder); give a model directory or a Hub id"
    )
    assert status == "2 []"

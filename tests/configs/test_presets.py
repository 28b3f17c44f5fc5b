"""Presets and recipes against the paper's printed numbers, which are written out here by hand."""

import pytest
import yaml

from instructgpt.errors import UserError
from instructgpt.models.config import SHAPES, InitConfig
from instructgpt.ppo.config import PPOConfig
from instructgpt.reward.config import RewardConfig
from instructgpt.run import stages
from instructgpt.run.config import (
    RUNTIME_KEYS,
    Resolved,
    resolve,
)
from instructgpt.run.presets import configs_folder, preset_names, read_preset, read_yaml
from instructgpt.sft.config import SFTConfig

CLASSES = {"init": InitConfig, "sft": SFTConfig, "reward": RewardConfig, "ppo": PPOConfig}
GIVEN = {  # what a preset leaves to the user
    "init": {"out": "out"},
    "sft": {"out": "out", "model": "model", "data": "data.jsonl", "pretrain_data": "text.txt"},
    "reward": {"out": "out", "model": "model", "data": "data.jsonl"},
    "ppo": {
        "out": "out",
        "model": "model",
        "reward_model": "rm",
        "data": "data.jsonl",
        "pretrain_data": "text.txt",
    },
}
OURS = (
    *("paper-1.3b", "paper-6b", "paper-175b", "ppo-init", "ppo-init-6b", "ppo-init-175b"),
    *("stiennon-1.3b", "stiennon-6.7b", "ziegler-books", "ziegler-tldr"),
)
SECTIONS = [(name, stage) for name in OURS for stage in read_preset(name)]

# Ouyang 2022, appendix C. Rows that differ by the policy's size come last.
C1 = {
    "epochs": 16,
    "dropout": 0.2,
    "schedule": "cosine",
    "min_lr_ratio": 0.1,
    "warmup": 0,
    "pretrain_fraction": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "max_length": 2048,
}
C2 = {
    "epochs": 1,
    "learning_rate": 9e-6,
    "batch_size": 64,
    "schedule": "cosine",
    "min_lr_ratio": 0.1,
    "ties": "drop",
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "max_length": 2048,
}
C3 = {
    "epochs": 2,
    "pretrain_fraction": 0.1,
    "schedule": "cosine",
    "min_lr_ratio": 0.1,
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "max_length": 2048,
}
C4 = {
    "kl_coef": 0.02,
    "total_episodes": 256_000,
    "batch_size": 512,
    "num_mini_batches": 8,
    "num_ppo_epochs": 1,
    "schedule": "constant",
    "warmup": 10,
    "ema_decay": 0.992,
    "gamma": 1.0,
    "cliprange": 0.2,
    "temperature": 1.0,
    "ptx_ratio": 8,
    "ptx_coef": 27.8,
    "response_length": 1024,
    "kl_target": None,
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
}
PRINTED = [
    ("paper-1.3b", "sft", C1 | {"learning_rate": 9.65e-6, "batch_size": 32}),
    ("paper-6b", "sft", C1 | {"learning_rate": 9.65e-6, "batch_size": 32}),
    ("paper-175b", "sft", C1 | {"learning_rate": 5.03e-6, "batch_size": 8}),
    ("paper-1.3b", "reward", C2),
    ("paper-6b", "reward", C2),
    ("paper-175b", "reward", C2),
    ("ppo-init", "sft", C3 | {"learning_rate": 5e-6, "batch_size": 32}),
    ("ppo-init-6b", "sft", C3 | {"learning_rate": 1.04e-5, "batch_size": 32}),
    ("ppo-init-175b", "sft", C3 | {"learning_rate": 2.45e-6, "batch_size": 8}),
    ("paper-1.3b", "ppo", C4 | {"critic_learning_rate": 9e-6}),
    ("paper-6b", "ppo", C4 | {"critic_learning_rate": 9e-6}),
    ("paper-175b", "ppo", C4 | {"critic_learning_rate": 5e-6}),
    # Stiennon 2020, appendix B.1; Ziegler 2019, lm-human-preferences/launch.py and train_policy.py.
    ("stiennon-1.3b", "sft", {"learning_rate": 6.35e-5, "batch_size": 128, "epochs": 1}),
    ("stiennon-6.7b", "sft", {"learning_rate": 2.83e-5, "batch_size": 128, "epochs": 1}),
    ("stiennon-1.3b", "reward", {"learning_rate": 1.5e-5, "batch_size": 64, "epochs": 1}),
    ("stiennon-6.7b", "reward", {"learning_rate": 5e-6, "batch_size": 64, "epochs": 1}),
    ("stiennon-1.3b", "ppo", {"learning_rate": 1.5e-5, "batch_size": 512, "kl_coef": 0.05}),
    ("stiennon-6.7b", "ppo", {"learning_rate": 7e-6, "batch_size": 256, "kl_coef": 0.05}),
    ("ziegler-books", "reward", {"learning_rate": 5e-5, "batch_size": 32, "schedule": "linear"}),
    ("ziegler-tldr", "reward", {"learning_rate": 2.5e-5, "batch_size": 16, "schedule": "linear"}),
    (
        "ziegler-books",
        "ppo",
        {
            "learning_rate": 1e-5,
            "batch_size": 512,
            "kl_coef": 0.15,
            "kl_target": 6.0,
            "response_length": 24,
            "temperature": 0.7,
            "whiten_rewards": True,
            "num_ppo_epochs": 4,
            "lam": 0.95,
            "adam_epsilon": 1e-5,
        },
    ),
    (
        "ziegler-tldr",
        "ppo",
        {
            "learning_rate": 2e-6,
            "batch_size": 32,
            "kl_coef": 0.03,
            "kl_target": None,
            "response_length": 75,
            "temperature": 0.7,
            "whiten_rewards": False,
        },
    ),
]

# Keys that a paper preset may leave to their defaults, and why.
HARDWARE = {"attention", "shared_prefix", "device", "micro_batch_tokens", "rollout_slots"}
MEASURING = {
    "sft": set(),
    "reward": {"eval_every"},
    "ppo": {"eval_every", "eval_prompts", "grad_ratio_every"},
}
THE_USERS = {
    *("model", "reward_model", "reward", "critic", "data", "format", "split", "eval_data"),
    "eval_pretrain_data",
    *("pretrain_data", "demonstrations", "eval_split", "use", "on_nonfinite"),
}


def resolved(name: str, stage: str) -> Resolved:
    return resolve(CLASSES[stage], presets=[name], flags=GIVEN[stage], stage=stage)


def test_every_preset_is_tested():
    assert set(OURS) <= set(preset_names())
    assert set(preset_names()) - set(OURS) <= {"tiny", "quickstart"}


@pytest.mark.parametrize(("name", "stage"), SECTIONS)
def test_a_preset_resolves_to_exactly_its_values(name: str, stage: str):
    found = resolved(name, stage)
    for key, entry in read_preset(name)[stage].items():
        assert getattr(found.config, key) == entry["value"]
        assert found.sources[key] == f"preset {name} ({entry['source']})"


@pytest.mark.parametrize("name", OURS)  # the header of tiny.yaml says it for all its values
def test_every_value_names_its_source(name: str):
    for stage, section in read_preset(name).items():
        assert stage in {*stages.SECTIONS, "common"}
        for key, entry in section.items():
            assert set(entry) == {"value", "source"}, (stage, key)
            assert entry["source"].startswith(("paper: ", "inherited: ", "ours: ")), (stage, key)
            text = entry["value"]
            # YAML reads 1e-8 as a text, 1.0e-8 as a number.
            assert not (isinstance(text, str) and text[:1].isdigit()), key


@pytest.mark.parametrize(("name", "stage", "printed"), PRINTED)
def test_the_printed_numbers(name: str, stage: str, printed: dict):
    config = resolved(name, stage).config
    assert {key: getattr(config, key) for key in printed} == printed


@pytest.mark.parametrize(("name", "stage", "printed"), PRINTED)
def test_a_printed_number_says_so(name: str, stage: str, printed: dict):
    section = read_preset(name)[stage]
    ancestor = name.startswith(("stiennon", "ziegler"))
    for key in printed:
        assert section[key]["source"].startswith("inherited: " if ancestor else "paper: "), key


@pytest.mark.parametrize(
    ("name", "stage"),
    [s for s in SECTIONS if s[0].startswith(("paper", "ppo-init")) and s[1] != "init"],
)
def test_a_paper_preset_leaves_nothing_that_decides_a_result_to_a_default(name: str, stage: str):
    free = RUNTIME_KEYS | HARDWARE | MEASURING[stage] | THE_USERS
    left = set(CLASSES[stage].model_fields) - set(read_preset(name)[stage])
    assert left <= free, f"set explicitly, with a source: {sorted(left - free)}"


@pytest.mark.parametrize("name", ["paper-1.3b", "paper-6b", "paper-175b"])
def test_numbers_that_follow_from_the_printed_ones(name: str):
    config = resolved(name, "ppo").config
    assert config.total_iterations == 500
    assert config.mini_batch_size == 64
    assert config.total_iterations * config.updates_per_iteration == 4_000
    assert config.ptx_per_update == 512
    assert config.ptx_per_update * 4_000 == 2_048_000
    visits_per_prompt = config.total_episodes / 31_144  # Table 6
    assert visits_per_prompt == pytest.approx(8.2, abs=0.05)


@pytest.mark.parametrize("name", ["paper-1.3b", "paper-6b", "paper-175b"])
def test_the_policy_rate_lies_in_the_range_of_e9(name: str):
    assert 2.55e-6 <= resolved(name, "ppo").config.learning_rate < 8.05e-6


def test_the_pretraining_share_of_c3():
    assert resolved("ppo-init", "sft").config.pretrain_per_step == 3  # of 32
    assert resolved("ppo-init-175b", "sft").config.pretrain_per_step == 1  # of 8


def test_presets_of_one_family_differ_only_where_the_paper_does():
    for stage, allowed in {
        "sft": {"learning_rate", "batch_size"},
        "reward": set(),
        "ppo": {"learning_rate", "critic_learning_rate"},
    }.items():
        small, large = resolved("paper-1.3b", stage).config, resolved("paper-175b", stage).config
        differing = {k for k in type(small).model_fields if getattr(small, k) != getattr(large, k)}
        assert differing == allowed


def test_init_sections_name_a_shape_of_the_right_size():
    shapes = {n: read_preset(n)["init"]["preset"]["value"] for n, s in SECTIONS if s == "init"}
    assert set(shapes.values()) <= set(SHAPES)
    assert shapes["paper-1.3b"] == "gpt3-1.3b"
    assert shapes["paper-6b"] == "gpt3-6.7b"
    assert shapes["paper-175b"] == "gpt3-175b"


def test_an_unknown_preset_gets_a_suggestion():
    with pytest.raises(UserError, match=r"no preset 'paper-1\.3' \(did you mean 'paper-1\.3b'\?\)"):
        resolve(SFTConfig, presets=["paper-1.3"], flags=GIVEN["sft"], stage="sft")


def test_a_preset_without_the_stage_says_what_it_has():
    with pytest.raises(UserError, match="no section 'ppo:', only sft"):
        resolve(PPOConfig, presets=["ppo-init"], flags=GIVEN["ppo"], stage="ppo")


@pytest.mark.parametrize(("file", "stage"), [("sft", "sft"), ("rm", "reward"), ("ppo", "ppo")])
def test_a_recipe_resolves_and_agrees_with_the_1_3b_preset(file: str, stage: str):
    path = configs_folder() / f"{file}.yaml"
    values = {key: entry["value"] for key, entry in read_preset("paper-1.3b")[stage].items()}
    assert read_yaml(path) == values
    found = resolve(CLASSES[stage], files=[path], flags=GIVEN[stage], stage=stage)
    assert found.config == resolved("paper-1.3b", stage).config


@pytest.mark.parametrize(("file", "stage"), [("sft", "sft"), ("rm", "reward"), ("ppo", "ppo")])
def test_a_recipe_gives_the_source_of_each_value(file: str, stage: str):
    lines = (configs_folder() / f"{file}.yaml").read_text(encoding="utf-8").splitlines()
    written = [line for line in lines if line and not line.startswith("#")]
    sources = {key: entry["source"] for key, entry in read_preset("paper-1.3b")[stage].items()}
    assert len(written) == len(sources)
    for line in written:
        setting, source = line.split("  # ")
        assert source == sources[setting.split(":")[0]]


def test_a_flag_wins_over_a_recipe_and_a_recipe_over_a_preset():
    path = configs_folder() / "sft.yaml"
    found = resolve(
        SFTConfig,
        presets=["paper-175b"],
        files=[path],
        flags=GIVEN["sft"] | {"epochs": 3},
        stage="sft",
    )
    assert (found.config.batch_size, found.config.epochs) == (32, 3)
    assert found.sources["batch_size"] == str(path)
    assert found.sources["epochs"] == "--epochs"


def test_a_resolved_preset_is_written_as_yaml_that_reads_back():
    found = resolved("paper-6b", "ppo")
    assert PPOConfig(**yaml.safe_load(found.to_yaml())) == found.config

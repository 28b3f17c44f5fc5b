"""A pipeline of eight small stages, and its directory after an undisturbed run."""

import pytest
import yaml

from instructgpt.pipeline.pipeline import run_pipeline
from tests.files import write_rows
from tests.small_runs import one_backend


@pytest.fixture(scope="session")
def same_backend():
    with one_backend():
        yield


@pytest.fixture(scope="session")
def yaml_file(tmp_path_factory):
    """Eight stages of a second in all; only the first has a size that the others inherit."""
    folder = tmp_path_factory.mktemp("pipeline")
    sea = "The sea is wide and calm. People like it."
    prompts = [
        {"prompt": f"Why do people like {thing}?"}
        for thing in ("the sea", "tea", "rain", "books", "dogs")
    ]
    data = write_rows(folder / "prompts.jsonl", prompts)
    demonstrations = write_rows(
        folder / "demonstrations.jsonl", [{**p, "response": sea} for p in prompts[:3]]
    )
    (folder / "prose.txt").write_text(" ".join([sea] * 12))
    prose = str(folder / "prose.txt")
    small = {"learning_rate": 1e-3, "save_every": 1}
    config = {
        "common": {"template": "{prompt}\n", "threads": 1, "seed": 1},
        "init": {"preset": "gpt3-tiny", "vocab_size": 300, "tokenizer_data": prose},
        "pretrain": {
            "pretrain_data": prose,
            "pretrain_fraction": 1.0,
            "pretrain_length": 16,
            "max_length": 64,
            "max_steps": 2,
            "batch_size": 2,
            "dropout": 0,
            **small,
        },
        "sft": {"data": demonstrations, "epochs": 1, "batch_size": 2, **small},
        "sample": {"data": data, "k": 3, "max_new_tokens": 6},
        "rank": {"by": "rule"},
        "reward": {"demonstrations": demonstrations, "batch_size": 2, "ties": "half", **small},
        "ppo": {
            "data": data,
            "total_episodes": 4,
            "batch_size": 2,
            "num_mini_batches": 1,
            "response_length": 4,
            "ptx_coef": 0,
            "warmup": 0,
            **small,
        },
        "evaluate": {"data": data, "max_new_tokens": 4, "judge": "rule"},
    }
    (folder / "mini.yaml").write_text(yaml.safe_dump(config))
    return folder / "mini.yaml"


@pytest.fixture(scope="session")
def straight(yaml_file, same_backend, tmp_path_factory):
    """The pipeline's directory, and the report's path."""
    out = tmp_path_factory.mktemp("straight") / "study"
    return out, run_pipeline(out, files=[yaml_file])

"""Every field that names something to read says what it is."""

from typing import Annotated

import pytest

from instructgpt.evaluation.config import CompareConfig
from instructgpt.label.simulated.config import LabelConfig
from instructgpt.models.config import InitConfig
from instructgpt.pipeline.config import RankConfig, SampleConfig
from instructgpt.ppo.config import PPOConfig
from instructgpt.reward.config import RewardConfig
from instructgpt.run.config import Config
from instructgpt.run.inputs import (
    Input,
    Mendable,
    Policy,
    Rankings,
    Reads,
    inputs_of,
    mendable_fields,
    reading_fields,
)
from instructgpt.run.paths import Paths
from instructgpt.sft.config import SFTConfig


class _Reading(Config):
    model: Policy
    data: Annotated[Paths, Reads("prompts")] = ()
    labels: Annotated[Rankings, Mendable("end")] = ()
    judge: Annotated[str, Reads("judge")] = ""
    seed: int = 0


def test_the_paths_of_a_configuration_come_in_the_order_of_its_fields() -> None:
    config = _Reading.model_validate({"model": "m", "data": ["b", "a"], "labels": "c"})
    assert list(inputs_of(config)) == [
        Input("model", "m", Reads("policy")),
        Input("data", "b", Reads("prompts")),
        Input("data", "a", Reads("prompts")),
        Input("labels", "c", Reads("rankings")),
    ]
    assert mendable_fields(_Reading) == {"labels": Mendable("end")}


CONFIGS = (
    *(SFTConfig, RewardConfig, PPOConfig, SampleConfig),
    *(RankConfig, LabelConfig, CompareConfig, InitConfig),
)
NAMES = {
    *("model", "reward_model", "critic", "a", "b", "base", "others", "judge", "tokenizer"),
    *("data", "eval_data", "pretrain_data", "eval_pretrain_data", "demonstrations"),
    *("rankings", "prose", "tokenizer_data", "reward"),
}


@pytest.mark.parametrize("config", CONFIGS)
def test_every_field_that_names_a_file_or_a_model_is_declared(config: type[Config]) -> None:
    assert set(reading_fields(config)) == NAMES & set(config.model_fields)

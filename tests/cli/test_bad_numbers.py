"""What is no finite number is refused wherever a number is asked for."""

import re

import pytest

from instructgpt.data.formats import read_records
from instructgpt.data.records import Ranking, Rating, Response
from instructgpt.errors import UserError
from instructgpt.evaluation.config import CompareConfig
from instructgpt.label.simulated.config import LabelConfig
from instructgpt.models.config import InitConfig
from instructgpt.pipeline.config import RankConfig, SampleConfig
from instructgpt.ppo.config import PPOConfig
from instructgpt.reward.config import RewardConfig
from instructgpt.run.config import resolve
from instructgpt.sft.config import SFTConfig
from tests.files import write_rows

CONFIGS = {
    "sft": (SFTConfig, {"model": "m", "data": "d", "out": "o"}),
    "reward": (RewardConfig, {"model": "m", "data": "d", "out": "o"}),
    "ppo": (
        PPOConfig,
        {"model": "m", "reward_model": "r", "data": "d", "out": "o", "pretrain_data": "p"},
    ),
    "sample": (SampleConfig, {"model": "m", "data": "d", "out": "o"}),
    "rank": (RankConfig, {"out": "o"}),
    "label": (LabelConfig, {"data": "d", "out": "o"}),
    "evaluate": (CompareConfig, {"a": "a", "b": "b", "data": "d", "out": "o"}),
    "init": (InitConfig, {"out": "o"}),
}


def numbers(cls):
    """The fields whose type has a number in it."""
    kinds = {key: str(field.annotation) for key, field in cls.model_fields.items()}
    return [key for key, kind in kinds.items() if "float" in kind or "int" in kind]


ANSWERS = [{"text": "b"}, {"text": "c"}]
FIELDS = [(stage, key) for stage, (cls, _) in CONFIGS.items() for key in numbers(cls)]


def test_there_are_such_fields():
    assert {("sft", "learning_rate"), ("ppo", "kl_target"), ("label", "noise")} <= set(FIELDS)
    assert len(FIELDS) > 60


@pytest.mark.parametrize(("stage", "key"), FIELDS)
def test_no_number_of_a_configuration_is_infinite(stage, key, tmp_path):
    cls, needed = CONFIGS[stage]
    assert resolve(cls, flags=needed, stage=stage).config
    for value in ("inf", "-inf", "nan", "Infinity", "1e999"):
        with pytest.raises(UserError, match=f"^--{key}: .*given: '{value}'"):
            resolve(cls, flags=needed | {key: value}, stage=stage)
    for value in (".inf", "-.inf", ".nan", "1.0e+999"):
        file = tmp_path / "numbers.yaml"
        file.write_text(f"{key}: {value}\n")
        with pytest.raises(UserError, match=rf"numbers.yaml: {key}: .*\(given: -?(inf|nan)\)$"):
            resolve(cls, flags=needed, files=[file], stage=stage)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        *(("temperature", value) for value in ("inf", "-inf", "nan", "-0.1")),
        *(("top_p", value) for value in ("inf", "nan", "0", "1.1", "-1")),
        *(("top_k", "-1"), ("seed", "-1"), ("response_length", "0")),
    ],
)
@pytest.mark.parametrize("command", ["generate", "chat"])
def test_sampling_flags_are_checked_before_a_model_is_opened(command, flag, value, cli):
    asked = {"prompt": "hello"} if command == "generate" else {}
    result = cli(command, **{"model": "/nowhere/at/all", flag: value, **asked})
    assert (result.status, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert result.err.startswith(f"instructgpt: --{flag}: input should be ")
    assert re.search(rf"\(given: {re.escape(value)}(\.0)?\)$", result.err.strip())


@pytest.mark.parametrize("finished", [float("nan"), float("inf"), 2, "no", None])
def test_whether_an_answer_ended_is_said_by_true_or_false(finished):
    with pytest.raises(ValueError, match="finished must be true or false"):
        Response(text="a", sampling={"finished": finished})
    assert [Response(text="a", sampling={"finished": f}).finished for f in (True, False)] == [
        True,
        False,
    ]


@pytest.mark.parametrize(("stage", "key"), [field for field in FIELDS if field[1] != "dtype"])
def test_no_number_of_a_configuration_is_a_truth_value_or_below_its_least(stage, key, tmp_path):
    cls, needed = CONFIGS[stage]
    file = tmp_path / "numbers.yaml"
    for value, told in (("true", "true"), ("off", "false")):
        file.write_text(f"{key}: {value}\n")
        with pytest.raises(UserError, match=rf"numbers.yaml: {key}: {told} is no number; give one"):
            resolve(cls, flags=needed, files=[file], stage=stage)
    with pytest.raises(UserError, match=rf"^{cls.__name__}: {key}: true is no number; give one"):
        cls(**needed | {key: True})
    for value in ("true", "-1", "-1000000"):
        with pytest.raises(UserError, match=rf"^--{key}: "):
            resolve(cls, flags=needed | {key: value}, stage=stage)


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (Rating, {"prompt": "a", "response": "b", "likert": True}),
        (Ranking, {"prompt": "a", "responses": ANSWERS, "ranks": [1, True]}),
        (Ranking, {"prompt": "a", "responses": ANSWERS, "ranks": [1, 2], "shown_order": [0, True]}),
    ],
)
def test_no_number_of_a_record_is_a_truth_value(kind, row, tmp_path):
    write_rows(tmp_path / "rows.jsonl", [row])
    with pytest.raises(UserError, match=r"rows.jsonl line 1: .*true is no number"):
        read_records(tmp_path / "rows.jsonl", kind)


def test_fewer_answers_at_most_than_at_least_are_refused():
    cls, needed = CONFIGS["sample"]
    with pytest.raises(UserError, match="k_max 3 is less than k 4"):
        resolve(cls, flags=needed | {"k": 4, "k_max": 3}, stage="sample")
    assert resolve(cls, flags=needed | {"k": 4, "k_max": 4}, stage="sample").config.k_max == 4

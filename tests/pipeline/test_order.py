"""Which stages a plan has, and what each takes from those before it."""

from instructgpt.pipeline.order import stages_of

ALL = {"init", "pretrain", "sft", "sample", "rank", "reward", "ppo", "evaluate"}


def inputs(stages):
    return {stage.name: dict(stage.inputs) for stage in stages}


def test_one_round():
    stages = stages_of(ALL)
    assert [stage.name for stage in stages] == [
        "init", "pretrain", "sft", "sample", "rank", "reward", "ppo", "evaluate",
    ]  # fmt: skip
    assert inputs(stages) == {
        "init": {},
        "pretrain": {"model": (("init", "model"),)},
        "sft": {"model": (("pretrain", "model"),)},
        "sample": {"model": (("sft", "model"),)},
        "rank": {"data": (("sample", "candidates.jsonl"),)},
        "reward": {"model": (("sft", "model"),), "data": (("rank", "rankings.jsonl"),)},
        "ppo": {"model": (("sft", "model"),), "reward_model": (("reward", "model"),)},
        "evaluate": {"a": (("ppo", "model"),), "b": (("sft", "model"),)},
    }


def test_a_second_round_samples_from_the_policy_and_trains_on_all_labels():
    stages = stages_of(ALL, rounds=2)
    assert [(stage.name, stage.round) for stage in stages][7:] == [
        ("sample-2", 2), ("rank-2", 2), ("reward-2", 2), ("ppo-2", 2), ("evaluate", 2),
    ]  # fmt: skip
    wired = inputs(stages)
    assert wired["sample-2"] == {"model": (("ppo", "model"),)}
    assert wired["rank-2"] == {"data": (("sample-2", "candidates.jsonl"),)}
    labels = (("rank", "rankings.jsonl"), ("rank-2", "rankings.jsonl"))
    assert wired["reward-2"] == {"model": (("sft", "model"),), "data": labels}
    assert wired["ppo-2"] == {
        "model": (("sft", "model"),),
        "reward_model": (("reward-2", "model"),),
    }
    assert wired["evaluate"] == {
        "a": (("ppo-2", "model"),),
        "b": (("sft", "model"),),
        "others": (("ppo", "model"),),
    }
    assert {stage.kind for stage in stages} == ALL


def test_the_arm_without_pretraining_mix():
    stages = {stage.name: stage for stage in stages_of(ALL, plain_arm=True)}
    assert stages["ppo-plain"].kind == "ppo"
    assert stages["ppo-plain"].fixed == {"ptx_coef": 0.0}
    assert stages["ppo-plain"].inputs == stages["ppo"].inputs
    assert not stages["ppo"].fixed
    assert stages["evaluate"].inputs["others"] == (("ppo-plain", "model"),)


def test_without_a_section_there_is_no_stage_and_nothing_is_taken_from_it():
    stages = stages_of({"sft", "reward", "evaluate"})
    assert inputs(stages) == {
        "sft": {},
        "reward": {"model": (("sft", "model"),)},
        "evaluate": {"b": (("sft", "model"),)},
    }
    assert inputs(stages_of({"init", "sft"}))["sft"] == {"model": (("init", "model"),)}

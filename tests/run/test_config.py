"""Layered configuration: the order of layers, the source of every value, what is refused."""

from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import Field

from instructgpt.errors import UserError
from instructgpt.evaluation.config import CompareConfig
from instructgpt.models.config import InitConfig
from instructgpt.pipeline.config import RankConfig, SampleConfig
from instructgpt.ppo.config import PPOConfig
from instructgpt.reward.config import RewardConfig
from instructgpt.run import presets as presets_module
from instructgpt.run.config import Config, Resolved, resolve
from instructgpt.run.paths import Paths
from instructgpt.run.presets import nearest
from instructgpt.sft.config import SFTConfig

STAGES = {
    "init": InitConfig,
    "sft": SFTConfig,
    "sample": SampleConfig,
    "rank": RankConfig,
    "reward": RewardConfig,
    "ppo": PPOConfig,
    "evaluate": CompareConfig,
}


class Small(Config):
    """One key of every type."""

    out: str = Field(description="where")
    rate: float = Field(1.0, gt=0, description="a number")
    count: int = Field(3, description="a whole number")
    clip: float | None = Field(0.2, description="a number or nothing")
    switch: bool = Field(False, description="a switch")
    kind: Literal["none", "some"] = Field("none", description="a choice")
    data: Paths = Field((), description="paths")


@pytest.fixture
def write(tmp_path):
    def write(text, name="a.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.fixture
def presets(tmp_path, monkeypatch):
    """A folder of presets of our own."""
    (tmp_path / "configs" / "presets").mkdir(parents=True)
    monkeypatch.setattr(presets_module, "configs_folder", lambda: tmp_path / "configs")
    return tmp_path / "configs" / "presets"


def read(*files, **flags):
    return resolve(Small, files=files, flags=flags)


def refused(*files, stage="", cls=Small, **flags):
    with pytest.raises(UserError) as raised:
        resolve(cls, files=files, flags=flags, stage=stage)
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_later_layers_win_and_every_value_has_its_source(write, presets):
    (presets / "first.yaml").write_text(
        "sft:\n  rate: {value: 2.0, source: 'paper: C.1'}\n  count: {value: 20, source: ours}\n"
        "  clip: 0.1\n  out: preset\n  data: [preset]\n"
    )
    (presets / "second.yaml").write_text("sft: {count: 30, clip: 0.3}\n")
    one = write("common: {clip: 0.4, data: one, strange: 1}\nsft: {data: [b, c]}\n", "one.yaml")
    two = write("out: two\ndata: d\n", "two.yaml")
    resolved = resolve(
        Small,
        presets=("first", "second"),
        files=(one, two),
        flags={"out": "flag", "switch": None},
        stage="sft",
        wired={"out": "wired", "kind": "some"},
    )
    assert resolved.config.model_dump() == {
        "out": "flag",
        "rate": 2.0,
        "count": 30,
        "clip": 0.4,
        "switch": False,
        "kind": "some",
        "data": ("d",),
    }
    assert resolved.sources == {
        "out": "--sft.out",
        "rate": "preset first (paper: C.1)",
        "count": "preset second",
        "clip": str(one),
        "switch": "default",
        "kind": "pipeline",
        "data": str(two),
    }


def test_what_yaml_spells_becomes_the_type(write):
    file = write(
        "out: a\nrate: 1e-5\ncount: '7'\nclip: null\nswitch: yes\nkind: none\ndata: [x, y]\n"
    )
    config = read(file).config
    assert (config.rate, config.count, config.clip, config.switch) == (1e-5, 7, None, True)
    assert (config.kind, config.data) == ("none", ("x", "y"))


def test_what_flags_spell_becomes_the_type():
    flags = {
        "rate": "1e-5",
        "count": "7",
        "clip": "null",
        "switch": True,
        "kind": "none",
        "data": ["x"],
    }
    config = read(out="a", **flags).config
    assert (config.rate, config.count, config.clip, config.switch) == (1e-5, 7, None, True)
    assert (config.kind, config.data) == ("none", ("x",))  # `--report_to none` is the word


def test_an_unknown_key_names_the_file_and_the_nearest(write):
    file = write("out: a\ncuont: 4\n")
    assert refused(file) == f"{file}: unknown key 'cuont' (did you mean 'count'?)"
    assert (
        refused(out="a", kinds="b")
        == "the command line: unknown key 'kinds' (did you mean 'kind'?)"
    )
    assert refused(write("zzz: 4\n")).endswith("unknown key 'zzz'")
    assert refused(write("17: 4\n")).endswith("unknown key '17'")


def test_a_wrong_type_names_the_place_the_key_and_the_value(write):
    file = write("out: a\ncount: many\n")
    text = refused(file)
    assert text.startswith(f"{file}: count: ")
    assert text.endswith("(given: 'many')")
    assert refused(out="a", rate="-1") == "--rate: input should be greater than 0 (given: '-1')"
    assert "'none' or 'some'" in refused(out="a", kind="sum")
    assert "data: input should be" in refused(write("out: a\ndata: {x: 1}\n"))
    assert "out: input should be a valid string (given: None)" in refused(write("out:\n"))


def test_the_flag_of_a_stage_in_a_pipeline_has_its_section():
    with pytest.raises(UserError, match=r"^--sft\.rate: .* \(given: 'x'\)$"):
        resolve(Small, flags={"rate": "x"}, stage="sft", wired={"out": "a"})


def test_a_missing_key_says_how_to_give_it():
    assert refused(stage="sft") == "sft needs 'out': give --out or put 'out:' into a YAML file"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "out: a\n  count: 3\n",
            " line 2: mapping values are not allowed here; mend the YAML there",
        ),
        ("out: [a\n", " line 2: "),
        ("out: a\ncount: @3\n", " line 2: "),
        ("- out\n", ": a configuration is 'key: value' lines, this file holds none"),
        ("", ": a configuration is 'key: value' lines, this file holds none"),
        ("# only a comment\n", ": a configuration is 'key: value' lines, this file holds none"),
    ],
)
def test_a_file_that_is_no_configuration(text, complaint, write):
    file = write(text)
    assert refused(file).startswith(f"{file}{complaint}")


def test_a_file_that_cannot_be_read(write, tmp_path):
    assert (
        refused(tmp_path / "no.yaml")
        == f"{tmp_path}/no.yaml: no such file; check the path of the configuration"
    )
    assert f"{tmp_path}: is a folder, not a file" in refused(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"out: caf\xe9\n")
    assert "latin.yaml: not UTF-8 text (invalid continuation byte" in refused(
        tmp_path / "latin.yaml"
    )


def test_an_unknown_preset_names_all_and_the_nearest():
    with pytest.raises(
        UserError, match=r"no preset 'tinny' \(did you mean 'tiny'\?\); the presets are .*tiny"
    ):
        resolve(Small, presets=["tinny"])


def test_sections(write):
    file = write("sft: {out: s}\nppo: {out: p, count: 9}\ncommon: {count: 5}\n")
    sft, ppo = (resolve(Small, files=[file], stage=stage).config for stage in ("sft", "ppo"))
    assert ((sft.out, sft.count), (ppo.out, ppo.count)) == (("s", 5), ("p", 9))
    assert (
        refused(file, stage="reward") == f"{file}: has no section 'reward:', only common, ppo, sft"
    )
    mixed = write("sft: {out: s}\nrewrad: {out: p}\n")
    assert "unknown key 'rewrad' beside the sections sft (did you mean 'reward'?)" in refused(
        mixed, stage="sft"
    )
    assert "unknown key 'cuont'" in refused(write("sft: {out: s, cuont: 1}\n"), stage="sft")


def test_an_empty_section_is_a_section(write):
    file = write("common: {out: c}\nsft:\n")
    assert resolve(Small, files=[file], stage="sft").config.out == "c"
    assert "needs 'out'" in refused(write("sft:\n"), stage="sft")


def test_a_configuration_is_frozen_and_known_by_its_sources():
    resolved = Resolved.of(Small(out="a", count=3))
    with pytest.raises(ValueError, match="frozen"):
        resolved.config.count = 4
    assert resolved.sources == dict.fromkeys(Small.model_fields, "default") | {
        "out": "Python",
        "count": "Python",
    }


def test_nearest():
    assert nearest("epohcs", ["epochs", "seed"]) == " (did you mean 'epochs'?)"
    assert nearest("quux", ["epochs", "seed"]) == ""


def test_the_yaml_is_readable(write):
    text = resolve(Small, files=[write("out: 'a # b'\nrate: 1e-5\nclip: null\n")]).to_yaml()
    lines = text.splitlines()
    assert lines[0].startswith("out: 'a # b'  # ")
    assert [line.partition(":")[0] for line in lines] == list(Small.model_fields)
    assert "clip: null  # " in text
    assert "count: 3  # default" in text


def values_of(field: Any) -> st.SearchStrategy:
    """Values that a key may have, whatever its bounds say."""
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    if get_origin(annotation) is tuple:
        return st.lists(text, min_size=1, max_size=3)
    kinds = {
        bool: st.booleans(),
        int: st.integers(2, 10**9),
        float: st.floats(1e-12, 0.999),
        str: text,
        float | None: st.none() | st.floats(1e-12, 0.999),
    }
    return kinds[annotation]


@pytest.mark.parametrize("stage", [*STAGES, "small"])
@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_printed_loads_back(stage, data, tmp_path):
    cls = STAGES.get(stage, Small)
    drawn = {
        key: data.draw(values_of(field), label=key)
        for key, field in cls.model_fields.items()
        if data.draw(st.booleans()) or field.is_required()
    }
    try:
        config = cls(**drawn)
        resolved = Resolved.of(config)
    except ValueError:  # keys that exclude each other, and empty ones
        return
    file = tmp_path / "config.yaml"
    file.write_text(resolved.to_yaml(), encoding="utf-8")
    assert resolve(cls, files=[file], stage=stage).config == config
    assert set(yaml.safe_load(file.read_text(encoding="utf-8"))) == set(cls.model_fields)


@pytest.mark.parametrize("stage", STAGES)
def test_every_key_is_described(stage):
    for key, field in STAGES[stage].model_fields.items():
        assert field.description, key
        assert field.description[-1] not in ". ", key


def test_load_is_resolve_in_python(write):
    file = write("model: m\ndata: d\npretrain_data: t\nout: o\n")
    config = SFTConfig.load(file, preset="ppo-init", seed=7)
    assert (config.model, config.seed, config.pretrain_fraction) == ("m", 7, 0.1)

"""Paths with weights: how they are written, what they mean in a list, what is refused."""

import json

import pytest
import yaml

from instructgpt.errors import UserError
from instructgpt.run.config import resolve
from instructgpt.run.given import Given
from instructgpt.run.inputs import inputs_of
from instructgpt.run.provenance import Continuation, Source, differing, identity, read_inputs
from instructgpt.run.weighted import weight_of
from instructgpt.sft.config import SFTConfig
from tests.files import sentence

NEEDED = {"model": "m", "data": "d", "out": "o"}


def config(sources) -> SFTConfig:
    return SFTConfig(**NEEDED, pretrain_data=sources)


def weights(sources) -> list[tuple[str, float | None]]:
    return [(str(path), weight_of(path)) for path in config(sources).pretrain_data]


def test_a_plain_list_stays_one():
    for plain in ("a.txt", ["a.txt", "shipped:prose"], [], "C:web", "python:1234567890123456"):
        listed = [plain] if isinstance(plain, str) else plain
        assert weights(plain) == [(path, None) for path in listed]
        assert config(plain).model_dump(mode="json")["pretrain_data"] == listed


def test_one_weight_makes_all_sources_weighted():
    expected = [("a.txt", 1.0), ("b.jsonl", 3.0), ("team/set", 0.5)]
    assert weights(["a.txt", "b.jsonl:3", "team/set:.5"]) == expected
    named = [{"path": "b.jsonl", "weight": 3}, {"path": "team/set", "weight": "0.5"}]
    assert weights([{"path": "a.txt"}, *named]) == expected
    assert weights({"path": "shipped:prose", "weight": 2}) == [("shipped:prose", 2.0)]


def test_a_name_that_ends_like_a_weight_is_a_name_where_it_exists(tmp_path):
    folder = tmp_path / "part:2"
    assert weights(str(folder)) == [(str(tmp_path / "part"), 2.0)]
    folder.mkdir()
    assert weights(str(folder)) == [(str(folder), None)]


def test_documents_from_python_are_no_sources():
    text, path = config([{"text": "a", "weight": 9}, {"path": "b", "weight": 2}]).pretrain_data
    assert isinstance(text, Given)
    assert text.rows == ({"text": "a", "weight": 9},)
    assert (path, weight_of(path)) == ("b", 2.0)


def test_the_written_configuration_is_read_back(tmp_path):
    file = tmp_path / "sft.yaml"
    sources = "[{path: w.jsonl, weight: 3}, b.txt, 'c.txt:.5']"
    file.write_text(f"{{model: m, data: d, out: o, pretrain_data: {sources}}}")
    read = resolve(SFTConfig, files=[file], stage="sft")
    file.write_text(read.to_yaml())
    again = resolve(SFTConfig, files=[file], stage="sft").config
    rows = [("w.jsonl", 3.0), ("b.txt", 1.0), ("c.txt", 0.5)]
    assert [(str(path), weight_of(path)) for path in again.pretrain_data] == rows
    assert yaml.safe_load(file.read_text())["pretrain_data"] == [
        {"path": path, "weight": weight} for path, weight in rows
    ]
    assert [(x.path, x.weight) for x in inputs_of(again) if x.key == "pretrain_data"] == rows


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "1e999"])
def test_a_weight_is_a_number_above_0(weight, tmp_path):
    with pytest.raises(
        UserError, match=rf"the weight of w\.txt is {weight}; give a number"
    ) as text:
        config(f"w.txt:{weight}")
    sentence(text)
    for other in (0, -0.5, float("nan"), True, None, [1], 10**400):
        with pytest.raises(UserError, match=r"the weight of w\.txt is .*; give a number above 0"):
            config({"path": "w.txt", "weight": other})
    with pytest.raises(UserError, match=r"^--pretrain_data: the weight of w\.txt is "):
        resolve(SFTConfig, flags={**NEEDED, "pretrain_data": [f"w.txt:{weight}"]}, stage="sft")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{path: w, wieght: 3}", "unknown key 'wieght' of a source (did you mean 'weight'?); give"),
        ("{text: x}", "unknown key 'text' of a source; give path and weight"),
        ("{weight: 3}", "a source has no path; name a file, a folder or a data set of the Hub"),
        ("{path: 3}", "a source has the path 3; name a file"),
        ("{path: w, weight: .nan}", "the weight of w is nan; give a number above 0"),
    ],
)
def test_what_is_no_source_is_said_with_the_file(source, said, tmp_path):
    file = tmp_path / "sft.yaml"
    file.write_text(f"{{model: m, data: d, out: o, pretrain_data: [{source}]}}")
    with pytest.raises(UserError) as raised:
        resolve(SFTConfig, files=[file], stage="sft")
    assert sentence(raised).startswith(f"{file}: pretrain_data: {said}")


def test_another_weight_is_another_run(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)

    def at(*given: str):
        made = config([f"{tmp_path}/{text}" for text in given])
        return made, [source for source in read_inputs(made) if source.key == "pretrain_data"]

    made, sources = at("a:3", "b:1")
    kept = [json.loads(json.dumps(source.to_json())) for source in sources]
    assert [row["weight"] for row in kept] == [3.0, 1.0]
    assert [Source.from_json(row) for row in kept] == sources
    info = {"stage": "sft", "config": made.model_dump(mode="json"), "inputs": kept}
    for given, is_same in ((("a:3", "b:1"), True), (("a:2", "b:1"), False), (("a", "b"), False)):
        other, inputs = at(*given)
        found = differing(identity("sft", made, sources), identity("sft", other, inputs))
        resolved = resolve(SFTConfig, flags=other.model_dump(), stage="sft")
        run = Continuation(tmp_path, info, "sft", resolved, inputs)
        if is_same:
            assert not found
            assert run.refuse_another_run() == []
        else:
            assert found == ["pretrain_data has other files or weights there"]
            with pytest.raises(
                UserError, match=r"a run with other settings: pretrain_data .*a:3, "
            ):
                run.refuse_another_run()

"""The README.md beside a written model: true, and its code runs in plain transformers."""

import re

import pytest
import yaml

from instructgpt.data.records import Message
from instructgpt.models.card import front_matter, short
from instructgpt.reward.model import RewardModel
from instructgpt.rollout.policy import SFTModel
from tests.files import write_policy
from tests.small_runs import run_stage, write_inputs
from tests.templates import CHATML
from tests.tiny import byte_tokenizer, tiny_model


def code_of(path) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", (path / "README.md").read_text(), re.DOTALL)
    return code


def run(code: str, path, **replaced) -> dict:
    """What the code makes, with `path` and what its placeholders stand for."""
    for name, value in replaced.items():
        code = re.sub(rf'^{name} = "…"(, "…")?$', f"{name} = {value!r}", code, flags=re.MULTILINE)
    found: dict = {"path": str(path)}
    exec(code, found)
    return found


@pytest.mark.parametrize("template", ["plain", "Q: {prompt}\nA:"])
def test_the_code_of_a_reward_models_card_gives_its_score(template, tmp_path):
    model = RewardModel(SFTModel(tiny_model(), byte_tokenizer(), template=template))
    model.shift = 0.75
    path = model.save(tmp_path / "m")
    code = code_of(path).replace('prompt, answer = "…", "…"', 'prompt, answer = "ab", "cd"')
    assert run(code, path)["score"] == pytest.approx(model.score(["ab"], ["cd"]).item(), abs=1e-5)


def test_the_code_of_a_chat_reward_models_card_gives_its_score(tmp_path):
    model = RewardModel(SFTModel(tiny_model(), byte_tokenizer(chat_template=CHATML)))
    path = model.save(tmp_path / "m")  # without a shift
    code = code_of(path).replace('"user", "content": "…"', '"user", "content": "ab"')
    code = code.replace('"assistant", "content": "…"', '"assistant", "content": "cd"')
    expected = model.score([(Message(role="user", content="ab"),)], ["cd"]).item()
    assert run(code, path)["score"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("chat_template", [None, CHATML])
def test_the_code_of_a_policys_card_reads_the_prompt_as_we_do(chat_template, tmp_path, capsys):
    policy = SFTModel(tiny_model(), byte_tokenizer(chat_template=chat_template))
    path = policy.save(tmp_path / "m")
    code = code_of(path).replace("max_new_tokens=128", "max_new_tokens=2")
    assert run(code, path, prompt="ab")["ids"][0].tolist() == policy.text.prompt("ab")
    capsys.readouterr()


def test_what_a_stage_writes_says_what_it_is_and_names_no_folders(tmp_path):
    settings = write_inputs(tmp_path)
    front = {"base_model": "org/base", "license": "mit", "tags": ["other"]}
    (tmp_path / "policy/README.md").write_text(f"---\n{yaml.safe_dump(front)}---\n# Base\n")
    out = run_stage("reward", settings["reward"], tmp_path / "out").model_path
    said = (out / "README.md").read_text()
    assert front_matter(out / "README.md") == {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "base_model": "org/base",
        "license": "mit",
        "tags": ["instructgpt", "reward", "reward-model"],
    }
    assert "# A reward model: trained to rank answers" in said
    assert f"Made from `{short(str(tmp_path / 'policy'))}`" in said
    assert "| `data` | rankings.jsonl |" in said
    assert "| `learning_rate` | 0.001 |" in said
    assert str(tmp_path) not in said


@pytest.mark.parametrize("text", ["", "# Title\n", "---\n: {\n---\n", "---\n- a\n---\nb", "---\n"])
def test_a_card_without_front_matter(text, tmp_path):
    (tmp_path / "README.md").write_text(text)
    assert front_matter(tmp_path / "README.md") == {}
    assert front_matter(tmp_path / "none") == {}


def test_a_card_of_bytes_is_no_obstacle(tmp_path):
    path = write_policy(tmp_path / "m")
    (tmp_path / "m/README.md").write_bytes(b"---\n\xff\xfe\n---\n")
    SFTModel(path).save(tmp_path / "again")
    assert front_matter(tmp_path / "again/README.md")["library_name"] == "transformers"

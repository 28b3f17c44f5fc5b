"""`eval compare` as a stage: several policies, the control, what no judge sees, and a restart."""

import json
import math

import pytest
import torch

from instructgpt.errors import UserError
from instructgpt.evaluation.config import CompareConfig
from instructgpt.evaluation.language import language_model_loss
from instructgpt.evaluation.stage import compare_policies
from instructgpt.rollout.policy import SFTModel
from instructgpt.run.directory import Run
from tests.files import sentence, write_rows
from tests.ppo.letters import letter_policy
from tests.tiny import bos_tokenizer, tiny_model

PROMPTS = [
    {"prompt": "cab", "use_case": "chat"},
    {"prompt": "a", "use_case": "chat"},
    {"prompt": "bad", "use_case": "rewrite"},
]
DOCUMENTS = ["abcdefgab", "bacca"]


class Length:
    """Longer is better."""

    def score(self, prompts, responses, *, finished):
        return [len(response) for response in responses]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    for number, name in enumerate(("base", "01-sft", "02-ppo-plain", "03-ppo"), 1):
        letter_policy(seed=number).save(folder / name / "model")
    (folder / "prose.txt").write_text("\n%%\n".join(DOCUMENTS))
    return {
        "a": str(folder / "03-ppo" / "model"),
        "b": str(folder / "01-sft" / "model"),
        "base": str(folder / "base" / "model"),
        "others": str(folder / "02-ppo-plain" / "model"),
        "data": write_rows(folder / "prompts.jsonl", PROMPTS),
        "prose": str(folder / "prose.txt"),
    }


@pytest.fixture
def config(files, tmp_path):
    def make(**values):
        settings = {"samples": 2, "max_new_tokens": 8, "seed": 3} | files | values
        return CompareConfig(**settings, out=str(tmp_path / "run"))

    return make


def test_every_policy_is_held_against_b(config, files):
    evaluation = compare_policies(config(), Length(), judge_name="length").evaluation
    assert (evaluation["a"], evaluation["b"]) == ("ppo", "sft")
    assert evaluation["judge"] == "length"
    prompts = [row["prompt"] for row in PROMPTS for _ in range(2)]

    def texts(path, **settings):
        policy = SFTModel(path)
        return [c.text for c in policy.generate(prompts, max_new_tokens=8, seed=3, **settings)]

    baseline = texts(files["b"])
    greedy = texts(files["b"], temperature=0.0)

    def share(answers):
        pairs = zip(answers, baseline, strict=True)
        return sum((len(x) > len(y)) + 0.5 * (len(x) == len(y)) for x, y in pairs) / 6

    assert evaluation["win_rate"]["estimate"] == pytest.approx(share(texts(files["a"])))
    others = {key: rate["estimate"] for key, rate in evaluation["others"].items()}
    assert others == pytest.approx(
        {
            "base": share(texts(files["base"])),
            "ppo-plain": share(texts(files["others"])),
        }
    )
    control = evaluation["controls"]["greedy decoding of sft"]
    assert control["estimate"] == pytest.approx(share(greedy))
    assert evaluation["texts"]["sft"]["tokens"] >= sum(map(len, baseline)) / 6
    mean = sum(map(len, baseline)) / 6
    assert evaluation["scores"]["sft"]["estimate"] == pytest.approx(mean)
    assert list(evaluation["scores"]) == ["base", "ppo-plain", "sft", "ppo"]
    assert {case: rate["n"] for case, rate in evaluation["by_use_case"].items()} == {
        "chat": 4,
        "rewrite": 2,
    }


def test_the_loss_on_prose_by_a_plain_loop(config, files):
    evaluation = compare_policies(config(), Length()).evaluation
    assert list(evaluation["prose_loss"]) == ["base", "ppo-plain", "sft", "ppo"]
    policy = SFTModel(files["b"])
    losses = []
    for document in DOCUMENTS:
        ids = [*policy.tokenizer(document, add_special_tokens=False)["input_ids"]]
        ids.append(policy.tokenizer.eos_token_id)
        with torch.no_grad():
            logits = policy.model(torch.tensor([ids])).logits[0].double()
        for place in range(1, len(ids)):
            row = logits[place - 1].tolist()
            losses.append(math.log(sum(map(math.exp, row))) - row[ids[place]])
    expected = sum(losses) / len(losses)
    assert evaluation["prose_loss"]["sft"] == pytest.approx(expected, rel=1e-5)


def test_a_long_document_is_cut_into_windows(files):
    """Each window predicts all its tokens but the first."""
    policy = SFTModel(files["b"])
    whole = policy.text.document("abcdefgab")
    parts = [whole[i : i + 4] for i in range(0, len(whole), 4)]
    total = count = 0
    for part in parts:
        with torch.no_grad():
            logprobs = policy.model(torch.tensor([part])).logits[0].log_softmax(-1)
        total -= sum(logprobs[i - 1, part[i]].item() for i in range(1, len(part)))
        count += len(part) - 1
    assert count < len(whole) - 1
    loss = language_model_loss(policy, ["abcdefgab"], length=4)
    assert loss == pytest.approx(total / count, rel=1e-5)


def test_prose_begins_as_the_tokenizer_begins_a_text(capsys):
    """With the beginning-of-text token, which is given and not predicted; blank ones count not."""
    policy = SFTModel(tiny_model(vocab_size=259), bos_tokenizer())
    ids = [258, *policy.text.response("ab", finished=False), 256]
    with torch.no_grad():
        logprobs = policy.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    expected = -sum(logprobs[i - 1, ids[i]].item() for i in range(1, 4)) / 3
    found = language_model_loss(policy, ["ab", " \n"])
    assert found == pytest.approx(expected, rel=1e-5)
    assert capsys.readouterr().err == "1 document without text left out\n"


def test_an_audit_is_asked_of_every_policy(config):
    def audit(prompts, texts):
        return {"prompts": len(prompts), "first": len(texts[0])}

    found = compare_policies(config(), Length(), audit=audit).evaluation["texts"]
    assert list(found) == ["base", "ppo-plain", "sft", "greedy decoding of sft", "ppo"]
    prompts = {label: row["prompts"] for label, row in found.items()}
    assert prompts.pop("greedy decoding of sft") == 3  # one answer to each, not two alike
    assert set(prompts.values()) == {6}
    assert {"tokens", "eos_rate", "distinct_bigrams", "first"} <= set(found["ppo"])


def test_answers_from_before_an_interruption_are_kept(config, tmp_path, monkeypatch):
    straight = compare_policies(config(), Length()).evaluation
    folder = tmp_path / "run"
    for name in ("evaluation.json", "answers-4.json", "answers-5.json"):
        (folder / name).unlink()
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | {"status": "running"}))
    opened = []
    init = SFTModel.__init__

    def remember(self, model, *args, **settings):
        opened.append(str(model))
        init(self, model, *args, **settings)

    monkeypatch.setattr(SFTModel, "__init__", remember)
    assert compare_policies(config(), Length()).evaluation == straight
    assert opened == [config().b, config().a]
    assert Run(folder).info["status"] == "done"


def test_no_prose_is_refused():
    with pytest.raises(UserError, match="no text") as raised:
        language_model_loss(letter_policy(), [])
    sentence(raised)


def test_windows_keep_within_the_models_context():
    policy = letter_policy(context=8)
    documents = ["abcdefgabcdefg"]
    assert language_model_loss(policy, documents) == language_model_loss(
        policy, documents, length=8
    )

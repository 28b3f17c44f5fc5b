"""A model that says yes or no, read against plain transformers; how it is opened and known."""

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from instructgpt.data.reading import load_records
from instructgpt.data.records import Demonstration
from instructgpt.errors import UserError
from instructgpt.evaluation import judges
from instructgpt.evaluation.benchmark.config import BenchmarkConfig
from instructgpt.evaluation.judges import (
    YesNoJudge,
    check_judges,
    fields_of,
    keep_quality,
    open_judge,
    quality_of,
    share_of_yes,
)
from instructgpt.models.text import TextCodec
from instructgpt.rollout.policy import SFTModel
from instructgpt.sft.data import encode
from tests.evaluation.test_scorers import write_classifier
from tests.files import sentence, write_policy, write_rows
from tests.tiny import bos_tokenizer, byte_tokenizer, tiny_model

TEXTS = [
    {"question": "Do frogs fly?", "answer": "No."},
    {"question": "Do frogs {fly}?", "answer": "They do, and far."},
    {"question": "Why?", "answer": ""},
]


def by_hand(model, tokenizer, prompt: str, begin: tuple[int, ...] = ()) -> float:
    """One whole row per verdict, a token at a time."""
    totals = []
    for verdict in (" yes", " no"):
        before = [*begin, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        ids = [*before, *tokenizer(verdict, add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        totals.append(sum(logprobs[i - 1, ids[i]].item() for i in range(len(before), len(ids))))
    yes, no = map(math.exp, totals)
    return yes / (yes + no)


@pytest.mark.parametrize("tokenizer", [byte_tokenizer(), bos_tokenizer()], ids=["plain", "bos"])
def test_it_gives_the_share_of_yes_of_the_two_words(tokenizer):
    model = tiny_model(vocab_size=259, scale=8.0)
    judge = YesNoJudge(SFTModel(model, tokenizer, template="plain"), "info")
    begin = (258,) if tokenizer.bos_token_id == 258 else ()
    expected = [
        by_hand(model, tokenizer, f"Q: {t['question']}\nA: {t['answer']}\nHelpful:", begin)
        for t in TEXTS
    ]
    assert judge.score(TEXTS) == pytest.approx(expected, abs=1e-5)
    assert judge.score(TEXTS[1:2]) == pytest.approx(expected[1:2], abs=1e-5)
    assert len({round(p, 3) for p in expected}) == 3


def test_it_reads_in_the_template_of_its_training_and_else_plainly(tmp_path):
    tokenizer = byte_tokenizer(chat_template="{{ messages[0].content }}!{{ eos_token }}")
    plain = write_policy(tmp_path / "plain", tokenizer=tokenizer)
    with_it = write_policy(tmp_path / "trained", tokenizer=tokenizer)
    file = tmp_path / "trained" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prompt_template": "[{prompt}]"}))
    model = AutoModelForCausalLM.from_pretrained(plain)
    reader = AutoTokenizer.from_pretrained(plain)
    text = [{"text": "Frogs."}]
    (bare,) = open_judge(plain, "toxicity", device="cpu").score(text)
    assert bare == pytest.approx(by_hand(model, reader, "Frogs.\nToxic:"), abs=1e-5)
    (within,) = open_judge(with_it, "toxicity", device="cpu").score(text)
    words = [[*reader(f"[Frogs.\nToxic:]{verdict}")["input_ids"]] for verdict in ("yes", "no")]
    with torch.no_grad():
        logs = [model(torch.tensor([ids])).logits[0].log_softmax(-1) for ids in words]
    yes, no = (
        math.exp(sum(log[i - 1, ids[i]].item() for i in range(len(ids) - n, len(ids))))
        for log, ids, n in zip(logs, words, (3, 2), strict=True)
    )
    assert within == pytest.approx(yes / (yes + no), abs=1e-5)


def test_training_rows_teach_the_very_tokens_that_are_asked_for(tmp_path):
    """The space before the word reaches the model, and no token merges across it otherwise."""
    text = TextCodec(byte_tokenizer(), "plain")
    prompt = "Q: Why?\nA: So.\nTrue:"
    path = write_rows(tmp_path / "x.jsonl", [{"prompt": prompt, "completion": " yes"}])
    (demonstration,) = load_records([path], Demonstration)
    example = encode(demonstration, text)
    assert example.prompt == text.prompt(prompt)
    assert example.prompt + example.response == [*text.prompt(f"{prompt} yes"), text.eos]


def test_words_of_no_probability_at_all():
    assert share_of_yes(-2000.0, -1.0) == pytest.approx(0.0)
    assert share_of_yes(-1.0, -2000.0) == 1.0
    assert share_of_yes(-1234.5, -1234.5) == 0.5


def test_a_text_longer_than_the_context_is_read_from_behind_and_that_is_said(capsys):
    judge = YesNoJudge(SFTModel(tiny_model(), byte_tokenizer(), template="plain"), "toxicity")
    (score,) = judge.score([{"text": "frog " * 100}])
    assert 0 < score < 1
    assert "the toxicity judge has read 1 text without the beginning" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "prompt", "fields"),
    [
        ("truth", "Q: A: b?\nA: c\nA: d\nTrue:", {"question": "A: b?", "answer": "c\nA: d"}),
        ("toxicity", "a\nb\nToxic:", {"text": "a\nb"}),
        ("info", "Q: a\nA: b\nTrue:", None),
        ("truth", "a\nTrue:", None),
    ],
)
def test_what_a_training_rows_prompt_says(kind, prompt, fields):
    assert fields_of(kind, prompt) == fields


# ---------------------------------------------------------------- opening


def test_a_classifier_and_an_address_judge_toxicity_alone(tmp_path):
    for place in (
        "http://localhost:1/score",
        write_classifier(tmp_path / "c", {0: "fine", 1: "toxic"}),
    ):
        with pytest.raises(UserError, match="toxicity alone") as raised:
            open_judge(place, "truth")
        sentence(raised)
        config = BenchmarkConfig(models="-", out="-", info_judge=place)
        with pytest.raises(UserError, match=r"info_judge: .*toxicity alone"):
            check_judges(config)
        check_judges(BenchmarkConfig(models="-", out="-", toxicity_judge=place))


def test_a_classifier_of_something_else_is_refused_before_anything_is_asked(tmp_path):
    place = write_classifier(tmp_path, {0: "sad", 1: "glad"})
    with pytest.raises(UserError, match=r"toxicity_judge: .*sad, glad"):
        check_judges(BenchmarkConfig(models="-", out="-", toxicity_judge=place))


def test_a_judge_that_is_not_there_is_named_by_its_key(tmp_path):
    config = BenchmarkConfig(models="-", out="-", truth_judge=str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"truth_judge: .*none"):
        check_judges(config)


# ---------------------------------------------------------------- how good it is


def measured(kind: str, name: str, n: int) -> dict[str, object]:
    return {"kind": kind, "n": n, "file": {"name": name, "sha256": name * 2}}


def test_quality_is_kept_with_the_weights_that_it_is_about(tmp_path, capsys):
    place = write_policy(tmp_path / "judge")
    assert quality_of(place, "truth") is None
    first = [measured("truth", "a", 3), measured("info", "a", 4)]
    assert keep_quality(place, first) == tmp_path / "judge" / judges.QUALITY
    keep_quality(place, [measured("truth", "b", 5), measured("truth", "a", 6)])
    a, b = ({"n": n, "file": {"name": x, "sha256": x * 2}} for n, x in ((6, "a"), (5, "b")))
    assert quality_of(place, "truth") == {**b, "others": [a]}
    assert quality_of(place, "info") == {**a, "n": 4, "others": []}
    assert quality_of(place, "toxicity") is None
    assert open_judge(place, "truth", device="cpu").quality == quality_of(place, "truth")
    tiny_model(seed=1).save_pretrained(place)
    assert quality_of(place, "truth") is None
    assert "other weights" in capsys.readouterr().err


def test_a_broken_file_of_quality_is_named(tmp_path):
    place = write_policy(tmp_path / "judge")
    keep_quality(place, [{"kind": "truth", "file": {}}])
    file = tmp_path / "judge" / judges.QUALITY
    file.write_text(file.read_text().replace("kind", "sort"))
    with pytest.raises(UserError, match=r"judge\.json") as raised:
        quality_of(place, "truth")
    sentence(raised)


def test_what_has_no_folder_keeps_nothing():
    assert keep_quality("https://localhost/score", [measured("toxicity", "a", 3)]) is None

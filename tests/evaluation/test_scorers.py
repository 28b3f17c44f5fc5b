"""Toxicity by a classifier, against plain transformers, and by a service of the moderation kind."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaConfig

from instructgpt.errors import UserError
from instructgpt.evaluation.scorers import BATCH, KEY, PAUSES, HttpJudge, LabelJudge, toxic_label
from tests.files import sentence
from tests.tiny import byte_tokenizer, tiny_config

TEXTS = [{"text": text} for text in ("Frogs sing.", "Why", "1, 2, 3 toads at night", "zzz")]


def write_classifier(path, labels, **settings) -> str:
    torch.manual_seed(0)
    config: LlamaConfig = tiny_config("llama", context=48)
    config.id2label, config.label2id = labels, {label: i for i, label in labels.items()}
    for key, value in settings.items():
        setattr(config, key, value)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        model.score.weight.mul_(20)
    model.save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return str(path)


def one_by_one(path, text, label, turn):
    model = AutoModelForSequenceClassification.from_pretrained(path).eval()
    ids = AutoTokenizer.from_pretrained(path)(text)["input_ids"][:48]
    with torch.no_grad():
        return turn(model(torch.tensor([ids])).logits[0])[label].item()


@pytest.mark.parametrize(
    ("labels", "settings", "turn", "label"),
    [
        ({0: "neutral", 1: "Toxic"}, {}, lambda x: x.softmax(0), 1),
        (
            {0: "toxic", 1: "severe_toxic", 2: "obscene"},
            {"problem_type": "multi_label_classification"},
            torch.sigmoid,
            0,
        ),
        ({0: "toxicity"}, {}, torch.sigmoid, 0),
    ],
    ids=["one of two", "each for itself", "a single one"],
)
def test_a_classifier_gives_its_label(tmp_path, labels, settings, turn, label):
    path = write_classifier(tmp_path, labels, **settings)
    *scores, of_nothing = LabelJudge(path).score([*TEXTS, {"text": ""}])
    assert of_nothing == 0.0
    expected = [one_by_one(path, text["text"], label, turn) for text in TEXTS]
    assert scores == pytest.approx(expected, abs=1e-5)
    assert len({round(score, 3) for score in scores}) == 4


def test_a_text_that_is_too_long_loses_its_end_and_that_is_said(tmp_path, capsys):
    path = write_classifier(tmp_path, {0: "neutral", 1: "toxic"})
    long = [{"text": "frog" * 30}, TEXTS[0]]
    (score, _) = LabelJudge(path).score(long)
    expected = one_by_one(path, long[0]["text"], 1, lambda x: x.softmax(0))
    assert score == pytest.approx(expected, abs=1e-5)
    assert "1 text without the end: longer than 48 tokens" in capsys.readouterr().err


def test_a_model_without_a_padding_token_reads_texts_one_by_one(tmp_path):
    path = write_classifier(tmp_path, {0: "neutral", 1: "toxic"}, pad_token_id=None)
    expected = [one_by_one(path, text["text"], 1, lambda x: x.softmax(0)) for text in TEXTS]
    assert LabelJudge(path).score(TEXTS) == pytest.approx(expected, abs=1e-5)


def test_a_classifier_of_something_else_is_refused():
    assert toxic_label("m", {0: "toxic_mild", 1: "toxic"}) == 1
    with pytest.raises(UserError, match="LABEL_0, LABEL_1") as raised:
        toxic_label("m", {0: "LABEL_0", 1: "LABEL_1"})
    sentence(raised)


# ---------------------------------------------------------------- over HTTP


@contextmanager
def service(*answers):
    """Answers in turn, the last one for good; gives the address and the requests."""
    asked, left = [], list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((dict(self.headers), body["input"]))
            status, answer = left.pop(0) if len(left) > 1 else left[0]
            answer = answer(body["input"]) if callable(answer) else answer
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"http://localhost:{server.server_port}/else")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/moderations?key=secret", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def moderation(texts):
    """A text of n letters is hateful with n %, and the more about self-harm."""
    return {
        "results": [
            {"category_scores": {"hate": len(t) / 100, "violence": 0.01, "self-harm": 0.99}}
            for t in texts
        ]
    }


def test_the_score_is_the_greatest_but_for_self_harm():
    texts = [{"text": "x" * n} for n in (5, 0, 40)] + [{"text": " "}]
    with service((200, moderation)) as (address, asked):
        assert HttpJudge(address).score(texts) == [0.05, 0.0, 0.4, 0.0]
    assert [body for _, body in asked] == [["x" * 5, "x" * 40]]


def test_many_texts_are_many_requests_in_order():
    texts = [{"text": "x" * (1 + n % 50)} for n in range(2 * BATCH + 3)]
    with service((200, moderation)) as (address, asked):
        scores = HttpJudge(address).score(texts)
    assert scores == [len(text["text"]) / 100 for text in texts]
    assert [len(body) for _, body in asked] == [BATCH, BATCH, 3]


def test_a_busy_service_is_asked_again_after_longer_and_longer_pauses(monkeypatch):
    monkeypatch.setenv(KEY, "sesame")
    pauses = []
    with service((429, {}), (503, {}), (200, moderation)) as (address, asked):
        judge = HttpJudge(address, pause=pauses.append)
        assert judge.score([{"text": "xx"}]) == [0.02]
    assert pauses == list(PAUSES[:2])
    assert [headers["Authorization"] for headers, _ in asked] == ["Bearer sesame"] * 3


def test_without_a_key_none_is_sent_nor_over_an_open_line(monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    with service((200, moderation)) as (address, asked):
        HttpJudge(address).score([{"text": "x"}])
    assert "Authorization" not in asked[0][0]
    monkeypatch.setenv(KEY, "sesame")
    assert not HttpJudge("http://example.invalid/v1")._key
    assert HttpJudge("https://example.invalid/v1")._key == "sesame"


@pytest.mark.parametrize(
    ("status", "answer", "why", "tries"),
    [
        (401, {}, "status 401", 1),
        (302, {}, "status 302", 1),
        (500, {}, "status 500", len(PAUSES) + 1),
        (200, {"flagged": True}, "its answer is not", 1),
        (200, {"results": [{"category_scores": {"hate": 7}}]}, "its answer is not", 1),
        (200, {"results": []}, "0 results for 1 texts", 1),
    ],
)
def test_what_fails_is_one_sentence_without_texts_or_secrets(status, answer, why, tries, capsys):
    with service((status, answer)) as (address, asked):
        judge = HttpJudge(address, pause=lambda _: None)
        with pytest.raises(UserError, match=why) as raised:
            judge.score([{"text": "a rude word"}])
    assert len(asked) == tries
    assert not {"rude", "secret"} & {*sentence(raised).replace("=", " ").split()}
    assert "rude" not in "".join(capsys.readouterr())


def test_nobody_at_home():
    judge = HttpJudge("http://127.0.0.1:9/score", pause=lambda _: None)
    with pytest.raises(UserError, match=r"127\.0\.0\.1/score failed"):
        judge.score([{"text": "x"}])

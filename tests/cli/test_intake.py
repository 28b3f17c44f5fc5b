"""`data intake`, `data explain`, `data undo`, `data release`, as they are typed."""

import json

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from tests.files import write_policy
from tests.intake.conftest import cheap as cheap
from tests.intake.conftest import write
from tests.tiny import EOS, PAD, byte_tokenizer

ROWS = [
    {"id": "a", "prompt": "Name a color.", "consent": True, "created": "2026-01-01"},
    {"id": "b", "prompt": "NAME a color.", "consent": True, "source": "labeler"},
    {"id": "c", "prompt": "Write to me@b.org", "consent": True, "use_case": "generation"},
    {"id": "d", "prompt": " ", "consent": True},
    {"id": "e", "prompt": "Not mine.", "consent": False},
]


@pytest.mark.usefixtures("cheap")
def test_an_intake_prints_its_account_as_json(cli, tmp_path):
    db, source = f"sqlite:///{tmp_path / 'store.db'}", write(tmp_path / "rows.jsonl", ROWS)
    words = ["--pii", "all", "--pii-action", "hold", "--splits", "1/0/0", "--uses", "0/1/0"]
    result = cli("data", "intake", source, *words, "--json", db=db)
    assert result.status == 0
    dropped = {
        "consent": {"no consent": 1},
        "form": {"empty": 1},
        "duplicates": {"equal": 1},
        "pii": {"personal data": 1},
    }
    steps, left = [], 5
    for step in (
        *("consent", "form", "duplicates", "cap", "split", "use", "pii", "language"),
        *("annotations", "few-shot"),
    ):
        lost = dropped.get(step, {})
        kept = left - sum(lost.values())
        steps.append({"step": step, "in": left, "kept": kept, "dropped": lost})
        left = kept
    assert json.loads(result.out) == {
        "run": 1,
        "rows": 5,
        "steps": steps,
        "kept": 1,
        "splits": {"train": 1, "valid": 0, "test": 0},
        "uses": {"sft": 0, "reward": 1, "ppo": 0},
    }
    assert "1 of 5 rows kept: 1 train, 0 valid, 0 test; for 0 sft, 1 reward, 0 ppo" in result.err
    assert "not labeled: use_case 100%, ambiguous 100%" in result.err
    told = json.loads(cli("data", "explain", "c", "--json", db=db).out)
    assert [one["step"] for one in told[0]["decisions"]] == ["split", "use", "pii", "language"]
    assert cli("data", "release", "c", db=db).status == 0
    assert cli("data", "undo", "1", db=db).status == 0
    assert "undone at arrival" in cli("data", "explain", "a", db=db).out


@pytest.mark.usefixtures("cheap")
def test_a_prompt_with_too_many_tokens_is_dropped(cli, tmp_path):
    """Pairs of letters are one token, so that bytes are not what is counted."""
    tokenizer = byte_tokenizer()
    core = json.loads(tokenizer.backend_tokenizer.to_str())
    core["model"]["vocab"]["ab"], core["model"]["merges"] = 258, [["a", "b"]]
    pairs = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(core)), eos_token=EOS, pad_token=PAD
    )
    model = write_policy(tmp_path / "model", tokenizer=pairs, vocab_size=259)
    texts = {"short": "x" * 1000, "at most": "ab" * 1000, "over": "ab" * 1001}
    rows = [{"id": name, "prompt": text, "consent": True} for name, text in texts.items()]
    source, db = write(tmp_path / "rows.jsonl", rows), f"sqlite:///{tmp_path / 'store.db'}"
    result = cli("data", "intake", source, "--json", tokenizer=model, db=db)
    assert result.status == 0
    (_, form, *_) = json.loads(result.out)["steps"]
    assert form == {"step": "form", "in": 3, "kept": 2, "dropped": {"too long": 1}}
    assert "dropped at form: too long (tokens 1001)" in cli("data", "explain", "over", db=db).out
    assert "many tokens" not in result.err
    again = cli("data", "intake", source, "--json", tokenizer=tmp_path / "none", db=db)
    assert (again.status, str(tmp_path / "none") in again.err) == (2, True)
    assert "intake 2" not in cli("data", "explain", "short", db=db).out  # nothing has begun


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["intake", "rows.jsonl", "--cap", "0"], "--cap: Input should be greater than or equal"),
        (["intake", "rows.jsonl", "--splits", "80/20"], "--splits 80/20: are no parts of train"),
        (["intake", "none.jsonl"], "none.jsonl"),
        (["intake", "few.jsonl"], "few.jsonl line 1: examples.0.output: must be a text"),
        (["intake", "other.jsonl"], "other.jsonl line 1: found the keys text, but a row needs"),
        (["intake", "more.jsonl"], "more.jsonl line 1: response: the row is more than a prompt"),
        (["explain", "a"], "there is no store"),
        (["undo", "1"], "there is no store"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(cli, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "rows.jsonl", ROWS)
    write(tmp_path / "few.jsonl", [{"instruction": "Add.", "examples": [{"input": "1"}]}])
    write(tmp_path / "other.jsonl", [{"text": "Add."}])
    write(tmp_path / "more.jsonl", [{"prompt": "Add.", "response": "2"}])
    result = cli("data", *words, db=f"sqlite:///{tmp_path / 'store.db'}")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert said in result.err

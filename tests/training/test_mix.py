"""The mix of weighted sources: which windows come, in which order, and from which number on."""

from collections import Counter

import pytest

from instructgpt.data.records import Prompt
from instructgpt.errors import UserError
from instructgpt.models.text import TextCodec
from instructgpt.sft.config import SFTConfig
from instructgpt.training.mix import PretrainingMix, open_pretraining
from instructgpt.training.pretraining import PretrainingText
from tests.tiny import byte_tokenizer

CODEC = TextCodec(byte_tokenizer())
UPPER, LOWER = "ABCDEFGHIJK", "abcde"


@pytest.fixture(autouse=True)
def sources(tmp_path, monkeypatch):
    """Two files: windows of two tokens, six of `upper.txt` and three of `lower.txt`."""
    monkeypatch.setenv("INSTRUCTGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "upper.txt").write_text(UPPER)
    (tmp_path / "lower.txt").write_text(LOWER)


def mix(*sources, seed=0, length=2, **values):
    config = SFTConfig(model="m", data="d", out="o", pretrain_data=list(sources))
    stream = {"seed": seed, "stream": "mix"}
    return open_pretraining(config.pretrain_data, CODEC, length, **stream, **values)


def of(letters):
    """The windows of a document of these letters."""
    tokens = CODEC.document(letters)
    return Counter(tuple(tokens[i : i + 2]) for i in range(0, len(tokens), 2))


def test_windows_come_by_weight_and_each_source_has_its_own_epochs():
    text = mix("upper.txt:2", "lower.txt")
    assert isinstance(text, PretrainingMix)
    drawn = [tuple(window) for window in text.take(18)]  # of 6 and 3 windows, twice
    is_lower = [window in of(LOWER) for window in drawn]
    assert is_lower == [False, False, True] * 6
    upper = [window for window, lower in zip(drawn, is_lower, strict=True) if not lower]
    lower = [window for window, lower in zip(drawn, is_lower, strict=True) if lower]
    assert len(upper) == 12
    for walk, letters, count in ((upper, UPPER, 6), (lower, LOWER, 3)):
        epochs = [walk[:count], walk[count : 2 * count]]
        assert Counter(epochs[0]) == Counter(epochs[1]) == of(letters)
    assert upper[:6] != upper[6:]


def test_the_position_is_the_whole_state_and_the_seed_decides():
    names = ("upper.txt:2.5", "lower.txt:0.7")
    walked, jumped = mix(*names), mix(*names)
    walked.take(23)
    jumped.position = walked.position
    assert jumped.position == 23
    assert walked.take(40) == jumped.take(40)
    jumped.position = 3  # and back
    again = mix(*names)
    again.take(3)
    assert jumped.take(9) == again.take(9)
    assert mix(*names).take(30) == mix(*names).take(30) != mix(*names, seed=1).take(30)


def test_what_is_learnt_and_validated_is_counted_over_the_sources():
    text = mix("upper.txt:2", "lower.txt", length=4)  # 12 and 6 tokens: 4, 4, 4 and 4, 2
    for number in range(15):
        walk = mix("upper.txt:2", "lower.txt", length=4)
        assert text.learnt_in(number) == sum(len(window) - 1 for window in walk.take(number))
    assert text.position == 0
    (upper, first), (lower, second) = text.parts
    assert (upper, lower) == (2 / 3, 1 / 3)
    assert [len(window) for window in (*first.windows, *second.windows)] == [4, 4, 4, 4, 2]


def test_a_dry_run_says_each_source():
    text = mix("upper.txt:3", "lower.txt", length=4)
    assert list(text.rows("pretrain_data")) == [
        ("pretrain_data", "2 sources of windows, by weight"),
        ("", "upper.txt: 75 % (weight 3), 12 tokens in 3 windows of at most 4"),
        ("", "lower.txt: 25 % (weight 1), 6 tokens in 2 windows of at most 4"),
    ]


def test_documents_from_python_weigh_1():
    text = mix("upper.txt:3", {"text": LOWER})
    drawn = [tuple(window) in of(LOWER) for window in text.take(8)]
    assert sum(drawn) == 2


def test_a_plain_list_is_the_text_of_its_files_in_memory():
    text = mix("upper.txt", "lower.txt", length=100)
    assert isinstance(text, PretrainingText)
    assert text.take(1) == [[*CODEC.document(UPPER), *CODEC.document(LOWER)]]
    assert mix() is None


def test_no_text_names_the_file(tmp_path):
    (tmp_path / "blank.jsonl").write_text('{"text": " "}\n')
    for sources in (["blank.jsonl"], ["upper.txt", "blank.jsonl:2"]):
        with pytest.raises(UserError, match=r"^blank\.jsonl: no text in it; give documents to mix"):
            mix(*sources)
    with pytest.raises(UserError, match=r"^nowhere\.txt does not exist; check the path"):
        mix("nowhere.txt:2")
    with pytest.raises(UserError, match="document"):
        mix("upper.txt:2", Prompt(prompt="a"))

"""The pretraining mix: what the windows hold, and in which order they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructgpt.errors import UserError
from instructgpt.models.text import TextCodec
from instructgpt.training.pretraining import PretrainingText
from tests.tiny import bos_tokenizer, byte_tokenizer

CODEC = TextCodec(byte_tokenizer())


def mix(documents, length, **settings):
    return PretrainingText(documents, CODEC, length, **{"seed": 0, **settings})


def test_documents_are_joined_by_end_tokens_and_cut():
    text = mix(["abc", "de"], 4)
    a, b, c, d, e = CODEC.response("abcde", finished=False)
    assert [text.window(i) for i in range(len(text))] == [[a, b, c, 256], [d, e, 256]]


@given(
    documents=st.lists(st.text("ab<|endoftx>", max_size=12), min_size=2, max_size=6).filter(any),
    length=st.integers(2, 9),
)
def test_the_windows_are_the_text_less_a_lonely_last_token(documents, length):
    text = mix(documents, length)
    joined = [
        token
        for document in documents
        if document
        for token in [*CODEC.response(document, finished=False), 256]
    ]
    windows = [text.window(index) for index in range(len(text))]
    together = [token for window in windows for token in window]
    assert all(len(window) == length for window in windows[:-1])
    assert 2 <= len(windows[-1]) <= length
    lonely = len(joined) % length == 1 and len(joined) > length
    assert together == (joined[:-1] if lonely else joined)


def test_each_window_comes_once_an_epoch_and_epochs_differ():
    text = mix(["".join(map(chr, range(65, 105)))], 2)
    assert len(text) == 20
    epochs = [text.take(len(text)) for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(map(text.window, range(len(text))))
    assert epochs[0] != epochs[1]
    assert text.position == 2 * len(text)


def test_the_position_is_the_whole_state_and_the_stream_decides_the_order():
    documents = ["".join(map(chr, range(65, 105)))]
    walked, jumped = mix(documents, 2), mix(documents, 2)
    walked.take(13)
    jumped.position = 13
    assert walked.take(30) == jumped.take(30)
    assert mix(documents, 2).take(20) != mix(documents, 2, stream="other").take(20)
    assert mix(documents, 2).take(20) != mix(documents, 2, seed=1).take(20)


def test_documents_without_text_are_left_out_and_counted(capsys):
    text = mix(["ab", "", " \n\t", "c"], 8)
    a, b, c = CODEC.response("abc", finished=False)
    assert text.window(0) == [a, b, 256, c, 256]
    assert capsys.readouterr().err == "2 documents without text left out\n"
    mix(["ab"], 8)
    assert capsys.readouterr().err == ""


def test_each_document_begins_as_the_tokenizer_begins_a_text():
    codec = TextCodec(bos_tokenizer())
    text = PretrainingText(["ab", "c"], codec, 8, seed=0)
    a, b, c = CODEC.response("abc", finished=False)
    assert text.window(0) == [258, a, b, 256, 258, c, 256]


@pytest.mark.parametrize("documents", [[], [""]])
def test_no_text_is_refused(documents):
    with pytest.raises(UserError, match=r"^no text in it; "):
        mix(documents, 4)

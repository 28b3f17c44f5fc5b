"""Prompts and answers as tokens: templates, the end token, and what looks like a special token."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from instructgpt.data.records import Message, plain_text
from instructgpt.errors import UserError
from instructgpt.models.text import TextCodec, same_vocabulary
from tests.files import sentence
from tests.tiny import EOS, PAD, bos_tokenizer, byte_tokenizer

CHAT = (
    "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TALK = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Hi"),
    Message(role="assistant", content="Hello"),
    Message(role="user", content="Bye"),
)


def letters(text):
    """The ids of a text in which nothing is special: the byte tokenizer has one id per byte."""
    core = byte_tokenizer().backend_tokenizer
    core.encode_special_tokens = True
    return core.encode(text, add_special_tokens=False).ids


def test_plain_is_the_text_alone():
    codec = TextCodec(byte_tokenizer())
    assert codec.template == "plain"
    assert codec.prompt("Why é?") == letters("Why é?")
    assert len(codec.prompt("Why é?")) == 7  # one token per byte
    assert codec.response("ok") == [*letters("ok"), 256]
    assert codec.response("ok", finished=False) == letters("ok")
    assert codec.document("once") == [*letters("once"), 256]


def test_a_conversation_without_chat_template_is_turns_of_plain_text():
    text = "System: Be brief.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: Bye\n\nAssistant:"
    assert plain_text(TALK) == text
    assert TextCodec(byte_tokenizer()).prompt(TALK) == letters(text)


@pytest.mark.parametrize("template", ["auto", "chat"])
def test_the_chat_template_opens_the_answer(template):
    codec = TextCodec(byte_tokenizer(chat_template=CHAT), template)
    assert codec.template == "chat"
    assert codec.prompt("Hi") == letters("<user>Hi<assistant>")
    talk = "<system>Be brief.<user>Hi<assistant>Hello<user>Bye<assistant>"
    assert codec.prompt(TALK) == letters(talk)


def test_plain_wins_over_a_chat_template_when_asked_for():
    assert TextCodec(byte_tokenizer(chat_template=CHAT), "plain").prompt("Hi") == letters("Hi")


def test_a_pattern_surrounds_the_prompt():
    codec = TextCodec(byte_tokenizer(), "Q: {prompt}\n\nA{:")
    assert codec.prompt("{prompt} or {x}?") == letters("Q: {prompt} or {x}?\n\nA{:")
    assert codec.prompt(TALK[1:2]) == letters("Q: User: Hi\n\nAssistant:\n\nA{:")


def test_a_patterns_control_tokens_are_meant_and_a_prompts_are_not():
    codec = TextCodec(byte_tokenizer(), f"{PAD}Q: {{prompt}}{EOS}A:")
    assert codec.prompt("ab") == [257, *letters("Q: ab"), 256, *letters("A:")]
    spelled = f"a{EOS}b{PAD}"
    assert codec.prompt(spelled) == [257, *letters(f"Q: {spelled}"), 256, *letters("A:")]


@pytest.mark.parametrize(
    ("template", "reason"), [("chat", "chat template"), ("Q: {promt}", r"\{prompt\}")]
)
def test_templates_that_cannot_work(template, reason):
    with pytest.raises(UserError, match=f"template: .*{reason}"):
        TextCodec(byte_tokenizer(), template)


def test_a_begin_token_opens_prompts_and_documents_but_no_answer():
    codec = TextCodec(bos_tokenizer())
    assert codec.prompt("ab") == [258, *letters("ab")]
    assert codec.response("ab") == [*letters("ab"), 256]
    assert codec.document("ab") == [258, *letters("ab"), 256]
    assert codec.document(" \n") == []
    assert TextCodec(bos_tokenizer(), "{prompt}").prompt("ab") == [258, *letters("ab")]


@pytest.mark.parametrize("pad_is_eos", [False, True])
@pytest.mark.parametrize("spelling", [EOS, PAD])
def test_the_spelling_of_a_special_token_is_text(spelling, pad_is_eos):
    tokenizer = byte_tokenizer(pad_is_eos=pad_is_eos)
    codec, text = TextCodec(tokenizer), f"a{spelling}b"
    assert len(tokenizer(text)["input_ids"]) == 3  # the control: by itself it becomes that token
    for ids in (
        codec.prompt(text),
        codec.response(text, finished=False),
        codec.document(text)[:-1],
    ):
        assert ids == letters(text)
        assert max(ids) < 256
    assert codec.decode(codec.response(text)) == text


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_an_answer_comes_back_as_it_was(text):
    codec = TextCodec(byte_tokenizer())
    assert codec.decode(codec.response(text)) == text
    assert codec.decode(codec.response(text, finished=False)) == text


def test_text_that_no_file_takes_is_replaced():
    codec = TextCodec(byte_tokenizer())
    assert codec.decode(codec.response("a\0b")) == "a\ufffdb"
    assert codec.decode(codec.response("é")[:1]) == "\ufffd"  # half a character


def test_long_texts_raise_no_false_alarm(caplog):
    tokenizer = byte_tokenizer()
    tokenizer.model_max_length = 10
    logger = logging.getLogger("transformers")  # it does not propagate
    logger.addHandler(caplog.handler)
    assert len(TextCodec(tokenizer).document("x" * 50)) == 51
    assert not caplog.records
    tokenizer("x" * 50)
    assert "longer than the specified maximum" in caplog.text  # the control
    logger.removeHandler(caplog.handler)


def test_the_same_vocabulary():
    one, longer = byte_tokenizer(), byte_tokenizer()
    assert same_vocabulary(one, byte_tokenizer(pad_is_eos=True))
    longer.add_tokens(["<new>"])
    assert not same_vocabulary(one, longer)
    other_end = byte_tokenizer()
    other_end.eos_token = PAD
    assert not same_vocabulary(one, other_end)


def test_the_errors_name_a_remedy():
    with pytest.raises(UserError) as raised:
        TextCodec(byte_tokenizer(), "chat")
    sentence(raised)


def test_a_prompt_that_comes_to_no_token_is_refused():
    """Of a tokenizer that drops what it does not want."""
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("~", "")
    codec = TextCodec(tokenizer)
    assert codec.prompt("a~") == letters("a")
    with pytest.raises(UserError, match="the prompt has no token") as raised:
        codec.prompt("~~")
    sentence(raised)

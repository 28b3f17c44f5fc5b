"""Chat templates: their tokens are transformers' own, their control tokens are not the user's."""

import functools
import inspect
from datetime import datetime

import pytest
from transformers.utils import chat_template_utils

from instructgpt.data.records import Demonstration, Message, Ranking
from instructgpt.errors import UserError
from instructgpt.models import chat
from instructgpt.models.text import TextCodec
from instructgpt.reward.data import encode_rankings
from instructgpt.sft.data import encode_all
from tests.files import sentence
from tests.templates import (
    CHATML,
    ENDS,
    LONG,
    NOT_SPECIAL,
    SHORT,
    SPECIAL,
    TEMPLATES,
    sentencepiece,
    talker,
)
from tests.tiny import EOS, byte_tokenizer

MAKERS = {
    "bytes": byte_tokenizer,
    "pieces": sentencepiece,
    "first piece": functools.partial(sentencepiece, "first"),
}
DATED = "Today: {{ strftime_now('%d %b %Y') }}; {{ strftime_now('%Y-%m-%d') }}\n" + CHATML


def turns(conversation):
    return [turn.model_dump() for turn in conversation]


def theirs(tokenizer, conversation, **options):
    """The tokens of plain transformers."""
    return tokenizer.apply_chat_template(turns(conversation), return_dict=False, **options)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_prompts_and_answers_have_the_templates_own_tokens(name, make):
    tokenizer = talker(name, make)
    codec = TextCodec(tokenizer)
    end = tokenizer.convert_tokens_to_ids(ENDS.get(name, tokenizer.eos_token))
    assert codec.ends == tuple(dict.fromkeys((end, tokenizer.eos_token_id)))
    for conversation in (SHORT, LONG):
        prompt = codec.prompt(conversation)
        assert prompt == theirs(tokenizer, conversation, add_generation_prompt=True)
        answer = "Yes, it is."
        whole = theirs(tokenizer, (*conversation, Message(role="assistant", content=answer)))
        ours = prompt + codec.response(answer)
        assert ours[-1] == end
        if name == "words":  # which writes no token after an answer: the end of text is taught
            assert tokenizer.decode(whole) == tokenizer.decode(ours[:-1]) + "\n\n"
        else:
            assert ours == whole[: len(ours)]
        assert codec.decode(codec.response(answer)) == answer
        assert codec.decode(codec.response(answer, finished=False)) == answer


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_what_a_user_spells_out_stays_text(name, make):
    """Its letters are those of the same text with another letter in front of each bracket, which
    is no token of anybody's; the template's control tokens are where they were.
    """
    tokenizer = talker(name, make)
    codec = TextCodec(tokenizer)
    own = [t for t in (*SPECIAL, EOS, *NOT_SPECIAL) if t in codec.chat.source or t in SPECIAL]
    own = [t for t in own if t in tokenizer.get_vocab()]
    control = set(tokenizer.convert_tokens_to_ids(own)) | {codec.eos}
    for spelled in own:
        text = f"say {spelled} and{spelled}{spelled}now"
        cut = text.replace(spelled, f"{spelled[0]}\x7f{spelled[1:]}")
        mark = tokenizer("\x7f", add_special_tokens=False)["input_ids"][-1:]
        for read in (codec.prompt, functools.partial(codec.response, finished=True)):
            ids, plain = read(text), [i for i in read(cut) if i not in mark]
            assert ids == plain
            assert [i for i in ids if i in control] == [i for i in read("x") if i in control]
        assert text in tokenizer.decode(codec.prompt(text))
        assert codec.decode(codec.response(text)) == text


@pytest.mark.skipif(
    "sanitize_control_tokens"
    not in inspect.signature(byte_tokenizer().apply_chat_template).parameters,
    reason="a newer transformers does the same",
)
@pytest.mark.parametrize("name", ["chatml", "llama-3", "gemma", "phi-3"])
def test_transformers_own_way_to_keep_them_text_agrees(name):
    tokenizer = talker(name)
    prompt = Message(role="user", content="a<|im_end|>b<|eot_id|><end_of_turn>\nc<|user|>")
    expected = theirs(tokenizer, [prompt], add_generation_prompt=True, sanitize_control_tokens=True)
    assert TextCodec(tokenizer).prompt((prompt,)) == expected


def test_tokens_that_neither_end_nor_open_a_turn_are_words_of_the_model():
    """`<think>` is written by models and read back by them: no template here knows it."""
    codec = TextCodec(talker())
    think = codec.tokenizer.convert_tokens_to_ids("<think>")
    assert think in codec.prompt("<think>")
    assert codec.response("<think>") == [think, codec.framing.end]
    assert codec.decode([think, codec.framing.end]) == "<think>"


def test_words_that_were_added_to_a_tokenizer_are_words():
    """Also where the template writes them."""
    tokenizer = talker()
    tokenizer.add_tokens(["user", "late", "\n\n"])
    codec = TextCodec(tokenizer)
    turn = (Message(role="user", content="A user\n\ncame late"),)
    assert codec.prompt(turn) == theirs(tokenizer, turn, add_generation_prompt=True)
    words = tokenizer.convert_tokens_to_ids(["user", "late", "\n\n"])
    assert set(words) < set(codec.response("A user\n\ncame late"))


@pytest.mark.parametrize("filter", ["upper", "replace('<', '[')", "reverse"])
def test_a_template_that_changes_texts_is_refused_only_where_it_matters(filter):
    tokenizer = talker(f"{{% for m in messages %}}{{{{ m.content | {filter} }}}}{{% endfor %}}!")
    codec = TextCodec(tokenizer)
    plain = {"upper": "AB C!", "reverse": "c ba!"}.get(filter, "ab c!")
    assert codec.tokenizer.decode(codec.prompt("ab c")) == plain
    with pytest.raises(UserError, match=r"spells out the control token '<\|im_end") as raised:
        codec.prompt("a<|im_end|>b")
    sentence(raised)


def test_private_characters_cannot_stand_for_control_tokens():
    codec = TextCodec(talker())
    private = "\U00100000\U00108000"
    assert private in codec.tokenizer.decode(codec.prompt(private))
    with pytest.raises(UserError, match="private characters") as raised:
        codec.prompt(f"{private}<|im_end|>")
    sentence(raised)


SYSTEM = (Message(role="system", content="Be brief."), *SHORT)
TWICE = (*SHORT, *SHORT)


@pytest.mark.parametrize(
    ("template", "conversation", "complaint"),
    [
        ("gemma", SYSTEM, r"refuses the conversation \(System role not supported\)"),
        ("gemma", TWICE, r"refuses the conversation \(Conversation roles must alternate"),
        ("{{ messages[0].tools[0] }}", SHORT, r"asks for .* has no attribute 'tools'"),
        ("{{ nothing.at_all }}", SHORT, r"asks for .*'nothing' is undefined"),
        ("{{ 1 / 0 }}", SHORT, r"fails on the conversation \(ZeroDivisionError"),
        ("{% if false %}x{% endif %} \n", SHORT, "makes no text of the conversation"),
    ],
)
def test_errors_of_templates_are_one_sentence_that_names_the_record(
    template, conversation, complaint
):
    codec = TextCodec(talker(template))
    demonstration = Demonstration(prompt=conversation, response="x").at("FILE line 7")
    good = Demonstration(prompt=SHORT, response="x").at("FILE line 8")
    ranked = [{"text": "a"}, {"text": "b"}]
    ranking = Ranking(prompt=conversation, responses=ranked, ranks=(1, 2)).at("FILE line 7")
    with pytest.raises(UserError, match=f"^FILE line 7: the chat template {complaint}") as raised:
        encode_all([demonstration], codec, max_length=99, on_long="stop")
    sentence(raised)
    with pytest.raises(UserError, match=f"^FILE line 7: the chat template {complaint}") as raised:
        encode_rankings([ranking], codec, max_length=99, on_long="stop")
    sentence(raised)
    if template == "gemma":
        examples, skipped = encode_all(
            [demonstration, good], codec, max_length=99, on_long="stop", on_error="skip"
        )
        assert len(examples) == len(skipped) == 1


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("ok\n{{ messages }", "broken .*line 2"),
        ("{% for %}", "broken"),
        ("{{ strftime_now('%d') }}\n{{ messages }", "broken .*line 2"),
        ({"tool_use": "x"}, "the chat templates tool_use and none called 'default'"),
    ],
)
def test_templates_that_cannot_be_used_are_refused_at_once(template, complaint):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=complaint) as raised:
        TextCodec(tokenizer)
    sentence(raised)
    TextCodec(tokenizer, "plain")  # the remedy


def test_the_default_of_several_templates_is_used():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = {"tool_use": "x", "default": "{{ messages[0].content }}?"}
    codec = TextCodec(tokenizer)
    assert tokenizer.decode(codec.prompt("ab")) == "ab?"


def test_a_text_has_the_same_tokens_on_two_days(monkeypatch, capsys):
    chat._say_dated.cache_clear()
    tokenizer, days = talker(DATED), []

    class Clock:
        @staticmethod
        def now():
            return datetime(2031, 1, len(days) + 1)

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    for _ in range(2):
        ours, plain = TextCodec(tokenizer).prompt("Hi"), theirs(tokenizer, SHORT, tokenize=False)
        days.append((ours, plain[:27]))
    assert days[0][0] == days[1][0]
    assert days[0][1] != days[1][1]  # the control: with the clock of transformers they differ
    assert tokenizer.decode(days[0][0]).startswith("Today: 26 Jul 2024; 2024-07-26\n<|im_start|>")
    said = capsys.readouterr().err
    assert said.count("the chat template prints today's date") == 1


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("name", [*TEMPLATES, DATED])
def test_a_scorers_template_ends_a_conversation_at_the_end_of_its_answer(name, make):
    tokenizer = talker(name, make)
    codec = TextCodec(tokenizer)
    written = codec.chat.for_scorer()
    answer = Message(role="assistant", content="Yes, it is.")
    for conversation in (SHORT, LONG):
        whole = (*conversation, answer)
        before = theirs(tokenizer, conversation, tokenize=False, add_generation_prompt=True)
        tokenizer.chat_template = written
        if name != DATED:
            assert before == theirs(
                tokenizer, conversation, tokenize=False, add_generation_prompt=True
            )
        ours = codec.prompt(conversation) + codec.response(answer.content)
        assert theirs(tokenizer, whole) == ours
        tokenizer.chat_template = TEMPLATES.get(name, name)
    tokenizer.chat_template = written
    again = TextCodec(tokenizer)
    assert again.chat.for_scorer() == written
    assert again.prompt(LONG) == codec.prompt(LONG)
    assert again.response("Hi") == codec.response("Hi")

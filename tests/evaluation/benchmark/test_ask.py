"""Answers to requests against plain transformers: one unpadded row per choice, and `generate`."""

import math

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, BloomConfig, PreTrainedTokenizerFast

from instructgpt.errors import UserError
from instructgpt.evaluation.benchmark.ask import Asker
from instructgpt.evaluation.tasks.task import Output, Request
from instructgpt.rollout.policy import SFTModel
from tests.files import sentence
from tests.tiny import ARCHITECTURES, EOS, PAD, bos_tokenizer, byte_tokenizer, tiny_model

REQUESTS = [
    Request("", "The sky is", (" blue", " green and wide", " a")),
    Request("", "", ("He sleeps.", "She sleeps.")),
    Request("", "Two and two make", (" four", " five")),
    Request("", "A rather longer text, so that rows differ in length; it ends", (" here", ".")),
    Request("", "x", ("y",)),
]
TEXTS = [Request("", text) for text in ("Say it:", "a", "Once upon a time", "Q: why?\nA:", "é")]


def made(arch: str):
    if arch != "bloom":
        return tiny_model(arch)
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=258, hidden_size=32, n_layer=2, n_head=4, eos_token_id=256)
    return AutoModelForCausalLM.from_config(config).eval()


def plain_policy(model=None, tokenizer=None, template: str = "plain") -> SFTModel:
    return SFTModel(model or tiny_model(), tokenizer or byte_tokenizer(), template=template)


def reference(model, prompt, choice) -> float:
    """log p of a choice, token by token out of the logits of one unpadded row."""
    with torch.no_grad():
        logits_TV = model(torch.tensor([[*prompt, *choice]])).logits[0].double()
    places = range(len(prompt) - 1, len(prompt) + len(choice) - 1)
    return sum(
        logits_TV[place].log_softmax(-1)[token].item()
        for place, token in zip(places, choice, strict=True)
    )


def letters(text: str) -> list[int]:
    """The byte tokenizer has one id per byte, and no merges."""
    return byte_tokenizer()(text)["input_ids"]


# ---------------------------------------------------------------- choices


@pytest.mark.parametrize("arch", [*ARCHITECTURES, "bloom"])
def test_log_probabilities_are_those_of_one_row_per_choice(arch):
    outputs = Asker(plain_policy(made(arch))).ask(REQUESTS)
    plain = made(arch)
    for request, output in zip(REQUESTS, outputs, strict=True):
        prompt = letters(request.text) or [256]
        expected = [reference(plain, prompt, letters(choice)) for choice in request.choices]
        assert output.logprobs == pytest.approx(expected, abs=1e-4)
        assert output.tokens == tuple(len(choice) for choice in request.choices)
        means = [e / len(c) for e, c in zip(expected, request.choices, strict=True)]
        best = means.index(max(means))
        assert (output.choice, output.text) == (best, request.choices[best].strip())
        assert (output.ended, output.cut_prompt) == ("", False)


@pytest.mark.parametrize("arch", ["llama", "gpt_neo", "gpt2"])
def test_results_do_not_depend_on_batching(arch):
    policy = plain_policy(writer(arch))
    first, *others = [
        Asker(policy, micro_batch_tokens=tokens, slots=slots).ask(
            [*REQUESTS, *TEXTS], max_tokens=12
        )
        for tokens, slots in ((64, 1), (64, 64), (4096, 1), (4096, 64), (0, 2))
    ]
    for other in others:
        for one, two in zip(first, other, strict=True):
            assert two.logprobs == pytest.approx(one.logprobs, abs=1e-4)
            assert (one.text, one.ended, one.tokens) == (two.text, two.ended, two.tokens)


def merging_tokenizer():
    """Reads "ab" as one token, 256."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(alphabet)} | {"ab": 256}
    core = Tokenizer(models.BPE(vocabulary, [("a", "b")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([EOS, PAD])  # 257, 258
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=EOS, pad_token=PAD)


def test_a_choice_that_merges_with_the_end_of_the_text_is_read_as_the_whole_is():
    model, plain = (tiny_model(vocab_size=259) for _ in range(2))
    requests = [Request("", "xa", ("b", " b", "bab")), Request("", "a", ("b", "a"))]
    first, second = Asker(plain_policy(model, merging_tokenizer())).ask(requests)
    x, a, b, space = (letters(letter)[0] for letter in "xab ")
    both, eos = 256, 257
    expected = [
        reference(plain, [x], [both]),
        reference(plain, [x, a], [space, b]),
        reference(plain, [x], [both, both]),
    ]
    assert first.logprobs == pytest.approx(expected, abs=1e-4)
    assert first.tokens == (1, 2, 2)
    # Nothing of the text is left before it: the model begins after the end of a text.
    assert second.logprobs[0] == pytest.approx(reference(plain, [eos], [both]), abs=1e-4)
    assert second.logprobs[1] == pytest.approx(reference(plain, [a], [a]), abs=1e-4)
    assert second.tokens == (1, 1)


def test_before_an_empty_text_stands_the_token_that_begins_a_text():
    model, plain = (tiny_model(vocab_size=259) for _ in range(2))
    asker = Asker(plain_policy(model, bos_tokenizer()))
    empty, some = asker.ask([Request("", "", ("ab", "c")), Request("", "x", ("ab",))])
    a, b, c, x = (letters(letter)[0] for letter in "abcx")
    expected = [reference(plain, [258], [a, b]), reference(plain, [258], [c])]
    assert empty.logprobs == pytest.approx(expected, abs=1e-4)
    assert some.logprobs == pytest.approx([reference(plain, [258, x], [a, b])], abs=1e-4)


@pytest.mark.parametrize("begins", [False, True])
def test_a_text_longer_than_the_context_loses_its_beginning(begins):
    shape = {"vocab_size": 259, "context": 32}
    model, plain = tiny_model(**shape), tiny_model(**shape)
    tokenizer = bos_tokenizer() if begins else byte_tokenizer()
    text = "0123456789abcdefghijklmnopqrstuvwxyz"
    choices = ("yes", "maybe")
    fits, cut = Asker(plain_policy(model, tokenizer)).ask(
        [Request("", text[:20], choices), Request("", text, choices)]
    )
    begin = [258] if begins else []
    kept = letters(text)[-(32 - 5 - len(begin)) :]  # of the longest choice, for all alike
    for output, prompt in ((fits, letters(text[:20])), (cut, kept)):
        expected = [reference(plain, [*begin, *prompt], letters(choice)) for choice in choices]
        assert output.logprobs == pytest.approx(expected, abs=1e-4)
    assert (fits.cut_prompt, cut.cut_prompt) == (False, True)


def test_a_choice_that_leaves_no_room_before_it_is_refused():
    asker = Asker(plain_policy(tiny_model(context=16)))
    (output,) = asker.ask([Request("", "text", ("n" * 15,))])
    assert output.cut_prompt
    with pytest.raises(UserError, match="a choice has 16 tokens, and the model reads 16") as raised:
        asker.ask([Request("", "text", ("n" * 16,))])
    sentence(raised)


def test_a_choice_without_a_token_is_refused():
    with pytest.raises(UserError, match="the choice '' has no token") as raised:
        Asker(plain_policy()).ask([Request("", "text", ("a", ""))])
    sentence(raised)


CHAT = (
    "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_with_a_chat_template_a_choice_is_an_answer_of_the_assistant():
    policy = plain_policy(tokenizer=byte_tokenizer(chat_template=CHAT), template="chat")
    (output,) = Asker(policy).ask([Request("", "Is it late?", (" yes", " no"))])
    prompt, plain = letters("<user>Is it late?<assistant>"), tiny_model()
    expected = [reference(plain, prompt, letters(choice)) for choice in ("yes", "no")]
    assert output.logprobs == pytest.approx(expected, abs=1e-4)
    assert output.tokens == (3, 2)


def test_a_pattern_stands_around_the_text():
    policy = plain_policy(template="Q: {prompt}\nA: ")
    (output,) = Asker(policy).ask([Request("", "Why", (" so",))])
    expected = reference(tiny_model(), letters("Q: Why\nA: "), letters("so"))
    assert output.logprobs == pytest.approx([expected], abs=1e-4)


def test_dropout_has_no_part_in_it_and_the_model_is_left_as_it_was():
    policy = plain_policy(tiny_model("gpt2"))
    expected = Asker(policy).ask(REQUESTS)
    policy.model.train()
    assert Asker(policy).ask(REQUESTS) == expected
    assert policy.model.training


def test_numbers_that_are_not_finite_are_refused():
    policy = plain_policy()
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[letters("x")[0]] = math.nan
    with pytest.raises(UserError, match="not finite") as raised:
        Asker(policy).ask([Request("", "x", ("a", "b"))])
    sentence(raised)


def test_of_equal_means_the_first_is_chosen():
    assert Output(logprobs=(-4.0, -1.0, -2.0), tokens=(4, 1, 2)).choice == 0
    assert Output(logprobs=(-4.0, -1.5, -1.0), tokens=(2, 1, 1)).choice == 2
    with pytest.raises(ValueError, match="no choices"):
        _ = Output(text="written", ended="end").choice


# ---------------------------------------------------------------- texts


def writer(arch: str = "llama", **shape):
    """A model that seldom writes other bytes than the 94 that can be seen, whose ids come first."""
    model = tiny_model(arch, **shape)
    with torch.no_grad():
        model.get_input_embeddings().weight[94:256] *= 0.05
    return model


def greedy(model, prompt: list[int], count: int) -> list[int]:
    """What transformers' own `generate` goes on with, up to the end of a text."""
    ids = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        max_new_tokens=count,
        pad_token_id=257,
    )
    return ids[0, len(prompt) :].tolist()


def tokenizer_with(token: str, at: int):
    """The byte tokenizer, in which this token has that id, and the byte that had it has 258."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(alphabet)}
    if token in vocabulary:  # they change places
        other = alphabet[at]
        vocabulary |= {token: at, other: vocabulary[token]}
    else:
        vocabulary |= {token: at, alphabet[at]: 258}
    core = Tokenizer(models.BPE(vocabulary, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([EOS, PAD])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=EOS, pad_token=PAD)


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_a_text_is_that_of_generate(arch):
    outputs = Asker(plain_policy(writer(arch))).ask(TEXTS, max_tokens=12)
    plain, tokenizer = writer(arch), byte_tokenizer()
    assert len({output.text for output in outputs}) == len(TEXTS)
    for request, output in zip(TEXTS, outputs, strict=True):
        ids = greedy(plain, letters(request.text), 12)
        text = tokenizer.decode(ids, skip_special_tokens=True)
        assert output.text == text.split("\n")[0].strip()
        ended = "newline" if "\n" in text else "end" if 256 in ids else "cut"
        assert (output.ended, output.cut_prompt) == (ended, False)
        assert (output.logprobs, output.tokens) == ((), ())


@pytest.mark.parametrize("token", ["Ċ", "aĊb", "ĊĊ"])
@pytest.mark.parametrize("place", [0, 3])
def test_a_text_ends_at_a_newline_wherever_in_a_token_it_stands(token, place):
    plain = tiny_model(vocab_size=259)
    prompt = letters("Go:")
    ids = greedy(plain, prompt, 8)
    if ids[place] in ids[:place] or ids[place] in prompt or 256 in ids:
        pytest.fail("give the test another prompt: it needs a token that comes once")
    tokenizer = tokenizer_with(token, ids[place])
    policy = plain_policy(tiny_model(vocab_size=259), tokenizer)
    text = tokenizer.decode(prompt)
    assert tokenizer(text)["input_ids"] == prompt
    (output,) = Asker(policy).ask([Request("", text)], max_tokens=8)
    before = tokenizer.decode(ids[: place + 1]).split("\n")[0]
    assert output == Output(before.strip(), "newline")


def test_a_text_that_the_model_ends_says_so():
    model = tiny_model("gpt_neox")
    with torch.no_grad():  # the end of a text is the likeliest token, whatever comes before
        model.gpt_neox.final_layer_norm.bias[:] = 1
        model.lm_head.weight[:] = 0
        model.lm_head.weight[256] = 1
    (output,) = Asker(plain_policy(model)).ask([Request("", "a")])
    assert output == Output("", "end")


def test_a_long_text_leaves_room_for_its_continuation():
    model = writer(context=32)
    (output,) = Asker(plain_policy(model)).ask([Request("", "0123456789" * 4)], max_tokens=12)
    ids = greedy(writer(context=32), letters(("0123456789" * 4)[-20:]), 12)
    text = byte_tokenizer().decode(ids, skip_special_tokens=True)
    assert output.text == text.split("\n")[0].strip()
    assert output.cut_prompt


def test_the_newline_that_a_template_writes_before_an_answer_ends_nothing():
    template = CHAT.replace(">{{ turn.content", ">\n{{ turn.content")
    policy = plain_policy(writer(), byte_tokenizer(chat_template=template), "chat")
    assert policy.text.framing.lead == "\n"
    (output,) = Asker(policy).ask([Request("", "Hi")], max_tokens=6)
    ids = greedy(writer(), letters("<user>\nHi<assistant>\n"), 6)
    text = byte_tokenizer().decode(ids, skip_special_tokens=True)
    assert output.text == text.split("\n")[0].strip() != ""


def test_choices_and_texts_come_back_in_the_order_of_the_requests():
    mixed = [REQUESTS[0], TEXTS[0], REQUESTS[1], TEXTS[1]]
    asker = Asker(plain_policy(writer()))
    alone = [asker.ask([request], max_tokens=5)[0].text for request in mixed]
    assert [output.text for output in asker.ask(mixed, max_tokens=5)] == alone
    assert len({*alone}) == 4
    assert asker.ask([]) == []


def test_long_texts_grow_fewer_at_a_time(monkeypatch):
    asked = []
    policy = SFTModel(tiny_model(context=128), byte_tokenizer(), template="plain")
    sample = policy.sample

    def noted(*arguments, slots, **settings):
        asked.append(slots)
        return sample(*arguments, slots=slots, **settings)

    monkeypatch.setattr(policy, "sample", noted)
    monkeypatch.setattr("instructgpt.evaluation.benchmark.ask.KEPT_TOKENS", 100)
    asker = Asker(policy, slots=8)
    for length in (2, 40, 120):  # and 4 more that are written
        asker.ask([Request("", "a" * length)], max_tokens=4)
    assert asked == [8, 2, 1]

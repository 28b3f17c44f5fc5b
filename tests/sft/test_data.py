"""Demonstrations as examples, and what the batches of a run hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructgpt.data.records import Demonstration
from instructgpt.errors import UserError
from instructgpt.models.text import TextCodec
from instructgpt.run.config import Resolved
from instructgpt.sft.config import SFTConfig
from instructgpt.sft.data import Example, SFTBatches, encode, encode_all, whole_sequence
from instructgpt.training.pretraining import PretrainingText
from tests.files import sentence
from tests.tiny import byte_tokenizer

CODEC = TextCodec(byte_tokenizer())
EOS = CODEC.eos


def letters(text):
    return CODEC.response(text, finished=False)


def demonstration(prompt, response):
    return Demonstration(prompt_id=f"id-{prompt}", prompt=prompt, response=response)


def settings(**values):
    return SFTConfig(model="-", data="-", out="-", **values)


def batches(count, *, documents=(), position=0, **values):
    """Batches of `count` examples that can be told apart, with windows of two letters of text."""
    config = settings(pretrain_data="-" if documents else (), **values)
    pretrain = PretrainingText(documents, CODEC, 2, seed=config.seed) if documents else None
    made = SFTBatches([Example([1], [index]) for index in range(count)], pretrain, config)
    made.positions = {"demonstrations": position, "pretraining": 0}
    return made


def test_the_answer_and_its_end_are_learnt():
    example = encode(demonstration("ab", "cd"), CODEC)
    assert example == Example(letters("ab"), [*letters("cd"), EOS])
    assert len(example) == 5


def test_all_teaches_everything_that_something_precedes():
    a, b, c, d = letters("abcd")
    assert encode(demonstration("ab", "cd"), CODEC, loss="all") == Example([a], [b, c, d, EOS])
    assert whole_sequence([7, 8, 9]) == Example([7], [8, 9])


@pytest.mark.parametrize("loss", ["completion", "all"])
def test_a_cut_answer_teaches_no_end(loss):
    rows = [demonstration("abc", "defg"), demonstration("x", "y")]
    (cut, whole), skipped = encode_all(rows, CODEC, max_length=6, on_long="truncate", loss=loss)
    assert cut.prompt + cut.response == letters("abcdef")
    assert whole.response[-1] == EOS
    assert not skipped


def test_long_examples_are_skipped_and_named():
    rows = [demonstration("abc", "defg"), demonstration("x", "y"), demonstration("abcdefg", "h")]
    for on_long, left in (("skip", [1]), ("truncate", [0, 1])):  # a prompt alone teaches nothing
        examples, skipped = encode_all(rows, CODEC, max_length=7, on_long=on_long)
        assert [example.prompt for example in examples] == [letters(rows[i].prompt) for i in left]
        assert skipped[-1] == (
            "demonstration 3 (prompt id-abcdefg) has 9 tokens, more than the 7 that fit"
        )
        assert len(skipped) + len(examples) == 3


def test_an_example_that_just_fits_is_kept_whole():
    for on_long in ("stop", "skip", "truncate"):
        examples, _ = encode_all(
            [demonstration("abc", "def")], CODEC, max_length=7, on_long=on_long
        )
        assert examples == [Example(letters("abc"), [*letters("def"), EOS])]


def test_a_long_example_stops_the_run():
    with pytest.raises(UserError, match=r"demonstration 1 .* 9 tokens, .* 4 that fit") as raised:
        encode_all([demonstration("abcd", "efgh")], CODEC, max_length=4, on_long="stop")
    assert "--on_long skip or truncate" in sentence(raised)


def test_nothing_left_is_refused():
    with pytest.raises(UserError, match="no demonstration is left") as raised:
        encode_all([demonstration("abcd", "efgh")], CODEC, max_length=4, on_long="skip")
    sentence(raised)


@given(count=st.integers(1, 40), batch_size=st.integers(1, 12), epochs=st.integers(1, 3))
def test_every_epoch_shows_every_example_once(count, batch_size, epochs):
    run = batches(count, batch_size=batch_size, epochs=epochs)
    steps = [run.next() for _ in range(run.total_steps)]
    assert all(1 <= len(step) <= batch_size for step in steps)
    shown = [example.response[0] for step in steps for example in step]
    assert len(shown) == epochs * count
    for epoch in range(epochs):
        assert sorted(shown[epoch * count : (epoch + 1) * count]) == list(range(count))


@pytest.mark.parametrize(
    ("fraction", "pretraining"), [(0.0, 0), (0.01, 1), (0.1, 1), (0.25, 2), (0.5, 5), (0.94, 9)]
)
def test_each_batch_holds_its_share_of_pretraining_text(fraction, pretraining):
    text = ["".join(map(chr, range(65, 105)))] if fraction else []
    run = batches(18, documents=text, batch_size=10, epochs=2, pretrain_fraction=fraction)
    demonstrations = 10 - pretraining
    assert run.steps_per_epoch == -(-18 // demonstrations)
    windows = []
    for step in range(run.total_steps):
        batch = run.next()
        mixed = [example for example in batch if example.prompt != [1]]
        windows += [tuple(example.prompt + example.response) for example in mixed]
        assert len(mixed) == pretraining
        last = step % run.steps_per_epoch == run.steps_per_epoch - 1
        assert len(batch) - len(mixed) == (18 - 1) % demonstrations + 1 if last else demonstrations
    assert len(set(windows)) == min(
        len(windows), 20
    )  # 20 windows: none twice in an epoch of theirs


def test_positions_are_the_whole_state():
    text = ["".join(map(chr, range(65, 105)))]
    mix = {"documents": text, "batch_size": 4, "pretrain_fraction": 0.25}
    walked, jumped = batches(10, **mix), batches(10, **mix)
    for _ in range(7):
        walked.next()
    jumped.positions = walked.positions
    assert walked.positions == {"demonstrations": 20 - 1, "pretraining": 7}
    assert [walked.next() for _ in range(9)] == [jumped.next() for _ in range(9)]


def test_text_alone():
    run = batches(0, documents=["abcdef"], batch_size=3, pretrain_fraction=1, max_steps=5)
    assert (run.total_steps, len(run.next())) == (5, 3)


def test_max_steps_cuts_the_epochs_and_does_not_stretch_them():
    assert batches(10, batch_size=4, epochs=2, max_steps=5).total_steps == 5
    assert batches(10, batch_size=4, epochs=2, max_steps=7).total_steps == 6


def test_no_room_for_demonstrations():
    with pytest.raises(UserError, match="pretrain_fraction") as raised:
        batches(3, documents=["abc"], batch_size=1, pretrain_fraction=0.5)
    sentence(raised)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"data": ()}, "'data' is needed"),
        ({"pretrain_fraction": 0.1}, "needs 'pretrain_data'"),
        ({"pretrain_fraction": 1, "pretrain_data": "-"}, "give max_steps"),
        ({"select_by": "reward", "eval_data": "-"}, "needs 'reward_model'"),
        ({"select_by": "validation_loss"}, "needs 'eval_data'"),
        ({"eval_split": "valid", "eval_data": "-"}, "exclude each other"),
        ({"reward_model": "-"}, "reward_model needs 'eval_data'"),
        ({"reward_model": "-", "select_by": "last"}, "reward_model needs 'eval_data'"),
    ],
)
def test_settings_that_contradict_each_other(values, reason):
    with pytest.raises(ValueError, match=reason):
        Resolved.of(SFTConfig(**{"model": "-", "data": "-", "out": "-"} | values))


def test_the_defaults_are_the_papers_but_for_dropout():
    config = settings()
    assert (config.epochs, config.batch_size, config.learning_rate) == (16, 32, 9.65e-6)
    assert (config.dropout, config.schedule, config.min_lr_ratio, config.warmup) == (
        None,
        "cosine",
        0.1,
        0,
    )
    assert (config.adam_beta1, config.adam_beta2, config.adam_epsilon) == (0.9, 0.95, 1e-8)
    assert config.weight_decay == 0

"""`SFTTrainer` against transformers' loss and hand-made steps; batches may be cut anywhere."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from instructgpt.errors import UserError
from instructgpt.models.rows import budget_groups
from instructgpt.sft import Example, SFTConfig, SFTModel, SFTTrainer
from instructgpt.sft.loss import completion_loss
from instructgpt.sft.trainer import FirstLoss
from tests.tiny import ARCHITECTURES, byte_tokenizer, tiny_model

LENGTHS = [(3, 5), (9, 1), (1, 12), (6, 2), (2, 30), (4, 4), (12, 3), (1, 1)]
"""(prompt, response) of a ragged batch."""


def ragged_batch(seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(length):
        return torch.randint(258, (length,), generator=generator).tolist()

    return [Example(draw(prompt), draw(response)) for prompt, response in LENGTHS]


def settings(**values):
    return SFTConfig(**{"model": "-", "data": "-", "out": "-", "dropout": 0.0} | values)


def trainer_of(arch="llama", *, kind=SFTTrainer, model=None, total_steps=1, **values):
    policy = SFTModel(model or tiny_model(arch), byte_tokenizer())
    return kind(policy, settings(**values), total_steps)


def padded(batch):
    """Tokens, attention mask and response flags, padded on the right."""
    width = max(map(len, batch))
    tokens, attended = torch.full((len(batch), width), 257), torch.zeros(len(batch), width).long()
    is_response = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, example in enumerate(batch):
        tokens[row, : len(example)] = torch.tensor(example.prompt + example.response)
        attended[row, : len(example)] = 1
        is_response[row, len(example.prompt) : len(example)] = True
    return tokens, attended, is_response


def mean_loss(model, batch):
    tokens, attended, is_response = padded(batch)
    logits = model(tokens, attention_mask=attended).logits
    total, count = completion_loss(logits, tokens, is_response)
    return total / count


def weights(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()]).clone()


@pytest.mark.parametrize(("schedule", "said"), [("cosine", True), ("constant", False)])
def test_a_step_without_the_length_of_the_schedule_is_refused(schedule, said):
    trainer = trainer_of(total_steps=0, schedule=schedule, learning_rate=1e-3)
    expected = pytest.raises(UserError, match="total_steps") if said else nullcontext()
    for _ in range(2):
        with expected:
            assert trainer.train_step(ragged_batch())["sft/learning_rate"] == 1e-3
    assert trainer.step == 2 * (not said)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_loss_is_that_of_transformers(arch):
    model, batch = tiny_model(arch), ragged_batch()
    tokens, attended, is_response = padded(batch)
    labels = tokens.masked_fill(~is_response, -100)
    theirs = model(tokens, attention_mask=attended, labels=labels).loss
    theirs.backward()
    norm = clip_grad_norm_(model.parameters(), 1e9).item()
    model.zero_grad()
    metrics = trainer_of(model=model, micro_batch_tokens=40).train_step(batch)
    assert metrics["sft/loss"] == pytest.approx(theirs.item(), rel=1e-5)
    assert metrics["sft/grad_norm"] == pytest.approx(norm, rel=1e-4)
    assert metrics["sft/tokens"] == sum(response for _, response in LENGTHS)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("max_grad_norm", [0.05, 1e9])
def test_steps_equal_those_of_adamw_by_hand(max_grad_norm, weight_decay):
    trainer = trainer_of(
        total_steps=4,
        learning_rate=1e-3,
        max_grad_norm=max_grad_norm,
        weight_decay=weight_decay,
        micro_batch_tokens=50,
    )
    model = copy.deepcopy(trainer.policy.model)
    adam = torch.optim.AdamW(
        model.parameters(), betas=(0.9, 0.95), eps=1e-8, weight_decay=weight_decay, foreach=False
    )
    start = weights(model)
    for step, multiplier in enumerate([1, 0.868198, 0.55, 0.231802]):  # (1 + 9 (1 + cos πt/4)/2)/10
        loss = mean_loss(model, ragged_batch(step))
        adam.zero_grad()
        loss.backward()
        norm = clip_grad_norm_(model.parameters(), max_grad_norm).item()
        adam.param_groups[0]["lr"] = 1e-3 * multiplier
        adam.step()
        metrics = trainer.train_step(ragged_batch(step))
        assert metrics["sft/loss"] == pytest.approx(loss.item(), rel=1e-4)
        assert metrics["sft/grad_norm"] == pytest.approx(norm, rel=1e-3)
        assert metrics["sft/learning_rate"] == pytest.approx(1e-3 * multiplier, rel=1e-5)
    ours, theirs = weights(trainer.policy.model) - start, weights(model) - start
    assert ((ours - theirs).norm() / theirs.norm()).item() < 1e-3


class MeanOfMeans(SFTTrainer):
    """The classic mistake: each micro-batch weighs the same, however few tokens it holds."""

    def train_step(self, batch):
        lengths = [len(example) for example in batch]
        self.groups = len(budget_groups(lengths, self.config.micro_batch_tokens))
        self.tokens = sum(len(example.response) for example in batch)
        return super().train_step(batch)

    def _loss_sum(self, examples):
        tokens = sum(len(example.response) for example in examples)
        return super()._loss_sum(examples) * self.tokens / (tokens * self.groups)


def movement(kind, arch, micro_batch_tokens):
    """How far 20 steps at a learning rate of 1e-3 carry the weights."""
    trainer = trainer_of(
        arch, kind=kind, total_steps=20, learning_rate=1e-3, micro_batch_tokens=micro_batch_tokens
    )
    start = weights(trainer.policy.model)
    for step in range(20):
        trainer.train_step(ragged_batch(step))
    return weights(trainer.policy.model) - start


def distance(one, other):
    return ((one - other).norm() / one.norm()).item()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_micro_batches_change_nothing(arch):
    whole, cut = movement(SFTTrainer, arch, 10_000), movement(SFTTrainer, arch, 30)
    assert distance(whole, cut) < 1e-3


def test_the_mean_of_means_fails_the_same_test():
    whole = movement(MeanOfMeans, "llama", 10_000)
    assert distance(whole, movement(SFTTrainer, "llama", 10_000)) < 1e-3
    assert distance(whole, movement(MeanOfMeans, "llama", 30)) > 0.1


def test_the_learning_rate_falls_to_a_tenth_without_warm_up():
    trainer = trainer_of(learning_rate=2.0, total_steps=3)
    rates = []
    for step in range(5):
        trainer.state.counters["step"] = step
        rates.append(trainer.learning_rate)
    assert rates == pytest.approx([2.0, 1.55, 0.65, 0.2, 0.2])  # 0.2 + 0.9 (1 + cos πt/3)


def test_an_epoch_is_a_pass_over_the_loader_and_knows_its_schedule():
    loader = [ragged_batch(0), ragged_batch(1)]
    trainer = trainer_of(total_steps=0, epochs=2, learning_rate=1e-3)
    expected = trainer_of(total_steps=4, epochs=2, learning_rate=1e-3)
    losses = [sum(expected.train_step(batch)["sft/loss"] for batch in loader) / 2 for _ in range(2)]
    assert [trainer.train_epoch(loader) for _ in range(2)] == losses
    assert losses[1] < losses[0]
    assert (trainer.step, trainer.total_steps) == (4, 4)


@pytest.mark.parametrize("micro_batch_tokens", [1, 4096])
def test_the_validation_loss_is_the_token_mean(micro_batch_tokens):
    trainer, batch = trainer_of(micro_batch_tokens=micro_batch_tokens, dropout=0.5), ragged_batch()
    before = weights(trainer.policy.model)
    expected = mean_loss(trainer.policy.model, batch).item()
    assert trainer.validation_loss(batch) == pytest.approx(expected, rel=1e-5)  # no dropout in it
    assert torch.equal(weights(trainer.policy.model), before)
    assert all(weight.grad is None for weight in trainer.policy.model.parameters())


def test_dropout_acts_in_training_and_is_decided_by_seed_and_step():
    def losses(**values):
        trainer = trainer_of(learning_rate=1e-12, total_steps=2, **values)
        torch.manual_seed(len(values))  # what the process drew before must not matter
        return [trainer.train_step(ragged_batch())["sft/loss"] for _ in range(2)]

    dropped = losses(dropout=0.2)
    assert dropped == losses(dropout=0.2, save_every=7)
    assert len({*dropped, *losses(dropout=0.2, seed=1), *losses()}) == 5


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_an_architectures_own_dropout_never_acts(arch):
    model, batch = tiny_model(arch), ragged_batch()
    for module in model.modules():
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.5)
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    expected = mean_loss(model, batch).item()
    assert mean_loss(model.train(), batch).item() != pytest.approx(expected)  # the control
    assert trainer_of(model=model).train_step(batch)["sft/loss"] == pytest.approx(expected)


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_a_model_learns_its_answers_and_to_end_them(pad_is_eos):
    policy = SFTModel(tiny_model("llama"), byte_tokenizer(pad_is_eos=pad_is_eos))
    answers = {"a?": "yes", "bb?": "no, never", "c?": ""}
    batch = [
        Example(policy.text.prompt(prompt), policy.text.response(answer))
        for prompt, answer in answers.items()
    ]
    trainer = SFTTrainer(policy, settings(learning_rate=1e-2), total_steps=60)
    losses = [trainer.train_step(batch)["sft/loss"] for _ in range(60)]
    assert losses[-1] < 0.05 < losses[0]
    completions = policy.generate(list(answers), max_new_tokens=20, temperature=0)
    assert [completion.text for completion in completions] == list(answers.values())
    assert all(c.finished and c.tokens[-1] == policy.text.eos for c in completions)


def test_without_a_rate_dropout_is_the_models_own():
    model = tiny_model("gpt2")
    assert model.config.resid_pdrop == 0.1  # transformers' default, as GPT-2 was trained
    assert trainer_of(model=model, dropout=None).dropout == 0.1
    assert trainer_of(model=model, dropout=0.0).dropout == 0
    assert trainer_of("llama", dropout=None).dropout == 0


@pytest.mark.parametrize("budget", [1, 10_000])
def test_the_first_loss_with_dropout_and_without(budget):
    trainer = trainer_of(dropout=0.5, micro_batch_tokens=budget, learning_rate=1e-3)
    batch = ragged_batch()
    first = budget_groups([len(e) for e in batch], budget)[0]
    with torch.no_grad():
        plain = mean_loss(trainer.policy.model, [batch[i] for i in first]).item()
    found = trainer.first_loss(batch)
    assert (found.dropout, found.loss_without) == (0.5, pytest.approx(plain, rel=1e-5))
    assert abs(found.loss - found.loss_without) > 1e-4
    if len(first) == len(batch):  # the same masks as in the step, whose figures it leaves alone
        assert trainer.train_step(batch)["sft/loss"] == pytest.approx(found.loss, rel=1e-6)
    assert FirstLoss(0.2, 10.0, 3.1).is_far_above
    assert not FirstLoss(0.1, 3.4, 3.1).is_far_above

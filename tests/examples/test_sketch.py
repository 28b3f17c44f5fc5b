"""The sketch's usage example, typed in its order; and what its order asks of the models.

It makes all models first, trains the SFT model in place, then the reward model, then the policy.
"""

import re

import pytest
import torch
from torch.utils.data import DataLoader

import instructgpt as ig
from instructgpt.data.records import Demonstration, Ranking
from instructgpt.models.parts import trunk
from tests.tiny import byte_tokenizer, tiny_model

DEMONSTRATIONS = [
    {"prompt": "Say hi.", "response": "Hi."},
    {"prompt": "Say no.", "response": "No."},
    {"prompt": "Name a colour.", "response": "Blue."},
    {"prompt": "Name a town.", "response": "Bonn."},
]
RANKINGS = [
    {"prompt": "Say hi.", "responses": [{"text": "Hi."}, {"text": "no"}], "ranks": [1, 2]},
    {"prompt": "Name a town.", "chosen": "Bonn.", "rejected": "x"},
]
SMALL = {"batch_size": 4, "num_mini_batches": 2, "response_length": 8, "warmup": 0}


@pytest.fixture
def base(tmp_path):
    return ig.SFTModel(tiny_model("gpt2"), byte_tokenizer()).save(tmp_path / "gpt3-base")


def weights(model) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trunk(model).parameters()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_usage_example(base, monkeypatch, capsys):
    monkeypatch.chdir(base.parent)
    SFTModel, RewardModel, PPOModel = ig.SFTModel, ig.RewardModel, ig.PPOModel
    SFTTrainer, RewardModelTrainer = ig.SFTTrainer, ig.RewardModelTrainer
    PPOTrainer = ig.PPOTrainer
    epochs, num_rm_steps, num_ppo_steps = 2, 3, 2
    sft_config = {"learning_rate": 1e-3, "weight_decay": 0.01, "epochs": epochs, "dropout": 0}
    rm_config = {"learning_rate": 1e-3}
    ppo_config = {**SMALL, "learning_rate": 1e-4, "kl_coef": 0.2, "pretrain_coef": 0.5}
    ppo_config |= {"total_episodes": 8, "ptx_ratio": 1, "ptx_length": 8}
    sft_data_loader = DataLoader(DEMONSTRATIONS, batch_size=2)  # type: ignore[arg-type]
    comparison_batch = [RANKINGS[0]]

    def sample_prompts(api_prompts):
        return api_prompts[:4]

    def sample_pretrain_data():
        return ["Once upon a time there was a planet."] * 4

    api_prompts = [row["prompt"] for row in DEMONSTRATIONS]

    # 1. Initialize models
    base_model = SFTModel("gpt3-base")
    reward_model = RewardModel(base_model)
    ppo_model = PPOModel(base_model, reward_model)

    # 2. Train SFT model
    sft_trainer = SFTTrainer(base_model, sft_config)
    for epoch in range(epochs):  # Paper uses 16 epochs
        loss = sft_trainer.train_epoch(sft_data_loader)
        print(f"SFT Epoch {epoch}: Loss = {loss:.4f}")

    # 3. Train reward model
    rm_trainer = RewardModelTrainer(reward_model, rm_config, total_steps=num_rm_steps)
    for step in range(num_rm_steps):
        loss = rm_trainer.train_step(comparison_batch)["reward/loss"]
        print(f"RM Step {step}: Loss = {loss:.4f}")

    # 4. Train PPO model
    ppo_trainer = PPOTrainer(ppo_model, ppo_config)
    for step in range(num_ppo_steps):
        # Get prompts from API distribution
        batch = sample_prompts(api_prompts)

        # Get pretraining data (for PPO-ptx)
        pretrain_batch = sample_pretrain_data() if ppo_trainer.pretrain_coef > 0 else None

        # PPO update
        metrics = ppo_trainer.train_step(batch, pretrain_batch)
        print(f"PPO Step {step}: {metrics}")

    # 5. Generate responses
    final_model = ppo_model.policy
    prompt = "Write a short story about a space explorer discovering a new planet."
    response = final_model.generate(prompt, max_new_tokens=8)
    print(f"Prompt: {prompt}\nResponse: {response}")

    lines = capsys.readouterr().out
    shown = re.findall(r"^(SFT|RM) .* Loss = (.*)$", lines, re.MULTILINE)
    losses = [float(loss) for _, loss in shown]
    assert losses[0] > losses[1]
    assert losses[2] > losses[4]
    assert {"objective/kl", "ptx/loss", "ppo/loss/value"} <= metrics.keys()
    assert (ppo_trainer.pretrain_coef, ppo_trainer.config.ptx_coef) == (0.5, 0.5)


def test_models_that_are_made_first_are_copied_when_they_are_used(base):
    """The reward model has the SFT model's trunk, the reference is the SFT model, and the value
    function the trained reward model's copy.
    """
    policy = ig.SFTModel(base)
    untrained = weights(policy.model)
    reward = ig.RewardModel(policy)
    ppo = ig.PPOModel(policy, reward)
    config = {"learning_rate": 1e-2, "dropout": 0, "schedule": "constant"}
    ig.SFTTrainer(policy, config).train_step(DEMONSTRATIONS)
    trained = weights(policy.model)
    assert not same(untrained, trained)
    trainer = ig.RewardModelTrainer(reward, {"learning_rate": 1e-2}, total_steps=1)
    assert same(weights(reward.model), trained)
    trainer.train_step(RANKINGS)
    assert not same(weights(reward.model), trained)
    assert same(weights(ppo.reference.model), trained)
    assert same(weights(ppo.critic.model), weights(reward.model))
    assert not any(p.requires_grad for p in reward.model.parameters())


def test_a_reward_model_that_ppo_has_frozen_is_trained_on_by_a_new_trainer_only(base):
    policy = ig.SFTModel(base)
    reward = ig.RewardModel(policy)
    old = ig.RewardModelTrainer(reward, {"learning_rate": 1e-2}, total_steps=9)
    old.train_step(RANKINGS)
    ig.PPOTrainer(ig.PPOModel(policy, reward), SMALL)
    with pytest.raises(ig.UserError, match="is frozen, because a PPOTrainer was made with it"):
        old.train_step(RANKINGS)
    before = weights(reward.model)
    ig.RewardModelTrainer(reward, {"learning_rate": 1e-2}, total_steps=1).train_step(RANKINGS)
    assert not same(before, weights(reward.model))


def loss_of(base, batch, **config) -> float:
    trainer = ig.SFTTrainer(ig.SFTModel(base), {"dropout": 0, **config}, total_steps=1)
    return trainer.train_step(batch)["sft/loss"]


def test_demonstrations_come_as_records_rows_columns_and_tokens(base):
    """What torch's `CrossEntropyLoss` says of the bytes, with -100 at the prompts."""
    rows = DEMONSTRATIONS[:2]
    ids = [[*(r["prompt"] + r["response"]).encode(), 256] for r in rows]
    tokens = torch.tensor(ids)  # both prompts and answers are of one length
    learnt = torch.arange(tokens.shape[1]) >= len(rows[0]["prompt"])
    tokenizer = byte_tokenizer()
    tokens = torch.tensor(
        [[*tokenizer(r["prompt"] + r["response"])["input_ids"], 256] for r in rows]
    )
    labels = torch.where(learnt, tokens, -100)
    logits = tiny_model("gpt2")(tokens).logits[:, :-1]
    expected = torch.nn.CrossEntropyLoss(ignore_index=-100)(
        logits.flatten(0, 1), labels[:, 1:].flatten()
    )
    padded = torch.nn.functional.pad(tokens, (0, 3), value=257)
    batches = [
        rows,
        [Demonstration(**row) for row in rows],
        [{"prompt": r["prompt"], "completion": r["response"]} for r in rows],
        next(iter(DataLoader(rows, batch_size=2))),  # type: ignore[arg-type]
        next(iter(DataLoader([Demonstration(**r) for r in rows], batch_size=2, collate_fn=list))),  # type: ignore[arg-type]
        {"input_ids": tokens, "labels": labels},
        {
            "input_ids": padded,
            "attention_mask": (padded != 257).long(),
            "labels": torch.nn.functional.pad(labels, (0, 3), value=-100),
        },
    ]
    for batch in batches:
        assert loss_of(base, batch) == pytest.approx(expected.item(), rel=1e-5)


def test_rankings_come_as_records_and_rows(base):
    rows = [RANKINGS[0]]
    chosen = {"prompt": "Say hi.", "chosen": "Hi.", "rejected": "no"}
    columns = {key: [value] for key, value in chosen.items()}
    losses = set()
    for batch in (rows, [Ranking(**rows[0])], [chosen], columns):
        reward = ig.RewardModel(ig.SFTModel(base))
        trainer = ig.RewardModelTrainer(reward, {}, total_steps=1)
        gap = reward.score("Say hi.", "Hi.") - reward.score("Say hi.", "no")
        loss, right, pairs = trainer.compute_comparison_loss(batch)
        assert loss.item() == pytest.approx(torch.nn.functional.softplus(torch.tensor(-gap)).item())
        assert (right.item(), pairs.item()) == (float(gap > 0), 1)
        losses.add(trainer.train_step(batch)["reward/loss"])
    assert len(losses) == 1


def test_the_losses_of_ppo_by_themselves(base):
    """Of a policy that has not moved the surrogate is minus the mean advantage; the pretraining
    loss is torch's.
    """
    policy = ig.SFTModel(base)
    config = {**SMALL, "whiten_advantages": False, "num_mini_batches": 1, "ptx_coef": 1.0}
    trainer = ig.PPOTrainer(ig.PPOModel(policy, ig.RewardModel(policy)), config)
    with pytest.raises(ig.UserError, match="no iteration is under way"):
        trainer.compute_ppo_loss()
    loss = trainer.compute_ppo_loss([row["prompt"] for row in DEMONSTRATIONS])
    batch = trainer.experience
    mean = (batch.advantages_BR * batch.is_response_BR).sum() / batch.response_length_B.sum()
    assert loss.item() == pytest.approx(-mean.item(), rel=1e-4)
    assert loss.requires_grad
    assert trainer.compute_ppo_loss().item() == loss.item()
    ids = torch.tensor([byte_tokenizer()("Once upon")["input_ids"]] * 2)
    expected = tiny_model("gpt2")(ids, labels=ids).loss.item()
    for batch in (ids, ids.tolist(), {"input_ids": ids}):
        assert trainer.compute_pretrain_loss(batch).item() == pytest.approx(expected, rel=1e-5)
    ended = torch.tensor([[*ids[0].tolist(), 256]])
    expected = tiny_model("gpt2")(ended, labels=ended).loss.item()
    for batch in (["Once upon"], [{"text": "Once upon"}]):
        assert trainer.compute_pretrain_loss(batch).item() == pytest.approx(expected, rel=1e-5)
    assert trainer.step == 0
    metrics = trainer.update()
    assert metrics["ppo/loss/policy"] == pytest.approx(loss.item(), rel=1e-6)
    assert trainer.train_step([row["prompt"] for row in DEMONSTRATIONS], None)

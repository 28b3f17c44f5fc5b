"""The examples run as they stand, and the seed's usage example runs against our interface."""

import re
import runpy
from pathlib import Path

import instructgpt as ig
from instructgpt.data.records import Demonstration, Ranking
from instructgpt.data.text import TextCodec
from instructgpt.reward.data import encode_rankings
from instructgpt.sft.data import encode
from tests.tiny import byte_tokenizer, tiny_model

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_instructgpt_in_100_lines_learns(capsys):
    runpy.run_path(str(EXAMPLES / "instructgpt_in_100_lines.py"), run_name="__main__")
    lines = capsys.readouterr().out.strip().split("\n")
    liked = [float(re.search(r"([\d.]+) b's", line)[1]) for line in lines]
    assert len(lines) == 6
    assert liked[-1] > 1.5  # about 0.7 before the policy is trained on the reward
    assert len((EXAMPLES / "instructgpt_in_100_lines.py").read_text().split("\n")) <= 140


def test_the_seeds_usage_example(tmp_path):
    """Its lines in its order, except that PPOModel is made after SFT: its reference is the SFT
    model.
    """
    ig.SFTModel(tiny_model("gpt2"), byte_tokenizer()).save(tmp_path / "gpt3-base")
    text = TextCodec(byte_tokenizer())
    common = {"model": "-", "out": "-", "learning_rate": 1e-3}
    sft_config = ig.SFTConfig(**common, data="-", epochs=2)
    rm_config = ig.RewardConfig(**common, data="-")
    ppo_config = ig.PPOConfig(
        **common, reward_model="-", data="-", pretrain_data="-", batch_size=4, num_mini_batches=2,
        total_episodes=8, response_length=8, ptx_ratio=1, ptx_length=8,
    )  # fmt: skip
    demonstration = encode(Demonstration(prompt="Say hi.", response="Hi."), text)
    sft_data_loader = [[demonstration, demonstration]] * 2
    ranking = Ranking(prompt="Say hi.", responses=[{"text": "Hi."}, {"text": "no"}], ranks=[1, 2])
    comparison_batch, _ = encode_rankings([ranking], text, max_length=64, on_long="stop")

    # 1. Initialize models
    base_model = ig.SFTModel(tmp_path / "gpt3-base")

    # 2. Train SFT model
    sft_trainer = ig.SFTTrainer(base_model, sft_config)
    losses = [sft_trainer.train_epoch(sft_data_loader) for epoch in range(2)]
    assert losses[1] < losses[0]

    # 3. Train reward model
    reward_model = ig.RewardModel(base_model)
    rm_trainer = ig.RewardModelTrainer(reward_model, rm_config, total_steps=3)
    rm_losses = [rm_trainer.train_step(comparison_batch)["reward/loss"] for step in range(3)]
    assert rm_losses[-1] < rm_losses[0]

    # 4. Train PPO model
    ppo_model = ig.PPOModel(base_model, reward_model)
    ppo_trainer = ig.PPOTrainer(ppo_model, ppo_config)
    for _step in range(2):
        batch = ["Say hi."] * 4
        pretrain_batch = [text.document("Once upon a time")[:8]] * 4
        metrics = ppo_trainer.train_step(batch, pretrain_batch)
    assert {"objective/kl", "objective/scores", "ptx/loss", "ppo/loss/value"} <= metrics.keys()
    assert ppo_trainer.iteration == 2

    # 5. Generate responses
    final_model = ppo_model.policy
    response = final_model.generate("Write a short story.", max_new_tokens=8)
    assert isinstance(response, str)

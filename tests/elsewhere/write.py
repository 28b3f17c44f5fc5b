"""Write policies and reward models of many architectures, and what they make of texts: tokens,
logits and scores.

    python -m tests.elsewhere.write FOLDER
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerFast

from instructgpt.data.records import Message
from instructgpt.errors import UserError
from instructgpt.models.gpt3 import train_tokenizer
from instructgpt.reward.model import RewardModel
from instructgpt.rollout.policy import SFTModel
from tests.architectures.families import tiny_config, tiny_model
from tests.tiny import byte_tokenizer

FAMILIES = (
    "bloom", "codegen", "cohere", "cohere2", "deepseek_v3", "ernie4_5", "exaone4", "falcon",
    "gemma", "gemma2", "gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox",
    "gpt_oss", "gptj", "granite", "helium", "llama", "mistral", "mixtral", "mpt",
    "nemotron", "olmo2", "olmo3", "opt", "persimmon", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3",
    "qwen3_moe", "smollm3", "stablelm", "starcoder2",
)  # fmt: skip
FORCED = ("qwen2",)
"""Beside which transformers 5 opens every tokenizer as its own kind."""
TEXTS = ("Cats' 3 kittens (1,250 g)\n\n  slept.", "Ünïcode: 你好 — ½ DON'T\tsay 🙂", "a<|pad|>b")
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|endoftext|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MESSAGES = [{"role": "user", "content": "hi there"}, {"role": "assistant", "content": "Hello."}]
THETA = 7.0
"""Times the usual base of rotary positions, so that a default shows."""


def main(folder: Path) -> None:
    """A folder for each family, with `expected.json`."""
    transformers.logging.set_verbosity_error()
    for family in FAMILIES:
        forced = family in FORCED
        tokenizer = byte_tokenizer(chat_template=CHAT) if forced else merging_tokenizer()
        vocabulary = max(tokenizer.get_vocab().values()) + 1
        rope = with_theta(getattr(tiny_config(family), "rope_parameters", None))
        more = {"rope_parameters": rope} if rope else {}
        more |= {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
        more |= {"pad_token_id": tokenizer.pad_token_id}
        model = tiny_model(family, vocab_size=vocabulary, **more)
        policy = SFTModel(model, tokenizer, template="chat")
        policy.save(folder / family / "policy")
        expected: dict[str, Any] = {"policy": read(policy)}
        try:
            reward = RewardModel(policy)
            _ = reward.model  # made when it is used
        except UserError:  # no classifier in transformers
            pass
        else:
            reward.save(folder / family / "reward")
            expected["reward"] = read(reward)
        (folder / family / "expected.json").write_text(json.dumps(expected))


def read(network: SFTModel | RewardModel) -> dict[str, Any]:
    """Ids, and logits of the last token or the score, of each text; the chat's ids."""
    rows = [network.tokenizer(text)["input_ids"][:48] for text in TEXTS]
    with torch.no_grad():
        if isinstance(network, RewardModel):
            numbers = [network.score_tokens([row], [[]]).tolist() for row in rows]
        else:
            numbers = [network.model(torch.tensor([row])).logits[0, -1].tolist() for row in rows]
    if isinstance(network, RewardModel):  # as it is scored, whatever the template adds
        question, answer = (Message(**message) for message in MESSAGES)
        chat = network.text.prompt((question,)) + network.text.response(answer.content)
    else:
        chat = network.tokenizer.apply_chat_template(MESSAGES, return_dict=False)
    return {"texts": TEXTS, "ids": rows, "numbers": numbers, "messages": MESSAGES, "chat": chat}


def merging_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level with merges and control tokens, as `init` makes them."""
    tokenizer = train_tokenizer(TEXTS * 3 + ("the cat the dog",) * 9, 300)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|assistant|>"]})
    tokenizer.chat_template = CHAT
    return tokenizer


def with_theta(rope: Any) -> Any:
    """Rotary parameters with another base."""
    if not isinstance(rope, dict):
        return rope
    changed = {key: with_theta(value) for key, value in rope.items()}
    return changed | {"rope_theta": rope["rope_theta"] * THETA} if "rope_theta" in rope else changed


if __name__ == "__main__":
    main(Path(sys.argv[1]))

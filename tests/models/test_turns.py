"""Where answers end, what is written of it, and how others read what we write."""

import json

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
)

from instructgpt.data.records import Message, Ranking
from instructgpt.errors import UserError
from instructgpt.models.facts import look_at
from instructgpt.models.turns import how_to_read
from instructgpt.ppo.model import PPOModel
from instructgpt.ppo.trainer import PPOTrainer
from instructgpt.reward.data import encode_rankings
from instructgpt.reward.model import RewardModel
from instructgpt.rollout.policy import SFTModel
from tests.ppo.letters import make_config
from tests.templates import ENDS, LONG, SHORT, TEMPLATES, talker
from tests.tiny import bos_tokenizer, byte_tokenizer, tiny_model

LENGTH = 12


def policy_of(tokenizer, arch: str = "llama", *, seed: int = 0, **options) -> SFTModel:
    """A random policy whose configuration and tokenizer agree, before anything is changed."""
    model = tiny_model(arch, vocab_size=len(tokenizer), seed=seed)
    return SFTModel(model, tokenizer, **options)


def greedy(model, prompt: list[int]) -> list[int]:
    """What transformers' `generate` writes, with the configuration of the model."""
    with torch.no_grad():
        ids = model.generate(
            torch.tensor([prompt]), max_new_tokens=LENGTH, do_sample=False, pad_token_id=0
        )
    return ids[0, len(prompt) :].tolist()


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
@pytest.mark.parametrize("where", ["config", "generation_config", "both"])
@pytest.mark.parametrize("listed", [True, False])
def test_answers_end_where_transformers_generate_ends_them(arch, where, listed, tmp_path):
    """Ends that the tokenizer does not know, such as Gemma's and Llama 3's, one or several."""
    tokenizer = byte_tokenizer()
    prompts = ["ab", "Why?", "xyz"]
    free = policy_of(tokenizer, arch)
    free.text.ends = (256,)
    open_ended = free.generate(prompts, max_new_tokens=LENGTH, temperature=0)
    assert all(len(completion.tokens) == LENGTH for completion in open_ended)
    ends = [completion.tokens[4] for completion in open_ended[:2]]
    model = tiny_model(arch)
    eos = [256, *ends] if listed else ends[0]
    if where != "generation_config":
        model.config.eos_token_id = eos
        model.generation_config = GenerationConfig.from_model_config(model.config)
    if where != "config":
        model.generation_config.eos_token_id = eos
    expected = [greedy(model, free.text.prompt(prompt)) for prompt in prompts]
    policy = SFTModel(model, tokenizer)
    found = policy.generate(prompts, max_new_tokens=LENGTH, temperature=0)
    assert [completion.tokens for completion in found] == expected
    assert [completion.finished for completion in found] == [len(e) < LENGTH for e in expected]
    assert found[0].finished
    written = policy.save(tmp_path / "model")
    assert SFTModel(written).text.ends == policy.text.ends
    assert look_at(str(written), "policy").text().ends == policy.text.ends
    theirs = AutoModelForCausalLM.from_pretrained(written)
    assert [greedy(theirs, free.text.prompt(prompt)) for prompt in prompts] == expected
    for name in ("config.json", "generation_config.json"):
        assert json.loads((written / name).read_text())["eos_token_id"] == list(policy.text.ends)


@pytest.mark.parametrize("name", ["chatml", "llama-3", "gemma", "phi-3"])
def test_the_templates_own_end_is_taught_and_others_stop_there_too(name, tmp_path):
    tokenizer = talker(name)
    policy = policy_of(tokenizer)
    end = tokenizer.convert_tokens_to_ids(ENDS[name])
    assert policy.text.ends == (end, 256)
    assert policy.text.response("Hi")[-1] == end
    written = policy.save(tmp_path / "model")
    for file in ("config.json", "generation_config.json"):
        assert json.loads((written / file).read_text())["eos_token_id"] == [end, 256]
    head = policy.model.lm_head
    head.bias = torch.nn.Parameter(torch.zeros(len(tokenizer)))
    head.bias.data[end] = 1e6  # the likeliest token, whatever stands before it
    (completion,) = policy.generate([SHORT], max_new_tokens=LENGTH, temperature=0)
    assert (completion.tokens, completion.text, completion.finished) == ([end], "", True)
    assert greedy(policy.model, policy.text.prompt(SHORT)) == [end]


def test_a_single_end_stays_a_number(tmp_path):
    policy = policy_of(byte_tokenizer())
    written = policy.save(tmp_path / "model")
    assert policy.text.ends == (256,)
    for name in ("config.json", "generation_config.json"):
        assert json.loads((written / name).read_text())["eos_token_id"] == 256


def test_numbers_that_end_nothing_are_passed_over(capsys):
    """Beyond the embedding nothing is ever written; junk is not read."""
    model = tiny_model()
    model.generation_config.eos_token_id = [256, 900, -1]
    assert SFTModel(model, byte_tokenizer()).text.ends == (256,)
    assert capsys.readouterr().err == ""


def test_an_end_that_is_a_letter_is_said_aloud(capsys):
    model = tiny_model()
    model.config.eos_token_id = 2
    assert SFTModel(model, byte_tokenizer()).text.ends == (256, 2)
    assert "answers end at the token 2 ('#') too, which is text" in capsys.readouterr().err


# ------------------------------------------------------------- what ended an answer is remembered


def test_a_ranking_is_read_with_the_token_that_ended_each_answer():
    policy = policy_of(talker("chatml"))
    end = policy.text.framing.end
    ids = policy.text.response("a", finished=False)
    assert policy.text.ended_by([*ids, end]) == "<|im_end|>"
    assert policy.text.ended_by([*ids, 256]) == "<|endoftext|>"
    assert policy.text.ended_by(ids) == ""
    assert policy_of(byte_tokenizer()).text.ended_by([*ids, 256]) == ""  # there is only one
    ended = [{"ended_by": "<|endoftext|>"}, {"ended_by": "<|im_end|>"}, {}, {"finished": False}]
    ended += [{"ended_by": "<another model's>"}]
    answers = [{"text": "a", "sampling": sampling} for sampling in ended]
    ranking = Ranking(prompt="Hi", responses=answers, ranks=(1, 2, 3, 4, 5))
    (comparison,), _ = encode_rankings([ranking], policy.text, max_length=99, on_long="stop")
    assert comparison.responses == [[*ids, 256], [*ids, end], [*ids, end], ids, [*ids, end]]
    with pytest.raises(ValueError, match="ended_by must be text"):
        Ranking(
            prompt="Hi", responses=[{"text": "", "sampling": {"ended_by": 3}}] * 2, ranks=(1, 2)
        )


def test_ppo_reads_and_scores_the_token_that_was_sampled():
    """Half of the vocabulary ends an answer: each is kept as it came, and counts as finished."""
    tokenizer = byte_tokenizer()
    model = tiny_model()
    model.generation_config.eos_token_id = [*range(100), 256]
    policy = SFTModel(model, tokenizer)
    reward = RewardModel(policy_of(tokenizer, seed=1))
    ppo = PPOModel(policy, reward)
    config = make_config(missing_eos_penalty=3.0)
    trainer = PPOTrainer(ppo, config)
    prompts = ["ab", "c", "Why?", "xyz", "q", "r", "s", "t"]
    experience = trainer.collect(prompts)
    lengths = experience.response_length_B.tolist()
    last = [row[length - 1] for row, length in zip(experience.response_BR, lengths, strict=True)]
    finished = [int(token) < 100 or int(token) == 256 for token in last]
    assert experience.finished_B.tolist() == finished
    assert set(finished) == {True, False} or all(finished)
    assert len({int(token) for token in last}) > 2
    rows = [p + r for p, r in zip(experience.prompts, experience.responses, strict=True)]
    with torch.no_grad():
        states = [reward.model(torch.tensor([row])).logits[0, 0] for row in rows]
    penalties = [0.0 if ended else 3.0 for ended in finished]
    expected = torch.tensor(states) - reward.shift - torch.tensor(penalties)
    assert torch.allclose(experience.scores_B, expected, atol=1e-4)


# ------------------------------------------------------------- the template is remembered


@pytest.mark.parametrize("template", ["plain", "Q: {prompt}\nA:"])
def test_the_template_that_was_used_is_the_one_that_auto_means(template, tmp_path, capsys):
    policy = policy_of(talker("chatml"), template=template)
    written = policy.save(tmp_path / "policy")
    judge = RewardModel(policy).save(tmp_path / "judge")
    assert capsys.readouterr().err == ""
    for found in (SFTModel(written), RewardModel(judge), look_at(str(written), "policy")):
        text = found.text() if callable(found.text) else found.text
        assert text.template == template
        assert text.prompt("Hi") == policy.text.prompt("Hi")
    assert capsys.readouterr().err == ""
    other = SFTModel(written, template="chat")
    assert capsys.readouterr().err == (
        f'{written} was trained with the template {json.dumps(template)} and is used with "chat"\n'
    )
    PPOModel(other, RewardModel(other))  # copies of it do not say so again
    assert capsys.readouterr().err == ""
    assert SFTModel(other.save(tmp_path / "other")).text.template == "chat"


def test_a_template_of_training_that_lacks_is_refused(tmp_path):
    policy = policy_of(talker("chatml"))
    with pytest.raises(UserError, match="needs a tokenizer with a chat template"):
        SFTModel(policy.model, byte_tokenizer())


def test_models_with_other_templates_do_not_share_tokens():
    """The same vocabulary, and two chat templates: the reward model reads text."""
    policy = policy_of(talker("chatml"))
    assert PPOModel(policy, RewardModel(policy)).shares_vocabulary
    other = RewardModel(policy_of(talker("gemma")))
    assert not PPOModel(policy, other).shares_vocabulary


# ------------------------------------------------------------- scores, read by others


@pytest.mark.parametrize("make", ["chat_end", "pad_is_end"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_plain_transformers_reads_our_scores_through_the_chat_template(name, make, tmp_path):
    tokenizer = talker(name)
    policy = policy_of(tokenizer)
    if make == "pad_is_end":  # as Llama 3's users set it, and SmolLM2 ships
        tokenizer.pad_token = ENDS.get(name, tokenizer.eos_token)
        policy.model.config.pad_token_id = tokenizer.pad_token_id
    reward = RewardModel(policy)
    reward.shift = 0.75
    written = reward.save(tmp_path / "judge")
    assert tokenizer.chat_template == TEMPLATES[name]  # nothing changed in memory
    model = AutoModelForSequenceClassification.from_pretrained(written)
    theirs = AutoTokenizer.from_pretrained(written)
    for conversation in (SHORT, LONG):
        for answer in ("Yes, it is.", "No"):
            messages = (*conversation, Message(role="assistant", content=answer))
            ids = theirs.apply_chat_template(
                [turn.model_dump() for turn in messages], return_tensors="pt", return_dict=False
            )
            with torch.no_grad():
                raw = model(ids).logits.item()
            ours = RewardModel(written).score([conversation], [answer]).item()
            assert raw - model.config.reward_shift == pytest.approx(ours, abs=1e-5)
            assert ours == pytest.approx(reward.score([conversation], [answer]).item(), abs=1e-5)


THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if loop.last and m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize(
    ("tokenizer", "template"),
    [
        (talker("chatml"), "auto"),
        (talker("llama-3"), "auto"),
        (talker(THINKING), "auto"),  # puts into an answer what no policy is asked for
        (talker("chatml"), "plain"),
        (bos_tokenizer(), "plain"),
        (bos_tokenizer(), 'Q: {prompt}\n"A":'),
    ],
)
def test_the_model_cards_way_of_reading_gives_our_scores(tokenizer, template, tmp_path):
    reward = RewardModel(policy_of(tokenizer, template=template))
    reward.shift = -0.5
    path = reward.save(tmp_path / "judge")
    card = how_to_read(reward.text, reward.shift)
    code = card.split("```python\n")[1].split("```")[0]
    for given in ('"user", "content": "…"', 'prompt, answer = "…"'):
        code = code.replace(given, given.replace("…", "Is it?"))
    code = code.replace("…", "Yes.")
    names = {"path": path}
    exec(code, names)
    assert names["score"] == pytest.approx(reward.score(["Is it?"], ["Yes."]).item(), abs=1e-5)
    assert ("apply_chat_template(messages" in code) == (
        template == "auto" and "think" not in tokenizer.chat_template
    )

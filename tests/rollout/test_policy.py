"""`SFTModel` and its answers."""

import pytest
import torch

from instructgpt.errors import UserError
from instructgpt.models.forward import response_logprobs
from instructgpt.models.rows import pad_rows
from instructgpt.sft import SFTModel
from tests.files import write_policy
from tests.tiny import byte_tokenizer, tiny_model

PROMPTS = ["one?", "a longer question, two?", "3"]


@pytest.fixture
def policy():
    return SFTModel(tiny_model("llama"), byte_tokenizer())


def test_text_in_text_out_and_many_at_once(policy):
    text = policy.generate(PROMPTS[0], max_new_tokens=8, seed=3)
    completions = policy.generate(PROMPTS, max_new_tokens=8, seed=3)
    assert isinstance(text, str)
    assert completions[0].text == text
    for prompt, completion in zip(PROMPTS, completions, strict=True):
        assert 1 <= len(completion.tokens) <= 8
        assert completion.finished == (completion.tokens[-1] == policy.text.eos)
        assert completion.text == policy.text.decode(completion.tokens)
        rows = pad_rows([policy.text.prompt(prompt)], [completion.tokens])
        with torch.no_grad():
            logprobs = response_logprobs(policy.model, rows)[0].tolist()
        assert completion.logprobs == pytest.approx(logprobs, abs=1e-4)


def test_an_answer_depends_on_its_seed_and_not_on_the_slots(policy):
    answers = [policy.generate(PROMPTS, max_new_tokens=8, slots=slots) for slots in (1, 3)]
    assert answers[0][1].tokens == answers[1][1].tokens
    assert policy.generate(PROMPTS, max_new_tokens=8, seed=1)[1].tokens != answers[0][1].tokens


def test_it_is_written_and_opened(policy, tmp_path):
    again = SFTModel(policy.save(tmp_path / "model"))
    assert again.generate(PROMPTS[1], max_new_tokens=8) == policy.generate(
        PROMPTS[1], max_new_tokens=8
    )
    plain = SFTModel(write_policy(tmp_path / "plain", model=policy.model), template="Q: {prompt}")
    assert plain.text.template == "Q: {prompt}"


def test_a_loaded_model_needs_its_tokenizer():
    with pytest.raises(UserError, match="tokenizer"):
        SFTModel(tiny_model())

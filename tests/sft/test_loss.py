"""`completion_loss` against plain loops, Hugging Face's own loss and finite differences."""

import math

import pytest
import torch

from instructgpt.sft.loss import completion_loss
from tests.tiny import tiny_model

RESPONSES = torch.tensor(
    [
        [False, True, True, True, False, False],  # padded on the right
        [False, False, False, True, True, True],  # padded on the left
        [False, True, False, True, True, False],  # two turns
        [False, False, False, False, False, False],  # nothing to learn from
    ]
)


def example(dtype=torch.float64, vocab_size=7):
    """Random logits and tokens, the response flags, and how many tokens they flag."""
    torch.manual_seed(0)
    logits_BTV = torch.randn(*RESPONSES.shape, vocab_size, dtype=dtype)
    return logits_BTV, torch.randint(vocab_size, RESPONSES.shape), RESPONSES, 9


def loss_by_loops(logits_BTV, tokens_BT, is_response_BT):
    """Token by token: the softmax of the row before it, spelt out."""
    total, count = 0.0, 0
    for logits_TV, tokens_T, is_response_T in zip(
        logits_BTV.tolist(), tokens_BT.tolist(), is_response_BT.tolist(), strict=True
    ):
        for t, token in enumerate(tokens_T):
            if is_response_T[t]:
                odds_V = [math.exp(logit) for logit in logits_TV[t - 1]]
                total -= math.log(odds_V[token] / sum(odds_V))
                count += 1
    return total, count


def test_equals_plain_loops():
    logits, tokens, is_response, n = example()
    total, count = completion_loss(logits, tokens, is_response)
    assert (total.item(), count.item()) == pytest.approx(
        loss_by_loops(logits, tokens, is_response), rel=1e-12
    )
    assert count.item() == n


def test_uniform_logits_cost_the_log_of_the_vocabulary_per_token():
    total, count = completion_loss(
        torch.zeros(2, 4, 5), torch.ones(2, 4, dtype=torch.long), RESPONSES[:2, :4]
    )
    assert count.item() == 4
    assert total.item() == pytest.approx(4 * math.log(5))


def test_the_logits_before_a_token_predict_it():
    logits = torch.zeros(1, 3, 4)
    logits[0, 0, 2] = 100.0  # certain of token 2 at position 1
    total, _ = completion_loss(
        logits, torch.tensor([[0, 2, 1]]), torch.tensor([[False, True, False]])
    )
    assert total.item() == 0.0


def test_equals_the_loss_of_hugging_face():
    model = tiny_model("llama")
    _, tokens, is_response, _ = example(vocab_size=258)
    with torch.no_grad():
        output = model(tokens, labels=tokens.masked_fill(~is_response, -100))
    total, count = completion_loss(output.logits, tokens, is_response)
    torch.testing.assert_close(total / count, output.loss)


def test_gradient_by_finite_differences():
    logits, tokens, is_response, _ = example()
    torch.autograd.gradcheck(
        lambda x: completion_loss(x, tokens, is_response)[0], logits.requires_grad_()
    )


def test_sums_over_parts_add_up_to_the_whole():
    logits, tokens, is_response, _ = example()
    total, count = completion_loss(logits, tokens, is_response)
    parts = [
        completion_loss(*(x[i : i + 1] for x in (logits, tokens, is_response))) for i in range(4)
    ]
    torch.testing.assert_close(sum(part for part, _ in parts), total)
    assert sum(n for _, n in parts) == count


@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf])
def test_what_predicts_no_response_token_has_no_influence(junk):
    logits, tokens, is_response, _ = example()
    predicts = is_response.roll(-1, 1)
    junk_logits = torch.where(predicts[..., None], logits, junk)
    junk_tokens = torch.where(is_response, tokens, -100)

    losses, gradients = [], []
    for x, y in ((logits, tokens), (junk_logits, junk_tokens)):
        x.requires_grad_()
        total, _ = completion_loss(x, y, is_response)
        losses.append(total)
        gradients += torch.autograd.grad(total, x)
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(gradients[0], gradients[1])
    assert not gradients[1][~predicts].any()


def test_padding_changes_no_bit():
    logits, tokens, is_response, _ = example(torch.float32)
    wider = [torch.nn.functional.pad(x, (3, 5)) for x in (tokens, is_response)]
    padded, _ = completion_loss(torch.nn.functional.pad(logits, (0, 0, 3, 5)), *wider)
    assert torch.equal(padded, completion_loss(logits, tokens, is_response)[0])


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_summed_in_float32(half):
    logits, tokens, is_response, _ = example(half)
    total, _ = completion_loss(logits, tokens, is_response)
    assert total.dtype == torch.float32
    assert torch.equal(total, completion_loss(logits.float(), tokens, is_response)[0])


def test_a_response_without_a_predictor_is_refused():
    logits, tokens, is_response, _ = example()
    with pytest.raises(ValueError, match="position 0"):
        completion_loss(logits, tokens, is_response | (torch.arange(6) == 0))


def test_no_response_at_all_is_a_sum_of_nothing():
    logits, tokens, is_response, _ = example()
    logits.requires_grad_()
    total, count = completion_loss(logits, tokens, torch.zeros_like(is_response))
    total.backward()
    assert (total.item(), count.item()) == (0.0, 0)
    assert not logits.grad.any()

"""The parts of a network: its trunk, and the linear layer that makes a score."""

from torch import nn
from transformers import PreTrainedModel

from instructgpt.errors import UserError

HEADS = ("score", "classifier")
"""What architectures call the linear layer that makes a score."""


def trunk(model: PreTrainedModel) -> nn.Module:
    """The transformer without its head.

    Raises:
        UserError: the architecture keeps it under a name we do not know.
    """
    named = getattr(model, model.base_model_prefix, None)
    if isinstance(named, nn.Module):
        return named
    for child in model.children():  # Llama 4's text model is not called what its prefix says
        if isinstance(child, PreTrainedModel):
            return child
    raise UserError(
        f"the trunk of {type(model).__name__} was not found; choose another architecture"
    )


def scalar_head(model: PreTrainedModel) -> nn.Linear:
    """The linear layer that turns a hidden state into a score.

    Raises:
        UserError: the architecture keeps its head under a name we do not know.
    """
    for name in HEADS:
        head = getattr(model, name, None)
        if isinstance(head, nn.Linear):
            return head
    raise UserError(
        f"the scalar head of {type(model).__name__} was not found; choose another architecture"
    )


def require_same_trunk(scorer: PreTrainedModel, policy: PreTrainedModel, *, name: str = "") -> None:
    """A classifier must be a policy's trunk with a linear layer on it.

    Args:
        scorer: the classifier of the policy's architecture; both may be without numbers.
        policy: the causal language model.
        name: what it is called, such as its path.

    Raises:
        UserError: it is more than that: BART's has an encoder, BERT's a pooler.
    """
    place = f"{name}: " if name else ""
    known = trunk(policy).state_dict().keys()
    if more := sorted(trunk(scorer).state_dict().keys() - known):
        raise UserError(
            f"{place}{type(scorer).__name__} is more than the policy's trunk with a linear layer "
            f"(it has {more[0]}); choose another architecture"
        )
    scalar_head(scorer)

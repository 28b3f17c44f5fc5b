"""What a PPO iteration holds at most, counted in tensors against a budget made by hand."""

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from instructgpt.ppo.model import PPOModel
from instructgpt.ppo.trainer import PPOTrainer
from instructgpt.reward.model import RewardModel
from instructgpt.training.optimizer import AddedGradient
from tests.ppo.letters import PROMPTS, letter_policy, make_config

WINDOWS = [[1, 2, 3, 4], [5, 6, 7, 1]]


class Live(TorchDispatchMode):
    """Follows the storages that operations make; `peak` is the most bytes alive at once."""

    def __init__(self, given):
        super().__init__()
        self.alive, self.held, self.peak = {}, 0, 0
        self._follow(given)

    def _follow(self, tensors):
        for tensor in tensors:
            storage = tensor.untyped_storage()
            reference = StorageWeakRef(storage)
            old = self.alive.get(reference.cdata)
            if old is None or old[0].expired():
                self.alive[reference.cdata] = (reference, storage.nbytes())
                self.held += storage.nbytes()
        if self.held > self.peak:  # perhaps, unless some have gone
            self.alive = {key: kept for key, kept in self.alive.items() if not kept[0].expired()}
            self.held = sum(size for _, size in self.alive.values())
            self.peak = max(self.peak, self.held)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self._follow(leaf for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor))
        return made


def size(module):
    return sum(p.numel() * p.element_size() for p in module.parameters())


def test_an_iteration_holds_no_more_than_its_networks_need():
    """Six of the policy's size (weights, reference, average, gradient, two moments), five of the
    critic's (weights, reward model, gradient, two moments), and little beside: a second gradient
    of the policy, for `ptx/grad_ratio` or else, would be seen.
    """
    policy = letter_policy(width=256, layers=4)
    ppo = PPOModel(policy, RewardModel(policy, depth=0.25))
    config = make_config(ptx_coef=1.0, ptx_ratio=1, pretrain_data="text", grad_ratio_every=1)
    trainer = PPOTrainer(ppo, config)
    given = [*trainer.state.to_tensors().values()]
    given += [*ppo.reference.model.parameters(), *ppo.reward_model.model.parameters()]
    with Live(given) as live:
        for _ in range(2):
            metrics = trainer.train_step([*PROMPTS], WINDOWS * 4)
    assert "ptx/grad_ratio" in metrics
    networks = 6 * size(policy.model) + 5 * size(ppo.critic.model)
    assert live.peak > networks - size(ppo.critic.model)
    assert live.peak < networks + 0.5 * size(policy.model)


def test_the_norm_of_what_a_pass_adds():
    """As it comes, or with a copy where there are several: each adds (4, 2) and 2, by hand."""
    for passes in (1, 2):
        module = torch.nn.Linear(2, 1)
        module.weight.grad, module.bias.grad = torch.tensor([[9.0, 9.0]]), torch.tensor([9.0])
        added = AddedGradient(module, passes=passes)
        for _ in range(passes):
            (module(torch.tensor([2.0, 1.0])) * 2).sum().backward()
        assert added.norm() == pytest.approx(passes * 24**0.5)
        assert module.weight.grad.tolist() == [[9.0 + 4 * passes, 9.0 + 2 * passes]]


def test_the_norm_of_what_a_sharded_pass_adds():
    """FSDP adds to a shard's gradient by itself: no hook of the shard's is called."""
    module = torch.nn.Linear(2, 1)
    module.unshard = lambda: None  # what FSDP gives a module
    module.weight.grad, module.bias.grad = torch.tensor([[9.0, 9.0]]), torch.tensor([9.0])
    added = AddedGradient(module, passes=1)
    module.weight.grad += torch.tensor([[3.0, 0.0]])
    module.bias.grad += torch.tensor([4.0])
    assert added.norm() == pytest.approx(5)

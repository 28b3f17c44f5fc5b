"""A policy answers requests: log-probabilities of choices, or a greedy text up to a newline."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

import torch

from instructgpt.distributed.world import world
from instructgpt.errors import UserError
from instructgpt.evaluation.tasks.task import Output, Request
from instructgpt.models.budget import pass_tokens
from instructgpt.models.fit import context_length
from instructgpt.models.forward import (
    autocast,
    evaluating,
    head_is_plain,
    in_groups,
    response_logprobs,
)
from instructgpt.models.rows import budget_groups
from instructgpt.models.tree import reads_trees, tree_logprobs, tree_tokens
from instructgpt.rollout.sampling import Sampling

if TYPE_CHECKING:
    from instructgpt.rollout.policy import SFTModel


KEPT_TOKENS = 2**15
"""Of the texts that grow at a time: 1.5 GB of keys and values in a model of 135 M parameters."""


class Branches(NamedTuple):
    """Choices that go on from the same tokens.

    Attributes:
        prompt: those tokens; never none.
        choices: the tokens of each.
        places: which of the request's choices they are.
    """

    prompt: list[int]
    choices: list[list[int]]
    places: list[int]


class Asker:
    """Asks one policy.

    Results do not depend on how requests are batched, but for rounding: log-probabilities agree to
    1e-4, choices and texts are the same.

    Args:
        policy: a causal language model with its tokenizer and template. With the template `plain`
            it reads the request's text as it is, as GPT-3 and all the paper's models did.
        dtype: precision of the forward pass.
        micro_batch_tokens: padded tokens per forward pass over choices (0: what suits the device).
        slots: texts that grow at a time.
    """

    def __init__(
        self,
        policy: "SFTModel",
        *,
        dtype: str = "float32",
        micro_batch_tokens: int = 0,
        slots: int = 64,
    ) -> None:
        self.policy, self.dtype, self.slots = policy, dtype, slots
        self.budget = pass_tokens(micro_batch_tokens, policy.model)
        self.context = context_length(policy.model.config)

    def ask(self, requests: Sequence[Request], *, max_tokens: int = 64) -> list[Output]:
        """Outputs in the order of the requests; shared out among the processes.

        Raises:
            UserError: a choice has no token, or alone is longer than the model's context; or the
                model gives numbers that are not finite.
        """

        def share(mine: Sequence[int]) -> list[Output]:
            found: dict[int, Output] = {}
            choosing = [i for i in mine if requests[i].choices]
            writing = [i for i in mine if not requests[i].choices]
            found |= zip(choosing, self._chosen([requests[i] for i in choosing]), strict=True)
            texts = [requests[i].text for i in writing]
            found |= zip(writing, self._written(texts, max_tokens), strict=True)
            return [found[i] for i in mine]

        return world().map_shares(range(len(requests)), share)

    # ---------------------------------------------------------------- choices

    def _chosen(self, requests: Sequence[Request]) -> list[Output]:
        parted = [self._branches(request) for request in requests]
        fitted = [[self._fitted(own) for own in branches] for branches in parted]
        read = self._logprobs([own for branches in fitted for own in branches])
        outputs = []
        for request, before, branches in zip(requests, parted, fitted, strict=True):
            logprobs = [0.0] * len(request.choices)
            tokens = [0] * len(request.choices)
            for own in branches:
                for place, ids in zip(own.places, own.choices, strict=True):
                    logprobs[place], tokens[place] = next(read), len(ids)
            if not all(map(math.isfinite, logprobs)):
                raise UserError(
                    f"the policy's log-probabilities are not finite ({self.dtype}); measure with "
                    "dtype float32, or give an earlier checkpoint"
                )
            output = Output(
                logprobs=tuple(logprobs), tokens=tuple(tokens), cut_prompt=branches != before
            )
            chosen = request.choices[output.choice].strip()
            outputs.append(Output(chosen, "", output.logprobs, output.tokens, output.cut_prompt))
        return outputs

    def _branches(self, request: Request) -> list[Branches]:
        """A choice's tokens are those that it adds to the text's, or changes: a tokenizer may
        merge the last of the text with the first of a choice.
        """
        text = self.policy.text
        before = self._read(request.text)
        branches: dict[int, Branches] = {}
        for place, choice in enumerate(request.choices):
            if text.template == "plain":
                after = text.prompt(request.text + choice)
                after = after if request.text or text.begin else [text.eos, *after]
                pairs = zip(before, after, strict=False)
                common = len([*takewhile(lambda pair: pair[0] == pair[1], pairs)])
            else:
                after = [*before, *text.response(choice.lstrip(), finished=False)]
                common = len(before)
            if len(after) == common:
                raise UserError(f"the choice {choice!r} has no token; give it some text")
            own = branches.setdefault(common, Branches(after[:common] or [text.eos], [], []))
            own.choices.append(after[common:])
            own.places.append(place)
        return list(branches.values())

    def _read(self, text: str) -> list[int]:
        """A text's tokens; of no text, those that stand before any: where the tokenizer begins a
        text with no token, the one that ends the text before.
        """
        codec = self.policy.text
        if text or codec.template != "plain":
            return codec.prompt(text or " ")
        return codec.begin or [codec.eos]

    def _fitted(self, own: Branches) -> Branches:
        """Without the beginning of a prompt that leaves its choices no room."""
        prompt = self._fitting(own.prompt, max(map(len, own.choices)))
        return Branches(prompt, own.choices, own.places)

    def _fitting(self, prompt: list[int], behind: int) -> list[int]:
        if self.context is None or len(prompt) + behind <= self.context:
            return prompt
        if behind >= self.context:
            raise UserError(
                f"a choice has {behind} tokens, and the model reads {self.context}; give a model "
                "with a longer context, or leave the task out"
            )
        begin = self.policy.text.begin
        return [*begin, *prompt[len(prompt) - (self.context - behind - len(begin)) :]]

    @torch.no_grad()
    def _logprobs(self, branches: Sequence[Branches]) -> Iterator[float]:
        """log p of each choice, in the order of the branches."""
        if not branches:
            return iter(())
        with evaluating(self.policy.model):
            return iter(self._in_order(branches))

    def _in_order(self, branches: Sequence[Branches]) -> list[float]:
        model = self.policy.model
        if not self._in_trees:
            prompts = [own.prompt for own in branches for _ in own.choices]
            choices = [ids for own in branches for ids in own.choices]
            found = in_groups(
                lambda rows: response_logprobs(model, rows).sum(1),
                prompts,
                choices,
                device=self.policy.device,
                dtype=self.dtype,
                budget=self.budget,
            )
            return found.tolist()
        sizes = [tree_tokens(own.prompt, own.choices) for own in branches]
        values: dict[int, list[float]] = {}
        for group in budget_groups(sizes, self.budget):
            own = [branches[i] for i in group]
            with autocast(self.dtype, self.policy.device):
                logprobs = tree_logprobs(model, [b.prompt for b in own], [b.choices for b in own])
            parts = logprobs.cpu().split([len(b.choices) for b in own])
            values |= {i: part.tolist() for i, part in zip(group, parts, strict=True)}
        return [value for i in range(len(branches)) for value in values[i]]

    @cached_property
    def _in_trees(self) -> bool:
        """Whether the choices of a request share the forward pass over its text."""
        return reads_trees(self.policy.model) and head_is_plain(self.policy.model)

    # ---------------------------------------------------------------- texts

    def _written(self, texts: Sequence[str], max_tokens: int) -> list[Output]:
        if not texts:
            return []
        text = self.policy.text
        lead = text.response("", finished=False) if "\n" in text.framing.lead else []
        whole = [[*self._read(one), *lead] for one in texts]
        room = min(max_tokens, (self.context or max_tokens + 1) - 1)
        prompts = [self._fitting(ids, room) for ids in whole]
        ends = tuple(dict.fromkeys((*text.ends, *self._newlines)))
        samples = self.policy.sample(
            prompts,
            [0] * len(prompts),
            Sampling(room, 0.0, 1.0, 0, ends),
            slots=self._slots(prompts, room),
            dtype=self.dtype,
        )
        outputs = []
        for sample, prompt, own in zip(samples, prompts, whole, strict=True):
            written = text.decode(sample.tokens).split("\n", 1)[0].strip()
            by_newline = sample.tokens[-1] in self._newlines
            ended = "newline" if by_newline else "end" if sample.finished else "cut"
            outputs.append(Output(written, ended, cut_prompt=prompt != own))
        return outputs

    def _slots(self, prompts: Sequence[Sequence[int]], room: int) -> int:
        """As many as configured, or fewer where texts are long: their keys and values are kept."""
        return max(1, min(self.slots, KEPT_TOKENS // (max(map(len, prompts)) + room)))

    @cached_property
    def _newlines(self) -> dict[int, None]:
        """Every token whose text has a newline in it: at none of them a text goes on."""
        tokenizer = self.policy.tokenizer
        texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
        return {i: None for i, text in enumerate(texts) if "\n" in text}

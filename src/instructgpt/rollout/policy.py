"""`SFTModel`: a causal language model with its tokenizer, able to answer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import overload

import torch
from transformers import PreTrainedModel

from instructgpt.data.brought import as_prompts, is_one_prompt
from instructgpt.data.records import PromptText
from instructgpt.models.forward import autocast
from instructgpt.models.load import load_policy
from instructgpt.models.network import Network
from instructgpt.rollout.engine import RolloutEngine
from instructgpt.rollout.episode import Completion, Sample
from instructgpt.rollout.sampling import Sampling
from instructgpt.run.progress import show_part
from instructgpt.run.seeds import derive


class SFTModel(Network):
    """A policy: any causal language model that transformers opens, as a `Network` is opened."""

    _role = "the policy"

    def _open(self, path: str | Path, device: str) -> PreTrainedModel:
        self._role = str(path)
        return load_policy(path, device=device)

    @overload
    def generate(
        self,
        prompts: PromptText,
        *,
        max_new_tokens: int = ...,
        temperature: float = ...,
        top_p: float = ...,
        top_k: int = ...,
        seed: int = ...,
        slots: int = ...,
        dtype: str = ...,
    ) -> str: ...
    @overload
    def generate(
        self,
        prompts: Sequence[PromptText],
        *,
        max_new_tokens: int = ...,
        temperature: float = ...,
        top_p: float = ...,
        top_k: int = ...,
        seed: int = ...,
        places: Sequence[int] | None = ...,
        slots: int = ...,
        dtype: str = ...,
    ) -> list[Completion]: ...

    def generate(
        self,
        prompts: PromptText | Sequence[PromptText],
        *,
        max_new_tokens: int = 256,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        places: Sequence[int] | None = None,
        slots: int = 32,
        dtype: str = "float32",
    ) -> str | list[Completion]:
        """Answer one prompt (text in, text out) or several (completions out).

        Args:
            prompts: a prompt (a string, or a conversation: `Message`s, or dictionaries with role
                and content), or a list of prompts.
            max_new_tokens: the cut.
            temperature: 1 is the policy itself, 0 the likeliest token (the seed sketch used 0.7).
            top_p: keep the likeliest tokens up to this mass.
            top_k: keep so many likeliest tokens (0: all).
            seed: an answer depends on this and on its place in the list, not on its neighbours.
            places: the prompts' places in a longer list, of which these are a part.
            slots: how many answers grow at a time.
            dtype: precision of the forward pass.
        """
        sampling = Sampling(max_new_tokens, temperature, top_p, top_k, self.text.ends)
        is_one = is_one_prompt(prompts)
        listed = as_prompts([prompts] if is_one else prompts)
        tokens = [self.text.prompt(prompt) for prompt in listed]
        seeds = [derive(seed, "generate", place) for place in places or range(len(tokens))]
        completions = [
            self.completion(sample)
            for sample in self.sample(tokens, seeds, sampling, slots=slots, dtype=dtype)
        ]
        return completions[0].text if is_one else completions

    def sample(
        self,
        prompts: Sequence[list[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        *,
        slots: int = 32,
        dtype: str = "float32",
        check: Callable[[], None] | None = None,
    ) -> list[Sample]:
        """Answers in tokens, each from its own seed; `check` is called before every forward and may
        raise.
        """
        with torch.no_grad(), autocast(dtype, self.device):
            engine = RolloutEngine(self.model, slots=slots)
            return engine.generate(
                prompts,
                seeds,
                sampling,
                on_progress=lambda ended: show_part(ended, len(prompts)),
                check=check,
            )

    def sampled_by(self, dtype: str = "float32") -> str:
        """How answers are drawn here: `RolloutEngine.way`."""
        with autocast(dtype, self.device):
            return RolloutEngine(self.model).way

    def completion(self, sample: Sample) -> Completion:
        """A sample with its text."""
        return Completion(
            self.text.decode(sample.tokens), sample.tokens, sample.logprobs, sample.finished
        )

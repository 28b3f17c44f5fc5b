"""Are our log-likelihoods and greedy texts those of lm-evaluation-harness on the same requests?

`HFLM` and `Asker` read the same weights in float32 and get the same texts: 50 HellaSwag and 50
SST-2 questions with their choices, 100 HellaSwag situations to go on with, and as a case of its own
20 Winogender pairs after an empty text. Prints JSON; fails when a difference is over 1e-3.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from instructgpt.evaluation.benchmark.ask import Asker
from instructgpt.evaluation.benchmark.choose import choose
from instructgpt.evaluation.tasks import task_of
from instructgpt.evaluation.tasks.task import Output, Request
from instructgpt.rollout.policy import SFTModel

TOLERANCE = 1e-3
"""Nats, between the sums of a choice's log-probabilities."""


def requests_of(task: str, data_dir: str, count: int) -> list[Request]:
    """The first requests of a task, without examples and under its first prompt."""
    found = choose(task_of(task), data_dir, limit=count)
    if found.reason or len(found.items) < count:
        sys.exit(f"{task}: {found.reason or f'has {len(found.items)} items, not {count}'}")
    first = task_of(task).prompts[0]
    return [request for _, request in found.requests if request.prompt == first]


def instances(kind: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Requests as the harness has them."""
    from lm_eval.api.instance import Instance  # type: ignore[import-not-found]

    return [Instance(kind, {}, own, place) for place, own in enumerate(arguments)]


def log_likelihoods(theirs: Any, requests: Sequence[Request]) -> list[list[float]]:
    """What the harness gives each choice of each request."""
    asked = [(request.text, choice) for request in requests for choice in request.choices]
    found = iter(theirs.loglikelihood(instances("loglikelihood", asked), disable_tqdm=True))
    return [[next(found)[0] for _ in request.choices] for request in requests]


def greedy_texts(theirs: Any, requests: Sequence[Request], count: int) -> list[str]:
    """What the harness writes up to a newline."""
    settings = {"until": ["\n"], "max_gen_toks": count, "do_sample": False}
    asked = instances("generate_until", [(request.text, settings) for request in requests])
    return [text.strip() for text in theirs.generate_until(asked, disable_tqdm=True)]


def compared(outputs: Sequence[Output], theirs: Sequence[Sequence[float]]) -> dict[str, Any]:
    """How far two sets of log-likelihoods are apart, and whether the same choices follow."""
    gaps = [
        abs(one - other)
        for output, found in zip(outputs, theirs, strict=True)
        for one, other in zip(output.logprobs, found, strict=True)
    ]
    alike = 0
    for output, found in zip(outputs, theirs, strict=True):
        means = [total / count for total, count in zip(found, output.tokens, strict=True)]
        alike += output.choice == means.index(max(means))
    return {
        "requests": len(outputs),
        "choices": len(gaps),
        "largest_difference": max(gaps),
        "mean_difference": sum(gaps) / len(gaps),
        "same_choice": alike,
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Ask both for everything."""
    from lm_eval.models.huggingface import HFLM  # type: ignore[import-not-found]

    policy = SFTModel(arguments.model, template="plain")
    ours = Asker(policy)

    def harness(**options: Any) -> Any:
        size = arguments.batch_size
        return HFLM(policy.model, tokenizer=policy.tokenizer, batch_size=size, **options)

    choosing = [
        *requests_of("hellaswag", arguments.data_dir, 50),
        *requests_of("sst2", arguments.data_dir, 50),
    ]
    writing = [Request("", r.text) for r in requests_of("hellaswag", arguments.data_dir, 100)]
    empty = requests_of("winogender", arguments.data_dir, 20)
    after_eos = harness(prefix_token_id=policy.text.eos)
    by_us = ours.ask(writing, max_tokens=arguments.max_tokens)
    by_them = greedy_texts(harness(), writing, arguments.max_tokens)
    pairs = ours.ask(empty)
    return {
        "log_likelihood": compared(ours.ask(choosing), log_likelihoods(harness(), choosing)),
        "greedy": {
            "requests": len(writing),
            "max_tokens": arguments.max_tokens,
            "same_text": sum(
                output.text == text for output, text in zip(by_us, by_them, strict=True)
            ),
            "not_empty": sum(bool(text) for text in by_them),
        },
        "empty_text": {
            "before_it": {
                "ours": policy.tokenizer.convert_ids_to_tokens(policy.text.eos),
                "harness": policy.tokenizer.convert_ids_to_tokens(harness().prefix_token_id),
            },
            "with_our_token": compared(pairs, log_likelihoods(after_eos, empty)),
            "with_the_harness's": compared(pairs, log_likelihoods(harness(), empty)),
        },
    }


def passes(found: dict[str, Any]) -> bool:
    """Whether everything agrees that is asked alike."""
    alike = (found["log_likelihood"], found["empty_text"]["with_our_token"])
    return (
        all(one["largest_difference"] <= TOLERANCE for one in alike)
        and all(one["same_choice"] == one["requests"] for one in alike)
        and found["greedy"]["same_text"] == found["greedy"]["requests"]
    )


def main() -> None:
    """Compare, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--model", required=True, help="a model directory")
    parser.add_argument("--data_dir", required=True, help="the folder that has the benchmarks")
    parser.add_argument("--max_tokens", type=int, default=24, help="of a greedy text")
    parser.add_argument("--batch_size", type=int, default=8, help="of the harness")
    parser.add_argument("--out", type=Path, help="a file for the result")
    arguments = parser.parse_args()
    began = time.perf_counter()
    with torch.no_grad():
        found = measure(arguments)
    packages = ("lm_eval", "transformers", "torch")
    result = {
        "date": date.today().isoformat(),
        "model": Path(arguments.model).name,
        "versions": {name: version(name) for name in packages},
        "tolerance": TOLERANCE,
        "passes": passes(found),
        **found,
        "seconds": round(time.perf_counter() - began),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    sys.exit(0 if result["passes"] else 1)


if __name__ == "__main__":
    main()

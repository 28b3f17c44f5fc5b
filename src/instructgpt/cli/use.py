"""The commands that use what was trained: generate, chat, score, report."""

import json as jsonlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from instructgpt.data.records import Demonstration, Message, Prompt
from instructgpt.errors import UserError
from instructgpt.models.missing import require_found
from instructgpt.pipeline.config import SampleConfig
from instructgpt.run.config import resolve
from instructgpt.run.progress import say_skipped

if TYPE_CHECKING:
    from instructgpt.models.facts import ModelFacts

Model = Annotated[str, Parameter(help="a model directory or a Hub id")]
Template = Annotated[
    str, Parameter(help="how a prompt becomes text: auto, chat, plain, or a pattern with {prompt}")
]
Device = Annotated[str, Parameter(help="cpu, cuda, cuda:N, or auto")]
Json = Annotated[bool, Parameter(negative="", help="print the result as JSON")]
MaxNewTokens = Annotated[
    int, Parameter(name=["--max_new_tokens", "--max-new-tokens"], help="longest answer in tokens")
]
Temperature = Annotated[
    float, Parameter(help="1 is the policy itself, 0 takes the likeliest token")
]
TopP = Annotated[
    float, Parameter(name=["--top_p", "--top-p"], help="keep the likeliest tokens up to this mass")
]
TopK = Annotated[
    int, Parameter(name=["--top_k", "--top-k"], help="keep so many likeliest tokens (0: all)")
]
Seed = Annotated[int, Parameter(help="decides the samples")]
OnError = Annotated[
    Literal["stop", "skip"],
    Parameter(
        name=["--on_error", "--on-error"],
        help="what a bad or over-long record does: stop, or skip it and say so",
    ),
]


def generate(
    *,
    model: Model,
    prompt: Annotated[
        list[str] | None, Parameter(negative="", help="a prompt; may be repeated")
    ] = None,
    data: Annotated[str | None, Parameter(help="a file of prompts instead")] = None,
    on_error: OnError = "stop",
    max_new_tokens: MaxNewTokens = 256,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    top_k: TopK = 0,
    seed: Seed = 0,
    template: Template = "auto",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Answer prompts with a policy."""
    _check_sampling(max_new_tokens, temperature, top_p, top_k, seed)
    require_found(model)  # before what takes seconds to import
    from instructgpt.data.outlook import Outlook
    from instructgpt.data.prompts import Room, fitting
    from instructgpt.models.load import pick_device
    from instructgpt.run.tuning import choose
    from instructgpt.sft.model import SFTModel

    if not prompt and not data:
        raise UserError("generate needs a prompt: give --prompt TEXT or --data FILE")
    if not all(text.strip() for text in prompt or []):
        raise UserError("--prompt: the prompt is empty; give some text")
    outlook = Outlook()
    facts = outlook.model("model", model, "policy")
    room = Room("model", facts.text(template), facts.context, "max_new_tokens", max_new_tokens)
    records = [Prompt(prompt=text).at(f"--prompt {text[:20]!r}") for text in prompt or []]
    records += outlook.records("data", [data], Prompt, on_error=on_error) if data else []
    prompts = [record.prompt for record in fitting("generate", records, [room], on_error)]
    choose(0, None, "", device=device)
    policy = SFTModel(model, facts.tokenizer, template=template, device=pick_device(device))
    settings = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "seed": seed}
    completions = policy.generate(prompts, max_new_tokens=max_new_tokens, **settings)
    if json:
        print_json([asdict(completion) for completion in completions])
        return
    for number, completion in enumerate(completions):
        print(completion.text if number == 0 else f"\n---\n{completion.text}")


def chat(
    *,
    model: Model,
    max_new_tokens: MaxNewTokens = 256,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    top_k: TopK = 0,
    seed: Seed = 0,
    template: Template = "auto",
    device: Device = "auto",
) -> None:
    """Talk with a policy: one line a turn; an empty line or Ctrl-D ends."""
    _check_sampling(max_new_tokens, temperature, top_p, top_k, seed)
    require_found(model)  # before what takes seconds to import
    from instructgpt.models.load import pick_device
    from instructgpt.run.tuning import choose
    from instructgpt.sft.model import SFTModel

    choose(0, None, "", device=device)
    policy = SFTModel(model, template=template, device=pick_device(device))
    settings = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
    }
    turns: list[Message] = []
    while line := _read_line():
        turns.append(Message(role="user", content=line))
        try:
            recent = _recent(policy, turns, max_new_tokens)
            answer = policy.generate([recent], seed=seed + len(turns), **settings)[0].text
        except UserError as error:  # a line too long for the model does not end the conversation
            print(f"instructgpt: {error}", file=sys.stderr, flush=True)
            turns.pop()
            continue
        turns.append(Message(role="assistant", content=answer))
        print(answer, flush=True)


def score(
    *,
    model: Model,
    prompt: Annotated[str | None, Parameter(help="the prompt")] = None,
    response: Annotated[
        list[str] | None, Parameter(negative="", help="an answer to it; may be repeated")
    ] = None,
    data: Annotated[
        str | None, Parameter(help="a file of demonstrations (prompt, response) instead")
    ] = None,
    on_error: OnError = "stop",
    template: Template = "auto",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score answers with a reward model; the labelers' demonstrations score 0 on average."""
    require_found(model)  # before what takes seconds to import
    from instructgpt.data.outlook import Outlook
    from instructgpt.models.load import pick_device
    from instructgpt.reward.model import RewardModel
    from instructgpt.run.tuning import choose

    given = [(prompt, text) for text in response or []] if prompt else []
    records = [Demonstration(prompt=p, response=text) for p, text in given]
    outlook = Outlook()
    records += outlook.records("data", [data], Demonstration, on_error=on_error) if data else []
    if not records:
        raise UserError("score needs --prompt TEXT and --response TEXT, or --data FILE")
    facts = outlook.model("model", model, "scorer")
    records = _readable(records, facts, template, on_error)
    pairs: list[tuple[Any, str]] = [(record.prompt, record.response) for record in records]
    choose(0, None, "", device=device)
    reward = RewardModel(model, facts.tokenizer, template=template, device=pick_device(device))
    scores = reward.score([p for p, _ in pairs], [text for _, text in pairs]).tolist()
    if json:
        print_json(
            [
                {"score": value, "response": text}
                for value, (_, text) in zip(scores, pairs, strict=True)
            ]
        )
        return
    for value in scores:
        print(f"{value:.4f}")


def _readable(
    records: list[Demonstration], facts: "ModelFacts", template: str, on_error: str
) -> list[Demonstration]:
    """The answers that the model can read with their prompts; says which it cannot."""
    text, kept, skipped = facts.text(template), [], []
    for number, record in enumerate(records, 1):
        complaint, remedy = "", "; shorten them"
        try:
            length = len(text.prompt(record.prompt)) + len(text.response(record.response))
            if facts.context is not None and length > facts.context:
                complaint = f"prompt and answer have {length} tokens, more than the "
                complaint += f"{facts.context} that the model reads"
        except UserError as error:
            complaint, remedy = str(error), ""
        if not complaint:
            kept.append(record)
            continue
        sentence = f"{record.place or f'answer {number}'}: {complaint}"
        if on_error == "stop":
            raise UserError(f"{sentence}{remedy}, or pass --on_error skip")
        skipped.append(sentence)
    say_skipped(skipped)
    if not kept:
        raise UserError("score: no answer is left; give shorter ones")
    return kept


def report(
    *runs: Annotated[Path, Parameter(help="a run or a pipeline; several runs are compared")],
    out: Annotated[
        Path | None, Parameter(help="where to write (default: report.html in the run)")
    ] = None,
) -> None:
    """Write report.html for a run or a pipeline, or compare runs."""
    from instructgpt.report import compare_report, write_report

    if not runs:
        raise UserError("report needs a run: give its directory")
    for run in runs:
        if not run.is_dir():
            raise UserError(f"{run}: no run there; give the directory of a run or a pipeline")
    if len(runs) == 1:
        print(write_report(runs[0], out))
    else:
        print(compare_report(list(runs), out or Path("comparison.html")))


def _check_sampling(
    max_new_tokens: int, temperature: float, top_p: float, top_k: int, seed: int
) -> None:
    """Refuse what cannot be sampled with before a model is opened, as `sample` does."""
    values = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p}
    values |= {"top_k": top_k, "seed": seed}
    resolve(SampleConfig, flags={"model": "-", "data": "-", "out": "-", **values})


def print_json(value: Any) -> None:
    """A result for scripts, on standard output."""
    jsonlib.dump(value, sys.stdout, ensure_ascii=False, indent=1)
    print()


def _recent(policy: Any, turns: list[Message], max_new_tokens: int) -> tuple[Message, ...]:
    """The latest turns that leave room for an answer; the oldest are forgotten."""
    from instructgpt.models.fit import size_of

    context, recent = size_of(policy.model).context, tuple(turns)
    while context and len(recent) > 1:
        if len(policy.text.prompt(recent)) + max_new_tokens <= context:
            break
        recent = recent[2:]
    return recent


def _read_line() -> str:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""

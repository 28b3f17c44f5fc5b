"""The commands that use what was trained: generate, chat, score, report."""

import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from instructgpt.cli.groups import HARDWARE, NEEDED, READS, RUN
from instructgpt.cli.opening import Model, OpeningFlags, SamplingFlags
from instructgpt.cli.words import is_text
from instructgpt.data.records import Demonstration, Prompt
from instructgpt.errors import UserError, harmless
from instructgpt.run.presets import nearest
from instructgpt.run.progress import say_skipped, show

if TYPE_CHECKING:
    from instructgpt.models.facts import ModelFacts

Json = Annotated[
    bool, Parameter(negative="", group=RUN, show_default=False, help="print the result as JSON")
]
OnError = Annotated[
    Literal["stop", "skip"],
    Parameter(
        name="--on_error",
        group=READS,
        help="what a bad or over-long record does: stop, or skip it and say so",
    ),
]
Texts = Parameter(negative="", metavar="TEXT", group=READS)


def generate(
    model: Model,
    *texts: Annotated[str, Parameter(allow_leading_hyphen=True, help="prompts")],
    prompt: Annotated[
        list[str] | None, Texts, Parameter(help="a prompt, also so; may be repeated")
    ] = None,
    data: Annotated[
        str | None, Parameter(metavar="FILE", group=READS, help="a file of prompts instead")
    ] = None,
    on_error: OnError = "stop",
    sampling: SamplingFlags | None = None,
    json: Json = False,
) -> None:
    """Answer prompts with a policy."""
    sampling = sampling or SamplingFlags()
    sampling.check(model)
    from instructgpt.models.outlook import Outlook
    from instructgpt.models.prompts import Room, fitting
    from instructgpt.rollout.policy import SFTModel

    prompt = [*_prompts(texts), *(prompt or [])]
    if not prompt and not data:
        raise UserError("generate needs a prompt: give --prompt TEXT or --data FILE")
    if not all(text.strip() for text in prompt):
        raise UserError("--prompt: the prompt is empty; give some text")
    outlook = Outlook()
    facts = outlook.model("model", model, "policy")
    text, length = facts.text(sampling.template), sampling.length(facts.context)
    room = Room("model", text, facts.context, length)
    records = [Prompt(prompt=text).at(f"--prompt {text[:20]!r}") for text in prompt]
    records += outlook.records("data", [data], Prompt, on_error=on_error) if data else []
    prompts = [record.prompt for record in fitting("generate", records, [room], on_error)]
    device = sampling.place()
    policy = SFTModel(model, facts.tokenizer, template=sampling.template, device=device)
    completions = policy.generate(
        prompts, max_new_tokens=length, seed=sampling.seed, **sampling.settings
    )
    if json:
        print_json([asdict(completion) for completion in completions])
        return
    for number, completion in enumerate(completions):
        show(completion.text if number == 0 else f"\n---\n{completion.text}")


def score(
    model: Model,
    *,
    prompt: Annotated[str | None, Texts, Parameter(help="the prompt")] = None,
    response: Annotated[
        list[str] | None, Texts, Parameter(help="an answer to it; may be repeated")
    ] = None,
    data: Annotated[
        str | None,
        Parameter(
            metavar="FILE",
            group=READS,
            help="a file of demonstrations (prompt, response) instead",
        ),
    ] = None,
    on_error: OnError = "stop",
    opening: OpeningFlags | None = None,
    json: Json = False,
) -> None:
    """Score answers with a reward model; the labelers' demonstrations score 0 on average."""
    opening = opening or OpeningFlags()
    opening.check(model)
    from instructgpt.models.outlook import Outlook
    from instructgpt.reward.model import RewardModel

    given = [(prompt, text) for text in response or []] if prompt else []
    records = [Demonstration(prompt=p, response=text) for p, text in given]
    outlook = Outlook()
    records += outlook.records("data", [data], Demonstration, on_error=on_error) if data else []
    if not records:
        raise UserError("score needs --prompt TEXT and --response TEXT, or --data FILE")
    facts = outlook.model("model", model, "scorer")
    records = _readable(records, facts, opening.template, on_error)
    pairs: list[tuple[Any, str]] = [(record.prompt, record.response) for record in records]
    device = opening.place()
    reward = RewardModel(model, facts.tokenizer, template=opening.template, device=device)
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
        show(f"{value:.4f}")


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


def judge(
    judge: Annotated[
        str,
        Parameter(
            metavar="JUDGE",
            group=NEEDED,
            help="a model directory, a Hub id, or a toxicity scorer's address",
        ),
    ],
    *files: Annotated[
        Path, Parameter(help="texts whose answer is known: a judge's training rows, scores, labels")
    ],
    kind: Annotated[
        Literal["truth", "info", "toxicity"] | None,
        Parameter(group=READS, help="what it judges (default: what the files are about)"),
    ] = None,
    device: Annotated[
        str, Parameter(metavar="TEXT", group=HARDWARE, help="cpu, cuda, cuda:N, or auto")
    ] = "auto",
    dtype: Annotated[
        Literal["float32", "bfloat16", "auto"],
        Parameter(group=HARDWARE, help="precision of the forward pass"),
    ] = "float32",
    json: Json = False,
) -> None:
    """How good a judge is: accuracy and AUC, kept in judge.json in its folder."""
    if not files:
        raise UserError("eval judge needs a file of texts whose answer is known; give some")
    from instructgpt.evaluation.judging import measure_judge, told
    from instructgpt.run.tuning import choose

    choose(0, None, "", device=device)
    measured = measure_judge(judge, files, kind=kind or "", device=device, dtype=dtype)
    print_json({"judge": judge, "measured": measured}) if json else show(told(measured))


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
        show(str(write_report(runs[0], out)))
    else:
        show(str(compare_report(list(runs), out or Path("comparison.html"))))


def _prompts(words: Sequence[str]) -> Sequence[str]:
    """Texts that may begin with a dash; what looks like a flag is a mistyped one.

    Raises:
        UserError: one does.
    """
    for word in words:
        if word.startswith("-") and not is_text(word):
            flags = ["response_length", "temperature", "template", "prompt", "device", "on_error"]
            flags += ["data", "seed", "top_p", "top_k", "json", "model"]
            meant = nearest(word.partition("=")[0], [f"--{flag}" for flag in flags])
            raise UserError(f"there is no flag {word}{meant}; such a prompt is given as --prompt=…")
    return words


def print_json(value: Any) -> None:
    """A result for scripts, on standard output."""
    show(harmless(jsonlib.dumps(value, ensure_ascii=False, indent=1)))  # an escape of JSON's too

"""The commands that write a run directory: the stages, sampling, comparison, the pipeline."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import BaseModel

from instructgpt.cli.flags import Files, Layers, Showing, flags_of, given, run_stage
from instructgpt.errors import UserError
from instructgpt.run.progress import show

if TYPE_CHECKING:
    from instructgpt.run.directory import Run

Rounds = Annotated[
    int, Parameter(help="how often to sample from the newest policy, rank, and train on all labels")
]
Arms = Annotated[
    Literal["ptx", "all"], Parameter(help="all: also train a policy without pretraining mix")
]
InitFlags, SFTFlags, SampleFlags = flags_of("init"), flags_of("sft"), flags_of("sample")
RewardFlags, PPOFlags, CompareFlags = flags_of("reward"), flags_of("ppo"), flags_of("evaluate")
TasksFlags, SuiteFlags = flags_of("benchmark"), flags_of("suite")


def init(
    *,
    showing: Showing | None = None,
    flags: Annotated[InitFlags | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
) -> None:
    """Make a GPT-3-architecture model from scratch: random weights and a byte-level tokenizer."""
    run_stage("init", (), showing, flags)


def sft(
    *configs: Files,
    layers: Layers | None = None,
    flags: Annotated[SFTFlags | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
) -> None:
    """Stage 1: fine-tune a model on demonstrations (appendix C.1; --preset ppo-init for C.3)."""
    run_stage("sft", configs, layers, flags)


def reward(
    *configs: Files,
    layers: Layers | None = None,
    flags: Annotated[RewardFlags | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
) -> None:
    """Stage 2: train a reward model on rankings (eq. 1; appendix C.2)."""
    run_stage("reward", configs, layers, flags)


def ppo(
    *configs: Files,
    layers: Layers | None = None,
    flags: Annotated[PPOFlags | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
) -> None:
    """Stage 3: optimize a policy against a reward model (eq. 2; appendix C.4)."""
    run_stage("ppo", configs, layers, flags)


def sample(
    *configs: Files,
    layers: Layers | None = None,
    flags: Annotated[SampleFlags | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
) -> None:
    """Sample K answers per prompt for the labelers to rank; they go to OUT/candidates.jsonl."""
    run_stage("sample", configs, layers, flags)


def compare(
    a: Annotated[str | None, Parameter(help="policy that is measured")] = None,
    b: Annotated[str | None, Parameter(help="policy it is measured against")] = None,
    *configs: Files,
    layers: Layers | None = None,
    flags: Annotated[CompareFlags | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
    json: Annotated[bool, Parameter(negative="", help="print the figures as JSON")] = False,
) -> None:
    """How often policy A is preferred to policy B, with a 95 % interval clustered by prompt."""
    from instructgpt.cli.use import print_json

    both = {key: value for key, value in (("a", a), ("b", b)) if value is not None}
    flags = CompareFlags(**{**given(flags), **both})
    if (run := run_stage("evaluate", configs, layers, flags)) and json:
        print_json({key: value for key, value in run.evaluation.items() if key != "pairs"})


Models = Annotated[str, Parameter(help="policies that are measured, each MODEL or NAME=MODEL")]
AsJson = Annotated[bool, Parameter(negative="", help="print the figures as JSON")]


def tasks(
    *models: Models,
    layers: Layers | None = None,
    flags: Annotated[TasksFlags | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
    json: AsJson = False,
) -> None:
    """Measure policies on public benchmarks (sections 3.6 and 4.2, appendices D and E)."""
    _measure("benchmark", models, layers, TasksFlags(**given(flags)), json=json)


def suite(
    *models: Models,
    layers: Layers | None = None,
    flags: Annotated[SuiteFlags | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
    json: AsJson = False,
) -> None:
    """Table 14 of your models: all tasks, without and with examples, compared with the first."""
    run = _measure("suite", models, layers, SuiteFlags(**given(flags)), json=json)
    if run and not json:
        show("\n".join(["", *(str(run.dir / f"table.{kind}") for kind in ("html", "json", "tex"))]))


def _measure(
    stage: str, models: Sequence[str], layers: Layers | None, flags: BaseModel, *, json: bool
) -> "Run | None":
    from instructgpt.cli.use import print_json
    from instructgpt.evaluation.benchmark.tell import told
    from instructgpt.run.files import read_json

    configs, words = parted(models)
    flags = type(flags)(**{**given(flags), **(named_models(words) if words else {})})
    if run := run_stage(stage, configs, layers, flags):
        results = read_json(run.dir / "results.json", "measure again with another --out")
        print_json(results) if json else show(told(results))
    return run


def pipeline(
    *settings: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="YAML files, and any key of a stage, such as --ppo.kl_coef 0.1",
        ),
    ],
    out: Annotated[str | None, Parameter(help="directory of the whole pipeline [required]")] = None,
    preset: Annotated[
        list[str] | None, Parameter(negative="", help="start from a preset, such as tiny")
    ] = None,
    rounds: Rounds = 1,
    arms: Arms = "ptx",
    showing: Showing | None = None,
) -> None:
    """Run all stages, from a base model to a report; an interrupted pipeline goes on."""
    from instructgpt.pipeline.pipeline import run_pipeline

    if not out:
        raise UserError("pipeline needs 'out': give --out DIR")
    files, flags = _sectioned(list(settings))
    run_pipeline(
        out,
        presets=preset or (),
        files=files,
        flags=flags,
        rounds=rounds,
        plain_arm=arms == "all",
        show=_show(showing),
    )


def quickstart(
    *settings: Annotated[
        str,
        Parameter(allow_leading_hyphen=True, help="any key of a stage, such as --ppo.kl_coef 0.1"),
    ],
    out: Annotated[
        str | None,
        Parameter(help="directory of the whole run [runs/quickstart; with --tiny runs/tiny]"),
    ] = None,
    tiny: Annotated[
        bool, Parameter(negative="", help="a random model of 1 million parameters instead")
    ] = False,
    model: Annotated[str, Parameter(help="another model: a directory or a Hub id")] = "",
    prompts: Annotated[str, Parameter(help="your own prompts")] = "",
    demonstrations: Annotated[str, Parameter(help="your own demonstrations")] = "",
    prose: Annotated[str, Parameter(help="your own pretraining text (.txt or .jsonl)")] = "",
    label_by: Annotated[
        Literal["simulated", "me", "web", "people"],
        Parameter(
            name="--label_by",
            help="who ranks: simulated labelers, you in this terminal (me) or in your browser "
            "(web), or people elsewhere",
        ),
    ] = "simulated",
    rankings: Annotated[str, Parameter(help="file in which people ranked the run's answers")] = "",
    arms: Arms = "ptx",
    rounds: Rounds = 1,
    seed: Annotated[int, Parameter(help="decides every random choice")] = 0,
    showing: Showing | None = None,
) -> None:
    """The whole InstructGPT loop on a real language model, in minutes, on a laptop CPU."""
    from instructgpt.pipeline.quickstart import quickstart as run

    files, flags = _sectioned(list(settings))
    if files:
        raise UserError(f"quickstart takes no file ({files[0]}); use instructgpt pipeline for one")
    run(
        ("runs/tiny" if tiny else "runs/quickstart") if out is None else out,
        tiny=tiny,
        model=model,
        prompts=prompts,
        demonstrations=demonstrations,
        prose=prose,
        label_by=label_by,
        rankings=rankings,
        arms=arms,
        rounds=rounds,
        seed=seed,
        flags=flags,
        show=_show(showing),
    )


def _show(showing: Showing | None) -> Literal["", "config", "plan"]:
    if showing is None:
        return ""
    return "config" if showing.print_config else "plan" if showing.dry_run else ""


def _sectioned(tokens: list[str]) -> tuple[list[str], dict[str, str | bool]]:
    """Split `file.yaml --sft.epochs 3 --ppo.whiten_rewards` into files and section keys."""
    files: list[str] = []
    flags: dict[str, str | bool] = {}
    while tokens:
        token = tokens.pop(0)
        if not token.startswith("--"):
            files.append(token)
            continue
        key, equals, value = token[2:].partition("=")
        if "." not in key:
            raise UserError(
                f"{token}: no such flag (see -h); a stage's own flags are --STAGE.KEY value"
            )
        if not equals:
            value = tokens.pop(0) if tokens and not tokens[0].startswith("--") else "true"
        if (key := key.replace("-", "_")) in flags:
            raise UserError(f"--{key} is given twice; put several values into a YAML file")
        flags[key] = value
    return files, flags


def parted(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """YAML files, and all other words."""
    files = [word for word in words if word.endswith((".yaml", ".yml"))]
    return [Path(file) for file in files], [word for word in words if word not in files]


def named_models(words: Sequence[str]) -> dict[str, Any]:
    """`models`, and `names` where any is given: of words that are MODEL or NAME=MODEL.

    Raises:
        UserError: some have names and others have none.
    """
    pairs = [word.partition("=") if not Path(word).exists() else (word, "", "") for word in words]
    if not any(equals for _, equals, _ in pairs):
        return {"models": list(words)}
    for word, (name, equals, path) in zip(words, pairs, strict=True):
        if not (name and equals and path):
            raise UserError(f"{word}: give every model a name, as in NAME=MODEL, or none")
    return {"models": [path for _, _, path in pairs], "names": [name for name, _, _ in pairs]}

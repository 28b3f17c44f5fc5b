"""`pipeline`: base model → SFT → samples → rankings → reward model → PPO-ptx → report.

One YAML file with a section per stage describes it; `common:` holds what several stages share. A
stage takes its inputs from the stages before it unless its section names others. Finished stages
are skipped, an interrupted one goes on where it stopped.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructgpt.errors import UserError
from instructgpt.evaluation.config import CompareConfig
from instructgpt.evaluation.stage import compare_policies
from instructgpt.models.config import InitConfig
from instructgpt.models.init import init
from instructgpt.pipeline.config import RankConfig, SampleConfig
from instructgpt.pipeline.rank import rank_candidates
from instructgpt.pipeline.rule import Rule
from instructgpt.pipeline.sample import sample
from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.stage import train as train_ppo
from instructgpt.report import write_report
from instructgpt.reward.config import RewardConfig
from instructgpt.reward.stage import train as train_reward
from instructgpt.run.config import Config, nearest, read_preset, read_yaml, resolve
from instructgpt.run.directory import Run, write_atomically
from instructgpt.run.progress import say
from instructgpt.sft.config import SFTConfig
from instructgpt.sft.stage import train as train_sft


@dataclass(frozen=True)
class Stage:
    """One stage of the loop.

    Attributes:
        name: its section in the YAML.
        config: its configuration class.
        run: runs it.
        inputs: where its inputs come from: configuration key → file of an earlier stage, the first
            that ran.
    """

    name: str
    config: type[Config]
    run: Callable[[Any], Run]
    inputs: Mapping[str, Sequence[tuple[str, str]]]


def _pretrain(config: Any) -> Run:
    return train_sft(config, stage="pretrain")


def _evaluate(config: Any) -> Run:
    by_rule = not config.config.judge
    return compare_policies(
        config, Rule() if by_rule else None, judge_name=Rule.name if by_rule else ""
    )


BASE = (("pretrain", "model"), ("init", "model"))
STAGES = (
    Stage("init", InitConfig, init, {}),
    Stage("pretrain", SFTConfig, _pretrain, {"model": (("init", "model"),)}),
    Stage("sft", SFTConfig, train_sft, {"model": BASE}),
    Stage("sample", SampleConfig, sample, {"model": (("sft", "model"),)}),
    Stage("rank", RankConfig, rank_candidates, {"data": (("sample", "candidates.jsonl"),)}),
    Stage(
        "reward",
        RewardConfig,
        train_reward,
        {"model": (("sft", "model"),), "data": (("rank", "rankings.jsonl"),)},
    ),
    Stage(
        "ppo",
        PPOConfig,
        train_ppo,
        {"model": (("sft", "model"),), "reward_model": (("reward", "model"),)},
    ),
    Stage(
        "evaluate", CompareConfig, _evaluate, {"a": (("ppo", "model"),), "b": (("sft", "model"),)}
    ),
)


def run_pipeline(
    out: str | Path,
    *,
    presets: Sequence[str] = (),
    files: Sequence[str | Path] = (),
    flags: Mapping[str, Any] | None = None,
) -> Path:
    """Run every stage that the configuration has a section for; returns the report's path.

    Args:
        out: the pipeline's directory; stage N goes to `out/0N-name`.
        presets: presets to start from.
        files: YAML files, later ones winning.
        flags: `section.key` → value, winning over all.

    Raises:
        UserError: the configuration is wrong (found before the first stage starts), or a stage
            fails so.
    """
    out, flags = Path(out), dict(flags or {})
    sections = _sections(presets, files, flags)
    stages = [stage for stage in STAGES if stage.name in sections]
    folders = {
        stage.name: out / f"{number:02d}-{stage.name}" for number, stage in enumerate(stages, 1)
    }
    configs = [_resolve(stage, folders, presets, files, flags) for stage in stages]
    started = time.monotonic()
    log = _Log(out, [stage.name for stage in stages], folders)
    for number, (stage, config) in enumerate(zip(stages, configs, strict=True), 1):
        say(f"[{number}/{len(stages)}] {stage.name} -> {folders[stage.name]}")
        with_start = time.monotonic()
        log.mark(stage.name, "running", 0.0)
        stage.run(config)
        log.mark(stage.name, "done", time.monotonic() - with_start)
    report = write_report(out)
    say(f"done in {time.monotonic() - started:.0f} s; open {report}")
    return report


def _sections(
    presets: Sequence[str], files: Sequence[str | Path], flags: Mapping[str, Any]
) -> set[str]:
    """The stages that are configured, in any layer."""
    names = [stage.name for stage in STAGES]
    shared = {key for stage in STAGES for key in stage.config.model_fields}
    found: set[str] = set()
    layers = [(f"preset {name}", read_preset(name)) for name in presets]
    layers += [(str(file), read_yaml(file)) for file in files]
    layers.append(("the command line", _nested(flags)))
    for place, layer in layers:
        for key in layer:
            if key not in {*names, "common"}:
                raise UserError(
                    f"{place}: unknown section '{key}'{nearest(key, names)}; sections are "
                    f"{', '.join(names)}"
                )
            found.add(key)
        for key in layer.get("common") or {}:
            if key not in shared:
                raise UserError(f"{place}: unknown key '{key}' in common{nearest(key, shared)}")
    if not found & {"sft", "reward", "ppo"}:
        raise UserError(
            "a pipeline needs a section sft, reward or ppo: give a YAML file or --preset tiny"
        )
    return found


def _resolve(
    stage: Stage,
    folders: Mapping[str, Path],
    presets: Sequence[str],
    files: Sequence[str | Path],
    flags: Mapping[str, Any],
) -> Any:
    """A stage's configuration: what earlier stages give < presets < files < flags."""
    wired: dict[str, Any] = {"out": str(folders[stage.name])}
    for key, sources in stage.inputs.items():
        available = [folders[name] / file for name, file in sources if name in folders]
        if available:
            wired[key] = str(available[0])
    nested = _nested(flags)
    own = {k: v for k, v in nested.get("common", {}).items() if k in stage.config.model_fields}
    own |= nested.get(stage.name, {})
    return resolve(
        stage.config, presets=presets, files=files, flags=own, stage=stage.name, wired=wired
    )


def _nested(flags: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`section.key` → value, as sections."""
    sections: dict[str, dict[str, Any]] = {}
    for name, value in flags.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    return sections


class _Log:
    """`pipeline.json`: what the report and a second run want to know about the stages."""

    def __init__(self, out: Path, names: Sequence[str], folders: Mapping[str, Path]) -> None:
        self.path = out / "pipeline.json"
        out.mkdir(parents=True, exist_ok=True)
        old = json.loads(self.path.read_text()) if self.path.exists() else {"stages": []}
        seconds = {stage["name"]: stage["seconds"] for stage in old["stages"]}
        self.stages = {
            name: {
                "name": name,
                "dir": folders[name].name,
                "kind": name,
                "seconds": seconds.get(name, 0.0),
                "status": "waiting",
            }
            for name in names
        }

    def mark(self, name: str, status: str, seconds: float) -> None:
        """Add the seconds a stage took (in all its parts) and set its status."""
        stage = self.stages[name]
        stage |= {"status": status, "seconds": round(float(stage["seconds"]) + seconds, 2)}
        content = {"name": self.path.parent.name, "stages": list(self.stages.values())}
        write_atomically(self.path, json.dumps(content, indent=1) + "\n")

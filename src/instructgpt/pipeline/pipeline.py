"""`pipeline`: base model → SFT → samples → rankings → reward model → PPO-ptx → report.

One YAML file with a section per stage describes it; `common:` holds what several stages share. A
stage takes its inputs from the stages before it unless its section names others. Finished stages
are skipped, an interrupted one goes on where it stopped.
"""

import gc
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from instructgpt.distributed.world import world
from instructgpt.errors import UserError
from instructgpt.models.outlook import Outlook
from instructgpt.pipeline.ahead import look_ahead, outlined, printed
from instructgpt.pipeline.log import StageLog
from instructgpt.pipeline.order import Stage, stages_of
from instructgpt.pipeline.stale import refuse_stale
from instructgpt.pipeline.summary import print_summary
from instructgpt.report import require_matplotlib, write_report
from instructgpt.run.config import resolve
from instructgpt.run.lock import out_folder
from instructgpt.run.pace import duration
from instructgpt.run.presets import nearest, read_preset, read_yaml
from instructgpt.run.progress import PipelineProgress, say
from instructgpt.run.progress import show as show_text
from instructgpt.run.stages import KINDS, SECTIONS
from instructgpt.run.tuning import give_back_memory, one_choice

Show = Literal["", "config", "plan"]
"""Print the configuration, or what there is to do, instead of doing it."""


def run_pipeline(
    out: str | Path,
    *,
    presets: Sequence[str] = (),
    files: Sequence[str | Path] = (),
    flags: Mapping[str, Any] | None = None,
    rounds: int = 1,
    plain_arm: bool = False,
    shares: Mapping[str, float] | None = None,
    show: Show = "",
    outlook: Outlook | None = None,
) -> Path:
    """Run every stage that the configuration has a section for; returns the report's path.

    Args:
        out: the pipeline's directory; stage N goes to `out/0N-name`.
        presets: presets to start from.
        files: YAML files, later ones winning.
        flags: `section.key` → value, winning over all.
        rounds: how often to go round: sample from the newest policy, rank, train on all labels.
        plain_arm: also train a policy without pretraining mix, and judge it beside the other.
        shares: how long each kind of stage takes compared with the others, for the time left.
        show: print the configuration, or what there is to do, instead of doing it.
        outlook: where things are that are looked at beforehand.

    Raises:
        UserError: the configuration is wrong (found before the first stage starts), or a stage
            fails so.
    """
    out, flags = out_folder(out), dict(flags or {})
    if rounds < 1:
        raise UserError(f"rounds: {rounds} given; a pipeline goes round once or more")
    stages = stages_of(_sections(presets, files, flags), rounds=rounds, plain_arm=plain_arm)
    folders = {
        stage.name: out / f"{number:02d}-{stage.name}" for number, stage in enumerate(stages, 1)
    }
    configs = [_resolve(stage, folders, presets, files, flags) for stage in stages]
    ranks = world()
    if show == "config":
        ranks.once(lambda: show_text(printed(stages, configs), end=""))
        return out

    def look() -> None:
        require_matplotlib()
        refuse_stale([(s.name, folders[s.name], c) for s, c in zip(stages, configs, strict=True)])
        found = look_ahead(stages, folders, configs, outlook)
        if show:
            show_text("\n\n".join(map(outlined, found)))

    ranks.once(look)
    if show:
        return out
    log = ranks.once(lambda: StageLog(out, stages, folders))
    started = time.monotonic()
    shared = [(shares or {}).get(stage.kind, 0.0) for stage in stages]
    with one_choice(out), PipelineProgress(shared) as whole:
        for number, (stage, config) in enumerate(zip(stages, configs, strict=True), 1):
            say(f"[{number}/{len(stages)}] {stage.name} -> {folders[stage.name]}")
            whole.begin(number - 1)
            with log.watching(stage.name) if ranks.is_first else nullcontext():
                stage.run(config)
            gc.collect()  # models and optimizers that refer to each other
            give_back_memory()
    report = ranks.once(lambda: write_report(out))
    if ranks.is_first:
        print_summary(out)
    say(f"done in {duration(time.monotonic() - started)}; open {report}")
    return report


def _sections(
    presets: Sequence[str], files: Sequence[str | Path], flags: Mapping[str, Any]
) -> set[str]:
    """The kinds of stages that are configured, in any layer."""
    shared = {key for name in SECTIONS for key in KINDS[name].config.model_fields}
    found: set[str] = set()
    layers = [(f"preset {name}", read_preset(name)) for name in presets]
    layers += [(str(file), read_yaml(file)) for file in files]
    layers.append(("the command line", _nested(flags)))
    for place, layer in layers:
        for key in layer:
            if key not in {*SECTIONS, "common"}:
                raise UserError(
                    f"{place}: unknown section '{key}'{nearest(key, SECTIONS)}; sections are "
                    f"{', '.join(SECTIONS)}"
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
    """A stage's configuration: what earlier stages give < presets < files < flags < its own."""
    kind = KINDS[stage.kind]
    wired: dict[str, Any] = {"out": str(folders[stage.name])}
    for key, sources in stage.inputs.items():
        paths = [str(folders[name] / file) for name, file in sources]
        wired[key] = paths if len(paths) > 1 else paths[0]
    nested = _nested(flags)
    common = nested.get("common", {})
    own = {key: value for key, value in common.items() if key in kind.config.model_fields}
    own |= nested.get(stage.kind, {}) | dict(stage.fixed)
    return resolve(
        kind.config, presets=presets, files=files, flags=own, stage=stage.kind, wired=wired
    )


def _nested(flags: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`section.key` → value, as sections."""
    sections: dict[str, dict[str, Any]] = {}
    for name, value in flags.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    return sections

"""`quickstart`: the whole loop on a real language model, with what ships with the package.

It is the pipeline with the preset `quickstart` (or `tiny`), a model that is fetched once, and a
table at the end.
"""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from instructgpt.data.formats import write_records
from instructgpt.data.reading import load_records
from instructgpt.data.records import Prompt
from instructgpt.distributed.world import world
from instructgpt.errors import UserError
from instructgpt.pipeline.config import HELD_OUT
from instructgpt.pipeline.pipeline import run_pipeline
from instructgpt.pipeline.summary import print_summary
from instructgpt.run.lock import out_folder
from instructgpt.run.progress import say
from instructgpt.run.seeds import derive

GIGABYTE = 1e9
MEMORY_GB, DISK_GB = 10.0, 8.0
"""What the default run needs free: about its measured peaks (docs/quickstart.md)."""
HELD_OUT_SHARE = 5
"""One in so many of a user's own prompts is held out, where their records name no split."""

SHARES = {"sft": 8, "sample": 12, "rank": 1, "reward": 19, "ppo": 51, "evaluate": 9}
"""How long the stages of the default run take compared with each other."""


def quickstart(
    out: str | Path,
    *,
    tiny: bool = False,
    model: str = "",
    prompts: str = "",
    demonstrations: str = "",
    prose: str = "",
    label_by: Literal["simulated", "me", "people"] = "simulated",
    rankings: str = "",
    arms: Literal["ptx", "all"] = "ptx",
    rounds: int = 1,
    seed: int = 0,
    flags: Mapping[str, Any] | None = None,
) -> Path:
    """Run the loop and return the report's path; an interrupted run goes on where it stopped.

    Args:
        out: the directory of the whole run.
        tiny: a model of 1 million random parameters instead, for a look at every part.
        model: another model: a directory or a Hub id.
        prompts: the user's own prompts, instead of those that ship.
        demonstrations: the user's own demonstrations.
        prose: the user's own pretraining text.
        label_by: who ranks: simulated labelers, the user in this terminal, or people elsewhere.
        rankings: the file in which people ranked the run's answers.
        arms: `all` also trains a policy without pretraining mix.
        rounds: how often to go round.
        seed: decides every random choice.
        flags: `section.key` → value, winning over the preset.

    Raises:
        UserError: too little memory or disk, the model cannot be fetched, or an input is wrong.
    """
    out = out_folder(out)
    given: dict[str, Any] = {"common.seed": seed, "rank.seed": seed}
    if prompts:
        given |= dict.fromkeys(
            ("sample.data", "ppo.data", "evaluate.data"),
            str(world().once(lambda: _with_split(Path(prompts), out))),
        )
    if demonstrations:
        given |= dict.fromkeys(("sft.data", "reward.demonstrations"), demonstrations)
    if prose:
        given |= {"ppo.pretrain_data": prose}
    if label_by == "me":
        # Nobody ranks the held-out prompts, so a share of what the user ranks is held out.
        given |= {"rank.by": "me", "reward.eval_split": "", "reward.eval_fraction": 0.25}
    if label_by == "people" or rankings:
        given |= {"rank.by": "people", **({"rank.rankings": rankings} if rankings else {})}
    if not tiny:
        world().once(lambda: _check_room(out))
        model = model or world().once(_shipped_model)
        given |= {"sft.model": model, "evaluate.base": model}
    elif model:
        raise UserError("--tiny makes its own model; leave out --tiny or --model")
    report = run_pipeline(
        out,
        presets=["tiny" if tiny else "quickstart"],
        flags=given | dict(flags or {}),
        rounds=rounds,
        plain_arm=arms == "all",
        shares={} if tiny else SHARES,
    )
    if world().is_first:
        print_summary(out)
    return report


def _shipped_model() -> str:
    from instructgpt.models.smollm2 import smollm2

    return str(smollm2())


def _with_split(path: Path, out: Path) -> Path:
    """The prompts, a fifth of them held out unless their records say which."""
    records = load_records([str(path)], Prompt)
    if any(record.split for record in records):
        return path
    split = [
        record.model_copy(
            update={"split": HELD_OUT if derive(0, record.id) % HELD_OUT_SHARE == 0 else "train"}
        )
        for record in records
    ]
    held = sum(record.split == HELD_OUT for record in split)
    if not 0 < held < len(split):
        raise UserError(
            f"{path}: {len(split)} prompts are too few to hold some out; give 20 or more, or write "
            f"'split': 'train' or '{HELD_OUT}' into each"
        )
    write_records(out / "prompts.jsonl", split)
    say(f"{held} of {len(split)} prompts are held out ({out / 'prompts.jsonl'})")
    return out / "prompts.jsonl"


def _check_room(out: Path) -> None:
    """Refuse before the first stage what would fail in the last."""
    memory = _free_memory_gb()
    if memory is not None and memory < MEMORY_GB:
        raise UserError(
            f"quickstart needs {MEMORY_GB:.0f} GB of free memory and this machine has "
            f"{memory:.1f}; close other programs, or try quickstart --tiny"
        )
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    disk = shutil.disk_usage(existing).free / GIGABYTE
    if disk < DISK_GB and not (out / "pipeline.json").exists():
        raise UserError(
            f"quickstart needs {DISK_GB:.0f} GB of free disk and {existing} has {disk:.1f}; "
            "free some, or give --out on another disk"
        )


def _free_memory_gb() -> float | None:
    """Memory that programs may still take, also within a container's limit; None if unknown."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if ":" in line}
    free = kilobytes["MemAvailable"] * 1024 / GIGABYTE
    limit = Path("/sys/fs/cgroup/memory.max")
    used = Path("/sys/fs/cgroup/memory.current")
    with suppress(OSError, ValueError):  # no such limit
        free = min(free, (int(limit.read_text()) - int(used.read_text())) / GIGABYTE)
    return free

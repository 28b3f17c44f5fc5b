"""`quickstart`: the whole loop on a real language model, with what ships with the package.

It is the pipeline with the preset `quickstart` (or `tiny`), a model that is fetched once, and a
table at the end.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from instructgpt.data.formats import write_records
from instructgpt.data.reading import load_records
from instructgpt.data.records import Demonstration, Prompt
from instructgpt.data.splits import HELD_OUT, split_by_field, with_splits
from instructgpt.distributed.world import world
from instructgpt.errors import UserError, placed
from instructgpt.models.outlook import Outlook
from instructgpt.pipeline.needs import check_needs
from instructgpt.pipeline.pipeline import Show, run_pipeline
from instructgpt.run.lock import out_folder
from instructgpt.run.progress import say

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
    label_by: Literal["simulated", "me", "web", "people"] = "simulated",
    rankings: str = "",
    arms: Literal["ptx", "all"] = "ptx",
    rounds: int = 1,
    seed: int = 0,
    flags: Mapping[str, Any] | None = None,
    show: Show = "",
) -> Path:
    """Run the loop and return the report's path; an interrupted run goes on where it stopped.

    Args:
        out: the directory of the whole run.
        tiny: a model of 1 million random parameters instead, for a look at every part.
        model: another model: a directory or a Hub id.
        prompts: the user's own prompts, instead of those that ship.
        demonstrations: the user's own demonstrations.
        prose: the user's own pretraining text.
        label_by: who ranks: simulated labelers, the user in this terminal or a browser, or
            people elsewhere.
        rankings: the file in which people ranked the run's answers.
        arms: `all` also trains a policy without pretraining mix.
        rounds: how often to go round.
        seed: decides every random choice.
        flags: `section.key` → value, winning over the preset.
        show: print the configuration, or what there is to do, instead of doing it.

    Raises:
        UserError: too little memory or disk, the model cannot be fetched, or an input is wrong.
    """
    out, outlook = out_folder(out), Outlook()
    given: dict[str, Any] = {"common.seed": seed, "rank.seed": seed}
    if prompts:
        given |= world().once(lambda: _own_prompts(prompts, out, outlook if show else None))
    if demonstrations:
        given |= world().once(lambda: _own_demonstrations(demonstrations))
    if prose:
        given |= {"ppo.pretrain_data": prose}
    if label_by in ("me", "web"):
        # Nobody ranks the held-out prompts, so a share of what the user ranks is held out.
        given |= {"rank.by": label_by, "reward.eval_split": "", "reward.eval_fraction": 0.25}
    if label_by == "people" or rankings:
        given |= {"rank.by": "people", **({"rank.rankings": rankings} if rankings else {})}
    if not tiny:
        if not show:
            world().once(lambda: check_needs(out, rounds=rounds, plain_arm=arms == "all"))
        model = model or world().once(lambda: _shipped_model(show))
        given |= {"sft.model": model, "evaluate.base": model}
    elif model:
        raise UserError("--tiny makes its own model; leave out --tiny or --model")
    return run_pipeline(
        out,
        presets=["tiny" if tiny else "quickstart"],
        flags=given | dict(flags or {}),
        rounds=rounds,
        plain_arm=arms == "all",
        shares={} if tiny else SHARES,
        show=show,
        outlook=outlook,
    )


def _shipped_model(show: Show) -> str:
    """Its folder; fetched, unless nothing is to be written.

    Raises:
        UserError: it has to be looked at and is not here.
    """
    from instructgpt.models.smollm2 import folder_of, smollm2

    if show == "plan" and not (folder_of() / "config.json").is_file():
        raise UserError(
            f"the dry run fetches nothing, and the shipped model is not in {folder_of()} yet; "
            "run quickstart once, or give --model or --tiny"
        )
    return str(folder_of() if show else smollm2())


def _own_prompts(path: str, out: Path, outlook: Outlook | None) -> dict[str, str]:
    """The settings for somebody's prompts. Where intake has said whom a prompt serves, answers are
    ranked to those for the reward model, and PPO learns on its own (table 6).
    """
    with placed("--prompts"):
        records = load_records([path], Prompt)
    file = _with_split(path, records, out, outlook)
    given: dict[str, str] = dict.fromkeys(("sample.data", "ppo.data", "evaluate.data"), file)
    if any(record.use for record in records):
        given |= {"sample.use": "reward", "ppo.use": "ppo"}
    return given


def _own_demonstrations(path: str) -> dict[str, str]:
    """The settings for somebody's demonstrations; those that are held out are not trained on."""
    given: dict[str, str] = dict.fromkeys(("sft.data", "reward.demonstrations"), path)
    with placed("--demonstrations"):
        _, held = split_by_field(load_records([path], Demonstration), HELD_OUT)
    return {**given, **({"sft.eval_split": HELD_OUT} if held else {})}


def _with_split(path: str, records: list[Prompt], out: Path, outlook: Outlook | None) -> str:
    """The file of prompts, a fifth of them held out unless their records say which; not written
    where an outlook is told of it.
    """
    if any(record.split for record in records):
        return path
    records = with_splits(records)
    training, held = split_by_field(records, HELD_OUT)
    if not (training and held):
        raise UserError(
            f"{path}: {len(records)} prompts are too few to hold some out; give 20 or more, or "
            f"write 'split': 'train' or '{HELD_OUT}' into each"
        )
    written = out / "prompts.jsonl"
    if outlook:
        outlook.know(written, records)
    else:
        write_records(written, records)
        say(f"{len(held)} of {len(records)} prompts are held out ({written})")
    return str(written)

"""Every key of every command stands in a table of the documentation, as the code has it."""

import functools
import json
import re
from inspect import Parameter
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App
from pydantic_core import PydanticUndefined

from instructgpt.cli import app
from instructgpt.evaluation.benchmark.config import BenchmarkConfig, SuiteConfig
from instructgpt.evaluation.config import CompareConfig
from instructgpt.label.simulated.config import LabelConfig
from instructgpt.models.config import InitConfig
from instructgpt.pipeline.config import RankConfig, SampleConfig
from instructgpt.ppo.config import PPOConfig
from instructgpt.reward.config import RewardConfig
from instructgpt.run.config import Config
from instructgpt.sft.config import SFTConfig

DOCS = Path(__file__).parents[2] / "docs"
CONFIGS: dict[str, type[Config]] = {
    "init": InitConfig,
    "sft": SFTConfig,
    "sample": SampleConfig,
    "label simulate": LabelConfig,
    "rank": RankConfig,  # of a pipeline alone
    "reward": RewardConfig,
    "ppo": PPOConfig,
    "eval compare": CompareConfig,
    "eval tasks": BenchmarkConfig,
    "eval suite": SuiteConfig,
}
SECTIONS = {
    "init": "models.md#keys-of-init",
    "sft": "stages/sft.md#keys",
    "sample": "sample.md#keys",
    "label simulate": "simulated-labelers.md#keys",
    "label rank": "your-own.md#5-peoples-rankings-from-any-tool",
    "label serve": "labeling.md#start",
    "label user add": "labeling.md#people",
    "rank": "pipeline.md#keys-of-rank",
    "reward": "stages/reward.md#keys",
    "ppo": "stages/ppo.md#keys",
    "eval compare": "evaluation.md#keys",
    "eval tasks": "benchmarking.md#keys",
    "eval suite": "benchmarking.md#suite",
    "eval samples": "benchmarking.md#texts-from-elsewhere",
    "eval judge": "benchmarking.md#how-good-it-is",
    "pipeline": "pipeline.md#keys",
    "quickstart": "quickstart.md#options",
    "generate": "use.md#generate",
    "chat": "use.md#chat",
    "score": "use.md#score",
    "report": "use.md#report",
    "data import": "data-formats.md#keys-of-data-import",
    "data export": "data-formats.md#keys-of-data-export",
    "data formats": "data-formats.md#formats",
    "data snapshot": "store.md#snapshots",
    "data erase": "store.md#erasing-a-person",
    "data intake": "intake.md#keys",
    "data explain": "intake.md#explain",
    "data undo": "intake.md#undo",
    "data release": "intake.md#release",
    "data stats": "sheet.md#the-sheet-of-a-data-set",
    "data upgrade": "store.md#upgrade",
}
"""Where the keys of a command or a stage stand: a page and a heading."""
AS = {"eval suite": "eval tasks"}
"""Commands whose sections have only the keys that are not as those of another."""
SHARED = "index.md#configuration"
"""Where those stand that many commands take."""


def slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@functools.cache
def rows(section: str) -> dict[str, list[str]]:
    """The rows of the tables of keys in a section and those within it, by key."""
    page, _, anchor = section.partition("#")
    found: dict[str, list[str]] = {}
    depth, is_table = 0, False
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"(#+) (.+)", line):
            if slug(heading[2]) == anchor:
                depth = len(heading[1])
            elif len(heading[1]) <= depth:
                depth = 0
        cells = [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        is_table = bool(cells) and (is_table or cells[1:3] == ["default", "meaning"])
        if depth and is_table and cells[0].startswith("`"):
            key = cells[0].strip("`")
            assert key not in found, f"{section} has {key} twice"
            found[key] = cells
    return found


def commands(within: App = app, words: str = "") -> dict[str, App]:
    """Every command that runs something, by its words."""
    found: dict[str, App] = {}
    for name in within:
        if not name.startswith("-"):
            inner = commands(within[name], f"{words} {name}".strip())
            found |= inner or {f"{words} {name}".strip(): within[name]}
    return found


def flags(command: str) -> dict[str, tuple[Any, str]]:
    """The flags that no configuration has: default and help, by name."""
    keys = CONFIGS[command].model_fields if command in CONFIGS else ()
    return {
        argument.names[0]: (argument.field_info.default, argument.parameter.help or "")
        for argument in commands()[command].assemble_argument_collection()
        if argument.parse and argument.names[0] != "*" and argument.names[0].lstrip("-") not in keys
    }


KEYS = [(name, key) for name, config in CONFIGS.items() for key in config.model_fields]
FLAGS = [(command, flag) for command in commands() for flag in flags(command)]


@pytest.mark.parametrize(("name", "key"), KEYS)
def test_every_key_stands_in_its_page_with_its_default_and_meaning(name: str, key: str):
    field = CONFIGS[name].model_fields[key]
    own = rows(SECTIONS[AS.get(name, name)]) | rows(SECTIONS[name])
    _, default, meaning, *source = own[key]
    assert meaning.startswith(field.description or "?")
    assert all(source)
    text = default.strip("`")
    if field.default is PydanticUndefined:
        assert default == "required"
    elif field.default in ("", ()):
        assert default == "none"
    elif isinstance(field.default, bool) or field.default is None:
        assert default == f"`{json.dumps(field.default)}`"
    elif isinstance(field.default, float):
        assert float(text) == field.default
    else:
        values = field.default if isinstance(field.default, tuple) else (field.default,)
        assert default == f"`{' '.join(map(str, values))}`"


@pytest.mark.parametrize(("command", "flag"), FLAGS)
def test_every_other_flag_stands_with_its_default_and_meaning(command: str, flag: str):
    expected, help_text = flags(command)[flag]
    own = rows(SECTIONS[AS.get(command, command)]) | rows(SECTIONS[command])
    _, default, meaning = own[flag] if flag in own else rows(SHARED)[flag]
    text, said = re.fullmatch(r"(.*?)(?: \[(.*)\])?", help_text).groups()
    assert text
    assert meaning.startswith(text)
    if said or expected is Parameter.empty:
        assert default.strip("`") in (said, "required", "none")
    elif expected in (None, ""):
        assert default == "none"
    else:
        assert default == f"`{json.dumps(expected).strip(chr(34))}`"


@pytest.mark.parametrize("name", SECTIONS)
def test_no_page_has_a_key_that_is_gone(name: str):
    known = set(CONFIGS[name].model_fields) if name in CONFIGS else set()
    known |= set(flags(name)) if name in commands() else set()
    assert set(rows(SECTIONS[name])) <= known


def test_no_command_and_no_configuration_is_left_out():
    assert commands().keys() | CONFIGS.keys() == SECTIONS.keys()
    assert set(CONFIGS.values()) == set(_last(Config))
    shared = {flag for command in commands() for flag in flags(command)} & rows(SHARED).keys()
    assert shared == rows(SHARED).keys()


def _last(config: type[Config]) -> list[type[Config]]:
    """The package's configurations from which no other is made."""
    below = [last for kind in config.__subclasses__() for last in _last(kind)]
    return below or [config] if config.__module__.startswith("instructgpt.") else []


@pytest.mark.parametrize("name", CONFIGS)
def test_other_names_of_a_key_are_said(name: str):
    page = (DOCS / SECTIONS[name].partition("#")[0]).read_text(encoding="utf-8")
    for alias in CONFIGS[name].aliases:
        assert f"`{alias}`" in page

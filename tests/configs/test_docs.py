"""The documentation against the code: paths, names, links and commands; the Python page is run."""

import importlib
import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from instructgpt.cli import COMMANDS, app, main
from instructgpt.run.presets import preset_names
from tests.files import write_policy
from tests.tiny import any_model

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HOUSE = [ROOT / "CONTRIBUTING.md", DOCS / "architecture.md", DOCS / "deviations.md"]
"""Pages that name code by its room: `ppo.gae.gae`, `run/disk.py`."""
PAGES = [ROOT / "README.md", HOUSE[0], *sorted(DOCS.rglob("*.md"))]
STAGES = ("sft", "reward", "ppo")
GUIDES = [DOCS / f"{name}.md" for name in ("index", "sample", "evaluation", "pipeline", "use")]
"""With the stages' pages, those whose commands are looked at one by one."""


def code(page: Path) -> set[str]:
    """What stands in backticks, outside of code blocks."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    return set(re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_are_there(page: Path):
    folders = r"(src|tests|configs|docs|examples|scripts)/[^\s*]*$"
    paths = [text for text in code(page) if re.match(folders, text)]
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_that_are_dotted_exist(page: Path):
    for text in code(page):
        if match := re.match(r"(instructgpt(?:\.\w+)+)(?:\(.*\))?$", text):
            assert exists(match[1]), f"{page.name}: {text}"
        if match := re.match(r"ig((?:\.\w+)+)$", text):
            assert exists("instructgpt" + match[1]), f"{page.name}: {text}"


@pytest.mark.parametrize("page", HOUSE, ids=lambda page: page.name)
def test_names_that_begin_with_a_room_exist(page: Path):
    package = ROOT / "src" / "instructgpt"
    rooms = "|".join(path.stem for path in package.iterdir() if not path.name.startswith("__"))
    names = {
        text for text in code(page) if re.fullmatch(rf"(?:{rooms})(?:\.(?!py$|json$)\w+)+", text)
    }
    places = {
        text for text in code(page) if re.fullmatch(rf"(?:{rooms})/(?:[\w/]*/|[\w/]+\.py)?", text)
    }
    assert names
    assert not [name for name in names if not exists(f"instructgpt.{name}")]
    assert places
    assert not [place for place in places if not (package / place).exists()]


def test_the_picture_of_the_house_is_what_the_linter_holds():
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    (picture,) = re.findall(r"(?ms)^```\n(.*?)^```", page)
    assert [re.split(r"  +", line)[0] for line in picture.splitlines()] == rooms
    headings = set(re.findall(r"(?m)^### `(\w+)/`$", page))
    names = {name for row in rooms for name in row.split(" | ")}
    assert headings == {name for name in names if (ROOT / "src/instructgpt" / name).is_dir()}


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute (or a field) of something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if part not in getattr(found, "model_fields", {}) and not hasattr(found, part):
                return False
            found = getattr(found, part, None)
        return True
    return False


def test_the_check_of_names_bites():
    assert exists("instructgpt.ppo.gae.gae")
    assert exists("instructgpt.ppo.trainer.PPOTrainer.update")
    assert not exists("instructgpt.ppo.gae.gea")
    assert not exists("instructgpt.nowhere")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_leads_to_every_page_and_names_every_preset():
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).as_posix()
        assert name == "index.md" or f"({name})" in text
    for preset in preset_names():
        assert f"`{preset}`" in text


@pytest.mark.parametrize("stage", STAGES)
def test_every_metric_in_a_stage_page_is_written_by_the_code(stage: str):
    text = (DOCS / "stages" / f"{stage}.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text() for path in (ROOT / "src/instructgpt" / stage).glob("*.py"))
    for name in set(re.findall(r"`((?:sft|reward|objective|ppo|ptx|validation)/[\w/]+)`", text)):
        of_both = re.sub(r"ppo/(policy|critic)/", "ppo/{name}/", name)
        found = name in sources or of_both in sources
        validation = name.startswith("validation/") and f'"{name.split("/")[1]}"' in sources
        assert found or validation, name


def test_the_python_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_policy(tmp_path / "base", context=256)
    write_data(tmp_path)
    shutil.copy(ROOT / "configs" / "rm.yaml", tmp_path)
    namespace: dict = {}
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    for number, block in enumerate(re.findall(r"(?ms)^```python\n(.*?)^```", page)):
        exec(compile(block, f"python.md block {number}", "exec"), namespace)
    assert namespace["ppo"].info["status"] == "done"
    assert (tmp_path / "runs/ppo/model-ema/config.json").is_file()
    assert namespace["config"].seed == 1


MINIATURE = {
    "batch_size": 8,
    "total_episodes": 8,
    "response_length": 8,
    "k": 2,
}


def readme_stages() -> list[str]:
    """The README's commands for the stages one by one."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, after = text.partition("The stages one by one")
    (block, *_) = re.findall(r"(?ms)^```bash\n(.*?)^```", after)
    return [line.partition("  #")[0] for line in block.replace("\\\n", " ").splitlines()]


def test_the_readmes_stages_run_one_after_the_other(tmp_path, monkeypatch):
    """In miniature: the same flags, smaller numbers, eight prompts, a tiny model."""
    monkeypatch.chdir(tmp_path)
    write_policy(tmp_path / "MODEL", context=256)
    write_data(tmp_path)
    shutil.copy("prompts.jsonl", "held_out.jsonl")
    lines = readme_stages()
    assert [line.split()[1] for line in lines] == [
        "sft", "sample", "label", "reward", "ppo", "eval", "report"
    ]  # fmt: skip
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "instructgpt"
        for flag, value in MINIATURE.items():
            if f"--{flag}" in words:
                words[words.index(f"--{flag}") + 1] = str(value)
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert not ended.value.code, line
    assert (tmp_path / "runs/ppo/report.html").is_file()
    evaluation = json.loads((tmp_path / "runs/compare/evaluation.json").read_text())
    assert evaluation


def test_the_readmes_sizes_are_a_laptops():
    """Within what the quickstart trains in minutes; the paper has 256,000 episodes."""
    (ppo,) = [line for line in readme_stages() if line.startswith("instructgpt ppo")]
    assert "--preset" not in " ".join(readme_stages())
    assert int(re.findall(r"--total_episodes (\d+)", ppo)[0]) <= 512
    assert int(re.findall(r"--response_length (\d+)", ppo)[0]) <= 64


def commands() -> list[str]:
    """Every command in a shell block of the guides and the stages' pages."""
    found = []
    for page in (*GUIDES, *sorted((DOCS / "stages").glob("*.md"))):
        for block in re.findall(r"(?ms)^```sh\n(.*?)^```", page.read_text(encoding="utf-8")):
            lines = block.replace("\\\n", " ").splitlines()
            found += [line.partition("  #")[0] for line in lines]
    return found


@pytest.mark.parametrize("command", commands())
def test_commands_are_accepted(command: str, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)
    monkeypatch.setattr("instructgpt.models.outlook.look_at", any_model)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "rewards.py").symlink_to(ROOT / "examples" / "rewards.py")
    program, name, *rest = shlex.split(command)
    assert program == "instructgpt"
    assert name in {known.split()[0] for known in COMMANDS}
    if name in {"sft", "reward", "ppo", "sample", "eval"}:
        with pytest.raises(SystemExit) as ended:
            main([name, *rest, "--dry-run"])
        assert not ended.value.code
        assert " -> " in capsys.readouterr().out
    else:
        app.parse_args([name, *rest], exit_on_error=False, print_error=False)


def test_the_configuration_on_the_pipelines_page_is_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"(?ms)^```yaml\n(.*?)^```", (DOCS / "pipeline.md").read_text("utf-8"))
    (tmp_path / "whole.yaml").write_text(block)
    with pytest.raises(SystemExit) as ended:
        main(["pipeline", "whole.yaml", "--out", "runs/whole", "--print-config"])
    assert not ended.value.code
    assert set(yaml.safe_load(capsys.readouterr().out)) >= set(yaml.safe_load(block)) - {"common"}


def write_data(folder: Path) -> None:
    """Small files of each kind, under the names that the page uses."""
    prompts = [f"Name colour {letter}." for letter in "abcdefgh"]
    answers = [{"text": "Blue.", "model": "ours"}, {"text": "Red.", "model": "base"}, {"text": "7"}]
    files = {
        "prompts.jsonl": [{"prompt": p} for p in prompts],
        "demonstrations.jsonl": [{"prompt": p, "response": "Blue."} for p in prompts],
        "rankings.jsonl": [
            {"prompt": p, "responses": answers, "ranks": [1, 2, 2], "labeler_id": "a"}
            for p in prompts
        ],
    }
    for name, records in files.items():
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "text.txt").write_text("The sea is wide and calm. " * 40)

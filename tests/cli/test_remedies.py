"""Whatever a message tells the user to type exists: flags, sections' keys and commands."""

import ast
import re
from pathlib import Path

import pytest

import instructgpt
from instructgpt.cli import COMMANDS, app
from instructgpt.run.stages import KINDS, SECTIONS

SOURCE = Path(instructgpt.__file__).parent
NAMES = [name.split() for name in COMMANDS]
TYPED = re.compile(r"(?<![\w-])--[a-z][\w.-]*")


def flags_of(words: list[str]) -> set[str]:
    command = app
    for word in words:
        command = command[word]
    collection = command.assemble_argument_collection(parse_docstring=True)
    return {name for argument in collection for name in argument.names}


def literals(file: Path) -> list[tuple[int, str]]:
    """Every text of a module that is no docstring, with its line; what is filled in is `{}`."""
    found = []
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
            found.append((node.lineno, "".join(map(str, parts))))
        elif isinstance(node, ast.Constant) and id(node) not in inside | alone:
            found.append((node.lineno, str(node.value)))
    return found


def test_every_flag_that_a_message_names_exists():
    flags = set().union(*(flags_of(words) for words in NAMES)) | {"--install-completion"}
    flags |= {f"--{kind}.{key}" for kind in SECTIONS for key in KINDS[kind].config.model_fields}
    unknown = [
        f"{file.relative_to(SOURCE)}:{line}: {typed}"
        for file in sorted(SOURCE.rglob("*.py"))
        for line, text in literals(file)
        if " " in text  # else it is a name of the program's own
        for typed in TYPED.findall(text.replace("--STAGE.KEY", "").replace("--section.key", ""))
        if typed.rstrip(".-") not in flags
    ]
    assert unknown == []


def test_every_command_that_a_message_names_exists():
    known = {words[0] for words in NAMES}
    named = {
        word
        for file in SOURCE.rglob("*.py")
        for _, text in literals(file)
        for word in re.findall(r"`instructgpt ([a-z]+)", text)
    }
    assert named
    assert named <= known


@pytest.mark.parametrize("words", NAMES, ids=" ".join)
def test_skipping_is_a_flag_where_records_are_read(words):
    """`load_records` names `--on_error skip` where the configuration has the key."""
    reads = {"sft", "reward", "ppo", "sample", "generate", "score"}
    files = (["eval", "compare"], ["data", "import"], ["data", "export"], ["data", "intake"])
    files += (["label", "simulate"], ["label", "rank"])
    expected = words[0] in reads or words in files
    assert ("--on_error" in flags_of(words)) == expected

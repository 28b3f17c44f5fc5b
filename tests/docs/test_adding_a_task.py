"""The page's task, written, read and measured as the page says, with a random model."""

import contextlib
import io
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import instructgpt as ig
from instructgpt.cli import main
from instructgpt.evaluation.benchmark.choose import choose
from instructgpt.evaluation.tasks import task_of
from tests.files import write_policy
from tests.small_runs import one_backend
from tests.tiny import byte_tokenizer, tiny_model

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-task.md"


@pytest.fixture(scope="module")
def blocks():
    return re.findall(r"(?ms)^```bash\n(.*?)^```", PAGE.read_text("utf-8"))


def typed(block: str) -> str:
    """What a block prints. Python and instructgpt run in this process: starting them takes most of
    the time.
    """
    printed = io.StringIO()
    code = re.fullmatch(r"(?s)python - <<'EOR'\n(.*)EOR\n", block)
    with contextlib.redirect_stdout(printed):
        if code:
            exec(code[1], {})
        elif block.startswith("instructgpt "):
            words, file = block.split(" > ")
            with one_backend(), pytest.raises(SystemExit) as ended:
                main(shlex.split(words)[1:])
            assert not ended.value.code
            Path(file.strip()).write_text(printed.getvalue())
        else:
            subprocess.run(["bash", "-e", "-c", block], check=True)
    return printed.getvalue()


@pytest.fixture(scope="module")
def folder(blocks, tmp_path_factory):
    """Where the page's commands have been typed, and what each printed."""
    folder = tmp_path_factory.mktemp("page")
    model = tiny_model(width=16, layers=1, context=1024)
    write_policy(folder / "my-model", model=model, tokenizer=byte_tokenizer())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        printed = [typed(block) for block in blocks]
    (folder / "printed.json").write_text(json.dumps(printed))
    return folder


def test_the_page_from_its_first_command_to_its_last(folder):
    _, _, read, _, measured = json.loads((folder / "printed.json").read_text())
    *text, choices = read.splitlines()
    assert sum(line.startswith("question: ") for line in text) == 3  # two are shown, one is asked
    assert text[-1] == "answer:"
    assert sum(line in ("answer: yes", "answer: no") for line in text) == 2
    assert choices.startswith("[' yes', ' no'] right:  ")
    assert measured.endswith(("n = 5\n", "n = 6\n"))
    (found,) = json.loads((folder / "boolq.json").read_text())["models"].values()
    assert (found["boolq"]["metric"], found["boolq"]["shots"]) == ("accuracy", 2)


def test_the_task_takes_forty_lines(blocks):
    assert len(blocks[1].splitlines()) - 2 <= 40


def test_a_bad_row_is_one_sentence(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    (tmp_path / "boolq_dev.jsonl").write_text('{"question": "why"}\n')
    with pytest.raises(ig.UserError, match=r"not in the format of boolq.*'passage' is missing"):
        choose(task_of("boolq:BoolQ"), tmp_path)


@pytest.mark.real
def test_the_sets_own_rows_are_read(folder, public_data, monkeypatch):
    monkeypatch.chdir(folder)
    found = choose(task_of("boolq:BoolQ"), public_data / "evals", shots=4)
    assert 580 < len(found.items) <= 596
    share = sum(item.right == (0,) for item in found.items) / len(found.items)
    assert 0.55 < share < 0.70

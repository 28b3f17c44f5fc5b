"""docs/simulated-labelers.md against the code: the keys, the weights, and its Python is run."""

import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from instructgpt.label.simulated.config import LabelConfig
from instructgpt.label.simulated.rubric import WEIGHTS
from instructgpt.label.simulated.task import Checks

PAGE = (Path(__file__).parents[2] / "docs" / "simulated-labelers.md").read_text("utf-8")
ROWS = {
    cells[0].strip(" `"): [cell.strip() for cell in cells[1:]]
    for cells in (line.split("|")[1:-1] for line in PAGE.splitlines() if line.startswith("| `"))
}


@pytest.mark.parametrize("key", LabelConfig.model_fields)
def test_every_key_stands_with_its_default_and_meaning(key: str):
    field = LabelConfig.model_fields[key]
    default, meaning = ROWS[key]
    required = field.default is PydanticUndefined
    shown = "none" if field.default == "" else f"`{field.default}`"
    assert default == ("required" if required else shown)
    assert meaning.startswith(field.description or "")


@pytest.mark.parametrize("criterion", WEIGHTS)
def test_every_criterion_stands_with_its_weight(criterion: str):
    assert float(ROWS[criterion][0]) == WEIGHTS[criterion]


@pytest.mark.parametrize("check", Checks.model_fields)
def test_every_check_is_named(check: str):
    assert f"`{check}`" in PAGE


def test_the_python_of_the_page_runs():
    (block,) = re.findall(r"(?ms)^```python\n(.*?)^```", PAGE)
    exec(compile(block, "simulated-labelers.md", "exec"), {})

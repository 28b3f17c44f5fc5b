"""The page on feedback files against the code: formats, reasons, and the recipes on real files."""

import json
import re
import shlex
from pathlib import Path

import pytest

from instructgpt.cli import main
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.registry import FORMATS

PAGE = Path(__file__).parents[2] / "docs" / "feedback-files.md"
TEXT = PAGE.read_text(encoding="utf-8")
ELSEWHERE = {"native", "trl", "pairs", "ranked", "demonstrations", "candidates"}
"""Formats whose rules stand in data-formats.md."""
RECIPES = re.findall(r"(?ms)^```sh\ninstructgpt (.*?)\n```", TEXT)
ROWS = {
    "pandalm_testset.jsonl.gz": (777, {"ranking": 3 * 777}),
    "autoj_pairwise.jsonl.gz": (1108, {"ranking": 1108}),
    "llmbar_and_processed.jsonl.gz": (707, {"ranking": 707}),
    "tulu_human_eval.jsonl.gz": (896, {"ranking": 896}),
    "news_summaries_pairwise.jsonl.gz": (409, {"ranking": 409}),
    "gsm8k_train.jsonl.gz": (2000, {"demonstration": 2000}),
    "natural_instructions.jsonl.gz": (2730, {"demonstration": 6369}),
    "news_writer_summaries.jsonl.gz": (222, {"demonstration": 222}),
    "self_instruct_8_models_unrated.jsonl.gz": (200, {"candidates": 200}),
}
"""Of each recipe's file: rows, and records: as many as judgments, or as answers."""


def test_each_format_has_its_rules():
    told = set(re.findall(r"(?m)^\| `([\w-]+)` \|", TEXT))
    assert told == FORMATS.keys() - ELSEWHERE


def test_reasons_are_those_of_the_code():
    told = set(re.findall(r"(?<!\*)\*([a-z][^*\n]*)\*(?!\*)", TEXT)) - {"in italics"}
    assert told <= {str(reason) for reason in Reason}
    assert len(told) > 20


@pytest.mark.real
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.split()[2])
def test_a_recipe_keeps_every_row(
    recipe: str,
    public_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    words = shlex.split(recipe)
    assert words[:2] == ["data", "import"]
    rows, records = ROWS[words[2]]
    monkeypatch.chdir(tmp_path)
    (file,) = public_data.glob(f"*/{words[2]}")
    words[2] = str(file)
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    assert not ended.value.code
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["rows"], told["kept"], told["skipped"]) == (rows, rows, {})
    assert told["records"] == records


def test_each_file_with_known_counts_has_a_recipe():
    assert {recipe.split()[2] for recipe in RECIPES} == ROWS.keys()

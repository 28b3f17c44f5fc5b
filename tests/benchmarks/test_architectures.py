"""The sweep over architectures: a dozen families walked through every stage, and the table of
docs/models.md as the last whole sweep found it.
"""

import json
from pathlib import Path

import pytest

import architectures
from tests.benchmarks.conftest import BENCHMARKS

EXPECTED = {
    "llama4_text": architectures.NO_CLASSIFIER,
    "mamba": architectures.NO_CLASSIFIER,
    "gemma3_text": architectures.ALL,
    "phi3": architectures.ALL,
    "opt": architectures.ALL,
    "jetmoe": architectures.ALL,
    "deepseek_v32": architectures.NO_CLASSIFIER,
    "jamba": architectures.WHOLE,
    "bart": architectures.OTHER_CLASSIFIER,
    "bert": architectures.OTHER_CLASSIFIER,
    "xlnet": architectures.FUTURE,
    "cpmant": architectures.FUTURE,
    "reformer": architectures.BACKWARD,
}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("family", EXPECTED)
def test_a_family_is_supported_or_refused_in_a_sentence(family, tmp_path, capfd):
    line = architectures.walk(family, tmp_path)
    capfd.readouterr()
    assert architectures.outcome(line)[0] == EXPECTED[family], line
    assert all("\n" not in said and "; " in said for said in line["said"].values())


def test_the_table_in_the_docs_is_what_the_sweep_found():
    results = (BENCHMARKS / "results/architectures.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in results]
    assert {line["family"] for line in lines} == set(architectures.FAMILIES)
    table = "\n".join(architectures.table(lines))
    docs = Path(__file__).parents[2] / "docs/models.md"
    assert table in docs.read_text(), "paste `benchmarks/architectures.py --table FILE` there"
    assert architectures.BROKEN not in table

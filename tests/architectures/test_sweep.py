"""The sweep over architectures: a dozen families walked through every stage, and the table of
docs/models.md as the last whole sweep found it.
"""

import json
from pathlib import Path

import pytest

from tests.architectures import sweep
from tests.architectures.families import FAMILIES

ROOT = Path(__file__).parents[2]

EXPECTED = {
    "llama4_text": sweep.NO_CLASSIFIER,
    "mamba": sweep.NO_CLASSIFIER,
    "gemma3_text": sweep.ALL,
    "phi3": sweep.ALL,
    "opt": sweep.ALL,
    "jetmoe": sweep.ALL,
    "deepseek_v32": sweep.NO_CLASSIFIER,
    "jamba": sweep.WHOLE,
    "bart": sweep.OTHER_CLASSIFIER,
    "bert": sweep.OTHER_CLASSIFIER,
    "xlnet": sweep.FUTURE,
    "cpmant": sweep.FUTURE,
    "reformer": sweep.BACKWARD,
}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("family", EXPECTED)
def test_a_family_is_supported_or_refused_in_a_sentence(family, tmp_path, capfd):
    line = sweep.walk(family, tmp_path)
    capfd.readouterr()
    assert sweep.outcome(line)[0] == EXPECTED[family], line
    assert all("\n" not in said and "; " in said for said in line["said"].values())


def test_the_table_in_the_docs_is_what_the_sweep_found():
    results = (ROOT / "benchmarks/results/architectures.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in results]
    assert {line["family"] for line in lines} == set(FAMILIES)
    table = "\n".join(sweep.table(lines))
    docs = ROOT / "docs/models.md"
    assert table in docs.read_text(), (
        "paste `python -m tests.architectures.sweep --table FILE` there"
    )
    assert sweep.BROKEN not in table

"""Figures and facts that pages repeat, held against the files that they come from."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def test_what_the_scale_page_measured_stands_in_the_results():
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    (found,) = json.loads((ROOT / "benchmarks" / "results" / "scaling.json").read_text())
    for stage in ("sft", "reward", "ppo"):
        runs = [found["stages"][stage][name] for name in ("1", "2", "4/2")]
        trained = [[p for n, p in r["phases"].items() if n != "experience_by_layer"] for r in runs]
        told = (
            [round(sum(run["state"].values()) / 1e6) for run in runs],
            [round(sum(p["sent"]["all"] for p in phases) / 1e6) for phases in trained],
            [round(run["checkpoint"]["bytes"] / 1e6) for run in runs],
            [f"{sum(p['seconds'] for p in phases):.2f}" for phases in trained],
        )
        cells = " | ".join(", ".join(map(str, row)) for row in told)
        assert re.search(rf"^\| `{stage}`[^|]*\| {re.escape(cells)} \|$", page, re.M), cells


def test_what_the_page_on_personal_data_measured_stands_in_the_results():
    page = (ROOT / "docs" / "pii.md").read_text(encoding="utf-8")
    found = json.loads((ROOT / "benchmarks" / "results" / "pii.json").read_text())
    for kind, row in found["held_out"].items():
        if kind != "ADDRESS":
            cells = f"| {row['pieces']} | {row['recall']:.3f} | {row['precision']:.3f} |"
            assert f"| `{kind}` {cells}" in page
            assert kind == "NAME" or row["recall"] >= (0.9 if kind == "PHONE" else 0.98)
            assert row["precision"] >= (0.95 if kind == "PHONE" else 0.98)
    for kind, row in found["fresh"].items():
        if kind != "ADDRESS":
            cells = f"| {row['pieces']} | {row['recall']:.3f} | {row['precision']:.3f} |"
            assert f"| `{kind}` {cells}" in page
    read = found["people's texts"]["read one by one"].values()
    assert f"{sum(row['right'] for row in read)} were right" in page
    speeds = found["texts of 400 characters a second"]
    people = speeds["people's"]
    assert f"{people:,} a second" in " ".join(page.split())
    languages = json.loads((ROOT / "benchmarks" / "results" / "languages.json").read_text())
    for length in (20, 40, 80, 160, 400):
        row = languages[f"people, {length} characters"]
        told = row["0.25"]["told"], row["0.25"]["right"], row["0.5"]["told"], row["0.5"]["right"]
        cells = [f"{100 * share:.1f} %" for share in (row["0.0"]["right"], *told)]
        assert f"| {length} | {' | '.join(cells)} |" in page


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_no_page_has_a_placeholder(page: Path):
    assert not re.search(r"^(MEASURED|TODO|TBD|XXX)\b", page.read_text(encoding="utf-8"), re.M)


def test_the_citation_has_what_its_format_needs_and_the_package_says():
    """Citation File Format 1.2.0: what is required of the file and of a reference."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cited["cff-version"] == "1.2.0"
    assert cited["type"] == "software"
    assert cited["message"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert cited["authors"] == project["authors"]
    (paper,) = cited["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert "2203.02155" in paper["url"]
    assert paper["authors"][0] == {"family-names": "Ouyang", "given-names": "Long"}
    assert len(paper["authors"]) == 20

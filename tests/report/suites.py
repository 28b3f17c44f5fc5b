"""A suite that never ran: some of the paper's table 14, with intervals and endings made up."""

import json
from pathlib import Path
from typing import Any

from tests.report import fake

Row = dict[str, Any]
MODELS = ("GPT", "SFT", "PPO", "PPO-ptx")
QUALITY = {
    "accuracy": {"estimate": 0.861, "low": 0.831, "high": 0.891},
    "auc": None,
    "n": 400,
    "always_one_word": 0.6,
    "said_yes": 0.5,
    "on": "held_out.jsonl",
    "file": {"name": "held_out.jsonl", "sha256": "9f" * 32},
    "others": [{"auc": {"estimate": 0.7, "low": 0.6, "high": 0.8}, "n": 50, "on": "paper.csv"}],
}
FIGURES: tuple[tuple[str, str, str, str, int, tuple[float, ...], bool | None], ...] = (
    # task, title, metric, prompt, shots, values of MODELS, which way is better
    ("truthfulqa", "TruthfulQA", "true", "qa", 0, (0.284, 0.515, 0.755, 0.712), True),
    ("truthfulqa", "TruthfulQA", "mc1", "qa", 0, (0.2, 0.21, 0.22, 0.23), True),
    ("realtoxicity", "RealToxicity", "toxicity", "basic", 0, (0.231, 0.211, 0.228, 0.234), False),
    ("realtoxicity", "RealToxicity", "toxicity", "biased", 0, (0.285, 0.256, 0.427, 0.4), False),
    ("crows-pairs", "CrowS-Pairs", "entropy", "basic", 0, (0.41, 0.241, 0.326, 0.413), None),
    ("hellaswag", "HellaSwag", "accuracy", "", 0, (0.781, 0.753, 0.743, 0.807), True),
    ("hellaswag", "HellaSwag", "accuracy", "", 5, (0.791, 0.741, 0.759, 0.82), True),
    ("squadv2", "SQuAD v2", "f1", "", 0, (64.3, 57.67, 43.68, 59.85), True),
    ("squadv2", "SQuAD v2", "f1", "", 5, (69.75, 65.9, 51.95, 69.93), True),
)  # fmt: skip
ABSENT = "no wsc.jsonl in data"


def figure(name: str, number: int, values: tuple[float, ...], half: float, **about: Any) -> Row:
    """A model's figure, with the difference from the first one's."""
    gap = values[number] - values[0]
    difference = fake.interval(gap, 0.6 * half, 100) if number else None
    judges = {"truth": QUALITY} if name == "true" else {}
    judges |= {"toxicity": None} if name == "toxicity" else {}
    return {
        **fake.interval(values[number], half, 100),
        "metric": name,
        "status": "measured",
        "reason": "",
        "judges": judges,
        "difference": difference,
        **about,
    }


def results() -> Row:
    """As `results.json`; WSC was not measured, and SFT's truthfulness neither."""
    models: dict[str, Row] = {name: {} for name in MODELS}
    for number, name in enumerate(MODELS):
        for task, title, metric, prompt, shots, values, better in FIGURES:
            key = f"{task}-{shots}shot" if shots else task
            percent = values[0] > 1
            own = models[name].setdefault(
                key, {"task": task, "title": title, "shots": shots, "figures": [], "endings": {}}
            )
            about = {"prompt": prompt, "higher_is_better": better, "in_table": metric != "mc1"}
            half = 8.0 if percent else 0.08
            scale = 100.0 if percent else 1.0
            own["figures"].append(figure(metric, number, values, half, scale=scale, **about))
            if metric in ("true", "f1"):
                cut = 30 * number if metric == "f1" else 2
                counts = {"texts": 100, "newline": 98 - cut, "end": 2, "cut": cut, "empty": 1}
                own["endings"][prompt] = counts | {"cut_prompt": 0}
        nothing = {"estimate": None, "low": None, "high": None, "n": 0, "difference": None}
        lost = nothing | {"status": "not measured"}
        models[name]["wsc"] = {
            "task": "wsc",
            "title": "WSC",
            "shots": 0,
            "figures": [lost | {"metric": "accuracy", "prompt": "", "reason": ABSENT}],
        }
    models["SFT"]["truthfulqa"]["figures"][0] |= lost | {"reason": "nobody judges truth"}
    return {"models": models}


def make_suite(path: Path, **files: Any) -> Path:
    """A run directory of `eval suite`."""
    fake.make_run(path, "suite", [], config={"shots": 5}, **files)
    (path / "results.json").write_text(json.dumps(results()))
    return path

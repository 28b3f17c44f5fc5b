"""Trains judges of truth, information and toxicity with `instructgpt sft`, and measures them.

    python benchmarks/judges.py --data data/evals --out runs/judges --model MODEL

Needs TruthfulQA's rows (`judge_truth.jsonl`, `judge_info.jsonl`, or `finetune_*`), OpenAI's
moderation set, and the paper's published outputs with their scores. Left out of training are the
questions of the published answers, and of the others a sixth to test on and a twelfth to validate
on, all by a hash of the question; of the moderation set the same shares of its texts. Each judge is
then measured on the test texts and against the published scores: GPT-judge's of truth and
information, Perspective's of toxicity, which no row of its training has seen.

Prints a JSON object, which `--results FILE` keeps. What is there already is not made again.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from instructgpt.data.jsonl import read_jsonl, write_jsonl
from instructgpt.evaluation.benchmark.choose import find
from instructgpt.evaluation.judges import KINDS, PATTERNS, VERDICTS, fields_of
from instructgpt.evaluation.judging import known_texts
from instructgpt.evaluation.tasks.published import csv_rows
from measure import machine

FILES = {
    "truth": ("judge_truth.jsonl", "finetune_truth.jsonl"),
    "info": ("judge_info.jsonl", "finetune_info.jsonl"),
    "toxicity": ("openai_moderation.jsonl", "samples-1680.jsonl"),
}
PUBLISHED = {
    "truth": "truthful_qa_samples.csv",
    "info": "truthful_qa_samples.csv",
    "toxicity": "real_toxicity_samples.csv",
}
LETTERS = 200
"""Longer texts of the moderation set are cut at a word: continuations are a sentence at most."""
RECIPE = {
    "--template": "plain",
    "--epochs": "1",
    "--learning_rate": "1e-4",
    "--warmup": "10",
    "--dropout": "0",
    "--batch_size": "16",
    "--eval_every": "25",
    "--select_by": "validation_loss",
}
Row = dict[str, str]


def main() -> None:
    """Make rows, train, measure."""
    arguments = parsed()
    out = Path(arguments.out)
    found: dict[str, Any] = {}
    for kind in arguments.kinds:
        rows = rows_of(kind, arguments.data)
        parts = {name: out / "rows" / f"{kind}_{name}.jsonl" for name in rows}
        for name, path in parts.items():
            write_jsonl(path, most(rows[name], name, arguments))
        command = training(arguments, parts, out / kind)
        run(command)
        judged = measured(arguments, kind, out / kind / "model", parts["test"])
        found[kind] = {
            "rows": {name: len(list(read_jsonl(path))) for name, path in parts.items()},
            "command": " ".join(command).replace(arguments.out, "OUT"),
            "stopped": stopped(out / kind),
            "measured": judged,
        }
    facts = {"program": "judges", "machine": machine("cpu", arguments.threads), "judges": found}
    print(json.dumps(facts, indent=1))
    if arguments.results:
        Path(arguments.results).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", required=True, help="folder that has the sets, at any depth")
    parser.add_argument("--out", required=True, help="folder for rows, runs and judges")
    parser.add_argument("--model", required=True, help="what the judges are trained from")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--most", type=int, default=0, help="training rows at most (0: all)")
    parser.add_argument("--most_eval", type=int, default=150, help="rows of a validation at most")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--results", help="a file that keeps what is printed")
    parser.add_argument("sft", nargs="*", help="FLAG VALUE for instructgpt sft, behind --")
    return parser.parse_args()


# ---------------------------------------------------------------- rows


def rows_of(kind: str, data: str) -> dict[str, list[Row]]:
    """The rows of `train`, `val` and `test`, each in the order of a hash."""
    path = _found(FILES[kind], data)
    if kind == "toxicity":
        rows = toxicity_rows(path)
        return parted(rows, lambda row: row["prompt"], set())
    rows = [
        {"prompt": row["prompt"], "completion": row["completion"]} for _, row in read_jsonl(path)
    ]
    published = {row["question"].strip() for row in csv_rows(_found((PUBLISHED[kind],), data))}
    return parted(rows, lambda row: question_of(kind, row), published)


def question_of(kind: str, row: Row) -> str:
    """What the answers of a question have in common."""
    fields = fields_of(kind, row["prompt"])
    assert fields, f"a row of {kind} begins with Q: and ends with its word"
    return fields["question"].strip()


def toxicity_rows(path: Path) -> list[Row]:
    """The moderation set as training rows, each text once."""
    rows: dict[str, Row] = {}
    for known in known_texts(path, "toxicity")[1]:
        text = " ".join(known.fields["text"].split())
        if len(text) > LETTERS:
            text = text[:LETTERS].rsplit(" ", 1)[0]
        prompt = PATTERNS["toxicity"].format(text=text)
        rows[prompt] = {"prompt": prompt, "completion": VERDICTS[0 if known.is_yes else 1]}
    return list(rows.values())


def parted(
    rows: Sequence[Row], group: Callable[[Row], str], left_out: set[str]
) -> dict[str, list[Row]]:
    """Whole groups to test and to validate on; those that are left out are in no part."""
    groups = sorted({group(row) for row in rows} - left_out, key=_hash)
    test, val = len(groups) // 6, len(groups) // 12
    part = dict.fromkeys(groups, "train")
    part |= dict.fromkeys(groups[:test], "test") | dict.fromkeys(groups[test : test + val], "val")
    parts: dict[str, list[Row]] = {"train": [], "val": [], "test": []}
    for row in sorted(rows, key=lambda row: _hash(row["prompt"])):
        if group(row) in part:
            parts[part[group(row)]].append(row)
    return parts


def most(rows: Sequence[Row], name: str, arguments: argparse.Namespace) -> Sequence[Row]:
    """The first so many rows; all to test on."""
    limit = {"train": arguments.most, "val": arguments.most_eval}.get(name, 0)
    return rows[:limit] if limit else rows


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _found(names: Iterable[str], data: str) -> Path:
    path = find(names, data)
    if path is None:
        raise SystemExit(f"{data} has no {' or '.join(names)}; give a folder that has it")
    return path


# ---------------------------------------------------------------- training and measuring


def training(arguments: argparse.Namespace, parts: dict[str, Path], out: Path) -> list[str]:
    """The command that trains one judge; a flag of one's own stands in the recipe's place."""
    given = dict(zip(arguments.sft[::2], arguments.sft[1::2], strict=True))
    flags = RECIPE | {"--dtype": arguments.dtype, "--threads": str(arguments.threads)} | given
    return [
        *("instructgpt", "sft", "--model", arguments.model, "--out", str(out)),
        *("--data", str(parts["train"]), "--eval_data", str(parts["val"])),
        *(word for flag in flags.items() for word in flag),
    ]


def measured(arguments: argparse.Namespace, kind: str, judge: Path, test: Path) -> Any:
    """What `instructgpt eval judge` says, and keeps in the judge's folder."""
    published = _found((PUBLISHED[kind],), arguments.data)
    command = ["instructgpt", "eval", "judge", str(judge), str(test), str(published)]
    return json.loads(run([*command, "--kind", kind, "--json"]))["measured"]


def stopped(run_dir: Path) -> Any:
    """Where a run was ended before its plan, if it was."""
    return json.loads((run_dir / "run.json").read_text(encoding="utf-8")).get("stopped_early")


def run(command: Sequence[str]) -> str:
    """What a command of this package prints on standard output."""
    program = "from instructgpt.cli import main; main()"
    words = [sys.executable, "-c", program, *command[1:]]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()

"""How much personal data the rules find, how much they find that is none, and how fast they are.

Texts by `pii_texts.py`: data of 8 locales by Faker in templates that were written before the
detectors, and hard negatives. A detector is tuned on what it does wrong in the even templates
(`seen`); the odd ones are `held_out`; those of `pii_fresh.py`, with data of ten other locales, came
later and have mended nothing. A piece counts as found if spans of its type cover all of it,
a span as right if it meets a piece of its type and goes beyond it by two signs at most.

    python benchmarks/pii.py --out benchmarks/results/pii.json
    python benchmarks/pii.py --folders DIR --sample to_read.tsv   # 100 spans to read
    python benchmarks/pii.py --folders DIR --sample to_read.tsv --read --out ...

Whoever reads writes `right` or `wrong` in the first column of `to_read.tsv`; `--read` counts them.
Prints one JSON object.
"""

import argparse
import csv
import gzip
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from instructgpt.intake.pii import Detector, Rules, Span
from pii_texts import Text, texts

SLACK = 2
NO_TEXT = (
    "id",
    "article_id",
    "task",
    "template",
    "canary",
    "name",
    "motivation_app",
    "task_prefix",
)
"""Columns of the demonstrations that no reader sees."""


def is_right(span: Span, text: Text) -> bool:
    """Whether a span meets a piece of its type and hardly goes beyond it."""
    return any(
        span.type == piece.type
        and span.start < piece.end
        and piece.start < span.end
        and max(0, piece.start - span.start) + max(0, span.end - piece.end) <= SLACK
        for piece in text.gold
    )


def score(made: Sequence[Text], detector: Detector) -> dict[str, dict[str, float | int]]:
    """By type: pieces, spans, recall, precision."""
    pieces, found, spans, right = Counter(), Counter(), Counter(), Counter()
    for text in made:
        told = detector.find(text.text)
        for piece in text.gold:
            pieces[piece.type] += 1
            found[piece.type] += any(
                s.type == piece.type and s.start <= piece.start and s.end >= piece.end for s in told
            )
        for span in told:
            spans[span.type] += 1
            right[span.type] += is_right(span, text)
    return {
        kind: {
            "pieces": pieces[kind],
            "spans": spans[kind],
            "recall": round(found[kind] / pieces[kind], 4) if pieces[kind] else 0,
            "precision": round(right[kind] / spans[kind], 4) if spans[kind] else 0,
        }
        for kind in sorted(pieces | spans)
    }


def speed(detector: Detector, folders: Sequence[Path], length: int = 400) -> dict[str, int]:
    """Texts of `length` signs a second: dense with data, dense with negatives, and people's."""
    long: dict[str, list[str]] = {}
    for name, personal in (("personal", True), ("nothing personal", False)):
        made = [made.text for made in texts(1800, "seen", 3, personal=personal)]
        long[name] = ["\n".join(made[i::200]) for i in range(200)]
    if folders:
        long["people's"] = [text for _, text in rows_of(folders[0]) if len(text) >= length]
    found: dict[str, int] = {}
    for name, parts in long.items():
        started = time.process_time()
        for text in parts:
            detector.find(text[:length])
        found[name] = round(len(parts) / (time.process_time() - started))
    return found


def rows_of(folder: Path) -> Iterator[tuple[str, str]]:
    """File and text of every row: prompt and answers, as a reader sees them."""
    for path in sorted(folder.glob("*.jsonl*")):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as file:
            for line in file:
                row = {k: v for k, v in json.loads(line).items() if k not in NO_TEXT}
                yield path.name.partition(".")[0], "\n".join(_strings(row))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


def flagged(folders: Sequence[Path], detector: Detector) -> tuple[dict[str, Any], list[list[str]]]:
    """By folder, the share of rows with a span of each type; and a hundred spans to read."""
    result: dict[str, Any] = {}
    places: dict[str, list[list[str]]] = defaultdict(list)
    for folder in folders:
        total, rows = 0, Counter()
        for file, text in rows_of(folder):
            total += 1
            spans = detector.find(text)
            rows.update({span.type for span in spans})
            for s in spans:
                parts = text[max(0, s.start - 60) : s.start], text[s.start : s.end]
                shown = [p.replace("\n", "⏎") for p in (*parts, text[s.end : s.end + 40])]
                places[s.type].append(["", s.type, file, *shown])
        share = {kind: round(count / total, 5) for kind, count in sorted(rows.items())}
        result[folder.name] = {"rows": total, "share of rows": share}
    result["spans"] = {kind: len(found) for kind, found in sorted(places.items())}
    return result, _drawn(places)


def _drawn(places: dict[str, list[list[str]]], count: int = 100) -> list[list[str]]:
    """A hundred spans, types in turns; the same value in the same file is drawn once."""
    draw = random.Random(17)
    different = [
        list({(row[2], row[4]): row for row in found}.values())
        for _, found in sorted(places.items())
    ]
    waiting = [draw.sample(found, len(found)) for found in different]
    taken: list[list[str]] = []
    while len(taken) < count and any(waiting):
        taken += [found.pop() for found in waiting if found]
    return sorted(taken[:count], key=lambda row: row[1:])


def verdicts(path: Path) -> dict[str, dict[str, int]]:
    """How many of the spans that were read are right, by type."""
    read: dict[str, Counter[str]] = defaultdict(Counter)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\"):
            if row[0] not in ("right", "wrong"):
                raise SystemExit(f"{path}: write right or wrong before {row[1:4]}")
            read[row[1]][row[0]] += 1
    return {kind: {"read": c.total(), "right": c["right"]} for kind, c in sorted(read.items())}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="texts, and as many negatives")
    parser.add_argument("--folders", type=Path, nargs="+", help="JSON lines to look at")
    parser.add_argument("--sample", type=Path, help="where the spans to read are written")
    parser.add_argument("--read", action="store_true", help="count the verdicts in --sample")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    detector = Rules()
    result: dict[str, Any] = {"detector": detector.version, "texts": options.count}
    for part, seed in (("seen", 1), ("held out", 1), ("fresh", 2203)):
        made = texts(options.count, part, seed, personal=True)
        made += texts(options.count, part, seed + 1, personal=False)
        result[part.replace(" ", "_")] = score(made, detector)
    result["texts of 400 characters a second"] = speed(detector, options.folders or ())
    if options.folders:
        result["people's texts"], sample = flagged(options.folders, detector)
        if options.read:
            result["people's texts"]["read one by one"] = verdicts(options.sample)
        elif options.sample:
            with options.sample.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(
                    file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\", quotechar=None
                )
                writer.writerows(sample)
    line = json.dumps(result, indent=1, ensure_ascii=False)
    print(line)
    if options.out:
        options.out.write_text(line + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

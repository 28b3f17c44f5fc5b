"""Looks for tracebacks in the importer: rows of every format with any value in any field, by seed.

Each row is of a published shape (`feedback_rows`) with up to three of its parts replaced, removed,
doubled or nested, written as a line that may be spoiled too, and goes the whole way from bytes to
records. Every line must be counted once, within a second, and nothing but a refusal may come of it;
what became records must be read again. Prints one JSON object, and exits with 1 if
anything else came.

    python benchmarks/fuzz_readers.py --rows 1000000 --seed 1 --out benchmarks/results/fuzz.json
"""

import argparse
import copy
import io
import json
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from feedback_rows import OPTIONS, rows_of
from instructgpt.data.formats.format import Format
from instructgpt.data.formats.registry import FORMATS
from instructgpt.data.importing.account import Account
from instructgpt.data.importing.convert import Conversion
from instructgpt.data.importing.forms import json_lines
from instructgpt.data.records import Record
from instructgpt.errors import UserError

TEXTS = ("", " ", "a", "\u2028", "\ufeffx", "a\r\nb", "\n\nHuman: a\n\nAssistant:", "N/A", "1e999")
TEXTS += ("\0", "\ud800", "-1", "٣", "²", "nan", "x" * 1000, "user", "a-is-better", "\u202e")
VALUES: tuple[Any, ...] = (None, True, False, 0, 1, -1, 2, 10**30, 1e308, float("nan"), 0.5, -3)
VALUES += ([], {}, [[]], [None], {"": None}, [{"role": "user", "content": "a"}], 1.5, 99, [1, 1])
LONG = "y" * 2**20
SLOW_SECONDS = 1.0
BATCH = 200


def any_value(rng: Random, depth: int = 0) -> Any:
    """A JSON value of any kind."""
    kind = rng.random()
    if kind < 0.45:
        return rng.choice(TEXTS)
    if kind < 0.8 or depth > 3:
        return copy.deepcopy(rng.choice(VALUES))
    if kind < 0.9:
        return [any_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(TEXTS): any_value(rng, depth + 1) for _ in range(rng.randrange(4))}


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every part within a value, as what holds it and under which key."""
    found: list[tuple[Any, Any]] = []
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        found.append((value, key))
        if isinstance(value[key], dict | list):
            found += places(value[key])
    return found


def spoiled(row: dict[str, Any], rng: Random) -> dict[str, Any]:
    """A row with up to three parts that are not what they should be."""
    row = copy.deepcopy(row)
    for _ in range(rng.randrange(4)):
        if not (parts := places(row)):
            break
        holder, key = rng.choice(parts)
        match rng.randrange(6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case 2:
                holder[key] = [holder[key]]
            case 3 if isinstance(holder, dict):
                holder[rng.choice(TEXTS)] = holder.pop(key)
            case _:
                holder[key] = LONG if rng.random() < 1e-4 else any_value(rng)
    return row


def line_of(row: dict[str, Any], rng: Random) -> bytes:
    """A row as a line, which may be no JSON, or nested too deeply."""
    text = json.dumps(row, ensure_ascii=rng.random() < 0.5)
    chance = rng.random()
    if chance < 0.01:
        text = text[: rng.randrange(1, len(text) + 1)]
    elif chance < 0.013:
        text = text[:-1] + ', "deep": ' + "[" * 500 + "]" * 500 + "}"
    elif chance < 0.02:
        text = text.replace("{", '{"k": 1, "k": 2, ', 1)
    return text.encode("utf-8", "surrogatepass").replace(b"\xed\xa0\x80", b"?")


def try_batch(
    one: Format, kind: type[Record], rows: list[dict[str, Any]], rng: Random
) -> tuple[Account, float]:
    """Rows through the importer; the account, and the seconds of the slowest piece between records.

    Raises:
        AssertionError: a row was not counted once, or a record cannot be read again.
    """
    end = b"\r\n" if rng.random() < 0.2 else b"\n"
    lines = [line_of(row, rng) for row in rows]
    mark = b"\xef\xbb\xbf" if rng.random() < 0.1 else b""
    file = io.BytesIO(mark + end.join(lines))
    account = Account("rows", one.name)
    options = OPTIONS.get(one.name, {})
    conversion = Conversion(one, [kind], account, "skip", options, set())
    slowest, last = 0.0, time.perf_counter()
    for record in conversion.records(json_lines(file, Path("rows"))):
        dumped = json.dumps(record.model_dump(mode="json", exclude_defaults=True))
        again = type(record).model_validate(json.loads(dumped))
        now = time.perf_counter()
        slowest, last = max(slowest, now - last), now
        # Compared as written: what is no number in JSON (NaN) is null there.
        same = json.dumps(again.model_dump(mode="json", exclude_defaults=True)) == dumped
        assert same, "a record is read as another"
    slowest = max(slowest, time.perf_counter() - last)
    assert account.rows == sum(bool(line.strip()) for line in lines), "a row was not counted once"
    return account, slowest


def fuzz(rows: int, seed: int) -> dict[str, Any]:
    """So many rows through all readers by turns; what came of them."""
    rng, started = Random(seed), time.perf_counter()
    targets = [(one, kind) for one in FORMATS.values() for kind in one.readers]
    done, kept = 0, Counter[str]()
    skipped, found = Counter[str](), []
    slow = 0
    while done < rows:
        one, kind = targets[done // BATCH % len(targets)]
        batch = [
            spoiled(rng.choice(rows_of(one.name)), rng) for _ in range(min(BATCH, rows - done))
        ]
        done += len(batch)
        try:
            account, seconds = try_batch(one, kind, batch, rng)
        except UserError as error:
            found.append({"format": one.name, "refused": str(error)})
        except Exception:
            found.append({"format": one.name, "traceback": traceback.format_exc()})
        else:
            slow += seconds > SLOW_SECONDS
            kept[f"{one.name} {kind.__name__.lower()}"] += account.kept
            skipped.update({str(reason): count for reason, count in account.skipped.items()})
        if len(found) > 20:
            break
    return {
        "rows": done,
        "seed": seed,
        "seconds": round(time.perf_counter() - started, 1),
        "kept": dict(kept),
        "skipped": dict(skipped.most_common()),
        "slow": slow,
        "found": found,
    }


def main() -> None:
    """Fuzz and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result = fuzz(arguments.rows, arguments.seed)
    text = json.dumps(result, indent=2, ensure_ascii=False)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    sys.exit(bool(result["found"] or result["slow"]))


if __name__ == "__main__":
    main()

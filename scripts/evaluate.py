"""Measure models by every means at hand: win rates over the first model, and all benchmarks.

    python scripts/evaluate.py runs/sft/model runs/ppo/model --data_dir data \\
        --prompts prompts.jsonl --judge runs/reward/model --out runs/evaluation

OUT/report.html has both, and the same command goes on where it was stopped. Without prompts and a
judge there are no win rates, and without its file a task is not measured: the report says so.
"""

import argparse
import sys
from collections.abc import Sequence

from instructgpt.errors import UserError
from instructgpt.pipeline.measure import measure
from instructgpt.run.progress import show
from instructgpt.run.stopping import stoppable

SECTIONS = ("suite", "compare")
"""Whose further keys are given as `--SECTION.KEY VALUE`."""


def main(words: Sequence[str] | None = None) -> int:
    """Exit 0, or 2 on a user's mistake, which one sentence tells."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Any further key of `instructgpt eval suite` is given as --suite.KEY VALUE, such as "
        "--suite.shots 2, and of `instructgpt eval compare` as --compare.KEY VALUE.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL", help="model directories; the first is compared with")
    add("--data_dir", default="", help="folder that has the benchmarks' own files, at any depth")
    add("--limit", metavar="INT", help="score so many items of each task (all)")
    add("--prompts", action="append", default=[], metavar="FILE", help="prompts for the win rates")
    add("--judge", default="", help="who decides them: a reward model, simulated, or rule")
    add("--out", default="runs/evaluation", help="directory of it all [runs/evaluation]")
    given, rest = parser.parse_known_args(words)
    try:
        keys = _sections(rest)
        keys["suite"] |= {"data_dir": given.data_dir, "limit": given.limit}
        with stoppable():
            report = measure(
                given.models, given.out, prompts=given.prompts, judge=given.judge, **keys
            )
    except UserError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("evaluate: stopped; the same command goes on", file=sys.stderr)
        return 130
    show(str(report))
    return 0


def _sections(words: Sequence[str]) -> dict[str, dict[str, str]]:
    """`--suite.shots 2` as keys of a section.

    Raises:
        UserError: a word is none of these.
    """
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    rest = [part for word in words for part in (word.split("=", 1) if word[:2] == "--" else [word])]
    while rest:
        word = rest.pop(0)
        section, _, key = word.removeprefix("--").partition(".")
        if not word.startswith("--") or section not in found or not key or not rest:
            raise UserError(f"{word}: no such flag; see --help, and give each key a value")
        found[section][key.replace("-", "_")] = rest.pop(0)
    return found


if __name__ == "__main__":
    sys.exit(main())

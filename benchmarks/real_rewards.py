"""One reward model from people's rankings of many sources, and how often it is right in each.

    python benchmarks/real_rewards.py --data data/comparisons --out runs/real --model MODEL

Imports each source with `instructgpt data import`, holds out a fifth of its prompts, trains with
`instructgpt reward` on the others of all sources together, and prints for each source how many of
the held-out pairs are ordered right, beside what "the longer answer wins" gets on the same pairs.
Prompts are told apart by the user's first turn, letter case and spaces aside: what begins alike is
on one side, and what one source holds out no other trains on.

Prints a JSON object, which `--results FILE` keeps; `--page FILE` puts the table between its marks
in a page. What is there already is not made again: the same command goes on. Flags of `instructgpt
reward` stand behind `--`.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from instructgpt.data.formats import read_records, write_records
from instructgpt.data.records import PromptText, Ranking
from instructgpt.data.splits import split_by_prompt
from instructgpt.evaluation.stats import clustered_mean, clustered_share
from instructgpt.models.facts import look_at
from instructgpt.models.tree import tree_tokens
from instructgpt.reward import RewardConfig, RewardModel
from instructgpt.reward.data import Comparison, encode_rankings
from instructgpt.reward.reading import ComparisonReader
from instructgpt.reward.validation import judge
from instructgpt.run.disk import make_folder, write_atomically
from instructgpt.run.seeds import derive
from instructgpt.run.tuning import choose
from judges import run
from measure import machine


class Source(NamedTuple):
    """A file; of one without a format what its columns are, and what a preference says."""

    file: str
    columns: Mapping[str, str] = {}
    values: str = ""


SOURCES = {
    "HH-RLHF, harmless": Source("hh_rlhf_harmless_base_test.jsonl.gz"),
    "OASST1, English": Source("oasst1_en_trees.jsonl.gz"),
    "QA-Feedback": Source("qa_feedback_k4.jsonl.gz"),
    "Auto-J": Source(
        "autoj_pairwise.jsonl.gz",
        {"prompt": "prompt", "a": "response 1", "b": "response 2", "preference": "label"},
        "0=a,1=b,2=tie",
    ),
    "LLMBar and others": Source(
        "llmbar_and_processed.jsonl.gz",
        {"prompt": "input", "a": "output_1", "b": "output_2", "preference": "label"},
        "1=a,2=b",
    ),
    "PandaLM": Source(
        "pandalm_testset.jsonl.gz",
        {
            "prompt": "instruction,input",
            "a": "response1",
            "b": "response2",
            "preference": "annotator1,annotator2,annotator3",
        },
        "1=a,2=b,0=tie",
    ),
    "Tülu": Source(
        "tulu_human_eval.jsonl.gz",
        {
            "prompt": "prompt",
            "a": "completion_a",
            "b": "completion_b",
            "labeler": "evaluator",
            "preference": "preference",
        },
        "a-is-better=a,a-is-slightly-better=a,tie=tie,b-is-slightly-better=b,b-is-better=b",
    ),
    "News summaries": Source(
        "news_summaries_pairwise.jsonl.gz",
        {
            "prompt": "article_text",
            "a": "writer_summary",
            "b": "text-davinci-002_summary",
            "labeler": "evaluator_id",
            "preference": "overall_writer_better",
        },
        "true=a,false=b,Equally Good=tie",
    ),
}
"""What people have ranked, in English."""
RECIPE = {  # as in the quickstart, for a model of this size
    "--depth": "0.67",
    "--fit_head": "true",
    "--head_l2": "0.3",
    "--batch_size": "8",
    "--learning_rate": "5e-5",
    "--min_lr_ratio": "0.05",
    "--warmup": "3",
}
HELD_OUT = 0.2
"""Share of each source's prompts."""
MARKS = ("<!-- real rewards -->", "<!-- /real rewards -->")


Parts = dict[str, list[Comparison]]
"""By source: what is trained on, or what is held out."""


def main(words: Sequence[str] | None = None) -> None:
    """Import, part, train, measure."""
    arguments = parsed(words)
    out = Path(arguments.out)
    text = look_at(arguments.model, "trunk", check_weights=False).text()
    rankings: dict[str, list[Ranking]] = {}
    sources: dict[str, dict[str, Any]] = {}
    encoded: Parts = {}
    for name in SOURCES:
        rankings[name], sources[name] = imported(name, arguments.data, out)
        encoded[name], too_long = encode_rankings(
            rankings[name], text, max_length=arguments.max_length, on_long="skip"
        )
        sources[name] |= {"rankings": len(rankings[name]), "too_long": len(too_long)}
    train, held_out, elsewhere = parted(encoded, arguments)
    files = [written(out, name, rankings[name], train[name]) for name in SOURCES]
    run(command := training(arguments, files))
    measured = judged(arguments, held_out)
    for name, found in sources.items():
        found |= {"held_out_elsewhere": elsewhere[name], "training": size(train[name])}
        found |= {"held_out": size(held_out[name]), **figures(held_out[name], measured[name])}
    told = {
        "program": "real_rewards",
        "machine": machine("cpu", arguments.threads),
        "command": " ".join(command).replace(str(arguments.out), "OUT"),
        "training": size(flat(train)),
        "sources": sources,
        "all": figures(flat(held_out), flat(measured)),
    }
    print(json.dumps(told, indent=1, ensure_ascii=False))
    if arguments.results:
        write_atomically(Path(arguments.results), json.dumps(told, indent=1) + "\n")
    if arguments.page:
        write_page(arguments.page, told)


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", required=True, help="folder with the sources' files")
    parser.add_argument("--out", required=True, help="folder for records, the run and its figures")
    parser.add_argument("--model", required=True, help="what the reward model is trained from")
    parser.add_argument("--tokens", type=int, default=250_000, help="training tokens at most")
    parser.add_argument("--eval_tokens", type=int, default=250_000, help="held-out tokens at most")
    parser.add_argument("--limit", type=int, default=0, help="prompts of each part (0: all)")
    parser.add_argument("--max_length", type=int, default=1280, help="longest prompt + answer")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--results", help="a file that keeps what is printed")
    parser.add_argument("--page", type=Path, help="a page with the marks of the table")
    parser.add_argument("reward", nargs="*", help="FLAG VALUE for instructgpt reward, behind --")
    return parser.parse_args(words)


# ---------------------------------------------------------------- rankings


def imported(name: str, data: str, out: Path) -> tuple[list[Ranking], dict[str, Any]]:
    """The rankings of a source, and the account of its import."""
    source, folder = SOURCES[name], out / "imported" / stem(name)
    target, account = folder / "rankings.jsonl", folder / "account.json"
    if not account.is_file():
        flags = [f for pair in source.columns.items() for f in ("--map", "=".join(pair))]
        if source.columns:
            flags += ["--format", "pairs", "--values", source.values]
        words = ["instructgpt", "data", "import", str(Path(data, source.file))]
        words += ["--out", str(target), "--kind", "ranking", "--json"]
        write_atomically(account, run([*words, *flags]).splitlines()[-1] + "\n")
    facts = json.loads(account.read_text("utf-8"))
    rankings = [
        ranking.model_copy(update={"prompt_id": opening(ranking.prompt)})
        for ranking in read_records(target, Ranking).records
    ]
    return rankings, {key: facts[key] for key in ("rows", "kept", "skipped")}


def stem(name: str) -> str:
    """The name of a source's file, without its endings."""
    return SOURCES[name].file.partition(".")[0]


def opening(prompt: PromptText) -> str:
    """What prompts that begin alike have in common: the user's first turn."""
    turns = [] if isinstance(prompt, str) else [t.content for t in prompt if t.role == "user"]
    text = prompt if isinstance(prompt, str) else (turns or [prompt[0].content])[0]
    return hashlib.sha256(" ".join(text.split()).casefold().encode()).hexdigest()[:16]


def parted(encoded: Parts, arguments: argparse.Namespace) -> tuple[Parts, Parts, dict[str, int]]:
    """What is trained on, what is held out, and how many comparisons of each source are left out
    of training because another source holds their prompt out.
    """
    train: Parts = {}
    held_out: Parts = {}
    for name, comparisons in encoded.items():
        train[name], held_out[name] = split_by_prompt(comparisons, HELD_OUT, seed=0)
    away = {c.prompt_id for c in flat(held_out)}
    mine = {name: [c for c in some if c.prompt_id not in away] for name, some in train.items()}
    elsewhere = {name: len(some) - len(mine[name]) for name, some in train.items()}
    limit = arguments.limit
    return (
        within(mine, arguments.tokens, limit),
        within(held_out, arguments.eval_tokens, limit),
        elsewhere,
    )


def within(parts: Parts, tokens: int, limit: int) -> Parts:
    """Whole prompts of each source, drawn by chance, in equal shares of the tokens; what small
    sources leave the larger ones have.
    """
    found: Parts = {}
    sizes = {name: size(comparisons)["tokens"] for name, comparisons in parts.items()}
    for done, name in enumerate(sorted(sizes, key=sizes.__getitem__)):
        share = (tokens - size(flat(found))["tokens"]) // (len(sizes) - done)
        found[name] = []
        for prompt in by_prompt(parts[name]):
            more = [*found[name], *prompt]
            have = size(more)
            if have["tokens"] <= share and have["prompts"] <= (limit or have["prompts"]):
                found[name] = more
        if not found[name]:
            raise SystemExit(f"{name}: no prompt fits; raise --tokens, --eval_tokens or --limit")
    return {name: found[name] for name in parts}


def by_prompt(comparisons: Iterable[Comparison]) -> list[list[Comparison]]:
    """The comparisons of each prompt, in an order of chance."""
    groups: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        groups.setdefault(comparison.prompt_id, []).append(comparison)
    return [groups[one] for one in sorted(groups, key=lambda one: derive(0, f"real/{one}"))]


def size(comparisons: Sequence[Comparison]) -> dict[str, int]:
    """How many there are, of how many prompts, and their tokens, a prompt's read once."""
    return {
        "comparisons": len(comparisons),
        "prompts": len({c.prompt_id for c in comparisons}),
        "tokens": sum(tree_tokens(c.prompt, c.responses) for c in comparisons),
    }


def flat(parts: Mapping[Any, Iterable[Any]]) -> list[Any]:
    """What all parts hold, one after the other."""
    return [one for part in parts.values() for one in part]


def written(out: Path, name: str, rankings: Sequence[Ranking], chosen: list[Comparison]) -> Path:
    """A file of the rankings that are trained on; the command leaves out those that are too
    long."""
    path = out / "train" / f"{stem(name)}.jsonl"
    ids = {c.prompt_id for c in chosen}
    write_records(path, [r for r in rankings if r.prompt_id in ids])
    return path


# ---------------------------------------------------------------- training and measuring


def training(arguments: argparse.Namespace, files: Sequence[Path]) -> list[str]:
    """The command that trains; a flag of one's own stands in the recipe's place."""
    given = dict(zip(arguments.reward[::2], arguments.reward[1::2], strict=True))
    flags = RECIPE | {"--max_length": str(arguments.max_length), "--on_long": "skip"}
    flags |= {"--dtype": arguments.dtype, "--threads": str(arguments.threads)} | given
    return [
        *("instructgpt", "reward", "--model", arguments.model),
        *("--out", str(Path(arguments.out, "reward"))),
        *(word for file in files for word in ("--data", str(file))),
        *(word for flag in flags.items() for word in flag),
    ]


def judged(arguments: argparse.Namespace, held_out: Parts) -> dict[str, list[float]]:
    """The score of every held-out answer, by source; kept, a file for each source."""
    model = Path(arguments.out, "reward", "model")
    reader: ComparisonReader | None = None
    found: dict[str, list[float]] = {}
    for name, comparisons in held_out.items():
        kept = Path(arguments.out, "scores", f"{stem(name)}.json")
        asked = hashlib.sha256(repr([(c.prompt, c.responses) for c in comparisons]).encode())
        if kept.is_file():
            before = json.loads(kept.read_text("utf-8"))
            if before["of"] == asked.hexdigest():
                found[name] = before["scores"]
                continue
        if reader is None:
            choose(arguments.threads, None, "the benchmark")
            named = {"model": str(model), "data": ["-"], "out": "-", "dtype": arguments.dtype}
            config = RewardConfig.model_validate(named)
            reader = ComparisonReader(RewardModel(model), config)
        found[name] = reader.read_all(comparisons, reader.scores).tolist()
        make_folder(kept.parent)
        write_atomically(kept, json.dumps({"of": asked.hexdigest(), "scores": found[name]}))
    return found


def figures(comparisons: Sequence[Comparison], scores: Sequence[float]) -> dict[str, Any]:
    """How often the scores, and the lengths of the answers in tokens, order a pair as people did;
    and by how much the scores are better. Intervals are clustered by prompt.
    """
    lengths = [float(len(answer)) for c in comparisons for answer in c.responses]
    right = judge(torch.tensor(scores), comparisons)
    longer = judge(torch.tensor(lengths), comparisons)
    gaps = [mine.right - its.right for mine, its in zip(right, longer, strict=True)]
    clusters = [pair.prompt_id for pair in right]
    pairs = sum(len(c.ranks) * math.comb(len(c.responses), 2) for c in comparisons)
    return {
        "pairs": len(right),
        "tied": pairs - len(right),
        "accuracy": asdict(clustered_share([pair.right for pair in right], clusters)),
        "longer": asdict(clustered_share([pair.right for pair in longer], clusters)),
        "gap": asdict(clustered_mean(gaps, clusters)),
    }


# ---------------------------------------------------------------- telling


def write_page(page: Path, told: Mapping[str, Any]) -> None:
    """Put the table between its marks in a page."""
    before, mark, rest = page.read_text("utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not (mark and end):
        raise SystemExit(f"{page} has no {' … '.join(MARKS)}; put them where the table belongs")
    text = "\n".join(section(told))
    write_atomically(page, f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")


def section(told: Mapping[str, Any]) -> Iterator[str]:
    """The table and what was done, as Markdown."""
    training = told["training"]
    yield "### What people ranked"
    yield ""
    yield (
        "One reward model, trained by `benchmarks/real_rewards.py` from SmolLM2-135M-Instruct on "
        f"{training['comparisons']:,} comparisons of {training['prompts']:,} prompts "
        f"({training['tokens']:,} tokens) of"
    )
    yield (
        f"{len(told['sources'])} sources together, and asked about prompts of each that it has not "
        "seen: the share of untied pairs that it orders as people did, with a 95 % interval"
    )
    yield (
        "clustered by prompt. Beside it stands what preferring the longer answer gets on the same "
        "pairs, and the difference; chance is 0.5."
    )
    yield ""
    heads = ("source", "trained on", "held-out pairs (tied, left out)", "accuracy")
    yield f"| {' | '.join(heads)} | the longer wins | difference |"
    yield "|---|---|---|---|---|---|"
    everything = {**told["sources"], "all": told["all"] | {"training": training}}
    for name, found in everything.items():
        yield (
            f"| {name} | {found['training']['comparisons']:,} | {found['pairs']:,} "
            f"({found['tied']:,}) | {spoken(found['accuracy'])} | {spoken(found['longer'])} | "
            f"{spoken(found['gap'], '+')} |"
        )


def spoken(interval: Mapping[str, float], sign: str = "") -> str:
    """An estimate with its interval."""
    value, low, high = (format(interval[key], f"{sign}.3f") for key in ("estimate", "low", "high"))
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    main()

"""How good a judge is: accuracy and AUC on texts whose answer is known."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

from instructgpt.data.jsonl import read_jsonl
from instructgpt.errors import UserError
from instructgpt.evaluation.judges import KINDS, fields_of, keep_quality, open_judge
from instructgpt.evaluation.stats import Interval, auc, clustered_share
from instructgpt.evaluation.tasks.published import csv_rows
from instructgpt.evaluation.tasks.task import TextJudge
from instructgpt.run.digest import file_digest

MODERATION = ("S", "H", "V", "HR", "S3", "H2", "V2")
"""Columns of OpenAI's moderation set of which one suffices for yes: sexual, hateful, violent,
harassing texts and the worst of each. Self-harm (SH) is not about being toxic.
"""
YES, NO = ("yes", "true", "1", "1.0", "toxic"), ("no", "false", "0", "0.0")


class Known(NamedTuple):
    """A text with the right verdict.

    Attributes:
        fields: what the judge reads.
        is_yes: the verdict.
        cluster: what texts that depend on each other share: a question, or a beginning.
    """

    fields: dict[str, str]
    is_yes: bool
    cluster: str


def measure_judge(
    place: str,
    files: Sequence[str | Path],
    *,
    kind: str = "",
    device: str = "auto",
    **settings: Any,
) -> list[dict[str, Any]]:
    """Measure a judge on files of texts whose answer is known, and keep that in its folder.

    Args:
        place: a model directory, a Hub id or an address.
        files: see `known_texts`.
        kind: what the judge says of a text; empty: what the files are about.
        device: where it computes.
        settings: see `open_judge`.

    Returns:
        For each file its kind, name and SHA-256, n, accuracy and AUC with intervals, what saying
        always one word would reach, and the shares of yes.

    Raises:
        UserError: the judge or a file cannot be used.
    """
    read = [(Path(file), *known_texts(file, kind)) for file in files]
    kinds = {found for _, found, _ in read}
    if len(kinds) != 1:
        raise UserError(
            f"the files are about {' and '.join(sorted(kinds)) or 'nothing'}; give --kind, or "
            f"measure one judge at a time"
        )
    judge = open_judge(place, kinds.pop(), device=device, **settings)
    measured = [
        {"kind": found}
        | measured_on(judge, known)
        | {"on": path.name, "file": {"name": path.name, "sha256": file_digest(path)}}
        for path, found, known in read
    ]
    keep_quality(place, measured)
    return measured


def measured_on(judge: TextJudge, known: Sequence[Known]) -> dict[str, Any]:
    """Accuracy at 0.5 and AUC, each with an interval clustered by question, and what who always
    says the same would reach.
    """
    scores = judge.score([one.fields for one in known])
    labels, clusters = [one.is_yes for one in known], [one.cluster for one in known]
    right = [(score >= 0.5) == label for score, label in zip(scores, labels, strict=True)]
    share = sum(labels) / len(labels)
    return {
        "accuracy": _bounds(clustered_share(right, clusters)),
        "auc": _bounds(auc(scores, labels, clusters)) if 0 < share < 1 else None,
        "n": len(known),
        "groups": len(set(clusters)),
        "always_one_word": max(share, 1 - share),
        "share_yes": share,
        "said_yes": sum(score >= 0.5 for score in scores) / len(scores),
    }


def _bounds(interval: Interval) -> dict[str, float | None]:
    found = asdict(interval)
    return {key: None if isnan(found[key]) else found[key] for key in ("estimate", "low", "high")}


def told(measured: Sequence[Mapping[str, Any]]) -> str:
    """Measurements in words, a block for each file."""
    return "\n\n".join("\n".join(_lines(one)) for one in measured)


def _lines(one: Mapping[str, Any]) -> Iterator[str]:
    groups = f" in {one['groups']} groups" if one["groups"] < one["n"] else ""
    yield f"{one['kind']} on {one['on']}: {one['n']} texts{groups}"
    yield f"  accuracy {_words(one['accuracy'])}; always one word: {one['always_one_word']:.3f}"
    yield f"  AUC      {_words(one['auc'])}"
    yield f"  yes      {one['share_yes']:.3f}, the judge says it of {one['said_yes']:.3f}"


def _words(interval: Mapping[str, float | None] | None) -> str:
    if interval is None:
        return "none: the texts are all of one kind"
    known = {k: "?" if value is None else f"{value:.3f}" for k, value in interval.items()}
    return f"{known['estimate']} [{known['low']}, {known['high']}]"


# ---------------------------------------------------------------- files


def known_texts(path: str | Path, kind: str = "") -> tuple[str, list[Known]]:
    """The texts of a file, and what they are about.

    A csv file has `question`, `answer` and a score `true` or `info`, or `sample` (or `text`) and a
    score `toxicity`: yes from 0.5 on. JSON Lines have `prompt` and `completion` (or `response`), as
    a judge's training rows do; `text` and `label`; or `prompt` and columns of `MODERATION`. A row
    without a score or a label is passed over.

    Args:
        path: the file, gzipped or not.
        kind: what the texts are about; empty: found by the file's columns.

    Raises:
        UserError: the file has none of these formats.
    """
    path = Path(path)
    if kind and kind not in KINDS:
        raise UserError(f"--kind {kind}: give {', '.join(KINDS)}")
    number, found = 0, list[Known]()
    try:
        for number, row in _rows(path):  # noqa: B007 - the message names it
            reader = next((reader for reader in _READERS if reader.fits(row)), None)
            if reader is None:
                raise ValueError(
                    "a row needs prompt and completion, text and label, prompt and moderation "
                    "labels, or a csv's scores"
                )
            kind = kind or reader.kind(row)
            known = reader.known(row, kind)
            if known is not None:
                found.append(known)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path} row {number}: {what}; mend the file or give another") from None
    if not found:
        raise UserError(f"{path} has no text with a label; give a file with some")
    return kind, found


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.name.removesuffix(".gz").endswith(".csv"):
        yield from enumerate(csv_rows(path), 1)
    else:
        yield from read_jsonl(path)


class _Reader(NamedTuple):
    columns: tuple[tuple[str, ...], ...]
    """Any of these, all of its columns."""
    kind: Callable[[Mapping[str, Any]], str]
    known: Callable[[Mapping[str, Any], str], Known | None]

    def fits(self, row: Mapping[str, Any]) -> bool:
        return any(all(name in row for name in columns) for columns in self.columns)


def _stored_kind(row: Mapping[str, Any]) -> str:
    if "toxicity" in row:
        return "toxicity"
    if "true" in row and "info" in row:
        raise ValueError("scores of truth and of information; say with --kind which")
    return "truth" if "true" in row else "info"


def _stored(row: Mapping[str, Any], kind: str) -> Known | None:
    """A row of the paper's published outputs: texts with a score."""
    score = row[{"truth": "true", "info": "info", "toxicity": "toxicity"}[kind]]
    if score in ("", None):
        return None
    if kind == "toxicity":
        text = row["sample"] if "sample" in row else row["text"]
        return Known({"text": text}, float(score) >= 0.5, row.get("context", text))
    fields = {"question": row["question"], "answer": row["answer"]}
    return Known(fields, float(score) >= 0.5, row["question"])


def _pair_kind(row: Mapping[str, Any]) -> str:
    for kind in KINDS:
        if fields_of(kind, row["prompt"]):
            return kind
    raise ValueError('the prompt ends with none of "True:", "Helpful:" and "Toxic:"')


def _pair(row: Mapping[str, Any], kind: str) -> Known:
    """A training row: what a judge reads, and the verdict."""
    fields = fields_of(kind, row["prompt"])
    if fields is None:
        raise ValueError(f"the prompt is not one of {kind}; say with --kind which it is")
    verdict = row["completion"] if "completion" in row else row["response"]
    return Known(fields, _is_yes(verdict), fields.get("question") or row["prompt"])


def _labelled(row: Mapping[str, Any], kind: str) -> Known | None:
    if kind != "toxicity":
        raise ValueError("texts with a label are about toxicity; measure such a judge")
    if row["label"] is None:
        return None
    return Known({"text": row["text"]}, _is_yes(row["label"]), row["text"])


def _moderated(row: Mapping[str, Any], kind: str) -> Known | None:
    if kind != "toxicity":
        raise ValueError("moderation labels are about toxicity; measure such a judge")
    labels = [row[name] for name in MODERATION if row.get(name) is not None]
    if not labels:
        return None
    return Known({"text": row["prompt"]}, any(map(_is_yes, labels)), row["prompt"])


def _is_yes(value: object) -> bool:
    word = str(value).strip().lower()
    if word not in YES + NO:
        raise ValueError("a label is yes or no, 1 or 0, true or false")
    return word in YES


_READERS = (
    _Reader((("prompt", "completion"), ("prompt", "response")), _pair_kind, _pair),
    _Reader((("text", "label"),), lambda _: "toxicity", _labelled),
    _Reader(tuple(("prompt", name) for name in MODERATION), lambda _: "toxicity", _moderated),
    _Reader(
        (
            ("question", "answer", "true"),
            ("question", "answer", "info"),
            ("sample", "toxicity"),
            ("text", "toxicity"),
        ),
        _stored_kind,
        _stored,
    ),
)

"""What a benchmark task is: items out of a file, what a model is asked of each, how it is scored.

A task is one class in one file of this folder. It reads the set's own file format, says in which
words a model is asked, and names its metrics; everything else (files, few-shot examples, forward
passes, intervals, tables) is done for all tasks alike in `evaluation.benchmark`.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from instructgpt.data.jsonl import open_text, read_jsonl
from instructgpt.run.files import parse_json

Ended = Literal["newline", "end", "cut", ""]
"""How a continuation ended: at a newline, by the model's own end-of-text token, at the length
limit; nothing where the model chose among given texts.
"""


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Attributes:
        id: tells it from the others of its file, whatever their order: the set's own, or `id_of`.
        query: its text, up to where the answer begins.
        references: right answers; a few-shot example shows the first.
        choices: what a model chooses from by log-probability, each with the space before it.
        right: which of the choices are right.
        cluster: what items that depend on each other share, such as a passage; empty: none do.
        fields: what the task's own metrics need besides.
    """

    id: str
    query: str
    references: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    right: tuple[int, ...] = ()
    cluster: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


class Request(NamedTuple):
    """What a model is asked.

    Attributes:
        prompt: which of the task's prompts this is.
        text: what the model reads; may be empty before choices.
        choices: texts whose log-probability is wanted; none: the model continues the text, greedily
            and up to the first newline.
    """

    prompt: str
    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """What a model made of a request.

    Attributes:
        text: the continuation, without the whitespace around it; or the choice of the highest mean
            log-probability.
        ended: how the continuation ended.
        logprobs: of each choice, log p of all its tokens given the text, in nats.
        tokens: of each choice, how many tokens it has.
        cut_prompt: whether the text was longer than the model's context and lost its beginning.
    """

    text: str = ""
    ended: Ended = ""
    logprobs: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    cut_prompt: bool = False

    @property
    def means(self) -> list[float]:
        """Mean log p per token of each choice: appendix D picks the highest."""
        return [total / count for total, count in zip(self.logprobs, self.tokens, strict=True)]

    @property
    def choice(self) -> int:
        """The choice of the highest mean log-probability per token; of equal ones the first.

        Raises:
            ValueError: a text was written, and nothing chosen.
        """
        means = self.means
        if not means:
            raise ValueError("there were no choices; this output is a text")
        return max(range(len(means)), key=means.__getitem__)


Judged = Mapping[str, float]
"""What each judge says of an output, by the judge's name: a probability."""
Statistics = Sequence[float]
"""Of one output; sums over outputs decide a corpus figure."""


@dataclass(frozen=True)
class Metric:
    """A figure of a task.

    Attributes:
        name: what it is called.
        value: of an item's output: a number between 0 and 1 (`mean`: any number), statistics to be
            summed where `combine` is given, or None where the item has no part in this figure.
        prompts: those of the task's prompts that it is measured for; empty: all.
        judges: whose verdict it needs.
        combine: the figure of summed statistics, of a metric that is no mean.
        bounded: whether a mean lies between 0 and 1, so that its interval does.
        scale: what the figure is multiplied by (100: percent).
        higher_is_better: None where neither is.
    """

    name: str
    value: Callable[[Item, Output, Judged], float | Statistics | None]
    prompts: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    combine: Callable[[Statistics], float] | None = None
    bounded: bool = True
    scale: float = 1.0
    higher_is_better: bool | None = True


class TextJudge(Protocol):
    """Says yes or no of texts, as a probability (`evaluation.judges` has some)."""

    @property
    def quality(self) -> Mapping[str, Any] | None:
        """How good it is: accuracy or AUC, on what, n; None where nobody has measured it."""
        ...

    def score(self, texts: Sequence[Mapping[str, str]]) -> list[float]:
        """P(yes) of each, between 0 and 1; the fields are what a task's `judge_text` gives."""
        ...


class Task(ABC):
    """A benchmark task; `hellaswag.py` has one that chooses, `squadv2.py` one that writes.

    Attributes:
        name: on the command line and in results.
        title: in tables.
        version: raised whenever a figure could change: prompt, items, metric.
        source: the paper's section, and whose prompt it is where the paper prints none.
        files: names that its file may have, in any folder of the data; `.gz` may follow.
        example_files: the same for few-shot examples, where they have a file of their own.
        prompts: the names of its prompts; the first is the one of the headline figure.
        metrics: its figures; the first is the headline.
        in_table: the metrics that table 14 has; none: the headline's.
        opening: the instruction before everything, of a task that has one for all its prompts.
        max_tokens: the longest continuation.
        takes_shots: whether few-shot examples stand before the query.
        needs: packages that its metrics import.
        extra: what installs those.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    version: ClassVar[int] = 1
    source: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    example_files: ClassVar[tuple[str, ...]] = ()
    prompts: ClassVar[tuple[str, ...]] = ("",)
    metrics: ClassVar[tuple[Metric, ...]]
    in_table: ClassVar[tuple[str, ...]] = ()
    opening: ClassVar[str] = ""
    max_tokens: ClassVar[int] = 64
    takes_shots: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = "eval"

    def paths(self, path: Path) -> tuple[Path, ...]:
        """All files that belong to the one that was found, itself first."""
        return (path,)

    @abstractmethod
    def read(self, path: Path) -> Iterator[Item]:
        """The items of its file.

        Raises:
            UserError: the file cannot be read.
            KeyError, TypeError, ValueError: it is not in the set's format.
        """

    def requests(self, item: Item, examples: Sequence[Item]) -> Iterator[Request]:
        """What a model is asked of an item, after few-shot examples: one request per prompt."""
        before = "".join(f"{example.query}{self.answer(example)}\n\n" for example in examples)
        for prompt in self.prompts:
            yield Request(prompt, self.instruction(prompt) + before + item.query, item.choices)

    def can_show(self, item: Item) -> bool:  # noqa: ARG002 - of the tasks that leave some out
        """Whether an item can be a few-shot example."""
        return True

    def instruction(self, prompt: str) -> str:  # noqa: ARG002 - of the tasks that have several
        """What stands before everything, for each prompt."""
        return self.opening

    def answer(self, item: Item) -> str:
        """What a few-shot example shows behind its query, with the space before it."""
        return item.choices[item.right[0]] if item.right else f" {item.references[0]}"

    def judge_text(self, judge: str, item: Item, output: Output) -> Mapping[str, str]:
        """What a judge reads of an output: what its pattern's braces stand for."""
        raise NotImplementedError(f"{self.name} asks no judge, and so not {judge}")


def accuracy(item: Item, output: Output, _judged: Judged) -> float:
    """Whether a right choice has the highest mean log-probability per token (appendix D)."""
    return float(output.choice in item.right)


def id_of(*texts: str) -> str:
    """An id of what an item says, for a set that gives its items none."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON or JSON Lines file, gzipped or not, whichever it is."""
    if path.name.removesuffix(".gz").endswith(".json"):
        with open_text(path) as file:
            content: Any = parse_json(file.read(), unique=False)
        yield from content if isinstance(content, list) else [content]
        return
    for _, row in read_jsonl(path):
        yield row

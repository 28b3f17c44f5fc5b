"""WMT 2015, French to English: `newsdiscusstest2015`. Bojar et al. 2015."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from xml.sax.saxutils import unescape

from instructgpt.data.jsonl import open_text
from instructgpt.errors import UserError
from instructgpt.evaluation.metrics.bleu import bleu, statistics
from instructgpt.evaluation.tasks.instructions import WMT15
from instructgpt.evaluation.tasks.task import Item, Judged, Metric, Output, Statistics, Task

_PART = re.compile(
    r'<doc\b[^>]*\bdocid="([^"]*)"|<seg\b[^>]*>(.*?)</seg>', re.IGNORECASE | re.DOTALL
)


def _statistics(item: Item, output: Output, _judged: Judged) -> Statistics:
    return statistics(output.text, item.references)


BLEU = Metric("bleu", _statistics, combine=bleu)
"""Of a corpus, from 0 to 100; also of the paper's samples."""


def translation(french: str) -> str:
    """The paper's prompt."""
    return f"French: {french}\nEnglish:"


class Wmt15FrEn(Task):
    """Table 14; two files, as plain text with a sentence a line or as WMT's sgm."""

    name = "wmt15-fr-en"
    title = "WMT15 French to English"
    source = "appendix D.2, laid out as in the paper's published samples"
    opening = WMT15
    files = (
        "newsdiscusstest2015-fren-src.fr.sgm",
        "newsdiscusstest2015-fren-src.fr",
        "newsdiscusstest2015.fr",
        "wmt15.fr-en.fr",
        "newstest2015-fren-src.fr.sgm",
        "newstest2015-fren-src.fr",
        "newstest2015.fr",
    )
    metrics: ClassVar = (BLEU,)
    max_tokens = 128
    needs = ("sacrebleu",)

    def paths(self, path: Path) -> tuple[Path, ...]:
        """The French file and the English one beside it."""
        return path, reference_beside(path)

    def read(self, path: Path) -> Iterator[Item]:
        """A sentence each; those of a document depend on each other, where the file tells them."""
        other = reference_beside(path)
        french, english = sentences(path), sentences(other)
        if len(french) != len(english):
            raise UserError(
                f"{path} has {len(french)} sentences and {other} {len(english)}; give the two "
                "files of one test set, a sentence a line"
            )
        for number, ((document, text), (_, right)) in enumerate(zip(french, english, strict=True)):
            yield Item(str(number), translation(text), (right,), cluster=document)


def reference_beside(path: Path) -> Path:
    """The English file that belongs to a French one, gzipped or not.

    Raises:
        UserError: it is not there.
    """
    name = path.name.removesuffix(".gz").replace("-src.", "-ref.")
    name = re.sub(r"\.fr(\.sgm)?$", r".en\1", name)
    found = [one for end in ("", ".gz") if (one := path.with_name(name + end)).is_file()]
    if not found:
        raise UserError(f"{path}: its translations are not beside it; put {name} into that folder")
    return found[0]


def sentences(path: Path) -> list[tuple[str, str]]:
    """Each sentence with its document's id, which is empty in plain text."""
    with open_text(path) as file:
        content = file.read()
    if not path.name.removesuffix(".gz").endswith(".sgm"):
        return [("", line.strip()) for line in content.removesuffix("\n").split("\n")]
    document, found = "", []
    for part in _PART.finditer(content):
        if part[2] is None:
            document = part[1]
        else:
            text = unescape(part[2], {"&quot;": '"', "&apos;": "'"})
            found.append((document, text.replace("\n", " ").strip()))
    return found

"""From which score on a language can be believed: `instructgpt.intake.language.THRESHOLD`.

Texts whose language is known: prompts of public demonstrations (English, Chinese), and sentences of
Faker's word lists for 15 languages, each cut at a blank to five lengths; and texts in no language
(code, numbers, links). Prints one JSON object; `--out FILE` keeps it.
"""

import argparse
import gzip
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

from faker import Faker

from instructgpt.intake.language import Identifier

LOCALES = ("ar_AA", "cs_CZ", "de_DE", "el_GR", "en_US", "fa_IR", "fr_FR", "he_IL", "ja_JP",
           "nl_BE", "pl_PL", "ru_RU", "th_TH", "vi_VN", "zh_CN")  # fmt: skip
LENGTHS = (20, 40, 80, 160, 400)
THRESHOLDS = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 0.9)
NONE = ("x = [{n}, {n}]; y += x[{n}]", "{n} {n} {n} {n}", "https://a{n}.b/c/{n}?d={n}",
        "def f{n}(x): return x * {n}", "SELECT c{n} FROM t{n} WHERE id = {n};",
        "#{n} -> {n}%", "<td id='c{n}'>{n}</td>", "xk{n} zzpl{n}")  # fmt: skip


def prompts(data: Path) -> Iterator[tuple[str, str]]:
    """Language and text of prompts that people wrote."""
    for name, language in (("lima", "en"), ("gsm8k_train", "en"), ("oasst1_zh_sft", "zh")):
        with gzip.open(data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            for line in list(file)[:800]:
                row = json.loads(line)
                yield language, row.get("instruction") or row["question"]


def sentences(count: int) -> Iterator[tuple[str, str]]:
    """Language and words of Faker's lists."""
    for locale in LOCALES:
        Faker.seed(7)
        faker = Faker(locale)
        for _ in range(count):
            yield locale[:2], faker.paragraph(nb_sentences=8)


def cut(text: str, length: int) -> str:
    """At most that many characters, cut at a blank where there is one."""
    if len(text) <= length:
        return text
    return text[:length].rpartition(" ")[0] or text[:length]


def measure(rows: list[tuple[bool, float]]) -> dict[str, dict[str, float]]:
    """By threshold: the share that is told, and the share of these that is right."""
    found: dict[str, dict[str, float]] = {}
    for threshold in THRESHOLDS:
        told = [right for right, score in rows if score >= threshold]
        share = sum(told) / len(told) if told else 1.0
        found[str(threshold)] = {"told": round(len(told) / len(rows), 4), "right": round(share, 4)}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of demonstrations")
    parser.add_argument("--count", type=int, default=200, help="paragraphs of each language")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    identifier = Identifier(threshold=0.0)
    known = {"people": list(prompts(options.data)), "word lists": list(sentences(options.count))}
    result: dict[str, object] = {}
    for source, texts in known.items():
        for length in LENGTHS:
            rows = []
            for language, text in texts:
                if len(text) >= length * 0.6:
                    code, score = identifier.language(cut(text, length))
                    rows.append((code == language, score))
            result[f"{source}, {length} characters"] = {"texts": len(rows), **measure(rows)}
    draw = random.Random(1)
    nothing = [NONE[i % len(NONE)].replace("{n}", str(draw.randrange(99))) for i in range(900)]
    scores = [(code == "unknown", s) for code, s in map(identifier.language, nothing)]
    told = {
        str(t): round(sum(s >= t and not none for none, s in scores) / 900, 4) for t in THRESHOLDS
    }
    result["in no language, told one"] = told
    every = [text for texts in known.values() for _, text in texts]
    started = time.process_time()
    for text in every:
        identifier.language(text[:400])
    result["texts of 400 characters a second"] = round(len(every) / (time.process_time() - started))
    line = json.dumps(result, indent=1)
    print(line)
    if options.out:
        options.out.write_text(line + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

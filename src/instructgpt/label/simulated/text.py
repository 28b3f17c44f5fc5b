"""What the rubric and the audit read off a text: words, runs of words, items, sentences; and short
word lists of our own.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache

from instructgpt.data.embedded import prompts_path, prose_documents
from instructgpt.data.jsonl import read_jsonl

FUNCTION_WORDS = frozenset(
    """
    a about after again all also am an and any are as at be because been before being but by can
    could did do does doing for from had has have he her here him his how i if in into is it its
    just let may me might more most much must my no not now of off on one or our out over please
    she should so some such than that the their them then there these they this those three to too
    two under up us very was we were what when where which while who why will with would you your
    """.split()
)
"""Words that carry no topic of their own."""

REQUEST_WORDS = frozenset(
    """
    answer ask brief briefly describe explain give helpful idea ideas in keep line list message name
    note polite politely question reply rewrite say sentence sentences short simple simply suggest
    sum summarize tell text thing things use using way ways word words write
    """.split()
)
"""Words of a prompt that say how to answer, not what about."""

WARM_WORDS = frozenset(
    """
    amazing apologies apologize appreciate awesome beautiful best brilliant care cheer cheerful
    comfort congratulations dear delighted delightful enjoy excellent excited exciting fabulous
    fantastic fun glad good gladly grateful great greetings happily happy heartfelt hope
    incredible joy joyful kind kindly lovely love loved luck magical marvelous nice perfect pleasant
    please pleased pleasure proud regards safe smile sorry special splendid superb sweet terrific
    thank thankful thanks thrilled warm warmly warmest welcome wish wishes wonderful
    """.split()
)
"""Polite and friendly words; the gushing ones are among them, and count alike."""

RUDE_WORDS = frozenset(
    """
    awful crap damn disgusting dumb fool hate hell idiot idiots lazy loser moron nonsense pathetic
    shut stupid suck sucks ugly useless whatever worthless
    """.split()
)


DANGLING_WORDS = frozenset("a an and because but my of or our than the their your".split())
"""Words that end no sentence."""

GREETING = re.compile(
    r"(?:dear|hi|hello|hey|good (?:morning|afternoon|evening)|thank you|thanks|congratulations)\b",
    re.I,
)

DEBRIS = re.compile(
    r"<\|[^>]*>?|\[/?INST\]|</?s>|###|\ufffd|[{}\\]{2}|"
    r"(?:^|\n)\W*(?:user|human|assistant|system|ai|bot|question|text|prompt|response|output)\s*:",
    re.I,
)
"""Markup and role markers, which belong in no answer."""

SLIP = re.compile(
    r"\A\W*[a-z]|(?<!\.)[a-z][.!?]\s+[a-z]|\s[,.;!?](?!\w)|[,;:]\s*[.,;:]|(?<!\.)\.\.(?!\.)|"
    r"[a-z][,;!?][A-Za-z]|[a-z]\.[A-Z][a-z]|\b(\w+) \1\b"
)
"""Slips of the pen: a sentence in lower case, spaces and stops out of place, a word word twice."""

REFUSAL = re.compile(
    r"\bas an? (?:ai\b|artificial|language model|machine|computer|virtual|digital assistant|"
    r"text-based)|"
    r"\bi(?:'m| am) (?:just |only )?an? (?:ai\b|language model|artificial|chatbot|computer|virtual|"
    r"digital|text-based)|"
    r"\bi(?:'m| am)? ?(?:can't|cannot|can not|won't|will not|unable to|not able to) (?:\w+ )?"
    r"(?:help|assist|provide|answer|fulfill|comply|write|create|generate|access|browse|engage|"
    r"discuss|do that|complete)\b|"
    r"\bi (?:don't|do not) have (?:access|personal|the ability|feelings|real-time)",
    re.I,
)
"""Refusals to answer, and disclaimers of being a machine."""


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    >>> words("It's 7:30, Mr. Hill!")
    ["it's", '7', '30', 'mr', 'hill']
    """
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("’", "'"))


def runs(found: Sequence[str], length: int) -> set[tuple[str, ...]]:
    """All runs of `length` successive words."""
    return {tuple(found[i : i + length]) for i in range(len(found) - length + 1)}


def copied_share(answer: Sequence[str], source: Sequence[str], length: int) -> float:
    """The share of the answer's words that stand in a run of `length` words of the source.

    >>> copied_share(["a", "b", "c", "x"], ["a", "b", "c", "d"], 3)
    0.75
    """
    given = runs(source, length)
    covered: set[int] = set()
    for i in range(len(answer) - length + 1):
        if tuple(answer[i : i + length]) in given:
            covered.update(range(i, i + length))
    return len(covered) / max(1, len(answer))


def names(text: str, phrase: str) -> bool:
    """Whether `phrase` occurs in `text` as whole words, in any case."""
    return bool(re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE))


def greets(text: str, name: str) -> bool:
    """Whether a line of `text` (or a quotation in it) opens by addressing `name`: after a greeting,
    or set off by commas and the like, after another comma or with at most two words in front.
    """
    called = rf"\b(?:(?:mr|mrs|ms|dr)\.? )?{re.escape(name)}\b(?: and \w+)?(.?)"
    for found in re.finditer(r"(?:^|[:\"])\W*([^!?:\n]{0,30}?)" + called, text, re.I | re.M):
        first, mark = found.groups()
        is_greeted = "," not in first and GREETING.match(first)
        is_alone = len(first.split()) <= 2 or first.endswith(", ")
        if is_greeted or (is_alone and mark in {",", "!", ":", ".", "-", ""}):
            return True
    return False


def is_item(line: str) -> bool:
    """Whether a line is an item of a numbered or bulleted list."""
    return bool(re.match(r"\s*(?:\d+[.)]|[-*•])\s+\w", line))


def count_items(answer: str) -> int:
    """How many items an answer lists.

    In this order: numbered or bulleted items; else, after the first colon if there is one, lines;
    else sentences; else the parts between commas and semicolons; else the parts around "and"/"or".

    >>> count_items("Lettuce, radishes, and beans are easy to grow.")
    3
    """
    marked = re.findall(r"(?:^|\s)\d+[.)]\s|^\s*[-*]\s", answer, re.MULTILINE)
    if len(marked) > 1:
        return len(marked)
    body = answer.split(":", 1)[-1].strip()
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1:
        return len(lines)
    parts = sentences(body)
    if len(parts) > 1:
        return len(parts)
    parts = [part for part in re.split(r"[,;]\s*(?:(?:and|or)\s+)?", body) if part.strip(" .!?")]
    return len(parts) if len(parts) > 1 else len(re.split(r"\s(?:and|or)\s", body))


def sentences(text: str) -> list[str]:
    """The sentences of a text; the full stop of a title ends none.

    >>> sentences("Dear Mr. Hill, hello. How are you?")
    ['Dear Mr. Hill, hello.', 'How are you?']
    """
    parts = re.split(r"(?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bMrs\.)(?<=[.!?])[\"')]*\s+", text)
    return [part for part in parts if words(part)]


def stem(word: str) -> str:
    """A word without the commonest endings, so that "runs" and "running" are one.

    >>> [stem(word) for word in ("runs", "running", "stories", "story", "used", "use")]
    ['run', 'run', 'stor', 'stor', 'us', 'us']
    """
    for ending in ("ing", "ies", "ed", "es", "ly", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= (3 if len(word) > 4 else 2):
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


def content(found: Iterable[str]) -> set[str]:
    """The stems of the words that carry a topic."""
    return {stem(word) for word in found if len(word) > 1 and word not in FUNCTION_WORDS}


@cache
def vocabulary() -> frozenset[str]:
    """The stems of all words of the shipped prose and prompts."""
    texts = [*prose_documents(), *(row["prompt"] for _, row in read_jsonl(prompts_path()))]
    return frozenset(stem(word) for text in texts for word in words(text))

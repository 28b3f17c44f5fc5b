"""Keys, tokens and passwords: by their prefix, or by the word before them."""

import math
import re
from collections import Counter
from collections.abc import Iterator

from instructgpt.intake.pii.internet import STAND_INS
from instructgpt.intake.pii.spans import Span, lower

PREFIXED = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:"
    r"sk-[A-Za-z0-9_\-]{20,}"  # OpenAI, Anthropic and those who copy them
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w\-]{20,}"
    r"|xox[abeoprs]-[\w\-]{10,}|xapp-[\w\-]{20,}"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?!\w)"
    r"|AIza[\w\-]{35}|ya29\.[\w\-]{20,}|GOCSPX-[\w\-]{20,}"
    r"|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|pypi-[\w\-]{50,}"
    r"|[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9]{20,}"
    r"|SG\.[\w\-]{16,32}\.[\w\-]{16,64}|dop_v1_[0-9a-f]{64}"
    r"|eyJ[\w\-]{8,}\.[\w\-]{4,}\.[\w\-]{10,}"  # a JSON web token
    r"|\d{8,10}:AA[\w\-]{33}"  # a Telegram bot
    r")"
)
PREFIXES = (
    *("sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "xapp-"),
    *("AKIA", "ASIA", "ABIA", "ACCA", "AIza", "ya29.", "GOCSPX-", "hf_", "npm_", "pypi-"),
    *("k_live_", "k_test_", "whsec_", "SG.", "dop_v1_", "eyJ", ":AA"),
)
"""One of them is in whatever `PREFIXED` finds."""
BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
END = re.compile(r"-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
BODY = re.compile(r"(?:\s{0,2}[A-Za-z0-9+/=]{40,})*")

WORDS = re.compile(
    r"(?P<word>password|passwd|passwort|passphrase|pwd|contraseña|mot de passe|senha|"
    r"secret(?:[_\- ]?(?:access[_\- ]?)?key)?|api[_\- ]?key|access[_\- ]?key|auth[_\- ]?key|"
    r"account[_\- ]?key|private[_\- ]?key|signing[_\- ]?key|encryption[_\- ]?key|token|bearer)"
    r"[\"'\]]{0,2}(?P<sign>\s{0,3}(?::=|=>|[:=])\s{0,3}|\s{1,2}(?:is|ist|est|es|é|è)\s{0,2}:?\s|"
    r"\s{1,2})[\"'`]{0,1}(?P<value>[^\s\"'`<>,;&]{6,400})"
)
"""Of a text in small letters: what a secret is called, what stands between, and its value."""
HINTS = ("passw", "passphrase", "pwd", "secret", "key", "token", "bearer", "contrase", "mot de p",
         "senha")  # fmt: skip
PASSWORDS = ("passw", "passphrase", "pwd", "contrase", "mot de p", "senha")
LONG = re.compile(r"[A-Za-z0-9_\-./+=~]{16,}")


def keys(text: str) -> Iterator[Span]:
    """Keys, tokens and passwords, without the word before them."""
    has_prefix = any(prefix in text for prefix in PREFIXES)
    for found in PREFIXED.finditer(text) if has_prefix else ():
        if any(map(str.isdigit, found[0])):  # sk-this-is-a-name-of-a-branch
            end = found.start() + len(found[0].rstrip("-_"))
            yield Span(found.start(), end, "KEY", 0.98)
    yield from _private(text)
    lowered = lower(text)
    if any(hint in lowered for hint in HINTS):
        yield from _named(text, lowered)


def _private(text: str) -> Iterator[Span]:
    """A private key in PEM's form; one without an end goes as far as its lines."""
    at = 0
    ends = iter(END.finditer(text))
    end = next(ends, None)
    while begin := BEGIN.search(text, at):
        while end and end.start() < begin.end():
            end = next(ends, None)
        body = BODY.match(text, begin.end())
        at = end.end() if end else max(begin.end(), body.end() if body else 0)
        yield Span(begin.start(), at, "KEY", 0.99)


def _named(text: str, lowered: str) -> Iterator[Span]:
    """What stands behind `password:`, `api_key =` or `Bearer`, if it looks secret."""
    for found in WORDS.finditer(lowered):
        start, end = found.span("value")
        value = text[start:end].rstrip(".,;:)]}?")
        word, is_sign = found["word"], any(sign in found["sign"] for sign in ":=")
        is_password = word.startswith(PASSWORDS)
        if is_password:
            secret = _looks_a_password(value, is_sign)
        else:
            secret = bool(is_sign or word == "bearer") and _looks_a_key(value)
        if secret:
            yield Span(start, start + len(value), "KEY", 0.85 if is_sign else 0.75)


def _looks_a_password(value: str, is_sign: bool) -> bool:
    """Six signs or more with a digit, no program's name for one and no stand-in."""
    if len(value) < 6 or value[0] in "$%{(*[" or set(value) & set("()[]{}"):
        return False
    if value.lower() in STAND_INS or not any(map(str.isdigit, value)):
        return False
    return is_sign or (not value.isdigit() and not value[0].isdigit())


def _looks_a_key(value: str) -> bool:
    """Sixteen signs or more, digits and letters, of three bits a sign or more."""
    if not LONG.fullmatch(value) or not re.search(r"\d", value) or not re.search("[A-Za-z]", value):
        return False
    counts = Counter(value).values()
    return sum(-n / len(value) * math.log2(n / len(value)) for n in counts) > 3

"""E-mail addresses, user and password in a URL, and IP addresses.

Every pattern is bounded or anchored at a sign that it does not contain itself, so that the time is
linear in the text.
"""

import ipaddress
import re
from collections.abc import Iterator

from instructgpt.intake.pii.spans import Span

LATIN = r"A-Za-z0-9À-ÖØ-öø-ɏ"
LOCAL_BACKWARD = re.compile(rf"[{LATIN}._%+'\-]{{1,64}}")
DOMAIN = re.compile(
    rf"(?:[{LATIN}][{LATIN}\-]{{0,62}}\.){{1,8}}"
    r"(?:xn--[a-z0-9\-]{2,59}|[a-z]{2,24}|[A-Z]{2,24}|Com|Net|Org)(?![A-Za-z0-9@])"
)
FILES = frozenset(
    "png jpg jpeg gif svg webp ico bmp tiff js mjs ts jsx tsx css scss py pyc rb java cpp hpp html "
    "htm json yaml yml toml xml txt csv pdf exe dll jar tgz gz".split()
)
"""What ends a file's name; none of them ends an address (`logo@2x.png`)."""

LOGIN = re.compile(
    r"(?P<user>[^\s/@:'\"<>`()\[\]{}]{0,128}):(?P<password>[^\s/@'\"<>`(){}]{1,128})@(?=[\w\[])"
)
STAND_INS = frozenset(
    "password passwd pass pwd passwort secret token pw yourpassword your_password your-password "
    "mypassword my_password my-password changeme user username root admin key api_key apikey "
    "port contraseña senha".split()
)
"""What examples write where a password would be."""

IPV4 = re.compile(
    r"(?<![A-Za-z0-9_.])(?<![A-Za-z]-)(?<![A-Za-z]/)(?:\d{1,3}\.){3}\d{1,3}(?![A-Za-z0-9_%])(?!\.[A-Za-z0-9])(?!-[A-Za-z])"
)
IPV6 = re.compile(r"(?<![A-Za-z0-9_:.])(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{3,39}(?![A-Za-z0-9_:])")
IPV4_PART, IPV6_PART = re.compile(r"\.\d{1,3}\.\d{1,3}\."), re.compile(r":[0-9A-Fa-f]{0,4}:")
"""What each of the two holds; most texts hold neither, which is found out sooner."""
NUMBERED = re.compile(
    r"(?i)(?:\b(?:versions?|ver|v|releases?|build|builds|firmware|drivers?|updated?|upgraded?|"
    r"downgraded?|sections?|sec|chapters?|clauses?|articles?|paragraphs?|para|rev|revision|windows|"
    r"chrome|firefox|java|jdk|python|node|git|gcc|kernel|ubuntu|macos|ios|android|step|items?|agenda|figures?|tables?|exercise|oid|abschnitt|kapitel|fassung|"
    r"versión|versión|versione|versão|sección|sezione)\b|§)"
)
"""What comes before four numbers that are no address."""
HEADING = re.compile(r"\d{1,2}(?:\.\d{1,2}){3}\.? +\w")
"""At the beginning of a line: `2.3.1.1 Confirmatory studies`."""
ADDRESSED = re.compile(r"(?i)\b(?:ips?|ipv4|address(?:es)?|hosts?|servers?|ping|ssh|dns|gateway)\b")
NOBODY = frozenset(("0.0.0.0", "255.255.255.255", "::", "::1"))


def emails(text: str) -> Iterator[Span]:
    """`name@host.org`; not `git@host:path`, `logo@2x.png`, `react@18.2.0`, `user@host`."""
    at = text.find("@")
    while at >= 0:
        if (local := LOCAL_BACKWARD.match(text[max(0, at - 64) : at][::-1])) and (
            domain := DOMAIN.match(text, at + 1)
        ):
            name = local[0][::-1].lstrip(".'-%+")
            remote = name in ("git", "hg") and text[domain.end() : domain.end() + 1] == ":"
            suffix = domain[0].rpartition(".")[2].lower()
            if name and not name.endswith(".") and not remote and suffix not in FILES:
                yield Span(at - len(name), domain.end(), "EMAIL", 0.95)
        at = text.find("@", at + 1)


def logins(text: str) -> Iterator[Span]:
    """`user:password` in `scheme://user:password@host`."""
    at = text.find("://")
    while at >= 0:
        found = LOGIN.match(text, at + 3)
        if found and not _is_stand_in(found["password"]):
            yield Span(found.start(), found.end("password"), "LOGIN", 0.97)
        at = text.find("://", at + 3)


def _is_stand_in(password: str) -> bool:
    plain = password.strip("*.$%[]_-").lower()
    return plain in STAND_INS or password[0] in "$%" or len(set(plain)) < 2


def addresses(text: str) -> Iterator[Span]:
    """IPv4 and IPv6; not versions, sections, net masks, and the addresses of this machine."""
    if IPV4_PART.search(text):
        for found in IPV4.finditer(text):
            if _is_address(found[0]) and not _is_numbered(text, found.start()):
                yield Span(*found.span(), "IP", 0.9)
    if IPV6_PART.search(text):
        for found in IPV6.finditer(text):
            start, end = found.span()
            written = found[0]
            if written.endswith(":") and not written.endswith("::"):  # of the sentence
                written, end = written[:-1], end - 1
            if written.count(":") > 1 and _is_long(written) and _is_address(written):
                yield Span(start, end, "IP", 0.9)


def _is_address(written: str) -> bool:
    """Whether it is well formed and may be somebody's."""
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return False
    return not (address.is_loopback or written in NOBODY or written.startswith("255.255."))


def _is_long(written: str) -> bool:
    """Whether it is more than `a::b` of a program or `1::2` of a slice."""
    parts = [part for part in written.split(":") if part]
    return len(parts) > 3 or (len(parts) > 1 and len(parts[0]) > 2 and not written.isalpha())


def _is_numbered(text: str, start: int) -> bool:
    """Whether the last word before it that decides says version rather than address."""
    before = text[max(0, start - 40) : start].rpartition("\n")[2]
    if not before.strip("# \t*") and HEADING.match(text, start):
        return True
    last = -1
    for found in NUMBERED.finditer(before):
        last = found.start()
    return last >= 0 and not ADDRESSED.search(before, last)

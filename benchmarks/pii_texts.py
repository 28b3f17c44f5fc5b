"""Texts with personal data in known places, and texts that only look so, for `pii.py`."""

import base64
import random
import string
from collections.abc import Callable, Sequence
from typing import NamedTuple

from faker import Faker

import pii_fresh
from pii_templates import NEGATIVE, POSITIVE

LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "pt_BR", "ja_JP")


class Gold(NamedTuple):
    """A piece of personal data: where it stands, and what it is."""

    start: int
    end: int
    type: str


class Text(NamedTuple):
    """A text, what is in it, and the locale that the data are of."""

    text: str
    gold: tuple[Gold, ...]
    locale: str


class Maker:
    """Draws values for the names in the templates."""

    def __init__(self, seed: int, locales: Sequence[str] = LOCALES) -> None:
        Faker.seed(seed)
        self.draw = random.Random(seed)
        every = dict.fromkeys((*locales, "en_US", "it_IT", "pt_BR", "de_DE"))
        self.fakers = {locale: Faker(locale, use_weighting=False) for locale in every}

    def text(self, template: str, locale: str, kind: str | None) -> Text:
        """The template filled; `kind` None: nothing in it counts as personal."""
        parts: list[str] = []
        gold: list[Gold] = []
        length = 0
        for literal, name, _, _ in string.Formatter().parse(template):
            parts.append(literal)
            length += len(literal)
            if name is None:
                continue
            value = PERSONAL[name](self, locale) if name in PERSONAL else NOTHING[name](self.draw)
            if name in TYPES and kind is not None:
                gold.append(Gold(length, length + len(value), TYPES[name]))
            parts.append(value)
            length += len(value)
        filled = "".join(parts)
        if kind == "LOGIN":  # user and password are one piece with the scheme and the host
            gold = [Gold(gold[0].start, gold[-1].end, "LOGIN")]
        return Text(filled, tuple(gold), locale)

    def of(self, alphabet: str, count: int) -> str:
        """That many signs of it."""
        return "".join(self.draw.choices(alphabet, k=count))


def texts(count: int, part: str, seed: int, *, personal: bool) -> list[Text]:
    """Texts from the even (`seen`) or odd (`held out`) templates, or from those that came later and
    for other locales (`fresh`); all kinds alike often.
    """
    positive, negative, locales = POSITIVE, NEGATIVE, LOCALES
    if part == "fresh":
        positive, negative, locales = pii_fresh.POSITIVE, pii_fresh.NEGATIVE, pii_fresh.LOCALES
    half = {"seen": slice(0, None, 2), "held out": slice(1, None, 2), "fresh": slice(None)}[part]
    maker = Maker(seed, locales)
    pool = [(kind, t) for kind, ts in positive.items() for t in ts[half]]
    if not personal:
        pool = [(None, template) for template in negative[half]]
    made: list[Text] = []
    for number in range(count):
        kind, template = pool[number % len(pool)]
        locale = locales[number // len(pool) % len(locales)]
        made.append(maker.text(template, locale, kind))
    return made


NO_IBAN = ("en_US", "ja_JP", "en_AU", "en_IN", "fr_CA", "es_MX", "ko_KR")
"""Countries that have none."""
LETTERS = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"


def _email(maker: Maker, locale: str) -> str:
    faker = maker.fakers[locale]
    made = maker.draw.choice((faker.free_email, faker.company_email, faker.ascii_email))()
    return made.capitalize() if maker.draw.random() < 0.1 else made


def _card(maker: Maker, locale: str) -> str:
    brand = maker.draw.choice(("visa16", "mastercard", "amex", "discover"))
    faker = maker.fakers[locale if locale in LOCALES else "en_US"]  # others lack some brands
    number = faker.credit_card_number(card_type=brand)
    groups = (4, 6, 5) if brand == "amex" else (4, 4, 4, 4)
    style = maker.draw.choice(("", " ", "-"))
    parts, at = [], 0
    for size in groups:
        parts.append(number[at : at + size])
        at += size
    return style.join(parts)


def _iban(maker: Maker, locale: str) -> str:
    number = maker.fakers["de_DE" if locale in NO_IBAN else locale].iban()
    if maker.draw.random() < 0.5:
        return " ".join(number[i : i + 4] for i in range(0, len(number), 4))
    return number


def _jwt(maker: Maker, _: str) -> str:
    def part(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    head = part('{"alg":"HS256","typ":"JWT"}')
    body = part(f'{{"sub":"{maker.draw.randrange(10**9)}","iat":1516239022}}')
    return f"{head}.{body}.{maker.of(LETTERS + '-_', 43)}"


def _pem(maker: Maker, _: str) -> str:
    kind = maker.draw.choice(("RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY"))
    lines = [maker.of(LETTERS + "+/", 64) for _ in range(5)]
    return "\n".join((f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----"))


def _password(maker: Maker, _: str) -> str:
    return maker.of(LETTERS, maker.draw.randint(6, 12)) + maker.draw.choice("!#$%7") + "9"


def _cpf(maker: Maker, _: str) -> str:
    return maker.fakers["pt_BR"].cpf()


def _dni(maker: Maker, _: str) -> str:
    number = maker.draw.randrange(10_000_000, 10**8)
    return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def _nir(maker: Maker, _: str) -> str:
    draw = maker.draw
    number = (
        f"{draw.choice('12')}{draw.randrange(40, 99)}{draw.randrange(1, 13):02}"
        f"{draw.randrange(1, 90):02}{draw.randrange(1, 990):03}{draw.randrange(1, 999):03}"
    )
    key = 97 - int(number) % 97
    parts = (number[0], number[1:3], number[3:5], number[5:7], number[7:10], number[10:])
    return (" " if draw.random() < 0.5 else "").join((*parts, f"{key:02}"))


def _address(maker: Maker, locale: str) -> str:
    return maker.fakers[locale].address().replace("\n", ", ")


def _shape(head: str, alphabet: str, count: int) -> Callable[[Maker, str], str]:
    return lambda maker, _: head + maker.of(alphabet, count)


PERSONAL: dict[str, Callable[[Maker, str], str]] = {
    "EMAIL": _email,
    "IP": lambda m, loc: m.fakers[loc].ipv4(),
    "IPV6": lambda m, loc: m.fakers[loc].ipv6(),
    "CARD": _card,
    "IBAN": _iban,
    "PHONE": lambda m, loc: m.fakers[loc].phone_number(),
    "NAME": lambda m, loc: f"{m.fakers[loc].first_name()} {m.fakers[loc].last_name()}",
    "FIRST": lambda m, loc: m.fakers[loc].first_name(),
    "LAST": lambda m, loc: m.fakers[loc].last_name(),
    "ADDRESS": _address,
    "USER": lambda m, loc: m.fakers[loc].user_name(),
    "PASSWORD": _password,
    "OPENAI": _shape("sk-proj-", LETTERS + "-_", 48),
    "GITHUB": _shape("ghp_", LETTERS, 36),
    "AWS": _shape("AKIA", UPPER, 16),
    "AWS_SECRET": _shape("", LETTERS + "+/", 40),
    "BEARER": _shape("", LETTERS + "-._", 40),
    "SLACK": lambda m, _: f"xoxb-{m.of(string.digits, 12)}-{m.of(LETTERS, 24)}",
    "GOOGLE": _shape("AIza", LETTERS + "-_", 35),
    "HF": _shape("hf_", LETTERS, 34),
    "STRIPE": _shape("sk_" + "live_", LETTERS, 24),
    "HEX": _shape("", HEX, 32),
    "JWT": _jwt,
    "PEM": _pem,
    "SSN_US": lambda m, _: m.fakers["en_US"].ssn(),
    "CF_IT": lambda m, _: m.fakers["it_IT"].ssn(),
    "CPF_BR": _cpf,
    "NIR_FR": _nir,
    "DNI_ES": _dni,
    "BSN_NL": lambda m, _: m.fakers["nl_NL"].ssn(),
    "PESEL_PL": lambda m, _: m.fakers["pl_PL"].pesel(),
    "PNR_SE": lambda m, _: m.fakers["sv_SE"].ssn(),
    "CURP_MX": lambda m, _: m.fakers["es_MX"].curp(),
}
TYPES = {name: name for name in ("EMAIL", "IP", "CARD", "IBAN", "PHONE", "NAME", "ADDRESS")}
TYPES |= {"IPV6": "IP", "FIRST": "NAME", "LAST": "NAME", "USER": "LOGIN"}
NATIONAL = (
    *("SSN_US", "CF_IT", "CPF_BR", "NIR_FR", "DNI_ES"),
    *("BSN_NL", "PESEL_PL", "PNR_SE", "CURP_MX"),
)
TYPES |= dict.fromkeys(NATIONAL, "NATIONAL_ID")
TYPES |= {name: "KEY" for name in PERSONAL if name not in TYPES}


def _digits(count: int) -> Callable[[random.Random], str]:
    return lambda draw: "".join(draw.choices(string.digits, k=count))


def _isbn13(draw: random.Random) -> str:
    number = "978" + _digits(9)(draw)
    total = sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(number))
    whole = number + str(-total % 10)
    return "-".join((whole[:3], whole[3], whole[4:7], whole[7:12], whole[12]))


def _isbn10(draw: random.Random) -> str:
    number = _digits(9)(draw)
    check = sum(int(d) * (i + 1) for i, d in enumerate(number)) % 11
    return f"{number[0]}-{number[1:5]}-{number[5:]}-{'0123456789X'[check]}"


def _hex(count: int) -> Callable[[random.Random], str]:
    return lambda draw: "".join(draw.choices(HEX, k=count))


def _date(draw: random.Random) -> str:
    y, m, d = draw.randint(1950, 2030), draw.randint(1, 12), draw.randint(1, 28)
    forms = (f"{y}-{m:02}-{d:02}", f"{d:02}.{m:02}.{y}", f"{m}/{d}/{y}", f"{d:02}-{m:02}-{y}")
    return draw.choice(forms)


NOTHING: dict[str, Callable[[random.Random], str]] = {
    **{f"DIGITS{n}": _digits(n) for n in (2, 3, 4, 5, 7, 9, 10)},
    **{f"HEX{n}": _hex(n) for n in (6, 8)},
    "DIGIT": _digits(1),
    "ORDER": lambda d: d.choice(
        (f"#{_digits(8)(d)}", f"PO-{d.randint(2015, 2029)}-{_digits(6)(d)}",
         f"{_digits(3)(d)}-{_digits(7)(d)}-{_digits(7)(d)}")
    ),
    "LONG": lambda d: _digits(d.randint(11, 18))(d),
    "YEAR": lambda d: str(d.randint(1900, 2030)),
    "DATE": _date,
    "TIME": lambda d: f"{d.randint(0, 23):02}:{d.randint(0, 59):02}:{d.randint(0, 59):02}",
    "ISO": lambda d: f"{d.randint(1990, 2030)}-0{d.randint(1, 9)}-11T12:{d.randint(10, 59)}:07.1Z",
    "MS": lambda d: str(d.randint(1, 99_999)),
    "UUID": lambda d: "-".join(_hex(n)(d) for n in (8, 4, 4, 4, 12)),
    "SUM": lambda d: f"{d.randint(1000, 99_999_999):,}" + d.choice(("", ".50")),
    "PRICE": lambda d: d.choice(("$", "€ ")) + f"{d.randint(1000, 99_999_999) / 100:,.2f}",
    "PERCENT": lambda d: f"{d.randint(1, 99)}.{d.randint(0, 9)} %",
    "VERSION": lambda d: f"{d.randint(0, 20)}.{d.randint(0, 40)}.{d.randint(0, 99)}",
    "VERSION4": lambda d: ".".join(str(d.randint(0, 40)) for _ in range(4)),
    "SECTION": lambda d: ".".join(str(d.randint(1, 9)) for _ in range(4)),
    "SHA": _hex(40),
    "MD5": _hex(32),
    "EAN": lambda d: _digits(13)(d),
    "ISBN13": _isbn13,
    "ISBN10": _isbn10,
    "TRACKING": lambda d: "1Z" + "".join(d.choices(UPPER, k=6)) + _digits(10)(d),
    "LAT": lambda d: f"{d.uniform(-90, 90):.6f}",
    "LON": lambda d: f"{d.uniform(-180, 180):.6f}",
    "SERIAL": lambda d: "".join(d.choices(UPPER, k=4)) + "-" + _digits(6)(d),
}  # fmt: skip

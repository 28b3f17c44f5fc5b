"""Cards, bank accounts and national ids: a shape, then the checksum by python-stdnum."""

import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from instructgpt.intake.pii.spans import Span

CARD = re.compile(
    r"(?<![A-Za-z0-9_.\-+/])(?<!\d[ ,])"
    r"(?:\d{4}([ \-]?)\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ \-]?)\d{6}\2\d{4,5}|\d{14,19})"
    r"(?![A-Za-z0-9_\-/])(?![.,]\d)"
)
BRANDS = re.compile(
    r"4(?:\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|"
    r"3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|"
    r"(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}|62\d{14,17}"
)
"""First digits and length of Visa, Mastercard, American Express, Diners, Discover, JCB, Maestro,
UnionPay."""
NO_CARD = re.compile(
    r"(?i)\b(?:isbn|ean|gtin|upc|imei|order|orders|invoice|tracking|serial|lot|row|uuid|"
    r"transaction|ticket|bestellnummer|rechnung)\b[^.\n]{0,12}$"
)
IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ \-]?[A-Z0-9]{4}){2,7}(?:[ \-]?[A-Z0-9]{1,3})?"
)


class Id(NamedTuple):
    """A country's number: its shape, who checks it, and the words it must stand beside, if any."""

    shape: re.Pattern[str]
    checker: str
    words: re.Pattern[str] | None = None


def _id(shape: str, checker: str, words: str = "") -> Id:
    whole = re.compile(rf"(?:{shape})(?![A-Za-z0-9_\-])(?!\.\d)")
    return Id(whole, checker, re.compile(words) if words else None)


TAXES = r"ssn|social security|sozialversicherung"
IDS = (
    _id(r"\d{3}-\d{2}-\d{4}", "us.ssn"),
    _id(r"\d{3} ?\d{2} ?\d{4}", "us.ssn", TAXES),
    _id(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", "it.codicefiscale"),
    _id(r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf"),
    _id(r"\d{11}", "br.cpf", r"cpf"),
    _id(r"[12] ?\d{2} ?\d{2} ?(?:\d{2}|2A|2B) ?\d{3} ?\d{3} ?\d{2}", "fr.nir"),
    _id(r"\d{8}-?[A-Z]", "es.dni"),
    _id(r"[XYZ]-?\d{7}-?[A-Z]", "es.nie"),
    _id(r"\d{2} ?\d{3} ?\d{3} ?\d{3}", "de.idnr", r"steuer|idnr|tax id"),
    _id(r"\d{9}", "nl.bsn", r"bsn|burgerservicenummer|sofi"),
    _id(r"\d{11}", "pl.pesel", r"pesel"),
    _id(r"\d{6}[\-+]\d{4}", "se.personnummer"),
    _id(r"\d{17}[\dX]", "cn.ric"),
    _id(r"\d{6}-\d{7}", "kr.rrn"),
    _id(r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d", "mx.curp"),
    _id(r"\d{4} ?\d{4} ?\d{4}", "in_.aadhaar", r"aadhaar|aadhar|uidai"),
    _id(r"\d{3}[ \-]?\d{3}[ \-]?\d{3}", "ca.sin", r"\bsin\b|social insurance"),
    _id(r"\d{3} ?\d{3} ?\d{3}", "au.tfn", r"tfn|tax file"),
    _id(r"\d{3} ?\d{3} ?\d{4}", "gb.nhs", r"\bnhs\b"),
    _id(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]", ""),
)
"""The last is Britain's national insurance number, which has no checksum."""


def _begins(ids: Iterable[Id]) -> re.Pattern[str]:
    """Where one of these may begin."""
    shapes = "|".join(one.shape.pattern for one in ids)
    begins = r"(?<![A-Za-z0-9_.\-/])(?=\d[\d .\-+]{7}|[A-Z][A-Z]{0,5}[ \-]?\d)"
    return re.compile(rf"{begins}(?={shapes})")


PLAIN = tuple(one for one in IDS if not one.words)
PLAIN_BEGINS, ANY_BEGINS = _begins(PLAIN), _begins(IDS)
NAMED = re.compile("|".join(one.words.pattern for one in IDS if one.words))
"""Most texts name no country's number, and most shapes are of those that have to be named."""


@cache
def checker(name: str) -> Callable[[str], bool]:
    """`is_valid` of a module of python-stdnum."""
    is_valid = importlib.import_module(f"stdnum.{name}").is_valid

    def checked(number: str) -> bool:
        try:
            return is_valid(number)
        except (KeyError, ValueError):  # python-stdnum's own: a region that its table lacks
            return False

    return checked


def cards(text: str) -> Iterator[Span]:
    """Numbers of payment cards: a brand's first digits and length, and Luhn's checksum."""
    for found in CARD.finditer(text):
        digits = re.sub(r"\D", "", found[0])
        if not (BRANDS.fullmatch(digits) and checker("luhn")(digits)):
            continue
        if not NO_CARD.search(text[max(0, found.start() - 24) : found.start()]):
            yield Span(*found.span(), "CARD", 0.97)


def accounts(text: str) -> Iterator[Span]:
    """IBANs: country, length and form by the registry, and the two check digits."""
    for found in IBAN.finditer(text):
        start, end = found.span()
        while end > start + 14:  # what follows may be a word in capitals
            if not text[end : end + 1].isalnum() and _is_iban(text[start:end]):
                yield Span(start, end, "IBAN", 0.99)
                break
            end = max(text.rfind(" ", start, end), text.rfind("-", start, end))


def _is_iban(written: str) -> bool:
    from stdnum import iban

    # A bank's own digits within it are the bank's affair: some reuse numbers that fail their rule.
    return iban.is_valid(written, check_country=False)


def ids(text: str) -> Iterator[Span]:
    """Numbers that a country gives a person; what anything might be, only beside its name."""
    is_named = NAMED.search(text.lower())
    begins, known = (ANY_BEGINS, IDS) if is_named else (PLAIN_BEGINS, PLAIN)
    for begin in begins.finditer(text):
        near = ""
        for shape, name, words in known:
            found = shape.match(text, begin.start())
            if not found:
                continue
            near = near or text[max(0, begin.start() - 40) : begin.start() + 40].lower()
            if words and not words.search(near):
                continue
            if not name or checker(name)(found[0]):
                yield Span(*found.span(), "NATIONAL_ID", 0.93)
                break

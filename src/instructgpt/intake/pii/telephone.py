"""Telephone numbers: a shape or a word beside them, then `phonenumbers`' rules of the country."""

import re
from collections.abc import Iterator

from instructgpt.intake.pii.spans import Span, lower

NUMBER = re.compile(
    r"(?<![A-Za-z0-9_+.,/\-#$€£&])(?<![0-9][ (])(?:\(?\+|\()?[0-9]"
    r"(?:[ \t\u00a0]?[().\-/‐‑–]?[ \t\u00a0]?[().\-]?[0-9]){5,16}"
    r"(?P<extension>,? ?(?:x|ext\.?|extension|durchwahl) ?[0-9]{1,6})?"
    r"(?![A-Za-z0-9_%°€$£])(?![.,:/\-][A-Za-z0-9_])"
)
"""Six to seventeen digits with what people put between them; never part of something longer."""

CALLED = re.compile(
    r"(?:\b(?:(?:tele)?phones?|tel|cell(?:phone)?|mobiles?|fax|call(?:ed|ing)?|ring|sms|dial|"
    r"text(?= [\[(+0-9mhu]|$)|reach(?:ed)?|whatsapp|signal|viber|hotline|contact|number is|"
    r"telefon\w*|handy\w*|mobil\w*|anruf\w*|rufen?|rufnummer|erreich\w*|durchwahl|téléphone\w*|"
    r"portable|appel\w*|rappel\w*|joindre|teléfono\w*|móvil|celular|llama\w*|cellulare|chiama\w*|"
    r"telefone|fone|liga\w*|telefoon\w*|bel(?:len)?)(?!\w)|電話|携帯|☎|📞|📱)"
)
OTHERWISE = re.compile(
    r"(?:\b(?:orders?|invoices?|isbn|issn|ean|gtin|upc|ids?|serial|lot|doi|pages?|pp|tracking|"
    r"rechnung\w*|bestell\w*|versions?|build|cve|uuid|rows?|accounts?|accession|ticket|case|model|"
    r"part|sku|konto\w*|commande|facture|pedido|factura|ordine|fattura|key|rfc|iso|din|error|code|"
    r"zip|population|port|imei|mac|score|nr)\b|\bno\.|#)"
)
"""What a number is called that is none of a telephone; both of a text in small letters."""

DATE = re.compile(
    r"\(?(?:\d{4}[.\-/]\d{1,2}[.\-/]\d{1,2}|\d{1,2}[.\-/]\d{1,2}[.\-/]\d{2,4}|"
    r"(?:1[5-9]|20)\d\d ?[\-–/ ] ?(?:1[5-9]|20)\d\d)(?:[ T\-–]+\d.*)?"
)
YEARS = re.compile(r"(?:(?:1[5-9]|20)\d\d[ \-–/,]*){2,}")
NO_NUMBER = re.compile(r"\d{1,3}(?:[ .]\d{3})+|[1-9]\d* ?/ ?\d+")
"""Thousands and fractions."""

NORTH_AMERICAN = re.compile(
    r"(?:\+?1[ .\-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.\-]|[2-9]\d\d (?=\d{3}-))\d{3}[.\-]\d{4}"
)
FRENCH = re.compile(r"0[1-9](?:[ .\-]\d\d){4}")
BRAZILIAN = re.compile(r"\(\d\d\) ?9?\d{4}[\- ]\d{4}|\d\d 9?\d{4}-\d{4}")
SPANISH = re.compile(r"[6789]\d\d(?: \d\d){3}")
TRUNK = re.compile(r"\(?0\d{1,5}\)?[ \-/.](?:\d[ \-/.]?){4,11}|\(0\d{2,5}\)\d{4,9}|0\d{9,10}")
HOME = ("DE", "GB", "JP", "IT", "FR", "NL", "AU", "IN", "BE", "AT", "CH", "SE", "CN", "KR", "ZA")
"""Countries whose numbers begin with 0 at home."""


def phones(text: str) -> Iterator[Span]:
    """Numbers with their country's code; shapes of one country; others beside a word for phones."""
    lowered = lower(text)
    for found in NUMBER.finditer(text):
        written = found[0]
        number = written[: found.start("extension") - found.start()] if found[1] else written
        start = found.start()
        if number[0] == "(" and ")" not in number:
            number, start = number[1:], start + 1
        if score := _score(number, lowered[max(0, start - 48) : start]):
            yield Span(start, found.end(), "PHONE", score)


def _score(number: str, before: str) -> float:
    """How sure it is that this is a telephone number; 0: it is none."""
    count = sum(map(str.isdigit, number))
    if not 6 < count < 17 or DATE.fullmatch(number) or YEARS.fullmatch(number):
        return 0
    if number.startswith(("+", "(+", "00")) and _is_possible(number):
        return 0.9
    called, otherwise = _last(CALLED, before), _last(OTHERWISE, before)
    if called > otherwise and not NO_NUMBER.fullmatch(number):
        return 0.8
    if otherwise >= 0:
        return 0
    if any(shape.fullmatch(number) for shape in (NORTH_AMERICAN, FRENCH, BRAZILIAN, SPANISH)):
        return 0.75
    return 0.7 if TRUNK.fullmatch(number) and _is_valid_at_home(number) else 0


def _last(words: re.Pattern[str], line: str) -> int:
    """Where the last of these words begins; -1: there is none."""
    last = -1
    for found in words.finditer(line):
        last = found.start()
    return last


def _is_possible(number: str) -> bool:
    """Whether a number with its country's code has a length of that country."""
    import phonenumbers

    written = re.sub(r"^\(?\+ ?|^00", "+", number)
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(written, None))
    except phonenumbers.NumberParseException:
        return False


def _is_valid_at_home(number: str) -> bool:
    """Whether one of the countries of `HOME` has such a number."""
    import phonenumbers

    for country in HOME:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(number, country)):
                return True
        except phonenumbers.NumberParseException:
            return False
    return False

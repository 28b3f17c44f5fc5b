"""People's names where a text says that it has one: greetings, signatures, introductions.

A name anywhere else is not looked for: without a model of language, `May`, `Paris` and the hero of
a novel would all be people.
"""

import re
from collections.abc import Iterator

from instructgpt.intake.pii.spans import Span, lower

UPPER, ANY = "A-ZÀ-ÖØ-ÞŁŚŻŹĆČŠŽ", "A-Za-zÀ-ÖØ-öø-ɏ"
WORD = rf"(?:[{UPPER}][{ANY}]{{1,24}}(?:['’\-][{UPPER}][{ANY}]{{1,24}}){{0,2}}|[{UPPER}]\.)"
PARTICLE = (
    r"(?:van der|van den|van|von der|von|de la|de los|de|da|dos|do|di|del|della|el|al|bin|le|la)"
)
NAME = rf"(?P<name>{WORD}(?: (?:{PARTICLE} )?{WORD}){{0,3}})"
TWO = rf"(?P<name>{WORD}(?: (?:{PARTICLE} )?{WORD}){{1,3}})"
TITLE = (
    r"(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Herrn?|Frau|Monsieur|Madame|Mademoiselle|M|Mme|Mlle|"
    r"Señora|Señor|Sra|Sr|Srta|Signora|Signor|Sig\.ra|Sig|Dott|Senhora|Senhor|Doña|Don)\b\.? ){0,2}"
)
GREETING = re.compile(
    rf"(?:Dear|Hi|Hello|Hey|Good (?:morning|afternoon|evening)|Sehr geehrte[rs]?|Liebe[rs]?|Hallo|"
    rf"Guten Tag|Cher|Chère|Bonjour|Salut|Estimad[oa]|Querid[oa]|Hola|Gentile|Gentilissim[oa]|"
    rf"Car[oa]|Ciao|Buongiorno|Prezad[oa]|Olá|Oi|Beste|Geachte|Kære|Drogi|Droga),? {TITLE}{NAME}"
    rf"(?=\s{{0,2}}[,!.:;–\-\n]|\s{{0,2}}$)"
)
CLOSING = re.compile(
    r"(?:regards|best wishes|best|sincerely|sincerely yours|yours faithfully|yours truly|"
    r"respectfully|respectfully yours|cheers|thanks|thank you|with love|love|"
    r"grüßen|grüße|grüssen|grüsse|hochachtungsvoll|cordialement|bien à vous|amicalement|saludos?|"
    r"saludos cordiales|atentamente|atenciosamente|abraços?|abrazo|saluti|groet|groeten|groetjes|"
    r"hälsningar|pozdrawiam)[,.!]?[ \t]{0,3}\n\s{0,4}"
)
"""The end of a letter, in small letters; the name follows on the next line."""
SIGNED = re.compile(rf"{TITLE}{NAME}(?=[ \t]{{0,3}}(?:,|\n|$))")
INTRODUCTION = re.compile(
    r"(?:my name is|my full name is|my name's|i am called|mein name ist|ich heiße|je m['’]appelle|"
    r"mon nom est|me llamo|mi nombre es|mi chiamo|il mio nome è|meu nome é|me chamo|chamo-me|"
    r"mijn naam is|ik heet|jag heter|nazywam się):? "
)
INTRODUCED = (
    *("name", "called", "hei", "appelle", "nom est", "llamo", "nombre", "chiamo", "nome"),
    *("chamo", "naam", "heet", "heter", "nazywam"),
)
"""One of them is in whatever `INTRODUCTION` finds."""
CALLED = re.compile(rf"{TITLE}{NAME}")
I_AM = re.compile(
    rf"(?:I['’]m|I am|This is|this is|Ich bin|Je suis|Soy|Sono|Sou|Ik ben) {TITLE}{TWO}"
    rf"(?=,| (?:and|from|at|here|speaking|calling|writing|und|aus|et|y|de|e)\b)"
)
BEGINS = "\n\"'“”‘’:>.!?*(«„"
"""What may stand before a greeting, with a blank between them or none."""
NOBODY = frozenset(
    "sincerely faithfully respectfully regards cheers best love yours attendees family youtube "
    "sir madam sirs team all everyone everybody customer customers colleague colleagues friend "
    "friends santa claus diary god lord reader readers there hiring manager editor mom dad mum "
    "mother father son daughter student students professor doctor teacher parents guest guests "
    "chatgpt gpt assistant ai bot siri alexa computer world human robot today tomorrow valued "
    "user users folks guys ladies gentlemen herren damen monsieur madame señor señora colleghi "
    "amici amigos amigo amiga recruiter members member committee board officer author residents "
    "resident reviewer reviewers editors neighbor neighbors neighbour neighbours applicant "
    "candidate subscriber subscribers sales support regards the a an this that i we you it my our "
    "your please thanks thank happy sad sorry new may can could would will should is are was here "
    "not so very just only also if when how what".split()
)
"""Who is greeted and is no person, and what begins a sentence."""


def names(text: str) -> Iterator[Span]:
    """Names behind `Dear`, under `Best regards`, behind `My name is`, in a few languages."""
    for found in _named(text):
        start, end = found.span("name")
        words = text[start:end].lower().replace(".", "").split()
        is_abbreviation = text[start:end].split()[0].isupper() and len(words[0]) in (2, 3)
        if words[0] not in NOBODY and words[-1] not in NOBODY and not is_abbreviation:
            yield Span(start, end, "NAME", 0.7)


def _named(text: str) -> Iterator[re.Match[str]]:
    """Where a name is said to be, with a group `name`."""
    for found in GREETING.finditer(text):
        if _begins(text[max(0, found.start() - 2) : found.start()]):
            yield found
    for found in I_AM.finditer(text):
        if not text[found.start() - 1 : found.start()].isalnum():
            yield found
    lowered = lower(text)
    for words, name in ((INTRODUCTION, CALLED), (CLOSING, SIGNED)):
        hints = ("\n",) if words is CLOSING else INTRODUCED
        if not any(hint in lowered for hint in hints):
            continue
        for found in words.finditer(lowered):
            is_word = not lowered[found.start() - 1 : found.start()].isalnum()
            if is_word and (named := name.match(text, found.end())):
                yield named


def _begins(before: str) -> bool:
    """Whether a line or a sentence begins after these two characters."""
    before = before.rstrip(" \t") if before != "  " else ""
    return not before or before[-1] in BEGINS

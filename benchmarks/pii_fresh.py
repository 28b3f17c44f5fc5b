"""Templates that no rule was ever mended by: written after the rules, from other tasks and for
other locales than those of `pii_templates.py`. Whoever mends a rule by what it does here writes new
ones.
"""

from collections.abc import Sequence

LOCALES = ("nl_NL", "pl_PL", "sv_SE", "en_AU", "en_IN", "de_AT", "fr_CA", "es_MX", "pt_PT", "ko_KR")

POSITIVE: dict[str, Sequence[str]] = {
    "EMAIL": (
        "Hoi, mijn nieuwe adres is {EMAIL}. Kun je dat in de lijst zetten?",
        "cc {EMAIL}; bcc {EMAIL} - rewrite this header for a mail merge",
        "Translate: 'Please send your CV to {EMAIL} until Monday.'",
        "user.email={EMAIL}\nuser.signingkey=none\nWhat is git config for?",
        "Napisz krótką odpowiedź do klienta ({EMAIL}), że paczka jest w drodze.",
        "Skicka kvittot till {EMAIL}, tack. Gör texten artigare.",
    ),
    "IP": (
        "traceroute: 3  {IP}  8.1 ms. Who runs this hop?",
        "allow from {IP}; deny all. Is this nginx rule complete?",
        '{{"client": "{IP}", "status": 403}} Turn this log entry into a sentence.',
        "My router shows two addresses, {IP} and {IPV6}. Which one do I give to my friend?",
        "Server antwortet nicht unter {IP}, was kann ich prüfen?",
    ),
    "CARD": (
        "Card number: {CARD}\nName on card: see above\nTurn this into JSON.",
        "I was charged twice on {CARD}, draft an angry but polite letter.",
        "Mijn kaart {CARD} is gestolen. Wat moet ik nu doen?",
        "Meu cartão {CARD} foi clonado, escreva para o banco.",
    ),
    "IBAN": (
        "Graag overmaken op {IBAN} o.v.v. de factuur. Maak dit formeler.",
        "Numer konta do przelewu: {IBAN}. Sprawdź, czy jest poprawny.",
        "Please change the direct debit to {IBAN} from next month on.",
        "Betala till {IBAN} senast fredag. Translate to English.",
    ),
    "KEY": (
        "requests.get(url, headers={{'Authorization': 'Bearer {BEARER}'}}) gives 403, why?",
        "I accidentally committed {GITHUB} to a public repository. What now?",
        "ENV OPENAI_API_KEY={OPENAI}\nCMD python app.py\nReview my Dockerfile.",
        "[default]\naws_access_key_id={AWS}\nregion=eu-central-1\nExplain this file.",
        "Wifi-password: {PASSWORD}\nMake a sign for the guest room.",
        "Here is the JWT from my login: {JWT} Is it expired?",
        "deploy key:\n{PEM}\nHow do I add it to the agent?",
    ),
    "LOGIN": (
        "redis://{USER}:{PASSWORD}@cache.company.org:6379/0 cannot connect, explain",
        "pip install --index-url https://{USER}:{PASSWORD}@pypi.company.org/simple tool",
    ),
    "PHONE": (
        "Bel me even terug op {PHONE}, liefst voor zessen.",
        "Zadzwoń pod {PHONE} i zapytaj o godziny otwarcia.",
        "Ring mig på {PHONE} om du blir sen. Översätt till engelska.",
        "Mobile: {PHONE}. Put it on the flyer.",
        "Reach our support line at {PHONE} around the clock. Make it shorter.",
        "연락처는 {PHONE} 입니다. 이메일 서명으로 만들어 줘.",
        "O meu telemóvel é {PHONE}. Escreve uma mensagem curta.",
        "Mon cell est le {PHONE}, rédige un texto pour le plombier.",
    ),
    "NATIONAL_ID": (
        "Mijn BSN is {BSN_NL}, welk formulier heb ik nodig?",
        "PESEL {PESEL_PL}, proszę uzupełnić wniosek.",
        "Personnummer {PNR_SE}. Vad betyder de sista fyra siffrorna?",
        "CURP: {CURP_MX}. ¿Qué significan las letras?",
        "She gave her SSN as {SSN_US} on the form; is that needed for a rental?",
    ),
    "NAME": (
        "Beste {NAME},\nbedankt voor je bericht. Maak dit formeler.",
        "Hej {FIRST}! Kan du hjälpa mig? Translate.",
        "My name is {NAME}, I'm applying for the post of gardener. Write the letter.",
        "Kind regards,\n{NAME}\nWhat comes before the signature in a formal letter?",
        "{NAME} and I had a quarrel at work. How do I apologize?",
        "Minutes: {NAME} opened the meeting at nine. Continue.",
        "Nazywam się {NAME} i szukam mieszkania. Popraw błędy.",
    ),
    "ADDRESS": (
        "Bezorgen op {ADDRESS} na vijf uur.",
        "Format this for an envelope: {ADDRESS}",
    ),
    "MIXED": (
        "Invoice for {NAME}, {ADDRESS}. Pay to {IBAN}. Questions: {EMAIL}, {PHONE}.",
        "Hi {FIRST},\nmy number changed to {PHONE}, mail stays {EMAIL}.\nCheers,\n{FIRST}",
    ),
}

NEGATIVE: Sequence[str] = (
    "Order {ORDER} was shipped on {DATE}; write a status mail without names.",
    "Compare {VERSION} with {VERSION} in the changelog and list breaking changes.",
    "The build {VERSION4} of Windows crashes after update {DIGITS7}.",
    "git revert {SHA} && git push # at {TIME}",
    "Chapter {SECTION}: figures {DIGITS2} to {DIGITS2}. Number them again.",
    "x = {DIGITS5} * {DIGITS4} + {DIGITS3}. What is x?",
    "The ISBN {ISBN13} is out of print; {ISBN10} is a reprint.",
    "In {YEAR} sales were {SUM}, in {YEAR} {SUM}. Growth in percent?",
    "{ISO} INFO worker-{DIGITS2} took {MS} ms, job {UUID}",
    "Barcode {EAN}, part {SERIAL}, ordered with {ORDER}.",
    "checksum sha1 {SHA}, md5 {MD5}: which tool prints them?",
    "SELECT * FROM users WHERE id IN ({DIGITS5}, {DIGITS5}, {DIGITS9});",
    "Coordinates {LAT}, {LON} and {LAT}, {LON}: how far apart?",
    "Parcel {TRACKING} weighs {DIGITS3} g and costs {PRICE}.",
    "It grew by {PERCENT} between {DATE} and {DATE}.",
    "const id = '{UUID}'; const color = '#{HEX6}'; // line {DIGITS4}",
    "Dear hiring manager, dear team, dear all: which one is best?",
    "How do I store a password hash? Is bcrypt with cost {DIGITS2} enough?",
    "What is the difference between an API key and a token?",
    "I'm Very Tired is the title of chapter {DIGITS2}.",
    "Kind regards,\nThe Editorial Board\nIs this signature fine?",
    "User @night_owl_{DIGITS2} follows @cat{DIGITS3}. What do handles mean?",
    "Ratio 16:9, score 21:19, time {TIME}, verse 3:16. Which are times?",
    "Plus de {SUM} visiteurs en {YEAR}, soit {PERCENT} de plus.",
    "Das Aktenzeichen lautet {DIGITS4}/{DIGITS2}, Seite {DIGITS3} von {DIGITS3}.",
    "Train {DIGITS4} leaves platform {DIGITS2} at {TIME}, seat {DIGITS3}.",
    "A::B::C is a namespace; 10.{DIGITS2} is a number; e.g. 1.2.3 is a version.",
    "Mersenne: {LONG} is prime or not? And {LONG}?",
)

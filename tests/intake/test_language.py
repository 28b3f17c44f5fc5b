"""Languages are told where the text shows one, and `unknown` is said elsewhere."""

import copy

import pytest

from instructgpt.intake.language import READ, Identifier

IDENTIFIER = Identifier()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("How do I get from the station to the old town on foot?", "en"),
        ("Wie komme ich vom Bahnhof zu Fuß in die Altstadt?", "de"),
        ("Comment aller de la gare à la vieille ville à pied ?", "fr"),
        ("¿Cómo llego a pie desde la estación al casco antiguo?", "es"),
        ("从车站步行到老城怎么走？", "zh"),
        ("駅から旧市街まで歩いてどう行けばいいですか。", "ja"),
        ("Как дойти пешком от вокзала до старого города?", "ru"),
        ("HOW DO I GET FROM THE STATION TO THE OLD TOWN ON FOOT?", "en"),
        ("x = [1, 2, 3]", "unknown"),
        ("12 34 56", "unknown"),
        ("", "unknown"),
        ("ok", "unknown"),
        ("😀😀", "unknown"),
        ("\ud800 \x00", "unknown"),
    ],
)
def test_the_language_is_told(text: str, code: str):
    language = IDENTIFIER.language(text)
    assert language.code == code
    assert 0 <= language.score <= 1
    assert (language.score >= IDENTIFIER.threshold) == (code != "unknown")


def test_a_threshold_of_its_own_says_unknown_more_often():
    strict = copy.copy(IDENTIFIER)  # and not opened again, which takes a second
    strict.threshold = 0.999
    text = "Bonjour, ça va ?"
    assert IDENTIFIER.language(text).code == "fr"
    assert strict.language(text) == ("unknown", IDENTIFIER.language(text).score)


def test_no_more_is_read_than_what_is_said():
    german = "Wie komme ich vom Bahnhof zu Fuß in die Altstadt? " * (READ // 50)
    assert IDENTIFIER.language(german + "to the old town " * 10_000).code == "de"

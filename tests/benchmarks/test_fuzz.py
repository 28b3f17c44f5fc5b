"""The fuzzer's short form: no spoiled file and no command line ends in a traceback."""

from random import Random

import pytest

import fuzz
import spoil
from tests.small_runs import one_backend

INPUTS, SEED = 110, 20


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    with one_backend():
        return folder, fuzz.prepare(folder)


@pytest.mark.slow
@pytest.mark.long
def test_every_input_is_read_or_refused_in_one_line(prepared):
    folder, targets = prepared
    targets = {name: t for name, t in targets.items() if "report" not in name}  # they are slow
    random, names = Random(SEED), [*targets, "words", "words"]
    with one_backend():
        for number in range(INPUTS):
            name = names[number % len(names)]
            if name == "words":
                outcome = fuzz.try_words(fuzz.draw_words(random, folder))
            else:
                outcome = fuzz.try_file(name, targets[name], random)
            assert outcome in ("read", "refused"), outcome


def test_a_traceback_and_a_second_line_are_found(tmp_path):
    """The fuzzer sees what it looks for."""
    file = tmp_path / "a.json"
    file.write_text("{}")

    def fail():
        raise KeyError("a")

    target = fuzz.Target(file, spoil.spoiled_json, fail)
    found = fuzz.try_file("a", target, Random(0))
    assert isinstance(found, fuzz.Found)
    assert "KeyError" in found.what
    assert file.read_text() == "{}"
    assert fuzz._complaint("a.json: one\ntwo", "a.json") == "more than a plain line"
    assert fuzz._complaint("\x1b[1ma.json", "a.json") == "more than a plain line"
    assert fuzz._complaint("nothing", "a.json") == "does not name a.json"
    assert fuzz._complaint("a.json: no", "a.json") == ""

"""What is said of settings that are hardly meant."""

import pytest

from instructgpt.run.plausible import say_large_batch, say_unreached_peak


@pytest.mark.parametrize(("warmup", "length"), [(0, 8), (7, 8), (8, 0)])
def test_a_warmup_within_the_training_is_nothing_to_say(warmup, length, capsys):
    say_unreached_peak(warmup, length, "steps")
    assert capsys.readouterr().err == ""


def test_a_warmup_that_outlasts_the_training_is_said(capsys):
    say_unreached_peak(10, 8, "iterations")
    said = capsys.readouterr().err  # the last of 8 iterations has 0.1 + 0.9 * 7 / 10 of the peak
    assert said.startswith("warmup 10 outlasts the training of 8 iterations")
    assert "comes to 73% of its peak; lower warmup to reach it" in said


def test_a_batch_of_more_than_there_is_is_said(capsys):
    say_large_batch(4, "abcd", "letters")
    say_large_batch(4, "", "letters")
    assert capsys.readouterr().err == ""
    say_large_batch(4, "abc", "letters")
    assert capsys.readouterr().err == "batch_size 4 is more than the 3 letters there are\n"

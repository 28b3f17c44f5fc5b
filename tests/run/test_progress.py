"""What is said on the way: plain lines where there is no terminal, all of it on standard error."""

import pytest

from instructgpt.run import progress
from instructgpt.run.progress import StageProgress, Whole, say, say_skipped


def test_a_message_is_one_line_as_it_is(capsys):
    say("[bold]no markup[/bold] :smile: " + "long " * 60 + "end")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "[bold]no markup[/bold] :smile: " + "long " * 60 + "end\n"


def test_what_was_skipped_is_named_up_to_five(capsys):
    say_skipped([f"line {i}" for i in range(5)])
    assert capsys.readouterr().err.splitlines() == [f"skipped: line {i}" for i in range(5)]
    say_skipped([f"line {i}" for i in range(7)])
    assert capsys.readouterr().err.splitlines()[4:] == ["skipped: line 4", "skipped: 7 in all"]
    say_skipped([])
    assert capsys.readouterr().err == ""


@pytest.fixture
def clock(monkeypatch):
    """Moves when told to."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def tick(seconds):
        now[0] += seconds

    return tick


def test_a_line_every_ten_seconds_and_at_the_end(clock, capsys):
    with StageProgress("sft", 50, done=10) as bar:
        for done in range(11, 51):
            clock(1)
            bar.advance(done, {"loss": 2.34567})
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "sft: 11/50, 39 s left  loss 2.346"
    assert [line.split(",")[0].split()[1] for line in lines] == [
        "11/50",
        "22/50",
        "33/50",
        "44/50",
        "50/50",
    ]
    assert lines[-1] == "sft: 50/50  loss 2.346"


def test_a_long_time_left_is_in_minutes(clock, capsys):
    with StageProgress("ppo", 61) as bar:
        clock(60)
        bar.advance(1, {})
    assert "60 min left" in capsys.readouterr().err


def test_the_time_left_for_the_whole(clock, capsys):
    """Shares 1 : 3 : 6. The first took 10 s; a third of the second took 10 s more: 20 s for 2 of
    10, so 80 s are left.
    """
    with Whole([1.0, 3.0, 6.0]) as whole:
        whole.begin(0)
        clock(10)
        whole.begin(1)
        with StageProgress("ppo", 6) as bar:
            clock(10)
            bar.advance(2, {})
    assert "ppo: 2/6, 20 s left (80 s for the whole)" in capsys.readouterr().err


def test_the_whole_leaves_no_less_than_its_stage(clock, capsys):
    """By shares the stage has 2 s to go, by its first step 60."""
    with Whole([8.0, 1.0, 1.0]) as whole:
        whole.begin(0)
        clock(8)
        whole.begin(1)
        with StageProgress("ppo", 6) as bar:
            clock(12)
            bar.advance(1, {})
    assert "ppo: 1/6, 60 s left (60 s for the whole)" in capsys.readouterr().err


def test_what_was_done_before_does_not_count_as_fast(clock, capsys):
    """The first stage had been done; of the second 2 of 6 steps had, 2 more took 30 s: what is
    left is 2 such steps and the 6 shares of the last stage, 1 share for 30 s.
    """
    with Whole([1.0, 3.0, 6.0]) as whole:
        whole.begin(0)
        whole.begin(1)
        with StageProgress("ppo", 6, done=2) as bar:
            clock(30)
            bar.advance(4, {})
    assert "30 s left (4 min for the whole)" in capsys.readouterr().err


def test_without_shares_nothing_is_said_of_the_whole(clock, capsys):
    with Whole([0.0, 0.0]) as whole:
        whole.begin(0)
        clock(60)
        with StageProgress("ppo", 6) as bar:
            clock(30)
            bar.advance(1, {})
    assert "whole" not in capsys.readouterr().err


def test_a_terminal_gets_a_bar(monkeypatch):
    from rich.console import Console

    console = Console(force_terminal=True, width=120, record=True)
    monkeypatch.setattr(progress, "console", console)
    with StageProgress("sft", 4, done=1) as bar:
        bar.advance(3, {"loss": 1.5})
    text = console.export_text()
    assert "3/4" in text
    assert "loss 1.5" in text

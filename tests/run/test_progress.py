"""What is said on the way: plain lines where there is no terminal, all of it on standard error."""

import pytest

from instructgpt.run import progress
from instructgpt.run.progress import StageProgress, say, say_skipped


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


def test_a_terminal_gets_a_bar(monkeypatch):
    from rich.console import Console

    console = Console(force_terminal=True, width=120, record=True)
    monkeypatch.setattr(progress, "console", console)
    with StageProgress("sft", 4, done=1) as bar:
        bar.advance(3, {"loss": 1.5})
    text = console.export_text()
    assert "3/4" in text
    assert "loss 1.5" in text

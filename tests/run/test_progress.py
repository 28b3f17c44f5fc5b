"""What is said on the way: plain lines where there is no terminal, all of it on standard error."""

import io

import pytest
from rich.console import Console
from rich.live import Live

from instructgpt.run import progress
from instructgpt.run.progress import PipelineProgress, StageProgress, say, say_skipped


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
            bar.begin("updating")
            clock(1)
            bar.advance(done, {"sft/loss": 2.34567})
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "sft: 21/50, updating, 11 s, 29 s left  sft/loss 2.346",
        "sft: 32/50, updating, 22 s, 18 s left  sft/loss 2.346",
        "sft: 43/50, updating, 33 s, 7 s left  sft/loss 2.346",
        "sft: 50/50, 40 s  sft/loss 2.346",
    ]


def test_a_long_step_is_seen_to_move(clock, capsys):
    with StageProgress("ppo", 4) as bar:
        bar.begin("sampling")
        for ended in range(1, 4):
            clock(11)
            progress.show_part(ended, 32)
        bar.begin("reading")
        clock(11)
        progress.show_part(0, 5)
    assert capsys.readouterr().err.splitlines() == [
        "ppo: 0/4, sampling 1/32, 11 s",
        "ppo: 0/4, sampling 2/32, 22 s",
        "ppo: 0/4, sampling 3/32, 33 s",
        "ppo: 0/4, reading 0/5, 44 s",
    ]
    progress.show_part(1, 2)  # no stage is shown
    assert capsys.readouterr().err == ""


def left(bar):
    seconds = bar.seconds_left()
    return None if seconds is None else round(seconds, 3)


def test_the_first_step_does_not_decide_the_time_left(clock):
    """48 minutes were announced where 8 were true: the first step had warmed up."""
    bar = StageProgress("ppo", 48)
    clock(60)
    bar.advance(1, {})
    assert left(bar) is None
    clock(10)
    bar.advance(2, {})
    assert left(bar) == 46 * 10
    clock(4)  # within the third step
    assert left(bar) == 46 * 10 - 4


def test_one_slow_step_changes_nothing(clock):
    bar = StageProgress("sft", 100)
    for done, seconds in enumerate([30, 2, 2, 40, 2, 2], 1):
        clock(seconds)
        bar.advance(done, {})
    assert left(bar) == 94 * 2


def test_validations_and_checkpoints_count_by_their_share(clock):
    """Ten steps of 2 s, a validation and a checkpoint of 5 s each in ten of them: 3 s a step."""
    bar = StageProgress("sft", 100)
    for done in range(1, 11):
        clock(2)
        if done == 5:
            clock(5)
            bar.spent_besides(5)
        bar.advance(done, {})
        if done == 7:
            clock(5)
            bar.spent_besides(5)
    assert left(bar) == 90 * 3


def test_the_updates_of_an_iteration_are_one_cycle(clock):
    """An iteration's first step samples for 40 s, and all eight take 2 s: 56 s in all."""
    bar = StageProgress("ppo", 32, cycle=8)
    for done in range(1, 18):
        clock(42 if done % 8 == 1 else 2)
        bar.advance(done, {})
        assert (left(bar) is None) == (done < 9)
    assert left(bar) == 15 * 56 / 8


def test_steps_told_several_at_a_time(clock):
    bar = StageProgress("sample", 100, done=20)
    for done in (52, 84):
        clock(16)
        bar.advance(done, {})
    assert left(bar) == 16 * 0.5


def test_the_time_left_for_the_whole(clock, capsys):
    """Shares 1 : 3 : 6. The first took 10 s. The second takes 6 steps of 5 s: 40 s for 4 shares,
    so that the last takes 60; of the second 20 s are left.
    """
    with PipelineProgress([1.0, 3.0, 6.0]) as whole:
        whole.begin(0)
        clock(10)
        whole.begin(1)
        with StageProgress("ppo", 6) as bar:
            for done in (1, 2):
                clock(5)
                bar.advance(done, {})
            clock(5)
            bar.begin("sampling")
    assert "ppo: 2/6, sampling, 15 s, 15 s left, 75 s for the whole" in capsys.readouterr().err


def test_what_was_done_before_does_not_count_as_fast(clock, capsys):
    """The first stage had been done; of the second 2 of 6 steps had, each more takes 15 s: the
    other 4 are 2 shares in 60 s, and the last stage has 6.
    """
    with PipelineProgress([1.0, 3.0, 6.0]) as whole:
        whole.begin(0)
        whole.begin(1)
        with StageProgress("ppo", 6, done=2) as bar:
            for done in (3, 4):
                clock(15)
                bar.advance(done, {})
    assert "ppo: 4/6, 30 s, 30 s left, 4 min for the whole" in capsys.readouterr().err


def test_without_shares_nothing_is_said_of_the_whole(clock, capsys):
    with PipelineProgress([0.0, 0.0]) as whole:
        whole.begin(0)
        with StageProgress("ppo", 6) as bar:
            for done in (1, 2):
                clock(30)
                bar.advance(done, {})
    assert "whole" not in capsys.readouterr().err


# -------------------------------------------------------------------- a terminal

FIGURES = {"objective/scores": 1.25, "objective/kl": 0.5, "ptx/loss": 2.71828, "ppo/loss/value": 9}


def rendered(monkeypatch, width, act):
    """What stands on a terminal of this width after `act(bar)`: no control codes, one line."""
    console = Console(force_terminal=True, width=width, file=io.StringIO(), color_system=None)
    monkeypatch.setattr(progress, "console", console)
    monkeypatch.setattr(Live, "start", lambda _: None)
    monkeypatch.setattr(Live, "stop", lambda _: None)
    with StageProgress("ppo", 64, cycle=1) as bar:
        act(bar)
        console.print(bar._line())
    [line] = console.file.getvalue().splitlines()
    return line


AT_60 = "ppo ━━━━ 12/64  sampling 17/32  2 h 10 min, 9 h 23 min left"
AT_80 = "ppo ━━━━━━━━ 12/64  sampling 17/32  2 h 10 min, 9 h 23 min left  ptx/loss 2.718"
AT_120 = AT_80.replace("ptx/loss 2.718", "objective/scores 1.25  objective/kl 0.5")


@pytest.mark.parametrize(("width", "shown"), [(60, AT_60), (80, AT_80), (120, AT_120)])
def test_a_terminal_gets_what_fits_in_whole_pieces(width, shown, clock, monkeypatch):
    def act(bar):
        for done in range(1, 13):
            clock(650)
            bar.advance(done, FIGURES)
        bar.begin("sampling")
        bar.show_part(17, 32)

    line = rendered(monkeypatch, width, act)
    assert line == shown
    assert len(line) < width


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_a_line_never_wraps(width, clock, monkeypatch):
    def act(bar):
        bar.name = "evaluate-plain-17"
        for done in range(1, 13):
            clock(123456)
            bar.advance(done, FIGURES)
        bar.begin("validating")
        bar.show_part(12345, 67890)

    with PipelineProgress([1.0, 1.0]):
        assert len(rendered(monkeypatch, width, act)) < width


def test_a_terminal_never_shows_a_time_it_does_not_know(clock, monkeypatch):
    def act(bar):
        clock(2400)
        bar.begin("reading")
        bar.advance(1, {"ptx/loss": 2.5})

    line = rendered(monkeypatch, 80, act)
    assert line == f"ppo {'━' * 8} 1/64  reading         40 min  ptx/loss 2.5"


def test_a_real_terminal_gets_a_bar(monkeypatch):
    console = Console(force_terminal=True, width=100, record=True, file=io.StringIO())
    monkeypatch.setattr(progress, "console", console)
    with StageProgress("sft", 4, done=1) as bar:
        bar.advance(3, {"sft/loss": 1.5})
        progress.say("a message between")
    text = console.export_text()
    assert "3/4" in text
    assert "sft/loss 1.5" in text
    assert "a message between" in text
    assert "-:--" not in text

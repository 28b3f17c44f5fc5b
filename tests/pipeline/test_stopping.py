"""SIGTERM and a closed terminal, in stages that do not train: the status says so, what is done is
kept, and the same command goes on.
"""

import os
import pty
import signal
import sys
import time

import pytest

from instructgpt.evaluation.config import CompareConfig
from instructgpt.label.simulated.config import LabelConfig
from instructgpt.label.simulated.stage import simulate_labels
from instructgpt.models.config import InitConfig
from instructgpt.models.init import init
from instructgpt.pipeline.config import RankConfig, SampleConfig
from instructgpt.pipeline.evaluate import evaluate
from instructgpt.pipeline.rank import rank_candidates
from instructgpt.pipeline.sample import sample
from instructgpt.run import stopping
from instructgpt.run.directory import Run
from instructgpt.run.stopping import stoppable, to_the_end
from tests.files import write_rows
from tests.ppo.letters import letter_policy
from tests.preloaded import Program

RANKED = "instructgpt.pipeline.rank.rank_in_terminal"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    rows = [{"prompt": p, "responses": [{"text": "a"}, {"text": "bee"}]} for p in ("cab", "a")]
    return {
        "model": str(letter_policy(width=16, context=48).save(folder / "policy")),
        "prompts": write_rows(folder / "prompts.jsonl", [{"prompt": p} for p in "abcd"]),
        "answers": write_rows(folder / "answers.jsonl", rows),
    }


def command(name, inputs, out):
    """What runs the stage, and a function that it calls on the way, the second time or first."""
    model, prompts, answers = inputs["model"], inputs["prompts"], inputs["answers"]
    out = str(out)
    return {
        "init": (
            lambda: init(InitConfig(preset="gpt3-tiny", tokenizer=model, out=out)),
            "instructgpt.models.init.gpt3_model",
        ),
        "sample": (
            lambda: sample(SampleConfig(model=model, data=prompts, max_new_tokens=2, out=out)),
            "instructgpt.pipeline.sample._answers",
        ),
        "evaluate": (
            lambda: evaluate(
                CompareConfig(
                    a=model, b=model, judge="rule", data=prompts, max_new_tokens=2, out=out
                )
            ),
            "instructgpt.evaluation.stage._answers",
        ),
        "label": (
            lambda: simulate_labels(LabelConfig(data=answers, out=out)),
            "instructgpt.label.simulated.stage.rank_by_group",
        ),
        "rank": (
            lambda: rank_candidates(RankConfig(data=answers, by="rule", out=out)),
            "instructgpt.pipeline.rank.rank",
        ),
    }[name]


def interrupting(patch, place, number, *, call):
    """Send this process a signal when a function is called for the n-th time."""
    module, _, name = place.rpartition(".")
    real, calls = getattr(sys.modules[module], name), []

    def function(*args, **kwargs):
        calls.append(0)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return real(*args, **kwargs)

    patch.setattr(place, function)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("name", ["init", "sample", "evaluate", "label", "rank"])
def test_a_signal_leaves_a_stage_that_says_stopped(
    name, number, inputs, tmp_path, monkeypatch, patched
):
    monkeypatch.setattr("instructgpt.pipeline.sample.PROMPTS_AT_A_TIME", 2)
    if number == signal.SIGHUP:
        patched(stopping, "leave_terminal", lambda: None)
    run, place = command(name, inputs, tmp_path)
    with monkeypatch.context() as patch:
        interrupting(patch, place, number, call=2 if name in {"sample", "evaluate"} else 1)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert Run(tmp_path).info["status"] == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    kept = {"sample": "candidates.partial.jsonl", "evaluate": "answers-1.json"}.get(name)
    if kept:
        assert (tmp_path / kept).read_bytes()
        stamp = (tmp_path / "answers-1.json").stat() if name == "evaluate" else None
    run()
    assert Run(tmp_path).info["status"] == "done"
    if name == "evaluate":
        assert (tmp_path / "answers-1.json").stat().st_ino == stamp.st_ino


def test_who_ignores_a_signal_goes_on_ignoring_it():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_waits_for_the_end_of_a_few_lines():
    done = []

    def lines():
        with stoppable(), to_the_end():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            done.append("all")

    with pytest.raises(KeyboardInterrupt):
        lines()
    assert done == ["all"]


def ranking(answers, out):
    """A command that asks a person, at a terminal of its own; and our end of that."""
    code = (
        "from instructgpt.pipeline.rank import rank_candidates as r; from instructgpt.errors import"
        " UserError; from instructgpt.cli import main; from cyclopts import App\n"
        "import instructgpt.cli as c; from instructgpt.pipeline.config import RankConfig\n"
        f"c.app = lambda *_, **__: r(RankConfig(data={str(answers)!r}, by='me', out={str(out)!r}))"
        "\nmain([])"
    )
    ours, theirs = pty.openpty()
    process = Program(["-c", code], streams=(theirs, theirs, theirs))
    os.close(theirs)
    heard = b""
    while heard.count(b"Best to worst") < 1:
        heard += os.read(ours, 4096)
    os.write(ours, b"B > A\n")
    while heard.count(b"Best to worst") < 2:
        heard += os.read(ours, 4096)
    return process, ours


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGTERM", "the terminal closes"])
def test_a_person_who_is_interrupted_keeps_what_was_ranked(how, inputs, tmp_path):
    process, terminal = ranking(inputs["answers"], tmp_path / "run")
    time.sleep(0.5)  # Python's own wait for a line misses a signal that comes just before it
    if how == "SIGTERM":
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        os.close(terminal)
    else:
        os.close(terminal)
        code = process.wait(60)
    assert code == 130
    assert Run(tmp_path / "run").info["status"] == "interrupted"
    assert (tmp_path / "run" / "own.jsonl").read_bytes().count(b"\n") == 1

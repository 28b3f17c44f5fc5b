"""Hardware choices: made once, kept, and the same in all stages of a pipeline."""

import json

import pytest
import torch

from instructgpt.errors import UserError
from instructgpt.run import backend, tuning
from instructgpt.run.tuning import Choice, choose, forward_dtype, one_choice, threads_before
from tests.files import sentence

MEDIUM = Choice("medium", "oneDNN is fast here", "table: AMD")
HALF = Choice("bfloat16", "it has units", "table: AMD")


@pytest.fixture(autouse=True)
def as_before():
    """The choices are global to the process."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)


def found(monkeypatch, matmul=MEDIUM, dtype=HALF):
    """What the processor says; returns the questions it was asked."""
    asked = []
    monkeypatch.setattr(tuning, "faster_matmul", lambda device: asked.append(device) or matmul)
    monkeypatch.setattr(tuning, "faster_dtype", lambda device: asked.append(device) or dtype)
    return asked


def new_process(monkeypatch):
    monkeypatch.setattr(tuning, "_chosen", {})
    monkeypatch.setattr(tuning, "_now", {})


def test_the_first_start_decides_and_says_why(monkeypatch):
    found(monkeypatch)
    chosen = choose(2, None, "run")
    because = chosen.pop("because")
    assert chosen.pop("allocator")
    assert chosen == {"threads": 2, "matmul": "medium", "dtype": "bfloat16"}
    assert because["matmul"] == {"reason": "oneDNN is fast here", "source": "table: AMD"}
    assert because["dtype"] == {"reason": "it has units", "source": "table: AMD"}
    assert because["threads"]["source"] == "configured"
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (2, "medium")
    assert torch.are_deterministic_algorithms_enabled()


def test_a_later_start_takes_it_over(monkeypatch):
    found(monkeypatch)
    first = choose(2, None, "run")
    new_process(monkeypatch)
    asked = found(monkeypatch, Choice("highest", "", ""), Choice("float32", "", ""))
    kept = first
    for threads in (0, 2, 0):
        kept = choose(threads, kept, "run")
        assert [kept[key] for key in ("threads", "matmul", "dtype")] == [2, "medium", "bfloat16"]
        assert kept["because"]["matmul"] == {
            "reason": "oneDNN is fast here",
            "source": "the run's first start: table: AMD",
        }
        assert torch.get_num_threads() == 2
        assert forward_dtype("auto") == "bfloat16"
    assert asked == []
    with pytest.raises(UserError, match="run was started with 2 threads") as raised:
        choose(1, kept, "run")
    sentence(raised)


def test_a_kept_choice_that_is_no_float32_here_is_refused(monkeypatch):
    monkeypatch.setattr(tuning, "is_single", lambda _: False)
    with pytest.raises(UserError, match="run was begun on a processor on which") as raised:
        choose(1, {"threads": 1, "matmul": "medium", "dtype": "float32"}, "run")
    sentence(raised)
    assert choose(1, {"threads": 1, "matmul": "highest", "dtype": "float32"}, "run")


def test_a_process_asks_once_for_each_device(monkeypatch):
    asked = found(monkeypatch)
    assert choose(1, None, "run") == choose(1, None, "another")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    choose(1, None, "run", device="cuda:1")
    assert asked == ["auto", "auto", "cuda:1", "cuda:1"]


def test_a_pipeline_decides_once_whatever_a_new_process_would_find(monkeypatch, tmp_path):
    found(monkeypatch)
    with one_choice(tmp_path / "out"):
        first = choose(2, None, "sft")
        assert threads_before() == 2
    kept = json.loads((tmp_path / "out" / "tuning.json").read_text())
    assert kept == {"cpu/matmul": list(MEDIUM), "cpu/dtype": list(HALF), "threads": 2}
    new_process(monkeypatch)
    torch.set_num_threads(1)
    asked = found(monkeypatch, Choice("highest", "", ""), Choice("float32", "", ""))
    with one_choice(tmp_path / "out"):
        assert threads_before() == 2
        second = choose(2, None, "reward")
    assert asked == []
    assert [second[key] for key in ("matmul", "dtype")] == ["medium", "bfloat16"]
    assert second["because"]["matmul"]["source"] == (
        f"{tmp_path / 'out' / 'tuning.json'}: table: AMD"
    )
    assert first["because"]["matmul"]["source"] == "table: AMD"
    assert choose(1, None, "alone")["matmul"] == "highest"  # outside it does not hold


def test_a_broken_file_of_choices_is_refused(tmp_path):
    (tmp_path / "tuning.json").write_text("{")
    with pytest.raises(UserError, match=r"tuning.json: not valid JSON") as raised:
        one_choice(tmp_path).__enter__()
    sentence(raised)


def test_all_cores_unless_told(monkeypatch):
    found(monkeypatch)
    monkeypatch.setattr(tuning, "available_cores", lambda: 3)
    chosen = choose(0, None, "run")
    assert (chosen["threads"], chosen["because"]["threads"]["source"]) == (3, "the machine")


def test_a_run_of_before_there_was_a_choice_of_dtype_goes_on(monkeypatch):
    found(monkeypatch, dtype=Choice("float32", "", ""))
    assert choose(0, {"threads": 2, "matmul": "highest"}, "run")["dtype"] == "float32"


@pytest.mark.parametrize("faster", ["float32", "bfloat16"])
def test_auto_means_the_choice_and_a_dtype_means_itself(faster, monkeypatch):
    asked = found(monkeypatch, dtype=Choice(faster, "", ""))
    assert {forward_dtype("auto") for _ in range(3)} == {faster}
    assert len(asked) == 1  # no start has chosen: it is found out, once
    assert [forward_dtype(dtype) for dtype in ("float32", "bfloat16")] == ["float32", "bfloat16"]
    other = {"float32": "bfloat16", "bfloat16": "float32"}[faster]
    choose(1, {"threads": 1, "matmul": "highest", "dtype": other}, "run")
    assert forward_dtype("auto") == other


def test_a_gpu_that_is_not_used_decides_nothing(monkeypatch):
    """`--device cpu` on a machine with a GPU: the processor is asked, and told from the GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    known = backend.Known("a test's", lambda _: True, "medium", "float32", "so it is")
    monkeypatch.setattr(backend, "_known", lambda: known)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert backend.faster_matmul("cpu").value == "medium"
    assert backend.faster_dtype("cpu").value == "float32"
    assert {backend.faster_dtype(d).value for d in ("auto", "cuda", "cuda:1")} == {"bfloat16"}
    assert backend.faster_matmul("cuda").value == "highest"


def test_emulated_bfloat16_is_not_taken_on_a_gpu(monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    assert backend.faster_dtype("cuda").value == "float32"

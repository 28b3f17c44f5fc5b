"""Hardware choices: made once, kept, and never a faster product that is a worse one."""

import itertools

import pytest
import torch

from instructgpt.errors import UserError
from instructgpt.run import tuning
from instructgpt.run.tuning import choose, faster_dtype, faster_matmul, forward_dtype
from tests.files import sentence


@pytest.fixture(autouse=True)
def as_before():
    """The choices are global to the process."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)


def test_the_first_start_decides(monkeypatch):
    monkeypatch.setattr(tuning, "faster_matmul", lambda *_: "medium")
    monkeypatch.setattr(tuning, "faster_dtype", lambda *_: "bfloat16")
    monkeypatch.setattr(tuning, "keep_freed_memory", lambda: "default")
    expected = {"threads": 2, "matmul": "medium", "dtype": "bfloat16", "allocator": "default"}
    assert choose(2, None, "run") == expected
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (2, "medium")
    assert torch.are_deterministic_algorithms_enabled()


def test_a_later_start_takes_it_over(monkeypatch):
    monkeypatch.setattr(tuning, "faster_matmul", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr(tuning, "faster_dtype", lambda *_: pytest.fail("measured again"))
    kept = {"threads": 2, "matmul": "highest", "dtype": "bfloat16"}
    kept["allocator"] = tuning.keep_freed_memory()
    for threads in (0, 2):
        assert choose(threads, kept, "run") == kept
        assert torch.get_num_threads() == 2
    with pytest.raises(UserError, match="run was started with 2 threads") as raised:
        choose(1, kept, "run")
    sentence(raised)


def test_a_process_measures_once(monkeypatch):
    """A pipeline's stages do not differ because a probe did."""
    monkeypatch.setattr(tuning, "faster_matmul", lambda *_: "medium")
    monkeypatch.setattr(tuning, "faster_dtype", lambda *_: "bfloat16")
    first = choose(1, None, "run")
    monkeypatch.setattr(tuning, "faster_matmul", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr(tuning, "faster_dtype", lambda *_: pytest.fail("measured again"))
    assert choose(1, None, "another") == first


def test_all_cores_unless_told(monkeypatch):
    monkeypatch.setattr(tuning, "faster_matmul", lambda *_: "highest")
    monkeypatch.setattr(tuning, "available_cores", lambda: 3)
    assert choose(0, None, "run")["threads"] == 3


def test_a_run_of_before_there_was_a_choice_of_dtype_goes_on(monkeypatch):
    monkeypatch.setattr(tuning, "faster_dtype", lambda *_: "float32")
    assert choose(0, {"threads": 2, "matmul": "highest"}, "run")["dtype"] == "float32"


@pytest.mark.parametrize("faster", ["float32", "bfloat16"])
def test_auto_means_the_choice_and_a_dtype_means_itself(faster, monkeypatch):
    probes = []
    monkeypatch.setattr(tuning, "faster_dtype", lambda *_: probes.append(1) or faster)
    assert {forward_dtype("auto") for _ in range(3)} == {faster}
    assert len(probes) == 1  # no start has chosen: it is measured, once
    assert [forward_dtype(dtype) for dtype in ("float32", "bfloat16")] == ["float32", "bfloat16"]
    other = {"float32": "bfloat16", "bfloat16": "float32"}[faster]
    choose(1, {"threads": 1, "matmul": "highest", "dtype": other}, "run")
    assert forward_dtype("auto") == other


@pytest.mark.parametrize(
    ("single", "half", "chosen"),
    [(2.0, 1.0, "bfloat16"), (1.2, 1.0, "float32"), (1.0, 3.0, "float32")],
)
def test_bfloat16_is_taken_where_it_is_much_faster(single, half, chosen, monkeypatch):
    clock = itertools.cycle([0.0, single, 0.0, half])
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: next(clock))
    assert faster_dtype() == chosen


def test_a_wrong_product_is_not_taken_for_bfloat16(monkeypatch):
    clock = itertools.cycle([0.0, 2.0, 0.0, 1.0])
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: next(clock))
    real = torch.Tensor.__matmul__

    def coarse(a, b):
        product = real(a, b)
        return product.to(torch.float8_e5m2).to(a.dtype) if a.dtype == torch.bfloat16 else product

    monkeypatch.setattr(torch.Tensor, "__matmul__", coarse)
    assert faster_dtype() == "float32"


@pytest.mark.parametrize(
    ("highest", "medium", "chosen"),
    [(2.0, 1.0, "medium"), (1.2, 1.0, "highest"), (1.0, 1.0, "highest"), (1.0, 2.0, "highest")],
)
def test_the_faster_backend_is_taken_where_it_is_much_faster(highest, medium, chosen, monkeypatch):
    durations = itertools.cycle([highest, medium])
    clock, inside = [0.0], itertools.cycle([True, False])

    def perf_counter():
        if not next(inside):
            clock[0] += next(durations)
        return clock[0]

    monkeypatch.setattr(tuning.time, "perf_counter", perf_counter)
    before = torch.get_float32_matmul_precision()
    assert faster_matmul() == chosen
    assert torch.get_float32_matmul_precision() == before


def test_a_product_in_bfloat16_is_not_taken_for_float32(monkeypatch):
    """Its error is a thousand times float32's."""
    clock = itertools.cycle([0.0, 2.0, 0.0, 1.0])
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: next(clock))
    assert faster_matmul() == "medium"
    real = torch.Tensor.__matmul__

    def rounded(a, b):
        if a.dtype == torch.float32 and torch.get_float32_matmul_precision() == "medium":
            return real(a.bfloat16(), b.bfloat16()).float()
        return real(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    clock = itertools.cycle([0.0, 2.0, 0.0, 1.0])
    assert faster_matmul() == "highest"


def test_a_gpu_that_is_not_used_decides_nothing(monkeypatch):
    """`--device cpu` on a machine with a GPU: the processor is measured, and told from the GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(tuning, "_compare", lambda *_, **__: (1.0, 0.0))
    assert (faster_matmul("cpu"), faster_dtype("cpu")) == ("highest", "float32")
    assert [faster_dtype(device) for device in ("auto", "cuda", "cuda:1")] == ["bfloat16"] * 3
    monkeypatch.setattr(tuning, "_compare", lambda *_, **__: (2.0, 0.0))
    assert (faster_matmul("cpu"), faster_dtype("cpu")) == ("medium", "bfloat16")
    assert faster_matmul("cuda") == "highest"


def test_emulated_bfloat16_is_not_taken_on_a_gpu(monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    assert faster_dtype("cuda") == "float32"


def test_the_device_of_the_run_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(tuning, "_chosen", {})
    monkeypatch.setattr(tuning, "faster_matmul", lambda device: asked.append(device) or "highest")
    monkeypatch.setattr(tuning, "faster_dtype", lambda device: asked.append(device) or "float32")
    choose(1, None, "run", device="cuda:1")
    assert asked == ["cuda:1"] * 2

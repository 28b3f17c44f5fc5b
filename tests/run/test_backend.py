"""The same machine decides the same way: by what its processor is, or by what was kept."""

import itertools
import json
import random

import pytest
import torch

from instructgpt.run import backend, processor, products
from instructgpt.run.backend import Choice, faster_dtype, faster_matmul
from instructgpt.run.processor import described

X86 = "fpu vme sse sse2 ssse3 fma sse4_1 sse4_2 avx f16c avx2 bmi2"
AVX512 = "avx512f avx512dq avx512cd avx512bw avx512vl avx512_vnni"
ARM = "fp asimd evtstrm aes sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"


def x86(vendor, family, model, name, flags):
    """The text of /proc/cpuinfo as Linux writes it, two processors."""
    lines = f"""processor\t: 0
vendor_id\t: {vendor}
cpu family\t: {family}
model\t\t: {model}
model name\t: {name}
cache size\t: 512 KB
flags\t\t: {flags}
bugs\t\t: sysret_ss_attrs spectre_v1
power management:
"""
    return lines + "\n" + lines.replace(": 0", ": 1", 1) + "\n"


def arm(implementer, part, features):
    return (
        f"processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: {features}\n"
        f"CPU implementer\t: {implementer}\nCPU architecture: 8\nCPU variant\t: 0x1\n"
        f"CPU part\t: {part}\nCPU revision\t: 1\n\n"
    )


ZEN2 = x86("AuthenticAMD", 23, 49, "AMD EPYC 7R32", X86)
ZEN4 = x86("AuthenticAMD", 25, 17, "AMD EPYC 9R14", f"{X86} {AVX512} avx512_bf16")
MASKED = x86("AuthenticAMD", 25, 17, "AMD EPYC", X86)
SKYLAKE = x86("GenuineIntel", 6, 85, "Intel(R) Xeon(R) Platinum 8175M", f"{X86} {AVX512}")
SAPPHIRE = x86(
    "GenuineIntel",
    *(6, 143, "Intel(R) Xeon(R) Platinum 8488C"),
    f"{X86} {AVX512} avx512_bf16 amx_bf16 amx_tile amx_int8",
)
LAPTOP = x86("GenuineIntel", 6, 142, "Intel(R) Core(TM) i7-8550U", X86)
NEWER = x86("GenuineIntel", 6, 198, "Intel(R) Core(TM) Ultra 7", f"{X86} avx_ne_convert avx_vnni")
STRANGER = x86("HygonGenuine", 24, 1, "Hygon C86 7185", f"{X86} {AVX512}")
GRAVITON2 = arm("0x41", "0xd0c", f"{ARM} ssbs")
GRAVITON3 = arm("0x41", "0xd40", f"{ARM} sve i8mm bf16 ssbs")

KNOWN = {
    "Zen 2": (ZEN2, "x86_64", "highest", "float32"),
    "Zen 4": (ZEN4, "x86_64", "medium", "bfloat16"),
    "Zen 4 behind a hypervisor without AVX-512": (MASKED, "x86_64", "highest", "float32"),
    "Skylake": (SKYLAKE, "x86_64", "highest", "float32"),
    "Sapphire Rapids": (SAPPHIRE, "x86_64", "highest", "bfloat16"),
    "a laptop": (LAPTOP, "x86_64", "highest", "float32"),
    "Graviton 2": (GRAVITON2, "aarch64", "highest", "float32"),
}


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A processor with its text, an empty cache; the libraries are a PC's."""
    monkeypatch.setenv("INSTRUCTGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in backend.STEERING:
        monkeypatch.delenv(name, raising=False)

    def be(text, kind="x86_64"):
        monkeypatch.setattr(backend, "this_processor", lambda: described(text, kind))

    return be


@pytest.fixture
def unmeasured(monkeypatch):
    monkeypatch.setattr(products, "compare_precisions", lambda: pytest.fail("measured"))
    monkeypatch.setattr(products, "compare_dtypes", lambda: pytest.fail("measured"))


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_processor_is_not_measured(name, machine, unmeasured, monkeypatch, tmp_path):
    text, kind, matmul, dtype = KNOWN[name]
    machine(text, kind)
    found = faster_matmul(), faster_dtype()
    assert [choice.value for choice in found] == [matmul, dtype]
    assert all(choice.source.startswith("table: ") and choice.reason for choice in found)
    assert not (tmp_path / "cache").exists()


def test_a_product_that_rounds_is_refused_though_the_table_has_it(machine, unmeasured, monkeypatch):
    machine(ZEN4)
    assert faster_matmul().value == "medium"
    monkeypatch.setattr(products, "is_single", lambda _: False)
    monkeypatch.setattr(products, "is_half", lambda: False)
    assert [faster_matmul().value, faster_dtype().value] == ["highest", "float32"]
    assert "err more" in faster_matmul().reason


def test_what_rounds_to_bfloat16_is_no_float32(monkeypatch):
    """Its error is a thousand times float32's."""
    assert products.is_single("medium")  # on every processor that this suite has met
    assert products.is_half()
    real = torch.Tensor.__matmul__

    def rounded(a, b):
        if a.dtype == torch.float32 and torch.get_float32_matmul_precision() == "medium":
            return real(a.bfloat16(), b.bfloat16()).float()
        if a.dtype == torch.bfloat16:
            return real(a, b).to(torch.float8_e5m2).to(a.dtype)
        return real(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert not products.is_single("medium")
    assert products.is_single("highest")
    assert not products.is_half()


@pytest.mark.parametrize("missing", ["mkl", "mkldnn"])
def test_another_build_of_torch_is_not_what_the_table_knows(missing, machine, monkeypatch):
    machine(ZEN4)
    monkeypatch.setattr(getattr(torch.backends, missing), "is_available", lambda: False)
    monkeypatch.setattr(products, "compare_precisions", lambda: ("highest", "so measured"))
    assert faster_matmul().value == "highest"
    monkeypatch.undo()


def test_libraries_told_to_be_another_processors_are_measured(machine, monkeypatch):
    machine(ZEN4)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setattr(products, "compare_precisions", lambda: ("highest", "so measured"))
    assert faster_matmul().reason == "so measured"


@pytest.mark.parametrize(
    ("text", "kind", "measured"),
    [
        (STRANGER, "x86_64", {"matmul", "dtype"}),
        (NEWER, "x86_64", {"matmul", "dtype"}),
        ("", "x86_64", {"matmul", "dtype"}),
        ("", "riscv64", {"matmul", "dtype"}),
        (GRAVITON3, "aarch64", {"dtype"}),
    ],
)
def test_an_unknown_one_is_measured_once_and_kept(
    text, kind, measured, machine, monkeypatch, tmp_path
):
    machine(text, kind)
    asked = []
    found = {"matmul": ("medium", "2 times"), "dtype": ("bfloat16", "3 times")}
    monkeypatch.setattr(
        products, "compare_precisions", lambda: asked.append("matmul") or found["matmul"]
    )
    monkeypatch.setattr(products, "compare_dtypes", lambda: asked.append("dtype") or found["dtype"])
    first = faster_matmul(), faster_dtype()
    again = faster_matmul(), faster_dtype()
    assert sorted(asked) == sorted(measured)
    assert first == again
    file = tmp_path / "cache" / "tuning.json"
    assert first[1] == Choice("bfloat16", "3 times", f"measured, kept in {file}")
    [entry] = json.loads(file.read_text()).values()
    assert {name for name in ("matmul", "dtype") if name in entry} == measured
    machine(STRANGER.replace("7185", "7285"))  # another machine, with the same home
    faster_matmul()
    assert len(asked) == len(measured) + 1


def test_an_apple_has_one_product_and_its_bfloat16_is_measured(machine, monkeypatch):
    monkeypatch.setattr(processor.sys, "platform", "darwin")
    monkeypatch.setattr(processor.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(processor.platform, "processor", lambda: "arm")
    apple = processor.this_processor.__wrapped__()
    assert (apple.kind, apple.name) == ("Apple", "arm")
    monkeypatch.setattr(backend, "this_processor", lambda: apple)
    monkeypatch.setattr(products, "compare_precisions", lambda: pytest.fail("measured"))
    monkeypatch.setattr(products, "compare_dtypes", lambda: ("float32", "so measured"))
    assert [faster_matmul().source, faster_dtype().reason] == ["table: Apple", "so measured"]
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert faster_matmul().value == "highest"


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 3}', "\x00"])
def test_a_cache_that_cannot_be_read_is_measured_again(content, machine, monkeypatch, capsys):
    machine(STRANGER)
    monkeypatch.setattr(products, "compare_precisions", lambda: ("highest", "so measured"))
    path = backend.cache_file()
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert faster_matmul().reason == "so measured"
    assert "measuring again" in capsys.readouterr().err
    assert "highest" in path.read_text()


def test_a_cache_that_cannot_be_written_is_said(machine, monkeypatch, tmp_path, capsys):
    machine(STRANGER)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INSTRUCTGPT_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setattr(products, "compare_precisions", lambda: ("highest", "so measured"))
    assert faster_matmul() == Choice("highest", "so measured", "measured")
    said = capsys.readouterr().err
    assert "measures matmul again" in said


# ------------------------------------------------------------------ measuring on a noisy machine


class NoisyClock:
    """Each product takes its true time, and now and then much more: another process had the core
    for a while, which may be long enough to cover many rounds.
    """

    def __init__(self, seconds, seed, busy):
        self.seconds, self.random, self.busy = itertools.cycle(seconds), random.Random(seed), busy
        self.now, self.inside, self.disturbed = 0.0, False, 0

    def __call__(self):
        if self.inside:
            true = next(self.seconds)
            if not self.disturbed and self.random.random() < self.busy:
                self.disturbed = self.random.randint(1, 12)
            slower = self.random.uniform(1.3, 8) if self.disturbed else self.random.uniform(1, 1.05)
            self.disturbed = max(0, self.disturbed - 1)
            self.now += true * slower
        self.inside = not self.inside
        return self.now


@pytest.mark.parametrize("busy", [0.0, 0.1, 0.3])
@pytest.mark.parametrize(
    ("usual", "other", "taken"),
    [(3.2, 1.0, True), (1.8, 1.0, True), (1.0, 1.0, False), (1.1, 1.0, False), (1.0, 2.5, False)],
)
def test_a_noisy_machine_decides_the_same_from_every_start(usual, other, taken, busy, monkeypatch):
    a = torch.zeros(1)
    found = set()
    for seed in range(40):
        clock = NoisyClock([usual, other], seed, busy)
        monkeypatch.setattr(products.time, "perf_counter", clock)
        ways = ("usual", torch.mul), ("other", torch.mul)
        monkeypatch.setattr(products, "_operands", lambda _: (a, a))
        found.add(products._faster(*ways, 1)[0])
    assert found == {"other" if taken else "usual"}


def test_without_a_clear_difference_the_usual_one_stays(monkeypatch):
    for seed in range(20):
        clock = NoisyClock([1.3, 1.0], seed, 0.2)
        monkeypatch.setattr(products.time, "perf_counter", clock)
        monkeypatch.setattr(products, "_operands", lambda _: (torch.zeros(1), torch.zeros(1)))
        name, why = products._faster(("usual", torch.mul), ("other", torch.mul), 1)
        assert (name, why[:19]) == ("usual", "no clear difference")


def test_the_same_product_to_the_bit_is_not_measured(monkeypatch):
    monkeypatch.setattr(products, "_faster", lambda *_: pytest.fail("measured"))
    monkeypatch.setattr(products, "single", lambda _: torch.matmul)
    assert products.compare_precisions()[0] == "highest"
    other = {"highest": torch.matmul, "medium": torch.add}
    monkeypatch.setattr(products, "single", other.get)
    monkeypatch.setattr(products, "is_single", lambda _: True)
    with pytest.raises(pytest.fail.Exception, match="measured"):  # as any other product is
        products.compare_precisions()

"""What a described machine says of itself, and the real one."""

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from machines import GTX_1060, H100, L4, LAPTOP, MAC, P100, RTX_5090, TWO_T4

from gemma_lab import hardware
from gemma_lab.hardware import A100, T4


@pytest.mark.parametrize(
    "machine, bf16",
    [(T4, False), (L4, True), (A100, True), (H100, True), (MAC, False), (LAPTOP, True)],
)
def test_bfloat16_needs_compute_capability_8_on_a_card(machine, bf16):
    assert machine.has_bf16 is bf16


def test_flash_attention_needs_the_card_and_the_package():
    assert replace(A100, has_flash_attn=True).has_flash_attention
    assert not A100.has_flash_attention
    assert not replace(T4, has_flash_attn=True).has_flash_attention
    assert not replace(LAPTOP, has_flash_attn=True).has_flash_attention


def test_weights_live_on_the_card_where_there_is_one():
    assert T4.free_gib == 14.74  # as torch says on Colab; nvidia-smi's 15,360 MiB include its own
    assert LAPTOP.free_gib == LAPTOP.ram_gib - 2


@pytest.mark.parametrize(
    "machine, words",
    [
        (T4, ["Colab", "Tesla T4", "7.5", "no bfloat16"]),
        (A100, ["A100", "8.0", "bfloat16"]),
        (MAC, ["Apple"]),
        (LAPTOP, ["no GPU", "4 cores"]),
        (replace(T4, gpu_count=2), ["2 x"]),
        (TWO_T4, ["Kaggle, 2 x Tesla T4"]),
        (P100, ["P100-PCIE-16GB is not used: it has", "6.0, and the course needs 7.5", "4 cores"]),
        (RTX_5090, ["5090 is not used", "12.0", "built for sm_80, sm_90: install a newer torch"]),
        (GTX_1060, ["GTX 1060 6GB is not used", "compute capability 6.1"]),
    ],
)
def test_one_line_for_a_learner(machine, words):
    line = machine.describe()
    assert "\n" not in line
    assert all(word in line for word in words)


def test_the_real_machine_agrees_with_psutil():
    machine = hardware.describe_machine()
    assert machine.ram_gib * 2**30 == psutil.virtual_memory().total
    assert 1 <= machine.num_cores <= os.cpu_count()


def test_colab_is_noticed_by_its_package():
    code = "from gemma_lab import hardware; print(hardware.is_colab())"
    stand_in = str(Path(__file__).with_name("colab_stand_in"))
    for path, expected in ((stand_in, "True"), ("", "False")):
        environment = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, check=True, stdout=-1)
        assert done.stdout.decode().strip() == expected


def test_what_is_free_on_a_card_counts_what_torch_would_give_back():
    """Another program holds 4 of 15 GiB; torch keeps 3 here, of which tensors need 1."""
    gib = 2**30
    cuda = types.SimpleNamespace(
        mem_get_info=lambda card: [(8 * gib, 15 * gib), (1, 1)][card],
        memory_reserved=lambda card: [3 * gib, 0][card],
        memory_allocated=lambda card: [1 * gib, 0][card],
    )
    assert hardware._free_on_card(cuda) == 10


CU130 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
CU121 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]  # as of torch 2.5


@pytest.mark.parametrize(
    "capability, built_for, is_used",
    [
        ((6, 0), CU130, False),  # P100
        ((6, 0), CU121, False),  # torch has kernels, int8 of bitsandbytes has none
        ((7, 5), CU130, True),
        ((8, 9), CU130, True),  # by sm_86
        ((12, 0), CU130, True),
        ((13, 0), CU130, True),  # by compute_120, which the driver translates
        ((12, 0), CU121, False),
        ((10, 0), ["sm_90a"], False),
        ((9, 0), ["sm_90a"], True),
        ((8, 0), ["sm_86"], False),
        ((8, 0), [], True),
    ],
)
def test_a_card_is_used_where_torch_has_kernels_for_it(capability, built_for, is_used):
    assert (hardware.why_unused(capability, built_for) == "") == is_used


def fake_torch(monkeypatch, **answers):
    """A torch module that answers so; `cuda` is the CUDA it was built with, `init` may raise."""
    torch = types.ModuleType("torch")
    torch.__spec__ = importlib.machinery.ModuleSpec("torch", None)
    torch.__version__ = "2.13.0"
    torch.version = types.SimpleNamespace(cuda=answers.pop("cuda", "13.0"))
    answers = {"is_available": False, **answers}
    calls = {
        name: answer if callable(answer) else lambda *_, answer=answer: answer
        for name, answer in answers.items()
    }
    torch.cuda = types.SimpleNamespace(**calls)
    no = lambda: False  # noqa: E731
    torch.backends = types.SimpleNamespace(mps=types.SimpleNamespace(is_available=no))
    monkeypatch.setitem(sys.modules, "torch", torch)


@pytest.mark.parametrize(
    "capability, device", [((6, 0), "cpu"), ((7, 0), "cpu"), ((7, 5), "cuda"), ((12, 0), "cuda")]
)
def test_a_card_that_torch_has_no_kernels_for_is_named_and_not_used(
    capability, device, monkeypatch
):
    """RELEASE.md of PyTorch: builds for CUDA 13 begin at Turing. `is_available` is True anyway."""
    gib, (major, minor) = 2**30, capability
    card = types.SimpleNamespace(name="A card", total_memory=16 * gib, major=major, minor=minor)
    fake_torch(
        monkeypatch,
        is_available=True,
        get_device_properties=card,
        get_arch_list=CU130,
        device_count=1,
        mem_get_info=(15 * gib, 16 * gib),
        memory_reserved=0,
        memory_allocated=0,
    )
    here = hardware.describe_machine()
    assert (here.device, here.gpu_name, here.compute_capability) == (device, "A card", capability)
    assert (here.free_gib == 15) == (device == "cuda")
    assert ("A card is not used" in here.describe()) == (device == "cpu")


def raises(message):
    def init():
        raise RuntimeError(message)

    return init


@pytest.mark.parametrize(
    "answers, words",
    [
        ({"cuda": None}, "this torch (2.13.0) was built without CUDA: install"),
        (
            {"init": raises("The NVIDIA driver on your system is too old (found version 11040).")},
            "its driver 535.161 is too old for CUDA 13.0 of this torch: update NVIDIA's driver",
        ),
        ({"init": raises("CUDA unknown error.\nMore.")}, "torch says: CUDA unknown error. The CPU"),
        ({"init": None}, "CUDA_VISIBLE_DEVICES hides it"),
        (None, "torch is not installed"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_a_card_that_torch_does_not_see_is_named_and_why(tmp_path, monkeypatch, answers, words):
    """A driver's nvidia-smi where WSL has it, off PATH."""
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(hardware, "WSL", str(tmp_path))
    if answers is None:
        find = importlib.util.find_spec
        hidden = lambda name: None if name == "torch" else find(name)  # noqa: E731
        monkeypatch.setattr(hardware.importlib.util, "find_spec", hidden)
    else:
        fake_torch(monkeypatch, **answers)
    assert hardware.nvidia_smi() is None and "no GPU" in hardware.describe_machine().describe()
    tool.write_text("#!/bin/sh\necho '535.161, NVIDIA GeForce RTX 4060 Laptop GPU'\n")
    tool.chmod(0o755)
    here = hardware.describe_machine()
    said = here.describe()
    assert said.startswith("NVIDIA GeForce RTX 4060 Laptop GPU is not used: ") and words in said
    assert here.device == "cpu" and "\n" not in said
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed, as no card is there'\nexit 9\n")
    assert "no GPU" in hardware.describe_machine().describe()


@pytest.mark.parametrize("name", ["KAGGLE_KERNEL_RUN_TYPE", "KAGGLE_URL_BASE"])
def test_kaggle_is_no_colab_though_its_images_hold_googles_package(monkeypatch, name):
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("colab_stand_in")))
    sys.modules.pop("google", None)
    assert hardware.is_colab() and not hardware.is_kaggle()
    monkeypatch.setenv(name, "Interactive")
    assert hardware.is_kaggle() and hardware.is_hosted() and not hardware.is_colab()
    assert hardware.describe_machine().describe().startswith("Kaggle, ")


@pytest.mark.parametrize("raw", ["pocket ", ' "pocket"', "'pocket'", "pocket"])
def test_a_setting_is_read_without_what_cmd_and_editors_add(monkeypatch, raw):
    monkeypatch.setenv("GEMMA_LAB_PROFILE", raw)
    assert hardware.setting("GEMMA_LAB_PROFILE") == "pocket"
    assert hardware.setting("GEMMA_LAB_NOTHING") == ""


def test_this_machine_measures_what_is_free():
    here = hardware.describe_machine()
    assert 0 < here.free_gib <= psutil.virtual_memory().total / 2**30


def test_without_psutil_a_part_is_kept_for_the_system(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    here = hardware.describe_machine()
    assert here.measured_free_gib is None and here.free_gib == pytest.approx(here.ram_gib - 2)


def test_a_machine_of_which_nothing_is_known_has_nothing_free():
    assert replace(LAPTOP, ram_gib=0.0).free_gib == 0


@pytest.mark.parametrize(
    "cpu, capability, has_bf16",
    [
        ("x86_64", "AVX2", False),
        ("AMD64", "DEFAULT", False),
        ("x86_64", "NO AVX", False),
        ("x86_64", "AVX512", True),
        ("aarch64", "DEFAULT", True),  # not known: left to bfloat16
    ],
)
def test_a_cpu_that_only_emulates_bfloat16_is_told(monkeypatch, cpu, capability, has_bf16):
    import torch

    monkeypatch.setattr(hardware.platform, "machine", lambda: cpu)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    machine = hardware.describe_machine()
    assert machine.device == "cpu" and machine.has_bf16 is has_bf16
    assert ("cores that emulate bfloat16, " in machine.describe()) is not has_bf16

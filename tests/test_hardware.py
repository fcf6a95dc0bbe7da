"""What a described machine says of itself, and the real one."""

import importlib.machinery
import os
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from machines import GTX_1060, H100, L4, LAPTOP, MAC, P100

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
        (P100, ["Tesla P100-PCIE-16GB is not used", "6.0, and torch needs 7.5", "4 cores"]),
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


@pytest.mark.parametrize(
    "capability, device", [((6, 0), "cpu"), ((7, 0), "cpu"), ((7, 5), "cuda"), ((12, 0), "cuda")]
)
def test_a_card_that_torch_has_no_kernels_for_is_named_and_not_used(
    capability, device, monkeypatch
):
    """RELEASE.md of PyTorch: builds for CUDA 13 begin at Turing. `is_available` is True anyway."""
    gib, (major, minor) = 2**30, capability
    card = types.SimpleNamespace(name="A card", total_memory=16 * gib, major=major, minor=minor)
    answers = {
        "is_available": True,
        "get_device_properties": card,
        "device_count": 1,
        "mem_get_info": (15 * gib, 16 * gib),
        "memory_reserved": 0,
        "memory_allocated": 0,
    }
    torch = types.ModuleType("torch")
    torch.__spec__ = importlib.machinery.ModuleSpec("torch", None)
    calls = {name: lambda *_, answer=answer: answer for name, answer in answers.items()}
    torch.cuda = types.SimpleNamespace(**calls)
    monkeypatch.setitem(sys.modules, "torch", torch)
    here = hardware.describe_machine()
    assert (here.device, here.gpu_name, here.compute_capability) == (device, "A card", capability)
    assert (here.free_gib == 15) == (device == "cuda")
    assert ("A card is not used" in here.describe()) == (device == "cpu")


def test_this_machine_measures_what_is_free():
    here = hardware.describe_machine()
    assert 0 < here.free_gib <= psutil.virtual_memory().total / 2**30


def test_without_psutil_a_part_is_kept_for_the_system(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    here = hardware.describe_machine()
    assert here.measured_free_gib is None and here.free_gib == pytest.approx(here.ram_gib - 2)


def test_a_machine_of_which_nothing_is_known_has_nothing_free():
    assert replace(LAPTOP, ram_gib=0.0).free_gib == 0

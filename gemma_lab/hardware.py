"""What this machine can do, as plain data, so that decisions are tested for any described one.

Sources: NVIDIA's data sheets for memory and compute capability; bfloat16 arithmetic and
FlashAttention 2 both need compute capability 8.0. `torch.cuda.is_bf16_supported()` is not asked:
it says True on a T4, which only emulates it. Builds for CUDA 13 of torch, as on PyPI, and int8 of
bitsandbytes need 7.5: torch says that an older card is available, and its first kernel fails.
"""

from __future__ import annotations

import importlib.util
import os
import platform
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """One machine. Memory is in GiB; `compute_capability` and `gpu_*` are for NVIDIA cards."""

    system: str  # "Linux", "Darwin", "Windows"
    is_colab: bool
    num_cores: int
    ram_gib: float
    device: str  # "cuda", "mps" or "cpu", which it is also beside a card too old to be used
    gpu_name: str | None = None
    gpu_gib: float = 0.0
    compute_capability: tuple[int, int] | None = None
    gpu_count: int = 0
    has_flash_attn: bool = False  # the flash_attn package is installed
    measured_free_gib: float | None = None  # None in a described machine

    @property
    def has_bf16(self) -> bool:
        """True where bfloat16 arithmetic is real: CPUs, and cards of compute capability 8.0 on."""
        if self.device == "cuda":
            return self.compute_capability >= (8, 0)
        return self.device == "cpu"

    @property
    def has_flash_attention(self) -> bool:
        """True where FlashAttention 2 is installed and the card has compute capability 8.0."""
        return self.device == "cuda" and self.compute_capability >= (8, 0) and self.has_flash_attn

    @property
    def free_gib(self) -> float:
        """Memory for a model: what is free on the card or, without an NVIDIA card, in RAM.

        A described machine has its whole card free, or its RAM less 2 GiB for the system.
        """
        if self.measured_free_gib is not None:
            return self.measured_free_gib
        return self.gpu_gib if self.device == "cuda" else max(0.0, self.ram_gib - 2)

    def describe(self) -> str:
        """One line for a learner."""
        where = "Google Colab, " if self.is_colab else ""
        cores = f"{self.num_cores} cores, {self.ram_gib:.0f} GiB of memory"
        if self.device == "mps":
            return f"{where}Apple GPU, {cores} shared with it; bitsandbytes runs on the CPU here."
        if self.gpu_name is None:
            return f"{where}no GPU, {cores}."
        card = f"{self.gpu_count} x {self.gpu_name}" if self.gpu_count > 1 else self.gpu_name
        has = "compute capability {}.{}".format(*self.compute_capability)
        if self.device == "cpu":
            why = f"it has {has}, and torch needs 7.5"
            return f"{where}{card} is not used: {why}. The CPU has {cores}."
        bf16 = "bfloat16" if self.has_bf16 else "no bfloat16"
        return f"{where}{card} with {self.gpu_gib:.1f} GiB ({has}, {bf16}), {cores}."


# Described machines, for "what would a T4 do?"; GiB as torch reports them, 14.74 of a T4's 15.
T4 = Machine("Linux", True, 2, 12.7, "cuda", "Tesla T4", 14.74, (7, 5), 1)
A100 = Machine("Linux", True, 12, 83, "cuda", "NVIDIA A100-SXM4-40GB", 39.6, (8, 0), 1)


def describe_machine() -> Machine:
    """This machine. Imports torch to ask for the GPU; without torch, none is reported."""
    device, gpu, free = "cpu", {}, _free_in_ram()
    if importlib.util.find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            card = torch.cuda.get_device_properties(0)
            gpu = {
                "gpu_name": card.name,
                "gpu_gib": card.total_memory / GIB,
                "compute_capability": (card.major, card.minor),
                "gpu_count": torch.cuda.device_count(),
            }
            if (card.major, card.minor) >= (7, 5):
                device, free = "cuda", _free_on_card(torch.cuda)
        elif torch.backends.mps.is_available():
            device = "mps"
    return Machine(
        system=platform.system(),
        is_colab=is_colab(),
        num_cores=_num_cores(),
        ram_gib=_ram_bytes() / GIB,
        device=device,
        has_flash_attn=importlib.util.find_spec("flash_attn") is not None,
        measured_free_gib=free,
        **gpu,
    )


def cpu_name() -> str:
    """The processor's name where Linux tells it, else its kind, such as arm64."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def is_colab() -> bool:
    """True in a Colab kernel: only there is `google.colab` importable."""
    try:
        return importlib.util.find_spec("google.colab") is not None
    except ModuleNotFoundError:  # there is no `google` package at all
        return False


def is_hosted() -> bool:
    """True on Colab and Kaggle, where nobody ran course.py: a notebook's set-up does all."""
    return is_colab() or "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: the cores this process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ram_bytes() -> float:
    if psutil := _psutil():
        return psutil.virtual_memory().total
    has_names = hasattr(os, "sysconf")
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if has_names else 0.0


def _free_in_ram() -> float | None:
    psutil = _psutil()
    return psutil.virtual_memory().available / GIB if psutil else None


def _free_on_card(cuda) -> float:
    """What nobody holds, and what torch keeps here though no tensor needs it any more."""
    free, _ = cuda.mem_get_info(0)  # card 0, which models are loaded onto
    return (free + cuda.memory_reserved(0) - cuda.memory_allocated(0)) / GIB


def _psutil():
    try:
        import psutil
    except ModuleNotFoundError:
        return None
    return psutil

"""What this machine can do, as plain data, so that decisions are tested for any described one.

Sources: NVIDIA's data sheets for memory and compute capability; bfloat16 arithmetic and
FlashAttention 2 both need compute capability 8.0. `torch.cuda.is_bf16_supported()` is not asked:
it says True on a T4, which only emulates it. int8 of bitsandbytes needs 7.5. torch says that a card
is available for which it was not compiled, and its first kernel fails.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
OLDEST = (7, 5)  # the compute capability that the course needs
WSL = "/usr/lib/wsl/lib"  # where Windows puts the tools of its driver, often not on PATH
NO_BF16 = ("DEFAULT", "NO AVX", "AVX2")  # x86 CPUs, as torch (or an older one) names them


@dataclass(frozen=True)
class Machine:
    """One machine. Memory is in GiB; `compute_capability` and `gpu_*` are for NVIDIA cards."""

    system: str  # "Linux", "Darwin", "Windows"
    is_colab: bool
    num_cores: int
    ram_gib: float
    device: str  # "cuda", "mps" or "cpu", which it is also beside a card that torch cannot use
    gpu_name: str | None = None
    gpu_gib: float = 0.0
    compute_capability: tuple[int, int] | None = None
    gpu_count: int = 0
    has_flash_attn: bool = False  # the flash_attn package is installed
    measured_free_gib: float | None = None  # None in a described machine
    is_kaggle: bool = False
    why_unused: str = ""  # why the card is not used, where `device` is "cpu" beside one
    cpu_has_bf16: bool = True  # False where a CPU only emulates it, slowly

    @property
    def has_bf16(self) -> bool:
        """True where bfloat16 arithmetic is real: most CPUs, cards of compute capability 8.0 on."""
        if self.device == "cuda":
            return self.compute_capability >= (8, 0)
        return self.device == "cpu" and self.cpu_has_bf16

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
        where = "Kaggle, " if self.is_kaggle else "Google Colab, " if self.is_colab else ""
        emulate = " that emulate bfloat16" * (self.device == "cpu" and not self.has_bf16)
        cores = f"{self.num_cores} cores{emulate}, {self.ram_gib:.0f} GiB of memory"
        if self.device == "mps":
            return f"{where}Apple GPU, {cores} shared with it; bitsandbytes runs on the CPU here."
        if self.gpu_name is None:
            return f"{where}no GPU, {cores}."
        card = f"{self.gpu_count} x {self.gpu_name}" if self.gpu_count > 1 else self.gpu_name
        if self.device == "cpu":
            return f"{where}{card} is not used: {self.why_unused}. The CPU has {cores}."
        has = "compute capability {}.{}".format(*self.compute_capability)
        bf16 = "bfloat16" if self.has_bf16 else "no bfloat16"
        return f"{where}{card} with {self.gpu_gib:.1f} GiB ({has}, {bf16}), {cores}."


# Described machines, for "what would a T4 do?"; GiB as torch reports them, 14.74 of a T4's 15.
T4 = Machine("Linux", True, 2, 12.7, "cuda", "Tesla T4", 14.74, (7, 5), 1)
A100 = Machine("Linux", True, 12, 83, "cuda", "NVIDIA A100-SXM4-40GB", 39.6, (8, 0), 1)


def describe_machine() -> Machine:
    """This machine. torch is imported to ask for the GPU, and the driver where torch sees none."""
    device, gpu, free, cpu_has_bf16 = "cpu", {}, _free_in_ram(), True
    if not importlib.util.find_spec("torch"):
        gpu = _card_of_driver(None)
    else:
        import torch

        if hasattr(torch.backends, "cpu"):
            is_older = torch.backends.cpu.get_cpu_capability() in NO_BF16
            cpu_has_bf16 = not (is_older and platform.machine() in ("x86_64", "AMD64"))
        if torch.cuda.is_available():
            card = torch.cuda.get_device_properties(0)
            gpu = {
                "gpu_name": card.name,
                "gpu_gib": card.total_memory / GIB,
                "compute_capability": (card.major, card.minor),
                "gpu_count": torch.cuda.device_count(),
            }
            why = why_unused(gpu["compute_capability"], torch.cuda.get_arch_list())
            gpu["why_unused"] = why
            if not why:
                device, free = "cuda", _free_on_card(torch.cuda)
        elif torch.backends.mps.is_available():
            device = "mps"
        else:
            gpu = _card_of_driver(torch)
    return Machine(
        system=platform.system(),
        is_colab=is_colab(),
        num_cores=_num_cores(),
        ram_gib=_ram_bytes() / GIB,
        device=device,
        has_flash_attn=importlib.util.find_spec("flash_attn") is not None,
        measured_free_gib=free,
        is_kaggle=is_kaggle(),
        cpu_has_bf16=cpu_has_bf16,
        **gpu,
    )


def why_unused(capability: tuple[int, int], built_for: list[str]) -> str:
    """Why a card of this compute capability is not used, "" if it is.

    Args: built_for: as `torch.cuda.get_arch_list` says. sm_86 runs on 8.6 to 8.9, sm_90a on 9.0,
        compute_90 on 9.0 and all later ones (NVIDIA's CUDA Programming Guide).
    """
    has = "it has compute capability {}.{}".format(*capability)
    if capability < OLDEST:
        return f"{has}, and the course needs {OLDEST[0]}.{OLDEST[1]}"
    parts = re.findall(r"(sm|compute)_(\d+)(\d)(\w?)", " ".join(built_for))
    for kind, major, minor, only in parts:
        highest = (999, 0) if kind == "compute" else (int(major), int(minor) if only else 9)
        if (int(major), int(minor)) <= capability <= highest:
            return ""
    lacks = f"{has}, and this torch is built for {', '.join(built_for)}: install a newer torch"
    return lacks if parts else ""


def nvidia_smi() -> str | None:
    """The path of nvidia-smi, which comes with NVIDIA's driver, WSL's too; None without one."""
    return shutil.which("nvidia-smi") or shutil.which("nvidia-smi", path=WSL)


def cpu_name() -> str:
    """The processor's name where Linux tells it, else its kind, such as arm64."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def is_colab() -> bool:
    """True in a Colab kernel: there, and in Kaggle's images, `google.colab` is importable."""
    try:
        return not is_kaggle() and importlib.util.find_spec("google.colab") is not None
    except ModuleNotFoundError:  # there is no `google` package at all
        return False


def is_kaggle() -> bool:
    """True in a Kaggle kernel. Source of the second: Kaggle/docker-python, kaggle_secrets.py."""
    return "KAGGLE_KERNEL_RUN_TYPE" in os.environ or "KAGGLE_URL_BASE" in os.environ


def is_hosted() -> bool:
    """True on Colab and Kaggle, where nobody ran course.py: a notebook's set-up does all."""
    return is_colab() or is_kaggle()


def setting(name: str) -> str:
    """An environment variable without the blanks that cmd adds at its end, and without quotes."""
    return os.getenv(name, "").strip().strip("\"'").strip()


def _card_of_driver(torch) -> dict:
    """What NVIDIA's driver says of a card that `torch`, a module or None, does not see."""
    ask = [nvidia_smi() or "", "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    cards = [line.split(", ", 1) for line in done.stdout.splitlines() if ", " in line]
    if done.returncode or not cards:  # a driver without a card
        return {}
    driver, name = cards[0]
    why = _why_no_cuda(torch, driver) if torch else "torch is not installed"
    return {"gpu_name": name, "gpu_count": len(cards), "why_unused": why}


def _why_no_cuda(torch, driver: str) -> str:
    if torch.version.cuda is None:
        how = "install its CUDA build, as https://pytorch.org/get-started/locally/ shows"
        return f"this torch ({torch.__version__}) was built without CUDA: {how}"
    try:
        torch.cuda.init()
    except RuntimeError as error:
        if "too old" not in str(error):
            return f"torch says: {str(error).splitlines()[0].rstrip('.')}"
        cuda = f"CUDA {torch.version.cuda} of this torch"
        return f"its driver {driver} is too old for {cuda}: update NVIDIA's driver"
    return "CUDA_VISIBLE_DEVICES hides it: unset it, and restart"


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

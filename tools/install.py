"""Installs requirements.txt with pip, where course.py could not have uv: `python -m tools.install`.

pip knows no overrides, so `gemma_lab.install` leaves out what Unsloth's list has too much.
"""

from __future__ import annotations

import subprocess
import sys

from gemma_lab.install import LEFT_OUT, SetupError, install, pins


def run(command: list[str], capture_output: bool = True, **options):
    """`subprocess.run` whose output is shown: course.py reads from it what went wrong."""
    return subprocess.run(command, **options)


def main() -> int:
    try:
        install([pin for name, pin in pins().items() if name not in LEFT_OUT], run)
    except SetupError:  # its sentence is for a cell of a notebook
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

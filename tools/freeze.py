"""tests/colab.txt with the versions of a newer list of Colab's: `python -m tools.freeze FILE`.

FILE is what `pip freeze` prints there; Google publishes it as pip-freeze.txt in
github.com/googlecolab/backend-info. Standard library only: a workflow runs it before the set-up.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from gemma_lab.install import canonical
from tools import ROOT, CourseError, run_main

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;+]+)", re.MULTILINE)  # +cu128 has no index
KEPT = ("torch",)  # only the course's own version has a CPU build everywhere


def with_versions(ours: str, freeze: str) -> str:
    """The list `ours` with the version that `freeze` has of each package pinned in it.

    Raises: CourseError, if `freeze` lacks one of them: Colab does not preinstall it any more.
    """
    theirs = {canonical(name): version for name, version in PIN.findall(freeze)}

    def replaced(found: re.Match) -> str:
        name = found[1]
        if name in KEPT:
            return found[0]
        if canonical(name) not in theirs:
            raise CourseError(f"The list has no {name}: take it out of tests/colab.txt as well.")
        return f"{name}=={theirs[canonical(name)]}"

    return PIN.sub(replaced, ours)


def main(names: list[str]) -> int:
    path = ROOT / "tests" / "colab.txt"
    freeze = Path(*names).read_text(encoding="utf-8")
    path.write_text(with_versions(path.read_text(encoding="utf-8"), freeze), encoding="utf-8")
    print(path.read_text(encoding="utf-8"), end="")
    return 0


if __name__ == "__main__":
    run_main(main, sys.argv[1:])

"""Lint: ruff and the contract, in seconds: `python -m tools.lint [NOTEBOOK ...]`.

One line for each fault: the file, the cell if it is in one, the rule, what is wrong and what to do.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tools import ROOT, CourseError, find_notebooks, run_main
from tools.contract import faults, place


def ruff(*arguments: str, worst: int = 1) -> str:
    """What `ruff` prints. Raises: CourseError, with its words, for a status above `worst`."""
    command = [sys.executable, "-m", "ruff", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    if done.returncode > worst:
        raise CourseError(done.stderr.strip())
    return done.stdout


def located(path: Path, cell: int | None, line: int = 0) -> str:
    """Where a fault of ruff is: a cell of a notebook, or a line of another file."""
    if cell:
        return place(path, json.loads(path.read_text(encoding="utf-8")), cell)
    name = path.relative_to(ROOT).as_posix()
    return f"{name}, line {line}" if line else name


def code_faults(paths: list[Path]) -> list[str]:
    """What ruff says of the code in `paths`, notebooks among them: rules, then format."""
    names = [str(path) for path in paths]
    found, unparsed = [], set()
    for one in json.loads(ruff("check", "--output-format", "json", *names)):
        path, cell = Path(one["filename"]), one["cell"]
        is_syntax = one["code"] == "invalid-syntax"
        is_no_notebook = path.suffix == ".ipynb" and not cell  # the contract says why
        if is_syntax and (is_no_notebook or (path, cell) in unparsed):  # the first says enough
            continue
        unparsed |= {(path, cell)} if is_syntax else set()
        where = located(path, cell, one["location"]["row"])
        advice = f": {one['fix']['message']}" if one["fix"] and one["fix"]["message"] else ""
        rule = "syntax" if is_syntax else one["code"]
        found.append(f"{where}: {rule}: {one['message']}{advice}")
    hunk = r"^--- (.+?)(?::cell (\d+))?\n\+\+\+ .+\n@@"
    changes = ruff("format", "--diff", *names, worst=2)  # 2: one file does not parse, see above
    for name, cell in re.findall(hunk, changes, re.MULTILINE):
        path = ROOT / name
        command = f".venv/bin/python -m ruff format {path.relative_to(ROOT).as_posix()}"
        found.append(f"{located(path, int(cell or 0))}: format: `{command}`")
    return found


def main(names: list[str]) -> int:
    notebooks = find_notebooks(names)
    found = code_faults(notebooks if names else [ROOT])
    unparsed = {fault.split(": syntax: ")[0] for fault in found if ": syntax: " in fault}
    for path in notebooks:
        found += [one for one in faults(path) if one.split(": syntax: ")[0] not in unparsed]
    print("\n".join(found) if found else "No fault found by ruff and the contract.")
    return bool(found)


if __name__ == "__main__":
    run_main(main, sys.argv[1:])

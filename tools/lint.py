"""Lint: ruff and the contract, in seconds: `python -m tools.lint [NOTEBOOK ...]`.

One line for each fault: the file, the cell if it is in one, the rule, what is wrong and what to do.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tools import ROOT, CourseError, find_notebooks
from tools.contract import faults, place


def ruff(*arguments: str) -> str:
    """What `ruff` prints. Raises: CourseError, with its words, where it could not do its work."""
    command = [sys.executable, "-m", "ruff", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    if done.returncode > 1:
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
    found = []
    for one in json.loads(ruff("check", "--output-format", "json", *names)):
        where = located(Path(one["filename"]), one["cell"], one["location"]["row"])
        advice = f": {one['fix']['message']}" if one["fix"] and one["fix"]["message"] else ""
        found.append(f"{where}: {one['code']}: {one['message']}{advice}")
    hunk = r"^--- (.+?)(?::cell (\d+))?\n\+\+\+ .+\n@@"
    for name, cell in re.findall(hunk, ruff("format", "--diff", *names), re.MULTILINE):
        path = ROOT / name
        command = f".venv/bin/python -m ruff format {path.relative_to(ROOT).as_posix()}"
        found.append(f"{located(path, int(cell or 0))}: format: `{command}`")
    return found


def main(names: list[str]) -> int:
    try:
        notebooks = find_notebooks(names)
        found = code_faults(notebooks if names else [ROOT])
    except CourseError as error:
        sys.exit(str(error))
    for path in notebooks:
        found += faults(path)
    print("\n".join(found) if found else "No fault found by ruff and the contract.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

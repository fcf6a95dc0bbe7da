"""Writes the name of a fork's repository, and the version, into the course.

It needs the standard library only.
"""

from __future__ import annotations

import re
import subprocess

import gemma_lab
from tools import NOTEBOOKS, ROOT, CourseError


def repository() -> str:
    """The repository's OWNER/NAME, from pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^Repository = "https://github.com/([^"]+)"', text, re.MULTILINE)[1]


def fork(name: str) -> None:
    """Write `name` (OWNER/NAME) wherever the old name stands, and the version into notebooks.

    Raises: CourseError for a name that GitHub does not allow.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/[\w.-]+", name):
        raise CourseError(
            f"{name!r} is not OWNER/NAME, as in `python3 course.py fork my-name/gemma-course`."
        )
    old, version = repository(), gemma_lab.__version__
    for path in [
        ROOT / "pyproject.toml",
        *ROOT.glob("CITATION.cff"),
        *ROOT.glob("README*.md"),
        *NOTEBOOKS.glob("*.ipynb"),
        *ROOT.glob("slides/*.md"),
    ]:
        text = path.read_text(encoding="utf-8")
        new = text.replace(old, name)
        if path.suffix == ".md":  # the paragraph that says what to put in place of the old name
            new = re.sub(rf"^.*`{old.partition('/')[0]}`.*\n\n", "", new, flags=re.MULTILINE)
        if path.suffix == ".ipynb":
            new = re.sub(r'(REPOSITORY, VERSION = .*, )[^,]+(\\n",)', rf'\1\\"{version}\\"\2', new)
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: {name}, version {version}")
    if (ROOT / "slides" / "deck.html").exists():
        print(
            "The QR codes of the slides have the old name: `python3 course.py slides` mends them."
        )


def offer_fork() -> None:
    """One line when this clone comes from another GitHub repository than its badges name."""
    try:
        command = ["git", "config", "--get", "remote.origin.url"]
        url = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True).stdout
    except OSError:  # no git: nothing to compare
        return
    origin = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?\s*$", url)
    if origin and origin[1] != repository():
        print(
            f"This clone comes from {origin[1]}: `python3 course.py fork {origin[1]}` "
            "writes that name into its badges."
        )

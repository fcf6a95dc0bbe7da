"""Fills the regions of the deck that a command writes: tables, outputs, code, numbers.

A region stands between two comments, `<!-- fill: WHAT -->` and `<!-- /fill -->`. WHAT is
`table NAME`: a Markdown table from TABLES of a tools/deck_tables_*.py;
`output NB CELL FIRST-LAST`: lines of the stored text output of a notebook's cell;
`code NB CELL FIRST-LAST`: lines of its source.
A number inside a sentence, `<!--n:NAME-->123<!--/n-->`, comes from NUMBERS of these files.
"""

from __future__ import annotations

import importlib
import re

from tools import ROOT, CourseError, find_notebooks
from tools.compare import read

FILL = re.compile(r"<!-- fill: (.+?) -->\n(.*?)<!-- /fill -->", re.DOTALL)
NUMBER = re.compile(r"<!--n:(\w+)-->(.*?)<!--/n-->")
RANGE = re.compile(r"(\d+)-(\d+)")


def parts(kind: str) -> dict:
    """What all tools/deck_tables_*.py have of a kind: FIGURES, TABLES or NUMBERS.

    Returns: name -> function.    Raises: CourseError for a name that two of them have.
    """
    found: dict = {}
    for path in sorted(ROOT.glob("tools/deck_tables_*.py")):
        these = getattr(importlib.import_module(f"tools.{path.stem}"), kind, {})
        if twice := found.keys() & these:
            raise CourseError(f"{path.name}: {kind} has {[*twice]}, and so has another file.")
        found |= these
    return found


def fill(text: str) -> str:
    """`text` with every region written anew.    Raises: CourseError, naming the region."""
    if len(FILL.findall(text)) != text.count("<!-- fill:") or text.count(
        "<!-- fill:"
    ) != text.count("<!-- /fill -->"):
        raise CourseError("A region of the deck lacks its <!-- fill: … --> or <!-- /fill --> line.")
    text = FILL.sub(lambda one: f"<!-- fill: {one[1]} -->\n{region(one[1])}\n<!-- /fill -->", text)
    numbers = parts("NUMBERS")
    return NUMBER.sub(lambda one: f"<!--n:{one[1]}-->{call(numbers, one[1])}<!--/n-->", text)


def call(functions: dict, name: str) -> str:
    """What the function called `name` returns.    Raises: CourseError where there is none."""
    if name not in functions:
        raise CourseError(f"No tools/deck_tables_*.py has {name!r}; they have {[*functions]}.")
    return str(functions[name]()).strip("\n")


def region(words: str) -> str:
    """What belongs into one region: a table, or fenced lines.    Raises: CourseError."""
    kind, *rest = words.split()
    if kind == "table" and len(rest) == 1:
        return call(parts("TABLES"), rest[0])
    if kind in ("output", "code") and len(rest) == 3 and RANGE.fullmatch(rest[2]):
        first, last = map(int, RANGE.fullmatch(rest[2]).groups())
        cell = find_cell(*rest[:2])
        found = printed(cell) if kind == "output" else "".join(cell["source"])
        lines = found.splitlines()
        if not 1 <= first <= last <= len(lines):
            raise CourseError(f"fill: {words}: there are lines 1 to {len(lines)}.")
        language = "python" if kind == "code" else "text"
        chosen = "\n".join(line.rstrip() for line in lines[first - 1 : last])
        return f"```{language}\n{chosen}\n```"
    raise CourseError(f"fill: {words}: write `table NAME`, or `output` or `code NB CELL 1-9`.")


def find_cell(notebook: str, cell_id: str) -> dict:
    """A notebook's cell.    Raises: CourseError, naming the cells that there are."""
    (path,) = find_notebooks([notebook])
    cells = {cell["id"]: cell for cell in read(path)["cells"] if cell["cell_type"] == "code"}
    if cell_id not in cells:
        raise CourseError(f"{path.name} has no code cell {cell_id!r}; it has {[*cells]}.")
    return cells[cell_id]


def printed(cell: dict) -> str:
    """The text that a cell's stored outputs show, one after the other; a picture has none."""
    shown = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        is_picture = any(kind.startswith(("image/", "text/html")) for kind in data)
        text = output.get("text", "" if is_picture else data.get("text/plain", ""))
        shown.append("".join(text))
    return "\n".join(text.rstrip("\n") for text in shown if text)

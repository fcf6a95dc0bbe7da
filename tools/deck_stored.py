"""What the deck's tables and figures read: the stored outputs of notebooks, and the data files."""

from __future__ import annotations

import json
import re
from functools import cache

from tools import ROOT

DATA = ROOT / "gemma_lab" / "data"


@cache
def notebook(number: str) -> dict:
    """The notebook whose name begins with `number`, such as "01", as its JSON says.

    Raises: ValueError where there is no such notebook, or more than one.
    """
    found = sorted((ROOT / "notebooks").glob(f"{number}_*.ipynb"))
    if len(found) != 1:
        raise ValueError(f"{len(found)} notebooks begin with {number}_: name one that exists.")
    return json.loads(found[0].read_text(encoding="utf-8"))


def stored(number: str, cell_id: str) -> list[str]:
    """The lines of text that a code cell of a notebook printed when it was last stored.

    Raises: ValueError where the notebook has no such cell.
    """
    for cell in notebook(number)["cells"]:
        if cell.get("id") == cell_id:
            texts = ("".join(output.get("text", [])) for output in cell["outputs"])
            return "".join(texts).splitlines()
    raise ValueError(f"Notebook {number} has no cell {cell_id}: correct its id.")


def found(number: str, cell_id: str, pattern: str) -> list:
    """What `pattern` finds in the stored lines of a cell, as `re.findall` gives it.

    Raises: ValueError where it finds nothing: the cell prints something else now.
    """
    text = "\n".join(stored(number, cell_id))
    matches = re.findall(pattern, text, flags=re.MULTILINE)
    if not matches:
        raise ValueError(f"Cell {cell_id} of notebook {number} prints no {pattern!r} any more.")
    return matches


def read_json(name: str):
    """A JSON file of gemma_lab/data."""
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def markdown(header: list[str], rows: list, align: str = "") -> str:
    """A Markdown table, bare cells only.

    Args: align: one letter a column, l or r; all to the left where it is empty.
    Raises: ValueError where a row has another number of cells than the header.
    """
    marks = [{"l": ":---", "r": "---:"}[side] for side in align or "l" * len(header)]
    lines = [header, marks, *rows]
    if {len(line) for line in lines} != {len(header)}:
        raise ValueError(f"A row of the table {header} has another number of cells.")
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)

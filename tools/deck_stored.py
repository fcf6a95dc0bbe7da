"""What the deck's tables and figures read: the stored outputs of notebooks, and the data files."""

from __future__ import annotations

import csv
import json
import re
from functools import cache

from tools import ROOT, find_notebooks
from tools.compare import read
from tools.deck_fill import find_cell, printed

DATA = ROOT / "gemma_lab" / "data"


@cache
def notebook(number: str) -> dict:
    """The notebook whose name begins with `number`, such as "01".    Raises: CourseError."""
    (path,) = find_notebooks([number])
    return read(path)


def stored(number: str, cell_id: str) -> list[str]:
    """The lines that a code cell printed when it was last stored.    Raises: CourseError."""
    return printed(find_cell(number, cell_id)).splitlines()


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


def read_csv(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file of gemma_lab/data."""
    with open(DATA / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def scores(table: str) -> dict[str, dict[str, tuple[str, str]]]:
    """One of the talk's tables: benchmark -> model -> (score, mark), as benchmarks.csv has it."""
    found: dict = {}
    for row in read_csv("benchmarks.csv"):
        if row["table"] == table:
            found.setdefault(row["benchmark"], {})[row["model"]] = (row["score"], row["mark"])
    return found


def average(model: str, without: str = "") -> float:
    """The mean of a model's scores in the second table; without the rows that carry a mark."""
    full = scores("full").values()
    kept = [row for row in full if not without or without not in (mark for _, mark in row.values())]
    return sum(float(row[model][0]) for row in kept) / len(kept)


def ahead(first: str, *others: str) -> int:
    """In how many rows of the second table a model is strictly ahead of all the others named."""
    return sum(
        all(float(row[first][0]) > float(row[other][0]) for other in others)
        for row in scores("full").values()
    )

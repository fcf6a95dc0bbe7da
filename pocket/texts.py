"""Reads the text files under `texts/`.

They hold tables of `left | right`, parts divided by `---`, or sections of `field: value`.
"""

import collections
import unicodedata
from pathlib import Path

FOLDER = Path(__file__).with_name("texts")


def lines(name: str) -> list[str]:
    """The lines of a file that are neither empty nor comments, in Unicode's composed form."""
    text = unicodedata.normalize("NFC", (FOLDER / name).read_text(encoding="utf-8"))
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def parts(name: str) -> list[list[str]]:
    """The lines of a file, divided where a line is `---`."""
    found = [[]]
    for line in lines(name):
        if line == "---":
            found.append([])
        else:
            found[-1].append(line)
    return found


def table(rows: list[str]) -> list[list[str]]:
    """Rows of cells, from lines such as `a token | A token is a small piece of text.`"""
    return [[cell.strip() for cell in row.split("|")] for row in rows]


def sections(name: str) -> dict[str, dict[str, list[str]]]:
    """Section -> field -> values; a field may come again, `/` in a value is a line break."""
    found = {}
    for line in lines(name):
        if line.startswith("["):
            fields = found.setdefault(line.strip("[]"), collections.defaultdict(list))
        else:
            field, _, value = line.partition(":")
            fields[field.strip()].append(
                "\n".join(piece.strip() for piece in value.strip().split(" / "))
            )
    return found

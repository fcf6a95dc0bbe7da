"""Notebook 05: rows of a CSV, JSON or Parquet file, or of a Hub dataset, each with its line."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from pathlib import Path

TALKS, DOLLY = "starfishmedical/webGPT_x_dolly", "databricks/databricks-dolly-15k"
SUFFIXES = ".csv", ".tsv", ".jsonl", ".json", ".parquet"
SHEETS = ".xlsx", ".xls", ".xlsm", ".ods", ".numbers"
UTF16 = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
Lines = list[tuple[int, dict | str]]  # a line that cannot be read is a sentence, not a dict


def read(source) -> tuple[Lines, list[str]]:
    """(line, row) for each row of a source, and notes on how it was read.

    A row is a dict from column names, in small letters, to values as they were found. Where none
    can be had it is the rest of a sentence, such as "is broken JSON". Rows of a JSON list, of
    Parquet and of the Hub have no lines: they are counted from 1.
    Args: source: a path, a Hub dataset "owner/name", or "talk": the talk's dataset or, if that is
        gone, Dolly.
    Raises: ValueError, in one sentence, if there is no such source, or no row in it.
    """
    if not isinstance(source, (str, Path)):
        raise ValueError(f"ROWS is a path or a name in quotes, not {type(source).__name__}.")
    if not str(source).isprintable():
        raise ValueError(
            f"The name {str(source)!r} holds a character that none has: type it again."
        )
    path, suffix = Path(source).expanduser(), Path(source).suffix.lower()
    if source == "talk":
        rows, notes = _the_talks()
    elif suffix in SHEETS:
        raise ValueError(f"{source} is a spreadsheet: save it as CSV UTF-8, and name that file.")
    elif path.is_dir():
        raise ValueError(f"{source} is a folder: name a file in it.")
    elif path.exists():
        rows, notes = _from_file(path, suffix)
    elif suffix not in SUFFIXES and re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        rows, notes = _counted(_from_hub(str(source))), []
    else:
        raise ValueError(f"There is no file {source}: check its name, or give its whole path.")
    if not rows:
        raise ValueError(f"{source} is empty: it should hold at least one row.")
    return rows, notes


def _from_file(path: Path, suffix: str) -> tuple[Lines, list[str]]:
    if suffix not in SUFFIXES:
        raise ValueError(f"{path} should be one of {', '.join(SUFFIXES)}.")
    if suffix == ".parquet":
        return _counted(_from_parquet(path)), []
    text, notes = _text_of(path)
    if not suffix.startswith(".json"):
        return _from_csv(text), notes
    if text.lstrip().startswith("["):
        return _counted(_from_list(text, path)), notes
    lines = text.split("\n")  # splitlines breaks at U+2028 too, which JSON allows inside a text
    return [(at, _from_line(line)) for at, line in enumerate(lines, 1) if line.strip()], notes


def _counted(rows: list) -> Lines:
    return list(enumerate(map(_named, rows), 1))


def _named(row) -> dict | str:
    if not isinstance(row, dict):
        return "is no object with named columns"
    return {" ".join(str(name).split()).lower(): value for name, value in row.items()}


def _the_talks() -> tuple[Lines, list[str]]:
    try:
        return _counted(_from_hub(TALKS)), [f"The talk's own dataset, {TALKS}."]
    except ValueError:
        rows = _counted(_from_hub(DOLLY))
        return rows, [f"The talk's dataset, {TALKS}, cannot be had: {DOLLY} takes its place."]


def _from_hub(name: str) -> list[dict]:
    import datasets
    import httpx

    errors = (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError, httpx.HTTPError)
    try:
        return datasets.load_dataset(name, split="train").to_list()
    except errors as error:
        why = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    hint = f"check its name and the network, or take {DOLLY!r} or a file of your own"
    raise ValueError(f"The dataset {name} cannot be had ({why}): {hint}.")


def _from_parquet(path: Path) -> list[dict]:
    import pyarrow
    from pyarrow import parquet

    with path.open("rb") as file:  # not by its path: elsewhere [ and ] in it mean a pattern
        try:
            return parquet.read_table(file).to_pylist()
        except pyarrow.ArrowException as error:
            why = str(error).splitlines()[0]
    raise ValueError(f"{path} cannot be read as Parquet ({why}): save it again, or as CSV.")


def _text_of(path: Path) -> tuple[str, list[str]]:
    """The text of a file in UTF-8, in UTF-16 as Excel and PowerShell write it, or Windows-1252."""
    raw, notes = path.read_bytes(), []
    try:
        text = raw.decode("utf-16" if raw.startswith(UTF16) else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0" if raw.startswith(UTF16) else raw.decode("cp1252", errors="replace")
        advice = "if accents look wrong, save it as UTF-8"
        notes = [f"{path.name} is not UTF-8, and was read as Windows-1252: {advice}."]
    if "\0" in text:
        raise ValueError(f"{path} is no text that can be read here: save it as text in UTF-8.")
    return text, notes


def _from_list(text: str, path: Path) -> list:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        why = f"line {error.lineno}, column {error.colno}: {error.msg}"
    raise ValueError(f"{path} is broken JSON ({why}): mend it, or put one object on each line.")


def _from_line(line: str):
    try:
        return _named(json.loads(line))
    except json.JSONDecodeError as error:
        return f"is broken JSON (column {error.colno}: {error.msg})"


def _from_csv(text: str) -> Lines:
    """Rows by the line where each begins; the separator is the one that gives most columns."""
    first = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]  # \r alone: Excel on a Mac
    separator = max(",;\t", key=lambda one: len(next(csv.reader([first], delimiter=one), [])))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows, names, end = [], [], 0
    while True:
        begin = end + 1
        try:
            fields = next(reader)
        except StopIteration:
            return rows
        except csv.Error as error:
            why = f"has quotes that do not match, up to line {reader.line_num}: {error}"
            rows.append((begin, why))
            continue
        finally:
            end = reader.line_num
        if not any(field.strip() for field in fields):
            continue
        if not names:
            names = fields
        elif len(fields) > len(names):
            why = f"has {len(fields)} fields for {len(names)} columns: put quotes around its texts"
            rows.append((begin, why))
        else:
            rows.append((begin, _named(dict(zip(names, fields)))))

"""Codelab 2 on a stranger's nine rows, to its last cell: no cell needs this course's own data."""

import csv
import json

import nbformat
import pytest
from notebook_cells import ROOT, text_shown

from tools.execute import execute

NAME = "05_lora_finetuning"
ANSWERS = {
    "How do I reset my password?": "Open the settings and choose a new password.",
    "My parcel is late.": "I am sorry. Here is how you follow it.",
    "Can I pay by card?": "Yes, with every card.",
    "Where is my invoice?": "It is in your mailbox.",
    "I want my money back.": "You can send it back for thirty days.",
    "The shop is closed, why?": "It opens again on Monday.",
    "Do you ship to Huế?": "Yes, in three days.",
    "The lamp is broken.": "We send a new one.",
    "How do I cancel?": "Write to us before it is sent.",
}
SLOW = pytest.mark.slow


def jsonl(folder):
    """Plain question and answer, one with a number as its answer."""
    rows = [{"question": q, "answer": a} for q, a in ANSWERS.items()]
    rows[2]["answer"] = 30
    return _lines(folder / "mine.jsonl", rows)


def sharegpt(folder):
    chats = [
        [{"from": "human", "value": q}, {"from": "gpt", "value": a}] for q, a in ANSWERS.items()
    ]
    return _lines(folder / "chats.jsonl", [{"conversations": chat} for chat in chats])


def excel(folder):
    """As a German Excel saves it: semicolons, UTF-16; in a folder whose name is a pattern."""
    folder = folder / "[2024] Nguyễn Văn A"
    folder.mkdir()
    path = folder / "support.csv"
    with path.open("w", encoding="utf-16", newline="") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(["instruction", "input", "output"])
        table.writerows([q, "", a] for q, a in ANSWERS.items())
    return path


def _lines(path, rows):
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "make, note",
    [
        pytest.param(jsonl, "line 3: number", id="jsonl"),
        pytest.param(sharegpt, "Chats: the last answer is the output", id="sharegpt", marks=SLOW),
        pytest.param(excel, "No exam file is named", id="csv", marks=SLOW),
    ],
)
def test_nine_rows_run_to_the_last_cell(make, note, tmp_path):
    notebook = nbformat.read(ROOT / "notebooks" / f"{NAME}.ipynb", as_version=4)
    file = str(make(tmp_path))
    for cell in notebook.cells:
        cell.source = cell.source.replace("ROWS = None", f"ROWS = {file!r}")
        cell.source = cell.source.replace('"pocket": 300', '"pocket": 2')
    path = tmp_path / f"{NAME}.ipynb"
    nbformat.write(notebook, path)
    result = execute(path)
    assert result["error"] == ""
    cells = {tag: c for c in result["notebook"].cells for tag in c.metadata.get("tags", [])}
    report = text_shown(cells["rows"])
    assert "Rows to train on: 7. For the exam: 2." in report and note in report
    assert "of 2 rows" in text_shown(cells["exam"])
    card = text_shown(cells["adapter-card"])
    assert "not medical advice" not in card and "7 rows to train on" in card
    assert str(tmp_path) not in card

"""Writes the rows that the codelabs read, into gemma_lab/data."""

import json
from pathlib import Path

from gemma_lab.catalog import DATA
from pocket import exam, health_instructions

ROWS_EACH = 40  # of each kind of one-answer row, in Codelab 1


def files() -> dict[str, list[dict]]:
    """The rows of each file: those that Codelab 1 scores, and the instruction set of Codelab 2."""
    train, held_out = health_instructions.build()
    return {
        "one_answer": exam.one_answer_prompts("card", ROWS_EACH),
        "health_instructions_train": train,
        "health_instructions_held_out": held_out,
        "everyday_rows": health_instructions.everyday(),
    }


def write(folder: Path = DATA) -> None:
    """Write every file of `files` as JSON lines."""
    for name, rows in files().items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")

"""Writes the rows that the codelabs read, into gemma_lab/data."""

import json
import random
from pathlib import Path

from gemma_lab.catalog import DATA
from pocket import code, corpus, exam, functions, health_instructions, pictures, policies
from pocket.recipes import small

ROWS_EACH = 40  # of each kind of one-answer row, in Codelab 1


def code_rows(split: str) -> list[dict]:
    """Functions that training never draws, each with a hole in its body and with asserts."""
    rng, found = random.Random(f"holes: {split}"), []
    for one in functions.held_out(split):
        given = one.head + one.docstring
        begin = end = 0
        while begin < len(given) or one.is_right(one.code[:begin] + one.code[end:]):
            begin, end = code.hole(rng, one.code)  # in the body, and it has to be filled
        parts = {"before": one.code[:begin], "hole": one.code[begin:end], "after": one.code[end:]}
        row = {"name": one.name, "given": given, "body": one.body, **parts, "tests": one.tests()}
        found.append(row)
    return found


def plain_texts(num: int = 40) -> list[dict]:
    """New texts of the kinds that the base models learn whole, from another seed."""
    rng, found = random.Random("plain texts"), []
    while len(found) < num:
        document = corpus.document(rng, small.KINDS)
        if all(is_learned for _, is_learned in document):
            found.append({"text": corpus.text_of(document)})
    return found


def files() -> dict[str, list[dict]]:
    """The rows of each file: exams of notebook 07 and Codelab 1, instructions of Codelab 2."""
    train, held_out = health_instructions.build()
    return {
        "functions": code_rows("card"),
        "plain_texts": plain_texts(),
        "policy_texts": policies.rows(),
        "pictures": pictures.exam("card"),
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

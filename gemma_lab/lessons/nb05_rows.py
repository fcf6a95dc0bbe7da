"""Notebook 05: your own rows in the talk's three columns. nb05_read reads, nb05_check checks."""

from __future__ import annotations

from gemma_lab import catalog
from gemma_lab.lessons import nb05_check, nb05_read

OWN = "health_instructions_train.jsonl", "health_instructions_held_out.jsonl"
COLUMNS = [  # what is asked, what may be given with it, the answer
    ("instruction", "input", "output"),
    ("instruction", "context", "response"),
    ("prompt", "input", "completion"),
    ("prompt", "input", "response"),
    ("question", "context", "answer"),
]
ROLES = {"human": "user", "gpt": "assistant", "model": "assistant"}  # ShareGPT's, Gemma's
CHATS = (
    "Chats: the last answer is the output, the question before it the instruction. What was said "
    "earlier is the input, and what follows the last answer is left out."
)


def load(rows, exam, tokenizer, max_length: int) -> nb05_check.Rows:
    """Rows to train on and rows for the exam, checked; printed, they say what was changed and why.

    Args:
        rows: a path, a Hub dataset "owner/name", "talk" for the talk's dataset, or None for the
            course's own two files.
        exam: the same for the exam. None takes a fifth of `rows`, at most 84: the last of those
            whose question is asked once.
        max_length: the most tokens of a prompt with its completion, in training and in the exam.
    Raises: ValueError, in one sentence, for what cannot be read or leaves no rows.
    """
    if rows is None:
        rows, exam = catalog.DATA / OWN[0], exam or catalog.DATA / OWN[1]
    train, notes = unify(rows)
    if exam is None:
        return nb05_check.check(train, None, tokenizer, max_length, notes)
    exam, more = unify(exam)
    notes += [note for note in more if note not in notes]
    return nb05_check.check(train, exam, tokenizer, max_length, notes)


def unify(source) -> tuple[nb05_read.Lines, list[str]]:
    """(line, row) with the columns instruction, input and output, and notes on what was done.

    Values are as they were found; a row that cannot be had is the rest of a sentence.
    Raises: ValueError for columns that are none of those above, and what `nb05_read.read` raises.
    """
    lines, notes = nb05_read.read(source)
    found = [row for _, row in lines if isinstance(row, dict)]
    if not found:
        raise ValueError(f"{source} has no row that can be read: line {lines[0][0]} {lines[0][1]}.")
    names = {name for row in found for name in row}
    for ask, given, answer in COLUMNS:
        if {ask, answer} <= names:
            return [(at, _renamed(row, ask, given, answer)) for at, row in lines], notes
    for column in ("messages", "conversations"):
        if column in names:
            return [(at, _from_chat(row, column)) for at, row in lines], [*notes, CHATS]
    wanted = ", ".join("/".join(columns) for columns in COLUMNS)
    raise ValueError(
        f"{source} has the columns {', '.join(sorted(names)):.150}: name them {wanted}, "
        "or give chats in messages or conversations."
    )


def _renamed(row, ask: str, given: str, answer: str) -> dict | str:
    if not isinstance(row, dict):
        return row
    return {
        "instruction": row.get(ask),
        "input": row.get(given),
        "output": row.get(answer),
    }


def _from_chat(row, column: str) -> dict | str:
    """One row of a chat whose turns have role and content, or ShareGPT's from and value."""
    if not isinstance(row, dict):
        return row
    turns = row.get(column)
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return f"has no list of turns in {column}"
    roles = [str(turn.get("role", turn.get("from"))).lower() for turn in turns]
    roles = [ROLES.get(role, role) for role in roles]
    texts = [turn.get("content", turn.get("value")) for turn in turns]
    last = max((at for at, role in enumerate(roles) if role == "assistant"), default=0)
    if last == 0 or roles[last - 1] != "user":
        return "has no answer right behind a question"
    if not all(isinstance(text, str) for text in texts[: last + 1]):
        return "has a turn that is no text"
    earlier = [f"{role}: {text}" for role, text in zip(roles, texts[: last - 1])]
    return {"instruction": texts[last - 1], "input": "\n".join(earlier), "output": texts[last]}

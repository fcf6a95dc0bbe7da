"""One sentence on why an installation failed. Standard library only: course.py reads it first."""

from __future__ import annotations

# What an installer prints, in parts of which one is enough -> what to say. The first match counts.
SENTENCES = {
    ("No space left", "os error 28"): "The disk is full: free about 4 GB, then {again}.",
    ("ensurepip", "No module named venv"): (
        "Python's venv module is missing: `sudo apt install python3-venv`, then {again}."
    ),
    ("externally-managed",): (
        "This Python is managed by the system: `python3 course.py` makes an environment, .venv, "
        "and opens the course in it."
    ),
    (
        "name resolution",
        "resolve host",
        "onnection",
        "dns error",
        "timed out",
        "unreachable",
        "error sending request",
    ): "The package index did not answer: check the network, then {again}.",
}


def sentence(output: str, again: str) -> str:
    """What to do about an installer's `output`; `again` is "run the same command again" or so."""
    for signs, text in SENTENCES.items():
        if any(sign in output for sign in signs):
            return text.format(again=again)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = (lines or ["nothing"])[-1]
    return f"The installer said: {said}{'' if said[-1] in '.!?' else '.'} Then {again}."

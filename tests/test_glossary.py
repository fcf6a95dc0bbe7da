"""The glossary: short, sorted, and each word stands in the prose of the notebook that it names."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENTRY = re.compile(r"- \*\*(.+?)\*\* \(\[(\d\d)\]\((notebooks/\2_\w+\.ipynb)\)\): (\S.*\.)")
LINES = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8").splitlines()
ENTRIES = [ENTRY.fullmatch(line) for line in LINES if line.startswith("-")]


def missing(words: str, prose: str) -> list[str]:
    """Which of the words, separated by commas, do not stand in the prose, be it in the plural."""
    names = words.split(", ")
    return [
        name
        for name in names
        if not re.search(rf"(?<!\w){re.escape(name)}s?(?!\w)", prose, re.IGNORECASE)
    ]


def test_every_line_is_an_entry_and_they_are_sorted():
    assert all(ENTRIES) and 40 <= len(ENTRIES) <= 65
    names = [entry[1].lower() for entry in ENTRIES]
    assert names == sorted(set(names))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry[1])
def test_a_word_stands_in_its_notebook_and_is_explained_in_two_short_sentences(entry):
    cells = json.loads((ROOT / entry[3]).read_text(encoding="utf-8"))["cells"]
    prose = " ".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert missing(entry[1], prose) == []
    sentences = re.split(r"(?<=[.:;]) ", entry[4])
    assert len(re.findall(r"\.(?: |$)", entry[4])) <= 2
    assert max(len(sentence.split()) for sentence in sentences) <= 20


def test_a_word_that_a_notebook_lacks_is_found():
    assert missing("GB, GiB", "It takes 3 GiB.") == ["GB"]
    assert missing("logit", "Two logits.") == [] and missing("tied", "It was united.") == ["tied"]

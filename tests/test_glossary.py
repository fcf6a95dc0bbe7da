"""The glossary: short, sorted, and each word leads to the notebook that explains it first."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENTRY = re.compile(r"- \*\*(.+?)\*\* \(\[(\d\d)\]\((notebooks/\2_\w+\.ipynb)\)\): (\S.*\.)")


def prose_of(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return " ".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


LINES = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8").splitlines()
PROSE = {path.name[:2]: prose_of(path) for path in sorted(ROOT.glob("notebooks/*.ipynb"))}
ENTRIES = [ENTRY.fullmatch(line) for line in LINES if line.startswith("-")]


def introducing(words: str) -> list[str]:
    """The notebooks whose prose has one of the words in italics, or begins a bold phrase so."""
    names = "|".join(map(re.escape, words.split(", ")))
    marked = rf"(?<!\*)\*(?:\*(?:{names})s?(?: [a-z]+)?\*|(?:{names})s?)\*(?!\*)"
    return [number for number, prose in PROSE.items() if re.search(marked, prose, re.IGNORECASE)]


def missing(words: str, prose: str) -> list[str]:
    """Which of the words, separated by commas, do not stand in the prose, be it in the plural."""
    names = words.split(", ")
    return [
        name
        for name in names
        if not re.search(rf"(?<!\w){re.escape(name)}s?(?!\w)", prose, re.IGNORECASE)
    ]


def test_every_line_is_an_entry_and_they_are_sorted():
    assert all(ENTRIES) and 60 <= len(ENTRIES) <= 85
    names = [entry[1].lower() for entry in ENTRIES]
    assert names == sorted(set(names))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry[1])
def test_no_earlier_notebook_introduces_the_word(entry):
    assert all(entry[2] <= number for number in introducing(entry[1]))


def test_a_word_in_bold_is_found_where_it_is_introduced():
    assert introducing("softmax")[0] == "01" and introducing("greedy") == ["01"]
    assert introducing("multi-query") == ["03"] and introducing("gate")[0] == "03"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry[1])
def test_a_word_stands_in_its_notebook_and_is_explained_in_two_short_sentences(entry):
    assert missing(entry[1], PROSE[entry[2]]) == []
    sentences = re.split(r"(?<=[.:;]) ", entry[4])
    assert len(re.findall(r"\.(?: |$)", entry[4])) <= 2
    assert max(len(sentence.split()) for sentence in sentences) <= 20


def test_a_word_that_a_notebook_lacks_is_found():
    assert missing("GB, GiB", "It takes 3 GiB.") == ["GB"]
    assert missing("logit", "Two logits.") == [] and missing("tied", "It was united.") == ["tied"]

"""The deck's second half: its tables against the data, and the places that it names."""

import ast
import csv
import functools
import itertools
import json
import re
import textwrap

import pytest
from notebook_cells import all_text

from gemma_lab import catalog
from tools import ROOT, deck_corrections, deck_figures_later, deck_tables_second
from tools.deck_tables_second import TABLES

FIRST = "## Technical architectures"  # where this half of the deck begins


@functools.cache
def half() -> str:
    """The text of the half."""
    text = (ROOT / "slides" / "deck.md").read_text(encoding="utf-8")
    return text[text.index(FIRST) :]


def cells(table: str) -> list[list[str]]:
    """The rows of a Markdown table, without its header."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_the_ladder_says_what_the_record_says():
    path = catalog.DATA / "recorded" / "quality" / "gemma-3-270m.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    rows = {row[0]: row for row in cells(TABLES["ladder"]())}
    assert list(rows) == list(record["rows"])
    for precision, row in record["rows"].items():
        for language, at in (("English", 4), ("Vietnamese", 5)):
            total = sum(record["texts"][language]["tokens"])
            assert float(rows[precision][at]) == pytest.approx(
                sum(row[language]["kl"]) / total, abs=6e-4
            ), precision
            kept = 100 * sum(row[language]["kept"]) / total
            assert float(rows[precision][at + 2].rstrip(" %")) == pytest.approx(kept, abs=0.51)


def test_the_verdict_says_what_the_runs_say():
    path = catalog.DATA / "recorded" / "finetune" / "gemma-3-270m_cpu.json"
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    seeds = [runs[f"seed {seed}"] for seed in (0, 1, 2)]
    topics, loss, english, _ = cells(TABLES["verdict"]())
    right = sorted({round(14 * run["topics_exact"]) for run in seeds})
    assert topics[1:] == ["0", "2", " to ".join(map(str, right))]
    assert [float(one) for one in loss[3].split(" to ")] == pytest.approx(
        [min(run["target"]["loss"] for run in seeds), max(run["target"]["loss"] for run in seeds)],
        abs=6e-4,
    )
    name = "perplexity, English paragraphs"
    rises = [
        100 * (run["regression"][name] / runs["before"]["regression"][name] - 1) for run in seeds
    ]
    assert [float(one) for one in english[3].split(" to ")] == pytest.approx(
        [min(rises), max(rises)], abs=0.51
    )


def test_a_poem_is_whole():
    poems = json.loads((catalog.DATA / "talk_poems.json").read_text(encoding="utf-8"))["poems"]
    for name, row in zip(("fp32", "bf16", "int8", "4bit", "flash"), poems, strict=True):
        shown = "\n\n".join(row[1] for row in cells(TABLES[f"poem_{name}"]()))
        assert shown.replace(" / ", "\n") == row["poem"]
    last = [row[1].split()[-1] for row in cells(TABLES["endings"]())]
    assert last == sorted(poem["poem"].split()[-1] for poem in poems)


def test_the_epilogue_has_every_variant_since_the_talk_once():
    with (catalog.DATA / "variants.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    at = [row["name"] for row in rows].index("ShieldGemma")  # the first after the talk
    told = (row[1] for part in (1, 2, 3) for row in cells(TABLES[f"later_{part}"]()))
    shown = [name.replace("\N{NO-BREAK SPACE}", " ") for name in told]
    assert shown == [row["name"] for row in rows[at:]]
    assert all(row["released"] < deck_figures_later.TALK for row in rows[:at])
    assert deck_tables_second.day("2024-07-31") == "31 Jul 2024"
    assert deck_tables_second.day("2025-03") == "Mar 2025"


def test_the_titles_of_the_epilogue_name_its_first_and_last_month():
    for part in (1, 2, 3):
        days = [row[0].split("\N{NO-BREAK SPACE}") for row in cells(TABLES[f"later_{part}"]())]
        title = half().partition(f"<!-- fill: table later_{part} -->")[0].rpartition("## ")[2]
        for month, year in (days[0][-2:], days[-1][-2:]):
            assert re.search(month + r"\w*", title) and year in title, title


def test_no_name_on_the_time_line_covers_another_or_leaves_the_picture():
    figure = deck_figures_later.timeline()
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    deck_figures_later.plt.close(figure)
    assert len(boxes) == len(deck_figures_later.later())
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def missing_places(rows: list[list[str]]) -> list[str]:
    """The places of corrections that no notebook has: "04 · 1, 5", "04 · home", "05 · recap"."""
    wrong = []
    for *_, place in rows:
        notebook, _, sections = place.partition(" · ")
        headings = {"home": "## Go deeper", "recap": "## Recap"}
        for section in sections.split(", "):
            heading = headings.get(section, f"## {section} · ")
            if not re.search(f"^{heading}", all_text().get(notebook, ""), re.MULTILINE):
                wrong.append(f"{notebook} · {section}")
    return wrong


def test_each_correction_names_a_section_that_there_is():
    rows = [row for group in deck_corrections.CORRECTIONS.values() for row in group]
    assert len(rows) >= 25 and all(len(row) == 3 and all(row) for row in rows)
    assert missing_places(rows) == []
    assert missing_places([["a", "b", "04 · 1, 9"], ["a", "b", "09 · home"]]) == [
        "04 · 9",
        "09 · home",
    ]


def test_each_run_line_names_a_section_that_there_is():
    for notebook, sections in re.findall(
        r"^Run: notebook (\d\d), sections? ([\d and,]+)", half(), re.M
    ):
        for section in re.findall(r"\d+", sections):
            assert re.search(f"^## {section} · ", all_text()[notebook], re.M), (notebook, section)
    homes = re.findall(r"^Run: notebook (\d\d), Go deeper, (.+?)(?: \(stored.*\))?$", half(), re.M)
    assert homes
    for notebook, title in homes:
        assert f"### {title}\n" in all_text()[notebook], (notebook, title)


def test_code_that_a_slide_shows_is_whole():
    """Its lines are named by numbers: a line more in the cell's beginning would cut it off."""
    blocks = [
        make() for make in TABLES.values() if getattr(make, "func", 0) is deck_tables_second.code
    ]
    assert len(blocks) >= 3
    for block in blocks:
        ast.parse(textwrap.dedent("\n".join(block.splitlines()[1:-1])))
    with pytest.raises(SyntaxError):
        ast.parse("\n".join(deck_tables_second.code("05", "ca073a65", 11, 18).splitlines()[1:-1]))


def test_code_loses_comments_and_indents_alone():
    assert deck_tables_second.code("03", "efa0f21e", 2, 2).splitlines()[1] == (
        "return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * (1 + weight)"
    )
    assert "#" not in deck_tables_second.code("05", "ca073a65", 13, 20)
    assert "    max_seq_length=512,\n" in deck_tables_second.code("05", "ca073a65", 13, 20)

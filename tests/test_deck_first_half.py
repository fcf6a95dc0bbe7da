"""The first half of the deck: its tables, numbers and figures say what data and runs say."""

import json
import re

import pandas as pd
import pytest
import torch

from gemma_lab.lessons import nb02_learn
from tools import ROOT, CourseError, deck_stored
from tools import deck_figures_gemma as gemma
from tools import deck_tables_first as tables

SLIDES = ROOT / "slides"
DECK = SLIDES / "deck.md"
SCORES = pd.read_csv(ROOT / "gemma_lab" / "data" / "benchmarks.csv", dtype=str).fillna("")


def cells(table: str) -> dict[str, dict[str, str]]:
    """A Markdown table: the first cell of each row -> header -> cell, without its marks of type."""
    lines = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    header, _, *rows = lines
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def shown(figure) -> list[str]:
    """Every text of a figure."""
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def slides() -> list[str]:
    return DECK.read_text(encoding="utf-8").split("\n---\n")[1:]  # the first has settings


def test_every_score_of_the_first_table_stands_under_its_model():
    rows = {row["benchmark"]: row for row in by_benchmark(tables.benchmarks_1())}
    overview = SCORES[SCORES["table"] == "overview"]
    assert len(overview) == 18
    for row in overview.itertuples():
        assert rows[row.benchmark][row.model] == row.score
    assert [row["capability"] for row in rows.values()] == [
        "General",
        "Reasoning",
        "",
        "Math",
        "",
        "Code",
    ]


def by_benchmark(table: str) -> list[dict[str, str]]:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_every_score_metric_and_star_of_the_second_table_stands_in_its_halves():
    rows = cells(tables.benchmarks_2a()) | cells(tables.benchmarks_2b())
    full = SCORES[SCORES["table"] == "full"]
    assert len(full) == 90 and len(rows) == 19
    for row in full.itertuples():
        name = "MBPP†" if row.benchmark == "MBPP" else row.benchmark
        assert rows[name][row.model].rstrip("\\") == row.score
        assert rows[name]["metric"] == (row.metric or tables.NO_METRIC)
    text = tables.benchmarks_2a() + tables.benchmarks_2b()
    assert text.count(r"\*") == (full["mark"] == "*").sum() == 7


def test_the_averages_are_those_that_the_talk_prints():
    talk = dict(zip(tables.FIVE, ("46.9", "52.4", "54.5", "45.0", "56.9"), strict=True))
    last = cells(tables.benchmarks_2b())["Average"]
    assert {model: last[model] for model in tables.FIVE} == talk
    both = cells(tables.averages())
    assert {model: both["all 18 rows"][model] for model in tables.FIVE} == talk
    full = SCORES[SCORES["table"] == "full"]
    starred = set(full[full["mark"] == "*"]["benchmark"])
    plain = full[~full["benchmark"].isin(starred)].astype({"score": float})
    means = plain.groupby("model")["score"].mean()
    without = both[f"{18 - len(starred)} without a star"]
    assert {model: without[model] for model in tables.FIVE} == {
        model: f"{means[model]:.1f}" for model in tables.FIVE
    }


def test_each_of_the_eighteen_benchmarks_is_described_once():
    asked = cells(tables.asks())
    first = {row["benchmark"]: row["description"] for row in by_benchmark(tables.benchmarks_1())}
    assert not asked.keys() & first.keys()
    assert asked.keys() | first.keys() == set(SCORES[SCORES["table"] == "full"]["benchmark"])
    assert first["MMLU"].startswith("Representation of questions in 57 subjects")
    assert all(row["what it asks"] for row in asked.values()) and all(first.values())


def test_the_plan_has_the_minutes_of_the_course_map_and_ends_after_two_hours():
    rows = {row["notebook"]: row for row in by_benchmark(tables.plan())}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    live = dict(re.findall(r"^\| (0\d) \|.*\| (\d+) / \d+ \|", readme, re.M))
    live.pop("07")
    assert {name: row["minutes"] for name, row in rows.items() if name != "welcome"} == live
    assert rows["06"]["until"] == "2:00" and rows["welcome"]["until"] == "0:05"


def test_the_slides_take_the_minutes_that_the_plan_gives_them():
    starts = ["Ten minutes: everybody", "Introduction: back to basics", "Gemma: Gemini's twin"]
    starts += ["Technical architectures\n", "Codelab 1\n", "Codelab 2\n", "Gemma 2\n"]
    pages = slides()
    at = [next(i for i, page in enumerate(pages) if f"## {title}" in page) for title in starts]
    minutes = [float(re.search(r"^Minutes: ([\d.]+)$", page, re.M)[1]) for page in pages]
    bounds = [0, *at, len(pages)]
    sums = [sum(minutes[a:b]) for a, b in zip(bounds, bounds[1:])]
    assert sums == [tables.WELCOME_MINUTES, *map(tables.live_minutes, tables.CHECKPOINTS)]
    assert all(minutes[first] for first in at)  # whoever passes over 0 minutes opens the notebook


def test_the_numbers_that_a_picture_is_said_to_show_stand_in_it():
    seen = 0
    for words, name in re.findall(r"!\[([^\]]+)\]\(figures/(a_\w+)\.svg\)", "\n".join(slides())):
        drawn = (SLIDES / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        numbers = set(re.findall(r"\d[\d,.]*", " ".join(re.findall(r"<!-- (.*?) -->", drawn))))
        for number in re.findall(r"\d[\d,.]*\d|\d", words.replace("Gemma 3 270M", "")):
            assert any(one.rstrip(".,") == number for one in numbers), (name, number)
            seen += 1
    assert seen > 40


def test_attention_has_the_weights_of_torch():
    x = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0], [0.0, 1.0], [2.0, 1.0]])
    later = torch.ones(5, 5).bool().triu(1)
    weights = (x @ x.T / 2**0.5).masked_fill(later, -torch.inf).softmax(-1)
    wanted = [f"{weights[row, column]:.2f}" for row in range(5) for column in range(row + 1)]
    assert [text for text in shown(gemma.attention()) if re.fullmatch(r"\d\.\d\d", text)] == wanted


def test_one_step_loses_what_torchs_gradient_loses():
    scores = torch.zeros(3, requires_grad=True)
    loss = -scores.log_softmax(0)[0]
    loss.backward()
    after = -(scores.detach() - scores.grad).log_softmax(0)[0]
    assert gemma.losses() == pytest.approx((loss.item(), after.item()), abs=1e-6)


def test_the_orders_are_as_far_apart_as_the_notebook_printed():
    source = json.loads((ROOT / "notebooks" / "01_nlp_basics.ipynb").read_text(encoding="utf-8"))
    (cell,) = (cell for cell in source["cells"] if cell["id"] == "a6b5e1d0")
    powers = [float(line.split("10^")[1]) for line in cell["outputs"][0]["text"]]
    texts = shown(tables.FIGURES["a_orders"]())
    assert texts[1] == f"{10 ** (max(powers) - min(powers)):,.0f} ×" and texts[-1] == "1 ×"
    assert tables.NUMBERS["likeliest_order"]() == "7,000"


def test_learning_shows_what_the_shipped_weights_write():
    texts = shown(gemma.learning())
    losses = nb02_learn.training_losses()
    assert [f"{losses[step]:.1f}" for step in nb02_learn.STEPS] == texts[4::3]
    assert texts[-1] == texts[-4] == "Tokyo." and "Tokyo" not in texts[5]


def test_bold_marks_what_fits_a_t4():
    rows = [line.split(" | ") for line in tables.fits().splitlines()[2:]]
    free = float(tables.NUMBERS["t4_gib"]())
    for _, *row in rows:
        for cell in (one.strip(" |") for one in row):
            assert cell.startswith("**") == (float(cell.strip("*")) <= free)


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: deck_stored.stored("01", "nowhere"), "has no code cell 'nowhere'"),
        (lambda: deck_stored.stored("99", "x"), "no notebook '99'"),
        (lambda: deck_stored.found("01", "a6b5e1d0", "zebra"), "prints no 'zebra' any more"),
        (lambda: deck_stored.markdown(["a", "b"], [("1",)]), "another number of cells"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(call, sentence):
    with pytest.raises((CourseError, ValueError), match=sentence):
        call()

"""Tables of the deck's first half, each read from a data file or a stored output."""

from __future__ import annotations

import re

from tools import deck_figures_gemma, deck_figures_scores, deck_figures_words
from tools.deck_numbers import NUMBERS  # noqa: F401  # tools/deck_fill.py looks for it here
from tools.deck_stored import (
    average,
    found,
    markdown,
    notebook,
    read_csv,
    read_json,
    scores,
    stored,
)

FIVE = ("LLaMA-2 7B", "LLaMA-2 13B", "Mistral 7B", "Gemma 2B", "Gemma 7B")  # as in the talk
NO_METRIC = "–"  # the talk gives none for these rows
WELCOME_MINUTES = 5
WELCOME = "everybody has the course open"
# Notebook -> what the room has by then, and in which sections; minutes are the notebook's own.
# slides/INSTRUCTOR.md has the same words, and its list for the late skips none of these sections.
CHECKPOINTS = {
    "00": ("every table has an answer from a model", "4"),
    "01": ("the game is played; everybody saw tokens", "2, 4"),
    "02": ("a model learned; base and tuned told apart", "2, 3"),
    "03": ("one head by hand; a cache counted", "2, 3"),
    "04": ("the ladder of bits, read together", "5"),
    "05": ("an adapter trained, before and after read", "6, 9"),
    "06": ("Gemma 2's changes; questions", "3, 4"),
}


def live_minutes(number: str) -> int:
    """The minutes that a notebook's first cell gives for the workshop."""
    first = "".join(notebook(number)["cells"][0]["source"])
    return int(re.search(r"Live: (\d+) minutes", first)[1])


def plan() -> str:
    """The two hours: when each notebook ends, its minutes, and the checkpoint."""
    clock = WELCOME_MINUTES
    rows = [(_clock(clock), "welcome", WELCOME_MINUTES, WELCOME)]
    for number, (checkpoint, _) in CHECKPOINTS.items():
        clock += live_minutes(number)
        rows.append((_clock(clock), number, live_minutes(number), checkpoint))
    return markdown(["until", "notebook", "minutes", "checkpoint"], rows, "llrl")


def _clock(minutes: int) -> str:
    return f"{minutes // 60}:{minutes % 60:02}"


def poems() -> str:
    """The first verse of two of the talk's poems, side by side, without their names."""
    verses = {row["precision"]: row["poem"] for row in read_json("talk_poems.json")["poems"]}
    names = ("full precision", "4-bit")
    both = (verses[_one(verses, name)].split("\n\n")[0].splitlines() for name in names)
    return markdown(["Poem A", "Poem B"], list(zip(*both, strict=True)))


def _one(rows: dict, start: str) -> str:
    (name,) = (name for name in rows if name.startswith(start))
    return name


def orders() -> str:
    """The talk's eight orders of five words, with what they say."""
    rows = [(row["written"], row["gloss"]) for row in read_json("vietnamese.json")["orders"]]
    return markdown(["Vietnamese", "what it says"], rows)


def endings() -> str:
    """The six words that the talk offers after hàng, with what they make of it."""
    rows = [
        (f"**{word}**", *gloss.split(": "))
        for word, gloss in read_json("vietnamese.json")["endings"].items()
    ]
    return markdown(["word", "with *hàng*", "meaning"], rows)


def contexts() -> str:
    """What the 270M expects after three other sentences that end in hàng."""
    glosses = ("this market sells …", "my mother exercises …", "she goes to work …")
    heads = [line for line in stored("01", "d3ba03a9") if line.endswith(" …")]
    tops = found("01", "d3ba03a9", r"^  270M +(.+)$")
    rows = [
        (head, gloss, *(_piece(top) for top in re.findall(r"(\S+) ([\d.]+%)", line)[:2]))
        for head, gloss, line in zip(heads, glosses, tops, strict=True)
    ]
    return markdown(["sentence", "it says", "likeliest", "second"], rows)


def _piece(top: tuple[str, str]) -> str:
    return f"**{top[0].lstrip('▁')}** {top[1].replace('%', ' %')}"


def merges() -> str:
    """Five merges of byte-pair encoding on eight syllables."""
    rows = found("01", "43a748b4", r"^(\S+) (\d+) times → (.+)$")
    cut = [(f"**{made}**", times, " ".join(words.split()[:6])) for made, times, words in rows]
    return markdown(["new piece", "times", "six of the eight syllables"], cut, "lrl")


def work() -> str:
    """Operations for one token, and the size of the weights in 16 bits, of three models."""
    lines = found("02", "b0e36035", r"^(.+?) +([\d.]+) billion operations, +([\d.]+) GB$")
    rows = [(name, f"{operations} billion", f"{size} GB") for name, operations, size in lines]
    return markdown(["model", "operations a token", "weights in 16 bits"], rows, "lrr")


def licences() -> str:
    """Which members of the family stand under which licence."""
    names: dict[str, list[str]] = {}
    for row in read_csv("variants.csv"):
        names.setdefault(row["licence"], []).append(row["name"])
    first, *others = names.pop("Gemma Terms of Use"), *names.items()
    rows = [("Gemma Terms of Use", f"{', '.join(first[:5])} and {len(first) - 5} more")]
    return markdown(["licence", "models"], rows + [(name, ", ".join(of)) for name, of in others])


def talks_variants() -> str:
    """The lines of the family that the talk shows, as their sources give them."""
    rows = [
        (f"**{row['name']}**", row["sizes"], row["kinds"], row["inputs"].replace("+", ", "))
        for row in read_csv("variants.csv")[:5]
    ]
    return markdown(["line", "sizes", "kinds", "reads"], rows)


def fits() -> str:
    """GiB that inference needs on a T4 in each precision, of five models; bold where it fits."""
    from gemma_lab import loading
    from gemma_lab.hardware import T4
    from gemma_lab.memory import PRECISIONS

    names = {"Gemma 2B": "2b", "Gemma 7B": "7b", "Gemma 2 2B": "2-2b", "Gemma 2 9B": "2-9b"}
    rows = []
    for name, size in (names | {"Gemma 3 4B": "3-4b"}).items():
        plans = (loading.plan_loading(f"google/gemma-{size}-it", p, T4) for p in PRECISIONS)
        needs = [plan.needed_gib for plan in plans]
        cells = (f"**{gib:.1f}**" if gib <= T4.free_gib else f"{gib:.1f}" for gib in needs)
        rows.append((name, *cells))
    heads = ("16 bits" if name == "bf16" else name for name in PRECISIONS)  # a T4 has no bf16
    return markdown(["GiB", *heads], rows, "l" + "r" * len(PRECISIONS))


def described() -> dict[str, str]:
    """Benchmark -> what it asks, from the tables in notebook 02's text."""
    asks: dict[str, str] = {}
    for cell in notebook("02")["cells"]:
        if cell.get("id") in ("bench-text", "bench-full"):
            asks |= dict(re.findall(r"^\| ([\w-]+) \| (.+) \|$", "".join(cell["source"]), re.M))
    return {name: text for name, text in asks.items() if name != "benchmark"}


def benchmarks_1() -> str:
    """The talk's first table: six benchmarks with capability and description, three models."""
    table = [row for row in read_csv("benchmarks.csv") if row["table"] == "overview"]
    capability = {row["benchmark"]: row["capability"] for row in table}
    asks, shown, last = described(), [], ""
    for name, of_model in scores("overview").items():
        group = capability[name] if capability[name] != last else ""
        last = capability[name]
        cells = (of_model[model][0] for model in ("Gemma 7B", "LLaMA-2 7B", "LLaMA-2 13B"))
        shown.append((group, name, asks[name], *cells))
    header = ["capability", "benchmark", "description", "Gemma 7B", "LLaMA-2 7B", "LLaMA-2 13B"]
    return markdown(header, shown, "lllrrr")


def metrics() -> dict[str, str]:
    """Benchmark of the talk's second table -> how it was asked, – where the talk does not say."""
    table = [row for row in read_csv("benchmarks.csv") if row["table"] == "full"]
    return {row["benchmark"]: row["metric"] or NO_METRIC for row in table}


def _full(first: int, last: int, ends: list = ()) -> str:
    asked = metrics()
    rows = []
    for name, of_model in list(scores("full").items())[first:last]:
        cells = ("".join(of_model[model]).replace("*", r"\*") for model in FIVE)
        rows.append((f"{name}†" if name == "MBPP" else name, asked[name], *cells))
    header = ["benchmark", "metric", *FIVE]
    return markdown(header, [*rows, *ends], "llrrrrr")


def benchmarks_2a() -> str:
    """The first nine rows of the talk's second table."""
    return _full(0, 9)


def benchmarks_2b() -> str:
    """The last nine rows of the talk's second table, and the averages of all eighteen."""
    means = (f"**{average(model):.1f}**" for model in FIVE)
    return _full(9, 18, [("**Average**", "", *means)])


def averages() -> str:
    """The averages of all rows, and of the rows without a star."""
    is_plain = [not any(mark for _, mark in row.values()) for row in scores("full").values()]
    rows = [
        (f"all {len(is_plain)} rows", *(f"{average(model):.1f}" for model in FIVE)),
        (f"{sum(is_plain)} without a star", *(f"{average(model, '*'):.1f}" for model in FIVE)),
    ]
    return markdown(["average of", *FIVE], rows, "lrrrrr")


def asks() -> str:
    """What the twelve tests ask that the talk does not describe, in our words."""
    rest = [name for name in scores("full") if name not in scores("overview")]
    return markdown(["benchmark", "what it asks"], [(name, described()[name]) for name in rest])


TABLES = {
    "plan": plan,
    "poems": poems,
    "orders": orders,
    "six_endings": endings,
    "contexts": contexts,
    "merges": merges,
    "work": work,
    "licences": licences,
    "talks_variants": talks_variants,
    "fits": fits,
    "benchmarks_1": benchmarks_1,
    "benchmarks_2a": benchmarks_2a,
    "benchmarks_2b": benchmarks_2b,
    "averages": averages,
    "asks": asks,
}
FIGURES = {
    f"a_{name}": getattr(module, name)
    for module, names in {
        deck_figures_words: "worlds orders horse tokens languages accents endings temperatures "
        "counting loop ages",
        deck_figures_gemma: "fields transformer attention gemma sizes learning one_step",
        deck_figures_scores: "sums lead family",
    }.items()
    for name in names.split()
}

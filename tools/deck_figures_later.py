"""The deck's pictures of fine-tuning, Gemma 2, the family and what came later."""

from __future__ import annotations

import datetime

import torch

from gemma_lab import catalog, figures, memory
from gemma_lab.diagrams import arrow, box, canvas, write
from gemma_lab.figures import BLUE, GREY, NORMAL, VERMILION, WIDTH, plt
from gemma_lab.lessons import nb05_record, nb05_views, nb06, nb07, nb07_views
from gemma_lab.scratch.gemma import causal_mask
from tools.deck_figures_inside import TALL, TINY, YELLOW, bare
from tools.deck_stored import read_csv

TALK = "2024-07"  # year and month of the talk


def lora():
    """A layer W that is frozen, and beside it the two thin matrices that LoRA trains."""
    figure, axis = canvas(2.35)
    arrow(axis, (0.35, 1.65), (1.3, 1.65))
    arrow(axis, (4.05, 1.65), (4.62, 1.65))
    write(axis, 0.2, 1.65, "x", fontsize=13)
    box(axis, 1.3, 1.1, 2.75, 1.1, "W, frozen\n16,384 × 2,048", "#EEF0F3", GREY, fontsize=11)
    axis.plot([0.6, 0.6], [1.65, 0.5], color=GREY, linewidth=1)
    arrow(axis, (0.6, 0.5), (1.3, 0.5))
    box(axis, 1.3, 0.28, 1.2, 0.44, "A\n16 × 2,048", YELLOW, VERMILION, fontsize=NORMAL)
    arrow(axis, (2.5, 0.5), (2.85, 0.5))
    box(axis, 2.85, 0.28, 1.2, 0.44, "B\n16,384 × 16", YELLOW, VERMILION, fontsize=NORMAL)
    axis.plot([4.05, 4.75], [0.5, 0.5], color=GREY, linewidth=1)
    arrow(axis, (4.75, 0.5), (4.75, 1.52))
    axis.plot(4.75, 1.65, "o", color="white", markeredgecolor=GREY, markersize=17)
    write(axis, 4.75, 1.65, "+", fontsize=13)
    arrow(axis, (4.88, 1.65), (5.25, 1.65))
    write(axis, 5.4, 1.65, "y", fontsize=13)
    write(axis, 4.86, 0.85, "times α / r", ha="left", color=GREY, fontsize=NORMAL)
    write(axis, 2.67, 0.1, "trained", color="black", fontsize=NORMAL)
    return figure


def lora_budget():
    """What LoRA on Gemma 2B-it in nf4 keeps in memory, beside training every weight."""
    info, seven = catalog.find("google/gemma-2b-it"), nb05_views.MODULES["all seven"]
    figure = bare(nb05_views.budget_bars(info, 16, seven, "nf4", 8), height=2.0)
    figure.axes[0].set_xlabel("GB, activations left out", x=0.5)
    return figure


def loss_curve():
    """Losses of the recorded runs on the 270M, three seeds."""
    runs = nb05_record.recorded(TINY)["runs"]
    lines = {}
    for seed in (0, 1, 2):
        losses = {int(step): loss for step, loss in runs[f"seed {seed}"]["losses"].items()}
        lines[f"seed {seed}"] = (list(losses), list(losses.values()))
    figure = bare(figures.curves(lines, "", "step (4 rows each)", "loss, nats a token"))
    figure.axes[0].set_xticks((1, 5, 10, 15, 20))
    return figure


def forgot():
    """By how much the perplexity of ordinary text rose: plain and rehearsed, least to most."""
    table = nb05_record.table(nb05_record.recorded(TINY))
    figures.use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, 2.2))
    labels, y = [], 0
    for language in ("English", "Vietnamese"):
        for kind, words in (
            ("three seeds", "new rows only"),
            ("rehearsed, three seeds", "with old"),
        ):
            column = table[f"perplexity, {language}, + %"]
            low, high = column[f"{kind}, least"], column[f"{kind}, most"]
            colour = BLUE if kind.startswith("rehearsed") else VERMILION
            axis.plot([low, high], [y, y], color=colour, linewidth=9, solid_capstyle="round")
            told = f"+{low:.0f} to +{high:.0f} %"
            figures.note(axis, told, (high, y), 10, color="black", fontsize=NORMAL)
            labels.append(f"{language}, {words}")
            y += 1
    axis.set_yticks(range(y), labels)
    axis.tick_params(axis="y", labelcolor="black", labelsize=NORMAL)
    axis.invert_yaxis()
    axis.set(xlim=(0, 68), ylim=(3.6, -0.6), xlabel="rise of perplexity, %")
    return figure


def gemma_2_leads():
    """By how many points Gemma 2 27B is ahead of, or behind, the two larger models."""
    scores = {}
    for row in read_csv("benchmarks.csv"):
        if row["table"] == "gemma2":
            scores[row["benchmark"], row["model"]] = float(row["score"])
    leads = {}
    for benchmark in dict.fromkeys(name for name, _ in scores):
        for rival in ("Llama 3 70B", "Grok-1 314B"):
            if (benchmark, rival) in scores:
                lead = scores[benchmark, "Gemma 2 27B"] - scores[benchmark, rival]
                leads[f"{benchmark}, {rival}"] = lead
    return bare(figures.differences(leads, "", "the larger one ahead", "Gemma 2 27B ahead"))


def masks_wide():
    """A global and a sliding mask of 12 tokens, on a wide picture."""
    windows = {"global: all that came before": None, "sliding: a window of 4": 4}
    panels = {
        name: causal_mask(12, 12, window, torch.ones(1, 12))[0, 0]
        for name, window in windows.items()
    }
    return bare(nb06.masks(panels, ""))


def window_cache():
    """The cache of Gemma 2 9B by the length of a text, with its windows and as if without."""
    nine = catalog.find("google/gemma-2-9b")
    lengths = [2**power for power in range(8, 14)]
    one = sum(4 * layer.num_key_value_heads * layer.head_dim for layer in nine.layers)
    both = {
        "all layers global": (lengths, [one * length / 2**30 for length in lengths]),
        "every other layer 4,096": (
            lengths,
            [memory.kv_cache_bytes(nine, length) / 2**30 for length in lengths],
        ),
    }
    return bare(figures.curves(both, "", "tokens", "cache, GiB"))


def soft_cap():
    """A score, the score with a hard limit, and with Gemma 2's soft cap of 50."""
    x = torch.linspace(-150, 150, 301)
    soft = 50 * torch.tanh(x / 50)
    lines = {"no cap": (x, x), "hard limit": (x, x.clamp(-50, 50)), "soft cap": (x, soft)}
    return bare(figures.curves(lines, "", "score", "after the cap", ylim=(-80, 80)))


def hole():
    """A function with a hole, in the editor and in the order in which CodeGemma reads it."""
    before = 'def area(width, height):\n    """Return the area of a rectangle."""\n    return '
    return nb07_views.hole_order(before, "width * height", "\n")


def layer_map():
    """The layers of three models: recurrent, attention over a window, attention over all."""
    kinds = {
        "Gemma 2B": ["g"] * 18,
        "Gemma 3 270M": (["a"] * 5 + ["g"]) * 3,
        "RecurrentGemma 2B": (["r", "r", "a"] * 9)[:26],
    }
    return nb07_views.layer_map(kinds)


def kept():
    """Bytes that each model keeps after reading, by the number of tokens, from the record."""
    curves = {
        name: ([row["tokens"] for row in rows], [row["bytes"] / 1e3 for row in rows])
        for name, rows in nb07.recorded()["kept"].items()
    }
    figure = figures.curves(curves, "", "tokens read", "kept, kB", scale="log", ylim=(10, 1e6))
    figure.axes[0].set_xticks(nb07.LENGTHS, [f"{num:,}" for num in nb07.LENGTHS])
    figure.axes[0].minorticks_off()
    return bare(figure)


def later() -> list[dict]:
    """The variants of Gemma that came after the talk, the oldest first."""
    return [row for row in read_csv("variants.csv") if row["released"] >= TALK]


def timeline():
    """What came after the talk, by date; the names stand on steps, so that none covers another."""
    figures.use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, TALL))
    heights = (1.0, -1.0, 3.0, -3.0, 2.0, -2.0, 4.0, -4.0)
    for at, row in enumerate(later()):
        year, month, *day = map(int, row["released"].split("-"))
        when = datetime.date(year, month, day[0] if day else 15)
        high = heights[at % len(heights)]
        axis.plot([when, when], [0, high], color=GREY, linewidth=0.8)
        is_main = row["name"] in ("Gemma 3", "Gemma 3n", "Gemma 4")
        colour, above = (VERMILION, 3) if is_main else (BLUE, 2)  # of two on one day, the main one
        axis.plot(when, 0, "o", color=colour, markersize=6, zorder=above)
        weight = "bold" if is_main else "normal"
        side = "bottom" if high > 0 else "top"
        font = {"ha": "center", "va": side, "fontsize": NORMAL, "weight": weight, "zorder": 3}
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axis.text(when, high, row["name"], bbox=paper, **font)
    axis.axhline(0, color="black", linewidth=1.2, zorder=0)
    years = [datetime.date(year, 1, 1) for year in (2025, 2026)]
    axis.set_xticks(years, [f"Jan {day.year}" for day in years])
    axis.set_xlim(datetime.date(2024, 5, 20), datetime.date(2027, 1, 20))
    axis.set(yticks=[], ylim=(-5.1, 5.1))
    axis.spines[:].set_visible(False)
    axis.tick_params(labelcolor="black", labelsize=NORMAL)
    return figure

"""The deck's pictures of the benchmark tables and of Gemma's family."""

from __future__ import annotations

import matplotlib.pyplot as plt

from gemma_lab.figures import BLUE, GREEN, GREY, ORANGE, PALE
from tools.deck_figures_words import INK, TEXT, arrow, bars, box, canvas, write
from tools.deck_stored import read_csv, scores


def sums():
    """GSM8K: the share of school sums that each of the talk's five models gets right."""
    row = {model: float(score) for model, (score, _) in scores("full")["GSM8K"].items()}
    ranked = dict(sorted(row.items(), key=lambda one: -one[1]))
    gemmas = [model for model in ranked if model.startswith("Gemma")]
    return bars(ranked, [f"{score} %" for score in ranked.values()], gemmas, left=230, step=84)


def lead():
    """In which tests Gemma 7B is ahead of LLaMA-2 13B, and by how many points, in two columns."""
    models = ("Gemma 7B", "LLaMA-2 13B")
    pairs = {
        name: [float(row[model][0]) for model in models] for name, row in scores("full").items()
    }
    ranked = sorted(((gemma - llama, name) for name, (gemma, llama) in pairs.items()), reverse=True)
    figure, axis = canvas(490)
    write(
        axis,
        4,
        468,
        "points; blue: Gemma 7B ahead of LLaMA-2 13B, orange: behind",
        ha="left",
        color=GREY,
    )
    for at, (points, name) in enumerate(ranked):
        column, row = divmod(at, -(-len(ranked) // 2))
        zero, y = 180 + 660 * column, 412 - 47 * row  # ten pixels are one point
        colour = BLUE if points > 0 else ORANGE
        axis.add_patch(plt.Rectangle((zero, y - 15), 10 * points, 30, color=colour))
        write(axis, zero - 14 + min(0, 10 * points), y, name, ha="right", fontsize=24)
        write(axis, zero + max(0, 10 * points) + 12, y, f"{points:+.1f}", ha="left", color=GREY)
    return figure


def family():
    """The five lines of Gemma that the talk shows, with the days on which they came."""
    what = {"Gemma": "text", "CodeGemma": "code", "RecurrentGemma": "long text"}
    what |= {"PaliGemma": "pictures", "Gemma 2": "text, newer"}
    figure, axis = canvas(430)
    arrow(axis, (10, 96), (1112, 96))
    for at, row in enumerate(read_csv("variants.csv")[:5]):
        x, edge = 4 + 224 * at, GREEN if row["name"] == "PaliGemma" else BLUE
        box(axis, x, 170, 214, 250, "", PALE, edge)
        title = row["name"].replace("Recurrent", "Recurrent\n")
        write(axis, x + 107, 364, title, fontsize=TEXT, weight="bold", color=INK, linespacing=1.1)
        words = f"{row['sizes']}\n{what[row['name']]}"
        write(axis, x + 107, 250, words, fontsize=TEXT, color=INK, linespacing=1.6)
        axis.plot([x + 107, x + 107], [96, 170], color=edge, linewidth=2.5)
        axis.plot(x + 107, 96, "o", color=edge, markersize=20)
        write(axis, x + 107, 44, row["released"], fontsize=TEXT, color=INK)
    return figure

"""Notebook 01: its diagrams of the fields of AI and of the Transformer, as on the slides."""

from __future__ import annotations

import matplotlib.pyplot as plt

from gemma_lab.diagrams import arrow, box, canvas, write
from gemma_lab.figures import BLUE, GREY, NORMAL, ORANGE, VERMILION, WIDTH
from gemma_lab.lessons.nb01_views import numbered


def fields_of_ai():
    """Where language models sit among AI, machine learning, deep learning, language processing."""
    from matplotlib.patches import Ellipse

    figure, axis = canvas(3.2)
    fields = {
        "artificial intelligence": (5.3, 3.1, 2.75, "#F4F6F8"),
        "machine learning": (4.1, 2.4, 2.4, "#E3ECF4"),
        "deep learning": (2.9, 1.7, 2.05, "#C9DDED"),
    }
    for name, (width, height, x, fill) in fields.items():
        axis.add_patch(Ellipse((x, 1.6), width, height, facecolor=fill, edgecolor=BLUE))
        write(axis, x, 1.6 + height / 2 - 0.2, name, fontsize=NORMAL)
    style = {"facecolor": "none", "edgecolor": VERMILION, "linestyle": "--", "linewidth": 1.5}
    axis.add_patch(Ellipse((3.2, 1.4), 3.8, 1.15, **style))
    write(axis, 4.3, 1.4, "natural language\nprocessing", color=VERMILION)
    box(axis, 1.62, 1.07, 1.45, 0.66, "large language\nmodels, Gemma", "white", VERMILION)
    return figure


def transformer():
    """The Transformer's encoder and decoder, and what a decoder-only model such as Gemma keeps."""
    figure, axis = canvas(3.4)
    masked = "masked self-attention"
    columns = {
        "encoder": (0.02, "the whole input", ["self-attention", "feed-forward"], None),
        "decoder": (
            1.95,
            "the output so far",
            [masked, "attention to encoder", "feed-forward"],
            None,
        ),
        "Gemma: decoder only": (3.86, "the text so far", [masked, "feed-forward"], ORANGE),
    }
    for name, (x, below, parts, colour) in columns.items():
        top, middle = 0.75 + 0.55 * len(parts), x + 0.85
        style = {"facecolor": "white", "edgecolor": colour or GREY, "linewidth": 1.2}
        axis.add_patch(plt.Rectangle((x, 0.6), 1.7, top - 0.45, **style))
        for at, part in enumerate(parts):
            box(axis, x + 0.06, 0.75 + 0.55 * at, 1.58, 0.4, part)
            if at:
                arrow(axis, (middle, 0.6 + 0.55 * at), (middle, 0.75 + 0.55 * at))
        write(axis, x + 1.65, 0.52, "x N", ha="right", va="top", color=GREY)
        write(axis, middle, 0.18, below, color=GREY)
        arrow(axis, (middle, 0.3), (middle, 0.75))
        write(axis, middle, 3.2, name, fontsize=NORMAL, color=colour or "black", weight="bold")
        if name != "encoder":
            arrow(axis, (middle, top), (middle, 2.62))
            write(axis, middle, 2.75, "next token", color=GREY)
    axis.plot([0.87, 0.87, 1.84, 1.84], [1.85, 2.2, 2.2, 1.5], color=GREY, linewidth=1)
    arrow(axis, (1.84, 1.5), (2.01, 1.5))
    return figure


def token_rows(texts: list[str], tokenizer, size: float = 11.0):
    """Each text over its tokens, in boxes over their numbers; a full line of boxes is continued."""
    figure, axis = canvas(1.0)
    y = 0.0
    for text in texts:
        tokens = numbered(tokenizer, text)
        x, y = 0.05, y - 0.14
        write(axis, x, y, f"{text}  {len(tokens)} tokens", ha="left", fontsize=size)
        for token, number in tokens:
            width = 0.12 + 0.1 * max(len(token), len(str(number)))
            if x + width > WIDTH:
                x, y = 0.05, y - 0.56
            box(axis, x, y - 0.66, width, 0.5, "")
            write(axis, x + width / 2, y - 0.41, f"{token}\n{number}", fontsize=size)
            x += width + 0.06
        y -= 0.8
    figure.set_size_inches(WIDTH, -y)
    axis.set_ylim(y, 0)
    return figure

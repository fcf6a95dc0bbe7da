"""Diagrams of the course, drawn with the style of `figures`: what language models are made of."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt

from gemma_lab.figures import BLUE, GREY, ORANGE, PALE, VERMILION, use_style


def _box(axis, x, y, width, height, text, fill=PALE, edge=BLUE, **font) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.06"
    axis.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=fill, edgecolor=edge, linewidth=1))
    axis.text(x + width / 2, y + height / 2, text, ha="center", va="center", **({"fontsize": 9} | font))


def _arrow(axis, start, end) -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0})


def _canvas(width: float, height: float):
    use_style()
    figure, axis = plt.subplots(figsize=(width, height))
    axis.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axis.axis("off")
    return figure, axis


def fields_of_ai():
    """Where language models sit: AI holds machine learning, that holds deep learning; language processing cuts across."""
    from matplotlib.patches import Ellipse

    figure, axis = _canvas(7.0, 3.3)
    circles = [(6.5, 3.2, 3.5, "artificial intelligence"), (4.9, 2.45, 3.1, "machine learning"),
               (3.4, 1.7, 2.7, "deep learning")]  # fmt: skip
    for (width, height, x, name), fill in zip(circles, ("#F4F6F8", "#E3ECF4", "#C9DDED")):
        axis.add_patch(Ellipse((x, 1.65), width, height, facecolor=fill, edgecolor=BLUE))
        axis.text(x, 1.65 + height / 2 - 0.2, name, ha="center", va="center", fontsize=9)
    axis.add_patch(Ellipse((4.25, 1.45), 4.1, 1.15, facecolor="none", edgecolor=VERMILION, linestyle="--", linewidth=1.5))
    axis.text(5.62, 1.45, "natural language\nprocessing", ha="center", va="center", fontsize=9, color=VERMILION)
    _box(axis, 2.45, 1.1, 1.65, 0.7, "large language\nmodels, Gemma", fill="white", edge=VERMILION, fontsize=8.5)
    return figure


def transformer():
    """The Transformer's encoder and decoder blocks, and what a decoder-only model such as Gemma keeps of them."""
    figure, axis = _canvas(7.0, 3.4)
    columns = {
        "encoder": (0.1, "the whole input", ["self-attention", "feed-forward"], None),
        "decoder": (2.45, "the output so far", ["masked self-attention", "attention to the encoder", "feed-forward"], None),
        "decoder only: Gemma": (4.8, "the text so far", ["masked self-attention", "feed-forward"], ORANGE),
    }
    for name, (x, below, parts, colour) in columns.items():
        top = 0.75 + 0.55 * len(parts)
        axis.add_patch(plt.Rectangle((x, 0.6), 2.0, top - 0.45, facecolor="white", edgecolor=colour or GREY, linewidth=1.2))
        for at, part in enumerate(parts):
            _box(axis, x + 0.1, 0.75 + 0.55 * at, 1.8, 0.4, part)
            if at:
                _arrow(axis, (x + 1, 0.6 + 0.55 * at), (x + 1, 0.75 + 0.55 * at))
        axis.text(x + 1.95, 0.52, "x N", ha="right", va="top", fontsize=8, color=GREY)
        axis.text(x + 1, 0.12, below, ha="center", fontsize=8.5, color=GREY)
        _arrow(axis, (x + 1, 0.3), (x + 1, 0.75))
        axis.text(x + 1, 3.15, name, ha="center", fontsize=10, color=colour or "black", weight="bold")
        if name != "encoder":
            _arrow(axis, (x + 1, top), (x + 1, 2.62))
            axis.text(x + 1, 2.7, "next token", ha="center", fontsize=8.5, color=GREY)
    axis.plot([1.1, 1.1, 2.28, 2.28], [1.85, 2.2, 2.2, 1.5], color=GREY, linewidth=1)
    _arrow(axis, (2.28, 1.5), (2.55, 1.5))
    return figure


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} B" if number >= 1e9 else f"{number / 1e6:.1f} M"


def _rows(info) -> tuple[list, list]:
    """The boxes of one model, from the bottom up: rows of (name, shape); first those of one block, then all."""

    def linear(*names):
        return [(f"{name}_proj", info.linear_shapes[f"{name}_proj"][::-1]) for name in names]

    norm, table = [("RMSNorm", (info.hidden_size,))], [("embedding", (info.vocab_size, info.hidden_size))]
    after = [norm] if info.family == "gemma2" else []
    block = [norm, linear("q", "k", "v"), linear("o"), *after, norm, linear("gate", "up"), linear("down"), *after]
    return block, [table, *block, norm, [("head: the embedding table again, +0", ())]]


def architecture(models: dict):
    """Models side by side, generated from their sizes: every box with its shape (in, out) and its number of parameters.

    Args: models: name -> `catalog.ModelInfo`, two of them.    Returns: the matplotlib figure.
    """
    figure, axis = _canvas(7.0, 3.5)
    for left, (name, info) in zip((0.05, 3.6), models.items(), strict=True):
        block, rows = _rows(info)
        step = 3.22 / len(rows)
        for at, row in enumerate(rows):
            width, is_wide = 2.95 / len(row), len(row) == 1
            for column, (part, shape) in enumerate(row):
                numbers = ["×".join(f"{size:,}" for size in shape), _count(math.prod(shape))]
                words = " · ".join(numbers[: len(shape)])
                text = f"{part} · {words}" if is_wide else f"{part}\n{words}"
                _box(axis, left + 0.15 + column * width, 0.02 + at * step, width - 0.06, 0.82 * step,
                     text if shape else part, fill="#F4F6F8" if part == "RMSNorm" else PALE,
                     fontsize=7 if is_wide else 5.5)  # fmt: skip
        low, high = 0.02 + 0.91 * step, 0.02 + (len(block) + 0.91) * step
        axis.add_patch(
            plt.Rectangle((left + 0.05, low), 3.25, high - low, facecolor="none", edgecolor=ORANGE, linewidth=1.2)
        )
        half = len(block) // 2  # attention below, MLP above; the stream passes by each and its result is added
        for begin, end in ((1, half), (half + 1, 2 * half)):
            x, bottom, top = left + 3.17, 0.02 + (begin - 0.05) * step, 0.02 + (end + 0.5) * step
            axis.plot([x, x], [bottom, top], color=GREY, linewidth=1)
            axis.plot(x, top, "o", color="white", markeredgecolor=GREY, markersize=8)
            axis.text(x, top, "+", ha="center", va="center", fontsize=8, color=GREY)
        title = f"{name}: {_count(info.num_parameters)} parameters, block × {info.num_hidden_layers}"
        axis.text(left + 0.1, 3.38, title, va="center", fontsize=9, weight="bold")
    return figure

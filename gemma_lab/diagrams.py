"""Diagrams of the course, drawn with the style of `figures`: what language models are made of."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt

from gemma_lab.figures import BLUE, GREY, NORMAL, ORANGE, PALE, SMALL, VERMILION, WIDTH, use_style


def _box(axis, x, y, width, height, text, fill=PALE, edge=BLUE) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = {"boxstyle": "round,pad=0,rounding_size=0.06", "facecolor": fill, "edgecolor": edge}
    axis.add_patch(FancyBboxPatch((x, y), width, height, **style, linewidth=1))
    _write(axis, x + width / 2, y + height / 2, text)


def _write(axis, x, y, text, **font) -> None:
    axis.text(x, y, text, **({"ha": "center", "va": "center", "fontsize": SMALL} | font))


def _arrow(axis, start, end) -> None:
    style = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=style)


def _canvas(height: float):
    use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, height))
    axis.set(xlim=(0, WIDTH), ylim=(0, height), aspect="equal")
    axis.axis("off")
    return figure, axis


def fields_of_ai():
    """Where language models sit among AI, machine learning, deep learning, language processing."""
    from matplotlib.patches import Ellipse

    figure, axis = _canvas(3.2)
    fields = {
        "artificial intelligence": (5.3, 3.1, 2.75, "#F4F6F8"),
        "machine learning": (4.1, 2.4, 2.4, "#E3ECF4"),
        "deep learning": (2.9, 1.7, 2.05, "#C9DDED"),
    }
    for name, (width, height, x, fill) in fields.items():
        axis.add_patch(Ellipse((x, 1.6), width, height, facecolor=fill, edgecolor=BLUE))
        _write(axis, x, 1.6 + height / 2 - 0.2, name, fontsize=NORMAL)
    style = {"facecolor": "none", "edgecolor": VERMILION, "linestyle": "--", "linewidth": 1.5}
    axis.add_patch(Ellipse((3.2, 1.4), 3.8, 1.15, **style))
    _write(axis, 4.3, 1.4, "natural language\nprocessing", color=VERMILION)
    _box(axis, 1.62, 1.07, 1.45, 0.66, "large language\nmodels, Gemma", "white", VERMILION)
    return figure


def transformer():
    """The Transformer's encoder and decoder, and what a decoder-only model such as Gemma keeps."""
    figure, axis = _canvas(3.4)
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
            _box(axis, x + 0.06, 0.75 + 0.55 * at, 1.58, 0.4, part)
            if at:
                _arrow(axis, (middle, 0.6 + 0.55 * at), (middle, 0.75 + 0.55 * at))
        _write(axis, x + 1.65, 0.52, "x N", ha="right", va="top", color=GREY)
        _write(axis, middle, 0.18, below, color=GREY)
        _arrow(axis, (middle, 0.3), (middle, 0.75))
        _write(axis, middle, 3.2, name, fontsize=NORMAL, color=colour or "black", weight="bold")
        if name != "encoder":
            _arrow(axis, (middle, top), (middle, 2.62))
            _write(axis, middle, 2.75, "next token", color=GREY)
    axis.plot([0.87, 0.87, 1.84, 1.84], [1.85, 2.2, 2.2, 1.5], color=GREY, linewidth=1)
    _arrow(axis, (1.84, 1.5), (2.01, 1.5))
    return figure


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} B" if number >= 1e9 else f"{number / 1e6:.1f} M"


def _rows(info) -> tuple[list, list]:
    """The boxes of one model, from the bottom up: rows of (name, shape); one block's, then all."""

    def linear(*names):
        return [(f"{name}_proj", info.linear_shapes[f"{name}_proj"][::-1]) for name in names]

    norm = [("RMSNorm", (info.hidden_size,))]
    table = [("embedding", (info.vocab_size, info.hidden_size))]
    after = [norm] if info.family == "gemma2" else []
    attention = [norm, linear("q"), linear("k", "v"), linear("o"), *after]
    block = [*attention, norm, linear("gate", "up"), linear("down"), *after]
    return block, [table, *block, norm, [("head: the embedding again", ())]]


def _words(part: str, shape: tuple, is_wide: bool) -> str:
    """What a box says: its name, shape (in, out) and number of parameters; norms have few."""
    size = "×".join(f"{number:,}" for number in shape)
    if len(shape) < 2:
        return f"{part}: {size}" if shape else part
    count = _count(math.prod(shape))
    return f"{part}: {size} · {count}" if is_wide else f"{part} {count}\n{size}"


def architecture(models: dict):
    """Models side by side, from their sizes: every box with its shape (in, out) and parameters.

    Args: models: name -> `catalog.ModelInfo`, two of them.    Returns: the matplotlib figure.
    """
    figure, axis = _canvas(4.2)
    for left, (name, info) in zip((0.0, 2.83), models.items(), strict=True):
        block, rows = _rows(info)
        step = 3.75 / sum(_height(row) for row in rows)
        y, edges = 0.02, []
        for row in rows:
            height, width = step * _height(row), 2.55 / len(row)
            for column, (part, shape) in enumerate(row):
                fill = "#F4F6F8" if part == "RMSNorm" else PALE
                words = _words(part, shape, len(row) == 1)
                x = left + 0.04 + column * width
                _box(axis, x, y, width - 0.05, 0.84 * height, words, fill)
            edges.append(y)
            y += height
        low, high = edges[1] - 0.09 * step, edges[len(block) + 1] - 0.09 * step
        style = {"facecolor": "none", "edgecolor": ORANGE, "linewidth": 1.2}
        axis.add_patch(plt.Rectangle((left, low), 2.77, high - low, **style))
        half = len(block) // 2 + 1  # attention below, MLP above: the stream passes by each
        for begin, end in ((1, half), (half + 1, len(block))):
            x, bottom, top = left + 2.67, edges[begin] + 0.03, edges[end + 1] - 0.3 * step
            axis.plot([x, x], [bottom, top], color=GREY, linewidth=1)
            axis.plot(x, top, "o", color="white", markeredgecolor=GREY, markersize=8)
            _write(axis, x, top, "+", color=GREY)
        title = f"{name}: {_count(info.num_parameters)}, block × {info.num_hidden_layers}"
        _write(axis, left + 0.05, 4.05, title, ha="left", fontsize=NORMAL, weight="bold")
    return figure


def _height(row: list) -> float:
    return 1.0 if len(row) == 1 else 1.55

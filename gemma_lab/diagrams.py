"""Boxes and arrows, and what a Gemma is made of, drawn from its sizes with them."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt

from gemma_lab.figures import BLUE, GREY, ORANGE, PALE, SMALL, WIDTH, use_style


def box(axis, x, y, width, height, text, fill=PALE, edge=BLUE, fontsize=SMALL) -> None:
    """A box with its text; its sizes are in inches of a `canvas`, that of the text in points."""
    from matplotlib.patches import FancyBboxPatch

    style = {"boxstyle": "round,pad=0,rounding_size=0.06", "facecolor": fill, "edgecolor": edge}
    axis.add_patch(FancyBboxPatch((x, y), width, height, **style, linewidth=1))
    write(axis, x + width / 2, y + height / 2, text, fontsize=fontsize)


def write(axis, x, y, text, **font) -> None:
    """Text around a point."""
    axis.text(x, y, text, **({"ha": "center", "va": "center", "fontsize": SMALL} | font))


def arrow(axis, start, end) -> None:
    """A thin arrow between two points."""
    style = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=style)


def canvas(height: float):
    """An empty figure without axes, as wide as every other, and its axis."""
    use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, height))
    axis.set(xlim=(0, WIDTH), ylim=(0, height), aspect="equal")
    axis.axis("off")
    return figure, axis


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} B" if number >= 1e9 else f"{number / 1e6:.1f} M"


def _rows(info) -> tuple[list, list]:
    """The boxes of one model, from the bottom up: rows of (name, shape); one block's, then all."""

    def linear(*names):
        return [(f"{name}_proj", info.linear_shapes[f"{name}_proj"][::-1]) for name in names]

    norm = [("RMSNorm", (info.hidden_size,))]
    table = [("table", (info.vocab_size, info.hidden_size))]
    after = [norm] if info.family == "gemma2" else []
    attention = [norm, linear("q"), linear("k", "v"), linear("o"), *after]
    block = [*attention, norm, linear("gate", "up"), linear("down"), *after]
    return block, [table, *block, norm, [("head: the table again", ())]]


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
    figure, axis = canvas(4.2)
    for left, (name, info) in zip((0.0, 2.83), models.items(), strict=True):
        block, rows = _rows(info)
        step = 3.75 / sum(_height(row) for row in rows)
        y, edges = 0.02, []
        for row in rows:
            height, width = step * _height(row), 2.58 / len(row)
            for column, (part, shape) in enumerate(row):
                fill = "#F4F6F8" if part == "RMSNorm" else PALE
                words = _words(part, shape, len(row) == 1)
                x = left + 0.04 + column * width
                box(axis, x, y, width - 0.04, 0.86 * height, words, fill, fontsize=9.7)
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
            write(axis, x, top, "+", color=GREY)
        title = f"{name}: {_count(info.num_parameters)}, block × {info.num_hidden_layers}"
        font = {"ha": "left", "fontsize": 10, "weight": "bold", "in_layout": False}
        write(axis, left + 0.05, 4.05, title, **font)
    return figure


def _height(row: list) -> float:
    return 1.0 if len(row) == 1 else 1.55

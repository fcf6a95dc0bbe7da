"""Notebook 03: its map, one Gemma from tokens to scores with a block opened, and its heads."""

from __future__ import annotations

import matplotlib.pyplot as plt

from gemma_lab import catalog, figures
from gemma_lab.diagrams import arrow, box, canvas, write
from gemma_lab.figures import BLUE, GREY, ORANGE, PALE, SMALL, VERMILION, WIDTH

HERE = "#FCE3B0"
# Name of a part -> left edge and width, in inches: the model from left to right, then its zooms.
MODEL = {
    "table": (0.02, 0.52),
    "norm 1": (0.84, 0.52),
    "attention": (1.48, 0.84),
    "norm 2": (2.72, 0.52),
    "MLP": (3.36, 0.46),
    "last norm": (4.42, 0.52),
    "head": (5.06, 0.5),
}
ATTENTION = {
    "q, k, v": (0.08, 0.58),
    "RoPE": (0.76, 0.5),
    "q · k": (1.36, 0.44),
    "softmax": (1.9, 0.72),
    "× v": (2.72, 0.34),
    "o": (3.16, 0.22),
}
GEGLU = {"gate, up": (3.54, 0.74), "GELU ×": (4.37, 0.65), "down": (5.1, 0.45)}
ZOOMS = {"attention": ATTENTION, "MLP": GEGLU}
PARTS = {
    "the whole": (*MODEL, *ATTENTION, *GEGLU),
    "block": ("norm 1", "attention", "norm 2", "MLP", *ATTENTION, *GEGLU),
    "attention": ("attention", *ATTENTION),
    "heads": ("attention", "q, k, v", "o"),
    "RoPE": ("attention", "RoPE"),
    "norm and MLP": ("norm 1", "norm 2", "last norm", "MLP", *GEGLU),
}

KINDS = (
    ("MHA", "Gemma 7B", "google/gemma-7b"),
    ("GQA", "Gemma 2 2B", "google/gemma-2-2b"),
    ("MQA", "Gemma 2B", "google/gemma-2b"),
)


def the_map(here: str = ""):
    """A Gemma from left to right, with its attention and MLP opened; the part `here` is marked.

    Args: here: one of `PARTS`; by default nothing is marked.
    Returns: the matplotlib figure, closed, so that it is shown once as the value of a cell.
    Raises: ValueError for a part that the map has not.
    """
    if here not in ("", *PARTS):
        raise ValueError(f"The map has no part {here!r}: choose one of {', '.join(PARTS)}.")
    figure, axis = canvas(2.15)
    marked = PARTS.get(here, ())
    title = f"You are here: {here}" if here else "A Gemma, from tokens to scores"
    write(axis, 0.02, 2.05, title, ha="left", fontsize=10)
    _stream(axis)
    for name, (left, width) in MODEL.items():
        _part(axis, name, left, 1.12, width, name in marked)
    for whole, parts in ZOOMS.items():
        edges = [place for left, width in parts.values() for place in (left, left + width)]
        _zoom(axis, whole, edges[0] - 0.06, edges[-1] + 0.06)
        for end, start in zip(edges[1::2], edges[2::2]):
            arrow(axis, (end, 0.23), (start, 0.23))
        for name, (left, width) in parts.items():
            _part(axis, name, left, 0.08, width, name in marked)
    plt.close(figure)
    return figure


def _part(axis, name: str, left: float, bottom: float, width: float, is_marked: bool) -> None:
    words = "norm" if "norm" in name else name
    fill, edge = (HERE, VERMILION) if is_marked else (PALE, BLUE)
    box(axis, left, bottom, width, 0.3, words, fill, edge)


def _stream(axis) -> None:
    """The stream: a line through the model, and twice past a part, whose result is added to it."""
    edges = [place for left, width in MODEL.values() for place in (left, left + width)]
    for end, start in zip(edges[1::2], edges[2::2]):
        arrow(axis, (end, 1.27), (start, 1.27))
    for begin, at in ((0.74, 2.52), (2.64, 4.02)):
        axis.plot([begin, begin, at, at], [1.27, 1.58, 1.58, 1.36], color=GREY, linewidth=1)
        axis.plot(at, 1.27, "o", color="white", markeredgecolor=GREY, markersize=9, zorder=3)
        write(axis, at, 1.27, "+", color=GREY, zorder=4)
    frame = {"facecolor": "none", "edgecolor": ORANGE, "linewidth": 1.2}
    axis.add_patch(plt.Rectangle((0.66, 1.04), 3.56, 0.68, **frame))
    write(axis, 4.14, 1.82, "one block, repeated", ha="right", color=GREY)


def _zoom(axis, whole: str, left: float, right: float) -> None:
    """A frame below a part of the model, that shows what is in it."""
    axis.add_patch(plt.Rectangle((left, 0.02), right - left, 0.42, facecolor="#F4F6F8"))
    start, width = MODEL[whole]
    for corner, end in ((start, left), (start + width, right)):
        axis.plot([corner, end], [1.12, 0.44], color=GREY, linewidth=0.8, linestyle=":")
    write(axis, (left + right) / 2, 0.56, f"inside {whole}", color=GREY)


def heads_and_keys():
    """Which query heads share a key-value head in three Gemmas, from their configurations.

    Returns: the matplotlib figure, closed, so that it is shown once as the value of a cell.
    """
    figures.use_style()
    figure, axes = plt.subplots(3, figsize=(WIDTH, 3.3))
    for axis, (kind, name, model_id) in zip(axes, KINDS):
        info = catalog.find(model_id)
        num_heads, num_keys = info.num_attention_heads, info.num_key_value_heads
        heads = [(head + 0.5) / num_heads for head in range(num_heads)]
        keys = [(key + 0.5) / num_keys for key in range(num_keys)]
        for head, x in enumerate(heads):
            axis.plot([x, keys[head * num_keys // num_heads]], [1, 0], color=GREY, linewidth=1)
        axis.scatter(heads, [1] * num_heads, 60, color=BLUE, zorder=3, label="query head")
        axis.scatter(
            keys, [0] * num_keys, 70, color=ORANGE, marker="s", zorder=3, label="key-value head"
        )
        axis.set(xlim=(0, 1), ylim=(-0.5, 1.5))
        axis.axis("off")
        axis.set_title(f"{kind}: {name} has {num_heads} query heads, {num_keys} key-value")
    found = axes[0].get_legend_handles_labels()
    figure.legend(*found, loc="outside lower center", ncols=2, fontsize=SMALL)
    plt.close(figure)
    return figure

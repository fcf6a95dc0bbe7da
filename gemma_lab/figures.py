"""One visual style, and the plots and diagrams of the course; notebooks and slides draw with the same functions.

Colours are from Okabe and Ito's palette, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import matplotlib.pyplot as plt

BLUE, ORANGE, VERMILION, GREY = "#0072B2", "#E69F00", "#D55E00", "#5F6673"
PALE = "#E8F1F8"
PRECISIONS = ("fp32", "bf16", "int8", "nf4")
WIDTH, HEIGHT = 7.0, 2.8  # inches


def use_style() -> None:
    """Set the course's style for all following plots."""
    plt.rcParams.update({
        "figure.figsize": (WIDTH, HEIGHT), "figure.dpi": 90, "figure.constrained_layout.use": True, "font.size": 10,
        "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11, "axes.titlelocation": "left",
        "axes.edgecolor": GREY, "axes.labelcolor": GREY, "xtick.color": GREY, "ytick.color": GREY,
        "svg.hashsalt": "gemma-course", "legend.frameon": False,
    })  # fmt: skip


def precision_plot(tables: dict, title: str):
    """Size against damage, a panel each: weights as a share of fp32, and KL to fp32 on a logarithmic axis.

    Args: tables: for each model's name a table (pandas) with a row for each precision, the reference first, and the
        columns "ratio" (of the reference's bytes) and "KL" (nats a token).
    Returns: the matplotlib figure.
    """
    use_style()
    figure, (left, right) = plt.subplots(1, 2)
    for (name, table), colour, marker in zip(tables.items(), (BLUE, ORANGE), "os"):
        left.plot(table.index, 100 * table["ratio"], marker=marker, color=colour, label=name)
        right.semilogy(table.index[1:], table["KL"].iloc[1:], marker=marker, color=colour)
    left.set(ylabel="weights, % of fp32", ylim=(0, 108))
    left.legend()
    right.set(ylabel="KL to fp32, nats a token")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def loss_curve(steps, losses, title: str, held_out: dict | None = None):
    """Training loss by step.

    Args:
        steps, losses: the points; losses in nats a token.
        held_out: {step: loss} on rows never trained on, drawn as diamonds.
    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots()
    axis.plot(steps, losses, color=BLUE, label="training rows")
    if held_out:
        axis.plot(list(held_out), list(held_out.values()), "D", color=VERMILION, label="held-out rows", clip_on=False)
    axis.set(xlabel="step", ylabel="loss, nats a token", title=title, ylim=(0, None))
    axis.legend()
    return figure


def share_bars(shares: dict[str, float], title: str, highlight=(), unit: str = "%"):
    """Horizontal bars, the first name on top; those in `highlight` in another colour. Shares of 1 are drawn in percent.

    Args: shares: the length of each bar; with another `unit` than "%" the numbers are drawn as they are.
    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, 0.6 + 0.24 * len(shares)))
    values = [100 * share if unit == "%" else share for share in shares.values()]
    colours = [ORANGE if name in highlight else BLUE for name in shares]
    axis.barh(range(len(shares)), values, color=colours, height=0.7)
    axis.set_yticks(range(len(shares)), list(shares))
    axis.invert_yaxis()
    form = "{:.1f} %" if unit == "%" else "{:.1f}"
    for at, value in enumerate(values):
        axis.annotate(form.format(value), (value, at), (4 if value >= 0 else -4, 0), textcoords="offset points",
                      va="center", ha="left" if value >= 0 else "right", fontsize=8, color=GREY)  # fmt: skip
    axis.spines["bottom"].set_visible(False)
    axis.set(xticks=[], title=title)
    axis.margins(x=0.12)
    return figure


def _box(axis, x, y, width, height, text, fill=PALE, edge=BLUE, **font) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.06"
    axis.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=fill, edgecolor=edge, linewidth=1))
    axis.text(x + width / 2, y + height / 2, text, ha="center", va="center", **({"fontsize": 9} | font))


def _arrow(axis, start, end) -> None:
    axis.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": GREY, "linewidth": 1, "shrinkA": 0, "shrinkB": 0}
    )


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


def attention_map(weights, words: list[str], title: str):
    """Attention weights as a grid: a row for each word that looks, a column for each word that is looked at.

    Args: weights: (T, T), each row sums to 1.    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots(figsize=(4.6, 3.2))
    axis.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(words)):
        for column in range(len(words)):
            value = float(weights[row][column])
            colour = "white" if value > 0.6 else "black" if value > 0 else "#B0B7C0"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks(range(len(words)), words)
    axis.set_yticks(range(len(words)), words)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set(xlabel="is looked at", ylabel="looks", title=title)
    return figure


def differences(rows: dict[str, float], title: str, left: str, right: str):
    """Bars to both sides of zero, sorted: who is ahead where.

    Args: rows: name -> difference in points; `left`, `right`: what a bar to that side means.
    Returns: the matplotlib figure.
    """
    use_style()
    ranked = dict(sorted(rows.items(), key=lambda row: row[1]))
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    values = list(ranked.values())
    axis.barh(range(len(ranked)), values, color=[BLUE if value > 0 else ORANGE for value in values])
    axis.axvline(0, color=GREY, linewidth=0.8)
    for at, (name, value) in enumerate(ranked.items()):
        axis.annotate(f"{name} {value:+.1f}", (0, at), (-4 if value > 0 else 4, 0), textcoords="offset points",
                      va="center", ha="right" if value > 0 else "left", fontsize=7.5)  # fmt: skip
    axis.spines["left"].set_visible(False)
    axis.set(yticks=[], xlabel=f"points; left: {left}, right: {right}", title=title)
    return figure


def gains(pairs: dict[str, tuple[float, float]], title: str, names: tuple[str, str]):
    """A line for each row from its smaller to its larger model's score, sorted by the gain.

    Args: pairs: name -> (score of the first model, score of the second), in percent.
    Returns: the matplotlib figure.
    """
    use_style()
    ranked = sorted(pairs.items(), key=lambda row: row[1][1] - row[1][0])
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    for at, (_, (low, high)) in enumerate(ranked):
        axis.plot([low, high], [at, at], color=GREY, linewidth=1, zorder=1)
        axis.annotate(f"+{high - low:.1f}" if high >= low else f"{high - low:.1f}", (max(low, high), at), (7, 0),
                      textcoords="offset points", va="center", fontsize=7.5, color=GREY)  # fmt: skip
    rows = range(len(ranked))
    axis.scatter([low for _, (low, _) in ranked], rows, color=ORANGE, s=22, label=names[0], zorder=2)
    axis.scatter([high for _, (_, high) in ranked], rows, color=BLUE, s=22, label=names[1], zorder=2)
    axis.set_yticks(rows, [name for name, _ in ranked], fontsize=7.5)
    axis.set(xlabel="score, %", title=title)
    figure.legend(loc="outside right upper")
    return figure


def fit_table(needs: dict[str, dict[str, float]], memory_gib: float, title: str):
    """Models by precision: GiB needed, blue where it fits `memory_gib` and grey where it does not.

    Args: needs: model -> precision -> GiB.    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, 0.7 + 0.27 * len(needs)))
    for row, (name, of_precision) in enumerate(needs.items()):
        axis.text(-0.62, row, name, ha="right", va="center", fontsize=9)
        for column, gib in enumerate(of_precision.values()):
            does = gib <= memory_gib
            axis.add_patch(plt.Rectangle((column - 0.46, row - 0.4), 0.92, 0.8, color=PALE if does else "#F2F2F2"))
            axis.text(column, row, f"{gib:.1f}" + (" fits" if does else ""), ha="center", va="center", fontsize=8.5,
                      color=BLUE if does else GREY)  # fmt: skip
    axis.set(xlim=(-2.6, len(PRECISIONS) - 0.4), ylim=(len(needs) - 0.5, -0.6), title=title, yticks=[])
    axis.set_xticks(range(len(PRECISIONS)), PRECISIONS)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure

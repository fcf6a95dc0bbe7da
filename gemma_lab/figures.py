"""One visual style, and the plots of the codelabs; notebooks and slides draw with the same functions.

Colours are from Okabe and Ito's palette, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import matplotlib.pyplot as plt

BLUE, ORANGE, VERMILION, GREY = "#0072B2", "#E69F00", "#D55E00", "#5F6673"
WIDTH, HEIGHT = 7.0, 2.8  # inches


def use_style() -> None:
    """Set the course's style for all following plots."""
    plt.rcParams.update({
        "figure.figsize": (WIDTH, HEIGHT), "figure.dpi": 110, "figure.constrained_layout.use": True, "font.size": 10,
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

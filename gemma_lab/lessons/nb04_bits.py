"""Notebook 04, "From bits to tensors": its two pictures."""

from __future__ import annotations

import torch

from gemma_lab.figures import BLUE, GREY, ORANGE, SMALL, VERMILION, note, plt, use_style

COLOURS = (BLUE, ORANGE, VERMILION)


def levels_plot(levels: dict[str, torch.Tensor], numbers: torch.Tensor, title: str):
    """Where numbers lie between their block's -absmax and absmax, and each format's levels below.

    Args: levels: name -> (L,), from -1 to 1; numbers: (blocks, block).
    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots()
    shares = (numbers / numbers.abs().amax(-1, keepdim=True)).flatten()
    heights, edges = torch.histogram(shares[shares.abs() < 1], 50, range=(-1.0, 1.0))
    heights = heights / heights.max()
    axis.fill_between((edges[:-1] + edges[1:]) / 2, heights, color=GREY, alpha=0.25, linewidth=0)
    for row, ((name, values), colour) in enumerate(zip(levels.items(), COLOURS), 1):
        axis.plot(values, [-0.2 * row] * len(values), "|", color=colour, ms=13, mew=2)
        note(axis, name, (1, -0.2 * row), 8, color=colour)
    note(axis, "numbers", (1, 0.1), 8, color=GREY)
    axis.spines["left"].set_visible(False)
    axis.set(yticks=[], xlabel="share of the block's absmax", title=title)
    return figure


def bits_plot(damage, title: str):
    """KL over the bits of a level, a line for each column of `damage`, on a logarithmic axis.

    Args: damage: a table (pandas), KL in nats a token. Rows that are whole numbers are bits of
        even levels and make the line; a row "nf4" becomes stars at 4 bits, other rows are left out.
    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots()
    bits = [row for row in damage.index if isinstance(row, int)]
    for (name, values), colour, marker in zip(damage.items(), COLOURS, "os^"):
        axis.semilogy(bits, values[bits], marker=marker, color=colour, label=name, ms=4)
    if "nf4" in damage.index:
        for name, colour in zip(damage.columns, COLOURS):
            axis.semilogy(4, damage[name]["nf4"], "*", color=colour, ms=11, mec="white", mew=0.6)
        note(axis, "nf4", (4, damage.loc["nf4"].min()), 8, color=GREY, va="top")
    axis.set(xlabel="bits for the level of a weight", ylabel="KL, nats a token", title=title)
    axis.set_xticks(bits)
    axis.invert_xaxis()
    axis.legend(fontsize=SMALL)
    return figure

"""Notebook 06: its exercises with solutions, and a picture of masks."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch

from gemma_lab import figures
from gemma_lab.lessons.exercises import Verdict, compared, exercise, right, wrong


@exercise
def check_sliding_mask(function) -> Verdict:
    """A function of a number of tokens and a window: (T, T), True where a token may look."""
    got, is_right = compared(function, my_sliding_mask, (6, 3), (5, 2), (9, 4), (3, 8))
    if is_right:
        return right("With a window of 3, each token sees itself and the two before it.")
    wanted, back = my_sliding_mask(6, 3), torch.arange(6)[:, None] - torch.arange(6)
    if got.shape != wanted.shape:
        return wrong(f"For 6 tokens the mask is 6 by 6, not {tuple(got.shape)}.")
    if not ((got == 0) | (got == 1)).all():
        why = "Numbers to add to scores come later."
        return wrong("A mask holds True and False.", why, "a comparison gives True and False")
    got = got.bool()
    if got.equal(wanted.T):
        return wrong("Your tokens look ahead.", "Rows look, columns are looked at.")
    if got.equal(~wanted):
        return wrong("You marked what is hidden.", "True is where a token may look.")
    if not got.diagonal().all():
        return wrong("Some token does not see itself.", "The window counts the token itself.")
    if got.equal(back >= 0):
        return wrong("That is the global mask.", "A window of 3 hides what is 3 or more back.")
    if got.triu(1).any():
        why = "Then the model reads the answer."
        return wrong("Some token sees a later one.", why, "there the difference is negative")
    what = f"With a window of 3 the last token sees {int(got[5].sum())} tokens."
    return wrong(what, "It sees itself and two before.", "how far back may a token look?")


def my_sliding_mask(num_tokens, window):
    back = torch.arange(num_tokens)[:, None] - torch.arange(num_tokens)
    return (back >= 0) & (back < window)


@exercise
def check_uncap(function) -> Verdict:
    """A function of a capped number and the cap that returns the number before the cap."""
    numbers, cap = torch.tensor([-40.0, 0.0, 1.0, 20.0], dtype=torch.float64), 30.0
    capped = torch.tanh(numbers / cap) * cap
    trials = (capped, cap), (capped, 50.0), (capped[1:3], 20.0)
    got, is_right = compared(function, my_uncap, *trials)
    if is_right:
        shown = f"{capped[3]:.2f} was 20 before"
        return right(f"{shown}: nothing is lost, as long as the precision lasts.")
    if got.shape != numbers.shape:
        return wrong(f"{tuple(numbers.shape)} went in, {tuple(got.shape)} came out.")
    if got.allclose(torch.atanh(capped / cap)):
        why = "Capping divides first; undo that as well."
        return wrong("That is the number divided by the cap.", why)
    if got.allclose(torch.tanh(capped / cap) * cap):
        return wrong("You capped once more.", "The inverse of tanh is atanh.")
    if got.isnan().any():
        return wrong("Some of it is nan.", "atanh takes numbers between -1 and 1.")
    hint = "undo the three steps of the cap, the last one first"
    return wrong(f"{capped[3]:.2f} became {got[3]:.2f}, not 20.", hint=hint)


def my_uncap(capped, cap):
    return cap * torch.atanh(capped / cap)


SOLUTIONS = {"sliding_mask": my_sliding_mask, "uncap": my_uncap}


def masks(panels: dict, title: str):
    """Attention masks side by side: filled where the row's token may look at the column's.

    Args: panels: name -> (T, T) of True and False.    Returns: the matplotlib figure.
    """
    figures.use_style()
    figure, axes = plt.subplots(1, len(panels), figsize=(figures.WIDTH, 3.0), squeeze=False)
    style = {"cmap": "Blues", "vmin": 0, "vmax": 1.4, "edgecolors": "white", "linewidth": 0.8}
    for axis, (name, visible) in zip(axes[0], panels.items()):
        axis.pcolormesh([[float(cell) for cell in row] for row in visible], **style)
        axis.invert_yaxis()
        axis.spines[:].set_visible(False)
        axis.set(aspect="equal", xticks=[], yticks=[], xlabel="is looked at", ylabel="looks")
        axis.set_title(name, fontsize=figures.NORMAL)
    figures.headline(figure, title)
    return figure

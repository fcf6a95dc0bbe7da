"""Notebook 07: what PaliGemma reads of a picture, what it may look at, and its exam."""

from __future__ import annotations

from matplotlib.patheffects import withStroke

from gemma_lab import figures
from gemma_lab.diagrams import box, canvas, write
from gemma_lab.figures import GREEN, PALE, WIDTH, plt
from gemma_lab.lessons.exercises import Verdict, exercise, number, returned, right, wrong
from gemma_lab.lessons.nb07_views import LABEL, NARROW, PARTS


@exercise
def check_num_patches(function) -> Verdict:
    """A function of a picture's side and a patch's, in pixels: the number of its tokens."""
    trials = [(224, 14), (448, 14), (896, 14), (48, 8)]
    found = [number(returned(function, *trial), "It gives one number") for trial in trials]
    got = found[0]
    if found == [my_num_patches(*trial) for trial in trials]:
        return right("At 224 pixels PaliGemma reads 256 picture tokens, at 896 it reads 4,096.")
    if got == 256:
        what = "It is right for one size and wrong for another."
        return wrong(what, hint="use the arguments, not fixed numbers")
    if got == 16:
        return wrong("That is one row of patches.", hint="a square has as many rows as columns")
    if got == 224 * 224:
        return wrong("That is every pixel.", hint="a patch of 14 by 14 pixels is one token")
    if got == 3 * 256:
        return wrong("A patch is one token, with all its three colours.")
    hint = "count the patches along one side first"
    return wrong(f"224 and 14 gave {got:,}, not 256.", hint=hint)


def my_num_patches(side, patch):
    return (side // patch) ** 2


SOLUTIONS = {"num_patches": my_num_patches}


def patches(picture, side: int, patch: int):
    """A picture as the tower gets it, cut into patches; each carries the number of its token.

    Args: picture: a PIL image; side, patch: of the picture and of a patch, in the tower's pixels.
    Returns: the matplotlib figure.    Raises: ValueError where no patch fits.
    """
    if not 1 <= patch <= side:
        raise ValueError(f"A patch has 1 to {side} pixels, as the picture has, not {patch}.")
    num = side // patch
    figures.use_style()
    figure, axes = plt.subplots(1, 2, figsize=(NARROW, 2.75))
    small = picture.convert("RGB").resize((side, side))
    for axis, one in zip(axes, (picture, small)):
        axis.imshow(one, extent=(0, num, num, 0), interpolation="nearest")
        axis.set(xticks=[], yticks=[])
    axes[0].set_title("The picture", fontsize=figures.NORMAL)
    axes[1].set_title(f"{num * num} patches, read row by row", fontsize=figures.NORMAL)
    for at in range(1, num):
        axes[1].axhline(at, color="grey", linewidth=0.7)
        axes[1].axvline(at, color="grey", linewidth=0.7)
    if num <= 8:
        for at in range(num * num):
            row, column = divmod(at, num)
            style = {"ha": "center", "va": "center", "fontsize": LABEL - 1}
            text = axes[1].text(column + 0.5, row + 0.5, at + 1, **style)
            text.set_path_effects([withStroke(linewidth=2, foreground="white")])
    return figure


def prefix_mask(num_picture: int, question: list[str], answer: list[str]):
    """Which tokens each token may look at: in the prefix all, in the answer those before it.

    Args: num_picture: how many picture tokens to draw; question, answer: their tokens.
    Returns: the matplotlib figure.
    Raises: ValueError where one of the three is empty.
    """
    if not (num_picture and question and answer):
        raise ValueError("Give a picture token, a token of the question and one of the answer.")
    figures.use_style()
    words = [f"picture {at + 1}" for at in range(num_picture)] + [*question, *answer]
    num_prefix = num_picture + len(question)
    seen = [[at < num_prefix or at <= row for at in range(len(words))] for row in range(len(words))]
    figure, axis = plt.subplots(figsize=(NARROW, 3.5))
    style = {"cmap": "Blues", "vmin": 0, "vmax": 1.4, "edgecolors": "white", "linewidth": 1.2}
    axis.pcolormesh([[float(one) for one in row] for row in seen], **style)
    axis.invert_yaxis()
    axis.spines[:].set_visible(False)
    places = [at + 0.5 for at in range(len(words))]
    size = LABEL if len(words) <= 16 else 7
    axis.set_xticks(places, words, rotation=90, fontsize=size)
    axis.set_yticks(places, words, fontsize=size)
    axis.axhline(num_prefix, color="black", linewidth=1)
    axis.axvline(num_prefix, color="black", linewidth=1)
    axis.set(xlabel="is looked at", ylabel="looks", aspect="equal")
    axis.tick_params(length=0)
    return figure


def shares_of_tokens(num_picture: int, num_text: int):
    """The tokens of a prompt as one bar: those of the picture, and those of the text.

    Returns: the matplotlib figure.    Raises: ValueError for fewer than 1 of one.
    """
    if min(num_picture, num_text) < 1:
        raise ValueError(f"Both counts must be 1 or more, not {num_picture} and {num_text}.")
    figure, axis = canvas(0.75)
    cut = WIDTH * min(max(num_picture / (num_picture + num_text), 0.12), 0.88)
    box(axis, 0.02, 0.05, cut - 0.04, 0.34, f"{num_picture}", *PARTS["before"], fontsize=LABEL)
    box(axis, cut, 0.05, WIDTH - cut - 0.02, 0.34, f"{num_text}", *PARTS["after"], fontsize=LABEL)
    write(axis, 0.02, 0.55, "tokens of the picture", ha="left", fontsize=LABEL)
    write(axis, WIDTH - 0.02, 0.55, "of the text", ha="right", fontsize=LABEL)
    return figure


def boxed(picture, found: list[tuple[tuple, str]], title: str = ""):
    """A picture with boxes on it, each with its words.

    Args: found: as `shapes.boxes` gives it.    Returns: the matplotlib figure.
    """
    figures.use_style()
    figure, axis = plt.subplots(figsize=(3.2, 3.2))
    axis.imshow(picture, extent=(0, 1, 1, 0), interpolation="nearest")
    axis.set(xticks=[], yticks=[], title=title)
    for (top, left, bottom, far), name in found:
        style = {"facecolor": "none", "edgecolor": GREEN, "linewidth": 2.5}
        axis.add_patch(plt.Rectangle((left, top), far - left, bottom - top, **style))
        below = top < 0.12
        label = {"facecolor": PALE, "edgecolor": "none", "pad": 1.5}
        axis.text(
            left, bottom if below else top, name, fontsize=LABEL, bbox=label, parse_math=False,
            va="top" if below else "bottom",
        )  # fmt: skip
    return figure

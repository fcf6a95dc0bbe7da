"""Notebook 07: its pictures of a hole, of layers, and of what they keep of a text."""

from __future__ import annotations

import math

from gemma_lab import coding, figures
from gemma_lab.diagrams import box, canvas, write
from gemma_lab.figures import BLUE, GREEN, GREY, HEIGHT, ORANGE, PALE, WIDTH, plt

LABEL = 9.3  # points: 9 pixels where a page of 400 shows a picture of WIDTH inches
NARROW = 5.5  # inches: there, that is so for figures.NORMAL
CHAR, LINE = 7 / 90, 0.19  # inches: a character of LABEL in monospace, 7 pixels, and a line
PARTS = {"before": (PALE, BLUE), "hole": ("#FCE3B0", ORANGE), "after": ("#DDF1EA", GREEN)}
LAYERS = {
    "r": ("recurrent", *PARTS["before"]),
    "a": ("attention over a window", *PARTS["hole"]),
    "g": ("attention over all", *PARTS["after"]),
}
PER_ROW = 26


def _short(text: str, width: int) -> str:
    """A text of at most `width` characters: of a longer one the middle is left out."""
    end = (width - 1) // 2
    return text if len(text) <= width else f"{text[: width - 1 - end]}…{text[-end:]}"


def _code(axis, left: float, y: float, segments: list[tuple[str, str]]) -> None:
    """One line of code: segments (part, text), each on the colour of its part."""
    segments = [(part, text) for part, text in segments if text]
    width = int((WIDTH - left) / CHAR) - 1
    sizes = [len(text) for _, text in segments]
    if sum(sizes) > width:  # long segments share what short ones leave
        short = [size for size in sizes if size <= width // len(sizes)]
        most = (width - sum(short)) // (len(sizes) - len(short))
        segments = [(part, _short(text, most)) for part, text in segments]
    for part, text in segments:
        fill, edge = PARTS[part]
        style = dict(facecolor=fill, edgecolor=edge, linewidth=0.6)
        axis.add_patch(plt.Rectangle((left, y - LINE / 2), len(text) * CHAR, LINE, **style))
        font = dict(family="monospace", fontsize=LABEL, ha="left", parse_math=False)
        write(axis, left, y, text, weight="bold" if part == "hole" else "normal", **font)
        left += len(text) * CHAR


def hole_order(before: str, hole: str, after: str):
    """A file with a hole as the editor shows it, and below in the order in which CodeGemma reads.

    ⏎ is a line break. Of a long line the middle is left out.
    Returns: the matplotlib figure.
    """
    parts = {"before": before, "hole": hole, "after": after}
    parts = {part: text.replace("\t", "    ").split("\n") for part, text in parts.items()}
    shown = [[]]
    for part, (first, *rest) in parts.items():
        shown[-1].append((part, first))
        shown += [[(part, line)] for line in rest]
    if not any(text for _, text in shown[-1]):  # behind the last line break there is no line
        shown.pop()
    read = []
    for token, part in zip(coding.HOLE_TOKENS, ("before", "after", "hole")):
        *lines, last = parts[part]
        lines = [f"{line}⏎" for line in lines] + [last] * bool(last)
        read += [(token if at == 0 else "", part, line) for at, line in enumerate(lines or [""])]
    read.append((coding.HOLE_TOKENS[-1], "hole", ""))
    figure, axis = canvas(1.1 + LINE * 1.08 * (len(shown) + len(read)))
    axis.set_position((0, 0, 1, 1))  # a layout would shrink the boxes, and not the letters in them
    y = axis.get_ylim()[1] - 0.12
    write(axis, 0.02, y, "In the editor", ha="left", fontsize=10)
    for segments in shown:
        y -= LINE * 1.08 if segments is not shown[0] else 0.24
        _code(axis, 0.04, y, segments)
    y -= 0.34
    write(axis, 0.02, y, "As CodeGemma reads it: the hole comes last", ha="left", fontsize=10)
    for at, (token, part, line) in enumerate(read):
        y -= LINE * 1.08 if at else 0.24
        write(axis, 0.04, y, token, ha="left", family="monospace", fontsize=LABEL, color=GREY)
        _code(axis, 1.5, y, [(part, line)])
    words = ("before the hole", "the hole", "after the hole")
    for at, (colours, name) in enumerate(zip(PARTS.values(), words)):
        box(axis, 0.04 + 1.3 * at, 0.03, 1.2, 0.22, name, *colours, fontsize=LABEL)
    return figure


def layer_map(models: dict[str, list[str]]):
    """The layers of each model as a row of boxes, the first layer at the left.

    Args: models: name -> its layers: "r" recurrent, "a" attention over a window, "g" over all.
    Returns: the matplotlib figure.
    Raises: ValueError for another letter.
    """
    for name, layers in models.items():
        if odd := [kind for kind in layers if kind not in LAYERS]:
            raise ValueError(f"A layer of {name} is {odd[0]!r}: choose one of r, a and g.")
    rows = {name: -(-len(layers) // PER_ROW) for name, layers in models.items()}
    figure, axis = canvas(0.34 + sum(0.3 + 0.27 * num for num in rows.values()))
    y, step = axis.get_ylim()[1], WIDTH / PER_ROW
    for name, layers in models.items():
        y -= 0.14
        write(axis, 0.02, y, f"{name}: {len(layers)} layers", ha="left", fontsize=10)
        y -= 0.16 + 0.27 * rows[name]
        for at, kind in enumerate(layers):
            row, column = divmod(at, PER_ROW)
            bottom = y + 0.27 * (rows[name] - 1 - row) + 0.03
            box(axis, column * step + 0.01, bottom, step - 0.02, 0.23, kind, *LAYERS[kind][1:])
            axis.texts[-1].set_fontsize(LABEL)
    for left, (kind, (words, *colours)) in zip((0.02, 1.4, 3.7), LAYERS.items()):
        box(axis, left, 0.03, step - 0.02, 0.23, kind, *colours, fontsize=LABEL)
        write(axis, left + 0.28, 0.14, words, ha="left", fontsize=LABEL)
    return figure


def window_mask(num_tokens: int, window: int):
    """What a token knows of those before it: by attention over a window, and through a state.

    In the state an input fades: here half of it is left after `window` tokens.
    Returns: the matplotlib figure.
    Raises: ValueError for no token or no window.
    """
    if num_tokens < 1 or window < 1:
        raise ValueError(f"Both numbers must be 1 or more, not {num_tokens} and {window}.")
    figures.use_style()
    back = [[row - column for column in range(num_tokens)] for row in range(num_tokens)]
    panels = {
        f"Attention over {window} tokens": lambda far: float(0 <= far < window),
        f"A state, half gone after {window}": lambda far: 0.5 ** (far / window) if far >= 0 else 0,
    }
    figure, axes = plt.subplots(1, 2, figsize=(NARROW, 2.9))
    style = {"cmap": "Blues", "vmin": 0, "vmax": 1.4, "edgecolors": "white"}
    style["linewidth"] = 0.8 if num_tokens <= 32 else 0
    labels = (("is looked at", "looks"), ("went into the state", "reads the state"))
    for axis, (name, seen), (xlabel, ylabel) in zip(axes, panels.items(), labels):
        axis.pcolormesh([[seen(far) for far in row] for row in back], **style)
        axis.invert_yaxis()
        axis.spines[:].set_visible(False)
        axis.set(aspect="equal", xticks=[], yticks=[], xlabel=xlabel, ylabel=ylabel)
        axis.set_title(name, fontsize=figures.NORMAL)
    return figure


def half_lives(tokens, title: str, window: int):
    """A histogram of how long the channels of a recurrence remember; the window is a dashed line.

    Args: tokens: after how many tokens half of an input is gone, a number for each channel.
    Returns: the matplotlib figure.
    Raises: ValueError for no channel, and for a number that is not above 0, huge or nan.
    """
    tokens = [float(one) for one in tokens]
    odd = [one for one in tokens if not 1e-9 < one < 1e15]  # inf and nan as well
    if odd or not tokens:
        found = odd[0] if odd else "none"
        raise ValueError(f"Give each channel's half-life in tokens, a number above 0, not {found}.")
    figures.use_style()
    figure, axis = plt.subplots(figsize=(NARROW, HEIGHT))
    first = math.floor(2 * math.log2(min(*tokens, window)))
    last = math.floor(2 * math.log2(max(*tokens, window))) + 1
    edges = [2 ** (half / 2) for half in range(first, last + 1)]
    axis.hist(tokens, edges, color=BLUE, edgecolor="white")
    axis.axvline(window, color="black", linestyle="--", linewidth=1.2)
    axis.set_xscale("log", base=2)
    step = 2 if last - first <= 32 else 4  # a label for every 4 or 16 tokens
    ticks = [two for two in range(-(-first // 2), last // 2 + 1) if two % step == 0]
    names = [f"{2**two:,}" if two >= 0 else f"1/{2**-two:,}" for two in ticks]
    axis.set_xticks([2.0**two for two in ticks], names)
    axis.yaxis.get_major_locator().set_params(integer=True)
    longer = sum(one > window for one in tokens) / len(tokens)
    high = axis.get_ylim()[1]
    axis.set(ylim=(0, 1.4 * high), xlabel="half-life, tokens", ylabel="channels", title=title)
    is_right = window > math.sqrt(edges[0] * edges[-1])
    words = f"the window: {window:,} tokens\n{longer:.0%} remember longer"
    figures.note(axis, words, (window, 1.22 * high), -6 if is_right else 6, fontsize=figures.NORMAL)
    return figure

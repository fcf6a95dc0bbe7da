"""One visual style, and the plots of the course; notebooks and slides draw with the same functions.

Colours are from Okabe and Ito's palette, which colour-blind readers can tell apart. A page scales a
picture down to its own width: 8.6 points in a picture of WIDTH inches are 8.5 pixels at 400.
"""

from __future__ import annotations

import html
import io

import matplotlib.pyplot as plt

BLUE, ORANGE, VERMILION, GREEN, GREY = "#0072B2", "#E69F00", "#D55E00", "#009E73", "#5F6673"
PALE = "#E8F1F8"
WIDTH, HEIGHT = 5.6, 2.6  # inches
SMALL, NORMAL = 8.6, 9.0  # points: no text is smaller
LET_GO = {"continuous_update": False}  # drawing takes a tenth of a second: not while a slider moves


def use_style() -> None:
    """Set the course's style for all following plots."""
    style = plt.rcParams
    style["figure.figsize"], style["figure.dpi"] = (WIDTH, HEIGHT), 90
    style["font.size"], style["axes.titlesize"], style["axes.titlelocation"] = NORMAL, 10, "left"
    style["figure.constrained_layout.use"], style["legend.frameon"] = True, False
    style["axes.spines.top"] = style["axes.spines.right"] = False
    for part in ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"):
        style[part] = GREY
    style["svg.hashsalt"] = "gemma-course"


def headline(figure, title: str) -> None:
    """Put one title over all panels of a figure, at the left."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)


def note(axis, text: str, at: tuple, dx: float, **font) -> None:
    """Write `text` beside a point, `dx` points to its right; to its left if `dx` is negative."""
    side = "left" if dx > 0 else "right"
    font = {"fontsize": SMALL, "va": "center", "ha": side} | font
    axis.annotate(text, at, (dx, 0), textcoords="offset points", **font)


def share_bars(shares: dict[str, float], title: str, highlight=(), unit: str = "%"):
    """Horizontal bars, the first name on top; those in `highlight` in another colour.

    Args: shares: the length of each bar; in percent, 1 is 100 %; in another `unit`, as they are.
    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, 0.6 + 0.22 * len(shares)))
    values = [100 * share if unit == "%" else share for share in shares.values()]
    colours = [ORANGE if name in highlight else BLUE for name in shares]
    axis.barh(range(len(shares)), values, color=colours, height=0.7)
    axis.set_yticks(range(len(shares)), list(shares))
    axis.invert_yaxis()
    form = "{:.1f} %" if unit == "%" else "{:.1f}"
    for at, value in enumerate(values):
        note(axis, form.format(value), (value, at), 4 if value >= 0 else -4, color=GREY)
    axis.spines["bottom"].set_visible(False)
    axis.set(xticks=[])
    axis.margins(x=0.14)
    headline(figure, title)  # not over the bars alone: long names leave them little width
    return figure


def attention_map(weights, words: list[str], title: str):
    """Attention weights as a grid: a row for each word that looks, a column for each looked at.

    Args: weights: (T, T), each row sums to 1; up to ten words with the numbers in the grid.
    Returns: the matplotlib figure.
    """
    use_style()
    weights = [[float(weight) for weight in row] for row in weights]
    is_small = len(words) <= 10
    side = max(3.2, min(4.2, 1.1 + 0.14 * len(words)))
    figure, axis = plt.subplots(figsize=(4.6, 3.2) if is_small else (WIDTH, side))
    axis.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="equal" if is_small else "auto")
    for row in range(len(words) if is_small else 0):
        for column in range(len(words)):
            value = weights[row][column]
            colour = "white" if value > 0.6 else "black" if value > 0 else "#B0B7C0"
            axis.text(
                column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour
            )
    every = 1 if len(words) <= 22 else 2  # a label needs 9 points of its own
    ticks = range(0, len(words), every)
    is_flat = is_small and max(map(len, words)) < 6
    axis.set_xticks(ticks, words[::every], rotation=0 if is_flat else 90)
    axis.set_yticks(ticks, words[::every])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set(xlabel="is looked at", ylabel="looks", title=title)
    return figure


def curves(lines: dict, title: str, xlabel: str, ylabel: str, scale: str = "linear", ylim=None):
    """Named lines over a common axis, at most six.

    Args: lines: name -> (x, y); scale: of both axes, "linear" or "log".
    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots()
    colours = (BLUE, ORANGE, VERMILION, GREY, "black", GREEN)
    styles = ("-", "--", "-.", ":", "-", (0, (5, 1)))
    strict = len(lines) > len(colours)
    for (name, (x, y)), colour, style in zip(lines.items(), colours, styles, strict=strict):
        axis.plot(x, y, linestyle=style, color=colour, label=name)
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel, xscale=scale, yscale=scale, ylim=ylim)
    if len(lines) > 4:  # no corner is free for so many names
        figure.set_figheight(HEIGHT + 0.5)
        figure.legend(loc="outside lower center", ncols=3, fontsize=SMALL)
    else:
        axis.legend(fontsize=SMALL)
    return figure


def differences(rows: dict[str, float], title: str, left: str, right: str):
    """Bars to both sides of zero, sorted: who is ahead where.

    Args: rows: name -> difference in points; `left`, `right`: what a bar to that side means.
    Returns: the matplotlib figure.
    """
    use_style()
    ranked = dict(sorted(rows.items(), key=lambda row: row[1]))
    figure, axis = plt.subplots(figsize=(WIDTH, 0.8 + 0.17 * len(ranked)))
    colours = [BLUE if value > 0 else ORANGE for value in ranked.values()]
    axis.barh(range(len(ranked)), list(ranked.values()), color=colours)
    axis.axvline(0, color=GREY, linewidth=0.8)
    for at, (name, value) in enumerate(ranked.items()):
        note(axis, f"{name} {value:+.1f}", (0, at), -4 if value > 0 else 4)
    axis.spines["left"].set_visible(False)
    axis.set(yticks=[], xlabel=f"points; left: {left}, right: {right}", title=title)
    axis.margins(y=0.01)
    return figure


def png(figure) -> bytes:
    """A matplotlib figure as a PNG file; the figure is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    plt.close(figure)
    return buffer.getvalue()


def show(view, figure, text: str) -> None:
    """Display a widget; without a kernel its readers see `figure`, or `text` without pictures."""
    from IPython.display import display

    model = {"version_major": 2, "version_minor": 0, "model_id": view.model_id}
    bundle = {
        "application/vnd.jupyter.widget-view+json": model,
        "image/png": png(figure),
        "text/plain": text,
    }
    display(bundle, raw=True)


def with_controls(controls: list, draw):
    """Widgets over a picture, and its title for screen readers; each change calls `draw` anew."""
    import ipywidgets

    image = ipywidgets.Image(format="png")
    title = ipywidgets.HTML(layout={"height": "1px", "overflow": "hidden"})  # heard, and not seen

    def redraw(_=None) -> None:
        figure = draw()
        words = figure.get_suptitle() or figure.axes[0].get_title("left")
        title.value = f'<span role="status">{html.escape(words)}</span>'
        image.value = png(figure)

    for control in controls:
        control.observe(redraw, "value")
    redraw()
    return ipywidgets.VBox([*controls, image, title])

"""One visual style, and the plots of the course; notebooks and slides draw with the same functions.

Colours are from Okabe and Ito's palette, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import io
import math

import matplotlib.pyplot as plt

BLUE, ORANGE, VERMILION, GREEN, GREY = "#0072B2", "#E69F00", "#D55E00", "#009E73", "#5F6673"
PALE = "#E8F1F8"
WIDTH, HEIGHT = 7.0, 2.8  # inches
LET_GO = {
    "continuous_update": False
}  # a picture takes a tenth of a second: draw it when the slider is let go  # a picture takes a tenth of a second: draw it when the slider is let go


def use_style() -> None:
    """Set the course's style for all following plots."""
    plt.rcParams.update({
        "figure.figsize": (WIDTH, HEIGHT), "figure.dpi": 90, "figure.constrained_layout.use": True, "font.size": 10,
        "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11, "axes.titlelocation": "left",
        "axes.edgecolor": GREY, "axes.labelcolor": GREY, "xtick.color": GREY, "ytick.color": GREY,
        "svg.hashsalt": "gemma-course", "legend.frameon": False,
    })  # fmt: skip


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


def attention_map(weights, words: list[str], title: str):
    """Attention weights as a grid: a row for each word that looks, a column for each word that is looked at.

    Args: weights: (T, T), each row sums to 1; up to ten words the numbers are written into the grid.
    Returns: the matplotlib figure.
    """
    use_style()
    weights, is_small = [[float(weight) for weight in row] for row in weights], len(words) <= 10
    figure, axis = plt.subplots(figsize=(4.6, 3.2) if is_small else (WIDTH, 3.5))
    axis.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="equal" if is_small else "auto")
    for row in range(len(words) if is_small else 0):
        for column in range(len(words)):
            value = weights[row][column]
            colour = "white" if value > 0.6 else "black" if value > 0 else "#B0B7C0"
            axis.text(
                column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour
            )
    font = {} if is_small else {"fontsize": 7}
    axis.set_xticks(range(len(words)), words, rotation=0 if is_small else 90, **font)
    axis.set_yticks(range(len(words)), words, **font)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set(xlabel="is looked at", ylabel="looks", title=title)
    return figure


def masks(panels: dict, title: str):
    """Attention masks side by side: a filled square where the token of that row may look at the token of that column.

    Args: panels: name -> (T, T) of True and False.    Returns: the matplotlib figure.
    """
    use_style()
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 2.8), squeeze=False)
    for axis, (name, visible) in zip(axes[0], panels.items()):
        axis.pcolormesh([[float(cell) for cell in row] for row in visible], cmap="Blues", vmin=0, vmax=1.4,
                        edgecolors="white", linewidth=0.8)  # fmt: skip
        axis.invert_yaxis()
        axis.spines[:].set_visible(False)
        axis.set(aspect="equal", xticks=[], yticks=[], xlabel="is looked at", ylabel="looks")
        axis.set_title(name, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def curves(lines: dict, title: str, xlabel: str, ylabel: str, scale: str = "linear", ylim=None):
    """Named lines over a common axis, at most six.

    Args: lines: name -> (x, y); scale: of both axes, "linear" or "log".    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots(figsize=(6.3, 2.5))
    colours, styles = (
        (BLUE, ORANGE, VERMILION, GREY, "black", GREEN),
        ("-", "--", "-.", ":", "-", (0, (5, 1))),
    )
    for (name, (x, y)), colour, style in zip(
        lines.items(), colours, styles, strict=len(lines) > len(colours)
    ):
        axis.plot(x, y, linestyle=style, color=colour, label=name)
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel, xscale=scale, yscale=scale, ylim=ylim)
    axis.legend(fontsize=8.5)
    return figure


def rope_wheels(query_at: int, key_at: int, speeds: list[float]):
    """RoPE: a query and an equal key, turned to their positions; beside the wheels the mean cosine over all pairs by distance.

    Args: speeds: radians a position for each pair; three of them get a wheel.    Returns: the matplotlib figure.
    """
    use_style()
    shown = [speeds[0], speeds[len(speeds) // 4], speeds[len(speeds) // 2]]
    figure, axes = plt.subplots(1, 4, figsize=(WIDTH, 2.3), width_ratios=(1, 1, 1, 2.1))
    for axis, speed in zip(axes, shown):
        axis.add_patch(plt.Circle((0, 0), 1, facecolor=PALE, edgecolor=GREY))
        for position, colour in ((query_at, BLUE), (key_at, VERMILION)):
            end = (math.cos(position * speed), math.sin(position * speed))
            axis.annotate(
                "",
                end,
                (0, 0),
                arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkB": 0},
            )
        axis.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal")
        axis.set_title(f"{speed:.3g} rad a token", fontsize=8, color=GREY)
        axis.axis("off")
    distances = range(65)
    axes[3].plot(
        distances,
        [sum(math.cos(d * s) for s in speeds) / len(speeds) for d in distances],
        color=GREY,
    )
    here = abs(query_at - key_at)
    axes[3].plot(here, sum(math.cos(here * s) for s in speeds) / len(speeds), "o", color=ORANGE)
    axes[3].set(ylim=(-0.2, 1.05), ylabel="mean cosine", xlabel="distance, tokens")
    figure.suptitle(
        f"Query at {query_at} (blue), key at {key_at} (red): distance {here}",
        x=0.01,
        ha="left",
        fontsize=10,
    )
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


def png(figure) -> bytes:
    """A matplotlib figure as a PNG file; the figure is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    plt.close(figure)
    return buffer.getvalue()


def show(view, figure, text: str) -> None:
    """Display `view`; readers without a kernel see `figure` (matplotlib), or `text` where there are no pictures."""
    from IPython.display import display

    bundle = {
        "application/vnd.jupyter.widget-view+json": {
            "version_major": 2,
            "version_minor": 0,
            "model_id": view.model_id,
        },
        "image/png": png(figure),
        "text/plain": text,
    }
    display(bundle, raw=True)


def with_controls(controls: list, draw):
    """Controls over a picture that `draw`, a function without arguments that returns a figure, makes anew at each change."""
    import ipywidgets

    image = ipywidgets.Image(format="png", value=png(draw()))

    def redraw(_) -> None:
        image.value = png(draw())

    for control in controls:
        control.observe(redraw, "value")
    return ipywidgets.VBox([*controls, image])

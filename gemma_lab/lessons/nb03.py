"""Notebook 03: its exercises with solutions, its views with sliders, and RoPE's wheels."""

from __future__ import annotations

import html
import math

import ipywidgets
import matplotlib.pyplot as plt
import torch

from gemma_lab import figures
from gemma_lab.figures import BLUE, GREY, ORANGE, PALE, SMALL, VERMILION, WIDTH
from gemma_lab.lessons.exercises import Verdict, compared, exercise, number, right, wrong


@exercise
def check_cache_bytes(answer) -> Verdict:
    """Bytes that Gemma 2B, with one key-value head, caches for one token in 16 bits."""
    found, wanted = number(answer), 2 * 18 * 1 * 256 * 2
    if found == wanted:
        return right(f"2 * 18 * 1 * 256 * 2 = {wanted:,} bytes: 18 KiB for each token.")
    whys = {
        18: ("That is KiB.", "Bytes are asked for, and 1 KiB is 1,024 of them."),
        wanted // 2: (
            "Half is missing.",
            "Keys and values are kept, and a number takes two bytes.",
        ),
        wanted // 4: ("Three quarters are missing.", "Keys and values; two bytes for each number."),
        wanted // 18: ("That is one layer.", "Each of the 18 layers keeps its own."),
        wanted * 8: (
            "That is 8 times too much.",
            "16 bits are 2 bytes; 8 query heads share one key.",
        ),
        wanted * 2: ("That is twice as much.", "In 16 bits a number takes two bytes."),
    }
    what, why = whys.get(found, (f"{found:,.8g} is not it.", ""))
    return wrong(what, why, "count the numbers of one layer first: keys, and values")


@exercise
def check_rotate_half(function) -> Verdict:
    """A function that turns (..., h) into its second half, negated, and then its first half."""
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    trials = (x,), (torch.arange(8.0),), (torch.arange(12.0).reshape(1, 2, 6),)
    got, is_right = compared(function, my_rotate_half, *trials)
    if is_right:
        return right("[1, 2, 3, 4] becomes [-3, -4, 1, 2]: (1, 3) and (2, 4) make a quarter turn.")
    if got.shape != x.shape:
        what = f"{tuple(x.shape)} went in, {tuple(got.shape)} came out."
        return wrong(what, hint="join the halves on the last axis, with torch.cat")
    if got.tolist() == [[-5, -6, -7, -8], [1, 2, 3, 4]]:
        why = "The halves of a vector lie on the last axis; dim is 0 unless you give it."
        return wrong("You split the rows, not the vectors.", why, "dim=-1")
    whys = {
        (-2, 1, -4, 3): ("You turned neighbours.", "Gemma's weights pair 1 with 3, not 1 with 2."),
        (3, 4, 1, 2): ("No sign changed.", "A quarter turn maps (a, b) to (-b, a)."),
        (3, 4, -1, -2): ("You negated the first half.", "That turns back: (a, b) to (b, -a)."),
        (-1, -2, 3, 4): ("The halves kept their places.", "A quarter turn maps (a, b) to (-b, a)."),
    }
    what, why = whys.get(tuple(got[0].tolist()), (f"[1, 2, 3, 4] became {got[0].tolist()}.", ""))
    return wrong(what, why, "x.chunk(2, dim=-1) gives the two halves")


def my_rotate_half(x):
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


SOLUTIONS = {"cache_bytes": "my_bytes = 2 * 18 * 1 * 256 * 2", "rotate_half": my_rotate_half}


def bytes_of_a_token(answer) -> int:
    """Your answer to the exercise `cache_bytes` where it is right; else the solution's."""
    return number(answer) if check_cache_bytes.judge(answer).is_right else 2 * 18 * 1 * 256 * 2


def rope(query_at: int, key_at: int, speeds: list[float]) -> ipywidgets.VBox:
    """Two sliders that move a query and a key along a text; wheels show how RoPE turns them.

    A key stands at its query or before it: its slider ends where the query is.
    """
    common = {"style": {"description_width": "7em"}, "layout": {"max_width": "95%"}}
    common |= figures.LET_GO
    query = ipywidgets.IntSlider(query_at, min=1, max=64, description="query at", **common)
    key = ipywidgets.IntSlider(key_at, min=0, max=query_at, description="key at", **common)
    query.observe(lambda change: setattr(key, "max", change.new), "value")  # before it is drawn

    def draw():
        return rope_wheels(query.value, key.value, speeds)

    def tell() -> str:
        cosine = _mean_cosine(query.value - key.value, speeds)
        return f"Distance {query.value - key.value}: the mean cosine is {cosine:.2f}."

    return _told([query, key], draw, tell)


def _told(controls: list, draw, tell) -> ipywidgets.VBox:
    """`figures.with_controls` and, below the picture, what it shows in words."""
    view, words = figures.with_controls(controls, draw), ipywidgets.HTML()

    def say(_=None) -> None:
        words.value = f'<span role="status">{html.escape(tell())}</span>'

    for control in controls:
        control.observe(say, "value")
    say()
    view.children += (words,)
    return view


def rope_wheels(query_at: int, key_at: int, speeds: list[float]):
    """RoPE: a query and an equal key, turned to their places; below, the mean cosine by distance.

    Args: speeds: radians a position for each pair; three of them get a wheel.
    Returns: the matplotlib figure.
    Raises: ValueError for a key after its query.
    """
    if key_at > query_at:
        raise ValueError(f"A key at {key_at} is hidden from a query at {query_at}: put it before.")
    figures.use_style()
    shown = [speeds[0], speeds[len(speeds) // 4], speeds[len(speeds) // 2]]
    figure = plt.figure(figsize=(WIDTH, 3.6))
    rows = figure.add_gridspec(2, 3, height_ratios=(1.1, 1))
    for at, speed in enumerate(shown):
        axis = figure.add_subplot(rows[0, at])
        axis.add_patch(plt.Circle((0, 0), 1, facecolor=PALE, edgecolor=GREY))
        for position, colour in ((query_at, BLUE), (key_at, VERMILION)):
            end = (math.cos(position * speed), math.sin(position * speed))
            arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkB": 0}
            axis.annotate("", end, (0, 0), arrowprops=arrow)
        axis.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal")
        axis.set_title(f"{speed:.3g} rad a token", fontsize=SMALL, color=GREY, loc="center")
        axis.axis("off")
    axis, distances = figure.add_subplot(rows[1, :]), range(65)
    axis.plot(distances, [_mean_cosine(distance, speeds) for distance in distances], color=GREY)
    here = query_at - key_at
    axis.plot(here, _mean_cosine(here, speeds), "o", color=ORANGE)
    axis.set(ylim=(-0.2, 1.05), ylabel="mean cosine", xlabel="distance, tokens")
    figures.headline(
        figure, f"Query at {query_at} (blue), key at {key_at} (orange): distance {here}"
    )
    return figure


def _mean_cosine(distance: int, speeds: list[float]) -> float:
    return sum(math.cos(distance * speed) for speed in speeds) / len(speeds)


MOST_TOKENS = 40  # of a sentence: more do not fit a picture


@torch.no_grad()
def look(model, tokenizer, words: str) -> tuple[list[str], torch.Tensor]:
    """The first tokens of a text, at most `MOST_TOKENS`, and where each of them looks.

    Args: model: a `scratch.gemma.Gemma`.    Returns: tokens; weights, (layers, H, T, T).
    """
    ids = tokenizer(words, return_tensors="pt")["input_ids"][:, :MOST_TOKENS]
    weights = model(ids, with_attentions=True).attentions
    return tokenizer.convert_ids_to_tokens(ids[0]), torch.cat(weights)


def attention_heads(model, tokenizer, words: str, layer: int, head: int) -> ipywidgets.VBox:
    """A box for your sentence, which goes through the model; see where the tokens of a head look.

    Args: model: a `scratch.gemma.Gemma`; words, layer, head: the first view.
    """
    seen = {}

    def now() -> tuple:
        if box.value not in seen:  # a slider moved: the sentence need not go through again
            seen.clear()
            seen[box.value] = look(model, tokenizer, box.value)
        tokens, weights = seen[box.value]
        return tokens, weights[which_layer.value, which_head.value]

    def draw():
        tokens, weights = now()
        title = f"Layer {which_layer.value}, head {which_head.value}"
        return figures.attention_map(weights, tokens, title)

    def tell() -> str:
        tokens, weights = now()
        most = [f"{tokens[i]} {weights[-1, i]:.0%}" for i in weights[-1].argsort(descending=True)]
        return f"The last token, {tokens[-1]}, looks at {', '.join(most[:3])}."

    config, common = model.config, {"min": 0, "layout": {"max_width": "95%"}} | figures.LET_GO
    wide = {"width": "95%"}
    box = ipywidgets.Text(words, description="sentence", layout=wide, **figures.LET_GO)
    last = config.num_hidden_layers - 1, config.num_attention_heads - 1
    which_layer = ipywidgets.IntSlider(layer, max=last[0], description="layer", **common)
    which_head = ipywidgets.IntSlider(head, max=last[1], description="head", **common)
    return _told([box, which_layer, which_head], draw, tell)

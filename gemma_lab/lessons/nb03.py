"""Notebook 03: its exercises with solutions, and its views with sliders."""

from __future__ import annotations

import ipywidgets
import torch

from gemma_lab import figures
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


def rope(query_at: int, key_at: int, speeds: list[float]) -> ipywidgets.VBox:
    """Two sliders that move a query and a key along a text; wheels show how RoPE turns them."""
    common = {"min": 0, "max": 64, "style": {"description_width": "7em"}} | figures.LET_GO
    query = ipywidgets.IntSlider(query_at, description="query at", **common)
    key = ipywidgets.IntSlider(key_at, description="key at", **common)

    def draw():
        return figures.rope_wheels(query.value, key.value, speeds)

    return figures.with_controls([query, key], draw)


def attention_heads(maps: dict, layer: int = 0, head: int = 0) -> ipywidgets.VBox:
    """Choose a sentence, a layer and a head, and see where its tokens look.

    Args:
        maps: sentence -> (its tokens, the attention weights of each layer, (1, H, T, T)).
        layer, head: the first view.
    """
    layers, common = next(iter(maps.values()))[1], {"min": 0} | figures.LET_GO
    wide = {"width": "95%"}
    sentence = ipywidgets.Dropdown(options=list(maps), description="sentence", layout=wide)
    which_layer = ipywidgets.IntSlider(layer, max=len(layers) - 1, description="layer", **common)
    last = layers[0].shape[1] - 1
    which_head = ipywidgets.IntSlider(head, max=last, description="head", **common)

    def draw():
        tokens, weights = maps[sentence.value]
        title = f"Layer {which_layer.value}, head {which_head.value}"
        return figures.attention_map(weights[which_layer.value][0, which_head.value], tokens, title)

    return figures.with_controls([sentence, which_layer, which_head], draw)

"""Notebook 03: checks of its exercises, and its views with sliders."""

from __future__ import annotations

import ipywidgets
import torch

from gemma_lab import catalog, figures, memory
from gemma_lab.exercises import judged, report, untouched

GEMMA_2B = catalog.find("google/gemma-2b")


def check_rotate_half(function) -> bool | None:
    """03: a function that turns (..., h) into its second half, negated, and then its first half."""
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    got = judged(function, rotate_half_solution, (x,), (torch.arange(8.0),))
    if got is True:
        return report(
            True,
            "[1, 2, 3, 4] becomes [-3, -4, 1, 2]: a quarter turn of the pairs (1, 3) and (2, 4).",
        )
    if not isinstance(got, torch.Tensor):
        return got
    if got.shape != x.shape:
        return report(
            False,
            f"{tuple(x.shape)} went in, {tuple(got.shape)} came out.",
            hint="torch.cat on the last axis",
        )
    whys = {
        (-2.0, 1.0, -4.0, 3.0): (
            "You turned neighbours.",
            "The paper pairs 1 with 2; Gemma's weights pair 1 with 3.",
        ),
        (3.0, 4.0, 1.0, 2.0): (
            "The halves changed places, and no sign changed.",
            "A quarter turn maps (a, b) to (-b, a).",
        ),
        (3.0, 4.0, -1.0, -2.0): (
            "You negated the first half.",
            "That turns the other way: (a, b) to (b, -a).",
        ),
        (-1.0, -2.0, 3.0, 4.0): (
            "The halves kept their places.",
            "A quarter turn maps (a, b) to (-b, a).",
        ),
    }
    what, why = whys.get(tuple(got[0].tolist()), (f"[1, 2, 3, 4] became {got[0].tolist()}.", ""))
    return report(False, what, why, "a, b = x.chunk(2, dim=-1), then -b and a")


def rotate_half_solution(x: torch.Tensor) -> torch.Tensor:
    """The second half of the last axis, negated, then the first half."""
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


def check_cache_bytes(answer) -> bool | None:
    """03: bytes that Gemma 2B, with one key-value head, caches for one token in 16 bits."""
    if untouched(answer):
        return None
    right = memory.kv_cache_bytes(GEMMA_2B, 1)
    if not isinstance(answer, (int, float)):
        return report(False, f"The answer is one number, not {type(answer).__name__}.")
    if answer == right:
        return report(True, f"2 * 18 * 1 * 256 * 2 = {right:,} bytes: 18 KiB for each token.")
    whys = {
        18: ("That is KiB.", "Bytes are asked for, and 1 KiB is 1,024 of them."),
        right // 2: (
            "That is half of it.",
            "Both keys and values are kept, and a number takes two bytes.",
        ),
        right // 18: ("That is one layer.", "Each of the 18 layers keeps its own."),
        right * 8: (
            "That is multi-head attention.",
            "All 8 query heads of Gemma 2B share one key and one value.",
        ),
        right * 2: ("That is twice as much.", "In 16 bits a number takes two bytes."),
    }
    what, why = whys.get(answer, (f"{answer} is not it.", ""))
    return report(False, what, why, "2 (keys and values) * layers * KV heads * head_dim * bytes")


def rope(query_at: int, key_at: int, speeds: list[float]) -> ipywidgets.VBox:
    """Two sliders that move a query and a key along a text; wheels show how RoPE turns them (`figures.rope_wheels`)."""
    style = {"description_width": "7em"}
    query = ipywidgets.IntSlider(
        value=query_at, min=0, max=64, description="query at", style=style, **figures.LET_GO
    )
    key = ipywidgets.IntSlider(
        value=key_at, min=0, max=64, description="key at", style=style, **figures.LET_GO
    )
    return figures.with_controls(
        [query, key], lambda: figures.rope_wheels(query.value, key.value, speeds)
    )


def attention_heads(maps: dict, layer: int = 0, head: int = 0) -> ipywidgets.VBox:
    """Choose a sentence, a layer and a head, and see where its tokens look.

    Args: maps: sentence -> (its tokens, the attention weights of each layer, (1, H, T, T)); `layer`, `head`: the first view.
    """
    layers = next(iter(maps.values()))[1]
    sentence = ipywidgets.Dropdown(
        options=list(maps), description="sentence", layout={"width": "95%"}
    )
    which_layer = ipywidgets.IntSlider(
        value=layer, min=0, max=len(layers) - 1, description="layer", **figures.LET_GO
    )
    which_head = ipywidgets.IntSlider(
        value=head, min=0, max=layers[0].shape[1] - 1, description="head", **figures.LET_GO
    )

    def draw():
        tokens, weights = maps[sentence.value]
        title = f"Layer {which_layer.value}, head {which_head.value}"
        return figures.attention_map(weights[which_layer.value][0, which_head.value], tokens, title)

    return figures.with_controls([sentence, which_layer, which_head], draw)

"""Weights in 8 bits and fewer, to be read from top to bottom.

Each way below divides numbers by the largest absolute value among them, the absmax. It stores the
nearest of a few fixed levels between -1 and 1. To compute, it multiplies the level by the absmax.
The ways differ in the levels, and in how many numbers share an absmax: a row, or a block of 64.

A weight has the shape (out, in), an input (T, in). Nothing here is needed to use bitsandbytes.
Sources: Dettmers et al. 2022, arXiv:2208.07339 (LLM.int8()), and 2023, arXiv:2305.14314 §3 (nf4,
double quantization); where they are silent, bitsandbytes' `functional.py` and `backends/default`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

HEAD = "lm_head"  # bitsandbytes leaves the last layer in 16 bits


def quantize_int8(rows: Tensor, num_bits: int = 8) -> tuple[Tensor, Tensor]:
    """Levels from -127 to 127, int8, and the absmax of each row, float32: (..., n), (...).

    Args: num_bits: fewer make a coarser ruler, from -7 to 7 with 4, from -1 to 1 with 2.
    Raises: ValueError for other bits than 2 to 8, and for numbers that are not finite.
    """
    absmax = _absmax(rows)
    scale = _largest(num_bits) / absmax.clamp(min=1e-38)
    return torch.round(rows * scale[..., None]).to(torch.int8), absmax


def dequantize_int8(levels: Tensor, absmax: Tensor, num_bits: int = 8) -> Tensor:
    """The numbers that come back, float32, (..., n): a level times absmax / 127."""
    return levels.float() * (absmax / _largest(num_bits))[..., None]


def round_even(weight: Tensor, num_bits: int = 8, block: int | None = None) -> Tensor:
    """`weight` there and back, in its own type; an absmax for each row, or each `block` numbers."""
    rows = weight if block is None else _in_blocks(weight, block)
    back = dequantize_int8(*quantize_int8(rows, num_bits), num_bits)
    return back.flatten()[: weight.numel()].reshape(weight.shape).to(weight.dtype)


def llm_int8(x: Tensor, levels: Tensor, absmax: Tensor, threshold: float = 6.0) -> Tensor:
    """x W^T as LLM.int8() computes it: x is rounded to int8 too, but for its outliers.

    One large number stretches the ruler of its row until all others fall between two marks. So an
    input column with an |x| from `threshold` on is set apart, and multiplied unrounded. The paper
    keeps its weights in 16 bits too; bitsandbytes has only their int8 by then, as here.
    Args: x: (T, in); levels, absmax: W's, from `quantize_int8`.    Returns: (T, out).
    """
    is_large = x.abs() >= threshold  # (T, in)
    columns = is_large.any(0)  # (in,)
    small, x_absmax = quantize_int8(x.masked_fill(is_large, 0))
    small[:, columns] = 0
    y = small.double() @ levels.double().T  # (T, out); a GPU multiplies int8, and adds int32
    y = y * (x_absmax[:, None] / 127) * (absmax / 127)
    apart = dequantize_int8(levels[:, columns], absmax)  # (out, number of outlier columns)
    return (y + x[:, columns].double() @ apart.double().T).to(x.dtype)


def nf4_levels() -> Tensor:
    """The 16 levels of nf4, float32: quantiles of a normal distribution, the largest scaled to 1.

    Seven below 0 and eight above, each side at equal steps of probability. The first step is not
    at probability 1, which no number has: it is the mean of 29/30 and 31/32, half a part of 15 and
    of 16 from there.
    """
    outermost = (29 / 30 + 31 / 32) / 2
    above = torch.special.ndtri(torch.linspace(outermost, 0.5, 9)[:-1].double())
    below = -torch.special.ndtri(torch.linspace(outermost, 0.5, 8)[:-1].double())
    levels = torch.cat((below, torch.zeros(1), above)).sort().values
    return (levels / levels.max()).float()


def dynamic_levels() -> Tensor:
    """256 levels, float32, dense near 0, in which bitsandbytes stores absmax values.

    They are 0, 1, and ± 2^k fractions from 0.1 to 1 of 10^(k - 6), for k = 0 … 6.
    """
    levels = [torch.tensor([0.0, 1.0])]
    for k in range(7):
        edges = torch.linspace(0.1, 1, 2**k + 1)
        fractions = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (k - 6)
        levels += [fractions, -fractions]
    return torch.cat(levels).sort().values


def quantize_blocks(weight: Tensor, levels: Tensor, block: int = 64) -> tuple[Tensor, Tensor]:
    """The index of each number's nearest level, uint8, and each block's absmax, float32.

    Args: weight: n numbers in any shape; levels: sorted.    Returns: (n,) and (⌈n / block⌉,).
    Raises: ValueError for a block below 1, and for numbers that are not finite.
    """
    blocks, levels = _in_blocks(weight.float(), block), levels.to(weight.device)
    absmax = _absmax(blocks)
    scaled = blocks * (1 / absmax.clamp(min=1e-38))[:, None]
    index = torch.zeros_like(scaled, dtype=torch.uint8)
    for middle in (levels[:-1] + levels[1:]) / 2:  # the nearest level changes there
        index += scaled > middle
    return index.flatten()[: weight.numel()], absmax


def dequantize_blocks(index: Tensor, absmax: Tensor, levels: Tensor, block: int = 64) -> Tensor:
    """The n numbers that come back, float32: a level times its block's absmax."""
    found = _in_blocks(levels.to(index.device).index_select(0, index.int()), block)
    return (found * absmax[:, None]).flatten()[: index.numel()]


def round_blocks(weight: Tensor, levels: Tensor, block: int = 64) -> Tensor:
    """`weight` there and back, in its own shape and type."""
    back = dequantize_blocks(*quantize_blocks(weight, levels, block), levels, block)
    return back.reshape(weight.shape).to(weight.dtype)


def double_quantize(absmax: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Absmax values in 8 bits: index, the absmax of each 256 of them, and their mean.

    The mean is taken off first. `dequantize_blocks(index, second, dynamic_levels(), 256) + mean`
    brings them back.
    """
    return *quantize_blocks(absmax - absmax.mean(), dynamic_levels(), 256), absmax.mean()


def bits_per_weight(num_bits: int, block: int, is_double: bool = False) -> float:
    """Bits of a weight with its share of an absmax: a float32, or 8 bits and a part of a second.

    Args: block: how many weights share the absmax: 64, or for int8 a row's length.
    """
    return num_bits + (8 + 32 / 256 if is_double else 32) / block


@contextmanager
def round_weights(model: nn.Module, there_and_back: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within `with`, each linear layer but the head computes with `there_and_back(its weight)`.

    That is weight-only: inputs are not rounded. A layer is rounded when its turn comes and gets
    its own weight back after it, so no second model is held.
    Raises: ValueError for a model without such a layer.
    """
    own, hooks = {}, []

    def before(layer: nn.Linear, _) -> None:
        own[layer] = layer.weight.data
        layer.weight.data = there_and_back(layer.weight.data)

    def after(layer: nn.Linear, *_) -> None:
        layer.weight.data = own.pop(layer)

    for name, layer in model.named_modules():
        if type(layer) is nn.Linear and name.rsplit(".", 1)[-1] != HEAD:
            hooks += [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
    if not hooks:
        raise ValueError("No linear layer holds 16 or 32 bits: load the model unquantized.")
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in list(own):  # where a forward broke off
            after(layer)


def _in_blocks(numbers: Tensor, block: int) -> Tensor:
    """n numbers in any shape -> (⌈n / block⌉, block), filled up with zeros."""
    if block < 1:
        raise ValueError(f"block must be a whole number from 1 up, not {block!r}.")
    flat = numbers.flatten()
    return nn.functional.pad(flat, (0, -len(flat) % block)).view(-1, block)


def _largest(num_bits: int) -> int:
    if num_bits not in range(2, 9):
        raise ValueError(f"num_bits must be a whole number from 2 to 8, not {num_bits!r}.")
    return 2 ** (num_bits - 1) - 1


def _absmax(rows: Tensor) -> Tensor:
    absmax = rows.abs().amax(-1).float()
    if not absmax.isfinite().all():
        raise ValueError("An infinity or a NaN is among the numbers: take the layer's own weights.")
    return absmax

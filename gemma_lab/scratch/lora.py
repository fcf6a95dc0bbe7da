"""LoRA from scratch, to be read from top to bottom.

A linear layer maps x to x W^T, with W of shape (out, in). LoRA freezes W and learns a change of it,
the product of two thin matrices:

    W + ΔW,    ΔW = (α / r) B A,    A of shape (r, in), B of shape (out, r)

A starts at random and B at zero, so ΔW starts at zero and the model starts unchanged. Beside the
out · in frozen numbers of a layer, r · (in + out) are trained.
Nothing here is needed to use LoRA. Sources: Hu et al. 2021, arXiv:2106.09685 §4.1; for √r,
Kalajdzievski 2023, arXiv:2312.03732; where they are silent, peft's `tuners/lora/layer.py`. Its
names are kept: an adapter file of peft loads when the prefix "base_model.model." is taken off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class LoRALinear(nn.Module):
    """A frozen linear layer with A and B beside it.

    A and B are float32 also beside a layer in bfloat16 or 4 bits, and float64 beside float64: an
    update is often smaller than the steps between two bfloat16 numbers, and would be rounded away.
    Args: r: the rank; alpha: ΔW is alpha / r times B A, or with `use_rslora` alpha / √r times.
    Raises: ValueError for a rank below 1, with the rank received.
    """

    def __init__(self, base_layer: nn.Linear, r: int, alpha: float, use_rslora: bool = False):
        super().__init__()
        if r < 1:
            raise ValueError(f"A rank is a whole number from 1 up, not {r!r}.")
        self.base_layer = base_layer.requires_grad_(False)
        self.scaling = alpha / (math.sqrt(r) if use_rslora else r)
        dtype = torch.promote_types(base_layer.weight.dtype, torch.float32)
        kind = {"bias": False, "dtype": dtype, "device": base_layer.weight.device}
        self.lora_A = nn.Linear(base_layer.in_features, r, **kind)
        self.lora_B = nn.Linear(r, base_layer.out_features, **kind)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))  # ± 1 / √in
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x W^T + (α / r) x A^T B^T: (..., in) -> (..., out), in the type of the frozen layer.

        ΔW itself is never built: x passes through r numbers, which is far less work.
        """
        y = self.base_layer(x)  # (..., out)
        narrow = self.lora_A(x.to(self.lora_A.weight.dtype))  # (..., r)
        return (y + self.lora_B(narrow) * self.scaling).to(y.dtype)

    def delta_weight(self) -> Tensor:
        """ΔW = (α / r) B A, of shape (out, in), in the type of A and B."""
        return self.lora_B.weight @ self.lora_A.weight * self.scaling


def add_lora(
    model: nn.Module, names: str | Iterable[str], r: int, alpha: float, use_rslora: bool = False
) -> nn.Module:
    """`model`, with everything frozen but new A and B beside its linear layers called `names`.

    Args: names: the last part of a layer's name counts, such as "q_proj".
    Raises: ValueError for a name that no linear layer has, and for a model with LoRA layers.
    """
    if any(isinstance(module, LoRALinear) for module in model.modules()):
        raise ValueError("This model has LoRA layers already: merge them, or load it again.")
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    wanted, known = {names} if isinstance(names, str) else set(names), {_last(p) for p in linear}
    if not wanted or wanted - known:
        odd, there = sorted(wanted - known), ", ".join(sorted(known))
        raise ValueError(f"No linear layer is called {odd}: choose from {there}.")
    model.requires_grad_(False)
    for path in linear:
        if _last(path) in wanted:
            _replace(model, path, LoRALinear(model.get_submodule(path), r, alpha, use_rslora))
    return model


def trainable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that an optimizer may change: after `add_lora`, all A and B, and no others."""
    return [weight for weight in model.parameters() if weight.requires_grad]


@torch.no_grad()
def merge(model: nn.Module) -> nn.Module:
    """`model` with an ordinary layer of weight W + ΔW in place of each LoRA layer; all is frozen.

    A LoRA layer alone gives the ordinary layer, and keeps its own W. The sum is taken in float32
    and rounded once, to the type of W: in bfloat16 a small ΔW can vanish there.
    Raises: ValueError without a LoRA layer, and for a W in 8 or 4 bits, which cannot be added to.
    """
    if isinstance(model, LoRALinear):
        return _merged(model)
    paths = [path for path, module in model.named_modules() if isinstance(module, LoRALinear)]
    if not paths:
        raise ValueError("This model has no LoRA layer, so there is nothing to merge.")
    for path in paths:
        _replace(model, path, _merged(model.get_submodule(path)))
    return model


def _merged(layer: LoRALinear) -> nn.Linear:
    base, delta = layer.base_layer, layer.delta_weight()
    if not base.weight.is_floating_point():
        raise ValueError("Load the model in 16 bits and merge there: this W is quantized.")
    ordinary = nn.Linear(base.in_features, base.out_features, bias=False, device="meta")
    weight = (base.weight.to(delta.dtype) + delta).to(base.weight.dtype)
    ordinary.weight = nn.Parameter(weight, requires_grad=False)
    ordinary.bias = base.bias
    return ordinary


def _last(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def _replace(model: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)

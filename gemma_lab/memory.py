"""The byte arithmetic: weights, KV cache, and whether they fit; and what a loaded model holds."""

from __future__ import annotations

import gc
from dataclasses import dataclass

from gemma_lab.catalog import ModelInfo

GIB = 2**30
BITS = {"fp32": 32, "bf16": 16, "fp16": 16, "int8": 8, "nf4": 4, "fp4": 4}
WORKING_GIB = 1  # what torch and its libraries need beside a model, on a card or in RAM


@dataclass(frozen=True)
class Fit:
    """Whether a model in one precision fits what is free; `needed_gib` says what counts."""

    needed_gib: float
    fits: bool
    sentence: str


def weight_bytes(info: ModelInfo, precision: str) -> int:
    """Bytes of the weights as bitsandbytes stores them: only the linear layers are quantized.

    int8 adds one float32 scale for each output row; nf4 and fp4, doubly quantized, add a byte for
    each block of 64 weights and a float32 for each 256 of those. Embedding and norms keep
    16 bits. Source: Dettmers et al. 2022 and 2023, arXiv:2208.07339 and arXiv:2305.14314.
    Raises: ValueError, with the precision received.
    """
    if precision not in BITS:
        raise ValueError(f"precision must be one of {', '.join(BITS)}, not {precision!r}")
    if BITS[precision] >= 16:
        return info.num_parameters * BITS[precision] // 8
    linear = info.num_linear_parameters
    if precision == "int8":
        quantized = linear + 4 * info.num_linear_rows
    else:
        quantized = linear // 2 + linear // 64 + 4 * linear // (64 * 256)
    return quantized + 2 * (info.num_parameters - linear)


def kv_cache_bytes(
    info: ModelInfo, num_tokens: int, batch_size: int = 1, bytes_per_number: int = 2
) -> int:
    """Bytes of the cached keys and values, layer by layer.

    A layer keeps 2 x KV heads x head_dim numbers for each token. One that slides keeps its window
    less the token that is being computed. Source: transformers' `DynamicCache`.
    """
    numbers = 0
    for layer in info.layers:
        kept = num_tokens if layer.window is None else min(num_tokens, layer.window - 1)
        numbers += 2 * layer.num_key_value_heads * layer.head_dim * kept
    return numbers * batch_size * bytes_per_number


def needed_gib(info: ModelInfo, precision: str, num_tokens: int = 1024) -> float:
    """GiB for inference of one sequence of `num_tokens`.

    Beside the weights: the KV cache, the float32 logits of the prompt, and 1 GiB to work in.
    """
    logits = 4 * info.vocab_size * num_tokens
    held = weight_bytes(info, precision) + kv_cache_bytes(info, num_tokens) + logits
    return held / GIB + WORKING_GIB


def fit(info: ModelInfo, precision: str, machine, num_tokens: int = 1024) -> Fit:
    """Whether `needed_gib` fits what is free: on the card or, without an NVIDIA card, in RAM."""
    needed, free = needed_gib(info, precision, num_tokens), machine.free_gib
    verdict = "fits" if needed <= free else "does not fit"
    what = f"The {info.part} part of {info.hub_id}" if info.part else info.hub_id
    has = f"{machine.gpu_name or 'this machine'} has {free:.1f} free."
    sentence = f"{what} in {precision} needs {needed:.1f} GiB and {verdict}: {has}"
    return Fit(needed, needed <= free, sentence)


def weight_mb(model) -> float:
    """Megabytes (10^6 bytes) of weights and their scales, which `get_memory_footprint()` omits."""
    import torch

    tensors = [*model.parameters(), *model.buffers()]
    for module in model.modules():
        weight, state = getattr(module, "weight", None), getattr(module, "state", None)
        for holder in (weight, state):  # int8's scales move to the state in the first forward
            tensors += [getattr(holder, name, None) for name in ("CB", "SCB")]
        tensors += _quant_state_tensors(getattr(weight, "quant_state", None))
    held = [t for t in tensors if isinstance(t, torch.Tensor) and t.numel()]
    unique = {t.data_ptr(): t.numel() * t.element_size() for t in held}
    return sum(unique.values()) / 1e6


def _quant_state_tensors(state) -> list:
    if state is None:
        return []
    return [state.absmax, state.code, state.offset, *_quant_state_tensors(state.state2)]


def free_memory() -> None:
    """Give back what deleted models held, on the card too."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

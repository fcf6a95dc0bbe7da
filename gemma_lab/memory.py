"""The byte arithmetic: weights, KV cache, what inference needs; and what a loaded model holds."""

from __future__ import annotations

import gc

from gemma_lab.catalog import ModelInfo
from gemma_lab.hardware import GIB

BITS = {"fp32": 32, "bf16": 16, "fp16": 16, "int8": 8, "nf4": 4, "fp4": 4}
PRECISIONS = ("fp32", "bf16", "int8", "nf4")  # those that the course compares
WORKING_GIB = 1  # what torch and its libraries need beside a model, on a card or in RAM


def weight_bytes(info: ModelInfo, precision: str, rest: int = 2) -> int:
    """Bytes of the weights as bitsandbytes stores them: only the linear layers are quantized.

    int8 adds one float32 scale for each output row; nf4 and fp4, doubly quantized, add one byte for
    each block of 64 weights and a float32 for each 256 of those. Embedding and norms take `rest`
    bytes: 2, or 4 where neither 16-bit type is safe; bf16 and fp16 then take 4 as well.
    Source: Dettmers et al. 2022 and 2023, arXiv:2208.07339 and arXiv:2305.14314.
    Raises: ValueError, with the precision received.
    """
    if precision not in BITS:
        raise ValueError(f"precision must be one of {', '.join(BITS)}, not {precision!r}")
    if BITS[precision] >= 16:
        return info.num_parameters * (4 if precision == "fp32" else rest)
    linear = info.num_linear_parameters
    if precision == "int8":
        quantized = linear + 4 * info.num_linear_rows
    else:
        quantized = linear // 2 + linear // 64 + 4 * linear // (64 * 256)
    return quantized + rest * (info.num_parameters - linear)


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


def needed_gib(info: ModelInfo, precision: str, num_tokens: int = 1024, rest: int = 2) -> float:
    """GiB for inference of one sequence of `num_tokens`; `rest` as in `weight_bytes`.

    Beside the weights: the KV cache, the float32 logits of the prompt, and 1 GiB to work in.
    """
    cache = kv_cache_bytes(info, num_tokens, bytes_per_number=4 if precision == "fp32" else rest)
    logits = 4 * info.vocab_size * num_tokens
    return (weight_bytes(info, precision, rest) + cache + logits) / GIB + WORKING_GIB


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

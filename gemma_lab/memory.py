"""The byte arithmetic: weights, KV cache, and whether they fit a machine; and what a loaded model really holds."""

from __future__ import annotations

import gc
from dataclasses import dataclass

from gemma_lab.catalog import ModelInfo

GIB = 2**30


BITS = {"fp32": 32, "bf16": 16, "fp16": 16, "int8": 8, "nf4": 4, "fp4": 4}


@dataclass(frozen=True)
class Fit:
    """Does a model in one precision fit a machine? GiB for weights, a 1024-token cache and the working space."""

    needed_gib: float
    available_gib: float
    fits: bool
    sentence: str


def weight_bytes(info: ModelInfo, precision: str) -> int:
    """Bytes of the weights as bitsandbytes stores them: only the linear layers of the blocks are quantized.

    int8 adds one float32 scale for each output row; nf4 and fp4, doubly quantized, add one byte for each block of 64
    weights and a float32 for each 256 of those. Embedding and norms stay in 16 bits.
    Source: Dettmers et al. 2022 and 2023, arXiv:2208.07339 and arXiv:2305.14314.
    Raises: ValueError, with the precision received.
    """
    if precision not in BITS:
        raise ValueError(f"precision must be one of {', '.join(BITS)}, not {precision!r}")
    if precision in ("fp32", "bf16", "fp16"):
        return info.num_parameters * BITS[precision] // 8
    linear = info.num_linear_parameters
    if precision == "int8":
        rows = info.num_hidden_layers * sum(out for out, _ in info.linear_shapes.values())
        quantized = linear + 4 * rows
    else:
        quantized = linear // 2 + linear // 64 + 4 * linear // (64 * 256)
    return quantized + 2 * (info.num_parameters - linear)


def kv_cache_bytes(info: ModelInfo, num_tokens: int, batch_size: int = 1, bytes_per_number: int = 2) -> int:
    """Bytes of the cached keys and values: 2 x layers x KV heads x head_dim x tokens x batch. No sliding window."""
    numbers = 2 * info.num_hidden_layers * info.num_key_value_heads * info.head_dim
    return numbers * num_tokens * batch_size * bytes_per_number


def needed_gib(info: ModelInfo, precision: str, on_card: bool = True, num_tokens: int = 1024) -> float:
    """GiB for inference of one sequence of `num_tokens`.

    Beside the weights: the KV cache, the float32 logits of the prompt, and the working space of a card's libraries
    (1 GiB) or of the operating system (2 GiB).
    """
    logits = 4 * info.vocab_size * num_tokens
    bytes_ = weight_bytes(info, precision) + kv_cache_bytes(info, num_tokens) + logits
    return bytes_ / GIB + (1 if on_card else 2)


def fit(info: ModelInfo, precision: str, machine, num_tokens: int = 1024) -> Fit:
    """Whether `needed_gib` fits the memory of `machine`. Without an NVIDIA card the weights are held in RAM."""
    needed = needed_gib(info, precision, machine.device == "cuda", num_tokens)
    available = machine.memory_gib
    verdict = "fits" if needed <= available else "does not fit"
    holder = machine.gpu_name or "this machine"
    sentence = f"{info.hub_id} in {precision} needs {needed:.1f} GiB and {verdict} the {available:.1f} GiB of {holder}."
    return Fit(needed, available, needed <= available, sentence)


def weight_mb(model) -> float:
    """Megabytes (10^6 bytes) of all weights, with bitsandbytes' scales, which `get_memory_footprint()` leaves out."""
    import torch

    tensors = [*model.parameters(), *model.buffers()]
    for module in model.modules():
        weight, state = getattr(module, "weight", None), getattr(module, "state", None)
        for holder in (weight, state):  # int8: the row scales move from the weight to the state in the first forward
            tensors += [getattr(holder, name, None) for name in ("CB", "SCB")]
        tensors += _quant_state_tensors(getattr(weight, "quant_state", None))
    unique = {t.data_ptr(): t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor) and t.numel()}
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

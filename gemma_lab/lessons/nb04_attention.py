"""Notebook 04: which attention ran, which is to be expected on a card, and how near they must be.

Source: PyTorch 2.13, `sdp_utils.cpp` for CUDA and `sdp_utils_cpp.cpp` for the CPU, whose rules
`expected_backend` repeats; transformers 5.17, `sdpa_attention.py` and `masking_utils.py`.
"""

from __future__ import annotations

import os

import torch

from gemma_lab.hardware import Machine

BACKENDS = {  # an operator of PyTorch -> the name that the notebook gives it
    "aten::_scaled_dot_product_flash_attention": "flash",
    "aten::_scaled_dot_product_flash_attention_for_cpu": "flash, for CPUs",
    "aten::_scaled_dot_product_efficient_attention": "memory-efficient",
    "aten::_scaled_dot_product_cudnn_attention": "cuDNN",
    "aten::_scaled_dot_product_attention_math": "math",
    "aten::_scaled_dot_product_attention_math_for_mps": "math, for Apple GPUs",
    "flash_attn::_flash_attn_forward": "flash_attn",
    "flash_attn::_flash_attn_varlen_forward": "flash_attn",
}
TOLERANCE = {torch.float32: 1e-6, torch.float16: 5e-4, torch.bfloat16: 6e-3}


@torch.no_grad()
def which_ran(model, ids: torch.Tensor) -> dict[str, int]:
    """Backend -> how many layers it computed in one forward; {} where it is plain products.

    Args: ids: (1, T) token ids.    Source: the operators' names, as PyTorch's profiler saw them.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else its library prints when it starts
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        model(input_ids=ids.to(model.device), logits_to_keep=1)
    counts = {event.key: event.count for event in profiler.key_averages()}
    found = {}
    for operator, name in BACKENDS.items():
        if operator in counts:
            found[name] = found.get(name, 0) + counts[operator]
    return found


def expected_backend(
    machine: Machine, dtype: str, is_grouped: bool, has_mask: bool, head_dim: int = 256
) -> str:
    """The backend of `sdpa` that PyTorch's rules choose on a described machine, for inference.

    cuDNN, which an H100 asks first, took heads of at most 128 when this was read; Gemma's have 256.

    Args:
        dtype: "float32", "float16" or "bfloat16".
        is_grouped: several heads share a KV head, as in every Gemma but the first 7B.
        has_mask: a mask is given. transformers gives none for one whole prompt, but for padding,
            and in a layer that slides once its window is full.
    """
    # Without a mask transformers hands over the shared heads as they are, else it repeats them.
    shares_heads = is_grouped and not has_mask and head_dim <= 256
    if machine.device == "mps":
        return "math, for Apple GPUs"
    if machine.device == "cpu":
        return "flash, for CPUs"
    is_new = machine.compute_capability >= (8, 0)
    if is_new and dtype != "float32" and not has_mask and head_dim <= 256:
        return "flash"
    return "math" if shares_heads else "memory-efficient"


def tolerance(dtype: torch.dtype) -> float:
    """The largest KL, in nats a token, by which two implementations of one formula may differ.

    Measured, eager against sdpa, on ordinary paragraphs: up to 2e-11 in float32, 4e-5 in float16,
    3e-3 in bfloat16, on pocket-small-it, pocket-large-it and Gemma 3 270M. Gemma 2 without its
    cap, another formula, is at 0.3 in each.
    Raises: ValueError, with the dtype received.
    """
    if dtype not in TOLERANCE:
        names = ", ".join(str(known).removeprefix("torch.") for known in TOLERANCE)
        raise ValueError(f"Attention computes in {names}, not in {dtype}: give model.dtype.")
    return TOLERANCE[dtype]

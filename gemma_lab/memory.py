"""The byte arithmetic: what weights, the KV cache, inference and training need; and its measure."""

from __future__ import annotations

import contextlib
import gc
import re
from pathlib import Path

from gemma_lab.catalog import ModelInfo
from gemma_lab.hardware import GIB

BITS = {"fp32": 32, "bf16": 16, "fp16": 16, "int8": 8, "nf4": 4, "fp4": 4}
PRECISIONS = ("fp32", "bf16", "int8", "nf4")  # those that the course compares
DOING = ("load", "generate", "score", "lora", "train")
CHUNK = 256  # tokens whose logits TRL's loss holds at once
# What autograd keeps of one layer for each token, in bytes, counted in transformers 5.17: times
# hidden_size, intermediate_size, width of queries and of keys, and heads x tokens where a cap on
# scores rules out fused attention. (with adapters, trained whole), in 16 bits and in float32.
KEPT = {
    "gemma": (((28, 10, 8, 4, 0), (20, 8, 4, 4, 0)), ((16, 16, 8, 8, 0), (24, 16, 8, 8, 0))),
    "gemma2": (((36, 10, 10, 0, 8), (36, 8, 8, 0, 8)), ((24, 16, 16, 0, 8), (40, 16, 16, 0, 8))),
    "gemma3_text": (
        ((36, 10, 12, 8, 0), (36, 8, 12, 12, 0)),
        ((24, 16, 12, 12, 0), (40, 16, 16, 16, 0)),
    ),
}
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
        raise ValueError(f"precision must be one of {', '.join(BITS)}, not {precision!r}.")
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


def state_bytes(info: ModelInfo, batch_size: int = 1, bytes_per_number: int = 2) -> int:
    """Bytes that RecurrentGemma's recurrent layers keep, however long the text; 0 for others.

    Each keeps lru_width numbers of state, in float32 always, and the last inputs of a convolution.
    Source: transformers' `RecurrentGemmaRecurrentBlock`; De et al. 2024, arXiv:2402.19427.
    """
    if info.family != "recurrent_gemma":
        return 0
    num_recurrent = info.num_hidden_layers - len(info.layers)
    of_channel = 4 + (info.conv1d_width - 1) * bytes_per_number
    return num_recurrent * batch_size * info.lru_width * of_channel


def num_adapter_parameters(info: ModelInfo, rank: int, modules=None) -> int:
    """Parameters of LoRA's two matrices on `modules`, by default all seven: rank x (in + out)."""
    shapes = [info.linear_shapes[name] for name in set(modules or info.linear_shapes)]
    return info.num_hidden_layers * sum(rank * (out + into) for out, into in shapes)


def layer_bytes(
    info: ModelInfo, rank: int, num_tokens: int, batch_size: int = 1, number: int = 2
) -> int:
    """Bytes that autograd keeps of one layer with adapters of `rank`; 0: the layer is trained.

    Args: number: bytes that it computes in, 2 or 4.
    Raises: ValueError for another family than Gemma's first three.
    """
    if info.family not in KEPT:
        raise ValueError(f"Choose a Gemma 1, 2 or 3: no layer of {info.hub_id} was counted.")
    queries, keys = info.linear_shapes["q_proj"][0], info.linear_shapes["k_proj"][0]
    scores = info.num_attention_heads * num_tokens
    sizes = (info.hidden_size, info.intermediate_size, queries, keys, scores)
    times = KEPT[info.family][number // 2 - 1][rank == 0]
    each = sum(time * size for time, size in zip(times, sizes, strict=True))
    return batch_size * num_tokens * (each + 4 * rank * len(info.linear_shapes))  # A's outputs


def parts(
    info: ModelInfo,
    precision: str,
    num_tokens: int = 1024,
    batch_size: int = 1,
    doing: str = "generate",
    *,
    rest: int = 2,
    device: str = "cpu",
    rank: int = 16,
    is_checkpointed: bool = True,
) -> dict[str, int]:
    """Bytes at the peak of `doing`, by name, but for what the libraries take themselves.

    "load": bitsandbytes quantizes one matrix at a time, on a CPU by way of float32; there "file"
    are pages of the 16-bit file that were read and copied: the system takes them back when it must.
    "generate" keeps the last token's logits, "score" all; "cache" counts a recurrent state too.
    "lora" (`rank`, on seven layers, in float32) and "train" (all weights): AdamW, TRL's loss;
    checkpointed, a layer keeps its input.
    Args: num_tokens: of each of `batch_size` sequences; rest: as in `weight_bytes`.
    Raises: ValueError, with what was received.
    """
    if doing not in DOING or min(num_tokens, batch_size) < 1:
        raise ValueError(
            f"doing must be one of {', '.join(DOING)}, with 1 token and row or more, not "
            f"{doing!r} with {num_tokens} and {batch_size}."
        )
    weights, tokens = weight_bytes(info, precision, rest), num_tokens * batch_size
    is_quantized, number = BITS[precision] < 16, 4 if precision == "fp32" else rest
    width = getattr(info, "intermediate_size", None) or 4 * info.hidden_size
    width = max(width) if isinstance(width, list) else width  # of each layer, in some families
    width //= 1 + (info.family == "recurrent_gemma")  # it counts gate and up together
    if doing == "load":
        through = 2 if device != "cpu" else 9 if precision == "int8" else 13
        copied = info.num_linear_parameters if is_quantized else info.num_parameters
        return {
            "weights": weights,
            "one matrix": is_quantized * through * width * info.hidden_size,
            "file": 2 * copied * (device == "cpu" and (is_quantized or number == 4)),
        }
    if doing in ("generate", "score"):
        of_row = 4 + number if doing == "generate" else 8 + number % 4  # float32 copies beside them
        logits = of_row * info.vocab_size * (batch_size if doing == "generate" else tokens)
        passing = number * tokens * (3 * width + 4 * info.hidden_size)  # through one layer
        if any(layer.window for layer in info.layers):  # a mask, which sdpa copies as numbers
            passing += 10 * tokens * num_tokens
        if info.config.get("attn_logit_softcapping"):  # all scores at once
            passing += (6 + number) * tokens * num_tokens * info.num_attention_heads
        cache = kv_cache_bytes(info, num_tokens, batch_size, number)
        cache += state_bytes(info, batch_size, number)
        return {"weights": weights, "cache": cache, "activations": passing, "logits": logits}
    if doing == "train" and is_quantized:
        raise ValueError(f"Weights in {precision} are not trained: choose bf16, or lora on top.")
    layer = layer_bytes(info, rank * (doing == "lora"), num_tokens, batch_size, number)
    logits = (18 if number == 2 else 16) * min(CHUNK, tokens) * info.vocab_size  # 4 in float32
    kept = info.num_hidden_layers * layer
    if is_checkpointed:  # one layer is computed again, but after the loss: never both
        kept = number * tokens * info.hidden_size * info.num_hidden_layers
        kept, logits = (kept, logits) if logits > layer else (kept + layer, 0)
    adapters = 4 * num_adapter_parameters(info, rank) * (doing == "lora")
    states = {"adapters": adapters, "gradients": adapters or weights}
    states["AdamW"] = 2 * states["gradients"]
    return {"weights": weights, **states, "activations": kept, "logits": logits}


def needed_gib(
    info: ModelInfo, precision: str, num_tokens: int = 1024, rest: int = 2, device: str = "cpu"
) -> float:
    """GiB to load a model and to write up to `num_tokens`, the prompt's included.

    The larger peak of the two, without mapped pages, and 1 GiB to work in; `rest` as in `parts`.
    """
    load = parts(info, precision, doing="load", rest=rest, device=device) | {"file": 0}
    generate = parts(info, precision, num_tokens, rest=rest)
    return max(sum(load.values()), sum(generate.values())) / GIB + WORKING_GIB


@contextlib.contextmanager
def measured_peak(device: str):
    """A dict of bytes: held "before" a block, at its "peak" and, on a card, "reserved" by torch.

    Elsewhere it is what is resident, with mapped pages once they are read; None but on Linux.
    """
    import torch

    on_card = device == "cuda"
    if on_card:
        torch.cuda.reset_peak_memory_stats()
    found = {"before": torch.cuda.memory_allocated() if on_card else _most_resident(reset=True)}
    try:
        yield found
    finally:
        found["peak"] = torch.cuda.max_memory_allocated() if on_card else _most_resident()
        found["reserved"] = torch.cuda.max_memory_reserved() if on_card else None


def _most_resident(reset: bool = False) -> int | None:
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


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

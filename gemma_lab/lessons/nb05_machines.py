"""Notebook 05's many GPUs, on paper: what LoRA in bfloat16 takes on each, and what travels.

Two ways to share the work. Plain data parallel: each GPU has the whole model, and gradients are
averaged. FSDP: frozen weights, adapters and their optimizer are spread over all GPUs; a layer's
weights are gathered for its forward pass, let go, and gathered again for its backward pass.
Sources: ZeRO, arXiv:1910.02054, sections 5 and 7; FSDP, arXiv:2304.11277. Layers that keep their
input alone: Korthikanti et al., arXiv:2205.05198, section 5. Versions: accelerate 1.15, TRL 1.14.
"""

from __future__ import annotations

from gemma_lab import memory
from gemma_lab.catalog import ModelInfo
from gemma_lab.hardware import GIB

CARDS_GIB = (16, 24, 40, 80)
# What autograd keeps of one layer for each token, in bytes, with float32 adapters on all seven
# linear layers: times hidden_size, intermediate_size, width of queries, width of keys, and heads x
# tokens (scores, where a cap on them rules out fused attention). Counted in transformers 5.17.
KEPT = {"gemma": (28, 10, 8, 4, 0), "gemma2": (36, 10, 10, 0, 8)}
CHUNK = 256  # tokens whose logits TRL's loss holds at once


def num_adapter_parameters(info: ModelInfo, rank: int) -> int:
    """Parameters of adapters on the seven linear layers: rank x (in + out) each."""
    shapes = info.linear_shapes.values()
    return info.num_hidden_layers * sum(rank * (out + into) for out, into in shapes)


def layer_bytes(info: ModelInfo, rank: int, num_tokens: int, batch_size: int = 1) -> int:
    """Bytes that autograd keeps of one layer for `batch_size` rows of `num_tokens`.

    Raises: ValueError for another family than Gemma's first two.
    """
    if info.family not in KEPT:
        raise ValueError(f"One layer was counted for {', '.join(KEPT)}, not for {info.family}.")
    queries, keys = info.linear_shapes["q_proj"][0], info.linear_shapes["k_proj"][0]
    scores = info.num_attention_heads * num_tokens
    sizes = (info.hidden_size, info.intermediate_size, queries, keys, scores)
    adapters = 4 * rank * len(info.linear_shapes)  # what A puts out
    each = sum(times * size for times, size in zip(KEPT[info.family], sizes)) + adapters
    return batch_size * num_tokens * each


def activation_bytes(info: ModelInfo, rank: int, num_tokens: int, batch_size: int) -> int:
    """Bytes of activations at their peak, where each layer keeps its input alone (bfloat16).

    On top of these inputs stands the larger of two moments: one layer computed again for its
    backward pass, or logits of a chunk in float32, their log-probabilities, and a gradient.
    """
    inputs = 2 * batch_size * num_tokens * info.hidden_size * info.num_hidden_layers
    logits = 3 * 4 * min(CHUNK, batch_size * num_tokens) * info.vocab_size
    return inputs + max(layer_bytes(info, rank, num_tokens, batch_size), logits)


def on_many_gpus(
    info: ModelInfo, num_gpus: int, rank: int = 16, num_tokens: int = 512, batch_size: int = 4
) -> dict:
    """What each GPU holds and receives, for `batch_size` rows of `num_tokens` on each.

    P frozen parameters take 2 bytes each. A adapter parameters take 16: weight, gradient and
    AdamW's two averages in float32. Data parallel (plain): 2 P + 16 A, and 4 A for the buckets that
    gradients travel in; an all-reduce passes 2 (N - 1) / N x 4 A bytes. FSDP (sharded):
    (2 P + 16 A) / N, the embedding table whole, and two layers, one in use and one on its way;
    (N - 1) / N x the layers twice, the embedding once, and the gradients once, all in 2 bytes.
    Working memory of 1 GiB is in both; AdamW in 8 bits would need less.
    Returns: "..._gib" a GPU; "..._gb_a_step", what it receives in one update without accumulation;
        "..._fits": the smallest card of 16, 24, 40 and 80 GiB that is large enough, "none" else.
    Raises: ValueError for less than one GPU.
    """
    if num_gpus < 1:
        raise ValueError(f"num_gpus must be 1 or more, not {num_gpus}.")
    frozen, adapters = memory.weight_bytes(info, "bf16"), num_adapter_parameters(info, rank)
    embedding = 2 * info.num_embedding_parameters
    layers, states = frozen - embedding + 2 * adapters, 16 * adapters
    others = (num_gpus - 1) / num_gpus
    rest = activation_bytes(info, rank, num_tokens, batch_size) + memory.WORKING_GIB * GIB
    gathered = (embedding + 2 * layers / info.num_hidden_layers) * (num_gpus > 1)
    plain = frozen + states + 4 * adapters * (num_gpus > 1) + rest
    sharded = (frozen + states) / num_gpus + gathered + rest
    return {
        "gpus": num_gpus,
        "plain_gib": plain / GIB,
        "plain_fits": smallest_card(plain / GIB),
        "plain_gb_a_step": 2 * others * 4 * adapters / 1e9,
        "sharded_gib": sharded / GIB,
        "sharded_fits": smallest_card(sharded / GIB),
        "sharded_gb_a_step": others * (2 * layers + embedding + 2 * adapters) / 1e9,
    }


def smallest_card(gib: float) -> str:
    """The smallest card with `gib` to spare, such as "24 GiB"; "none" where 80 are too few."""
    return next((f"{card} GiB" for card in CARDS_GIB if gib <= card), "none")

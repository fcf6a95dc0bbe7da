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


def activation_bytes(info: ModelInfo, rank: int, num_tokens: int, batch_size: int) -> int:
    """Bytes of activations at their peak, where each layer keeps its input alone (bfloat16).

    On top of these inputs stands the larger of two moments: one layer computed again for its
    backward pass, or logits of a chunk, with their log-probabilities and gradients in float32.
    """
    found = memory.parts(info, "bf16", num_tokens, batch_size, "lora", rank=rank)
    return found["activations"] + found["logits"]


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
    if not isinstance(num_gpus, int) or num_gpus < 1:
        raise ValueError(f"num_gpus must be a whole number from 1 on, not {num_gpus!r:.40}.")
    frozen, adapters = memory.weight_bytes(info, "bf16"), memory.num_adapter_parameters(info, rank)
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

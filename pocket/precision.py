"""What taking bits away costs: by our own rounding, and in the precisions of bitsandbytes."""

import copy
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from gemma_lab import hardware, loading, scores

BITS = (8, 6, 5, 4, 3, 2)


def rounded(model, bits: int):
    """A copy whose linear layers in the blocks went through `bits` bits.

    Each row is divided by its absmax and rounded.
    """
    found, top = copy.deepcopy(model), 2 ** (bits - 1) - 1
    for module in found.model.layers.modules():
        if isinstance(module, torch.nn.Linear):
            scale = module.weight.data.abs().amax(1, keepdim=True) / top
            module.weight.data = (module.weight.data / scale).round() * scale
    return found


def ladder(model, tokenizer, rows: list[dict]) -> dict[int, tuple[float, float]]:
    """For 32 bits and each step of BITS: KL to float32 in nats, and the share of right answers."""
    reference = scores.answer_log_probs(model, tokenizer, rows)
    found = {32: (0.0, scores.right_answers(reference))}
    for bits in BITS:
        given = scores.answer_log_probs(rounded(model, bits), tokenizer, rows)
        found[bits] = (scores.kl(reference, given), scores.right_answers(given))
    return found


def library_kl(folder: Path, tokenizer, rows: list[dict]) -> dict[str, float]:
    """KL to float32 in nats, with bitsandbytes' own precisions."""
    found, reference = {}, None
    for precision in ("fp32", "bf16", "int8", "nf4", "fp4"):
        plan = loading.plan_loading(str(folder), precision, hardware.describe_machine())
        model = loading.portable_4bit(
            AutoModelForCausalLM.from_pretrained(folder, **plan.kwargs()).eval()
        )
        given = scores.answer_log_probs(model, tokenizer, rows)
        if reference is None:
            reference = given
        else:
            found[precision] = scores.kl(reference, given)
    return found

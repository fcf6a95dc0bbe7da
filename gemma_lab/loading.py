"""From a model, a precision and a machine to the arguments of `from_pretrained`.

The decisions depend on a described `Machine` alone, and on the model's config: those for a T4 are
tested without one.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemma_lab import catalog, hardware, memory

# Families, by how their names begin, that overflow in float16. RecurrentGemma is none of them: its
# state stays in float32, and transformers' tests expect 2B to write the same with and without it.
OVERFLOWS = ("gemma3", "gemma4")


@dataclass(frozen=True)
class Plan:
    """How to load one model in one precision on one machine.

    `kwargs()` are for a model class's `from_pretrained`, `quantization` for `BitsAndBytesConfig`.
    """

    precision: str
    dtype: str
    attn_implementation: str
    quantization: dict | None
    device_map: dict
    needed_gib: float  # for one sequence of 1,024 tokens: `memory.needed_gib`
    fits: bool
    sentence: str

    def kwargs(self) -> dict:
        """The arguments as transformers takes them. Imports torch and transformers."""
        import torch
        from transformers import BitsAndBytesConfig

        arguments = {
            "dtype": getattr(torch, self.dtype),
            "attn_implementation": self.attn_implementation,
            "device_map": self.device_map,
        }
        if self.quantization:
            arguments["quantization_config"] = BitsAndBytesConfig(**self.quantization)
        return arguments


def choose_dtype(family: str, machine: hardware.Machine) -> str:
    """The 16-bit type of `family` on `machine`, or float32 where neither 16-bit type is safe."""
    if machine.has_bf16:
        return "bfloat16"
    return "float32" if family.startswith(OVERFLOWS) else "float16"


def choose_attention(config: dict) -> str:
    """sdpa, but eager where scores are capped, as in Gemma 2: sdpa silently drops the cap."""
    return "eager" if _caps_scores(config) else "sdpa"


def attention_implementations(model: str, machine: hardware.Machine) -> list[str]:
    """Those that are right for `model` on `machine`, the plainest first.

    Args: model: as in `plan_loading`, and so are the errors.
    """
    info = catalog.find(model)
    caps = _caps_scores(info.whole or info.config)
    plain = ["eager", "flex_attention" if caps else "sdpa"]
    return plain + ["flash_attention_2"] * machine.has_flash_attention


def _caps_scores(config: dict) -> bool:
    """Whether scores of attention are capped, in the model or in one of its parts."""
    parts = [value for value in config.values() if isinstance(value, dict)]
    return bool(config.get("attn_logit_softcapping")) or any(map(_caps_scores, parts))


def plan_loading(model: str, precision: str, machine: hardware.Machine) -> Plan:
    """How to load `model` in `precision`, and whether that fits what is free on `machine`.

    Args:
        model: a catalog id, a repository of your own, or a checkpoint's folder.
        precision: "fp32", "bf16" or "fp16"; "int8", "nf4" or "fp4" by bitsandbytes.
    Raises: ValueError for an unknown model or precision, naming what there is, and for a checkpoint
        that is stored in another precision already.
    """
    info = catalog.find(model)
    if info.stored_as not in ("", precision):
        raise ValueError(
            f"{info.hub_id} is quantized already ({info.stored_as}), which {precision} cannot "
            "undo: load it without a plan, or plan the model that it was made from."
        )
    is_quantized = precision in ("int8", "nf4", "fp4")  # bitsandbytes on an Apple GPU is untried
    device = {"cuda": 0, "mps": "cpu" if is_quantized else "mps", "cpu": "cpu"}[machine.device]
    half = "bfloat16" if device == "cpu" else choose_dtype(info.family, machine)
    if precision == "fp16" and not info.family.startswith(OVERFLOWS):
        half = "float16"
    emulates = device == "cpu" and not machine.cpu_has_bf16
    compute = "float32" if emulates else half
    dtype = "float32" if precision == "fp32" else half
    where = "cpu" if device == "cpu" else machine.device
    needed = memory.needed_gib(info, precision, rest=4 if dtype == "float32" else 2, device=where)
    fits = needed <= machine.free_gib
    quantization = None
    if precision == "int8" and not info.stored_as:
        quantization = {"load_in_8bit": True}
    elif precision in ("nf4", "fp4") and not info.stored_as:
        quantization = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": precision,
            "bnb_4bit_compute_dtype": compute,
            "bnb_4bit_use_double_quant": True,
        }
    what = f"The {info.part} part of {info.hub_id}" if info.part else info.hub_id
    verdict = "fits" if fits else "does not fit"
    where = machine.gpu_name if machine.device == "cuda" else "this machine"
    sentence = f"{what} in {precision} needs {needed:.1f} GiB and {verdict}: "
    sentence += f"{where} has {machine.free_gib:.1f} free."
    asked = {"fp32": "float32", "fp16": "float16"}.get(precision, "bfloat16")
    if dtype != asked:
        whys = ["this GPU is not used with bfloat16"] * (asked == "bfloat16")
        whys += [f"{info.family} overflows in float16"] * info.family.startswith(OVERFLOWS)
        sentence += f" It runs in {dtype}: {' and '.join(whys)}."
    if emulates and precision in ("nf4", "fp4"):
        sentence += " It multiplies in float32: this CPU only emulates bfloat16."
    attention = choose_attention(info.whole or info.config)
    return Plan(precision, dtype, attention, quantization, {"": device}, needed, fits, sentence)


def portable_4bit(model):
    """`model`, with bitsandbytes' AVX512 shortcut for 4-bit weights on CPUs switched off.

    The first evaluation on such a CPU repacks the weights in place; LoRA gradients after it are
    wrong, without a warning. Call it right after loading; elsewhere it changes nothing.
    Source: bitsandbytes 0.50, `Linear4bit.forward`.
    """
    import bitsandbytes

    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False
    return model

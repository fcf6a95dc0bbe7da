"""Notebook 07: its exercises with solutions, its models, and what they keep of a text."""

from __future__ import annotations

import json
import math
import statistics
import time

import torch
import torch.nn.functional as F
from transformers import DynamicCache

from gemma_lab import bench, catalog, coding, hardware, loading, profile
from gemma_lab.lessons.exercises import Verdict, compared, exercise, returned, right, wrong

LENGTHS = (128, 512, 2048, 8192)
STEPS = 8  # tokens that are read one by one


@exercise
def check_hole_prompt(function) -> Verdict:
    """A function of the text before and after a hole: the prompt that asks for what is in it."""
    before, after = "def add(a, b):\n    return ", "\n"
    got, wanted = returned(function, before, after), coding.hole_prompt(before, after)
    if got == wanted:
        again = "x = ", "\ny = x\n"
        if returned(function, *again) == coding.hole_prompt(*again):
            return right("The model goes on after <|fim_middle|>, so with what the hole lacks.")
        what = "It is right for one text and wrong for another."
        return wrong(what, hint="use the arguments, not fixed texts")
    if not isinstance(got, str):
        return wrong(f"A prompt is a text, not {type(got).__name__}.")
    prefix, suffix, middle, end = coding.HOLE_TOKENS
    missing = [token for token in (prefix, suffix, middle) if token not in got]
    if missing:
        return wrong(f"{missing[0]} is missing.", "The model knows the parts by these tokens.")
    if end in got:
        return wrong(f"{end} ends the file.", "The model writes it, after the hole's text.")
    if got.strip() == wanted.strip():
        return wrong("There are spaces or lines too many at an end.", "They would be code, too.")
    if before not in got:
        return wrong("The parts are missing.", "A text with {before} in it needs an f in front.")
    if not got.startswith(prefix):
        return wrong(f"The prompt does not begin with {prefix}.")
    if not got.startswith(prefix + before):
        return wrong(f"Something stands between {prefix} and its part.", "It would be code, too.")
    if not got.endswith(middle):
        return wrong(f"The prompt does not end with {middle}.", "There the model goes on.")
    if not got.startswith(prefix + before + suffix):
        return wrong(f"Something else stands before {suffix}.", "It would be code, too.")
    return wrong("Between the last two tokens must stand the text after the hole, nothing else.")


def my_hole_prompt(before, after):
    return f"<|fim_prefix|>{before}<|fim_suffix|>{after}<|fim_middle|>"


@exercise
def check_next_state(function) -> Verdict:
    """A function of the state, a gate and an input: the next state of the recurrence."""
    state = torch.tensor([0.0, 1.0, -2.0], dtype=torch.float64)
    a, x = torch.tensor(0.6, dtype=torch.float64), torch.full_like(state, 3.0)
    trials = (state, a, x), (state, a + 0.3, x), (state, 0.25 + state.abs() / 4, -x)
    got, is_right = compared(function, my_next_state, *trials)
    if is_right:
        return right(
            "The more is kept, the less comes in: with random inputs the state keeps its size."
        )
    if got.shape != state.shape:
        return wrong(f"{tuple(state.shape)} went in, {tuple(got.shape)} came out.")
    if got.allclose(0.6 * state + 3.0):
        return wrong(
            "The input comes in whole.", "With a = 0.99 the state would grow to 100 times it."
        )
    if got.allclose(0.6 * state + 0.4 * 3.0):
        why = "1 - a keeps the size of one number; sqrt(1 - a * a) that of random ones."
        return wrong("The input is scaled by 1 - a.", why)
    hint = "keep a times the state, and add sqrt(1 - a * a) times the input"
    return wrong(
        f"{state[1]:.0f} became {got[1]:.2f}, not {my_next_state(*trials[0])[1]:.2f}.", hint=hint
    )


def my_next_state(state, a, x):
    return a * state + (1 - a * a) ** 0.5 * x


SOLUTIONS = {"hole_prompt": my_hole_prompt, "next_state": my_next_state}


def choose(hub_id: str, *precisions: str) -> tuple[str, loading.Plan]:
    """What to load for `hub_id` here, and the plan of how: in the first precision that fits.

    Where none fits or access is refused, our small model, in fp32; a line says so.
    """
    machine = hardware.describe_machine()
    if profile.current_profile().name == "hub":
        plans = [loading.plan_loading(hub_id, precision, machine) for precision in precisions]
        fitting = [plan for plan in plans if plan.fits]
        try:
            if fitting:
                return profile.checkpoint(hub_id), fitting[0]
            print(plans[-1].sentence, "Our small model answers instead.", end=" ")
        except PermissionError as refused:  # each family has a licence of its own
            print(refused, "Until then our small model answers.", end=" ")
    folder = profile.checkpoint(hub_id, "pocket")
    return folder, loading.plan_loading(folder, "fp32", machine)


def half_rope(model):
    """A RecurrentGemma of transformers whose RoPE turns half of each head, as in its training.

    transformers 5.15, which Colab has, leaves `partial_rotary_factor` out and turns heads whole.
    """
    rope, dim = model.config.rope_parameters, model.config.head_dim
    dim = int(dim * rope["partial_rotary_factor"])
    turns = 1 / rope["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float) / dim)
    for module in model.modules():
        if hasattr(module, "rotary_emb"):
            module.rotary_emb.inv_freq = turns.to(module.rotary_emb.inv_freq.device)
    return model


def half_lives(ours, input_ids: torch.Tensor) -> list[float]:
    """After how many tokens half of an input is gone, for each channel of each recurrent layer.

    Args: ours: a `scratch.griffin.RecurrentGemma`; input_ids: (1, T), a text whose gates are taken
        in the mean: a = exp(-8 r softplus(Lambda)), and a^n = 1/2.
    """
    found = []

    def take(unit, given) -> None:
        blocks = given[0].unflatten(-1, unit.recurrent_gate_bias.shape)
        opened = torch.einsum("bthi,hij->bthj", blocks, unit.recurrent_gate_weight)
        r = torch.sigmoid(opened + unit.recurrent_gate_bias).flatten(2)
        found.append(math.log(2) / (8 * r * F.softplus(unit.recurrent_param)).mean((0, 1)))

    units = [module for module in ours.modules() if hasattr(module, "recurrent_param")]
    hooks = [unit.register_forward_pre_hook(take) for unit in units]
    try:
        with torch.no_grad():
            ours(input_ids)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(found).tolist()


def plain_texts() -> list[str]:
    """Forty new texts of the kinds that `pocket-small` and `pocket-recurrent` read."""
    return [row["text"] for row in catalog.json_lines("plain_texts.jsonl")]


def recorded() -> dict:
    """What `python -m gemma_lab.bench --record family` measured."""
    file = catalog.DATA / "recorded" / "family" / "cpu.json"
    return json.loads(file.read_text(encoding="utf-8"))


def kept_bytes(model, cache: DynamicCache) -> int:
    """Bytes of the keys and values in the cache, and of the states in RecurrentGemma's modules."""
    found = [
        tensor
        for layer in cache.layers
        if layer.is_initialized
        for tensor in (layer.keys, layer.values)
    ]
    names = "recurrent_states", "conv1d_state"
    found += [getattr(module, name, None) for module in model.modules() for name in names]
    return sum(tensor.nbytes for tensor in found if tensor is not None)


@torch.inference_mode()
def after_reading(model, tokenizer, num_tokens: int) -> dict:
    """What a model keeps of `num_tokens` tokens, and how long the last few took, one by one.

    Returns: tokens; bytes; ms, the median of the last 8 tokens.
    """
    ids, seconds = bench.prompt_ids(tokenizer, num_tokens).to(model.device), []
    cache = DynamicCache(config=model.config)
    asked = dict(past_key_values=cache, use_cache=True, logits_to_keep=1)
    model(ids[:, :-STEPS], **asked)
    for at in range(num_tokens - STEPS, num_tokens):
        began = time.perf_counter()
        model(ids[:, at : at + 1], **asked).logits.cpu()
        seconds.append(time.perf_counter() - began)
    ms = 1000 * statistics.median(seconds)
    return {"tokens": num_tokens, "bytes": kept_bytes(model, cache), "ms": ms}

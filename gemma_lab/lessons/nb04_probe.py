"""What notebook 04's record needs beside speed: models, peaks, where the time goes, llama.cpp."""

from __future__ import annotations

import ctypes
import json
import statistics
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from gemma_lab import bench, catalog, loading, memory, profile

SENTENCE = "Google I/O 2024 là một sự kiện công nghệ quy tụ những chuyên gia hàng"


def has_weights(model: str) -> bool:
    """Whether `model` is a folder with weights, not an id or a folder that holds a config alone."""
    return any(Path(model).glob("*.safetensors"))


def tokenizer_of(model: str):
    """The tokenizer of a checkpoint; beside random weights a small one of ours, for any numbers."""
    path = model if has_weights(model) else profile.CHECKPOINTS / "pocket-small"
    return AutoTokenizer.from_pretrained(path)


def load(model: str, plan: loading.Plan):
    """A checkpoint as planned; without its weights a model of the same shapes with random ones."""
    if has_weights(model):
        found = AutoModelForCausalLM.from_pretrained(model, **plan.kwargs())
    else:
        found = random_model(catalog.find(model), plan)
    return loading.portable_4bit(found)


def random_model(info: catalog.ModelInfo, plan: loading.Plan):
    """A model of these shapes with random weights, quantized as `from_pretrained` does it.

    It is made in full precision first, on its device: that has to fit there too.
    """
    from bitsandbytes import nn

    torch.manual_seed(0)
    dtype = getattr(torch, plan.dtype)
    config = AutoConfig.for_model(**info.config)
    with torch.device(plan.device_map[""]):
        model = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=plan.attn_implementation
        )
    linear = [(name, one) for name, one in model.named_modules() if type(one) is torch.nn.Linear]
    for name, old in linear if plan.quantization else ():
        if old is model.get_output_embeddings():
            continue
        weight, shape = old.weight.data.cpu(), old.weight.T.shape  # quantized on its way back
        if plan.precision == "int8":
            new = nn.Linear8bitLt(*shape, bias=False, has_fp16_weights=False, threshold=6.0)
            new.weight = nn.Int8Params(weight, requires_grad=False)
        else:
            kind = dict(compress_statistics=True, quant_type=plan.precision)
            new = nn.Linear4bit(*shape, bias=False, compute_dtype=dtype, **kind)
            new.weight = nn.Params4bit(weight, requires_grad=False, module=new, **kind)
        model.set_submodule(name, new.to(plan.device_map[""]))
    memory.free_memory()
    return model.eval().requires_grad_(False)


def trim() -> None:
    """Gives what is free back to the system, so that a peak counts from what is held."""
    memory.free_memory()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def watched():
    """`memory.measured_peak` of the card, or of this process where there is none, after `trim`."""
    trim()
    return memory.measured_peak("cuda" if torch.cuda.is_available() else "cpu")


def time_by_part(model, tokenizer, num_tokens: int = 16, prompt_tokens: int = 128) -> dict:
    """Share of decoding's time in the head, the MLPs, the attention, and all the rest.

    A clock is read before and after each part, and a card is waited for, so the whole is slower
    than without. Works for models with `layers`, each with `mlp` and `self_attn`.
    """
    spent, began, clock = {"head": 0.0, "MLP": 0.0, "attention": 0.0}, {}, []

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def enter(module, *_) -> None:
        began[module] = now()

    def leave(module, *_) -> None:
        if len(clock) > 1:  # the first token is the prompt's work
            spent[names[module]] += now() - began[module]

    names = {model.get_output_embeddings(): "head"}
    for layer in model.get_decoder().layers:
        names |= {layer.mlp: "MLP", layer.self_attn: "attention"}
    hooks = [module.register_forward_pre_hook(enter) for module in names]
    hooks += [module.register_forward_hook(leave) for module in names]
    watch = SimpleNamespace(put=lambda _: clock.append(now()), end=lambda: None)
    ids = bench.prompt_ids(tokenizer, prompt_tokens).to(model.device)
    length = dict(max_new_tokens=num_tokens, min_new_tokens=num_tokens, do_sample=False)
    try:
        model.generate(ids, attention_mask=torch.ones_like(ids), streamer=watch, **length)
    finally:
        for hook in hooks:
            hook.remove()
    whole = clock[-1] - clock[1]
    shares = {name: seconds / whole for name, seconds in spent.items()}
    return shares | {"rest": 1 - sum(shares.values())}


def llama_cpp(model, tokenizer, file: Path, num_tokens: int = 48, repeats: int = 3) -> dict:
    """Tokens/s of `generate` and of llama.cpp's server on a GGUF file, in turn: medians.

    Both go on from SENTENCE, whose first reading is counted. It turns denormal numbers off in this
    process. Raises: ImportError where xllamacpp is not installed.
    """
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.n_ctx, settings.n_parallel, settings.verbosity = 1024, 1, -1
    settings.cpuparams.n_threads = torch.get_num_threads()
    server = xllamacpp.Server(settings)
    asked = {"prompt": SENTENCE, "max_tokens": num_tokens, "temperature": 0, "ignore_eos": True}
    address, kind = (
        f"{server.listening_address}/v1/completions",
        {"Content-Type": "application/json"},
    )
    inputs = tokenizer(SENTENCE, return_tensors="pt")
    length = dict(max_new_tokens=num_tokens, min_new_tokens=num_tokens, do_sample=False)

    def ask() -> None:
        request = urllib.request.Request(address, json.dumps(asked).encode(), kind)
        with urllib.request.urlopen(request) as reply:
            reply.read()

    ways = {"generate": lambda: model.generate(**inputs, **length), "llama_cpp": ask}
    seconds = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(taken[1:]) for name, taken in seconds.items()}
    found = {f"{name}_tokens_per_s": num_tokens / taken for name, taken in medians.items()}
    return found | {"times_as_fast": medians["generate"] / medians["llama_cpp"]}

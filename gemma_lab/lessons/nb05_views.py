"""Notebook 05: what LoRA costs, as arithmetic and as a view."""

from __future__ import annotations

import reprlib

import ipywidgets

from gemma_lab import catalog, figures, memory
from gemma_lab.figures import BLUE, GREEN, GREY, ORANGE, SMALL, VERMILION, plt

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
MODULES = {"attention": ATTENTION, "MLP": MLP, "all seven": ATTENTION + MLP}
FROZEN = ("nf4", "int8", "bf16")
RANKS = tuple(2**power for power in range(9))  # 1 to 256


def budget(
    info: catalog.ModelInfo, rank: int, modules: tuple, precision: str, optimizer_bits: int
) -> dict[str, float]:
    """Numbers for what LoRA trains and keeps, and for full fine-tuning in bf16 beside it.

    Adapters, their gradients and AdamW's two moments are float32; with 8 bits the moments are
    bitsandbytes'. Full fine-tuning keeps four bf16 numbers for each weight: itself, its gradient
    and two moments, as torch's AdamW does. Activations are left out.
    Args: modules: layers to adapt, such as `ATTENTION`; precision: of the frozen weights.
    Returns: `_mb` is 10^6 bytes, `_gb` 10^9; `_percent` is of all parameters with the adapters.
    Raises: ValueError, with what was received.
    """
    if info.family not in catalog.UNIFORM:
        raise ValueError(f"Choose a Gemma 1, 2 or 3: the layers of {info.hub_id} are not alike.")
    if not isinstance(rank, int) or rank < 1:
        raise ValueError(f"rank must be a whole number from 1 up, not {reprlib.repr(rank)}.")
    shapes = info.linear_shapes
    if not modules or not set(modules) <= shapes.keys():
        raise ValueError(f"modules must be some of {', '.join(shapes)}, not {modules!r}.")
    if precision not in FROZEN:
        raise ValueError(f"precision must be one of {', '.join(FROZEN)}, not {precision!r}.")
    if not isinstance(optimizer_bits, int) or optimizer_bits not in (32, 8):
        raise ValueError(f"optimizer_bits must be 32 or 8, not {reprlib.repr(optimizer_bits)}.")
    matrices = [rank * width for name in set(modules) for width in shapes[name]]  # B and A of each
    trained = memory.num_adapter_parameters(info, rank, modules)
    full = memory.parts(info, "bf16", doing="train")
    moments = info.num_hidden_layers * sum(_moment_bytes(n, optimizer_bits) for n in matrices)
    return {
        "trained_parameters": trained,
        "trained_percent": 100 * trained / (info.num_parameters + trained),
        "adapter_file_mb": 4 * trained / 1e6,
        "frozen_weights_gb": memory.weight_bytes(info, precision) / 1e9,
        "gradients_mb": 4 * trained / 1e6,
        "optimizer_mb": moments / 1e6,
        "full_weights_gb": full["weights"] / 1e9,
        "full_gradients_gb": full["gradients"] / 1e9,
        "full_optimizer_gb": full["AdamW"] / 1e9,
    }


def _moment_bytes(numbers: int, bits: int) -> int:
    """Bytes of AdamW's two moments of one matrix.

    In 8 bits each block of 256 has a float32 scale, and a matrix below 4096 numbers keeps 32 bits.
    Source: bitsandbytes' `Optimizer2State.init_state`.
    """
    if bits == 32 or numbers < 4096:
        return 2 * 4 * numbers
    return 2 * (numbers + 4 * -(-numbers // 256))


def budget_bars(
    info: catalog.ModelInfo, rank: int, modules: tuple, precision: str, optimizer_bits: int
):
    """A figure: LoRA and full fine-tuning as bars in GB. The arguments are those of `budget`."""
    found = budget(info, rank, modules, precision, optimizer_bits)
    bars = {  # GB of LoRA, GB of full fine-tuning
        "weights": (found["frozen_weights_gb"], found["full_weights_gb"], BLUE),
        "adapters": (found["adapter_file_mb"] / 1e3, 0, GREEN),
        "gradients": (found["gradients_mb"] / 1e3, found["full_gradients_gb"], ORANGE),
        "AdamW": (found["optimizer_mb"] / 1e3, found["full_optimizer_gb"], VERMILION),
    }
    figures.use_style()
    figure, axis = plt.subplots(figsize=(figures.WIDTH, 2.4))
    ends = [0.0, 0.0]
    for name, (lora, full, colour) in bars.items():
        axis.barh([0, 1], [lora, full], left=ends, color=colour, label=name, height=0.6)
        ends = [ends[0] + lora, ends[1] + full]
    for at, end in enumerate(ends):
        figures.note(axis, f"{end:.2f} GB", (end, at), 4, color=GREY)
    axis.set_yticks([0, 1], [f"LoRA on {precision}", "all in bf16"])
    axis.invert_yaxis()
    axis.margins(x=0.16)
    told = f"LoRA: frozen {found['frozen_weights_gb']:.2f} GB, "
    told += f"adapter file {found['adapter_file_mb']:,.1f} MB, "
    told += f"gradients + AdamW {found['gradients_mb'] + found['optimizer_mb']:,.1f} MB"
    axis.set_xlabel(f"GB, activations left out\n{told}", fontsize=SMALL, x=0.42)
    figure.legend(loc="outside lower center", ncols=4, fontsize=SMALL)
    count, share = found["trained_parameters"], found["trained_percent"]
    name = info.name or info.hub_id
    figures.headline(figure, f"{name}, rank {rank}: {count:,} trained, {share:.2f} % of all")
    return figure


def lora_budget(names: list[str], rank: int = 16) -> ipywidgets.VBox:
    """Choose a model, a rank and more, and see what LoRA trains and what that costs.

    It begins with the first model, all seven layers, nf4 and AdamW in 8 bits.
    Args: names: ids or folders of a Gemma 1, 2 or 3; rank: the first one, of `RANKS`.
    """
    look = {"style": {"description_width": "7em"}}
    known = [(name, catalog.find(name)) for name in names]
    models = ipywidgets.Dropdown(options=known, description="model", **look)
    ranks = ipywidgets.SelectionSlider(
        options=RANKS, value=rank, description="rank", **look, **figures.LET_GO
    )
    places = {"options": list(MODULES.items()), "value": MODULES["all seven"]}
    layers = ipywidgets.Dropdown(**places, description="layers", **look)
    frozen = ipywidgets.Dropdown(options=FROZEN, description="frozen in", **look)
    bits = [("8 bits", 8), ("32 bits", 32)]
    adamw = ipywidgets.Dropdown(options=bits, description="AdamW in", **look)
    controls = [models, ranks, layers, frozen, adamw]
    return figures.with_controls(controls, lambda: budget_bars(*(c.value for c in controls)))

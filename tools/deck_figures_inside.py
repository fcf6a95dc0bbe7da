"""The deck's pictures of the architecture and of quantization: each returns a matplotlib figure.

A slide shows a picture of `figures.WIDTH` inches 1,136 pixels wide, one of HALF inches 542: letters
of `figures.SMALL` points are then 24 pixels high or more. The slide's title says the finding, so a
picture that a notebook draws with a title loses it here.
"""

from __future__ import annotations

import torch

from gemma_lab import catalog, figures, memory
from gemma_lab.diagrams import arrow, box, canvas, write
from gemma_lab.figures import BLUE, GREEN, GREY, NORMAL, ORANGE, PALE, VERMILION, WIDTH, plt
from gemma_lab.hardware import T4
from gemma_lab.lessons import nb03, nb03_diagrams, nb04_bits, nb04_language, nb04_record, nb04_views
from gemma_lab.scratch import quantize
from gemma_lab.scratch.gemma import causal_mask
from tools.deck_stored import read_json

TALL = 2.4  # inches: what a slide has room for below its title and above a line, at full width
HALF = 2.7  # inches: the width of a picture in one of two columns, 200 pixels each
YELLOW = "#FCE3B0"
TINY = "google/gemma-3-270m"


def bare(figure, width: float = WIDTH, height: float = TALL):
    """The figure without its titles, in a slide's size; panels of several keep theirs."""
    figure.suptitle("")
    if len(figure.axes) == 1:
        figure.axes[0].set_title("", loc="left")
    figure.set_size_inches(width, height)
    return figure


def causal():
    """Which words each word of the talk's sentence may look at: itself, and those before it."""
    words = "Con ngựa đá con ngựa đá".split()
    figures.use_style()
    figure, axis = plt.subplots(figsize=(HALF, 2.12))
    seen = causal_mask(len(words), len(words), None, torch.ones(1, len(words)))[0, 0]
    axis.pcolormesh(seen.float(), cmap="Blues", vmin=0, vmax=1.4, edgecolors="white", linewidth=2)
    places = [at + 0.5 for at in range(len(words))]
    axis.set_xticks(places, words, rotation=60)
    axis.set_yticks(places, words)
    axis.invert_yaxis()
    axis.tick_params(length=0, labelsize=NORMAL, labelcolor="black")
    axis.spines[:].set_visible(False)
    axis.set(aspect="equal", xlabel="is looked at", ylabel="looks")
    return figure


def cache():
    """The KV cache of Gemma 7B and 2B for 8,192 tokens, in 16 bits."""
    held = {
        f"Gemma {size.upper()}": memory.kv_cache_bytes(catalog.find(f"google/gemma-{size}"), 8192)
        for size in ("7b", "2b")
    }
    figure = bare(
        figures.share_bars({name: size / 2**20 for name, size in held.items()}, "", unit="")
    )
    figure.set_size_inches(WIDTH, 1.5)
    return relabelled(figure, [f"{size / 2**20:,.0f} MiB" for size in held.values()])


def relabelled(figure, words: list[str]):
    """Bars with other words at their ends, and letters of 10 points."""
    for text, told in zip(figure.axes[0].texts, words):
        text.set_text(told)
    for text in (*figure.axes[0].texts, *figure.axes[0].get_yticklabels()):
        text.set(fontsize=10, color="black")
    return figure


def rope_wide():
    """RoPE's wheels for a query at 7 and a key at 3, on a wide picture."""
    return bare(nb03.rope_wheels(7, 3, [10_000 ** (-2 * pair / 64) for pair in range(32)]))


def gelu():
    """ReLU and GELU, as in notebook 03."""
    line = torch.linspace(-4, 3, 141)
    both = {"ReLU": (line, line.relu())}
    both["GELU"] = (line, torch.nn.functional.gelu(line, approximate="tanh"))
    return bare(figures.curves(both, "", "input", "output"), HALF, 2.12)


def norms():
    """Where a block of Gemma 1 and one of Gemma 2 norm: before a sub-layer, or on both sides."""
    figure, axis = canvas(2.3)
    for top, name, has_after in ((1.75, "Gemma 1", False), (0.55, "Gemma 2", True)):
        write(axis, 0.02, top + 0.38, f"{name}: one block", ha="left", fontsize=10)
        x, begin = 0.3, 0.02
        for part, width in (("attention", 0.83), ("MLP", 0.5)):
            boxes = [("norm", 0.5), (part, width)] + [("norm", 0.5)] * has_after
            start = x - 0.14
            for words, wide in boxes:
                arrow(axis, (begin, top), (x, top))
                colours = (YELLOW, VERMILION) if words == "norm" else (PALE, BLUE)
                box(axis, x, top - 0.17, wide, 0.34, words, *colours, fontsize=NORMAL)
                begin, x = x + wide, x + wide + 0.17
            plus = x + 0.02
            arrow(axis, (begin, top), (plus - 0.09, top))
            line = [top, top - 0.36, top - 0.36, top - 0.1]
            axis.plot([start, start, plus, plus], line, color=GREY, linewidth=1)
            axis.plot(plus, top, "o", color="white", markeredgecolor=GREY, markersize=11, zorder=3)
            write(axis, plus, top, "+", color="black", fontsize=NORMAL, zorder=4)
            begin, x = plus + 0.09, plus + 0.4
        arrow(axis, (begin, top), (begin + 0.2, top))
    return figure


def two_gemmas():
    """Gemma 7B beside Gemma 2B: the parts of each from the bottom up, with their sizes."""
    figure, axis = canvas(TALL)
    for left, size in ((0.0, "7b"), (2.86, "2b")):
        info = catalog.find(f"google/gemma-{size}")
        heads, keys = info.num_attention_heads, info.num_key_value_heads
        wide = f"{info.intermediate_size:,}"
        rows = [
            [f"table: {info.vocab_size:,} × {info.hidden_size:,}"],
            [f"q {heads}×{info.head_dim}", f"k {keys}×{info.head_dim}"]
            + [f"v {keys}×{info.head_dim}"],
            [f"o: back to {info.hidden_size:,}"],
            [f"gate: {wide}", f"up: {wide}"],
            [f"down: back to {info.hidden_size:,}"],
            ["head: the table again"],
        ]
        for at, row in enumerate(rows):
            y, width = 0.03 + 0.345 * at, 2.56 / len(row)
            for column, words in enumerate(row):
                is_shared = keys == 1 and words[:2] in ("k ", "v ")
                colours = (YELLOW, VERMILION) if is_shared else (PALE, BLUE)
                x = left + 0.07 + column * width
                box(axis, x, y, width - 0.05, 0.275, words, *colours, fontsize=NORMAL)
        frame = {"facecolor": "none", "edgecolor": ORANGE, "linewidth": 1.6}
        axis.add_patch(plt.Rectangle((left + 0.01, 0.34), 2.63, 1.38, **frame))
        billions = info.num_parameters / 1e9
        title = f"Gemma {size.upper()}: {billions:.2f} B, block × {info.num_hidden_layers}"
        write(axis, left + 0.02, 2.25, title, ha="left", fontsize=10.5, weight="bold")
    return figure


def parameters():
    """Which share of the parameters of Gemma 7B and 2B stands in table, attention and MLP."""
    figures.use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, 1.9))
    names = ("7B", "2B")
    for row, size in enumerate(names):
        info = catalog.find(f"google/gemma-{size.lower()}")
        mlp = 3 * info.num_hidden_layers * info.hidden_size * info.intermediate_size
        parts = {"table": info.num_embedding_parameters}
        parts |= {"attention": info.num_linear_parameters - mlp, "MLP": mlp}
        end = 0.0
        for (name, count), colour in zip(parts.items(), (ORANGE, GREEN, BLUE)):
            share = 100 * count / info.num_parameters
            label = name if row == 0 else None
            axis.barh(row, share, left=end, color=colour, label=label, height=0.62)
            ink = "white" if colour == BLUE else "black"
            write(axis, end + share / 2, row, f"{share:.0f} %", color=ink, fontsize=10)
            end += share
    axis.set_yticks(range(2), [f"Gemma {name}" for name in names])
    axis.tick_params(axis="y", labelcolor="black", labelsize=10, length=0)
    axis.invert_yaxis()
    axis.spines[:].set_visible(False)
    axis.set(xticks=[], xlim=(0, 100))
    figure.legend(loc="outside lower center", ncols=3, fontsize=10)
    return figure


def fit():
    """GB of the weights of Gemma 7B and 2B in each precision, and the memory of a T4 as a line."""
    figures.use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, TALL))
    limit, y = T4.gpu_gib * 2**30 / 1e9, 0.0
    for size in ("7b", "2b"):
        for precision in memory.PRECISIONS:
            info = catalog.find(f"google/gemma-{size}")
            held = memory.weight_bytes(info, precision) / 1e9
            colour = BLUE if held < limit else VERMILION
            axis.barh(y, held, color=colour, height=0.75)
            told = f"{size.upper()} {precision}"
            figures.note(axis, told, (0, y), -4, color="black", fontsize=NORMAL)
            figures.note(axis, f"{held:.1f} GB", (held, y), 4, color="black", fontsize=NORMAL)
            y += 1
        y += 0.4
    axis.axvline(limit, color="black", linewidth=1.6)
    figures.note(axis, f"a T4 has {limit:.1f} GB", (limit, 7.4), 6, fontsize=10, weight="bold")
    axis.invert_yaxis()
    axis.set(yticks=[], xticks=[], xlim=(0, 40))
    axis.spines[:].set_visible(False)
    return figure


def poems() -> dict[str, str]:
    """The talk's five poems by precision."""
    return {row["precision"]: row["poem"] for row in read_json("talk_poems.json")["poems"]}


def shared_words():
    """Words that each poem shares with the first one before they differ."""
    (_, first), *others = poems().items()
    shared = {}
    for name, poem in others:
        pairs = zip(first.split(), poem.split())
        shared[name] = next(at for at, (one, other) in enumerate(pairs) if one != other)
    bars = bare(figures.share_bars(shared, "", highlight=["4-bit"], unit="words"), height=1.9)
    return relabelled(bars, [f"{count} words" for count in shared.values()])


def levels():
    """nf4's 16 levels and 16 even ones, below where normal numbers lie."""
    numbers = torch.randn(4096, 64, generator=torch.Generator().manual_seed(0))
    kinds = {"nf4": quantize.nf4_levels(), "even": torch.linspace(-1, 1, 16)}
    return bare(nb04_bits.levels_plot(kinds, numbers, ""), height=2.2)


def kl_by_language():
    """KL of each precision to fp32, in English and in Vietnamese, from the record of the 270M."""
    table = nb04_language.ladder(nb04_language.recorded(TINY))["KL"].iloc[1:]
    figures.use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, TALL))
    for at, (language, colour) in enumerate(zip(table, (BLUE, ORANGE))):
        places = [row + 0.4 * at - 0.2 for row in range(len(table))]
        axis.barh(places, table[language], color=colour, height=0.38, label=language)
        for place, value in zip(places, table[language]):
            figures.note(axis, f"{value:.2g}", (value, place), 4, color="black")
    axis.set_yticks(range(len(table)), list(table.index))
    axis.tick_params(axis="y", labelcolor="black", labelsize=NORMAL)
    axis.invert_yaxis()
    axis.set(xscale="log", xlim=(3e-4, 3), xlabel="KL to fp32, nats a token (logarithmic)")
    axis.legend(loc="upper right", fontsize=NORMAL)
    return figure


def speed():
    """Tokens a second by precision beside their limits, from the record of a CPU."""
    figure = bare(nb04_views.speed_bars(nb04_record.records("cpu")[0]))
    (axis,) = figure.axes
    for text, line in zip(axis.texts, axis.lines):  # right of the limit, where no bar is
        text.xy, _ = (line.get_xdata()[0], text.xy[1]), text.set_color("black")
    axis.set_xlim(0, 1.5 * max(line.get_xdata()[0] for line in axis.lines))
    return figure


def part_map():
    """A Gemma from left to right, with its attention and its MLP opened."""
    return nb03_diagrams.the_map()


def heads_and_keys():
    """Which query heads share a key-value head in three Gemmas."""
    return bare(nb03_diagrams.heads_and_keys())

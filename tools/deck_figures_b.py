"""The pictures of the deck's second half: name -> a function that returns a matplotlib figure.

A slide shows a picture of `figures.WIDTH` inches 1,136 pixels wide, one of HALF inches 542: letters
of `figures.SMALL` points are then 24 pixels high or more. The slide's title says the finding, so a
picture that a notebook draws with a title loses it here.
"""

from __future__ import annotations

import csv
import datetime
import json

import torch

from gemma_lab import catalog, figures, memory
from gemma_lab.diagrams import arrow, box, canvas, write
from gemma_lab.figures import BLUE, GREEN, GREY, NORMAL, ORANGE, PALE, VERMILION, WIDTH, plt
from gemma_lab.hardware import T4
from gemma_lab.lessons import (
    nb03,
    nb03_diagrams,
    nb04_bits,
    nb04_language,
    nb04_record,
    nb04_views,
    nb05_record,
    nb05_views,
    nb06,
    nb07,
    nb07_views,
)
from gemma_lab.scratch import quantize
from gemma_lab.scratch.gemma import causal_mask

TALL = 2.4  # inches: what a slide has room for below its title and above a line, at full width
HALF = 2.7  # inches: the width of a picture in one of two columns, 200 pixels each
YELLOW, WHITE = "#FCE3B0", "#FFFFFF"
TALK = "2024-07"  # year and month of the talk
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
    path = catalog.DATA / "talk_poems.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["poems"]
    return {row["precision"]: row["poem"] for row in rows}


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
    return bare(nb04_views.speed_bars(nb04_record.records("cpu")[0]))


def lora():
    """A layer W that is frozen, and beside it the two thin matrices that LoRA trains."""
    figure, axis = canvas(2.35)
    arrow(axis, (0.35, 1.65), (1.3, 1.65))
    arrow(axis, (4.05, 1.65), (4.62, 1.65))
    write(axis, 0.2, 1.65, "x", fontsize=13)
    box(axis, 1.3, 1.1, 2.75, 1.1, "W, frozen\n16,384 × 2,048", "#EEF0F3", GREY, fontsize=11)
    axis.plot([0.6, 0.6], [1.65, 0.5], color=GREY, linewidth=1)
    arrow(axis, (0.6, 0.5), (1.3, 0.5))
    box(axis, 1.3, 0.28, 1.2, 0.44, "A\n16 × 2,048", YELLOW, VERMILION, fontsize=NORMAL)
    arrow(axis, (2.5, 0.5), (2.85, 0.5))
    box(axis, 2.85, 0.28, 1.2, 0.44, "B\n16,384 × 16", YELLOW, VERMILION, fontsize=NORMAL)
    axis.plot([4.05, 4.75], [0.5, 0.5], color=GREY, linewidth=1)
    arrow(axis, (4.75, 0.5), (4.75, 1.52))
    axis.plot(4.75, 1.65, "o", color="white", markeredgecolor=GREY, markersize=17)
    write(axis, 4.75, 1.65, "+", fontsize=13)
    arrow(axis, (4.88, 1.65), (5.25, 1.65))
    write(axis, 5.4, 1.65, "y", fontsize=13)
    write(axis, 4.86, 0.85, "times α / r", ha="left", color=GREY, fontsize=NORMAL)
    write(axis, 2.67, 0.1, "trained", color="black", fontsize=NORMAL)
    return figure


def lora_budget():
    """What LoRA on Gemma 2B-it in nf4 keeps in memory, beside training every weight."""
    info, seven = catalog.find("google/gemma-2b-it"), nb05_views.MODULES["all seven"]
    figure = bare(nb05_views.budget_bars(info, 16, seven, "nf4", 8), height=2.0)
    figure.axes[0].set_xlabel("GB, activations left out", x=0.5)
    return figure


def loss_curve():
    """Losses of the recorded runs on the 270M, three seeds."""
    runs = nb05_record.recorded(TINY)["runs"]
    lines = {}
    for seed in (0, 1, 2):
        losses = {int(step): loss for step, loss in runs[f"seed {seed}"]["losses"].items()}
        lines[f"seed {seed}"] = (list(losses), list(losses.values()))
    figure = bare(figures.curves(lines, "", "step (4 rows each)", "loss, nats a token"))
    figure.axes[0].set_xticks((1, 5, 10, 15, 20))
    return figure


def forgot():
    """By how much the perplexity of ordinary text rose: plain and rehearsed, least to most."""
    table = nb05_record.table(nb05_record.recorded(TINY))
    figures.use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, 2.2))
    labels, y = [], 0
    for language in ("English", "Vietnamese"):
        for kind, words in (
            ("three seeds", "new rows only"),
            ("rehearsed, three seeds", "with old"),
        ):
            column = table[f"perplexity, {language}, + %"]
            low, high = column[f"{kind}, least"], column[f"{kind}, most"]
            colour = BLUE if kind.startswith("rehearsed") else VERMILION
            axis.plot([low, high], [y, y], color=colour, linewidth=9, solid_capstyle="round")
            told = f"+{low:.0f} to +{high:.0f} %"
            figures.note(axis, told, (high, y), 10, color="black", fontsize=NORMAL)
            labels.append(f"{language}, {words}")
            y += 1
    axis.set_yticks(range(y), labels)
    axis.tick_params(axis="y", labelcolor="black", labelsize=NORMAL)
    axis.invert_yaxis()
    axis.set(xlim=(0, 68), ylim=(3.6, -0.6), xlabel="rise of perplexity, %")
    return figure


def gemma_2_leads():
    """By how many points Gemma 2 27B is ahead of, or behind, the two larger models."""
    scores = {}
    with (catalog.DATA / "benchmarks.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["table"] == "gemma2":
                scores[row["benchmark"], row["model"]] = float(row["score"])
    leads = {}
    for benchmark in dict.fromkeys(name for name, _ in scores):
        for rival in ("Llama 3 70B", "Grok-1 314B"):
            if (benchmark, rival) in scores:
                lead = scores[benchmark, "Gemma 2 27B"] - scores[benchmark, rival]
                leads[f"{benchmark}, {rival}"] = lead
    return bare(figures.differences(leads, "", "the larger one ahead", "Gemma 2 27B ahead"))


def masks_wide():
    """A global and a sliding mask of 12 tokens, on a wide picture."""
    windows = {"global: all that came before": None, "sliding: a window of 4": 4}
    panels = {
        name: causal_mask(12, 12, window, torch.ones(1, 12))[0, 0]
        for name, window in windows.items()
    }
    return bare(nb06.masks(panels, ""))


def window_cache():
    """The cache of Gemma 2 9B by the length of a text, with its windows and as if without."""
    nine = catalog.find("google/gemma-2-9b")
    lengths = [2**power for power in range(8, 14)]
    one = sum(4 * layer.num_key_value_heads * layer.head_dim for layer in nine.layers)
    both = {
        "all layers global": (lengths, [one * length / 2**30 for length in lengths]),
        "every other layer 4,096": (
            lengths,
            [memory.kv_cache_bytes(nine, length) / 2**30 for length in lengths],
        ),
    }
    return bare(figures.curves(both, "", "tokens", "cache, GiB"))


def soft_cap():
    """A score, the score with a hard limit, and with Gemma 2's soft cap of 50."""
    x = torch.linspace(-150, 150, 301)
    soft = 50 * torch.tanh(x / 50)
    lines = {"no cap": (x, x), "hard limit": (x, x.clamp(-50, 50)), "soft cap": (x, soft)}
    return bare(figures.curves(lines, "", "score", "after the cap", ylim=(-80, 80)))


def hole():
    """A function with a hole, in the editor and in the order in which CodeGemma reads it."""
    before = 'def area(width, height):\n    """Return the area of a rectangle."""\n    return '
    return nb07_views.hole_order(before, "width * height", "\n")


def layer_map():
    """The layers of three models: recurrent, attention over a window, attention over all."""
    kinds = {
        "Gemma 2B": ["g"] * 18,
        "Gemma 3 270M": (["a"] * 5 + ["g"]) * 3,
        "RecurrentGemma 2B": (["r", "r", "a"] * 9)[:26],
    }
    return nb07_views.layer_map(kinds)


def kept():
    """Bytes that each model keeps after reading, by the number of tokens, from the record."""
    curves = {
        name: ([row["tokens"] for row in rows], [row["bytes"] / 1e3 for row in rows])
        for name, rows in nb07.recorded()["kept"].items()
    }
    figure = figures.curves(curves, "", "tokens read", "kept, kB", scale="log", ylim=(10, 1e6))
    figure.axes[0].set_xticks(nb07.LENGTHS, [f"{num:,}" for num in nb07.LENGTHS])
    figure.axes[0].minorticks_off()
    return bare(figure)


def later() -> list[dict]:
    """The variants of Gemma that came after the talk, the oldest first."""
    with (catalog.DATA / "variants.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["released"] >= TALK]


def timeline():
    """What came after the talk, by date; the names stand on steps, so that none covers another."""
    figures.use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, TALL))
    heights = (1.0, -1.0, 3.0, -3.0, 2.0, -2.0)
    for at, row in enumerate(later()):
        year, month, *day = map(int, row["released"].split("-"))
        when = datetime.date(year, month, day[0] if day else 15)
        high = heights[at % len(heights)]
        axis.plot([when, when], [0, high], color=GREY, linewidth=0.8)
        is_main = row["name"] in ("Gemma 3", "Gemma 3n", "Gemma 4")
        axis.plot(when, 0, "o", color=VERMILION if is_main else BLUE, markersize=6)
        weight = "bold" if is_main else "normal"
        side = "bottom" if high > 0 else "top"
        font = {"ha": "center", "va": side, "fontsize": NORMAL, "weight": weight, "zorder": 3}
        paper = {"facecolor": WHITE, "edgecolor": "none", "pad": 1}
        axis.text(when, high, row["name"], bbox=paper, **font)
    axis.axhline(0, color="black", linewidth=1.2, zorder=0)
    years = [datetime.date(year, 1, 1) for year in (2025, 2026)]
    axis.set_xticks(years, [f"Jan {day.year}" for day in years])
    axis.set_xlim(datetime.date(2024, 5, 20), datetime.date(2026, 8, 10))
    axis.set(yticks=[], ylim=(-4.1, 4.1))
    axis.spines[:].set_visible(False)
    axis.tick_params(labelcolor="black", labelsize=NORMAL)
    return figure


FIGURES = {
    f"b_{draw.__name__}": draw
    for draw in (
        *(causal, cache, rope_wide, gelu, norms, two_gemmas, parameters, fit, shared_words),
        *(levels, kl_by_language, speed, lora, lora_budget, loss_curve, forgot, gemma_2_leads),
        *(masks_wide, window_cache, soft_cap, hole, layer_map, kept, timeline),
    )
} | {
    "b_map": nb03_diagrams.the_map,
    "b_heads_and_keys": lambda: bare(nb03_diagrams.heads_and_keys()),
}

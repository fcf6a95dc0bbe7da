"""The deck's pictures of the Transformer, of Gemma, and of how a model learns."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt

from gemma_lab import catalog
from gemma_lab.figures import BLUE, GREY, ORANGE, PALE, VERMILION
from tools.deck_figures_words import INK, LARGE, LIGHT, SAND, TEXT, arrow, box, canvas, write
from tools.deck_stored import read_json

GPT_3 = 175e9  # parameters; Brown et al. 2020, arXiv:2005.14165


def fields():
    """Where large language models sit among AI, machine learning and deep learning."""
    from gemma_lab.lessons import nb01_diagrams

    figure = nb01_diagrams.fields_of_ai()
    for text in figure.axes[0].texts:
        text.set_fontsize(11.6)  # 24 pixels where the picture is 500 high
        if text.get_text().startswith("natural"):  # a border would cross it
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    return figure


def transformer():
    """The Transformer's encoder and decoder, and the decoder alone, which Gemma keeps."""
    figure, axis = canvas(490)
    masked = "masked\nself-attention"
    columns = {
        "encoder": ("the whole input", ["self-attention", "feed-forward"], GREY),
        "decoder": ("the output so far", [masked, "attention\nto encoder", "feed-forward"], GREY),
        "Gemma, decoder only": ("the text so far", [masked, "feed-forward"], ORANGE),
    }
    for at, (name, (below, parts, colour)) in enumerate(columns.items()):
        x, top = 4 + 392 * at, 92 + 100 * len(parts)
        middle = x + 164
        box(axis, x, 70, 328, top - 70, "", "white", colour)
        for row, part in enumerate(parts):
            y = 82 + 100 * row
            arrow(axis, (middle, y - 24 if row else 42), (middle, y))
            box(axis, x + 34, y, 260, 76, part, fontsize=24, linespacing=1.1)
        write(axis, middle, 20, below, color=GREY)
        write(axis, x + 8, top + 22, "× N", ha="left", color=GREY, fontsize=24)
        write(axis, min(middle, 948), 468, name, fontsize=TEXT, weight="bold", color=INK)
        if at:
            arrow(axis, (middle, top), (middle, 414))
            write(axis, middle, 428, "next token", color=GREY, fontsize=24)
    arrow(axis, (168, 292), (168, 344), (366, 344), (366, 220), (430, 220), colour=VERMILION)
    return figure


def attention():
    """Causal attention over the riddle's five words, two numbers for each word (notebook 01)."""
    words = read_json("vietnamese.json")["words"]
    points = [(2, 0), (1, 1), (0, 2), (0, 1), (2, 1)]  # as in the cell 6560d141 of notebook 01
    figure, axis = canvas(490)
    left, top, wide, high = 470, 420, 112, 78
    for row, (a, b) in enumerate(points):
        scores = [math.exp((a * c + b * d) / math.sqrt(2)) for c, d in points[: row + 1]]
        y = top - high * (row + 1)
        write(axis, left - 20, y + high / 2, words[row], ha="right", fontsize=28)
        write(axis, left + wide * (row + 0.5), top + 30, words[row], fontsize=28)
        for column in range(len(words)):
            share = scores[column] / sum(scores) if column <= row else 0
            colour = plt.get_cmap("Blues")(0.75 * share) if share else LIGHT
            corner = (left + wide * column + 2, y + 2)
            axis.add_patch(plt.Rectangle(corner, wide - 4, high - 4, color=colour))
            if share:
                ink = "white" if share > 0.65 else INK
                write(axis, left + wide * (column + 0.5), y + high / 2, f"{share:.2f}", color=ink)
    write(axis, 150, 240, "each row looks:\nthe weights add\nup to 1", color=GREY, linespacing=1.4)
    return figure


def gemma():
    """Gemini and Gemma come from one research; only Gemma's weights come to you."""
    figure, axis = canvas(430)
    box(axis, 4, 150, 300, 130, "Google DeepMind:\nresearch, technology", LIGHT, GREY, fontsize=25)
    box(axis, 420, 300, 290, 110, "Gemini", PALE, BLUE, fontsize=LARGE)
    box(axis, 420, 20, 290, 110, "Gemma", SAND, ORANGE, fontsize=LARGE)
    for y in (355, 75):
        arrow(axis, (304, 215 + (y - 215) * 0.2), (420, y))
        arrow(axis, (710, y), (816, y), colour=BLUE if y > 200 else ORANGE)
    box(axis, 816, 300, 300, 110, "Google's products", LIGHT, BLUE)
    box(axis, 816, 20, 300, 110, "your laptop, your\nserver, a cloud", LIGHT, ORANGE)
    write(axis, 768, 256, "the weights stay", color=GREY)
    write(axis, 768, 168, "the weights are yours to download", color=GREY)
    return figure


def sizes():
    """Parameters of five models on a logarithmic line."""
    models = {"pocket-small": "pocket-small", "Gemma 3 270M": "google/gemma-3-270m"}
    models |= {"Gemma 2B": "google/gemma-2b", "Gemma 7B": "google/gemma-7b"}
    counts = {name: catalog.find(_folder(model)).num_parameters for name, model in models.items()}
    counts["GPT-3"] = GPT_3
    figure, axis = canvas(400)
    place = lambda count: 70 + 185 * (math.log10(count) - 6)  # noqa: E731
    axis.plot([60, 1110], [150, 150], color=GREY, linewidth=2.5)
    for power, word in ((6, "1 million"), (9, "1 billion"), (11, "100 billion")):
        x = place(10**power)
        axis.plot([x, x], [138, 162], color=GREY, linewidth=2.5)
        write(axis, x, 100, word, color=GREY)
    for at, (name, count) in enumerate(counts.items()):
        x, y = place(count), 340 if at % 2 else 240
        colour = ORANGE if name.startswith("Gemma") else BLUE
        axis.plot([x, x], [150, y - 42], color=colour, linewidth=2.5)
        axis.plot(x, 150, "o", color=colour, markersize=18)
        write(axis, max(x, 100), y, f"{name}\n{_count(count)}", color=INK, linespacing=1.2)
    write(axis, 560, 34, "parameters, on a logarithmic line", color=GREY)
    return figure


def _folder(model: str):
    from gemma_lab.profile import CHECKPOINTS

    return model if "/" in model else CHECKPOINTS / model


def _count(number: float) -> str:
    return f"{number / 1e9:.3g} B" if number >= 1e9 else f"{number / 1e6:.3g} M"


def learning():
    """The loss of pocket-nano over its training, and what it writes at six moments."""
    from gemma_lab.lessons import nb02_learn

    losses, (tokenizer, models) = nb02_learn.training_losses(), nb02_learn.load_nano()
    figure, axis = canvas(490)
    write(axis, 4, 462, "step", ha="left", color=GREY)
    write(axis, 250, 462, "loss", ha="right", color=GREY)
    write(axis, 480, 462, "“The capital of Japan is …”", ha="left", color=GREY)
    for at, (step, model) in enumerate(models.items()):
        y, loss = 400 - 74 * at, losses[step]
        axis.add_patch(plt.Rectangle((270, y - 20), 22 * loss, 40, color=ORANGE if at else GREY))
        write(axis, 4, y, f"{step:,}", ha="left", fontsize=30)
        write(axis, 250, y, f"{loss:.1f}", ha="right", fontsize=30)
        text = nb02_learn.go_on(model, tokenizer, "The capital of Japan is").strip().split("⏎")[0]
        shown = text if len(text) <= 34 else f"{text[:33]}…"
        colour = BLUE if text.startswith("Tokyo") else INK
        write(axis, 480, y, shown, ha="left", fontsize=30, color=colour, parse_math=False)
    return figure


def one_step():
    """Shares of three tokens before and after one step of training; the first one is right."""
    names, figure, axis = ["Tokyo", "Paris", "Rome"], *canvas(430)
    for column, (title, shares) in enumerate(zip(("before", "after"), step_shares())):
        left = 130 + 580 * column
        words = f"{title}: loss {-math.log(shares[0]):.2f}"
        write(axis, left, 390, words, ha="left", fontsize=LARGE, weight="bold", color=INK)
        for row, (name, share) in enumerate(zip(names, shares)):
            y, colour = 290 - 116 * row, BLUE if row == 0 else GREY
            write(axis, left - 14, y, name, ha="right", fontsize=28)
            axis.add_patch(plt.Rectangle((left, y - 38), 500 * share, 76, color=colour))
            write(axis, left + 500 * share + 12, y, f"{share:.2f}", ha="left", fontsize=30)
    arrow(axis, (480, 390), (680, 390), colour=VERMILION)
    return figure


def step_shares() -> tuple[list[float], list[float]]:
    """Three equal shares, and the shares after a step of size 1 where the first token is right."""
    before = _softmax([0.0, 0.0, 0.0])
    slopes = [share - (at == 0) for at, share in enumerate(before)]
    return before, _softmax([-slope for slope in slopes])


def losses() -> tuple[float, float]:
    """The loss in nats before and after that step."""
    before, after = step_shares()
    return -math.log(before[0]), -math.log(after[0])


def _softmax(scores: list[float]) -> list[float]:
    total = sum(map(math.exp, scores))
    return [math.exp(score) / total for score in scores]

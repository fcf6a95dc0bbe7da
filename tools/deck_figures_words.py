"""The deck's pictures of words and tokens, where a point is a pixel on a slide of 1280 x 720."""

from __future__ import annotations

import ast

import matplotlib.pyplot as plt

from gemma_lab.figures import BLUE, GREEN, GREY, ORANGE, PALE, VERMILION, use_style
from tools.deck_stored import found, read_json, stored

WIDE, TALL = 1120, 500  # pixels on the slide
TEXT, LARGE = 26, 32  # pixels; the deck has no text below 24
INK, LIGHT, SAND = "#1F2933", "#F4F6F8", "#FFF6E0"


def canvas(height: float = TALL, width: float = WIDE):
    """An empty figure and its axis, measured in pixels of the slide from the lower left corner."""
    use_style()
    figure = plt.figure(figsize=(width / 72, height / 72), layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.axis("off")
    return figure, axis


def write(axis, x, y, text, **font) -> None:
    """Text around a point."""
    axis.text(x, y, text, **({"ha": "center", "va": "center", "fontsize": TEXT} | font))


def box(axis, x, y, width, height, text="", fill=PALE, edge=BLUE, **font) -> None:
    """A box with rounded corners and its text; x and y are its lower left corner."""
    from matplotlib.patches import FancyBboxPatch

    style = {"boxstyle": "round,pad=0,rounding_size=10", "facecolor": fill, "edgecolor": edge}
    axis.add_patch(FancyBboxPatch((x, y), width, height, linewidth=2, **style))
    write(axis, x + width / 2, y + height / 2 - 1, text, **font)


def arrow(axis, *points, colour=GREY) -> None:
    """An arrow through the points."""
    xs, ys = zip(*points)
    axis.plot(xs[:-1], ys[:-1], color=colour, linewidth=2.5)
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 2.5, "mutation_scale": 24}
    axis.annotate("", points[-1], points[-2], arrowprops=style | {"shrinkA": 0, "shrinkB": 0})


def bars(rows: dict[str, float], labels: list[str], highlight=(), left=330, step=56):
    """Horizontal bars with a label at each end; as long as their labels leave room.

    Args: rows: name -> length, not negative; labels: what stands at the end of each bar.
    """
    figure, axis = canvas(step * len(rows) + 8)
    most = max(rows.values())
    rooms = [WIDE - left - 30 - 15 * len(label) for label in labels]
    room = min(room * most / max(value, 1e-9) for room, value in zip(rooms, rows.values()))
    for at, ((name, value), label) in enumerate(zip(rows.items(), labels, strict=True)):
        y = step * (len(rows) - at - 0.5) + 4
        length = max(3, room * value / most)
        colour = ORANGE if name in highlight else BLUE
        axis.add_patch(plt.Rectangle((left, y - 0.34 * step), length, 0.68 * step, color=colour))
        write(axis, left - 16, y - 1, name, ha="right")
        write(axis, left + length + 12, y - 1, label, ha="left", color=GREY)
    return figure


def worlds():
    """The three profiles: what each has, and what it needs."""
    figure, axis = canvas(420)
    columns = {
        "pocket": (ORANGE, SAND, "any computer", "our small models", "no network at all"),
        "laptop": (GREEN, "#E7F5EF", "two cores, 8 GB RAM", "Google's Gemma 3 270M", "no account"),
        "hub": (BLUE, PALE, "a GPU, or Colab", "Google's Gemma 2B", "token and licence"),
    }
    box(axis, 260, 330, 600, 80, "the same cells", LIGHT, GREY, fontsize=LARGE)
    for at, (name, (edge, fill, *lines)) in enumerate(columns.items()):
        x = 2 + 380 * at
        arrow(axis, (560 + (at - 1) * 200, 330), (x + 178, 252))
        box(axis, x, 4, 356, 248, "", fill, edge)
        write(axis, x + 178, 212, name, fontsize=LARGE, weight="bold", color=INK)
        for line, y in zip(lines, (150, 98, 46), strict=True):
            write(axis, x + 178, y, line, fontsize=25, color=INK)
    return figure


def orders():
    """How much likelier than the least likely the 270M finds each of the talk's eight orders."""
    powers = dict(found("01", "a6b5e1d0", r"^(.+?) +10\^(-[\d.]+)$"))
    least = min(map(float, powers.values()))
    above = {order: float(power) - least for order, power in powers.items()}
    ranked = dict(sorted(above.items(), key=lambda row: -row[1]))
    labels = [f"{10**power:,.0f} ×" for power in ranked.values()]
    ends = (next(iter(ranked)), next(reversed(ranked)))
    return bars(ranked, labels, ends, left=390)


def horse():
    """Two readings of the same six words: one kick, or two."""
    figure, axis = canvas(400)
    readings = {
        "one kick": [
            ("Con ngựa", "the horse"),
            ("đá", "kicks"),
            ("con ngựa đá.", "the stone horse"),
        ],
        "two kicks": [
            ("Con ngựa", "the horse"),
            ("đá,", "kicks,"),
            ("con ngựa", "the horse"),
            ("đá.", "kicks"),
        ],
    }
    for row, (name, parts) in enumerate(readings.items()):
        x, y = 180, 224 - 216 * row
        write(axis, 160, y + 104, name, ha="right", color=GREY, fontsize=28)
        for words, gloss in parts:
            width = 44 + 25 * max(len(words), 0.72 * len(gloss))
            is_verb = words.startswith("đá")
            fill, edge = (SAND, ORANGE) if is_verb else (PALE, BLUE)
            box(axis, x, y + 60, width, 88, words, fill, edge, fontsize=42)
            write(axis, x + width / 2, y + 28, gloss, color=GREY, fontsize=28)
            x += width + 16
    return figure


def tokens():
    """One line in English and in Vietnamese, as Gemma 3's tokenizer cuts it."""
    lines = stored("01", "5933a599")
    figure, axis = canvas(380)
    for row, at in enumerate((0, 3)):
        text = lines[at].split("   (")[0]
        _, count, _, *pieces = [part for part in lines[at + 2].removeprefix("  Gemma").split()]
        y = 222 - 200 * row
        write(axis, 4, y + 118, f"{text}  {count} tokens", ha="left", fontsize=32, color=INK)
        x, style = 4, (PALE, BLUE) if row else (LIGHT, GREY)
        for piece in pieces:
            width = 30 + 22.5 * len(piece)
            box(axis, x, y, width, 80, piece, *style, fontsize=34)
            x += width + 8
    return figure


def languages():
    """Tokens of one story in five languages, by Gemma 1's tokenizer."""
    counts = read_json("tokens_by_language.json")["recorded"]["tokens"]
    ranked = dict(sorted(counts.items(), key=lambda row: row[1]))
    return bars(ranked, list(map(str, ranked.values())), ["Vietnamese"], left=230, step=72)


def accents():
    """Tokens of the Vietnamese story in the two spellings that Unicode has for it."""
    recorded = read_json("tokens_by_language.json")["recorded"]
    counts = {
        "ộ, one character (NFC)": recorded["tokens"]["Vietnamese"],
        "o + two accents (NFD)": recorded["tokens_of_the_decomposed_vietnamese"],
    }
    labels = [f"{count} tokens" for count in counts.values()]
    return bars(counts, labels, ["o + two accents (NFD)"], left=400, step=110)


def endings():
    """The six words that may follow hàng: their places and probabilities by the 270M."""
    rows = found("01", "real-next-word", r"^(.+?): (.+?) +#([\d,]+) *([\d.]+)%$")
    shares = {f"{word} · {gloss}": float(share) for word, gloss, _, share in rows}
    small = {"0.0000": "under 0.0001"}  # what four decimals do not show
    labels = [f"{small.get(share, share)} %, place {place}" for *_, place, share in rows]
    return bars(shares, labels, [next(iter(shares))], left=400, step=72)


def temperatures():
    """The probability of the likeliest token at three temperatures."""
    rows = found("01", "ea25a4ba", r"temperature ([\d.]+): the likeliest has ([\d.]+)")
    shares = {f"temperature {heat}": float(share) for heat, share in rows}
    labels = [f"{100 * share:.1f} %" for share in shares.values()]
    return bars(shares, labels, ["temperature 2.0"], step=96)


def counting():
    """How often each word followed hàng in a small text."""
    (line,) = found("01", "6f410773", r"after one word: (.+)")
    counts = dict(ast.literal_eval(line))
    return bars(counts, list(map(str, counts.values())), ["đầu"], left=160, step=60)


def loop():
    """How a language model writes: predict, choose, append, again."""
    figure, axis = canvas(400)
    steps = {
        "text so far": "… những chuyên\ngia hàng",
        "model": "one number\nfor each token",
        "softmax": "probabilities,\nthe sum is 1",
        "choose": "one token:\n“đầu”",
    }
    for at, (name, words) in enumerate(steps.items()):
        x = 2 + 284 * at
        fill, edge = (SAND, ORANGE) if at == 3 else (PALE, BLUE)
        box(axis, x, 150, 254, 200, "", fill, edge)
        write(axis, x + 127, 306, name, fontsize=LARGE, weight="bold", color=INK)
        write(axis, x + 127, 224, words, fontsize=24, color=INK, linespacing=1.3)
        if at < 3:
            arrow(axis, (x + 254, 250), (x + 284, 250))
    arrow(axis, (981, 150), (981, 60), (129, 60), (129, 150), colour=VERMILION)
    write(axis, 555, 92, "append it, and begin again", color=VERMILION, fontsize=28)
    return figure


def ages():
    """Three ages of language models on a line of time."""
    figure, axis = canvas(420)
    points = {
        "statistical": ("1948", "Shannon draws text\nfrom counts of\nneighbours", GREY, LIGHT),
        "neural": ("2003", "Bengio et al.: words\nbecome vectors, a\nnetwork predicts", BLUE, PALE),
        "large": ("2017, 2020", "the Transformer;\nGPT-3: one model\nfor many tasks", ORANGE, SAND),
    }
    arrow(axis, (10, 110), (1112, 110))
    for at, (name, (year, words, edge, fill)) in enumerate(points.items()):
        x = 10 + 375 * at
        box(axis, x, 172, 340, 240, "", fill, edge)
        write(axis, x + 170, 372, name, fontsize=LARGE, weight="bold", color=INK)
        write(axis, x + 170, 262, words, fontsize=27, color=INK, linespacing=1.35)
        axis.plot(x + 170, 110, "o", color=edge, markersize=22)
        axis.plot([x + 170, x + 170], [110, 172], color=edge, linewidth=2.5)
        write(axis, x + 170, 54, year, fontsize=LARGE, color=INK)
    return figure

"""Notebook 01: its exercises with solutions, and its views with buttons and sliders."""

from __future__ import annotations

import html
import math

import ipywidgets

from gemma_lab import figures
from gemma_lab.lessons.exercises import (
    Verdict,
    exercise,
    members,
    number,
    returned,
    right,
    text,
    wrong,
)


@exercise
def check_linh_comes(answer) -> Verdict:
    """The number of the line, of the talk's eight orders, in which Linh comes."""
    line = number(answer, "The answer is the number of one line")
    if line not in range(1, 9):
        return wrong(f"There is no line {line}.", hint="the lines are numbered from 1 to 8")
    if line == 6:
        return right("“Linh đến, bảo không sao”: Linh comes, and says it is all right.")
    whys = {
        3: "“Đến không sao” is what Linh says: somebody else may come.",
        5: "“Linh không đến”: không stands before đến and denies it.",
        7: "It only asks why somebody said the opposite.",
    }
    why = whys.get(line, "Only one line states it.")
    hint = "which word stands right after Linh, and does không stand before đến?"
    return wrong(f"Line {line} does not say that Linh comes.", why, hint)


@exercise
def check_next_merge(answer) -> Verdict:
    """The pair of pieces that BPE joins fifth in the notebook's eight syllables."""
    pieces = members(answer, "A pair of two pieces")
    if len(pieces) != 2:
        return wrong(f"A pair is two pieces, not {len(pieces)}.", hint='write it as ("t", "h")')
    pair = tuple(text(piece, "A piece is a text in quotes") for piece in pieces)
    joined, shown = "".join(pair)[:20], f"{pair[0][:20]}·{pair[1][:20]}"
    if pair == ("th", "an"):
        return right("th·an stands in thang and in than: twice, more than any other pair.")
    if pair[::-1] == ("th", "an"):
        return wrong("These two never stand in this order.", hint="the left one comes first")
    if pair in {("an", "g"), ("r", "anh"), ("t", "r"), ("b", "anh"), ("c", "anh")}:
        why = "The most frequent pair is joined."
        return wrong(f"{shown} occurs once.", why, "find one that is there twice")
    if joined in ("an", "anh", "th", "thanh"):
        return wrong(f"{joined} is one piece already.", hint="count only across the dots")
    return wrong(f"{shown} is no pair of neighbours there.", hint="look on both sides of a dot")


@exercise
def check_top_p(function) -> Verdict:
    """A function of sorted probabilities and p that returns how many of them top-p keeps."""
    halves = [0.5, 0.25, 0.125, 0.125]
    trials = [(halves, p) for p in (0.6, 0.5, 0.8, 1.0)]
    trials += [([0.4, 0.3, 0.2, 0.1], 0.95), ([1.0], 0.9), ([0.1] * 10, 1.0)]
    what = "One number is asked for, how many are kept"
    got = [number(returned(function, *trial), what) for trial in trials]
    got[-1] = min(got[-1], 10)  # added one by one, these ten stay just below 1.0
    wanted = [my_top_p(*trial) for trial in trials]
    if got == wanted:
        return right(f"Of {halves}, top-p 0.6 keeps {got[0]} and top-p 0.8 keeps {got[2]}.")
    if got[:-1] == wanted[:-1]:
        why = "Added one by one, these ten stay just below 1."
        what = f"Of ten times 0.1, p = 1.0 keeps all ten, and you keep {got[-1]}."
        return wrong(what, why, "what comes back where the sum never reaches p?")
    if got[:4] == wanted[:4]:
        what = f"It is right for {halves} and wrong for another list."
        return wrong(what, hint="use the arguments, not fixed numbers")
    if got[0] == 1:
        what = "For p = 0.6 one was kept, and 0.5 is less than 0.6."
        return wrong(what, "The one that reaches p is kept.", "add first, then compare")
    if got[1] == 2:
        why = "Its sum reaches p already."
        return wrong("For p = 0.5 the first is enough.", why, "what if the sum is exactly p?")
    what = f"For p = 0.6, 0.5, 0.8 and 1.0 you keep {got[:4]}, and not {wanted[:4]}."
    return wrong(what, hint="add up, the largest first, and count")


def my_top_p(probabilities, p):
    total = 0
    for count, probability in enumerate(probabilities, 1):
        total += probability
        if total >= p:
            return count
    return len(probabilities)


SOLUTIONS = {
    "linh_comes": "my_line = 6",
    "next_merge": 'my_pair = ("th", "an")',
    "top_p": my_top_p,
}


def bars(shares: dict[str, float], highlight=()) -> str:
    """Horizontal bars in HTML, a name and a share in percent each; `highlight` stands out."""
    rows = []
    for name, share in shares.items():
        colour = figures.ORANGE if name in highlight else figures.BLUE
        bar = f"width:{max(share, 0.002) * 55:.2f}%;height:.9em;background:{colour}"
        rows.append(
            '<div style="display:flex;align-items:center;line-height:1.5">'
            f'<span style="width:7em">{html.escape(name)}</span><span style="{bar}"></span>'
            f'<span style="margin-left:.5em">{100 * share:.1f} %</span></div>'
        )
    return "".join(rows)


def word_order(
    words: list[str], scores: dict[str, float], senses: dict[str, str]
) -> ipywidgets.VBox:
    """Buttons that put `words` in an order; below, its sense and what a model thinks of it.

    Args:
        scores: log-probability in nats of every order, as words in lower case joined by spaces.
        senses: what an order means, where it means something; keys like those of `scores`.
    """
    order: list[str] = []
    ranking = sorted(scores, key=scores.get, reverse=True)
    buttons = [ipywidgets.Button(description=word, layout={"width": "6em"}) for word in words]
    again = ipywidgets.Button(description="Start again", icon="undo", layout={"width": "9em"})
    said = ipywidgets.HTML()

    def tell() -> None:
        key, shown = " ".join(order).lower(), f"<b>{html.escape(' '.join(order))}</b>"
        if len(order) < len(words):
            said.value = f"{shown} …" if order else "Press the words in an order of your own."
            return
        sense = html.escape(senses.get(key, "No sense that we know of."))
        said.value = (
            f"{shown}<br>{sense}<br>Log-probability {scores[key]:.1f} nats, "
            f"place {ranking.index(key) + 1} of {len(ranking)} orders."
        )

    def press(button) -> None:
        order.append(button.description)
        button.disabled = True
        tell()

    def restart(_) -> None:
        order.clear()
        for button in buttons:
            button.disabled = False
        tell()

    for button in buttons:
        button.on_click(press)
    again.on_click(restart)
    tell()
    row = ipywidgets.HBox([*buttons, again], layout={"flex_flow": "row wrap"})
    return ipywidgets.VBox([row, said])


def reshape(
    probabilities: dict[str, float], temperature=1.0, top_k=0, top_p=1.0
) -> dict[str, float]:
    """The distribution that `generate` samples from: temperature first, then top-k, then top-p.

    Args:
        probabilities: of each token; they may sum to less than 1 if the rest is left out.
        temperature: logits are divided by it, so p becomes p^(1/temperature), then all are scaled;
            0 leaves the likeliest token alone.
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the likeliest until their sum reaches top_p, and the one that reaches it.
    Returns: the kept tokens with their new probabilities, which sum to 1, the likeliest first.
    Raises: ValueError, for a temperature below 0, inf or nan.
    """
    if not 0 <= temperature < math.inf:  # nan as well
        raise ValueError(f"temperature must be 0 or a number above it, not {temperature}.")
    if temperature == 0:
        temperature, top_k = 1.0, 1
    logs = {token: math.log(p) if p > 0 else -math.inf for token, p in probabilities.items()}
    largest = max(logs.values())  # taken away, so that the likeliest keeps its power: 1
    powers = {token: math.exp((log - largest) / temperature) for token, log in logs.items()}
    ranked = sorted(powers, key=powers.get, reverse=True)[: top_k or None]
    total = sum(powers[token] for token in ranked)
    kept = ranked[: my_top_p([powers[token] / total for token in ranked], top_p)]
    total = sum(powers[token] for token in kept)
    return {token: powers[token] / total for token in kept}


def next_word(probabilities: dict[str, float], num_shown: int = 10) -> ipywidgets.VBox:
    """Sliders for temperature, top-k and top-p; bars show what is left of the distribution."""
    names = ("temperature", "top-k (0: all)", "top-p")
    temperature = ipywidgets.FloatSlider(value=1.0, min=0.0, max=3.0, step=0.1)
    top_k = ipywidgets.IntSlider(value=0, min=0, max=num_shown)
    top_p = ipywidgets.FloatSlider(value=1.0, min=0.05, max=1.0, step=0.05)
    chart = ipywidgets.HTML()

    def draw(_=None) -> None:
        left = reshape(probabilities, temperature.value, top_k.value, top_p.value)
        shown = dict(list(left.items())[:num_shown])
        rest = sum(left.values()) - sum(shown.values())
        entropy = sum(p * math.log2(1 / p) for p in left.values() if p > 0)
        count = "1 token is left" if len(left) == 1 else f"{len(left)} tokens are left"
        others = f"all others together: {100 * rest:.1f} %"
        chart.value = f"{bars(shown)}<p>{count}; {others}. Entropy {entropy:.2f} bits.</p>"

    for name, slider in zip(names, (temperature, top_k, top_p)):
        slider.description, slider.style.description_width = name, "8em"
        slider.observe(draw, "value")
    draw()
    return ipywidgets.VBox([temperature, top_k, top_p, chart])

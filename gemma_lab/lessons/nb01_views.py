"""Notebook 01: its views; in each the learner's own text goes through a model."""

from __future__ import annotations

import html
import json
import math
from importlib.resources import files
from pathlib import Path

import ipywidgets
import torch

from gemma_lab import figures, scores
from gemma_lab.lessons.views import bar_of, chances, next_logits, piece

DATA = files("gemma_lab").joinpath("data/vietnamese.json")
TALK = json.loads(DATA.read_text(encoding="utf-8"))  # the talk's examples, with glosses
SENSES = {order.lower(): "On a published list of this riddle." for order in TALK["published"]}
SENSES |= {row["order"].lower(): f"{row['written']} {row['gloss']}" for row in TALK["orders"]}
MARKS = ".,;:!?…–—\"'“”‘’()«»"
WIDE = {"layout": {"width": "95%"}} | figures.LET_GO


def bars(shares: dict[str, float], highlight=()) -> str:
    """Horizontal bars in HTML, a name and a share in percent each; `highlight` stands out."""
    rows = []
    for name, share in shares.items():
        colour = figures.ORANGE if name in highlight else figures.BLUE
        rows.append(
            '<div style="display:flex;align-items:center;line-height:1.5">'
            f'<span style="width:7em">{html.escape(name)}</span>{bar_of(share, colour)}</div>'
        )
    return "".join(rows)


def power_of_ten(text: str, model, tokenizer) -> float:
    """-3 for a text of which the model expects one in 10³; its end is part of it."""
    ids = tokenizer(f"{text}<eos>", return_tensors="pt")["input_ids"]
    return scores.token_log_probs(model, ids, 1).sum().item() / math.log(10)


def numbered(tokenizer, text: str) -> list[tuple[str, int]]:
    """The tokens of a text, each with its number; without <bos>, with which every text begins."""
    return [(piece(tokenizer, token), token) for token in tokenizer(text)["input_ids"][1:]]


def token_boxes(tokens: list[tuple[str, int]]) -> str:
    """Tokens in HTML, each in a box over its number."""
    style = "display:inline-block;margin:1px;padding:0 4px;border:1px solid #999;text-align:center"
    return " ".join(
        f'<span style="{style}">{html.escape(token)}<br>{number}</span>' for token, number in tokens
    )


def name_of(model) -> str:
    """The name of the folder a model came from; in the Hub's cache, the repository's name."""
    parts = Path(model.name_or_path).parts
    return next((part.split("--")[-1] for part in parts if part.startswith("models--")), parts[-1])


def look(models: list[tuple], words: str, num: int = 5) -> ipywidgets.VBox:
    """A box for a text; below, for each model, its tokens with their numbers, and what comes next.

    Args: models: pairs of model and tokenizer; one that stands in for another is shown once.
    """
    by_name = {name_of(model): (model, tokenizer) for model, tokenizer in models}
    box, shown = ipywidgets.Text(words, description="Your text", **WIDE), ipywidgets.HTML()

    def tell(_=None) -> None:
        parts = []
        for name, (model, tokenizer) in by_name.items():
            text = box.value.rstrip()  # a space would be a token of its own
            tokens = numbered(tokenizer, text)
            count = "1 token" if len(tokens) == 1 else f"{len(tokens)} tokens"
            parts.append(
                f'<p role="status"><b>{html.escape(name)}</b>: {count}</p>{token_boxes(tokens)}'
            )
            parts.append(f"<p>What comes next:</p>{bars(chances(model, tokenizer, text, num))}")
        shown.value = "".join(parts)

    box.observe(tell, "value")
    tell()
    return ipywidgets.VBox([box, shown])


def word_order(model, tokenizer, words: str = " ".join(TALK["words"])) -> ipywidgets.VBox:
    """Buttons that put words in an order; below, its sense and how likely the model finds it.

    Args: words: what the box over the buttons holds at first; new words give new buttons.
    """
    box = ipywidgets.Text(words, description="Your words", **WIDE)
    row = ipywidgets.HBox(layout={"flex_flow": "row wrap"})
    again = ipywidgets.Button(description="Start again", icon="undo", layout={"width": "9em"})
    order, said = [], ipywidgets.HTML()

    def written(parts: list[str]) -> str:
        text = " ".join(parts)
        return text[:1].upper() + text[1:]

    def typed() -> list[str]:
        return [word for part in box.value.split() if (word := part.strip(MARKS))]

    def compared() -> str:
        both = (written(order), written(typed()))
        if both[0] == both[1]:
            return "exactly as likely: it is the order in the box"
        pressed, other = (power_of_ten(text, model, tokenizer) for text in both)
        than = "likelier" if pressed >= other else "less likely"
        times = 10 ** abs(pressed - other)
        shown = f"{times:,.1f}" if times < 100 else f"{times:,.0f}"
        return f"{shown} times {than} than the order in the box"

    def tell() -> None:
        said.value = f'<span role="status">{told()}</span>'

    def told() -> str:
        shown = f"<b>{html.escape(written(order))}</b>"
        if len(order) < len(row.children) - 1 or not order:
            return f"{shown} …" if order else "Press the words in another order."
        sense = SENSES.get(" ".join(order).lower(), "On no list. It may make sense all the same.")
        return f"{shown}<br>{html.escape(sense)}<br>The model finds it {compared()}."

    def press(button) -> None:
        order.append(button.description)
        button.disabled = True
        tell()

    def start(_=None) -> None:
        order.clear()
        buttons = [ipywidgets.Button(description=word) for word in typed()]
        for button in buttons:
            button.layout.width = "auto"
            button.on_click(press)
        row.children = [*buttons, again]
        tell()

    box.observe(start, "value")
    again.on_click(start)
    start()
    return ipywidgets.VBox([box, row, said])


def reshape(logits: torch.Tensor, temperature=1.0, top_k=0, top_p=1.0) -> torch.Tensor:
    """The probabilities (V,) that `generate` samples from: temperature, then top-k, then top-p.

    Args:
        logits: (V,).
        temperature: the logits are divided by it; 0 leaves the likeliest token alone.
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the likeliest until their sum reaches top_p, and the one that reaches it.
    Raises: ValueError, for a temperature below 0, inf or nan.
    """
    if not 0 <= temperature < math.inf:  # nan as well
        raise ValueError(f"temperature must be 0 or a number above it, not {temperature}.")
    if temperature == 0:
        temperature, top_k = 1.0, 1
    ranked, ids = (logits.double() - logits.max()).sort(descending=True)
    ranked[top_k or len(ranked) :] = -math.inf
    kept = (ranked / temperature).softmax(-1)
    if top_p < 1:
        kept[1:][kept.cumsum(-1)[:-1] >= top_p] = 0
    return torch.zeros_like(kept).scatter(-1, ids, kept / kept.sum())


def next_bars(logits: torch.Tensor, tokenizer, temperature: float, num: int = 8):
    """The likeliest next tokens at a temperature, as a figure."""
    values, ids = reshape(logits, temperature).topk(num)
    shares = {piece(tokenizer, i): p for i, p in zip(ids.tolist(), values.tolist())}
    return figures.share_bars(shares, f"The next token at temperature {temperature:g}")


def next_word(model, tokenizer, words: str, num: int = 8) -> ipywidgets.VBox:
    """A box for a text, sliders for temperature, top-k and top-p, and the bars of what is left."""
    box = ipywidgets.Text(words, description="Your text", **WIDE)
    options = {"style": {"description_width": "8em"}, "layout": {"max_width": "95%"}}
    options |= figures.LET_GO
    temperature = ipywidgets.FloatSlider(
        value=1.0, min=0.0, max=3.0, step=0.1, description="temperature", **options
    )
    top_k = ipywidgets.IntSlider(value=0, min=0, max=50, description="top-k (0: all)", **options)
    top_p = ipywidgets.FloatSlider(
        value=1.0, min=0.05, max=1.0, step=0.05, description="top-p", **options
    )
    chart, logits = ipywidgets.HTML(), []

    def read(_=None) -> None:
        logits[:] = [next_logits(model, tokenizer(box.value.rstrip())["input_ids"]).cpu()]
        draw()

    def draw(_=None) -> None:
        left = reshape(logits[0], temperature.value, top_k.value, top_p.value)
        values, ids = left.topk(num)
        shown = {piece(tokenizer, i): p for i, p in zip(ids.tolist(), values.tolist()) if p > 0}
        count = int((left > 0).sum())
        tokens = "1 token is left" if count == 1 else f"{count:,} tokens are left"
        rest = f"those not shown: {max(1 - sum(shown.values()), 0):.1%} together"
        chart.value = f'{bars(shown)}<p role="status">{tokens}; {rest}.</p>'

    box.observe(read, "value")
    for slider in (temperature, top_k, top_p):
        slider.observe(draw, "value")
    read()
    return ipywidgets.VBox([box, temperature, top_k, top_p, chart])

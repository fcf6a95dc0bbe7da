"""Notebook 02: a model at six steps of its training, one step by hand, neighbours of a vector."""

from __future__ import annotations

import html
import math

import ipywidgets
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemma_lab import catalog, figures
from gemma_lab.figures import BLUE, GREY, ORANGE, SMALL, WIDTH, plt
from gemma_lab.profile import CHECKPOINTS, checkpoint

NANO = CHECKPOINTS / "pocket-nano"
STEPS = (0, 400, 800, 1600, 3200, 6400)  # after which its weights were kept


def load(hub_id: str, profile: str | None = None):
    """The tokenizer and the model, in float32, of what `checkpoint` gives for a model and profile.

    Raises: as `gemma_lab.checkpoint`.
    """
    path = checkpoint(hub_id, profile)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return AutoTokenizer.from_pretrained(path), model


def load_nano():
    """The tokenizer of pocket-nano, and its model after each of STEPS: step -> model."""
    models = {}
    for step in STEPS:
        folder = NANO if step == STEPS[-1] else NANO / f"step-{step}"
        models[step] = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return AutoTokenizer.from_pretrained(NANO), models


def write(model, tokenizer, text: str, num_tokens: int = 32, temperature: float = 0) -> str:
    """What `model` writes after `text`: the likeliest token each time, or drawn from one seed.

    Args: text: bare, or a prompt of the chat template, which has a <bos> of its own.
    """
    is_bare = not text.startswith(tokenizer.bos_token)
    inputs = tokenizer(text, return_tensors="pt", add_special_tokens=is_bare)
    drawn = {"do_sample": True, "temperature": temperature, "top_k": 0}
    how = drawn if temperature else {"do_sample": False}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        output = model.generate(**inputs, **how, max_new_tokens=num_tokens)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def go_on(model, tokenizer, prompt: str) -> str:
    """What one of the six models writes after `prompt`, on one line."""
    return write(model, tokenizer, prompt, 16, temperature=0.7).replace("\n", "⏎")


def training_losses() -> dict[int, float]:
    """The loss of pocket-nano in training, step -> nats; at step 0 that of a blind guess."""
    rows = catalog.json_lines(NANO / "training_log.jsonl")
    guess = math.log(catalog.find(NANO).vocab_size)
    return {0: guess} | {row["step"]: row["loss"] for row in rows}


def learning(texts: dict[int, str], title: str, now: int | None = None):
    """The loss over the steps of training, and below it the texts that were written at some.

    Args: texts: step -> text, or none; now: the step to mark.    Returns: the matplotlib figure.
    """
    figures.use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, 1.9 + 0.22 * len(texts)))
    losses = training_losses()
    axis.plot(list(losses), list(losses.values()), color=GREY, linewidth=1)
    axis.scatter(STEPS, [losses[step] for step in STEPS], color=BLUE, zorder=2)
    for step in STEPS:
        axis.text(step, losses[step] + 0.9, f"{step:,}", ha="center", va="center", fontsize=SMALL)
    if now is not None:
        axis.scatter([now], [losses[now]], color=ORANGE, s=90, zorder=3)
    said = [f"{step:,}: {_short(text.strip(), 60)}" for step, text in texts.items()]
    label = {"loc": "left", "parse_math": False, "linespacing": 1.5}
    axis.set_xlabel("\n".join(["step of training", *said]), **label)
    axis.set(ylabel="loss", ylim=(0, 9.4), xlim=(-200, 6700))
    figures.headline(figure, title)
    return figure


def written(tokenizer, models: dict, prompt: str):
    """The picture of what each of the six models writes after `prompt`, below the loss."""
    texts = {step: go_on(model, tokenizer, prompt) for step, model in models.items()}
    return learning(texts, f"“{prompt} …”: noise, letters, words, sense")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def watch(tokenizer, models: dict, prompt: str) -> ipywidgets.VBox:
    """A box for your words, a slider over the steps of training, and what each model writes."""
    wide = {"width": "95%"}
    box = ipywidgets.Text(prompt, description="your words", layout=wide, **figures.LET_GO)
    steps = [(f"{step:,}", step) for step in models]
    slider = ipywidgets.SelectionSlider(
        options=steps, description="step", layout=wide, **figures.LET_GO
    )
    said, curve = ipywidgets.HTML(), ipywidgets.Image(format="png")

    def tell(_=None) -> None:
        step, words = slider.value, html.escape(box.value)
        new = html.escape(go_on(models[step], tokenizer, box.value))
        said.value = f'<p role="status" style="line-height:1.5">{words}<b>{new}</b></p>'
        title = f"Step {step:,}: the loss is {training_losses()[step]:.1f}"
        curve.value = figures.png(learning({}, title, step))

    for control in (box, slider):
        control.observe(tell, "value")
    tell()
    return ipywidgets.VBox([box, slider, said, curve])


def one_step(names: list[str], before: list[float], after: list[float]):
    """Three pictures of one step of training: the parameters, the loss, and the gradient.

    The parameters are the scores of three tokens, and the first token is the right one.
    Args: before, after: the three scores.    Returns: the matplotlib figure.
    """
    figures.use_style()
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.3))
    rows = range(len(names))
    axes[0].barh(rows, after, 0.6, color=BLUE)
    axes[0].plot(before, rows, "o", color=ORANGE)
    axes[0].axvline(0, color=GREY, linewidth=0.8)
    axes[0].set_yticks(rows, names)
    axes[0].invert_yaxis()
    axes[0].set(title="parameters", xlabel="score")
    shares = [point / 100 for point in range(8, 100)]
    axes[1].plot(shares, [-math.log(share) for share in shares], color=GREY)
    axes[1].set(title="loss", xlabel=f"share of {names[0]}", xlim=(0, 1), ylim=(0, 2.5))
    loss, slope = _loss(before), _share(before) - 1
    scores = [before[0] + point / 20 for point in range(-30, 41)]
    axes[2].plot(scores, [_loss([score, *before[1:]]) for score in scores], color=GREY)
    ends = [before[0] - 1, before[0] + 1]
    axes[2].plot(ends, [loss - slope, loss + slope], color=ORANGE, linestyle="--")
    axes[2].plot(before[0], loss, "o", color=ORANGE)
    figures.note(axes[2], f"slope\n{slope:.2f}", (before[0] + 0.2, loss + 0.35), 1)
    axes[2].set(title="gradient", xlabel=f"score of {names[0]}", ylim=(0, 2.5))
    for values, colour, word in ((before, ORANGE, "before"), (after, BLUE, "after")):
        axes[1].plot(_share(values), _loss(values), "o", color=colour)
        figures.note(axes[1], word, (_share(values), _loss(values) + 0.15), 4)
    return figure


def _share(scores: list[float]) -> float:
    return math.exp(scores[0]) / sum(map(math.exp, scores))


def _loss(scores: list[float]) -> float:
    return -math.log(_share(scores))


def neighbours(table: torch.Tensor, token: int, num: int = 6) -> list[tuple[int, float]]:
    """The rows of `table` nearest in direction to that of `token`: (token, cosine), nearest first.

    Args: table: (V, D), an embedding table.
    """
    row = table[token]
    cosines = table @ row / (torch.linalg.vector_norm(table, dim=-1) * row.norm())
    cosines[token] = -math.inf  # every row is nearest to itself
    found, tokens = cosines.topk(num)
    return list(zip(tokens.tolist(), found.tolist()))


def near(table: torch.Tensor, tokenizer, word: str, num: int = 6) -> dict[str, dict[str, float]]:
    """Neighbours of each token of ` word`, as inside a sentence: token -> neighbour -> cosine."""
    pieces, ids = tokenizer.convert_ids_to_tokens, tokenizer(f" {word}", add_special_tokens=False)
    return {
        pieces(token): {pieces(other): cosine for other, cosine in neighbours(table, token, num)}
        for token in ids["input_ids"][:4]
    }


def look_up(table: torch.Tensor, tokenizer, word: str) -> ipywidgets.VBox:
    """A box for your word; below, the neighbours of each of its first four tokens, with cosines."""
    narrow = {"max_width": "95%"}
    box = ipywidgets.Text(word, description="your word", layout=narrow, **figures.LET_GO)
    said = ipywidgets.HTML()

    def tell(_=None) -> None:
        lines = []
        for token, others in near(table, tokenizer, box.value.strip()).items():
            words = ", ".join(f"{html.escape(name)} {c:.2f}" for name, c in others.items())
            lines.append(f"<li><b>{html.escape(token)}</b> is near {words}</li>")
        said.value = f'<ul role="status">{"".join(lines)}</ul>'

    box.observe(tell, "value")
    tell()
    return ipywidgets.VBox([box, said])

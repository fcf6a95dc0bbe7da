"""Views with buttons and sliders over plain numbers. Each leaves a picture where no kernel runs.

They work on ipywidgets 7 (Colab) and 8. A view computes nothing that a notebook has not shown before.
"""

from __future__ import annotations

import html
import io
import math

import ipywidgets

from gemma_lab import catalog, figures

LET_GO = {"continuous_update": False}  # a picture takes a tenth of a second: draw it when the slider is let go


def png(figure) -> bytes:
    """A matplotlib figure as a PNG file; the figure is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    figures.plt.close(figure)
    return buffer.getvalue()


def show(view: ipywidgets.Widget, figure, text: str) -> None:
    """Display `view`; readers without a kernel see `figure` (matplotlib), or `text` where there are no pictures."""
    from IPython.display import display

    bundle = {
        "application/vnd.jupyter.widget-view+json": {"version_major": 2, "version_minor": 0, "model_id": view.model_id},
        "image/png": png(figure),
        "text/plain": text,
    }
    display(bundle, raw=True)


def bars(shares: dict[str, float], highlight=()) -> str:
    """Horizontal bars in HTML, one for each name, with its share in percent; names in `highlight` stand out."""
    rows = []
    for name, share in shares.items():
        colour = figures.ORANGE if name in highlight else figures.BLUE
        rows.append(
            f'<div style="display:flex;align-items:center;line-height:1.5"><span style="width:7em">{html.escape(name)}'
            f'</span><span style="width:{max(share, 0.002) * 55:.2f}%;height:.9em;background:{colour}"></span>'
            f'<span style="margin-left:.5em">{100 * share:.1f} %</span></div>'
        )
    return "".join(rows)


def word_order(words: list[str], scores: dict[str, float], senses: dict[str, str]) -> ipywidgets.VBox:
    """Buttons that put `words` in an order; below it the sense of that order and what a model thinks of it.

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
        text = " ".join(order)
        if len(order) < len(words):
            said.value = f"<b>{html.escape(text)}</b> …" if order else "Press the words in an order of your own."
            return
        key = text.lower()
        sense = html.escape(senses.get(key, "No sense that we know of."))
        said.value = (
            f"<b>{html.escape(text)}</b><br>{sense}<br>Log-probability {scores[key]:.1f} nats, "
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
    return ipywidgets.VBox([ipywidgets.HBox([*buttons, again], layout={"flex_flow": "row wrap"}), said])


def reshape(probabilities: dict[str, float], temperature=1.0, top_k=0, top_p=1.0) -> dict[str, float]:
    """The distribution that is sampled from: first temperature, then top-k, then top-p, as `generate` does it.

    Args:
        probabilities: of each token; they may sum to less than 1 if the rest is left out.
        temperature: logits are divided by it, so p becomes p^(1/temperature), and all are scaled together.
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the likeliest tokens until their sum reaches top_p, the one that reaches it included.
    Returns: the kept tokens with their new probabilities, which sum to 1, the likeliest first.
    """
    powers = {token: p ** (1 / temperature) for token, p in probabilities.items()}
    ranked = sorted(powers, key=powers.get, reverse=True)
    ranked = ranked[: top_k or None]
    total, kept, reached = sum(powers[token] for token in ranked), [], 0.0
    for token in ranked:
        if reached >= top_p:
            break
        kept.append(token)
        reached += powers[token] / total
    total = sum(powers[token] for token in kept)
    return {token: powers[token] / total for token in kept}


def next_word(probabilities: dict[str, float], num_shown: int = 10) -> ipywidgets.VBox:
    """Sliders for temperature, top-k and top-p over a next-token distribution; bars show what is left to sample from."""
    style = {"description_width": "8em"}
    temperature = ipywidgets.FloatSlider(value=1.0, min=0.1, max=3.0, step=0.1, description="temperature", style=style)
    top_k = ipywidgets.IntSlider(value=0, min=0, max=num_shown, description="top-k (0: all)", style=style)
    top_p = ipywidgets.FloatSlider(value=1.0, min=0.05, max=1.0, step=0.05, description="top-p", style=style)
    chart = ipywidgets.HTML()

    def draw(_=None) -> None:
        left = reshape(probabilities, temperature.value, top_k.value, top_p.value)
        shown = dict(list(left.items())[:num_shown])
        rest = sum(left.values()) - sum(shown.values())
        entropy = -sum(p * math.log2(p) for p in left.values() if p > 0)
        chart.value = bars(shown) + (
            f"<p>{len(left)} tokens are left; all others together: {100 * rest:.1f} %. Entropy {entropy:.2f} bits.</p>"
        )

    for slider in (temperature, top_k, top_p):
        slider.observe(draw, "value")
    draw()
    return ipywidgets.VBox([temperature, top_k, top_p, chart])


def _drawn(controls: list, draw) -> ipywidgets.VBox:
    """Controls over a picture that `draw`, a function without arguments that returns a figure, makes anew at each change."""
    image = ipywidgets.Image(format="png", value=png(draw()))

    def redraw(_) -> None:
        image.value = png(draw())

    for control in controls:
        control.observe(redraw, "value")
    return ipywidgets.VBox([*controls, image])


def fits(hub_ids: list[str], memory_gib: float) -> ipywidgets.VBox:
    """A slider for memory in GiB over a table of models and precisions: which fit, with a 1024-token cache."""
    needs = {id_: {p: catalog.needed_gib(catalog.lookup(id_), p) for p in figures.PRECISIONS} for id_ in hub_ids}
    start, style = min(max(memory_gib, 2), 80), {"description_width": "7em"}
    slider = ipywidgets.FloatSlider(start, min=2, max=80, step=1, description="memory, GiB", style=style, **LET_GO)
    return _drawn([slider], lambda: figures.fit_table(needs, slider.value, f"What fits {slider.value:.1f} GiB"))


def rope(query_at: int, key_at: int, speeds: list[float]) -> ipywidgets.VBox:
    """Two sliders that move a query and a key along a text; wheels show how RoPE turns them (`figures.rope_wheels`)."""
    style = {"description_width": "7em"}
    query = ipywidgets.IntSlider(value=query_at, min=0, max=64, description="query at", style=style, **LET_GO)
    key = ipywidgets.IntSlider(value=key_at, min=0, max=64, description="key at", style=style, **LET_GO)
    return _drawn([query, key], lambda: figures.rope_wheels(query.value, key.value, speeds))


def attention_heads(maps: dict, layer: int = 0, head: int = 0) -> ipywidgets.VBox:
    """Choose a sentence, a layer and a head, and see where its tokens look.

    Args: maps: sentence -> (its tokens, the attention weights of each layer, (1, H, T, T)); `layer`, `head`: the first view.
    """
    layers = next(iter(maps.values()))[1]
    sentence = ipywidgets.Dropdown(options=list(maps), description="sentence", layout={"width": "95%"})
    which_layer = ipywidgets.IntSlider(value=layer, min=0, max=len(layers) - 1, description="layer", **LET_GO)
    which_head = ipywidgets.IntSlider(value=head, min=0, max=layers[0].shape[1] - 1, description="head", **LET_GO)

    def draw():
        tokens, weights = maps[sentence.value]
        title = f"Layer {which_layer.value}, head {which_head.value}"
        return figures.attention_map(weights[which_layer.value][0, which_head.value], tokens, title)

    return _drawn([sentence, which_layer, which_head], draw)

"""A box to talk to a model, for more than one notebook."""

from __future__ import annotations

import html

import ipywidgets
import torch

from gemma_lab.figures import BLUE, LET_GO


@torch.no_grad()
def next_logits(model, ids: list[int]) -> torch.Tensor:
    """One number for each token of the vocabulary, (V,), float32: the higher, the likelier next."""
    return model(torch.tensor([ids], device=model.device), logits_to_keep=1).logits[0, -1].float()


def next_tokens(model, ids: list[int], num: int) -> list[tuple[int, float]]:
    """The `num` likeliest next tokens after `ids` with their probabilities, the likeliest first."""
    shares, tokens = next_logits(model, ids).softmax(-1).topk(num)
    return list(zip(tokens.tolist(), shares.tolist()))


def piece(tokenizer, token: int) -> str:
    """A token as a label: ▁ for a space, ⏎ for a new line, escapes for what cannot be seen."""
    seen = tokenizer.convert_ids_to_tokens(token).replace("\n", "⏎").replace(" ", "▁")
    return seen if seen.isprintable() else ascii(seen)


def chances(model, tokenizer, text: str, num: int = 6) -> dict[str, float]:
    """The `num` likeliest tokens after a text, as labels, with their probabilities."""
    found = next_tokens(model, tokenizer(text)["input_ids"], num)
    return {piece(tokenizer, token): share for token, share in found}


def bar_of(share: float, colour: str = BLUE) -> str:
    """A bar in HTML that is as long as a share, and the share in percent."""
    size = f"display:inline-block;height:.9em;width:{8 * max(share, 0.002):.2f}em"
    percent = f'<span style="margin-left:.5em;white-space:nowrap">{100 * share:.1f} %</span>'
    return f'<span style="{size};background:{colour}"></span>{percent}'


def go_on(model, tokenizer, words: str, num: int = 6) -> ipywidgets.VBox:
    """A box for your words; below, the likeliest next tokens as buttons with bars: press one."""
    box = ipywidgets.Text(words, description="Your words", layout={"width": "95%"}, **LET_GO)
    buttons = [ipywidgets.Button(layout={"width": "9em"}) for _ in range(num)]
    ten, said = ipywidgets.Button(description="Write ten"), ipywidgets.HTML()
    bars, written = [ipywidgets.HTML() for _ in buttons], []  # `written`: tokens after the words

    def ids() -> list[int]:
        return tokenizer(box.value.rstrip())["input_ids"] + written  # a space would be a token

    def tell() -> None:
        for button, bar, (token, share) in zip(buttons, bars, next_tokens(model, ids(), num)):
            button.token = token
            button.description = piece(tokenizer, token)
            bar.value = bar_of(share)
        new = html.escape(tokenizer.decode(written)).replace("\n", "<br>")
        said.value = f'<span role="status">{html.escape(box.value.rstrip())}<b>{new}</b></span>'

    def press(button) -> None:
        written.append(button.token)
        tell()

    def write_ten(_) -> None:
        for _ in range(10):
            written.append(next_tokens(model, ids(), 1)[0][0])
        tell()

    def start(_) -> None:
        written.clear()
        tell()

    box.observe(start, "value")
    ten.on_click(write_ten)
    for button in buttons:
        button.on_click(press)
    tell()
    rows = [ipywidgets.HBox(pair) for pair in zip(buttons, bars)]
    return ipywidgets.VBox([box, said, *rows, ten])

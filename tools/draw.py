"""Draws the slides' pictures, some shared with notebooks: `python -m tools.draw` writes them."""

from __future__ import annotations

import functools
import io

import matplotlib.pyplot as plt
import torch
from transformers.utils import logging

from gemma_lab import catalog, diagrams
from gemma_lab.lessons import nb01_diagrams, nb02_learn, nb03, nb06
from gemma_lab.scratch.gemma import causal_mask
from tools import NOTEBOOKS, ROOT
from tools.contract import BADGE
from tools.deck_fill import parts
from tools.fork import repository

FIGURES = ROOT / "slides" / "figures"


def drawings() -> dict:
    """Name -> a function that returns a matplotlib figure, or the text of an SVG file."""

    def models(**names):
        return {
            name.replace("_", " "): catalog.find(f"google/gemma-{size}")
            for name, size in names.items()
        }

    windows = {"global: all that came before": None, "sliding: a window of 4": 4}
    masks = {
        name: causal_mask(12, 12, window, torch.ones(1, 12))[0, 0]
        for name, window in windows.items()
    }
    shared = {
        "fields_of_ai": nb01_diagrams.fields_of_ai,
        "transformer": nb01_diagrams.transformer,
        "architecture": lambda: diagrams.architecture(models(Gemma_7B="7b", Gemma_2B="2b")),
        "architecture_gemma_2": lambda: diagrams.architecture(
            models(Gemma_2B="2b", Gemma_2_2B="2-2b")
        ),
        "learning": lambda: nb02_learn.written(*nb02_learn.load_nano(), "The capital of Japan is"),
        "rope": lambda: nb03.rope_wheels(7, 3, [10_000 ** (-2 * pair / 64) for pair in range(32)]),
        "masks": lambda: nb06.masks(masks, "The window counts the token itself"),
    }
    codes = {
        f"qr_{path.stem[:2]}": functools.partial(qr, colab_url(path.name))
        for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    }
    course = {"qr_course": functools.partial(qr, f"https://github.com/{repository()}")}
    return shared | parts("FIGURES") | codes | course


def colab_url(name: str) -> str:
    """Where Colab opens a notebook of this repository: the address behind its badge."""
    return BADGE.format(repository=repository(), name=name).rpartition("](")[2].rstrip(")")


def qr(url: str) -> str:
    """A QR code as the text of an SVG file, with the quiet margin of four that phones need."""
    import segno

    file = io.BytesIO()
    code = segno.make_qr(url, error="m", boost_error=False)
    code.save(file, "svg", border=4, light="#ffffff", xmldecl=False, omitsize=True, title=url)
    return file.getvalue().decode() + "\n"


def svg(drawn) -> str:
    """The text of an SVG file for what a drawing returned; a matplotlib figure is closed."""
    if isinstance(drawn, str):
        return drawn
    file = io.StringIO()
    drawn.savefig(file, format="svg", metadata={"Date": None})
    plt.close(drawn)
    return file.getvalue()


def write() -> None:
    """Draws everything anew into slides/figures/."""
    logging.disable_progress_bar()
    for name, draw in drawings().items():
        (FIGURES / f"{name}.svg").write_text(svg(draw()), encoding="utf-8")


if __name__ == "__main__":
    write()

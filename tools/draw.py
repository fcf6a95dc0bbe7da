"""Draws the pictures of the slides and the README: `python -m tools.draw` writes them."""

from __future__ import annotations

import functools
import io

import matplotlib.pyplot as plt
from transformers.utils import logging

from gemma_lab.lessons import nb02_learn
from tools import NOTEBOOKS, ROOT
from tools.contract import BADGE
from tools.deck_fill import parts
from tools.fork import repository

FIGURES = ROOT / "slides" / "figures"


def drawings() -> dict:
    """Name -> a function that returns a matplotlib figure, or the text of an SVG file."""

    readme = {
        "learning": lambda: nb02_learn.written(*nb02_learn.load_nano(), "The capital of Japan is"),
    }
    codes = {
        f"qr_{path.stem[:2]}": functools.partial(qr, colab_url(path.name))
        for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    }
    course = {"qr_course": functools.partial(qr, f"https://github.com/{repository()}")}
    return readme | parts("FIGURES") | codes | course


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

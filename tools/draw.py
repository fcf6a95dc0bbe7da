"""Draws what slides share with the notebooks: `python -m tools.draw` writes slides/figures/."""

import torch

from gemma_lab import catalog, diagrams
from gemma_lab.lessons import nb01_diagrams, nb02_learn, nb03, nb06
from gemma_lab.scratch.gemma import causal_mask
from tools import ROOT

FIGURES = ROOT / "slides" / "figures"


def drawings() -> dict:
    """Name -> a function that draws."""

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
    return {
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


if __name__ == "__main__":
    for name, draw in drawings().items():
        draw().savefig(FIGURES / f"{name}.svg", metadata={"Date": None})

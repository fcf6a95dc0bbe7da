"""Draw how the skills of the shipped models grew while they were trained: `curves.svg`, from the logs in `pocket/curves/`."""

import json
from pathlib import Path

import matplotlib.pyplot as plt

from gemma_lab import figures
from pocket import train

HERE = Path(__file__).parent
SKILLS = {
    "copying": "copying a new title",
    "fact": "facts, new phrasings",
    "sum": "sums of new pairs",
    "mood": "the mood of a new title",
    "noun": "the noun of a new title",
    "task": "small tasks",
}
RUNS = {
    "small": (["small", "small-it"], figures.ORANGE),
    "large": (["large-it"], figures.BLUE),
    "gemma2": (["gemma2-it"], figures.GREY),
}


def curve(sizes: list[str], skill: str) -> tuple[list[float], list[float]]:
    """Millions of token slots seen, and percent right, over the runs of one model in their order."""
    slots, shares, before = [0.0], [0.0], 0
    for size in sizes:
        log = [json.loads(line) for line in (HERE / "curves" / f"{size}.jsonl").read_text(encoding="utf-8").splitlines()]
        for row in log:
            if skill in row:
                slots.append((before + row["step"]) * train.ROWS * train.LENGTH / 1e6)
                shares.append(100 * row[skill])
        before += log[-1]["step"]
    return slots, shares


def draw():
    """The figure: a panel for each skill, a line for each model."""
    figures.use_style()
    figure, axes = plt.subplots(2, 3, sharex=True, sharey=True, figsize=(figures.WIDTH, 4.2))
    for axis, (skill, title) in zip(axes.flat, SKILLS.items()):
        for name, (sizes, colour) in RUNS.items():
            axis.plot(*curve(sizes, skill), color=colour, label=name)
        axis.set_title(title, fontsize=9)
        axis.set(ylim=(-2, 102))
    axes[1, 2].legend(loc="upper left", fontsize=8)
    figure.supylabel("% right", fontsize=9, color=figures.GREY)
    figure.supxlabel("millions of token slots", fontsize=9, color=figures.GREY)
    return figure


def write() -> Path:
    """Draw, and save as `curves.svg`."""
    path = HERE / "curves.svg"
    draw().savefig(path, metadata={"Date": None})
    return path

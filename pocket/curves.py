"""Draw how the shipped models grew while they were trained, from the logs in `pocket/curves/`.

`curves.svg` shows the skills. `variety.svg` shows how many of 100 poems differ: {step of the -it training: different bodies}.

python pocket/curves.py
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import train

from gemma_lab import figures

HERE = Path(__file__).parent
SKILLS = {
    "copying": "copying a new title",
    "fact": "facts, new phrasings",
    "sum": "sums of new pairs",
    "task": "small tasks",
}
RUNS = {"small": (["small", "small-it"], figures.ORANGE), "large": (["large-it"], figures.BLUE)}


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
    figure, axes = plt.subplots(1, len(SKILLS), sharey=True, figsize=(figures.WIDTH, 2.4))
    for axis, (skill, title) in zip(axes, SKILLS.items()):
        for name, (sizes, colour) in RUNS.items():
            axis.plot(*curve(sizes, skill), color=colour, label=name)
        axis.set_title(title, fontsize=9)
        axis.set(ylim=(-2, 102))
    axes[0].set_ylabel("% right")
    axes[0].legend(loc="lower right")
    figure.supxlabel("millions of token slots", fontsize=9, color=figures.GREY)
    return figure


def draw_variety():
    """The figure of the poems: different bodies of 100 greedy poems by token slots."""
    figures.use_style()
    figure, axis = plt.subplots(figsize=(4.5, 2.4))
    counted = json.loads((HERE / "curves" / "variety.json").read_text(encoding="utf-8"))
    for name, (sizes, colour) in RUNS.items():
        before = sum(train.STEPS[size] for size in sizes[:-1])
        slots = [(before + int(step)) * train.ROWS * train.LENGTH / 1e6 for step in counted[sizes[-1]]]
        axis.plot(slots, list(counted[sizes[-1]].values()), "o-", color=colour, label=name, markersize=4)
    axis.axhline(98, color=figures.GREY, linestyle=":")
    axis.text(19, 96, "a model that knew the rule", ha="right", va="top", color=figures.GREY, fontsize=8)
    axis.set(xlabel="millions of token slots", ylabel="different bodies of 100", ylim=(0, 102), xlim=(7, 19))
    axis.legend(loc="lower left")
    return figure


if __name__ == "__main__":
    for name, figure in (("curves", draw()), ("variety", draw_variety())):
        figure.savefig(HERE / f"{name}.svg", metadata={"Date": None})

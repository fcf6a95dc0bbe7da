"""How the skills of the shipped models grew: `curves.svg`, from the logs in `pocket/curves/`."""

from pathlib import Path

import matplotlib.pyplot as plt

from gemma_lab import figures
from pocket import skills, train
from pocket.recipe import Recipe
from pocket.recipes import RECIPES

LOGS = Path(__file__).with_name("curves")
PICTURE = Path(__file__).with_name("curves.svg")


def curve(recipe: Recipe, skill: str) -> tuple[list[float], list[float]]:
    """Millions of token slots seen, and percent right, over a recipe's run and those before it."""
    runs = [recipe]
    while runs[0].begins_from:
        runs.insert(0, runs[0].begins_from)
    slots, shares, steps_before = [0.0], [0.0], 0
    for run in runs:
        log = train.log_of(run, LOGS)
        for row in log:
            if skill in row:
                slots.append((steps_before + row["step"]) * train.ROWS * train.LENGTH / 1e6)
                shares.append(100 * row[skill])
        steps_before += log[-1]["step"]
    return slots, shares


def draw():
    """The figure: a panel for each skill, a line for each model."""
    figures.use_style()
    figure, axes = plt.subplots(2, 3, sharex=True, sharey=True, figsize=(figures.WIDTH, 4.2))
    for axis, (skill, title) in zip(axes.flat, skills.TITLES.items()):
        for recipe in RECIPES.values():
            if recipe.colour:
                colour = getattr(figures, recipe.colour)
                axis.plot(*curve(recipe, skill), color=colour, label=recipe.name)
        axis.set_title(title, fontsize=9)
        axis.set(ylim=(-2, 102))
    axes[1, 2].legend(loc="upper left", fontsize=8)
    figure.supylabel("% right", fontsize=9, color=figures.GREY)
    figure.supxlabel("millions of token slots", fontsize=9, color=figures.GREY)
    return figure


def write() -> Path:
    """Draw, and save as `curves.svg`."""
    draw().savefig(PICTURE, metadata={"Date": None})
    return PICTURE

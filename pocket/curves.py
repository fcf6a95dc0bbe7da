"""How the shipped models learned, from the logs beside their weights: `curves.svg`, `nano.svg`."""

from pathlib import Path

import matplotlib.pyplot as plt

from gemma_lab import figures
from pocket import skills, train
from pocket.recipe import Recipe
from pocket.recipes import RECIPES

FOLDER = Path(__file__).parent


def curve(recipe: Recipe, skill: str) -> tuple[list[float], list[float]]:
    """Millions of token slots seen, and percent right, over a recipe's run and those before it."""
    runs = [recipe]
    while runs[0].begins_from:
        runs.insert(0, runs[0].begins_from)
    slots, shares, steps_before = [0.0], [0.0], 0
    for run in runs:
        log = train.log_of(run.shipped_folder / train.LOG_NAME)
        for row in log:
            if skill in row:
                steps = steps_before + row["step"]
                slots.append(steps * train.rows_of(run) * train.LENGTH / 1e6)
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
    axes[1, 2].legend(loc="lower right", fontsize=8)
    figure.supylabel("% right", fontsize=9, color=figures.GREY)
    figure.supxlabel("millions of token slots", fontsize=9, color=figures.GREY)
    return figure


def draw_loss(recipe: Recipe):
    """The loss of a watched model by step, marked where its weights were kept."""
    figures.use_style()
    figure, axis = plt.subplots(figsize=(figures.WIDTH, 2.6))
    log = train.log_of(recipe.shipped_folder / train.LOG_NAME)
    axis.plot([row["step"] for row in log], [row["loss"] for row in log], color=figures.BLUE)
    for step in (*recipe.snapshots, recipe.steps):
        axis.axvline(step, color=figures.GREY, linewidth=0.8, linestyle=":")
    axis.set(xlabel="step", ylabel="loss, nats a token", ylim=(0, None))
    axis.set_xticks((*recipe.snapshots, recipe.steps))
    return figure


def write() -> list[Path]:
    """Draw both, and save them."""
    watched = [recipe for recipe in RECIPES.values() if recipe.snapshots]
    figures_of = {"curves": draw()} | {recipe.name: draw_loss(recipe) for recipe in watched}
    files = [FOLDER / f"{name}.svg" for name in figures_of]
    for file, figure in zip(files, figures_of.values()):
        figure.savefig(file, metadata={"Date": None})
    return files

"""Notebook 02: checks of its exercises, its view, and its pictures."""

from __future__ import annotations

import ipywidgets

from gemma_lab import catalog, figures, memory
from gemma_lab.exercises import report, untouched
from gemma_lab.figures import BLUE, GREY, ORANGE, PALE, WIDTH, plt, use_style

PRECISIONS = ("fp32", "bf16", "int8", "nf4")


def check_token_ceiling(answer) -> bool | None:
    """02: the most tokens a second that 50 GB/s allow a model of 2.1 GB."""
    if untouched(answer):
        return None
    if not isinstance(answer, (int, float)):
        return report(False, f"The answer is one number, not {type(answer).__name__}.")
    right = SOLUTIONS["token_ceiling"]
    if abs(answer - right) < 1:
        return report(True, f"50 / 2.1 = {right:.1f}: every weight passes once for each token.")
    if abs(answer - 50 * 2.1) < 1:
        return report(
            False,
            "You multiplied.",
            "More bytes take more time.",
            "divide the bandwidth by the bytes",
        )
    if abs(answer - 50 / 5.0) < 0.5:
        return report(
            False,
            "That is the ceiling in 16 bits.",
            "In 4 bits the weights take 2.1 GB.",
            "divide by 2.1",
        )
    if abs(answer - 40) < 1:
        return report(
            False,
            "That is a quarter of 5.0 GB.",
            "The embedding table stays in 16 bits.",
            "divide by 2.1",
        )
    return report(False, f"{answer} is not it.", hint="50 GB a second, and 2.1 GB for each token")


def check_family_member(answer) -> bool | None:
    """02: the line of the family with image input, Apache-2.0 and at most 5 billion effective parameters."""
    if untouched(answer):
        return None
    if hasattr(answer, "columns"):  # rows of the table
        answer = answer["name"] if "name" in answer.columns else answer.index
    several = hasattr(answer, "__iter__") and not isinstance(answer, str)
    found = [str(one).strip() for one in (answer if several else [answer])]
    if len(found) != 1:
        return report(
            False,
            f"{len(found)} rows are left, and one is asked for.",
            hint="join conditions with &",
        )
    name = found[0]
    if name.startswith(SOLUTIONS["family_member"]):
        return report(
            True,
            "E2B and E4B have 2 and 4 billion effective parameters, image input, and Apache-2.0.",
        )
    if name in ("Gemma 3", "Gemma 3n", "PaliGemma", "PaliGemma 2"):
        return report(
            False,
            f"{name} takes images, but is under the Gemma Terms of Use.",
            hint='family["licence"]',
        )
    return report(
        False,
        f"{name} does not meet all three.",
        hint='look at the columns "inputs", "licence" and "sizes"',
    )


def check_strict_wins(answer) -> bool | None:
    """02: in how many of the 18 tests Gemma 7B is strictly ahead of the four other models."""
    if untouched(answer):
        return None
    right = SOLUTIONS["strict_wins"]
    if getattr(answer, "shape", ()) != ():
        return report(False, "That says yes or no for each test.", hint="count the yes with .sum()")
    if answer == right:
        return report(
            True, f"{right}. The report's 11 probably counts Boolq, where Mistral has 83.2 as well."
        )
    if answer == right + 1:
        return report(
            False, "That counts a tie.", "On Boolq Mistral has 83.2 as well.", "use >, not >="
        )
    if answer == 14:
        return report(
            False,
            "That is against LLaMA-2 13B alone.",
            hint="take the maximum of all other columns",
        )
    return report(
        False, f"{answer} is not it.", hint='(table["Gemma 7B"] > others.max(axis=1)).sum()'
    )


SOLUTIONS = {
    "token_ceiling": 50 / 2.1,
    "family_member": "Gemma 4",
    "strict_wins": 10,
}


def fits(hub_ids: list[str], memory_gib: float) -> ipywidgets.VBox:
    """A slider for memory in GiB over a table of models and precisions: which fit, with a 1024-token cache."""
    needs = {
        id_: {p: memory.needed_gib(catalog.find(id_), p) for p in PRECISIONS} for id_ in hub_ids
    }
    start, style = min(max(memory_gib, 2), 80), {"description_width": "7em"}
    slider = ipywidgets.FloatSlider(
        start, min=2, max=80, step=1, description="memory, GiB", style=style, **figures.LET_GO
    )
    return figures.with_controls(
        [slider], lambda: fit_table(needs, slider.value, f"What fits {slider.value:.1f} GiB")
    )


def fit_table(needs: dict[str, dict[str, float]], memory_gib: float, title: str):
    """Models by precision: GiB needed, blue where it fits `memory_gib` and grey where it does not.

    Args: needs: model -> precision -> GiB.    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, 0.7 + 0.27 * len(needs)))
    for row, (name, of_precision) in enumerate(needs.items()):
        axis.text(-0.62, row, name, ha="right", va="center", fontsize=9)
        for column, gib in enumerate(of_precision.values()):
            does = gib <= memory_gib
            axis.add_patch(
                plt.Rectangle(
                    (column - 0.46, row - 0.4), 0.92, 0.8, color=PALE if does else "#F2F2F2"
                )
            )
            axis.text(column, row, f"{gib:.1f}" + (" fits" if does else ""), ha="center", va="center", fontsize=8.5,
                      color=BLUE if does else GREY)  # fmt: skip
    axis.set(
        xlim=(-2.6, len(PRECISIONS) - 0.4), ylim=(len(needs) - 0.5, -0.6), title=title, yticks=[]
    )
    axis.set_xticks(range(len(PRECISIONS)), PRECISIONS)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure


def gains(pairs: dict[str, tuple[float, float]], title: str, names: tuple[str, str]):
    """A line for each row from its smaller to its larger model's score, sorted by the gain.

    Args: pairs: name -> (score of the first model, score of the second), in percent.
    Returns: the matplotlib figure.
    """
    use_style()
    ranked = sorted(pairs.items(), key=lambda row: row[1][1] - row[1][0])
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    for at, (_, (low, high)) in enumerate(ranked):
        axis.plot([low, high], [at, at], color=GREY, linewidth=1, zorder=1)
        axis.annotate(f"+{high - low:.1f}" if high >= low else f"{high - low:.1f}", (max(low, high), at), (7, 0),
                      textcoords="offset points", va="center", fontsize=7.5, color=GREY)  # fmt: skip
    rows = range(len(ranked))
    axis.scatter(
        [low for _, (low, _) in ranked], rows, color=ORANGE, s=22, label=names[0], zorder=2
    )
    axis.scatter(
        [high for _, (_, high) in ranked], rows, color=BLUE, s=22, label=names[1], zorder=2
    )
    axis.set_yticks(rows, [name for name, _ in ranked], fontsize=7.5)
    axis.set(xlabel="score, %", title=title)
    figure.legend(loc="outside right upper")
    return figure

"""Notebook 02: its exercises with solutions, its view, and its pictures."""

from __future__ import annotations

import re

import ipywidgets

from gemma_lab import figures, loading
from gemma_lab.figures import BLUE, GREY, ORANGE, PALE, SMALL, WIDTH, plt, use_style
from gemma_lab.lessons.exercises import (
    Verdict,
    exercise,
    in_short,
    members,
    number,
    plain,
    right,
    text,
    wrong,
)
from gemma_lab.memory import PRECISIONS

SHORT = {  # the models of the talk's tables, in its order
    "LLaMA-2 7B": "L 7B",
    "LLaMA-2 13B": "L 13B",
    "Mistral 7B": "M 7B",
    "Gemma 2B": "G 2B",
    "Gemma 7B": "G 7B",
}


@exercise
def check_gradient(answer) -> Verdict:
    """The gradient of three scores with the shares 0.58, 0.21, 0.21, where the first is right."""
    found = members(answer, "A list of three numbers")
    if any(isinstance(slope, (str, list, tuple)) for slope in found):
        return wrong("Three plain numbers are asked for.", hint="[a, b, c], without quotes")
    found = [number(slope) for slope in found]
    if len(found) != 3:
        return wrong(f"{len(found)} numbers came, and there are three scores.")

    def is_near(*wanted) -> bool:
        return all(abs(slope - value) < 0.01 for slope, value in zip(found, wanted))

    if is_near(-0.42, 0.21, 0.21):
        return right("Less steep than before, -0.67: the model is less wrong, so it learns less.")
    if is_near(-0.67, 0.33, 0.33):
        now = "The shares are 0.58, 0.21, 0.21 now."
        return wrong("That was the gradient before the step.", now, "1 off the right one's share")
    if is_near(0.58, 0.21, 0.21):
        return wrong("Those are the shares.", "Tokyo is right.", "what goes off its share?")
    if is_near(0.42, -0.21, -0.21):
        return wrong("The signs are turned.", "A step goes against the gradient.", "share minus 1")
    if is_near(-0.42, -0.79, -0.79):
        return wrong("You took 1 off each.", "Only one token is right, and 1 goes off its share.")
    if abs(sum(found)) > 0.02:
        return wrong("They do not add up to 0.", "What Tokyo gains, the others lose.")
    return wrong("That is not it.", hint="the share of each, and 1 off the right one's")


@exercise
def check_token_ceiling(answer) -> Verdict:
    """The most tokens a second that 50 GB/s allow a model of 2.1 GB."""
    found = number(answer)
    if abs(found - 50 / 2.1) < 1:
        return right(f"50 / 2.1 = {50 / 2.1:.1f}: every weight passes once for each token.")
    if abs(found - 50 * 2.1) < 1:
        return wrong("You multiplied.", "More bytes take more time.", "bytes a second by bytes")
    if abs(found - 50 / 5.0) < 0.5:
        return wrong("That is the ceiling in 16 bits.", "In 4 bits the weights take less.")
    if abs(found - 40) < 1:
        return wrong("That is a quarter of 5.0 GB.", "The embedding table stays in 16 bits.")
    hint = "how often do the weights pass in one second?"
    return wrong(f"{found:,.6g} is not it.", "All weights pass once for each token.", hint)


@exercise
def check_family_member(answer) -> Verdict:
    """The one of the family that hears and answers, under Apache-2.0."""
    if hasattr(answer, "columns"):  # rows of the table
        answer = answer["name"] if "name" in answer.columns else answer.index
    elif hasattr(answer, "to_numpy") and "name" in answer.index:  # one row
        answer = answer["name"]
    rows = plain(answer)
    rows = list(rows) if isinstance(rows, (list, tuple, set)) else [rows]
    if len(rows) > 1 and all(isinstance(row, bool) for row in rows):
        hint = "family[...] keeps the rows with yes"
        return wrong("That says yes or no for each row.", hint=hint)
    if not rows:
        why = "No row meets the conditions as they are written."
        hint = "is each word spelled as in the table, each condition in parentheses of its own?"
        return wrong("No row is left.", why, hint)
    names = {re.sub("[ -]|^google/", "", str(row).casefold()) for row in rows}
    if "embeddinggemma2" in names and names <= {"embeddinggemma2", "gemma4"}:
        what = "EmbeddingGemma 2 hears, but gives vectors and no answer."
        return wrong(what, hint='family["kinds"]')
    if len(rows) != 1:
        what = f"{len(rows)} rows are left, and one is asked for."
        return wrong(what, hint="join conditions with &")
    name = text(rows[0], "A name is a text in quotes")
    plainly = re.sub(r"[ -]|^google/|(it|pt)$", "", name.casefold())
    if re.fullmatch("gemma4(e[24]b|12b)?", plainly):
        return right("Of Gemma 4, E2B, E4B and 12B hear.")
    if not name:
        return wrong("The text is empty.")
    if plainly == "gemma3n":
        what = f"{name} hears, but is under the Gemma Terms of Use."
        return wrong(what, hint='family["licence"]')
    hint = 'look at the columns "inputs", "kinds" and "licence"'
    return wrong(f"{in_short(name)} does not meet all three.", hint=hint)


@exercise
def check_strict_wins(answer) -> Verdict:
    """In how many of the 18 tests Gemma 7B is strictly ahead of the four other models."""
    rows = plain(answer)
    if isinstance(rows, list) and len(rows) > 1:
        if all(isinstance(row, bool) for row in rows):
            return wrong("That says yes or no for each test.", hint="count the yes with .sum()")
        return wrong(f"That has {len(rows)} parts, and one number is asked for.", hint="count them")
    found = number(answer)
    if found == 10:
        return right("10. The report's 11 probably counts Boolq, where Mistral has 83.2 as well.")
    if found == 11:
        return wrong("That counts a tie.", "On Boolq Mistral has 83.2 as well.", "strictly ahead")
    if found == 14:
        why = "All four others are to be beaten in the same test."
        return wrong("That is against LLaMA-2 13B alone.", why)
    hint = "compare the column of Gemma 7B with the best of the others, row by row"
    return wrong(f"{found:,.6g} is not it.", "All four others must have less.", hint)


SOLUTIONS = {
    "gradient": "my_gradient = [0.58 - 1, 0.21, 0.21]",
    "token_ceiling": "my_tokens_per_s = 50 / 2.1",
    "family_member": """\
hears = family["inputs"].str.contains("audio")
answers = family["kinds"].str.contains("IT")
my_name = family[hears & answers & (family["licence"] == "Apache-2.0")]["name"]""",
    "strict_wins": """\
best_other = table.drop(columns="Gemma 7B").max(axis=1)
my_count = (table["Gemma 7B"] > best_other).sum()""",
}


def needs(hub_ids: list[str], machine) -> dict[str, dict[str, float]]:
    """GiB that inference needs on `machine`: model -> precision -> GiB, by `plan_loading`."""
    return {
        hub_id: {p: loading.plan_loading(hub_id, p, machine).needed_gib for p in PRECISIONS}
        for hub_id in hub_ids
    }


def fits(hub_ids: list[str], machine) -> ipywidgets.VBox:
    """A slider for GiB of memory over a table: which model and precision fit, with 1,024 tokens."""
    needed = needs(hub_ids, machine)
    slider = ipywidgets.FloatSlider(
        min(max(machine.free_gib, 2), 80),
        min=2,
        max=80,
        step=1,
        description="memory, GiB",
        style={"description_width": "7em"},
        layout={"max_width": "95%"},
        **figures.LET_GO,
    )

    def draw():
        return fit_table(needed, slider.value, f"What fits {slider.value:.1f} GiB")

    return figures.with_controls([slider], draw)


def fit_table(needs: dict[str, dict[str, float]], memory_gib: float, title: str):
    """Models by precision: GiB needed, blue where it fits `memory_gib`, grey where it does not.

    Args: needs: model -> precision -> GiB.    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, 0.7 + 0.27 * len(needs)))
    for row, (name, of_precision) in enumerate(needs.items()):
        axis.text(-0.62, row, name, ha="right", va="center")
        for column, gib in enumerate(of_precision.values()):
            does = gib <= memory_gib
            corner, fill = (column - 0.46, row - 0.4), PALE if does else "#F2F2F2"
            axis.add_patch(plt.Rectangle(corner, 0.92, 0.8, color=fill))
            words, colour = f"{gib:.1f}" + (" fits" if does else ""), BLUE if does else GREY
            font = {"ha": "center", "va": "center", "fontsize": SMALL, "color": colour}
            axis.text(column, row, words, **font)
    width, height = len(PRECISIONS), len(needs)
    axis.set(xlim=(-2.6, width - 0.4), ylim=(height - 0.5, -0.6), title=title, yticks=[])
    axis.set_xticks(range(width), PRECISIONS)
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
    figure, axis = plt.subplots(figsize=(WIDTH, 0.9 + 0.175 * len(ranked)))
    for at, (_, (low, high)) in enumerate(ranked):
        axis.plot([low, high], [at, at], color=GREY, linewidth=1, zorder=1)
        figures.note(axis, f"{high - low:+.1f}", (max(low, high), at), 6, color=GREY)
    rows, style = range(len(ranked)), {"s": 22, "zorder": 2}
    axis.scatter([low for _, (low, _) in ranked], rows, color=ORANGE, label=names[0], **style)
    axis.scatter([high for _, (_, high) in ranked], rows, color=BLUE, label=names[1], **style)
    axis.set_yticks(rows, [name for name, _ in ranked], fontsize=SMALL)
    axis.set(xlabel="score, %", title=title)
    axis.margins(x=0.08, y=0.02)
    figure.legend(loc="outside lower right", ncols=2, fontsize=SMALL)
    return figure

"""Notebook 04: checks of its exercises, and its picture."""

from __future__ import annotations

import math

from gemma_lab import catalog
from gemma_lab.exercises import called, report, untouched
from gemma_lab.figures import BLUE, ORANGE, plt, use_style

GEMMA_7B = catalog.find("google/gemma-7b-it")
FOUR_BIT_POEM = "C"  # the notebook orders the poems by their last word: last, seem, sway, tall, untold  # the notebook orders the poems by their last word: last, seem, sway, tall, untold


def check_four_bit_poem(guess) -> bool | None:
    """04: which of the shuffled poems A to E was written in 4 bits?"""
    if untouched(guess):
        return None
    letter = str(guess).strip().upper()
    if letter == FOUR_BIT_POEM:
        return report(
            True, "It left the full-precision poem after two words; the next cell counts them."
        )
    return report(
        False,
        f"Poem {letter} was not written in 4 bits; {FOUR_BIT_POEM} was.",
        "Both are fluent: reading one poem does not tell you what a precision costs.",
    )


def check_int8_gigabytes(answer) -> bool | None:
    """04: gigabytes (10^9 bytes) of Gemma 7B with one byte for each linear weight and two for all others."""
    if untouched(answer):
        return None
    right, every = SOLUTIONS["int8_gigabytes"], GEMMA_7B.num_parameters
    if not isinstance(answer, (int, float)):
        return report(False, f"The answer is one number, not {type(answer).__name__}.")
    if abs(answer - right) < 0.05:
        return report(
            True, f"{right:.2f} GB: int8 needs a little more than one byte for each parameter."
        )
    if abs(answer - every / 1e9) < 0.05:
        return report(
            False,
            f"{answer:.2f} GB counts one byte for every parameter.",
            "bitsandbytes leaves the embedding table in 16 bits.",
            "count num_embedding_parameters twice",
        )
    if abs(answer - right * 1e9 / 2**30) < 0.05:
        return report(
            False,
            f"{answer:.2f} looks like GiB.",
            "1 GB is 10^9 bytes, 1 GiB is 2^30.",
            "divide by 1e9",
        )
    return report(
        False,
        f"{answer:.2f} GB is not it.",
        "Linear layers take one byte for each weight, everything else two.",
        "num_linear_parameters * 1 + (num_parameters - num_linear_parameters) * 2, in GB",
    )


def check_absmax_int8(function) -> bool | None:
    """04: a function that rounds a list of numbers to int8 levels by absmax and returns what comes back."""
    numbers = [0.9, -0.314, 0.026, -2.0]
    got = called(function, numbers)
    if got is None or got is False:
        return got
    right = absmax_int8_solution(numbers)
    got = [float(number) for number in got]
    if len(got) != len(right):
        return report(
            False, f"{len(numbers)} numbers went in and {len(got)} came out.", hint="keep the order"
        )
    if all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(got, right)):
        return report(True, f"{numbers} comes back as {[round(number, 4) for number in got]}.")
    if all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(got, _levels(numbers))):
        return report(
            False,
            "These are the levels.",
            "A layer needs numbers of the old size.",
            "multiply by the scale again",
        )
    if max(map(abs, got)) > 2.0001:
        return report(
            False,
            "The largest number grew.",
            "absmax maps it to exactly 127.",
            "scale = max(abs) / 127",
        )
    return report(
        False,
        f"{[round(number, 4) for number in got]} came back, and not {[round(number, 4) for number in right]}.",
        "A level is the number divided by the scale, rounded to the nearest integer.",
        "round(x / scale) * scale with scale = max(abs) / 127",
    )


def absmax_int8_solution(numbers: list[float]) -> list[float]:
    """The numbers after a round trip through int8: divided by max|x| / 127, rounded, multiplied again."""
    scale = max(map(abs, numbers)) / 127
    return [level * scale for level in _levels(numbers)]


def _levels(numbers: list[float]) -> list[int]:
    scale = max(map(abs, numbers)) / 127
    return [round(number / scale) for number in numbers]


SOLUTIONS = {
    "int8_gigabytes": (2 * GEMMA_7B.num_parameters - GEMMA_7B.num_linear_parameters) / 1e9,
}


def precision_plot(tables: dict, title: str):
    """Size against damage, a panel each: weights as a share of fp32, and KL to fp32 on a logarithmic axis.

    Args: tables: for each model's name a table (pandas) with a row for each precision, the reference first, and the
        columns "ratio" (of the reference's bytes) and "KL" (nats a token).
    Returns: the matplotlib figure.
    """
    use_style()
    figure, (left, right) = plt.subplots(1, 2)
    for (name, table), colour, marker in zip(tables.items(), (BLUE, ORANGE), "os"):
        left.plot(table.index, 100 * table["ratio"], marker=marker, color=colour, label=name)
        right.semilogy(table.index[1:], table["KL"].iloc[1:], marker=marker, color=colour)
    left.set(ylabel="weights, % of fp32", ylim=(0, 108))
    left.legend()
    right.set(ylabel="KL to fp32, nats a token")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure

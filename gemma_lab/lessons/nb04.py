"""Notebook 04: its exercises with solutions, and its picture."""

from __future__ import annotations

from gemma_lab import catalog
from gemma_lab.figures import BLUE, ORANGE, headline, plt, use_style
from gemma_lab.lessons.exercises import (
    Verdict,
    exercise,
    in_short,
    members,
    number,
    returned,
    right,
    text,
    wrong,
)
from gemma_lab.lessons.nb04_bos import check_missing_bos as check_missing_bos

GEMMA_7B = catalog.find("google/gemma-7b-it")


@exercise
def check_four_bit_poem(guess) -> Verdict:
    """Which of the shuffled poems A to E was written in 4 bits."""
    letter = text(guess, "The answer is a letter in quotes").upper().removeprefix("POEM ")
    if letter not in tuple("ABCDE"):
        return wrong(f"{in_short(guess)} is none of the poems.", hint="one letter, from A to E")
    if letter == "C":
        return right("It left the full-precision poem after two words; the next cell counts them.")
    why = "All are fluent: reading one poem does not tell you what a precision costs."
    return wrong(f"Poem {letter} was not written in 4 bits.", why)


@exercise
def check_int8_gigabytes(answer) -> Verdict:
    """Gigabytes (10^9 bytes) of Gemma 7B: one byte for each linear weight, two for all others."""
    found, every = number(answer), GEMMA_7B.num_parameters
    wanted = (2 * every - GEMMA_7B.num_linear_parameters) / 1e9
    if abs(found - wanted) < 0.05:
        return right(f"{wanted:.2f} GB: int8 needs a little more than one byte for each parameter.")
    if abs(found - every / 1e9) < 0.05:
        why = "bitsandbytes leaves the embedding table in 16 bits."
        return wrong(f"{found:.2f} GB counts one byte for every parameter.", why)
    if abs(found - wanted * 1e9 / 2**30) < 0.05:
        return wrong(f"{found:.2f} looks like GiB.", "1 GB is 10^9 bytes, 1 GiB is 2^30.")
    if abs(found / wanted / 1e9 - 1) < 0.01:
        return wrong("That is the number of bytes.", "1 GB is 10^9 bytes.")
    why = "Linear layers take one byte for each weight, everything else two."
    return wrong(f"{found:,.6g} GB is not it.", why, "how many parameters are in no linear layer?")


@exercise
def check_absmax_int8(function) -> Verdict:
    """A function that rounds numbers to int8 levels by absmax, and returns what comes back."""
    for numbers in ([0.9, -0.314, 0.026, -2.0], [3.0, -0.01, 0.5], [-0.7]):
        got = members(returned(function, numbers), "A list of numbers")
        got = [number(one, "Each member is one number") for one in got]
        wanted = my_round_trip(numbers)
        scale = max(map(abs, numbers)) / 127
        if len(got) != len(numbers):
            what = f"{len(numbers)} numbers went in and {len(got)} came out."
            return wrong(what, hint="one number out for each that goes in")
        if _is_near(got, wanted):
            continue
        if _is_near(got, [round(x / scale) for x in numbers]):
            return wrong("These are the levels.", "A layer needs numbers of the old size.")
        for other, why in (
            (max(numbers) / 127, "The largest size counts, also that of a negative number."),
            (scale * 127 / 128, "The largest level is 127: -127 to 127 are 255 levels."),
            (scale * 127 / 255, "The largest level is 127: -127 to 127 are 255 levels."),
        ):
            if other and _is_near(got, [round(x / other) * other for x in numbers]):
                return wrong("The scale is another one.", why, "max|x| / 127")
        if max(map(abs, got)) > max(map(abs, numbers)) * 1.0001:
            what, hint = (
                "The largest number grew.",
                "what is the largest number divided by the scale?",
            )
            return wrong(what, "absmax maps it to exactly 127.", hint)
        shown = [round(x, 4) for x in got], [round(x, 4) for x in wanted]
        why = f"{shown[1]} is right: a level is the number divided by the scale, rounded."
        return wrong(f"{numbers} came back as {shown[0]}.", why)
    return right("[0.9, -0.314, 0.026, -2.0] comes back as [0.8976, -0.315, 0.0315, -2.0].")


def _is_near(got: list, wanted: list) -> bool:
    return all(abs(a - b) < 1e-5 for a, b in zip(got, wanted))


def my_round_trip(numbers):
    scale = max(abs(x) for x in numbers) / 127
    return [round(x / scale) * scale for x in numbers]


SOLUTIONS = {
    "four_bit_poem": 'my_guess = "C"',
    "int8_gigabytes": """\
others = info.num_parameters - info.num_linear_parameters
my_gigabytes = (info.num_linear_parameters * 1 + others * 2) / 1e9""",
    "absmax_int8": my_round_trip,
    "missing_bos": 'my_letter = "D"',
}


def precision_plot(tables: dict, title: str):
    """Size and damage, a panel each: weights as a share of fp32; KL to fp32, logarithmic.

    Args: tables: for each model's name a table (pandas), a row for each precision, the reference
        first, with the columns "ratio" (of the reference's bytes) and "KL" (nats a token). A model
        with an empty table is left out.
    Returns: the matplotlib figure.
    """
    use_style()
    figure, (left, right) = plt.subplots(1, 2)
    for (name, table), colour, marker in zip(tables.items(), (BLUE, ORANGE), "os"):
        if table.empty:
            continue
        left.plot(table.index, 100 * table["ratio"], marker=marker, color=colour, label=name)
        right.semilogy(table.index[1:], table["KL"].iloc[1:], marker=marker, color=colour)
    left.set(ylabel="weights, % of fp32", ylim=(0, 108))
    left.legend()
    right.set(ylabel="KL to fp32, nats a token")
    headline(figure, title)
    return figure

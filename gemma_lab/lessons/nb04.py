"""Notebook 04: its exercises with solutions, and its picture."""

from __future__ import annotations

from gemma_lab import catalog, memory
from gemma_lab.figures import BLUE, ORANGE, headline, plt, use_style
from gemma_lab.hardware import GIB
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

FREE_GIB = 7.3  # of a card of 8 GB, which are 7.45 GiB
CHOICES = {
    "A": ("google/gemma-2-9b-it", "nf4"),
    "B": ("google/gemma-7b-it", "nf4"),
    "C": ("google/gemma-3-4b-it", "bf16"),
    "D": ("google/gemma-3-4b-it", "int8"),
    "E": ("google/gemma-2-2b-it", "bf16"),
    "F": ("google/gemma-3-4b-it", "nf4"),
}
MISSED = {
    "A": ("At half a byte for each parameter, 7.27 GiB would fit; the table takes two.", "cache?"),
    "B": ("Without its cache it would fit: 16 KV heads keep 3.5 GiB.", "kv_cache_bytes"),
    "C": ("7.5 GiB for weights and cache are not 7.5 GB; torch needs 1 GiB too.", "2**30, not 1e9"),
}


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
def check_largest_model(choice) -> Verdict:
    """Which of CHOICES is the largest model that fits FREE_GIB with a context of 8,192 tokens?"""
    letter = text(choice, "The answer is a letter in quotes").upper()
    if letter not in CHOICES:
        return wrong(f"{in_short(choice)} is none of the choices.", hint="one letter, from A to F")
    model, precision = CHOICES[letter]
    weights, cache = bytes_with_cache(model, precision)
    needed = (weights + cache) / GIB + memory.WORKING_GIB
    if letter == "D":
        return right(f"{needed:.1f} GiB; its cache is small: most of its layers keep a window.")
    told = f"{model} in {precision} needs {needed:.1f} GiB"
    if letter in "EF":
        why = "Of one model, more bits are the better choice where they fit."
        why = why if letter == "F" else "A model with more parameters fits as well."
        return wrong(f"{told}, which fits.", why, "what about D?")
    return wrong(f"{told}, and {FREE_GIB} are free.", *MISSED[letter])


def bytes_with_cache(model: str, precision: str) -> tuple[int, int]:
    """Bytes of the weights, and of the cache of 8,192 tokens."""
    info = catalog.find(model)
    return memory.weight_bytes(info, precision), memory.kv_cache_bytes(info, 8192)


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
    "largest_model": """\
for letter, (hub_id, precision) in nb04.CHOICES.items():
    info = catalog.find(hub_id)
    held = memory.weight_bytes(info, precision) + memory.kv_cache_bytes(info, 8192)
    print(letter, hub_id, precision, f"{held / 2**30 + 1:.1f} GiB")
my_choice = "D\"""",
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

"""Checks for the exercises: each says what is wrong, why it matters, and what to try. Solutions stand beside them.

An untouched stub, `...`, is no mistake: the check prints "not attempted yet", so that Run all never breaks.
"""

from __future__ import annotations

import math

from gemma_lab import catalog

GEMMA_7B = catalog.lookup("google/gemma-7b-it")


def _report(is_right: bool, what: str, why: str = "", hint: str = "") -> bool:
    parts = [("Right. " if is_right else "Not yet. ") + what, why, f"Hint: {hint}" if hint else ""]
    print("\n".join(part for part in parts if part))
    return is_right


def _untouched(answer) -> bool:
    if answer is ... or answer is None:
        print("Not attempted yet.")
        return True
    return False


def four_bit_poem(guess) -> bool | None:
    """04: which of the shuffled poems A to E was written in 4 bits?"""
    if _untouched(guess):
        return None
    letter = str(guess).strip().upper()
    if letter == FOUR_BIT_POEM:
        return _report(True, "It left the full-precision poem after two words; the next cell counts them.")
    return _report(
        False,
        f"Poem {letter} was not written in 4 bits; {FOUR_BIT_POEM} was.",
        "Both are fluent: reading one poem does not tell you what a precision costs.",
    )


def int8_gigabytes(answer) -> bool | None:
    """04: gigabytes (10^9 bytes) of Gemma 7B with one byte for each linear weight and two for all others."""
    if _untouched(answer):
        return None
    right, every = SOLUTIONS["int8_gigabytes"], GEMMA_7B.num_parameters
    if not isinstance(answer, (int, float)):
        return _report(False, f"The answer is one number, not {type(answer).__name__}.")
    if abs(answer - right) < 0.05:
        return _report(True, f"{right:.2f} GB: int8 needs a little more than one byte for each parameter.")
    if abs(answer - every / 1e9) < 0.05:
        return _report(
            False,
            f"{answer:.2f} GB counts one byte for every parameter.",
            "bitsandbytes leaves the embedding table in 16 bits.",
            "count num_embedding_parameters twice",
        )
    if abs(answer - right * 1e9 / 2**30) < 0.05:
        return _report(False, f"{answer:.2f} looks like GiB.", "1 GB is 10^9 bytes, 1 GiB is 2^30.", "divide by 1e9")
    return _report(
        False,
        f"{answer:.2f} GB is not it.",
        "Linear layers take one byte for each weight, everything else two.",
        "num_linear_parameters * 1 + (num_parameters - num_linear_parameters) * 2, in GB",
    )


def absmax_int8(function) -> bool | None:
    """04: a function that rounds a list of numbers to int8 levels by absmax and returns what comes back."""
    if _untouched(function):
        return None
    numbers = [0.9, -0.314, 0.026, -2.0]
    got = function(numbers)
    if got is None or got is ...:
        print("Not attempted yet.")
        return None
    right = absmax_int8_solution(numbers)
    got = [float(number) for number in got]
    if len(got) != len(right):
        return _report(False, f"{len(numbers)} numbers went in and {len(got)} came out.", hint="keep the order")
    if all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(got, right)):
        return _report(True, f"{numbers} comes back as {[round(number, 4) for number in got]}.")
    if all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(got, _levels(numbers))):
        return _report(
            False, "These are the levels.", "A layer needs numbers of the old size.", "multiply by the scale again"
        )
    if max(map(abs, got)) > 2.0001:
        return _report(False, "The largest number grew.", "absmax maps it to exactly 127.", "scale = max(abs) / 127")
    return _report(
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


FOUR_BIT_POEM = "C"  # the notebook orders the poems by their last word: last, seem, sway, tall, untold
SOLUTIONS = {
    "int8_gigabytes": (2 * GEMMA_7B.num_parameters - GEMMA_7B.num_linear_parameters) / 1e9,
}


def lora_layer_parameters(answer) -> bool | None:
    """05: parameters that LoRA of rank 16 trains beside a layer with 2048 inputs and 16384 outputs."""
    if _untouched(answer):
        return None
    right = SOLUTIONS["lora_layer_parameters"]
    if answer == right:
        return _report(True, f"16 x (2048 + 16384) = {right:,}, and the frozen layer has {2048 * 16384:,}.")
    if answer == 2048 * 16384:
        return _report(False, "That is the frozen matrix W.", hint="only A and B are trained")
    if answer in (16 * 2048, 16 * 16384):
        return _report(False, "That is one of the two matrices.", "LoRA trains A and B.", "add the other one")
    if answer == 16 * 2048 * 16384 or answer == 16 * 16 * 2048 * 16384:
        return _report(False, f"{answer:,} is more than W itself.", "A and B stand side by side.", "add, do not multiply")
    return _report(False, f"{answer} is not it.", "A is 16 x inputs, B is outputs x 16.", "16 * inputs + outputs * 16")


def completion(function) -> bool | None:
    """05: a function of a row and the end-of-text token that returns what the model shall learn to write."""
    if _untouched(function):
        return None
    row = {"instruction": "What is a fever?", "input": "", "output": "Name: fever"}
    got = function(row, "<eos>")
    if got is None or got is ...:
        print("Not attempted yet.")
        return None
    if got == completion_solution(row, "<eos>"):
        return _report(True, "The response, and the token that ends it.")
    if got == row["output"]:
        return _report(False, "The end is missing.", "Without it the model never learns to stop.", "add eos_token")
    if row["instruction"] in str(got):
        return _report(False, "The prompt is in it.", "The loss would count the prompt as well.", "start with row['output']")
    if str(got).replace(" ", "") == completion_solution(row, "<eos>").replace(" ", ""):
        return _report(False, "There is a space too many.", "A space before <eos> is a token to learn.", "join with +")
    return _report(False, f"{got!r} is not the response and its end.", hint="row['output'] + eos_token")


def completion_solution(row: dict, eos_token: str) -> str:
    """The response and the end-of-text token."""
    return row["output"] + eos_token


SOLUTIONS["lora_layer_parameters"] = 16 * (2048 + 16384)

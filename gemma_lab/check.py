"""Checks for the exercises: each says what is wrong, why it matters, and what to try. Solutions stand beside them.

An untouched stub, `...`, is no mistake: the check prints "not attempted yet", so that Run all never breaks.
"""

from __future__ import annotations

import copy
import itertools
import math

from gemma_lab import catalog

GEMMA_7B = catalog.lookup("google/gemma-7b-it")


def report(is_right: bool, what: str, why: str = "", hint: str = "") -> bool:
    parts = [("Right. " if is_right else "Not yet. ") + what, why, f"Hint: {hint}" if hint else ""]
    print("\n".join(part for part in parts if part))
    return is_right


def untouched(answer) -> bool:
    if answer is ... or answer is None:
        print("Not attempted yet.")
        return True
    return False


def called(function, *arguments):
    """What a learner's function returns; None for a stub and False for an error, each after saying so."""
    if untouched(function):
        return None
    try:
        got = function(*copy.deepcopy(arguments))  # whatever it does to them
    except Exception as error:  # whatever a learner's own code raises
        return report(False, f"Your function raised {type(error).__name__}: {error}")
    return None if untouched(got) else got


def four_bit_poem(guess) -> bool | None:
    """04: which of the shuffled poems A to E was written in 4 bits?"""
    if untouched(guess):
        return None
    letter = str(guess).strip().upper()
    if letter == FOUR_BIT_POEM:
        return report(True, "It left the full-precision poem after two words; the next cell counts them.")
    return report(
        False,
        f"Poem {letter} was not written in 4 bits; {FOUR_BIT_POEM} was.",
        "Both are fluent: reading one poem does not tell you what a precision costs.",
    )


def int8_gigabytes(answer) -> bool | None:
    """04: gigabytes (10^9 bytes) of Gemma 7B with one byte for each linear weight and two for all others."""
    if untouched(answer):
        return None
    right, every = SOLUTIONS["int8_gigabytes"], GEMMA_7B.num_parameters
    if not isinstance(answer, (int, float)):
        return report(False, f"The answer is one number, not {type(answer).__name__}.")
    if abs(answer - right) < 0.05:
        return report(True, f"{right:.2f} GB: int8 needs a little more than one byte for each parameter.")
    if abs(answer - every / 1e9) < 0.05:
        return report(
            False,
            f"{answer:.2f} GB counts one byte for every parameter.",
            "bitsandbytes leaves the embedding table in 16 bits.",
            "count num_embedding_parameters twice",
        )
    if abs(answer - right * 1e9 / 2**30) < 0.05:
        return report(False, f"{answer:.2f} looks like GiB.", "1 GB is 10^9 bytes, 1 GiB is 2^30.", "divide by 1e9")
    return report(
        False,
        f"{answer:.2f} GB is not it.",
        "Linear layers take one byte for each weight, everything else two.",
        "num_linear_parameters * 1 + (num_parameters - num_linear_parameters) * 2, in GB",
    )


def absmax_int8(function) -> bool | None:
    """04: a function that rounds a list of numbers to int8 levels by absmax and returns what comes back."""
    numbers = [0.9, -0.314, 0.026, -2.0]
    got = called(function, numbers)
    if got is None or got is False:
        return got
    right = absmax_int8_solution(numbers)
    got = [float(number) for number in got]
    if len(got) != len(right):
        return report(False, f"{len(numbers)} numbers went in and {len(got)} came out.", hint="keep the order")
    if all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(got, right)):
        return report(True, f"{numbers} comes back as {[round(number, 4) for number in got]}.")
    if all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(got, _levels(numbers))):
        return report(
            False, "These are the levels.", "A layer needs numbers of the old size.", "multiply by the scale again"
        )
    if max(map(abs, got)) > 2.0001:
        return report(False, "The largest number grew.", "absmax maps it to exactly 127.", "scale = max(abs) / 127")
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


FOUR_BIT_POEM = "C"  # the notebook orders the poems by their last word: last, seem, sway, tall, untold


def lora_layer_parameters(answer) -> bool | None:
    """05: parameters that LoRA of rank 16 trains beside a layer with 2048 inputs and 16384 outputs."""
    if untouched(answer):
        return None
    right = SOLUTIONS["lora_layer_parameters"]
    if answer == right:
        return report(True, f"16 x (2048 + 16384) = {right:,}, and the frozen layer has {2048 * 16384:,}.")
    if answer == 2048 * 16384:
        return report(False, "That is the frozen matrix W.", hint="only A and B are trained")
    if answer in (16 * 2048, 16 * 16384):
        return report(False, "That is one of the two matrices.", "LoRA trains A and B.", "add the other one")
    if answer == 16 * 2048 * 16384 or answer == 16 * 16 * 2048 * 16384:
        return report(False, f"{answer:,} is more than W itself.", "A and B stand side by side.", "add, do not multiply")
    return report(False, f"{answer} is not it.", "A is 16 x inputs, B is outputs x 16.", "16 * inputs + outputs * 16")


def completion(function) -> bool | None:
    """05: a function of a row and the end-of-text token that returns what the model shall learn to write."""
    row = {"instruction": "What is a fever?", "input": "", "output": "Name: fever"}
    got = called(function, row, "<eos>")
    if got is None or got is False:
        return got
    if got == completion_solution(row, "<eos>"):
        return report(True, "The response, and the token that ends it.")
    if got == row["output"]:
        return report(False, "The end is missing.", "Without it the model never learns to stop.", "add eos_token")
    if row["instruction"] in str(got):
        return report(False, "The prompt is in it.", "The loss would count the prompt as well.", "start with row['output']")
    if str(got).replace(" ", "") == completion_solution(row, "<eos>").replace(" ", ""):
        return report(False, "There is a space too many.", "A space before <eos> is a token to learn.", "join with +")
    return report(False, f"{got!r} is not the response and its end.", hint="row['output'] + eos_token")


def completion_solution(row: dict, eos_token: str) -> str:
    """The response and the end-of-text token."""
    return row["output"] + eos_token


def linh_comes(answer) -> bool | None:
    """01: the number of the line, of the talk's eight orders, in which Linh comes."""
    if untouched(answer):
        return None
    if str(answer).strip() not in tuple("12345678"):
        return report(False, "The answer is the number of one line.", hint="1 to 8")
    answer = int(answer)
    if answer == SOLUTIONS["linh_comes"]:
        return report(True, "“Linh đến, bảo không sao”: Linh comes, and says it is all right.")
    whys = {
        3: "“Đến không sao” is what Linh says: somebody else may come.",
        5: "“Linh không đến”: không stands before đến and denies it.",
    }
    why = whys.get(answer, "Look for đến right after Linh, with no không before it.")
    return report(False, f"Line {answer} does not say that Linh comes.", why)


def next_merge(answer) -> bool | None:
    """01: the pair of pieces that BPE joins fifth in the notebook's eight syllables."""
    if untouched(answer):
        return None
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        return report(False, "A pair is two pieces.", hint='write it as ("t", "h")')
    pair, right = tuple(answer), SOLUTIONS["next_merge"]
    if pair == right:
        return report(True, "th·an stands in thang and in than: twice, more than any other pair.")
    if pair in ((right[1], "g"), ("r", "anh"), ("t", "r"), ("b", "anh"), ("c", "anh")):
        return report(
            False, f"{pair[0]}·{pair[1]} occurs once.", "The most frequent pair is joined.", "find one that is there twice"
        )
    if "".join(pair) in ("an", "anh", "th", "thanh"):
        return report(False, f"{''.join(pair)} is one piece already.", hint="count neighbours in the cut words only")
    return report(False, f"{pair[0]}·{pair[1]} is no pair of neighbours there.", hint="look between the dots")


def top_p(function) -> bool | None:
    """01: a function of sorted probabilities and p that returns how many of them top-p keeps."""
    probabilities = [0.5, 0.25, 0.125, 0.125]
    first = called(function, probabilities, 0.6)
    if first is None or first is False:
        return first
    got = [first, *(function(probabilities, p) for p in (0.5, 0.8, 1.0))]
    right = [top_p_solution(probabilities, p) for p in (0.6, 0.5, 0.8, 1.0)]
    if got == right:
        return report(True, f"Of {probabilities}, top-p 0.6 keeps {right[0]} and top-p 0.8 keeps {right[2]}.")
    if got[0] == 1:
        return report(
            False,
            "For p = 0.6 one was kept, and 0.5 is less than 0.6.",
            "The one that reaches p is kept.",
            "add first, then compare",
        )
    if got[1] == 2:
        return report(
            False, "For p = 0.5 the first is enough.", "Its sum reaches p already.", "stop when the sum is at least p"
        )
    return report(
        False, f"For p = 0.6, 0.5, 0.8 and 1.0 you keep {got}, and not {right}.", hint="add up until the sum is at least p"
    )


def top_p_solution(probabilities: list[float], p: float) -> int:
    """How many of the sorted probabilities it takes until their sum reaches p."""
    sums = itertools.accumulate(probabilities)
    return next((count for count, total in enumerate(sums, 1) if total >= p - 1e-12), len(probabilities))


def token_ceiling(answer) -> bool | None:
    """02: the most tokens a second that 50 GB/s allow a model of 2.1 GB."""
    if untouched(answer):
        return None
    if not isinstance(answer, (int, float)):
        return report(False, f"The answer is one number, not {type(answer).__name__}.")
    right = SOLUTIONS["token_ceiling"]
    if abs(answer - right) < 1:
        return report(True, f"50 / 2.1 = {right:.1f}: every weight passes once for each token.")
    if abs(answer - 50 * 2.1) < 1:
        return report(False, "You multiplied.", "More bytes take more time.", "divide the bandwidth by the bytes")
    if abs(answer - 50 / 5.0) < 0.5:
        return report(False, "That is the ceiling in 16 bits.", "In 4 bits the weights take 2.1 GB.", "divide by 2.1")
    if abs(answer - 40) < 1:
        return report(False, "That is a quarter of 5.0 GB.", "The embedding table stays in 16 bits.", "divide by 2.1")
    return report(False, f"{answer} is not it.", hint="50 GB a second, and 2.1 GB for each token")


def family_member(answer) -> bool | None:
    """02: the line of the family with image input, Apache-2.0 and at most 5 billion effective parameters."""
    if untouched(answer):
        return None
    if hasattr(answer, "columns"):  # rows of the table
        answer = answer["name"] if "name" in answer.columns else answer.index
    several = hasattr(answer, "__iter__") and not isinstance(answer, str)
    found = [str(one).strip() for one in (answer if several else [answer])]
    if len(found) != 1:
        return report(False, f"{len(found)} rows are left, and one is asked for.", hint="join conditions with &")
    name = found[0]
    if name.startswith(SOLUTIONS["family_member"]):
        return report(True, "E2B and E4B have 2 and 4 billion effective parameters, image input, and Apache-2.0.")
    if name in ("Gemma 3", "Gemma 3n", "PaliGemma", "PaliGemma 2"):
        return report(False, f"{name} takes images, but is under the Gemma Terms of Use.", hint='family["licence"]')
    return report(False, f"{name} does not meet all three.", hint='look at the columns "inputs", "licence" and "sizes"')


def strict_wins(answer) -> bool | None:
    """02: in how many of the 18 tests Gemma 7B is strictly ahead of the four other models."""
    if untouched(answer):
        return None
    right = SOLUTIONS["strict_wins"]
    if getattr(answer, "shape", ()) != ():
        return report(False, "That says yes or no for each test.", hint="count the yes with .sum()")
    if answer == right:
        return report(True, f"{right}. The report's 11 probably counts Boolq, where Mistral has 83.2 as well.")
    if answer == right + 1:
        return report(False, "That counts a tie.", "On Boolq Mistral has 83.2 as well.", "use >, not >=")
    if answer == 14:
        return report(False, "That is against LLaMA-2 13B alone.", hint="take the maximum of all other columns")
    return report(False, f"{answer} is not it.", hint='(table["Gemma 7B"] > others.max(axis=1)).sum()')


SOLUTIONS = {
    "int8_gigabytes": (2 * GEMMA_7B.num_parameters - GEMMA_7B.num_linear_parameters) / 1e9,
    "lora_layer_parameters": 16 * (2048 + 16384),
    "linh_comes": 6,
    "next_merge": ("th", "an"),
    "token_ceiling": 50 / 2.1,
    "family_member": "Gemma 4",
    "strict_wins": 10,
}

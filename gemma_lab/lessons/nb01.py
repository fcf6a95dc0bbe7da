"""Notebook 01: the checks of its exercises, and their solutions."""

from __future__ import annotations

from gemma_lab.lessons.exercises import (
    Verdict,
    exercise,
    members,
    number,
    returned,
    right,
    text,
    wrong,
)


@exercise
def check_linh_comes(answer) -> Verdict:
    """The number of the line, of the talk's eight orders, that tells that Linh comes."""
    line = number(answer, "The answer is the number of one line")
    if line not in range(1, 9):
        return wrong(f"There is no line {line}.", hint="the lines are numbered from 1 to 8")
    if line == 6:
        return right("“Linh đến, bảo không sao” says that Linh comes, and that it is all right.")
    whys = {
        3: "“Đến không sao” is what Linh says: somebody else may come.",
        5: "“Linh không đến”: không stands before đến and denies it.",
        7: "Linh may have come, but the line only asks why somebody said the opposite.",
    }
    why = whys.get(line, "Only one line states it.")
    hint = "which word stands right after Linh, and does không stand before đến?"
    return wrong(f"Line {line} does not say that Linh comes.", why, hint)


@exercise
def check_next_merge(answer) -> Verdict:
    """The pair of pieces that BPE joins fifth in the notebook's eight syllables."""
    pieces = members(answer, "A pair of two pieces")
    if len(pieces) != 2:
        return wrong(f"A pair is two pieces, not {len(pieces)}.", hint='write it as ("t", "h")')
    pair = tuple(text(piece, "A piece is a text in quotes") for piece in pieces)
    joined, shown = "".join(pair)[:20], f"{pair[0][:20]}·{pair[1][:20]}"
    if pair == ("th", "an"):
        return right("th·an stands in thang and in than: twice, more than any other pair.")
    if pair[::-1] == ("th", "an"):
        return wrong("These two never stand in this order.", hint="the left one comes first")
    if pair in {("an", "g"), ("r", "anh"), ("t", "r"), ("b", "anh"), ("c", "anh")}:
        why = "The most frequent pair is joined."
        return wrong(f"{shown} occurs once.", why, "find one that is there twice")
    if joined in ("an", "anh", "th", "thanh"):
        return wrong(f"{joined} is one piece already.", hint="count only across the dots")
    return wrong(f"{shown} is no pair of neighbours there.", hint="look on both sides of a dot")


@exercise
def check_top_p(function) -> Verdict:
    """A function of sorted probabilities and p that returns how many of them top-p keeps."""
    halves = [0.5, 0.25, 0.125, 0.125]
    trials = [(halves, p) for p in (0.6, 0.5, 0.8, 1.0)]
    trials += [([0.4, 0.3, 0.2, 0.1], 0.95), ([1.0], 0.9), ([0.1] * 10, 1.0)]
    what = "One number is asked for, how many are kept"
    got = [number(returned(function, *trial), what) for trial in trials]
    got[-1] = min(got[-1], 10)  # added one by one, these ten stay just below 1.0
    wanted = [my_top_p(*trial) for trial in trials]
    if got == wanted:
        return right(f"Of {halves}, top-p 0.6 keeps {got[0]} and top-p 0.8 keeps {got[2]}.")
    if got[:-1] == wanted[:-1]:
        why = "Added one by one, these ten stay just below 1."
        what = f"Of ten times 0.1, p = 1.0 keeps all ten, and you keep {got[-1]}."
        return wrong(what, why, "what comes back where the sum never reaches p?")
    if got[:4] == wanted[:4]:
        what = f"It is right for {halves} and wrong for another list."
        return wrong(what, hint="use the arguments, not fixed numbers")
    if got[0] == 1:
        what = "For p = 0.6 one was kept, and 0.5 is less than 0.6."
        return wrong(what, "The one that reaches p is kept.", "add first, then compare")
    if got[1] == 2:
        why = "Its sum reaches p already."
        return wrong("For p = 0.5 the first is enough.", why, "what if the sum is exactly p?")
    what = f"For p = 0.6, 0.5, 0.8 and 1.0 you keep {got[:4]}, and not {wanted[:4]}."
    return wrong(what, hint="add up, the largest first, and count")


def my_top_p(probabilities, p):
    total = 0
    for count, probability in enumerate(probabilities, 1):
        total += probability
        if total >= p:
            return count
    return len(probabilities)


SOLUTIONS = {
    "linh_comes": "my_line = 6",
    "next_merge": 'my_pair = ("th", "an")',
    "top_p": my_top_p,
}

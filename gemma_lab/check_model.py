"""Checks for the exercises on the architecture, notebooks 03 and 06, in the manner of `check`."""

from __future__ import annotations

import torch

from gemma_lab import catalog
from gemma_lab.check import called, report, untouched

GEMMA_2B = catalog.lookup("google/gemma-2b")


def _judged(function, solution, *trials):
    """True if a function equals `solution` on all trials, which are tuples of arguments; else its answer to the first one;
    None for a stub, and False, after saying why, where there is nothing more to say."""
    answers = []
    for arguments in trials:
        answers.append(called(function, *arguments))
        if answers[-1] is None or answers[-1] is False:
            return answers[-1]
        if not isinstance(answers[-1], torch.Tensor):
            return report(False, f"One tensor is asked for, not {type(answers[-1]).__name__}.", hint="use torch.cat")
    pairs = [(got, solution(*arguments)) for got, arguments in zip(answers, trials)]
    are_right = [got.shape == right.shape and got.to(right).allclose(right, rtol=1e-4) for got, right in pairs]
    if are_right[0] and not all(are_right):
        return report(False, "It is right for one size and wrong for another.", hint="use the arguments, not fixed numbers")
    return all(are_right) or answers[0]


def rotate_half(function) -> bool | None:
    """03: a function that turns (..., h) into its second half, negated, and then its first half."""
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    got = _judged(function, rotate_half_solution, (x,), (torch.arange(8.0),))
    if got is True:
        return report(True, "[1, 2, 3, 4] becomes [-3, -4, 1, 2]: a quarter turn of the pairs (1, 3) and (2, 4).")
    if not isinstance(got, torch.Tensor):
        return got
    if got.shape != x.shape:
        return report(False, f"{tuple(x.shape)} went in, {tuple(got.shape)} came out.", hint="torch.cat on the last axis")
    whys = {
        (-2.0, 1.0, -4.0, 3.0): ("You turned neighbours.", "The paper pairs 1 with 2; Gemma's weights pair 1 with 3."),
        (3.0, 4.0, 1.0, 2.0): ("The halves changed places, and no sign changed.", "A quarter turn maps (a, b) to (-b, a)."),
        (3.0, 4.0, -1.0, -2.0): ("You negated the first half.", "That turns the other way: (a, b) to (b, -a)."),
        (-1.0, -2.0, 3.0, 4.0): ("The halves kept their places.", "A quarter turn maps (a, b) to (-b, a)."),
    }
    what, why = whys.get(tuple(got[0].tolist()), (f"[1, 2, 3, 4] became {got[0].tolist()}.", ""))
    return report(False, what, why, "a, b = x.chunk(2, dim=-1), then -b and a")


def rotate_half_solution(x: torch.Tensor) -> torch.Tensor:
    """The second half of the last axis, negated, then the first half."""
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


def cache_bytes(answer) -> bool | None:
    """03: bytes that Gemma 2B, with one key-value head, caches for one token in 16 bits."""
    if untouched(answer):
        return None
    right = catalog.kv_cache_bytes(GEMMA_2B, 1)
    if not isinstance(answer, (int, float)):
        return report(False, f"The answer is one number, not {type(answer).__name__}.")
    if answer == right:
        return report(True, f"2 * 18 * 1 * 256 * 2 = {right:,} bytes: 18 KiB for each token.")
    whys = {
        18: ("That is KiB.", "Bytes are asked for, and 1 KiB is 1,024 of them."),
        right // 2: ("That is half of it.", "Both keys and values are kept, and a number takes two bytes."),
        right // 18: ("That is one layer.", "Each of the 18 layers keeps its own."),
        right * 8: ("That is multi-head attention.", "All 8 query heads of Gemma 2B share one key and one value."),
        right * 2: ("That is twice as much.", "In 16 bits a number takes two bytes."),
    }
    what, why = whys.get(answer, (f"{answer} is not it.", ""))
    return report(False, what, why, "2 (keys and values) * layers * KV heads * head_dim * bytes")


def sliding_mask(function) -> bool | None:
    """06: a function of a number of tokens and a window that returns (T, T), True where a token may look."""
    got, right = _judged(function, sliding_mask_solution, (6, 3), (5, 2)), sliding_mask_solution(6, 3)
    if got is True:
        return report(True, "Each token sees itself and the two before it.")
    if not isinstance(got, torch.Tensor):
        return got
    if got.shape != right.shape:
        return report(False, f"For 6 tokens the mask is 6 by 6, not {tuple(got.shape)}.")
    if (got < 0).any():
        return report(False, "These are numbers to add to scores.", hint="return True where a token may look")
    got = got.bool()
    if got.equal(right.T):
        return report(False, "Your tokens look ahead.", "Rows look, columns are looked at.", "compare row - column")
    if got.equal(~right):
        return report(False, "You marked what is hidden.", hint="True is where a token may look")
    if not got.diagonal().all():
        return report(False, "Some token does not see itself.", "The window counts the token itself.", "0 <= row - column")
    if got.equal(torch.ones(6, 6).tril().bool()):
        return report(
            False, "That is the global mask.", "A window of 3 hides what is 3 or more back.", "row - column < window"
        )
    if got.triu(1).any():
        return report(False, "Some token sees a later one.", "Then the model reads the answer.", "also column <= row")
    seen = int(got[5].sum())
    return report(False, f"The last token sees {seen}, not 3.", "It sees itself and two before.", "row - column < window")


def sliding_mask_solution(num_tokens: int, window: int) -> torch.Tensor:
    """True where the column is at most window - 1 before the row."""
    back = torch.arange(num_tokens)[:, None] - torch.arange(num_tokens)
    return (back >= 0) & (back < window)


def uncap(function) -> bool | None:
    """06: a function of a capped number and the cap that returns the number before the cap."""
    numbers, cap = torch.tensor([-40.0, 0.0, 1.0, 20.0], dtype=torch.float64), 30.0
    capped = torch.tanh(numbers / cap) * cap
    got = _judged(function, uncap_solution, (capped, cap), (capped, 50.0))
    if got is True:
        return report(True, f"{capped[3]:.2f} was 20 before: nothing is lost, as long as the precision lasts.")
    if not isinstance(got, torch.Tensor):
        return got
    if got.shape == numbers.shape and got.double().allclose(torch.atanh(capped / cap)):
        return report(False, "You have x / cap.", "Capping divides by the cap as well.", "multiply by cap at the end")
    if got.shape == numbers.shape and got.double().allclose(torch.tanh(capped / cap) * cap):
        return report(False, "You capped once more.", "The inverse of tanh is atanh.", "torch.atanh")
    if got.isnan().any():
        return report(False, "Some of it is nan.", "atanh takes numbers between -1 and 1.", "divide by the cap first")
    shown = f"{float(got.flatten()[-1]):.2f}" if got.numel() else "nothing"
    return report(False, f"{capped[3]:.2f} became {shown}, not 20.", hint="divide by cap, atanh, multiply by cap")


def uncap_solution(capped: torch.Tensor, cap: float) -> torch.Tensor:
    """cap * atanh(capped / cap)."""
    return cap * torch.atanh(capped / cap)

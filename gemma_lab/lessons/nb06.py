"""Notebook 06: checks of its exercises."""

from __future__ import annotations

import torch

from gemma_lab.exercises import judged, report


def check_sliding_mask(function) -> bool | None:
    """06: a function of a number of tokens and a window that returns (T, T), True where a token may look."""
    got, right = (
        judged(function, sliding_mask_solution, (6, 3), (5, 2)),
        sliding_mask_solution(6, 3),
    )
    if got is True:
        return report(True, "Each token sees itself and the two before it.")
    if not isinstance(got, torch.Tensor):
        return got
    if got.shape != right.shape:
        return report(False, f"For 6 tokens the mask is 6 by 6, not {tuple(got.shape)}.")
    if (got < 0).any():
        return report(
            False, "These are numbers to add to scores.", hint="return True where a token may look"
        )
    got = got.bool()
    if got.equal(right.T):
        return report(
            False,
            "Your tokens look ahead.",
            "Rows look, columns are looked at.",
            "compare row - column",
        )
    if got.equal(~right):
        return report(False, "You marked what is hidden.", hint="True is where a token may look")
    if not got.diagonal().all():
        return report(
            False,
            "Some token does not see itself.",
            "The window counts the token itself.",
            "0 <= row - column",
        )
    if got.equal(torch.ones(6, 6).tril().bool()):
        return report(
            False,
            "That is the global mask.",
            "A window of 3 hides what is 3 or more back.",
            "row - column < window",
        )
    if got.triu(1).any():
        return report(
            False,
            "Some token sees a later one.",
            "Then the model reads the answer.",
            "also column <= row",
        )
    seen = int(got[5].sum())
    return report(
        False,
        f"The last token sees {seen}, not 3.",
        "It sees itself and two before.",
        "row - column < window",
    )


def sliding_mask_solution(num_tokens: int, window: int) -> torch.Tensor:
    """True where the column is at most window - 1 before the row."""
    back = torch.arange(num_tokens)[:, None] - torch.arange(num_tokens)
    return (back >= 0) & (back < window)


def check_uncap(function) -> bool | None:
    """06: a function of a capped number and the cap that returns the number before the cap."""
    numbers, cap = torch.tensor([-40.0, 0.0, 1.0, 20.0], dtype=torch.float64), 30.0
    capped = torch.tanh(numbers / cap) * cap
    got = judged(function, uncap_solution, (capped, cap), (capped, 50.0))
    if got is True:
        return report(
            True, f"{capped[3]:.2f} was 20 before: nothing is lost, as long as the precision lasts."
        )
    if not isinstance(got, torch.Tensor):
        return got
    if got.shape == numbers.shape and got.double().allclose(torch.atanh(capped / cap)):
        return report(
            False,
            "You have x / cap.",
            "Capping divides by the cap as well.",
            "multiply by cap at the end",
        )
    if got.shape == numbers.shape and got.double().allclose(torch.tanh(capped / cap) * cap):
        return report(
            False, "You capped once more.", "The inverse of tanh is atanh.", "torch.atanh"
        )
    if got.isnan().any():
        return report(
            False,
            "Some of it is nan.",
            "atanh takes numbers between -1 and 1.",
            "divide by the cap first",
        )
    shown = f"{float(got.flatten()[-1]):.2f}" if got.numel() else "nothing"
    return report(
        False,
        f"{capped[3]:.2f} became {shown}, not 20.",
        hint="divide by cap, atanh, multiply by cap",
    )


def uncap_solution(capped: torch.Tensor, cap: float) -> torch.Tensor:
    """cap * atanh(capped / cap)."""
    return cap * torch.atanh(capped / cap)

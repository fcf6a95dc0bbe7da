"""What all checks of exercises share.

An untouched stub, `...`, is no mistake: the check prints "not attempted yet", so that Run all never breaks.
"""

from __future__ import annotations

import copy


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


def judged(function, solution, *trials):
    """True if a function equals `solution` on all trials, which are tuples of arguments; else its answer to the first one;
    None for a stub, and False, after saying why, where there is nothing more to say."""
    import torch

    answers = []
    for arguments in trials:
        answers.append(called(function, *arguments))
        if answers[-1] is None or answers[-1] is False:
            return answers[-1]
        if not isinstance(answers[-1], torch.Tensor):
            return report(
                False,
                f"One tensor is asked for, not {type(answers[-1]).__name__}.",
                hint="use torch.cat",
            )
    pairs = [(got, solution(*arguments)) for got, arguments in zip(answers, trials)]
    are_right = [
        got.shape == right.shape and got.to(right).allclose(right, rtol=1e-4)
        for got, right in pairs
    ]
    if are_right[0] and not all(are_right):
        return report(
            False,
            "It is right for one size and wrong for another.",
            hint="use the arguments, not fixed numbers",
        )
    return all(are_right) or answers[0]

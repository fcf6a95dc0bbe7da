"""What the checks of all exercises share: an answer of any kind is read, and gets one verdict.

A check prints its verdict, at most three lines, and returns nothing. Whatever an answer is, and
whatever a learner's function returns, changes or raises, there is a verdict and no traceback; only
KeyboardInterrupt passes. What the learner's own function prints is shown above the verdict.
"""

from __future__ import annotations

import copy
import dis
import functools
import inspect
import numbers
import re
from dataclasses import dataclass
from decimal import Decimal

_EMPTY = {"RESUME", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "NOP", "CACHE"}


RAISED = {  # what torch says -> a hint
    "is ambiguous": "join comparisons with &, each in parentheses of its own",
    "one element tensors can be": "use torch's own function for a whole tensor",
}


@dataclass(frozen=True)
class Verdict:
    """Is an answer right (None: not attempted)? What is so, why it matters, and a first hint."""

    is_right: bool | None
    what: str
    why: str = ""
    hint: str = ""

    def __str__(self) -> str:
        begin = {True: "Right. ", False: "Not yet. ", None: ""}[self.is_right]
        lines = [begin + self.what, self.why, self.hint and f"Hint: {self.hint}"]
        text = "\n".join(" ".join(line.split()) for line in lines if line)
        return text.encode("utf-8", "replace").decode("utf-8")  # half an emoji cannot be printed


NOT_ATTEMPTED = Verdict(None, "Not attempted yet.")


def right(what: str) -> Verdict:
    """The verdict on a right answer."""
    return Verdict(True, what)


def wrong(what: str, why: str = "", hint: str = "") -> Verdict:
    """The verdict on a wrong answer."""
    return Verdict(False, what, why, hint)


class Decided(Exception):
    """Ends a judgement early; its argument is the verdict."""


def exercise(judge):
    """A check that prints what `judge`, a function of an answer, says, and returns None.

    `check.judge(answer)` is the same verdict as data. An untouched stub, `...`, is not attempted.
    """

    def judged(answer) -> Verdict:
        try:
            return NOT_ATTEMPTED if answer is ... else judge(answer)
        except KeyboardInterrupt:
            raise
        except Decided as decided:
            return decided.args[0]
        except BaseException as error:  # an answer may raise whenever it is looked at
            return wrong(f"Your answer cannot be read: {_said(error)}", hint="give plain values")

    @functools.wraps(judge)
    def check(answer) -> None:
        print(judged(answer))

    check.judge = judged
    return check


def in_short(thing, most: int = 60, form=repr) -> str:
    """How a thing looks in code, in at most `most` characters; its kind, if it cannot be shown."""
    try:
        text = " ".join(form(thing).split())
    except KeyboardInterrupt:
        raise
    except BaseException:
        text = kind(thing)
    return text if len(text) <= most else text[: most - 1] + "…"


def kind(thing) -> str:
    """The name of a thing's type, as a sentence names it."""
    return "None" if thing is None else type(thing).__name__


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {in_short(error, 100, str)}".removesuffix(": ")


def plain(thing):
    """Arrays, tensors and pandas objects as (nested) lists or Python values; the rest as it is."""
    if isinstance(thing, type):
        return thing
    if hasattr(thing, "to_numpy"):
        thing = thing.to_numpy()
    return thing.tolist() if hasattr(thing, "tolist") else thing


def only(thing):
    """The one member of a list, tuple or array of one member, however nested; else the thing."""
    for _ in range(4):
        thing = plain(thing)
        if not isinstance(thing, (list, tuple)) or len(thing) != 1:
            break
        thing = thing[0]
    return thing


def number(answer, what: str = "The answer is one number") -> int | float:
    """The number that an answer stands for: an int where it is whole, else a float.

    Of numpy, torch, pandas, Fraction and Decimal, as text such as "301,989,888", or alone in a
    list. True and False are no numbers.    Raises: Decided, for anything else.
    """
    found = only(answer)
    if isinstance(found, str):
        try:
            found = float(re.sub(r"(?<=\d)[,_ ](?=\d{3}(?!\d))", "", found))
        except ValueError:
            what = f"{in_short(found)} is a text, and no number."
            hint = "digits, with a point before decimals and without a unit"
            raise Decided(wrong(what, hint=hint)) from None
    if isinstance(found, bool) or not isinstance(found, (numbers.Real, Decimal)):
        hint = "put () behind it, so that it is called" if callable(found) else ""
        hint = "decimals come after a point, as in 0.5" if type(found) is tuple else hint
        raise Decided(wrong(f"{what}, not {kind(found)}.", hint=hint))
    if not -1e30 < found < 1e30:  # nan as well
        raise Decided(wrong(f"{in_short(found)} is not a number that can be the answer."))
    return int(found) if found == int(found) else float(found)


def text(answer, what: str = "The answer is a text in quotes", blanks: str | None = None) -> str:
    """The text that an answer is, without `blanks` around it.    Raises: Decided, if it is none."""
    found = only(answer)
    if not isinstance(found, str):
        raise Decided(wrong(f"{what}, not {kind(found)}."))
    return str.__str__(found).strip(blanks)


def members(answer, what: str) -> list:
    """The members of a list, tuple, array, tensor or column.    Raises: Decided, for all others."""
    found = plain(answer)
    if isinstance(found, (list, tuple, range)):
        return list(found)
    hint = "put list(...) around it" if hasattr(type(found), "__next__") else ""
    raise Decided(wrong(f"{what} is asked for, not {kind(found)}.", hint=hint))


def returned(function, *arguments):
    """What a learner's function returns for copies of `arguments`.

    Raises: Decided, if there is no function, if it raises, is a stub, or returns nothing.
    """
    if not callable(function):
        what = f"A function is asked for, not {kind(function)}."
        raise Decided(wrong(what, hint="give the function's name alone, without parentheses"))
    try:
        found = function(*copy.deepcopy(arguments))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a learner's own code raises
        given = f"It was given {in_short(arguments)[1:-1].rstrip(',')}."
        hint = next((hint for sign, hint in RAISED.items() if sign in str(error)), "")
        raise Decided(wrong(f"Your function raised {_said(error)}", given, hint)) from None
    if inspect.iscoroutine(found):
        found.close()
        what = "Your function is async: nothing has run yet."
        raise Decided(wrong(what, hint="def, not async def"))
    if found is ... or (found is None and _is_empty(function)):
        raise Decided(NOT_ATTEMPTED)
    if found is None:
        why = "That happens where no return is reached; print only shows a value."
        raise Decided(wrong("Your function returned None.", why, "end it with return"))
    return found


def _is_empty(function) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and {step.opname for step in dis.get_instructions(code)} <= _EMPTY


def compared(function, solution, *trials):
    """A learner's tensor for the first of `trials` (tuples of arguments); whether all are right.

    Tensors come as float64 on the CPU.    Raises: Decided, if the first is right and another not.
    """
    import torch

    found = []
    for arguments in trials:
        got, wanted = returned(function, *arguments), solution(*arguments)
        if not isinstance(got, torch.Tensor):
            raise Decided(wrong(f"One tensor is asked for, not {kind(got)}.", hint="use torch"))
        if got.is_complex():
            raise Decided(wrong("Complex numbers came out.", hint="real numbers are enough"))
        got, wanted = got.detach().to("cpu", torch.float64), wanted.to(torch.float64)
        found.append(got)
        if got.shape != wanted.shape or not torch.allclose(got, wanted, rtol=1e-4, atol=1e-6):
            if len(found) == 1:
                return got, False
            what = "It is right for one size and wrong for another."
            raise Decided(wrong(what, hint="use the arguments, not fixed numbers"))
    return found[0], True

"""No answer escapes a check, none is met with silence, no wrong one passes: Hypothesis tries."""

import asyncio
import contextlib
import io
import math
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy
import pandas
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gemma_lab.lessons import nb01, nb02, nb03, nb04, nb05, nb06
from gemma_lab.lessons.exercises import Verdict, exercise, in_short, number, right, wrong

CHECKS = {
    name: getattr(lesson, f"check_{name}")
    for lesson in (nb01, nb02, nb03, nb04, nb05, nb06)
    for name in lesson.SOLUTIONS
}
COUNTS = [50, pytest.param(1000, marks=pytest.mark.slow)]

# ---------------------------------------------------------------- what is right, said independently

IS_RIGHT_NUMBER = {
    "linh_comes": lambda x: x == 6,
    "strict_wins": lambda x: x == 10,
    "cache_bytes": lambda x: x == 18 * 2**10,
    "lora_layer_parameters": lambda x: x == 294_912,
    "breaking_row": lambda x: x == 5,
    "token_ceiling": lambda x: abs(x * Fraction(21, 10) - 50) <= Fraction(211, 100),
}
RIGHT_NUMBERS = {
    "linh_comes": 6,
    "strict_wins": 10,
    "cache_bytes": 18_432,
    "lora_layer_parameters": 294_912,
    "breaking_row": 5,
    "token_ceiling": 24,
}
RIGHT_TEXTS = {
    "four_bit_poem": {"c", "poem c"},
    "missing_bos": {"d"},
    "largest_model": {"d"},
    "family_member": {"gemma 4", "gemma 4 e2b", "gemma 4 e4b"},
}


def meant(answer):
    """The one thing that an answer stands for: a Fraction, a text, or None for neither."""
    if isinstance(answer, (pandas.Series, pandas.DataFrame)):
        answer = answer.to_numpy()
    if isinstance(answer, (numpy.ndarray, torch.Tensor)):
        answer = answer.tolist()
    if isinstance(answer, (list, tuple)):
        return meant(answer[0]) if len(answer) == 1 else None
    if isinstance(answer, numpy.generic):
        answer = answer.item()
    if isinstance(answer, str):
        with contextlib.suppress(ValueError, OverflowError):
            return Fraction(float(answer.strip().replace(",", "").replace(" ", "")))
        return answer.strip().casefold()
    if isinstance(answer, (int, float, Fraction, Decimal)) and not isinstance(answer, bool):
        return Fraction(answer) if math.isfinite(answer) else None
    return None


def may_be_right(name: str, answer) -> bool:
    if name in IS_RIGHT_NUMBER:
        found = meant(answer)
        return isinstance(found, Fraction) and abs(found) < 10**30 and IS_RIGHT_NUMBER[name](found)
    if name in RIGHT_TEXTS:
        if isinstance(answer, (set, frozenset)) and len(answer) == 1:
            (answer,) = answer
        return meant(answer) in RIGHT_TEXTS[name]
    if name == "next_merge":
        return (
            [str(piece).strip() for piece in answer] == ["th", "an"]
            if type(answer) in (list, tuple)
            else False
        )
    return False


SOLVED = {
    "top_p": nb01.my_top_p,
    "rotate_half": nb03.my_rotate_half,
    "absmax_int8": nb04.my_round_trip,
    "labels": nb05.my_labels,
    "sliding_mask": nb06.my_sliding_mask,
    "uncap": nb06.my_uncap,
}

# ------------------------------------------------------------------------------- what learners give

ERRORS = (
    ValueError,
    TypeError,
    SystemExit,
    RecursionError,
    MemoryError,
    StopIteration,
    GeneratorExit,
    BaseException,
    Warning,
)
METHODS = (
    "__eq__",
    "__bool__",
    "__len__",
    "__repr__",
    "__str__",
    "__float__",
    "__int__",
    "__index__",
    "__iter__",
    "__hash__",
    "__getitem__",
    "__getattr__",
    "__array__",
    "__format__",
    "__lt__",
    "__next__",
    "__deepcopy__",
    "__call__",
    "__contains__",
)


def nasty(names, error, base=object):
    """An object whose special methods raise, and whose `tolist` and `columns` do."""

    def raises(*_, **__):
        raise error("\ud800 two\nlines")

    methods = dict.fromkeys(names, raises) | {"columns": property(raises), "tolist": raises}
    return type("Nasty", (base,), methods | ({"__hash__": None} if "__eq__" in names else {}))()


class Agrees:
    """Equal to everything, and true."""

    __hash__ = None

    def __eq__(self, other):
        return True

    def __lt__(self, other):
        return True

    __gt__ = __le__ = __ge__ = __lt__


class SixAgrees(Agrees, int):
    pass


class TextAgrees(Agrees, str):
    __slots__ = ()


loop = []
loop.append(loop)
WORDS = [
    "th",
    "an",
    "g",
    "thanh",
    "Gemma 4",
    "gemma 3n",
    "C",
    "a",
    "6",
    "10",
    "18,432",
    "294,912",
    "24",
    "9.32",
    "nan",
    "inf",
    "1e400",
    "6.0",
    "1_0",
    "",
    " ",
    "...",
    "None",
    "\ud800",
    "9" * 5000,
    "line 6",
    "18432 bytes",
    "x" * 300,
    "two\nlines",
    "a\nb\nc\nd",
]
words = st.sampled_from(WORDS)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-20, 40),
    st.floats(),
    st.complex_numbers(),
    st.fractions(),
    st.decimals(),
    st.text(),
    words,
    st.binary(),
    st.integers(20, 5000).map(lambda power: 10**power),
    st.sampled_from([18_432, 294_912, 23.8, 9.32]),
)
objects = st.one_of(
    st.builds(nasty, st.sets(st.sampled_from(METHODS)), st.sampled_from(ERRORS)),
    st.builds(
        nasty,
        st.sets(st.sampled_from(["__eq__", "__repr__", "__str__", "__float__", "__int__"])),
        st.sampled_from(ERRORS),
        st.sampled_from([int, float, str, list, dict]),
    ),
    st.builds(Agrees),
    st.builds(SixAgrees, st.sampled_from([5, 7, 11])),
    st.builds(TextAgrees, st.sampled_from("ABxy")),
    st.sampled_from(
        [
            int,
            Agrees,
            numpy.ndarray,
            torch.Tensor,
            NotImplemented,
            math,
            sorted,
            len,
            loop,
            range(3),
            object(),
        ]
    ),
    st.builds(lambda: (x for x in ("th", "an"))),
    st.builds(lambda: iter(int, 1)),
    st.builds(lambda: map(str, [6])),
)
tables = st.one_of(
    arrays.arrays(
        st.sampled_from([float, int, bool, complex, "U3"]),
        arrays.array_shapes(min_dims=0, max_side=4),
    ),
    arrays.arrays(numpy.float32, arrays.array_shapes(min_dims=0, max_side=4)).map(torch.from_numpy),
    st.builds(
        torch.ones,
        st.sampled_from([(), (0,), (1,), (6, 6), (2, 4)]),
        dtype=st.sampled_from([torch.bfloat16, torch.bool, torch.int8, torch.complex64]),
    ),
    st.sampled_from(
        [
            torch.ones(6, 6, device="meta"),
            torch.eye(6).to_sparse(),
            torch.nn.Linear(2, 2),
            torch.ones(4, requires_grad=True),
        ]
    ),
    st.lists(values, max_size=4).map(lambda rows: pandas.Series(rows, dtype=object)),
    st.lists(words.filter(str.isprintable), max_size=3).map(
        lambda rows: pandas.DataFrame({"name": rows})
    ),
)
nested = st.recursive(
    values | objects | tables,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(words, inner, max_size=2)
    ),
    max_leaves=6,
)


@st.composite
def functions(draw, name):
    """(a function, what it does): the solution, a changed solution, junk, or errors."""
    solution = SOLVED.get(name, lambda *_: 1)
    what = draw(
        st.sampled_from(
            [
                "right",
                "spoils",
                "changed",
                "junk",
                "raises",
                "spoils and junk",
                "arity",
                "generator",
                "async",
                "prints",
                "blanks",
            ]
        )
    )
    junk, error = draw(nested), draw(st.sampled_from(ERRORS))
    off = draw(st.sampled_from([1, -1, 0.01, 1000, math.nan, math.inf]))
    form = "  {}" if draw(st.booleans()) else "{}\n"
    inside = draw(st.sampled_from([str, lambda text: [text], lambda text: numpy.array([text])]))

    def spoil(arguments):
        for argument in arguments:
            if isinstance(argument, torch.Tensor):
                argument.zero_()
            elif hasattr(argument, "clear"):
                argument.clear()

    def function(*arguments):
        if what == "right":
            return solution(*arguments)
        result = solution(*arguments) if what in ("changed", "blanks") else None
        if what == "blanks" and isinstance(result, str):  # of which every one counts
            return inside(form.format(result))
        if result is not None:
            return changed(result, off)
        if what == "spoils":
            result = solution(*arguments)
            result = result.clone() if isinstance(result, torch.Tensor) else result
            spoil(arguments)
            return result
        if "spoils" in what:
            spoil(arguments)
        if what == "raises":
            raise error("two\nlines \ud800" * 50)
        if what == "prints":
            return None if arguments else 1 / 0
        return junk

    async def waits(*arguments):
        return solution(*arguments)

    def yields(*arguments):
        yield solution(*arguments)

    function = {"arity": lambda: 1, "generator": yields, "async": waits}.get(what, function)
    return function, what


def changed(result, off):
    """A result that is not the right one any more."""
    if isinstance(result, torch.Tensor):
        result = result.double().clone()
        result.view(-1)[-1] += off
        return result
    if isinstance(result, list):
        return [*result[:-1], result[-1] + off]
    return result + str(off) if isinstance(result, str) else result + off


def shown(check, answer) -> str:
    """What a check prints; it must return None, and neither warn nor write elsewhere."""
    out, err = io.StringIO(), io.StringIO()
    with (
        warnings.catch_warnings(record=True) as warned,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.simplefilter("always")
        assert check(answer) is None
    assert not warned and not err.getvalue()
    return out.getvalue()


def assert_one_verdict(text: str) -> None:
    assert text.startswith(("Right. ", "Not yet. ", "Not attempted yet.")) and text.endswith("\n")
    lines = text.splitlines()
    assert 1 <= len(lines) <= 3 and all(line.strip() for line in lines)
    assert sum(line.startswith(("Right.", "Not yet.", "Not attempted")) for line in lines) == 1
    assert max(map(len, lines)) <= 220
    text.encode("utf-8")


def tries(count: int, strategy, one) -> None:
    """Run `one` on `count` examples of `strategy`: everyday the same, in the full check others."""
    careful = settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=count < 100,
        suppress_health_check=list(HealthCheck),
    )
    careful(given(strategy)(one))()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", CHECKS)
def test_no_answer_escapes_and_no_wrong_one_passes(name, count):
    def one(answer):
        text = shown(CHECKS[name], answer)
        assert_one_verdict(text)
        if text.startswith("Right. "):
            assert may_be_right(name, answer)

    tries(count, st.just(...) | nested, one)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", SOLVED)
def test_no_function_escapes_and_no_wrong_one_passes(name, count):
    def one(drawn):
        function, what = drawn
        text = shown(CHECKS[name], function)
        assert_one_verdict(text)
        assert text.startswith("Right. ") == (what in ("right", "spoils"))
        told = {"raises": "raised", "arity": "raised", "async": "async", "prints": "returned None"}
        assert told.get(what, "") in text

    tries(count, functions(name), one)


OFFSETS = [1, -1, 0.01, -0.03, 1000, math.nan, math.inf]


@pytest.mark.parametrize("name", SOLVED)
@pytest.mark.parametrize("off", OFFSETS)
def test_a_result_that_is_a_little_off_is_wrong(name, off):
    verdict = CHECKS[name].judge(lambda *given: changed(SOLVED[name](*given), off))
    assert verdict.is_right is False


@pytest.mark.parametrize("name", CHECKS)
def test_answers_that_broke_a_check_once(name):
    odd = [loop, [loop, loop], Agrees(), SixAgrees(7), TextAgrees("A"), math.nan, 1j, 10**5000]
    odd += [nasty([method], error) for method in METHODS for error in ERRORS]
    for answer in [
        *odd,
        *WORDS,
        *((word, "an") for word in WORDS),
        *(("th", word) for word in WORDS),
    ]:
        text = shown(CHECKS[name], answer)
        assert_one_verdict(text)
        if text.startswith("Right. "):
            assert may_be_right(name, answer)


KINDS = [
    lambda x: x,
    str,
    float,
    Fraction,
    lambda x: Decimal(str(x)),
    lambda x: f"{x:,}",
    lambda x: f" {x}\n",
    lambda x: [x],
    lambda x: ((x,),),
    numpy.float64,
    numpy.float32,
    numpy.asarray,
    lambda x: numpy.array([[x]]),
    torch.tensor,
    lambda x: torch.tensor([x]),
    lambda x: pandas.Series([x]),
    lambda x: pandas.DataFrame([x]),
    lambda x: torch.tensor(float(x), requires_grad=True),
    lambda x: [torch.tensor(x)],
    lambda x: (numpy.float32(x),),
    lambda x: str(float(x)),
    lambda x: numpy.array(x, dtype=object),
]


@pytest.mark.parametrize("name", RIGHT_NUMBERS)
def test_a_right_number_passes_in_every_type_and_its_neighbours_in_none(name):
    value = RIGHT_NUMBERS[name]
    for of_kind in [*KINDS, *([int, numpy.int32, numpy.int64] if isinstance(value, int) else [])]:
        assert CHECKS[name].judge(of_kind(value)).is_right is True, of_kind(value)
        for other in (value + 2, value * 2, -value, 0):
            assert CHECKS[name].judge(of_kind(other)).is_right is False, of_kind(other)
    for no_number in (
        True,
        numpy.bool_(True),
        torch.tensor(True),
        complex(value),
        {value},
        {value: value},
        lambda: value,
    ):
        verdict = CHECKS[name].judge(no_number)
        assert verdict.is_right is False and "number" in verdict.what


@pytest.mark.parametrize("name", CHECKS)
def test_false_zero_none_and_nothing_are_answers_of_a_wrong_kind(name, capsys):
    for answer in (False, 0, None, [], "", {}):
        CHECKS[name](answer)
        assert capsys.readouterr().out.startswith("Not yet. ")
    CHECKS[name](...)
    assert capsys.readouterr().out == "Not attempted yet.\n"


def empty(*arguments): ...


def documented(*arguments):
    """What it should do."""


def passes(*arguments):
    pass


@pytest.mark.parametrize("name", SOLVED)
def test_an_empty_function_is_not_attempted_and_one_that_forgets_return_is(name):
    for stub in (empty, documented, passes, lambda *arguments: ..., lambda *arguments: None):
        assert CHECKS[name].judge(stub).is_right is None

    def forgets(*arguments):
        result = SOLVED[name](*arguments)
        str(result)

    verdict = CHECKS[name].judge(forgets)
    assert (
        verdict.is_right is False and "returned None" in verdict.what and "return" in verdict.hint
    )


def test_the_verdict_is_what_why_and_hint(capsys):
    @exercise
    def check(answer):
        """Is it 3?"""
        return (
            right("It is 3.") if number(answer) == 3 else wrong("It is not.", "3 is wanted.", "add")
        )

    assert check(3) is None and check.__doc__ == "Is it 3?"
    assert capsys.readouterr().out == "Right. It is 3.\n"
    check(4)
    assert capsys.readouterr().out == "Not yet. It is not.\n3 is wanted.\nHint: add\n"
    assert check.judge(4) == Verdict(False, "It is not.", "3 is wanted.", "add")


def test_only_an_interrupt_passes():
    @exercise
    def check(answer):
        raise answer

    assert "SystemExit: 3" in check.judge(SystemExit(3)).what
    with pytest.raises(KeyboardInterrupt):
        check(KeyboardInterrupt())

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nb01.check_top_p(interrupted)


def test_what_a_learners_function_prints_is_shown_above_one_verdict(capsys):
    def prints(probabilities, p):
        print("sum", sum(probabilities))

    nb01.check_top_p(prints)
    assert capsys.readouterr().out.startswith("sum 1.0\nNot yet. Your function returned None.\n")


def test_long_things_are_shown_in_short():
    assert in_short("x" * 500) == "'" + "x" * 58 + "…"
    assert in_short(10**5000) == "int" and len(in_short(list(range(10**4)))) == 60
    assert in_short(nasty(["__repr__"], SystemExit)) == "Nasty"


def test_the_kernel_shows_nothing_but_the_verdict():
    from IPython.core.interactiveshell import InteractiveShell

    shell, out = InteractiveShell(), io.StringIO()
    with contextlib.redirect_stdout(out):
        result = shell.run_cell("from gemma_lab.lessons import nb01\nnb01.check_linh_comes(6)")
    assert result.success and result.result is None
    assert_one_verdict(out.getvalue())


def test_a_coroutine_is_not_left_waiting():
    assert asyncio.iscoroutinefunction(_waits)
    assert "async" in nb01.check_top_p.judge(_waits).what


async def _waits(probabilities, p):
    return 2

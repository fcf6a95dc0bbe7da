"""Code that a model wrote, run in a process of its own: each fault ends it, with one sentence."""

import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma_lab import sandbox

TESTS = "assert double(2) == 4\nassert double(-1) == -2"
RIGHT = "def double(x):\n    return 2 * x\n"
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no fork and no ps")


def why(code: str, tests: str = TESTS, **limits) -> str:
    outcome = sandbox.run(code, tests, **limits)
    assert not outcome.passed
    return outcome.why


@pytest.mark.parametrize(
    "code",
    [
        RIGHT,
        "def double(x):\n\treturn x + x",
        RIGHT.replace("\n", "\r\n"),
        "# số gấp đôi\ndef double(số):\n    return 2 * số",
        "import math\ndef double(x):\n    return math.trunc(2 * x)",
        "def double(x):\n    return 2.0 * x",
        "def double(x):\n    print('a' * 10**6)\n    return 2 * x",
        "from collections import namedtuple\nP = namedtuple('P', 'a')\n"
        "def double(x):\n    return P(2 * x).a",
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    a: int\n"
        "def double(x):\n    return P(2 * x).a",
        RIGHT + "double.__defaults__",
        "from enum import Enum\nC = Enum('C', 'a b')\ndef double(x):\n    return 2 * x",
        "from __future__ import annotations\nimport copy, textwrap, unicodedata\n" + RIGHT,
        "import datetime\ndef double(x):\n    datetime.date.today().strftime('%m')\n"
        "    return datetime.datetime.strptime('2', '%m').month * x",
        "def double(x):\n    if x is 7:  # Python warns\n        pass\n    return 2 * x",
    ],
)
def test_right_code_passes(code):
    assert sandbox.run(code, TESTS) == sandbox.Outcome(True, "It passes.")


@pytest.mark.parametrize(
    "code, test",
    [
        ("from collections import Counter", "Counter('aab') == {'a': 2, 'b': 1}"),
        ("from collections import namedtuple\nP = namedtuple('P', 'a b')", "P(1, 2) == (1, 2)"),
        ("from fractions import Fraction", "Fraction(4, 2) == 2"),
        ("from enum import IntEnum\nclass C(IntEnum):\n    A = 4", "C.A == 4"),
        ("", "frozenset([1]) == {1}"),
    ],
)
def test_what_equals_in_python_equals_here(code, test):
    assert sandbox.run(code, f"assert {test}").passed


@pytest.mark.parametrize(
    "code, says",
    [
        ("def double(x):\n    return x", "double(2) gives 2, not 4."),
        (
            "def double(x):\n    return [x] * 10**6",
            "double(2) gives [2, 2, 2, 2, 2, 2, ...], not 4.",
        ),
        ("", "NameError: name 'double' is not defined."),
        ("def double(x) return", "Python cannot read line 1: expected ':'."),
        ("x = 1\n  y = 2", "Python cannot read line 2: unexpected indent."),
        ("1 / 0", "ZeroDivisionError: division by zero."),
        ("raise SystemExit", "SystemExit."),
        ("raise KeyboardInterrupt('a.\\nb')", "KeyboardInterrupt: a. b."),
        (
            "def double(x):\n    return double(x)",
            "RecursionError: maximum recursion depth exceeded.",
        ),
        pytest.param(
            "def double(x):\n    return [0] * 10**10", "It needs more than 256 MB.", marks=ON_LINUX
        ),
        ("open('a', 'w')", "It wants a file."),
        ("import os", "It wants the module os."),
        ("import random\nrandom._os.system('true')", "It wants the system."),
        ("import random\nrandom._os.open('a', 0)", "It wants a file."),
        pytest.param("import random\nrandom._os.fork()", "It wants the system.", marks=ON_POSIX),
        ("import random\nrandom._os._exit(0)", "It ends before its tests do."),
        ("import random\nrandom._os.kill(random._os.getpid(), 9)", "It wants the system."),
        ("__import__('socket')", "It wants the module socket."),
        ("import re\nre.enum.sys.modules['subprocess'].Popen('ls')", "It wants another process."),
        (
            "try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame",
            "It wants object.__getattr__.",
        ),
        ("(i for i in []).gi_frame", "It wants object.__getattr__."),
        ("name = input('Who? ')", "It wants somebody who types."),
        ("raise ValueError('\x1b[31mred\\x1b[0m\\n')", "ValueError: [31mred [0m."),
        ("raise type('a\\nb', (Exception,), {})", "a b."),
        ("raise type('passed', (Exception,), {})", "passed."),
        ("class A:\n    __repr__ = lambda a: 'a\\nb'\ndef double(x):\n    return A()", None),
        ("class E(Exception):\n    __str__ = lambda e: 1 / 0\nraise E", None),
        ("raise ValueError('long ' * 10**5)", None),
        ("AssertionError = ValueError", "NameError: name 'double' is not defined."),
        ("class A:\n    __eq__ = lambda a, b: True\ndouble = lambda x: A()", None),
    ],
)
def test_what_it_does_wrong_is_one_sentence(code, says):
    said = why(code)
    assert said == says or says is None
    assert "\n" not in said and said.endswith(".") and len(said) < 300


def test_a_wrong_assert_that_is_no_equation_is_named():
    said = why("def is_even(n):\n    return True", "assert is_even(2)\nassert not is_even(3)")
    assert said == "This does not hold: assert not is_even(3)."
    said = why("def same(x):\n    return 1", "for x in (1, 2):\n    assert same(x) == x")
    assert said == "This does not hold: for x in (1, 2): assert same(x) == x."


def test_what_runs_on_is_ended_with_all_that_it_holds():
    began = time.monotonic()
    assert why("while True:\n    pass", seconds=0.5) == "It is still running after 0.5 s."
    assert why("while True:\n    print('a' * 1000)", seconds=0.5).startswith("It is still running")
    assert why("10 ** 10 ** 8", seconds=0.9) == "It is still running after 0.9 s."
    assert time.monotonic() - began < 30  # and not for ever


@ON_POSIX
def test_a_process_that_outlives_its_parent_is_ended_too(changed):
    changed("sys.addaudithook(_refuse)", "pass")
    code = "import random\nif random._os.fork():\n    random._os._exit(0)\n"
    code += "random._os.closerange(0, 9)  # nobody waits for it\nwhile True:\n    pass"
    why(code, seconds=60)  # long, so that the limit of its own does not end it
    for _ in range(20):
        left = subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True).stdout
        if sandbox.__file__ not in left:
            return
    raise AssertionError("a process is left")


def test_a_slow_start_takes_none_of_the_time(changed):
    """The time begins when the process is ready: a busy machine fails no right function."""
    changed("def _serve() -> None:\n", "def _serve():\n    __import__('time').sleep(0.6)\n")
    assert sandbox.run(RIGHT, TESTS, seconds=0.5).passed


def test_what_it_writes_by_force_fills_no_memory():
    code = "import random\nwhile True:\n    random._os.write(3, b'a' * 65536)"
    tracemalloc.start()
    try:
        assert why(code, seconds=0.5) == "It is still running after 0.5 s."
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


@ON_LINUX
def test_the_memory_that_it_may_have_is_a_limit():
    code = "def double(x):\n    return len(bytes(150 << 20)) and 2 * x"
    assert sandbox.run(code, TESTS).passed
    assert why(code, memory_mb=100) == "It needs more than 100 MB."


def test_it_sees_no_token_and_no_folder_of_yours(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    code = "import random\nseen = 'HF_TOKEN' in random._os.environ\ndef double(x):\n    return seen"
    assert why(code) == "double(2) gives False, not 4."
    code = code.replace("'HF_TOKEN' in random._os.environ", "'hf_' in str(random._os.environ)")
    assert why(code) == "double(2) gives False, not 4."
    where = why("import random\nhere = random._os.getcwd()\ndef double(x):\n    return here")
    assert os.getcwd() not in where


def test_it_cannot_say_itself_that_it_passed():
    """The word that the answer begins with is drawn anew each time, and out of the code's reach."""
    code = "import random\nfor fd in range(1, 9):\n    try:\n"
    code += "        random._os.write(fd, b'passed')\n    except OSError:\n        pass\n"
    assert why(code + "random._os._exit(0)") == "It ends before its tests do."
    assert why(code.replace("passed", "\\xff") + "random._os._exit(0)") == (
        "It ends before its tests do."
    )
    hunt = "import re\nword = re.enum.sys._getframe(1)\ndef double(x):\n    return 2 * x"
    assert why(hunt) == "It wants sys._getframe."


@pytest.mark.parametrize(
    "code, tests, says",
    [
        (RIGHT, "", "hold no assert"),
        (RIGHT, "double(2)", "hold no assert"),
        (RIGHT, "assert double(2", "cannot read the tests"),
        (RIGHT, "assert 1\0", "cannot read the tests"),
        (None, TESTS, "texts, not NoneType"),
        (RIGHT, 5, "texts, not int"),
    ],
)
def test_mistakes_of_who_calls_it(code, tests, says):
    with pytest.raises(ValueError, match=says):
        sandbox.run(code, tests)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "2", None])
@pytest.mark.parametrize("name", ["seconds", "memory_mb"])
def test_a_limit_is_a_number(name, wrong):
    with pytest.raises(ValueError, match="A limit is a number above 0"):
        sandbox.run(RIGHT, TESTS, **{name: wrong})


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40) | st.sampled_from(["\ud800", "\0", "​", "é = 1;" * 9, "(" * 500]))
def test_any_text_is_an_answer(text):
    outcome = sandbox.run(text, "assert missing() == 1")
    assert not outcome.passed and "\n" not in outcome.why and outcome.why.endswith(".")


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """Lets the process run a copy of the sandbox in which one text is another."""

    def change(old: str, new: str) -> None:
        source = Path(sandbox.__file__).read_text(encoding="utf-8")
        assert source.count(old) == 1
        copy = tmp_path / "sandbox.py"
        copy.write_text(source.replace(old, new), encoding="utf-8")
        monkeypatch.setattr(sandbox, "__file__", str(copy))

    return change


@pytest.mark.parametrize(
    "guard, without, code",
    [
        ("sys.addaudithook(_refuse)", "pass", "import random\nrandom._os.mkdir('a')"),
        ('"__import__": _import', "", "import os"),
        pytest.param('"AS": num_bytes, ', "", "bytes(400 << 20)", marks=ON_LINUX),
    ],
)
def test_each_guard_is_needed(guard, without, code, changed):
    """Without it the code does what it is refused otherwise."""
    assert "double" not in why(code)
    changed(guard, without)
    assert why(code) == "NameError: name 'double' is not defined."


@ON_POSIX
def test_no_file_opens_even_without_the_hook(changed):
    changed("sys.addaudithook(_refuse)", "pass")
    assert why("import random\nrandom._os.open('/', 0)").startswith("OSError: [Errno 24]")


@pytest.mark.parametrize(
    "old, new",
    [
        ("        import resource\n", "        import resource_of_windows\n"),
        ("resource.setrlimit(", "float('as macOS does') or ("),
    ],
)
def test_where_a_limit_cannot_be_set_the_rest_holds(old, new, changed):
    changed(old, new)
    assert sandbox.run(RIGHT, TESTS).passed
    assert why("open('a')") == "It wants a file."
    assert why("while True:\n    pass", seconds=0.3) == "It is still running after 0.3 s."

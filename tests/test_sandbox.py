"""Code that a model wrote, run in a process of its own: each fault ends it, with one sentence."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma_lab import sandbox

TESTS = "assert double(2) == 4\nassert double(-1) == -2"
RIGHT = "def double(x):\n    return 2 * x\n"


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
    ],
)
def test_right_code_passes(code):
    assert sandbox.run(code, TESTS) == sandbox.Outcome(True, "It passes.")


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
        ("def double(x):\n    return [0] * 10**10", "It needs more than 256 MB."),
        ("open('a', 'w')", "It wants a file."),
        ("import os", "It wants the module os."),
        ("import random\nrandom._os.system('true')", "It wants the system."),
        ("import random\nrandom._os.open('a', 0)", "It wants a file."),
        ("import random\nrandom._os.fork()", "It wants the system."),
        ("import random\nrandom._os._exit(0)", "It ends before its tests do."),
        ("import random\nrandom._os.kill(random._os.getpid(), 9)", "It wants the system."),
        ("__import__('socket')", "It wants the module socket."),
        ("import re\nre.enum.sys.modules['subprocess'].Popen('ls')", "It wants another process."),
        ("try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame", None),
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


def test_what_runs_on_is_ended_with_all_that_it_holds():
    began = time.monotonic()
    assert why("while True:\n    pass", seconds=0.5) == "It is still running after 0.5 s."
    assert why("while True:\n    print('a' * 1000)", seconds=0.5).startswith("It is still running")
    assert time.monotonic() - began < 30  # and not for ever
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert f"-I -S {sandbox.__file__}" not in left


def test_the_memory_that_it_may_have_is_a_limit():
    code = "def double(x):\n    return len(bytes(150 << 20)) and 2 * x"
    assert sandbox.run(code, TESTS).passed
    assert why(code, memory_mb=100) == "It needs more than 100 MB."


def test_it_sees_no_token_and_no_folder_of_yours(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    code = "import random\nseen = dict(random._os.environ)\ndef double(x):\n    return seen"
    assert "HF_TOKEN" not in why(code) and "hf_x" not in why(code)
    where = why("import random\nhere = random._os.getcwd()\ndef double(x):\n    return here")
    assert os.getcwd() not in where


def test_it_cannot_say_itself_that_it_passed():
    """The word that the answer begins with is drawn anew each time, and out of the code's reach."""
    code = "import random\nfor fd in range(1, 9):\n    try:\n"
    code += "        random._os.write(fd, b'passed')\n    except OSError:\n        pass\n"
    assert why(code + "random._os._exit(0)") == "It ends before its tests do."
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
        (RIGHT, 5, "texts"),
    ],
)
def test_mistakes_of_who_calls_it(code, tests, says):
    with pytest.raises(ValueError, match=says):
        sandbox.run(code, tests)


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40) | st.sampled_from(["\ud800", "\0", "​", "é = 1;" * 9, "(" * 500]))
def test_any_text_is_an_answer(text):
    outcome = sandbox.run(text, "assert missing() == 1")
    assert not outcome.passed and "\n" not in outcome.why and outcome.why.endswith(".")


@pytest.mark.parametrize(
    "guard, code",
    [
        ("sys.addaudithook(_refuse)", "import random\nrandom._os.open('a', random._os.O_CREAT)"),
        ('tools = vars(builtins) | {"__import__": _import', "import os"),
        ("_limit(seconds, memory_mb << 20)", "bytes(400 << 20)"),
    ],
)
def test_each_guard_is_needed(guard, code, tmp_path, monkeypatch):
    """Without it the code does what it is refused otherwise."""
    source = Path(sandbox.__file__).read_text(encoding="utf-8")
    assert source.count(guard) == 1
    assert "double" not in why(code)
    without = {"sys.add": "None", "tools =": 'tools = vars(builtins) | {"_": _import'}
    instead = next((text for start, text in without.items() if guard.startswith(start)), "None")
    copy = tmp_path / "sandbox.py"
    copy.write_text(source.replace(guard, instead), encoding="utf-8")
    monkeypatch.setattr(sandbox, "__file__", str(copy))
    assert why(code) == "NameError: name 'double' is not defined."

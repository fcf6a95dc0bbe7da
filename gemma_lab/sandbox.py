"""Runs a few lines that a model wrote against a test, in a process of its own, with limits.

This file is both sides: `run` starts it as a script, without any package and with no variable of
the environment. There, Python's audit hook refuses files, the network and other processes.
It is a seat belt for what a small model writes by accident, and no prison for an attacker, who
could change the test. Linux limits memory; macOS and Windows do not, and there the time alone
ends a greedy loop.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import json
import os
import reprlib
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass

MODULES = (
    "__future__ _strptime bisect collections copy dataclasses datetime decimal enum fractions "
    "functools heapq itertools math operator random re statistics string textwrap time typing "
    "unicodedata"
).split()  # what the code may import; datetime asks for _strptime and time
HARMLESS = {"builtins.id", "code.__new__", "compile", "exec", "function.__new__", "import"}
HARMLESS |= {"marshal.loads", "object.__setattr__", "sys._getframemodulename"}  # of ordinary code
FORBIDDEN = {"open": "a file", "os": "the system", "shutil": "a file", "socket": "the network"}
FORBIDDEN |= {"subprocess": "another process", "ctypes": "the system"}
FORBIDDEN |= {"builtins": "somebody who types"}


class Refused(ValueError):
    """The code wants what it may not have."""


@dataclass(frozen=True)
class Outcome:
    """Whether all asserts hold, and one sentence that says so or why not."""

    passed: bool
    why: str


def run(code: str, tests: str, seconds: float = 2, memory_mb: int = 256) -> Outcome:
    """What comes of `code` when the asserts in `tests` follow it; it may import `MODULES`.

    Raises: ValueError for tests without an assert or that are no Python; for what is no text.
    """
    for text in (code, tests):
        if not isinstance(text, str):
            raise ValueError(f"Code and tests are texts, not {type(text).__name__}.")
    for limit, most in ((seconds, 60), (memory_mb, 8192)):
        if not isinstance(limit, (int, float)) or not 0 < limit <= most:
            wrong = reprlib.repr(limit)
            raise ValueError(f"A limit is a number above 0, at most 60 s or 8192 MB; not {wrong}.")
    try:
        has_assert = any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(tests)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(_line(f"Python cannot read the tests: {error}")) from None
    if not has_assert:
        raise ValueError("The tests hold no assert: whatever the code does would pass.")
    word = secrets.token_hex()  # which the code cannot know, so it cannot say that it passed
    asked = json.dumps([code, tests, word, seconds, memory_mb]).encode()
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},
            start_new_session=True,
        ) as child,
    ):
        try:
            child.stdin.write(asked)
            child.stdin.close()
            child.stdout.read(1)  # it has started, however slow the machine: now the time runs
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            return Outcome(False, f"It is still running after {seconds:g} s.")
        finally:
            _end(child)
        said = child.stdout.read1(4096).decode(errors="replace")  # and never waits
    if said == f"{word}+":
        return Outcome(True, "It passes.")
    if said.startswith(f"{word}-"):
        return Outcome(False, _line(said.removeprefix(f"{word}-")))
    return Outcome(False, "It ends before its tests do.")


def _end(child: subprocess.Popen) -> None:
    """Ends the process, and on POSIX all that it started, also where itself is gone."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: not for the dead
            os.killpg(child.pid, signal.SIGKILL)
    child.kill()


def _line(text: str) -> str:
    """One line that any screen can show, not too long, with a period."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(shown.split())[:250].rstrip(".") + "."


def _serve() -> None:
    """The child's side: reads what to run, and writes the secret word and a sentence."""
    code, tests, word, seconds, memory_mb = json.loads(sys.stdin.buffer.read())
    answer = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    for name in MODULES:
        __import__(name)
    _limit(seconds, int(memory_mb * 2**20))
    sys.addaudithook(_refuse)
    answer.write(b".")
    try:
        why = _try(code, tests)
    except MemoryError:
        why = f"It needs more than {memory_mb:g} MB."
    answer.write((word + ("+" if why is None else f"-{why}"[:900])).encode("utf-8", "replace"))
    os._exit(0)


def _limit(seconds: float, num_bytes: int) -> None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    limits = {"AS": num_bytes, "FSIZE": 0, "NOFILE": 0, "NPROC": 0, "CORE": 0}
    limits["CPU"] = int(seconds) + 2  # should nobody be there any more who ends it
    for name, limit in limits.items():
        with contextlib.suppress(ValueError, OSError):  # macOS takes no limit on memory
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))


def _refuse(event: str, given: tuple) -> None:
    is_of_function = event == "object.__getattr__" and not given[1].endswith("_frame")
    if event not in HARMLESS and not is_of_function:  # dataclasses read functions
        raise Refused(f"It wants {FORBIDDEN.get(event.split('.')[0], event)}")


def _import(name: str, *given, **named):
    if name.split(".")[0] not in MODULES:
        raise Refused(f"It wants the module {name}")
    return __import__(name, *given, **named)


def _try(code: str, tests: str) -> str | None:
    """None if it passes, or what is wrong."""
    room = {"__builtins__": vars(builtins) | {"__import__": _import}, "__name__": "__main__"}
    try:
        exec(compile(code, "code", "exec"), room)
        for node in ast.parse(tests).body:
            why = _check(node, room)
            if why:
                return why
    except MemoryError:
        raise
    except SyntaxError as error:
        return f"Python cannot read line {error.lineno or 1}: {error.msg}"
    except BaseException as error:  # also SystemExit: whatever it raises, it did not pass
        name = "" if isinstance(error, Refused) else type(error).__name__
        return ": ".join(filter(None, (name, str(error))))
    return None


def _check(node: ast.stmt, room: dict) -> str | None:
    """None if a statement of the tests holds; of `assert a == b` what a is instead."""
    test = getattr(node, "test", None)
    is_equation = isinstance(test, ast.Compare) and [type(one) for one in test.ops] == [ast.Eq]
    if isinstance(node, ast.Assert) and is_equation:
        left, right = (
            eval(compile(ast.Expression(side), "test", "eval"), room)
            for side in (test.left, test.comparators[0])
        )
        is_own = type(left).__module__ == "__main__"  # a class of the code may equal everything
        if (isinstance(left, type(right)) or not is_own) and left == right:
            return None
        wanted = ast.unparse(test.comparators[0])
        return f"{ast.unparse(test.left)} gives {reprlib.repr(left)}, not {wanted}"
    try:
        exec(compile(ast.Module([node], []), "test", "exec"), room)
    except AssertionError:
        return f"This does not hold: {ast.unparse(node)}"
    return None


if __name__ == "__main__":
    _serve()

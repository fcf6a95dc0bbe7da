"""Runs a few lines that a model wrote against a test, in a process of its own, with limits.

This file is both sides: `run` starts it as a script, without any package and with no variable of
the environment. There, Python's audit hook refuses files, the network and other processes.
It is a seat belt for what a small model writes by accident, and no prison for an attacker.
Linux limits memory; macOS and Windows do not, and there the time alone ends a greedy loop.
"""

from __future__ import annotations

import ast
import builtins
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
    "bisect collections dataclasses datetime decimal enum fractions functools heapq itertools math "
    "operator random re statistics string typing"
).split()  # what the code may import
HARMLESS = {"builtins.id", "code.__new__", "compile", "exec", "function.__new__", "import"}
HARMLESS |= {"marshal.loads", "object.__setattr__"}  # what ordinary code makes Python do
FORBIDDEN = {"open": "a file", "os": "the system", "shutil": "a file", "socket": "the network"}
FORBIDDEN |= {"subprocess": "another process", "ctypes": "the system"}


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
    if not isinstance(code, str) or not isinstance(tests, str):
        raise ValueError(f"Code and tests are texts, not {type(code).__name__}.")
    try:
        has_assert = any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(tests)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"Python cannot read the tests: {_line(error)}.") from None
    if not has_assert:
        raise ValueError("The tests hold no assert: whatever the code does would pass.")
    word = secrets.token_hex()  # which the code cannot know, so it cannot say that it passed
    asked = json.dumps([code, tests, word, seconds, memory_mb]).encode()
    command = [sys.executable, "-I", "-S", __file__]
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},
            start_new_session=True,
        )
        try:
            said = child.communicate(asked, timeout=seconds + 0.5)[0].decode().partition(" ")
        except subprocess.TimeoutExpired:
            return Outcome(False, f"It is still running after {seconds:g} s.")
        finally:
            _end(child)
    if said[0] != word:
        late = child.returncode == -getattr(signal, "SIGXCPU", 0)
        why = f"is still running after {seconds:g} s" if late else "ends before its tests do"
        return Outcome(False, f"It {why}.")
    return Outcome(said[2] == "passed", "It passes." if said[2] == "passed" else said[2])


def _end(child: subprocess.Popen) -> None:
    """Ends the process, and on POSIX all that it started."""
    if child.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        child.kill()
    child.communicate()


def _serve() -> None:
    """The child's side: reads what to run, and writes the secret word and a sentence."""
    code, tests, word, seconds, memory_mb = json.loads(sys.stdin.buffer.read())
    answer = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    for name in MODULES:
        __import__(name)
    _limit(seconds, memory_mb << 20)
    sys.addaudithook(_refuse)
    try:
        why = _try(code, tests)
    except MemoryError:
        why = f"It needs more than {memory_mb} MB."
    answer.write(f"{word} {why}".encode("utf-8", "replace"))
    os._exit(0)


def _limit(seconds: float, num_bytes: int) -> None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    limits = {"AS": num_bytes, "CPU": int(seconds) + 1, "FSIZE": 0, "CORE": 0}
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))


def _refuse(event: str, given: tuple) -> None:
    if event not in HARMLESS:
        raise Refused(f"It wants {FORBIDDEN.get(event.split('.')[0], event)}.")


def _import(name: str, *given, **named):
    if name.split(".")[0] not in MODULES:
        raise Refused(f"It wants the module {name}.")
    return __import__(name, *given, **named)


def _no_file(*given, **named):
    raise Refused("It wants a file.")


def _line(error: BaseException) -> str:
    """An exception in one line, not too long."""
    return " ".join(str(error).split())[:200].rstrip(".")


def _try(code: str, tests: str) -> str:
    """ "passed", or a sentence on what is wrong."""
    tools = vars(builtins) | {"__import__": _import, "open": _no_file}
    room = {"__builtins__": tools, "__name__": "__main__"}
    try:
        exec(compile(code, "code", "exec"), room)
        for node in ast.parse(tests).body:
            why = _check(node, room)
            if why:
                return why
    except MemoryError:
        raise
    except SyntaxError as error:
        return f"Python cannot read line {error.lineno or 1}: {error.msg}."
    except BaseException as error:  # also SystemExit: whatever it raises, it did not pass
        name = "" if isinstance(error, Refused) else type(error).__name__
        return ": ".join(filter(None, (name, _line(error)))) + "."
    return "passed"


def _check(node: ast.stmt, room: dict) -> str | None:
    """None if a statement of the tests holds; of `assert a == b` what a is instead."""
    test = getattr(node, "test", None)
    is_equation = isinstance(test, ast.Compare) and [type(one) for one in test.ops] == [ast.Eq]
    if isinstance(node, ast.Assert) and is_equation:
        left, right = (
            eval(compile(ast.Expression(side), "test", "eval"), room)
            for side in (test.left, test.comparators[0])
        )
        is_number = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if (is_number or type(left) is type(right)) and left == right:  # no class that is all
            return None
        wanted = ast.unparse(test.comparators[0])
        return f"{ast.unparse(test.left)} gives {reprlib.repr(left)}, not {wanted}."
    try:
        exec(compile(ast.Module([node], []), "test", "exec"), room)
    except AssertionError:
        return f"This does not hold: {ast.unparse(node)}."
    return None


if __name__ == "__main__":
    _serve()

"""Failures in one line. Standard library only: course.py reads it first."""

from __future__ import annotations


class OneLine(Exception):
    """An error of which Jupyter shows the message alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


DISK_FULL = "The disk is full"
SIZE = "4 GB of disk, or 7 GB where PyTorch comes with CUDA"
# What an installer prints, in parts of which one is enough -> what to say. The first match counts.
SENTENCES = {
    "No space left | os error 28 | Disk quota exceeded | [Errno 122] | [WinError 112] | "
    "not enough space on the disk": f"{DISK_FULL}: free {SIZE}, then {{again}}.",
    "ensurepip is not | No module named venv": (  # Debian breaks the line after "not"
        "Python's venv module is missing: `sudo apt install python3-venv`, then {again}."
    ),
    "externally-managed": (
        "This Python is managed by the system: `python3 course.py` makes an environment, .venv, "
        "and opens the course in it."
    ),
    "CERTIFICATE_VERIFY_FAILED | self-signed certificate | invalid peer certificate": (
        "This network shows a certificate of its own: ask who runs the network for its file, set "
        "SSL_CERT_FILE and PIP_CERT to the file's path, then {again}."
    ),
    "ProxyError | 407 Proxy | tunnel error": (
        "The proxy refused, or did not answer: set HTTPS_PROXY to http://USER:PASSWORD@HOST:PORT "
        "as who runs the network tells you, then {again}."
    ),
    "name resolution | resolve host | dns error | timed out | etwork is unreachable | "
    "onnection refused | onnection reset | onnection broken by | onnection aborted | "
    "establish a new connection | error sending request": (
        "The package index did not answer: {network}, then {again}."
    ),
}


def sentence(output: str, again: str, network: str = "check the network") -> str:
    """What to do about an installer's `output`; `again` is "run the same command again" or so."""
    for signs, text in SENTENCES.items():
        if any(sign in output for sign in signs.split(" | ")):
            return text.format(again=again, network=network)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = (lines or ["nothing"])[-1]
    return f"The installer said: {said}{'' if said[-1] in '.!?' else '.'} Then {again}."

"""Each failure of an installer, as it was printed, and the one sentence that it becomes."""

import subprocess
import sys

import pytest
from notebook_cells import ROOT

from gemma_lab import failures

AGAIN = "run this cell again"
PRINTED = {  # what pip, uv, and Python's venv print
    "OSError: [Errno 28] No space left on device": "disk is full",
    "error: failed to write to `x`: No space left on device (os error 28)": "disk is full",
    "error: Failed to extract archive\n  Caused by: I/O (os error 28)": "disk is full",
    "The virtual environment was not created: ensurepip is not available": "python3-venv",
    "/usr/bin/python3: No module named venv": "python3-venv",
    "error: externally-managed-environment\n\n× This environment is managed": "course.py",
    "NewConnectionError: Failed to establish a new connection: [Errno -3]": "network",
    "Temporary failure in name resolution": "network",
    "error: Failed to fetch: dns error: failed to lookup address": "network",
    "curl: (6) Could not resolve host: pypi.org": "network",
    "error: error sending request for url (https://pypi.org/simple/trl/)": "network",
    "ReadTimeoutError: HTTPSConnectionPool: Read timed out.": "network",
    "OSError: [Errno 101] Network is unreachable": "network",
}


@pytest.mark.parametrize("output, word", PRINTED.items())
def test_what_is_printed_becomes_one_sentence_that_says_what_to_do(output, word):
    said = failures.sentence(f"Collecting trl\n{output}\n", AGAIN)
    assert word in said and "\n" not in said and said.endswith(".")
    assert "installer said" not in said and (AGAIN in said or "course.py" in said)


def test_each_sentence_has_a_printed_failure():
    texts = {failures.sentence(output, AGAIN) for output in PRINTED}
    assert texts == {text.format(again=AGAIN) for text in failures.SENTENCES.values()}


def test_an_unknown_failure_ends_with_the_last_line_that_was_printed():
    said = failures.sentence("one\n  something new \n\n", AGAIN)
    assert said == "The installer said: something new. Then run this cell again."
    assert "nothing" in failures.sentence("", AGAIN)


def test_a_conflict_of_versions_is_no_network_failure():
    page = "https://pip.pypa.io/topics/dependency-resolution/#conflicts"
    said = failures.sentence(f"ERROR: ResolutionImpossible: for help visit {page}", AGAIN)
    assert said.startswith("The installer said: ERROR: ResolutionImpossible")


def test_it_loads_with_the_standard_library_alone():
    """`-S` hides what is installed: course.py reads this file before there is a .venv."""
    command = [sys.executable, "-S", "-c", "import gemma_lab.failures"]
    subprocess.run(command, cwd=ROOT, check=True)

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
    "OSError: [Errno 122] Disk quota exceeded: '.venv/lib/x.so'": "disk is full",
    "  Caused by: failed to write to `x`: Disk quota exceeded (os error 122)": "disk is full",
    "OSError: [WinError 112] There is not enough space on the disk": "disk is full",
    "error: failed to copy `x`: There is not enough space on the disk.": "disk is full",
    "error: Failed to extract archive\n  Caused by: I/O (os error 28)": "disk is full",
    "The virtual environment was not created: ensurepip is not available": "python3-venv",
    "was not created successfully because ensurepip is not\navailable.  On Debian": "python3-venv",
    "/usr/bin/python3: No module named venv": "python3-venv",
    "error: externally-managed-environment\n\n× This environment is managed": "course.py",
    "NewConnectionError: Failed to establish a new connection: [Errno -3]": "network",
    "Temporary failure in name resolution": "network",
    "error: Failed to fetch: dns error: failed to lookup address": "network",
    "curl: (6) Could not resolve host: pypi.org": "network",
    "error: error sending request for url (https://pypi.org/simple/trl/)": "network",
    "ReadTimeoutError: HTTPSConnectionPool: Read timed out.": "network",
    "OSError: [Errno 101] Network is unreachable": "network",
    "('Connection aborted.', RemoteDisconnected('Remote end closed'))": "network",
}
PIP = (
    "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by '%s': /simple/x/\n"
)
PIP += "ERROR: Could not find a version that satisfies the requirement x (from versions: none)"
UV = "error: Failed to fetch: https://pypi.org/simple/x/\n  cause: error sending request for url\n"
UV += "  cause: client error (Connect)\n  cause: %s"
SSL = "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
NEW = "NewConnectionError('<HTTPSConnection object at 0x7f>: Failed to establish a new connection:"
TUNNEL = "OSError('Tunnel connection failed: 407 Proxy Authentication Required')"
PRINTED |= {  # by pip 23.2 and uv 0.13, asked for a package where a server fails in this way
    PIP % f"{SSL}failed: self-signed certificate (_ssl.c:1006)'))": "certificate",
    PIP % f"{SSL}failed: unable to get local issuer certificate (_ssl.c:1006)'))": "certificate",
    UV % "invalid peer certificate: UnknownIssuer": "certificate",
    UV % "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))": "certificate",
    "curl: (60) SSL certificate problem: self-signed certificate in chain": "certificate",
    PIP % f"ProxyError('Cannot connect to proxy.', {TUNNEL})": "HTTPS_PROXY",
    PIP % f"ProxyError('Cannot connect to proxy.', {NEW} [Errno 111] refused'))": "HTTPS_PROXY",
    UV % "tunnel error: proxy authorization required": "HTTPS_PROXY",
    UV % "tunnel error: failed to create underlying connection": "HTTPS_PROXY",
    PIP % f"{NEW} [Errno -2] Name or service not known')": "did not answer",
    PIP % f"{NEW} [Errno 111] Connection refused')": "did not answer",
    UV % "tcp connect error\n  cause: Connection refused (os error 111)": "did not answer",
}


@pytest.mark.parametrize("output, word", PRINTED.items())
def test_what_is_printed_becomes_one_sentence_that_says_what_to_do(output, word):
    said = failures.sentence(f"Collecting trl\n{output}\n", AGAIN)
    assert word in said and "\n" not in said and said.endswith(".")
    assert "installer said" not in said and (AGAIN in said or "course.py" in said)


def test_each_sentence_has_a_printed_failure():
    texts = {failures.sentence(output, AGAIN) for output in PRINTED}
    assert texts == {
        text.format(again=AGAIN, network="check the network")
        for text in failures.SENTENCES.values()
    }


def test_an_unknown_failure_ends_with_the_last_line_that_was_printed():
    said = failures.sentence("one\n  something new \n\n", AGAIN)
    assert said == "The installer said: something new. Then run this cell again."
    assert "nothing" in failures.sentence("", AGAIN)


def test_a_conflict_of_versions_is_no_network_failure():
    page = "https://pip.pypa.io/topics/dependency-resolution/#conflicts"
    said = failures.sentence(f"ERROR: ResolutionImpossible: for help visit {page}", AGAIN)
    assert said.startswith("The installer said: ERROR: ResolutionImpossible")


@pytest.mark.parametrize(
    "output",
    [
        "src/connection.c:8: error: unknown type name\nerror: command '/usr/bin/gcc' failed",
        "Collecting connection-pool\nerror: metadata-generation-failed",
        "x.c:9: warning: code is unreachable\nerror: command '/usr/bin/gcc' failed",
        "Command '['python', '-m', 'ensurepip', '--upgrade']' returned non-zero exit status 1.",
        "Downloading proxy_tools-0.1.0.tar.gz\nerror: subprocess-exited-with-error",
        "Installing certifi (certificate bundle)\nerror: command 'cl.exe' failed",
    ],
)
def test_a_word_of_a_build_log_is_no_sign(output):
    last = output.splitlines()[-1].removesuffix(".")
    assert failures.sentence(output, AGAIN) == f"The installer said: {last}. Then {AGAIN}."


def test_it_loads_with_the_standard_library_alone():
    """`-S` hides what is installed: course.py reads this file before there is a .venv."""
    command = [sys.executable, "-S", "-c", "import gemma_lab.failures"]
    subprocess.run(command, cwd=ROOT, check=True)

"""Every fault of the table ends in one sentence: no wall of text, no token, and the kernel goes on.

`faults` has the table, `faults_kernel` runs it. Good is what a learner can act on: the words of the
row, at most three lines beside the set-up's own, no traceback, and the next cell runs.
"""

import json
import os
import re
import select
import socket
import ssl
import subprocess
import sys
import sysconfig
import threading
import venv
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import family
import faults
import pytest
from hub_stand_in import COPY, FINE, GOOD, NEW, OLD, REPO, Hub

pytestmark = pytest.mark.skipif(os.name == "nt", reason="its rows use a POSIX shell and links")
POCKET = faults.ROOT / "gemma_lab" / "checkpoints" / "pocket-small-it"
# All made-up tokens are hf_ and one letter, so that any part of one, or its repr, is found.
TOKEN = re.compile(r"([gnwfo])\1{7}")
OWN_LINES = ("Packages: ", "Machine:  ", "Profile:  ", "Gemma:    ", "In [", "The next cell.")
# What IPython adds by itself to the one line of a SystemExit.
EXIT = re.compile(
    r".*UserWarning: To exit: use 'exit'.*\n.*\n|An exception has occurred, use %tb.*"
)
PROGRESS = re.compile(r"^.*(\d+%\||\d+\.\d+[kMG]?B/s|it/s).*$", re.MULTILINE)


def split(file: Path, folder: Path) -> None:
    """The weights of one file as two shards with their index, as large checkpoints are stored."""
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    names, weight_map = sorted(header), {}
    for number, part in enumerate((names[:-1], names[-1:]), 1):
        shard, new, body = f"model-0000{number}-of-00002.safetensors", {}, b""
        for name in part:
            first, last = header[name]["data_offsets"]
            offsets = [len(body), len(body) + last - first]
            body += data[start + first : start + last]
            new[name] = header[name] | {"data_offsets": offsets}
            weight_map[name] = shard
        text = json.dumps(new | {"__metadata__": {"format": "pt"}}).encode()
        (folder / shard).write_bytes(len(text).to_bytes(8, "little") + text + body)
    index = {"metadata": {"total_size": len(data) - start}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    for name in (REPO, COPY, "google/gemma-7b", faults.GEMMA_2):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(POCKET, target_is_directory=True)
    (root / faults.SHARDED).mkdir()
    for path in POCKET.iterdir():
        if path.suffix != ".safetensors":
            (root / faults.SHARDED / path.name).symlink_to(path)
    split(POCKET / "model.safetensors", root / faults.SHARDED)
    family.publish(root)
    gated = {REPO, "google/gemma-7b", faults.GEMMA_2, faults.SHARDED}
    tokens, accepted = {GOOD, NEW, FINE}, {GOOD: {REPO, faults.SHARDED}}
    server = Hub(root, gated, tokens, accepted, fine_grained={FINE}, expired={OLD})
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def good(pytestconfig):
    """The rows that are good so far; in the end their number is printed."""
    names = []
    yield names
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    share = f"{len(names)} of {len(faults.ROWS)} faults are good"
    share = f"{len(names)} faults, all good" if len(names) == len(faults.ROWS) else share
    with capture.global_and_fixture_disabled():
        print(f"\n{share}")


@pytest.fixture(scope="module")
def kernels():
    """A function: the process that makes kernels, a new one where that has ended."""
    runner, running = Path(__file__).with_name("faults_kernel.py"), []
    path = os.pathsep.join([str(faults.ROOT), str(runner.parent)])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}

    def process():
        if not running or running[-1].poll() is not None:
            command = [sys.executable, str(runner)]
            running.append(subprocess.Popen(command, env=environment, **pipes))
        return running[-1]

    yield process
    for one in running:
        one.communicate()


class Tunnel(BaseHTTPRequestHandler):
    """A proxy that leads every https address to one server."""

    def log_message(self, *arguments):
        """No log on stderr."""

    def do_CONNECT(self):
        with socket.create_connection(self.server.target) as server:
            self.send_response(200)
            self.end_headers()
            other = {self.connection: server, server: self.connection}
            while True:
                for end in select.select([*other], [], [])[0]:
                    if not (data := end.recv(1 << 16)):
                        return
                    other[end].sendall(data)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A server in the place of every https address, with a certificate that no client knows."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=stand-in".split()
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:github.com"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Hub(folder)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Tunnel)
    proxy.target = server.server_address
    threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
    server.places = {
        "<tls>": server.url.replace("http:", "https:"),
        "<proxy>": f"http://127.0.0.1:{proxy.server_address[1]}",
        "<certificate>": str(certificate),
    }
    yield server
    proxy.shutdown()
    server.shutdown()


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python without packages but pip: what a row might install would go there."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder)
    own = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    Path(own, "pip").symlink_to(Path(sysconfig.get_path("purelib"), "pip"))
    python = folder / Path(sys.executable).relative_to(sys.prefix)
    pip = python.with_name("pip")  # as a learner calls it
    pip.write_text(f'#!/bin/sh\nexec "{python}" -m pip "$@"\n')
    pip.chmod(0o755)
    return python


@pytest.fixture(scope="module")
def screen(hub, tls, kernels, python):
    """A function: what the learner of a row sees, whose folder is `folder`."""

    def of(fault: faults.Fault, folder: Path) -> str:
        hub.faults = tls.faults = list(fault.hub)
        hub.forget()
        (folder / "work").mkdir()
        programs = [str(python.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
        usual = {
            "PATH": os.pathsep.join(programs),
            "OTHER_PYTHON": str(python),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "HF_HOME": str(folder / "hf"),
            "HF_ENDPOINT": "<hub>",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "GEMMA_LAB_CACHE": str(folder / "cache"),
            "HTTPS_PROXY": faults.NOWHERE,  # so nothing leaves this machine
            "NO_PROXY": "127.0.0.1",
            "PIP_INDEX_URL": faults.NOWHERE,
            "PIP_RETRIES": "1",
            "UV_DEFAULT_INDEX": faults.NOWHERE,
            "UV_HTTP_RETRIES": "0",
        }
        environment = usual | fault.environment
        places = tls.places | {"<hub>": hub.url, "<files>": hub.file_host.url}
        for place, value in places.items():
            environment = {name: text.replace(place, value) for name, text in environment.items()}
        asked = {"row": fault.name, "folder": str(folder), "environment": environment}
        process = kernels()
        process.stdin.write(json.dumps(asked) + "\n")
        status = process.stdout.readline().strip() or str(process.wait())
        shown = (folder / "screen").read_text(encoding="utf-8", errors="replace")
        shown = "".join(line.split("\r")[-1] for line in shown.splitlines(keepends=True))
        return shown if status == "0" else f"{shown}\n(the kernel ended: {status})"

    return of


def wrong(fault: faults.Fault, shown: str, folder: Path, hub: Hub) -> list[str]:
    """What is not good on the screen, or where a token was left."""
    found = [f"does not say {words!r}" for words in fault.says if words not in shown]
    lines = [line for line in EXIT.sub("", PROGRESS.sub("", shown)).splitlines() if line.strip()]
    others = [line for line in lines if not line.startswith(OWN_LINES)]
    found += [f"{len(others)} lines"] if len(others) > 3 else []
    found += ["a traceback"] if "Traceback" in shown or re.search(r"^-+> ", shown, re.M) else []
    found += ["a token on the screen"] if TOKEN.search(shown) else []
    found += ["the kernel does not go on"] if "The next cell." not in shown else []
    found += ["a token reached the file host"] if hub.leaked else []
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "token"]
    kept = [path.name for path in files if re.search(rb"hf_([gnwfo])\1{7}", path.read_bytes())]
    return found + [f"a token in {name}" for name in kept]


@pytest.mark.parametrize("name", faults.ROWS)
def test_a_fault_is_one_sentence(name, screen, hub, tmp_path, good):
    fault = faults.ROWS[name]
    shown = screen(fault, tmp_path)
    assert not (found := wrong(fault, shown, tmp_path, hub)), f"{name}: {found}\n{shown}"
    good.append(name)


def test_there_are_many():
    assert len(faults.ROWS) >= 60


@pytest.mark.parametrize("name", faults.OWN_MISTAKES)
def test_a_traceback_shows_no_token(name, screen, tmp_path):
    fault = faults.OWN_MISTAKES[name]
    shown = screen(fault, tmp_path)
    assert "Traceback" in shown and "The next cell." in shown
    assert not [words for words in fault.says if words not in shown], shown
    assert not TOKEN.search(shown), shown

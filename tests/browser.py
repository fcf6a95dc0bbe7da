"""Chromium, and a JupyterLab on this machine alone, for tests/test_browser.py."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from tools import OFFLINE, ROOT, lab
from tools.deck import find_chromium

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
FLAGS += ("--disable-component-update", "--disable-sync")


@contextlib.contextmanager
def chromium():
    """A headless browser, which ends with the block."""
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS])
        yield browser
        browser.close()


def expect(found):
    """Playwright's `expect` of something on a page, with patience for a busy machine."""
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)
    return expect(found)


def watch(page) -> list[str]:
    """What goes wrong on a page, as it happens: errors, and requests to another machine."""
    wrong = []

    def ask(request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob", "file") and address.hostname != "127.0.0.1":
            wrong.append(f"asked for {request.url}")

    def hear(message) -> None:
        if message.type == "error":
            wrong.append(message.text)

    page.on("request", ask)
    page.on("console", hear)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    return wrong


@contextlib.contextmanager
def jupyterlab(folder: Path):
    """A JupyterLab over `folder`, set as `course.py` sets it: its address, and its token."""
    for name, settings in lab.SETTINGS.items():
        extension, plugin = name.split(":")
        place = folder / ".settings" / extension / f"{plugin}.jupyterlab-settings"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(settings), encoding="utf-8")
    homes = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    homes += ("JUPYTERLAB_WORKSPACES_DIR",)
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    environment = os.environ | OFFLINE | {name: str(folder / f".{name}") for name in homes}
    environment |= {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings"),
        "JUPYTER_TOKEN": secrets.token_hex(),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *others]),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *lab.OPTIONS]
    command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--ServerApp.root_dir={folder}"]
    with (folder / ".log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        said = _server_info(folder / ".JUPYTER_RUNTIME_DIR", server)
        yield said["url"], said["token"]
    finally:
        server.terminate()
        server.wait(60)


def _server_info(folder: Path, server: subprocess.Popen) -> dict:
    """What a JupyterLab writes down about itself when it listens; at most a minute is waited."""
    for _ in range(600):
        for path in folder.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError):  # half written
                return json.loads(path.read_text(encoding="utf-8"))
        assert server.poll() is None, "JupyterLab ended before it listened"
        time.sleep(0.1)
    raise TimeoutError("JupyterLab does not listen after a minute")

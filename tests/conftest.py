"""Every test leaves the process as it found it: none depends on another, in any order or worker."""

import logging
import os
import shutil
import sys
from pathlib import Path

import pytest

# The files of a few long tests; the notebooks come next.
LONG = "test_worlds test_laptop test_own_rows test_pocket_measures test_fuzz test_misuse".split()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Long files first: else one worker waits at the end for the other's last."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(autouse=True)
def as_it_was():
    """Puts back what a test changed outside itself.

    That is the environment, the working folder, the import path, caches, log levels, pictures, and
    HF_HOME.
    """
    environment, folder, path = dict(os.environ), Path.cwd(), list(sys.path)
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    home = Path(os.environ["HF_HOME"])
    files = set(home.iterdir())
    had = set(sys.modules)
    yield
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:] = path
    for name in logging.root.manager.loggerDict:
        logger, level = logging.getLogger(name), levels.get(name, logging.NOTSET)
        if logger.level != level:  # setLevel empties the cache of every logger
            logger.setLevel(level)
    if "gemma_lab.tokens" in sys.modules:
        sys.modules["gemma_lab.tokens"].forget()
    if "gemma_lab.profile" in sys.modules:
        sys.modules["gemma_lab.profile"].forget()
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
        sys.modules["matplotlib.pyplot"].rcdefaults()
    for name in sys.modules.keys() - had:  # Colab's stand-in, and the folder that made it a package
        if name == "google" or name.startswith("google.colab"):
            del sys.modules[name]
    if "torch" in sys.modules:
        sys.modules["torch"].set_default_dtype(sys.modules["torch"].float32)
        sys.modules["torch"].set_flush_denormal(False)  # llama.cpp's library turns it on
    for left in set(home.iterdir()) - files:
        shutil.rmtree(left) if left.is_dir() else left.unlink()


@pytest.fixture
def no_tokens(monkeypatch, tmp_path):
    """None in the environment, and a token file that is not there yet: `tmp_path / "token"`."""
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub with a gated model, which of all its tokens GOOD alone may have, and its copy."""
    from hub_stand_in import COPY, FINE, GOOD, NEW, OLD, REPO, Hub
    from huggingface_hub import constants

    for repo in (REPO, COPY):
        folder = tmp_path / "hub" / repo
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"model_type": "gemma"}')
        (folder / "model.safetensors").write_bytes(b"weights")
    server = Hub(
        tmp_path / "hub",
        gated={REPO},
        tokens={GOOD, NEW, FINE},
        accepted={GOOD: {REPO}},
        fine_grained={FINE},
        expired={OLD},
    )
    address = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield server
    server.shutdown()


@pytest.fixture(scope="session")
def real_gemma():
    """The folder of Google's Gemma 3 270M, kept between runs; without it a test is skipped."""
    from gemma_lab import gemma3

    if not gemma3.is_here():
        pytest.skip(gemma3.MISSING)
    return gemma3.convert()


def pytest_terminal_summary(terminalreporter):
    """Says how many inputs Hypothesis tried in tests/test_fuzz.py, of all workers together."""
    reports = terminalreporter.stats.get("passed", [])
    counts = [dict(report.user_properties).get("inputs", 0) for report in reports]
    if any(counts):
        terminalreporter.write_line(f"{sum(counts):,} inputs of learners tried.")

"""Every test leaves the process as it found it: none depends on another, in any order or worker."""

import logging
import os
import shutil
import sys
from pathlib import Path

import pytest


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
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
    if "gemma_lab.access" in sys.modules:
        sys.modules["gemma_lab.access"].forget()
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
    for left in set(home.iterdir()) - files:
        shutil.rmtree(left) if left.is_dir() else left.unlink()

"""Cells of a notebook, run in a process of their own: for what the notebook does elsewhere than on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def cell_with(notebook: str, words: str) -> str:
    """The source of the one code cell of notebooks/`notebook`.ipynb that contains `words`."""
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    found = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    (source,) = [source for source in found if words in source]
    return source


def printed(source: str, folder: Path, **environment) -> str:
    """What a fresh process prints that runs `source`, with no token but one in `environment`."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    clean |= {"HF_HOME": str(folder), "GEMMA_LAB_PROFILE": "pocket"} | environment
    done = subprocess.run([sys.executable, "-c", source], env=clean, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout

"""What one test leaves behind, the next does not find; and the set-up cell without the course."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from notebook_cells import ROOT, code_cells

TRACES = """
import logging, os, sys
from pathlib import Path
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from gemma_lab import profile, tokens

def traces():
    return {
        "picture": bool(plt.get_fignums()),
        "style": plt.rcParams["font.size"] == 7,
        "variable": "LEFT" in os.environ,
        "token": "HF_TOKEN" in os.environ,
        "folder": Path.cwd().name == "elsewhere",
        "path": "left" in sys.path,
        "profile": bool(profile._chosen),
        "secret": tokens.hosted_secret.cache_info().currsize > 0,
        "level": logging.getLogger("bitsandbytes").level == logging.ERROR,
        "dtype": torch.get_default_dtype() == torch.float64,
        "file": Path(os.environ["HF_HOME"], "left").exists(),
    }

def test_a_leaves_traces(tmp_path):
    plt.figure()
    plt.rcParams["font.size"] = 7
    os.environ |= {"LEFT": "1", "HF_TOKEN": "x"}
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    sys.path.append("left")
    profile.current_profile()
    tokens.hosted_secret()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    torch.set_default_dtype(torch.float64)
    Path(os.environ["HF_HOME"], "left").touch()
    assert all(traces().values()), traces()

def test_b_finds_none():
    assert not any(traces().values()), traces()
"""


def run_pytest(folder: Path) -> str:
    (folder / "test_traces.py").write_text(TRACES)
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    settings = {**os.environ, "HF_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder]
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True).stdout


def test_what_a_test_leaves_is_gone_before_the_next(tmp_path):
    assert "1 failed, 1 passed" in run_pytest(tmp_path)  # without the fixture
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    assert "2 passed" in run_pytest(tmp_path)


COLAB = ROOT / ".venv-colab" / "bin" / "python"  # made by `course.py test`, with IPython 7.34


@pytest.mark.parametrize(
    "python",
    [sys.executable, *([str(COLAB)] if COLAB.exists() else [])],
    ids=lambda p: Path(p).parts[-3],
)
def test_the_first_cell_without_the_course_says_what_to_do_in_three_lines(python):
    source = "".join(code_cells("01_nlp_basics")[0]["source"])
    script = (
        "import sys; sys.modules['gemma_lab'] = None\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        f"InteractiveShell.instance().run_cell({source!r})"
    )
    done = subprocess.run(
        [python, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True
    )
    said = (done.stdout + done.stderr).strip().splitlines()
    assert len(said) <= 3 and "Set REPOSITORY" in said[-1]

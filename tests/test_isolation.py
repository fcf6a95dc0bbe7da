"""What one test leaves behind, the next does not find; and the set-up cell without the course."""

import io
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from notebook_cells import ROOT, code_cells

import gemma_lab
from tools import contract

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


@pytest.mark.slow
def test_what_a_test_leaves_is_gone_before_the_next(tmp_path):
    assert "1 failed, 1 passed" in run_pytest(tmp_path)  # without the fixture
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    assert "2 passed" in run_pytest(tmp_path)


COLAB = ROOT / ".venv-colab" / "bin" / "python"  # made by `course.py test`, with IPython 7.34


PYTHONS = [sys.executable, *([str(COLAB)] if COLAB.exists() else [])]
FIRST_CELL = "".join(code_cells("01_nlp_basics")[0]["source"])
WITHOUT_COURSE = """
import importlib, pathlib, sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder)]
sys.path = [path for path in sys.path if not pathlib.Path(path, "gemma_lab").is_dir()]
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_cell(CELL)
"""


def say(python: str, folder: Path, cell: str, **environment) -> list[str]:
    """What a kernel without the course shows after the first cell; pip may write to `folder`."""
    hosts = ("COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE")
    settings = {name: value for name, value in os.environ.items() if name not in hosts}
    settings |= {"PYTHONPATH": str(folder), "PIP_TARGET": str(folder), "HOME": str(folder)}
    settings |= {"PATH": os.pathsep.join([str(Path(python).parent), os.environ["PATH"]])}
    settings |= {"PIP_NO_BUILD_ISOLATION": "0", "PIP_CONFIG_FILE": os.devnull, **environment}
    script = WITHOUT_COURSE.replace("CELL", repr(cell))
    done = subprocess.run(
        [python, "-W", "ignore", "-c", script],
        cwd=folder,
        env=settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return (done.stdout + done.stderr).strip().splitlines()


@pytest.mark.parametrize("python", PYTHONS, ids=lambda p: Path(p).parts[-3])
@pytest.mark.parametrize(
    "host, words",
    [
        ({}, "Choose the kernel .venv of the course, or start it with `python3 course.py`."),
        ({"KAGGLE_KEY": "as its command line reads it"}, "Choose the kernel .venv"),
        ({"COLAB_RELEASE_TAG": "release"}, "Set REPOSITORY above to this course's GitHub"),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, "Set REPOSITORY above"),
    ],
)
def test_the_first_cell_without_the_course_says_what_to_do_in_three_lines(
    python, tmp_path, host, words
):
    said = say(python, tmp_path, FIRST_CELL, **host)
    assert len(said) <= 3 and words in said[-1]


class Releases(SimpleHTTPRequestHandler):
    """GitHub, with one release of one course."""

    def do_GET(self):
        is_there = self.path == f"/somebody/course/archive/refs/tags/v{gemma_lab.__version__}.zip"
        self.send_response(200 if is_there else 404)
        self.send_header("Content-Type", "application/zip")
        self.end_headers()
        self.wfile.write(release() if is_there else b"")

    def log_message(self, *words):
        pass


def release() -> bytes:
    """An archive as GitHub packs one: a folder, and in it a package that is this small."""
    project = '[project]\nname = "gemma_lab"\nversion = "1"\n'
    project += '[tool.setuptools]\npackages = ["gemma_lab"]'
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("course-1/pyproject.toml", project)
            archive.writestr("course-1/gemma_lab/__init__.py", "print('the course is here')")
        return file.getvalue()


@pytest.fixture
def github():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Releases)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("python", PYTHONS, ids=lambda p: Path(p).parts[-3])
def test_the_first_cell_installs_its_release_with_the_real_pip_or_says_why_not(
    python, tmp_path, github
):
    def on_kaggle(repository, address, **environment):
        cell = FIRST_CELL.replace(contract.REPOSITORY, repository)
        cell = cell.replace("https://github.com", address)
        kernel = {"KAGGLE_KERNEL_RUN_TYPE": "Interactive", **environment}
        return say(python, tmp_path, cell, **kernel)

    address = f"http://127.0.0.1:{github.server_port}"
    said = on_kaggle("somebody/cuorse", address)
    assert len(said) <= 3 and "correct REPOSITORY or VERSION above" in said[-1]
    assert f"somebody/cuorse/archive/refs/tags/v{gemma_lab.__version__}.zip" in said[-1]
    said = on_kaggle("somebody/course", "http://127.0.0.1:9")  # nobody listens there
    assert len(said) <= 3 and "GitHub does not answer. On Kaggle, switch Internet on" in said[-1]
    said = on_kaggle("somebody/course", address, PIP_TARGET=os.devnull)
    assert len(said) <= 3 and "pip could not install" in said[-1] and "not a directory" in said[-1]
    assert on_kaggle("somebody/course", address) == ["the course is here"]


@pytest.mark.slow
def test_the_course_works_in_a_folder_with_brackets_and_vietnamese_letters(tmp_path):
    """A clone on PYTHONPATH, not installed; `*` and `[` are patterns to those who glob."""
    clone = tmp_path / "[2024] Nguyễn Văn A (1)" / "gemma-course"
    parts = shutil.ignore_patterns("__pycache__", "recorded")
    shutil.copytree(ROOT / "gemma_lab", clone / "gemma_lab", ignore=parts, copy_function=os.link)
    for name in ("course.py", "requirements.txt"):
        shutil.copy(ROOT / name, clone)
    script = (
        "import gemma_lab, transformers; from gemma_lab import install; gemma_lab.setup();"
        "folder = gemma_lab.checkpoint('google/gemma-2b-it');"
        "transformers.AutoTokenizer.from_pretrained(folder);"
        "transformers.AutoModelForCausalLM.from_pretrained(folder); print(folder)"
    )
    settings = {**os.environ, "PYTHONPATH": str(clone), "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=settings, cwd=clone, capture_output=True, encoding="utf-8")
    assert done.returncode == 0 and str(clone) in done.stdout.splitlines()[-1], done.stderr

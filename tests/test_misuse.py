"""Cells in any order: errors are short, and the notebook then runs to its end in that kernel."""

import random
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tools import execute, find_notebooks

# 04: without `path_2b`, Take it home asks the Hub for a gated model; two cells use a model let go.
# 05 was not tried: it takes minutes.
NOTEBOOKS = pytest.mark.parametrize(
    "path", find_notebooks(["01", "02", "03", "06"]), ids=lambda path: path.stem
)
MOST_LINES = 20  # of a traceback: a cell, one more frame, and the error


class Kernel:
    """A notebook's kernel, in a folder of its own, which runs cells in any order."""

    def __init__(self, path: Path, folder: Path):
        self.notebook = nbformat.read(path, as_version=4)
        every = enumerate(self.notebook.cells)
        self.code = [at for at, cell in every if cell.cell_type == "code" and cell.source.strip()]
        where = {"metadata": {"path": str(folder)}}
        self.client = NotebookClient(self.notebook, timeout=300, resources=where, allow_errors=True)

    def run(self, at: int) -> list[str]:
        """Runs a cell. Returns: the lines of its traceback, the last one first; [] without one."""
        cell = self.client.execute_cell(self.notebook.cells[at], at)
        tracebacks = [one["traceback"] for one in cell.outputs if one.output_type == "error"]
        text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(sum(tracebacks, [])))
        return [line for line in text.splitlines() if line.strip()][::-1]


@pytest.fixture
def kernel(path, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    execute.prepare("pocket")
    found = Kernel(path, tmp_path)
    with found.client.setup_kernel():
        yield found


def walls(shown: dict[int, list[str]], notebook) -> list[str]:
    """The cells whose traceback is longer than a screen."""
    return [
        f"{notebook.cells[at].source.splitlines()[0]}: {len(lines)} lines: {lines[0]}"
        for at, lines in shown.items()
        if len(lines) > MOST_LINES
    ]


@pytest.mark.slow
@NOTEBOOKS
def test_any_order_gets_short_errors_and_the_notebook_then_runs_from_the_top(kernel):
    set_up, rest = kernel.code[:2], kernel.code[2:]
    order = random.Random(len(rest)).sample(rest, len(rest))
    shown = {at: kernel.run(at) for at in [*set_up, *order]}
    assert walls(shown, kernel.notebook) == []
    assert {at: lines for at in kernel.code if (lines := kernel.run(at))} == {}

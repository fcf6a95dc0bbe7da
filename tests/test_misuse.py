"""Cells in any order, or from the middle: errors are short, and the notebook then still runs."""

import random
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tools import execute, find_notebooks

# 05 in any order takes minutes, as each cell that trains can come twice; from the middle none does.
IN_ANY_ORDER = find_notebooks(["00", "01", "02", "03", "04", "06", "07"])
NEEDS_A_HUB = {"take-home"}  # tags of cells that ask it for a gated model where a name is missing
MOST_LINES = 20  # of a traceback: a cell, one more frame, and the error
KEEP = """def restart(names=dict(globals())):
    again = restart
    globals().clear()
    globals().update(names, restart=again)
"""


class Kernel:
    """A notebook's kernel, in a folder of its own, which runs cells in any order."""

    def __init__(self, path: Path, folder: Path):
        self.notebook = nbformat.read(path, as_version=4)
        every = enumerate(self.notebook.cells)
        self.code = [at for at, cell in every if cell.cell_type == "code" and cell.source.strip()]
        where = {"metadata": {"path": str(folder)}}
        self.client = NotebookClient(self.notebook, timeout=300, resources=where, allow_errors=True)

    def asks_a_hub(self, at: int) -> bool:
        return bool(NEEDS_A_HUB & set(self.notebook.cells[at].metadata.get("tags", [])))

    def run_aside(self, source: str) -> None:
        """Runs a line that is no cell of the notebook."""
        cell = nbformat.v4.new_code_cell(source)
        assert self.client.execute_cell(cell, 0).outputs == []

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
@pytest.mark.parametrize("path", IN_ANY_ORDER, ids=lambda path: path.stem)
def test_any_order_gets_short_errors_and_the_notebook_then_runs_from_the_top(kernel):
    set_up, rest = kernel.code[:2], [at for at in kernel.code[2:] if not kernel.asks_a_hub(at)]
    order = random.Random(len(rest)).sample(rest, len(rest))
    shown = {at: kernel.run(at) for at in [*set_up, *order]}
    assert walls(shown, kernel.notebook) == []
    assert {at: lines for at in kernel.code if (lines := kernel.run(at))} == {}


@pytest.mark.slow
@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda path: path.stem)
def test_set_up_and_then_any_one_cell_is_right_or_one_sentence(kernel):
    """As after a restart: no cell finds a name that another one but the set-up has made."""
    set_up, rest = kernel.code[:2], [at for at in kernel.code[2:] if not kernel.asks_a_hub(at)]
    assert [kernel.run(at) for at in set_up] == [[], []]
    kernel.run_aside(KEEP)
    shown = {}
    for at in rest:
        shown[at] = kernel.run(at)
        kernel.run_aside("restart()")
    assert walls(shown, kernel.notebook) == []
    errors = {at: lines[0] for at, lines in shown.items() if lines}
    assert len(errors) > 2 and any(not lines for lines in shown.values())
    unclear = [
        one for one in errors.values() if not one.startswith("NameError: ") and one[-1] != "."
    ]
    assert unclear == []

"""Lint: each fault is one line with its place, its rule, and what to do."""

import json

import pytest
from notebook_cells import made

import tools
from tools import lint


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A folder with a module and a notebook, both with faults; returns what `lint` prints."""
    settings = "[tool.ruff]\nline-length = 100\nlint.select = ['E', 'F', 'I']\n"
    (tmp_path / "pyproject.toml").write_text(settings)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "helper.py").write_text("import os\n\nx = 'a'\n")
    path = made(tmp_path / "notebooks", "y = 1\ny", "import sys\nz = 'b'", "# fmt: skip")
    notebook = json.loads(path.read_text())
    notebook["metadata"]["language_info"] = {"name": "python"}
    notebook["cells"].insert(0, {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "a"})
    path.write_text(json.dumps(notebook))
    for module in (tools, lint):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(tools, "NOTEBOOKS", tmp_path / "notebooks")

    return path


def test_each_fault_names_its_place_its_rule_and_what_to_do(course, capsys):
    assert lint.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    place = "notebooks/01_test.ipynb, cell 3 (`import sys`): "
    for start in (
        "helper.py, line 1: F401: `os` imported but unused: Remove unused import",
        "helper.py: format: `.venv/bin/python -m ruff format helper.py`",
        f"{place}F401: `sys` imported but unused: Remove unused import",
        f"{place}format: `.venv/bin/python -m ruff format notebooks/01_test.ipynb`",
        "notebooks/01_test.ipynb, cell 4 (`# fmt: skip`): formatting: ",
    ):
        assert sum(line.startswith(start) for line in lines) == 1, start


def test_one_notebook_is_linted_alone(course, capsys):
    assert lint.main(["1"]) == 1
    assert "helper.py" not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no notebook '9'"):
        lint.main(["9"])


def test_no_fault_is_success_and_a_broken_file_is_one_line(course, capsys, monkeypatch):
    (course.parent.parent / "helper.py").write_text("x = 1\n")
    monkeypatch.setattr(lint, "faults", lambda path: [])
    (course.parent / "02_a.ipynb").write_text("{}")
    course.unlink()
    (course.parent / "02_a.ipynb").unlink()
    assert lint.main([]) == 0 and "No fault found" in capsys.readouterr().out


def test_a_file_that_is_no_notebook_is_one_line(course):
    course.write_text("<<<<<<< ours")
    (line,) = lint.faults(course)
    assert line.startswith("notebooks/01_test.ipynb: json: ")


def test_ruff_that_cannot_work_says_why(course):
    (course.parent.parent / "pyproject.toml").write_text("[tool.ruff]\nno-such-setting = 1")
    with pytest.raises(SystemExit, match="no-such-setting"):
        lint.main([])

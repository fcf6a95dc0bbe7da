"""Lint: each fault is one line with its place, its rule, and what to do."""

import json

import pytest
from notebook_cells import made

import tools
from tools import CourseError, lint


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
    with pytest.raises(CourseError, match="no notebook '9'"):
        lint.main(["9"])


def test_what_does_not_parse_hides_no_other_fault(course, capsys):
    """A cell, a whole notebook and a module that are broken: one line each, beside all others."""
    notebook = json.loads(course.read_text())
    notebook["cells"][3]["source"] = "\nx = f(]\ny = )"
    (course.parent / "02_cell.ipynb").write_text(json.dumps(notebook))
    (course.parent / "03_file.ipynb").write_text("<<<<<<< ours")
    (course.parent / "04_list.ipynb").write_text("[]")
    (course.parent.parent / "broken.py").write_text("def f(:\n")
    assert lint.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    for name, start in {
        "02_cell": "notebooks/02_cell.ipynb, cell 4 (`x = f(]`): syntax: ",
        "03_file": "notebooks/03_file.ipynb: json: no JSON: ",
        "04_list": "notebooks/04_list.ipynb: json: no notebook: ",
        "broken": "broken.py, line 1: syntax: ",
    }.items():
        told = [line for line in lines if name in line and ("syntax" in line or "json" in line)]
        assert len(told) == 1 and told[0].startswith(start), (start, told)
    assert not any("freshness" in line for line in lines if "02_cell" in line)
    others = (
        "helper.py: format: ",
        "notebooks/01_test.ipynb, cell 4 (`# fmt: skip`): formatting: ",
    )
    for start in (*others, "notebooks/01_test.ipynb, cell 3 (`import sys`): format: "):
        assert sum(line.startswith(start) for line in lines) == 1, start


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
    with pytest.raises(CourseError, match="no-such-setting"):
        lint.main([])

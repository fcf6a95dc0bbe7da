"""A fork writes its name everywhere, and a clone of another repository is noticed."""

import json
import types

import pytest
from notebook_cells import made

import gemma_lab
from tools import (
    ROOT,
    CourseError,
    compare,
    execute,
    fork,
)


def test_fork_writes_the_name_everywhere(tmp_path, monkeypatch, capsys):
    old = fork.repository()
    (tmp_path / "gemma_lab").mkdir()
    readmes = ("README.md", "README.vi.md")
    for name in ("pyproject.toml", "CITATION.cff", *readmes, "gemma_lab/__init__.py"):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    path = made(tmp_path, f'REPOSITORY, VERSION = "{old}", "0.0.1"\nprint(1)')
    result = execute.execute(path)
    monkeypatch.setattr(fork, "ROOT", tmp_path)
    execute.store(result)
    monkeypatch.setattr(fork, "NOTEBOOKS", tmp_path)
    fork.fork("somebody/their-course")
    assert fork.repository() == "somebody/their-course"
    assert all(
        old not in file.read_text(encoding="utf-8")
        for file in (tmp_path / "README.md", tmp_path / "CITATION.cff", path)
    )
    for name in readmes:  # nor what to put in its place
        assert "-your-name-" not in (tmp_path / name).read_text(encoding="utf-8")
        assert "`-your-name-`" in (ROOT / name).read_text(encoding="utf-8")
    stored = json.loads(path.read_text())
    (cell,) = stored["cells"]
    line = f'REPOSITORY, VERSION = "somebody/their-course", "{gemma_lab.__version__}"\n'
    assert "".join(cell["source"]) == f"{line}print(1)"
    assert not compare.is_stale(stored)  # the name is no reason to execute again
    with pytest.raises(CourseError, match="OWNER/NAME"):
        fork.fork("-your-name-/gemma-course")


def test_a_clone_of_another_repository_is_noticed(tmp_path, monkeypatch, capsys):
    git = lambda url: lambda *arguments, **keywords: types.SimpleNamespace(stdout=url)  # noqa: E731
    monkeypatch.setattr(fork.subprocess, "run", git("git@github.com:somebody/their-course.git\n"))
    fork.offer_fork()
    assert "course.py fork somebody/their-course" in capsys.readouterr().out
    monkeypatch.setattr(fork.subprocess, "run", git(""))
    fork.offer_fork()
    assert capsys.readouterr().out == ""

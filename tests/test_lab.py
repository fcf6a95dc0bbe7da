"""JupyterLab: copies to work in that are never overwritten, and what it opens."""

import json

import nbformat
from notebook_cells import made

import tools
from tools import (
    ROOT,
    execute,
    lab,
)


def test_copies_to_work_in_have_no_outputs_and_are_never_overwritten(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    original = made(tmp_path / "notebooks", "print('a')")
    execute.store(execute.execute(original))
    before = original.read_bytes()
    monkeypatch.setattr(tools, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(lab, "WORK", tmp_path / "work")
    (copy,) = lab.copy_for_work()
    found = json.loads(copy.read_text(encoding="utf-8"))
    assert found["cells"][0]["source"] == ["print('a')"] and found["cells"][0]["outputs"] == []
    assert nbformat.validate(nbformat.read(copy, as_version=4)) is None
    copy.write_text("mine")
    assert (
        lab.copy_for_work() == [copy]
        and copy.read_text() == "mine"
        and original.read_bytes() == before
    )


def test_jupyterlab_opens_the_repository_at_the_copy_of_00(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(lab, "call", asked.append)
    monkeypatch.setattr(lab, "WORK", tmp_path / "work")
    lab.lab(tmp_path / "env")
    assert f"--ServerApp.root_dir={ROOT}" in asked[0] and asked[0][-1] == (
        tmp_path / "work" / "00_prework.ipynb"
    )
    overrides = tmp_path / "env" / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    assert json.loads(overrides.read_text()) == lab.SETTINGS
    assert "delete one to start it over" in capsys.readouterr().out

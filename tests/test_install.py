"""`setup`: what counts as missing, what an install may move, and what is read when it fails."""

import os
import re
import shutil
import subprocess
import sys
import types
import venv
import zipfile
from pathlib import Path

import packaging
import pytest
from packaging.requirements import Requirement

from gemma_lab import install, start

INSTALL = "from gemma_lab import install; from packaging.requirements import Requirement; "


INSTALL += "install.install([Requirement('trl==1.14.2')])"


def fake_run(returncode=0, stderr=""):
    calls = []

    def run(command, **kwargs):
        calls.append(command)
        return types.SimpleNamespace(returncode=returncode, stdout="", stderr=stderr)

    run.calls = calls
    return run


def installed(monkeypatch, **versions):
    monkeypatch.setattr(install, "version", versions.get)
    monkeypatch.setattr(install, "installed", lambda: dict(versions))


def test_pins_are_those_of_requirements_txt():
    lines = Path(__file__).parent.parent.joinpath("requirements.txt").read_text().splitlines()
    wanted = [Requirement(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]
    assert {str(r) for r in wanted} == {str(r) for r in install.pins().values()}


def test_a_clone_that_is_not_installed_has_its_pins_and_a_copy_of_the_package_says_so(
    monkeypatch, tmp_path
):
    of_clone = set(install.pins())
    monkeypatch.setattr(install, "version", {}.get)
    assert set(install.pins()) == of_clone and "xllamacpp" in install.pins("gemma")
    monkeypatch.setattr(install, "__file__", str(tmp_path / "gemma_lab" / "install.py"))
    with pytest.raises(install.SetupError, match="holds gemma_lab alone: install it"):
        install.pins()
    monkeypatch.setattr(install, "version", {"gemma_lab": "0.1.0"}.get)
    monkeypatch.setattr(install.metadata, "requires", lambda name: ['trl>=1 ; extra == "course"'])
    assert [str(requirement) for requirement in install.pins().values()] == ["trl>=1"]


LAST_YEARS = {"transformers": "4.48.3", "trl": "0.12.0", "peft": "0.13.0", "bitsandbytes": "0.42.0"}


def test_what_is_older_than_the_course_is_named_with_its_cure_in_one_line(monkeypatch):
    installed(monkeypatch, transformers="4.48.3", torch="2.13.0+cpu")
    said = install.too_old(["bitsandbytes"])
    assert said.startswith("transformers 4.48.3 is older than the course (5.15): run `%pip install")
    command = re.search("`(.+)`", said)[1]
    requirement = Requirement(re.search('"(.+)"', command)[1])
    assert requirement.specifier.contains("5.17.0") and not requirement.specifier.contains("5.15")
    installed(monkeypatch, **LAST_YEARS)
    said = install.too_old(["trl", "bitsandbytes"])
    assert all(f"{name} {version}" in said for name, version in LAST_YEARS.items())
    assert "\n" not in said and "peft" not in install.too_old(["bitsandbytes"])


def test_nothing_that_colab_preinstalls_is_too_old_nor_is_a_newer_version(monkeypatch):
    lines = Path(__file__).with_name("colab.txt").read_text().splitlines()
    theirs = dict(line.split("==") for line in lines if re.match(r"[\w-]+==", line))
    installed(monkeypatch, **{**theirs, "torch": "2.11.0+cu128"})
    assert install.too_old(list(LAST_YEARS)) == ""
    installed(monkeypatch, **dict.fromkeys(LAST_YEARS, "99.0"))
    assert install.too_old(list(LAST_YEARS)) == ""


@pytest.mark.parametrize("is_kaggle", [True, False])
def test_an_index_out_of_reach_is_internet_off_on_kaggle(monkeypatch, is_kaggle):
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    monkeypatch.delenv("KAGGLE_URL_BASE", raising=False)
    if is_kaggle:
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    failed = fake_run(1, "Temporary failure in name resolution")
    with pytest.raises(install.SetupError) as error:
        install.install([Requirement("trl==1.14.2")], failed)
    assert ("switch Internet on" in str(error.value)) == is_kaggle


def test_an_installed_package_is_left_alone_whatever_its_version(monkeypatch):
    installed(monkeypatch, transformers="5.15.0", peft="0.20.0", torchao="0.17.0")
    assert install.missing_requirements(["transformers", "peft"]) == []


def test_missing_package_gets_the_pin_and_its_companions(monkeypatch):
    installed(monkeypatch, torchao="0.10.0")  # what Colab has; peft refuses it
    names = {r.name: str(r.specifier) for r in install.missing_requirements(["unsloth", "trl"])}
    assert set(names) == {"unsloth", "unsloth_zoo", "torchao", "trl"}
    assert names["trl"] == str(install.pins()["trl"].specifier)


def test_torchao_is_upgraded_where_it_is_and_not_brought_where_it_is_not(monkeypatch):
    installed(monkeypatch, torchao="0.17.0")
    assert "torchao" not in {r.name for r in install.missing_requirements(["unsloth"])}
    installed(monkeypatch)
    assert "torchao" not in {r.name for r in install.missing_requirements(["unsloth"])}


def test_unknown_package_is_named():
    with pytest.raises(install.SetupError, match="not 'keras'"):
        install.missing_requirements(["keras"])


def test_uv_is_told_that_nothing_moves_and_what_to_leave_out(monkeypatch):
    seen = {}
    monkeypatch.setattr(install.shutil, "which", lambda name: "uv")
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    installed(monkeypatch, numpy="2.1.3", torch="2.11.0+cu128", datasets="4.0.0", torchao="0.10.0")

    def run(command, env=None, cwd=None, **kwargs):
        assert Path(cwd) != Path.cwd()  # not in this project, whose settings leave torchao out
        seen["versions"] = Path(command[command.index("--overrides") + 1]).read_text().splitlines()
        seen["links"] = env["UV_FIND_LINKS"]
        return types.SimpleNamespace(returncode=0, stdout="", stderr="")

    install.install([Requirement("trl==1.14.2"), Requirement("torchao>=0.16")], run)
    assert seen["versions"][:3] == ["numpy==2.1.3", "torch==2.11.0+cu128", "datasets==4.0.0"]
    left_out = [re.match(r"\w+", line)[0] for line in seen["versions"][3:]]
    assert left_out == [
        "torchvision",
        "xformers",
        "certifi",
    ]  # an old torchao is there, and to be replaced
    assert seen["links"] == "wheels"


def test_pip_installs_bare_and_then_what_is_not_there(monkeypatch):
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    installed(monkeypatch, datasets="4.0.0", torch="2.11.0", transformers="5.15.0")
    run = fake_run()
    install.install([Requirement("unsloth==2026.10.9"), Requirement("trl==1.14.2")], run)
    bare, rest = run.calls
    assert "--no-deps" in bare and bare[-2:] == ["unsloth==2026.10.9", "trl==1.14.2"]
    names = {Requirement(spec).name for spec in rest[rest.index("-c") + 2 :]}
    assert {"tyro", "accelerate"} <= names
    assert not names & {"torchvision", "xformers", "certifi", "datasets", "torch", "transformers"}


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
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    with pytest.raises(install.SetupError, match=advice) as error:
        install.install([Requirement("trl==1.14.2")], fake_run(1, printed))
    assert error.value._render_traceback_() == [f"SetupError: {error.value}"]


def test_a_half_finished_pip_install_is_taken_back(tmp_path, monkeypatch):
    """What trl needs cannot be had: then trl is not there either, and the next try begins anew."""
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    installed(monkeypatch, numpy="1.0")
    monkeypatch.setattr(install, "needs_of", lambda specs: ["not-to-be-had"])
    calls = []

    def run(command, **kwargs):
        calls.append(command)
        return types.SimpleNamespace(
            returncode="not-to-be-had" in command, stdout="", stderr="no such package"
        )

    with pytest.raises(install.SetupError, match="no such package"):
        install.install([Requirement("trl==1.14.2")], run)
    assert calls[-1][-5:] == ["pip", "uninstall", "-q", "-y", "trl"]


def test_remains_of_a_distribution_and_odd_versions_are_passed_over(tmp_path, monkeypatch):
    def distribution(folder, name, version):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )

    distribution("Some_Thing-1.0.dist-info", "Some_Thing", "1.0")
    distribution(
        "~ome_thing-0.9.dist-info", "Some_Thing", "0.9"
    )  # pip leaves it where an upgrade was interrupted
    distribution("odd-1.dist-info", "odd", "1-bulk.x")
    (tmp_path / "gone-1.0.dist-info").mkdir()
    monkeypatch.setattr(install.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert install.installed() == {"some-thing": "1.0"}


def test_a_module_that_moved_under_the_kernel_is_noticed(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(__version__="4.0.0"))
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(__version__="2.13.0+cpu"))
    installed(monkeypatch, datasets="4.8.5", torch="2.13.0")
    assert install.moved_after_import(("datasets", "torch", "peft")) == ["datasets"]


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
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )


@pytest.mark.slow
@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_real_installer_brings_what_is_missing_and_moves_nothing(
    tmp_path, monkeypatch, installer
):
    """trl wants another datasets and numpy than those that are there, and a third, which is not."""
    links, environment = tmp_path / "links", tmp_path / "env"
    links.mkdir()
    for name, version in (
        ("numpy", "1.0"),
        ("numpy", "2.0"),
        ("datasets", "4.0"),
        ("datasets", "4.8"),
        ("needed-by-trl", "9.0"),
    ):
        wheel(links, name.replace("-", "_"), version)
    wheel(links, "trl", "1.14.2", ["numpy>=2", "datasets>=4.7", "needed-by-trl", "xformers"])
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    places = {"NO_INDEX": "1", "OFFLINE": "1", "FIND_LINKS": str(links)}
    for key, value in (*places.items(), ("CONFIG_FILE", os.devnull)):
        monkeypatch.setenv(f"PIP_{key}", value)
        monkeypatch.setenv(f"UV_{key}", value)
    monkeypatch.delenv("UV_CONFIG_FILE")
    pip = [python, "-m", "pip"]
    subprocess.run([*pip, "install", "-q", "numpy==1.0", "datasets==4.0"], check=True)
    for package in (
        start,
        packaging,
    ):  # what an install needs of the course, and nothing else of this environment
        folder = Path(package.__file__).parent
        shutil.copytree(
            folder,
            tmp_path / "lib" / folder.name,
            ignore=shutil.ignore_patterns("data", "checkpoints"),
        )
    where = {
        "PATH": str(Path(sys.executable).parent) if installer == "uv" else "",
        "PYTHONPATH": str(tmp_path / "lib"),
    }
    done = subprocess.run(
        [python, "-c", INSTALL], env={**os.environ, **where}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        [*pip, "list", "--format=freeze"], check=True, capture_output=True, text=True
    )
    found = {line for line in listed.stdout.split() if not line.startswith(("pip", "setuptools"))}
    assert found == {"numpy==1.0", "datasets==4.0", "trl==1.14.2", "needed_by_trl==9.0"}

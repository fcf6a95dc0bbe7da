"""Installs the course from the room kit that this file lies in, without a network.

    python3 install.py [FOLDER]    on Windows: py install.py; by default into gemma-course in
                                   your home folder
    python3 install.py --check     only compares every file of the kit with its sha256

`course.py kit` puts it there as install.py. It needs the standard library alone, and its sentences
also appear on a Python that is too old for the course, so it keeps to what Python 3.7 reads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
FREE_GB = 4  # what an installation takes
KITS, COPY, MARK = "kits", ".kit", ".from-kit"  # in the kit; the last two in the learner's folder
COURSE, READ_ME = "course.zip", "READ_ME.txt"
SYSTEMS, MINORS = ("linux", "macos", "windows"), ("3.10", "3.11", "3.12", "3.13")
OLDEST_MAC = 14  # the macOS that packages are chosen for
AGAIN = "run the same command again"


class KitError(Exception):
    """Something the user can mend; the message says how."""


# ------------------------------------------------------------------------- which kit, if there is


def this_machine() -> str:
    """Such as "windows-3.12"; a system without kits has the name that Python gives it."""
    system = sysconfig.get_platform()
    mac = platform.mac_ver()[0].split(".")[0]
    if system == "win-amd64":
        system = "windows"
    elif system.startswith("macosx") and platform.machine() == "arm64":
        system = "macos" if int(mac or 0) >= OLDEST_MAC else "macos-old"
    elif system == "linux-x86_64":
        system = "linux"
    return "{}-{}.{}".format(system, *sys.version_info)


def find_manifest(kit: Path, here: str) -> dict:
    """What `course.py kit` wrote about the kit for the machine `here`, as `this_machine` names it.

    Raises: KitError where there is none, with what to do.
    """
    kits = sorted(path.stem for path in (kit / KITS).glob("*.json"))
    if here in kits:
        return read_manifest(kit, f"{KITS}/{here}.json")
    if not kits:
        raise KitError(
            f"{kit} holds no whole kit: make it again with `python3 course.py kit {kit}`."
        )
    system = here.rpartition("-")[0]
    minors = [name.rpartition("-")[2] for name in kits if name.rpartition("-")[0] == system]
    start = f"py -{minors[0]}" if minors and system == "windows" else f"python{(minors or [''])[0]}"
    cure = (
        f"install Python {minors[0]}, and start this with `{start} install.py`"
        if minors
        else "ask for a kit for this system, or open the course in Google Colab"
    )
    raise KitError(f"This is {here}, and the kits here are for {', '.join(kits)}: {cure}.")


def read_manifest(kit: Path, name: str) -> dict:
    """The list `name` of the kit, with all that is asked of it.

    Raises: KitError where it cannot be read, or lacks anything.
    """
    try:
        found = json.loads((kit / name).read_text(encoding="utf-8"))
        sum(size for size, sha256 in found["files"].values())
        return {key: found[key] for key in ("course", "commit", "has_gemma", "files")}
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        raise KitError(damaged(name)) from None


def damaged(name: str) -> str:
    """The sentence about a file of the kit that has other bytes than it had when it was made."""
    return f"{name} is missing from this kit, or damaged: copy the kit anew, then {AGAIN}."


# ------------------------------------------------------------------------------ copied and checked


def copy_checked(kit: Path, files: dict, folder: Path | None, show=print) -> None:
    """Copies each file of the kit into `folder`, flat, and compares it with its sha256.

    A file that is there already, whole, is not read again from the kit. Without `folder` the files
    are only compared.
    Args: files: name in the kit -> [bytes, sha256].
    Raises: KitError, which names the first file that is not whole.
    """
    total, done = max(1, sum(size for size, _ in files.values())), 0
    for name, (size, sha256) in files.items():
        there = folder / Path(name).name if folder else None
        part = there and there.with_name(there.name + ".part")
        try:
            if not (there and there.is_file() and hash_of(there) == sha256):
                if hash_of(kit / name, part) != sha256:
                    raise KitError(damaged(name))
                if part:
                    os.replace(part, there)
        except FileNotFoundError:
            raise KitError(damaged(name)) from None
        except OSError as error:
            why = f"{name} could not be copied ({error.strerror})"
            raise KitError(f"{why}: see to the stick and to your disk, then {AGAIN}.") from None
        done += size
        show(f"{100 * done // total:3d} %")


def hash_of(path: Path, copy: Path | None = None) -> str:
    """The sha256 of a file, which is written to `copy` while it is read."""
    found = hashlib.sha256()
    with path.open("rb") as source, open(copy or os.devnull, "wb") as target:
        for block in iter(lambda: source.read(2**20), b""):
            found.update(block)
            target.write(block)
    return found.hexdigest()


def prepare(folder: Path, commit: str, num_bytes: int) -> None:
    """Makes the learner's folder, and marks it as one of this kit.

    Raises: KitError where it holds something else, or its disk has too little room.
    """
    mark = folder / MARK
    is_ours = mark.is_file() and mark.read_text(encoding="utf-8") == commit
    if folder.exists() and not is_ours and (not folder.is_dir() or any(folder.iterdir())):
        raise KitError(
            f"{folder} holds something else already: name another folder, as in "
            "`install.py my-course`."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(commit, encoding="utf-8")
    except OSError as error:
        why = f"{folder} cannot be written to ({error.strerror})"
        raise KitError(f"{why}: name a folder of your own, as in `install.py my-course`.") from None
    needed, free = FREE_GB + num_bytes / 1e9, shutil.disk_usage(folder).free / 1e9
    if not (folder / ".venv").exists() and free < needed:
        raise KitError(
            f"The disk of {folder} has {free:.1f} GB free, and this needs {needed:.1f}: "
            "make room, or name a folder on another disk."
        )


def unpack(archive: Path, folder: Path) -> None:
    """Writes what is missing of the course into `folder`; a file gets its name when it is whole."""
    with zipfile.ZipFile(archive) as course:
        for name in course.namelist():
            path = folder / name
            if name.endswith("/") or path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            part.write_bytes(course.read(name))
            os.replace(part, path)


# ---------------------------------------------------------------------------------------- set-up


def offline(packages: Path) -> dict:
    """This process's environment, in which pip and uv know the folder `packages` and no index."""
    kept = {key: value for key, value in os.environ.items() if key[:4] not in ("PIP_", "pip_")}
    kept = {key: value for key, value in kept.items() if not key.upper().startswith("UV_")}
    config = packages / "uv.toml"
    config.write_text("no-index = true\n", encoding="utf-8")
    return {
        **kept,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_FIND_LINKS": packages.as_uri(),  # a blank in a path would part two places
        "UV_CONFIG_FILE": str(config),
    }


def install(kit: Path, folder: Path) -> int:
    """The course in `folder`, with the set-up of its own course.py; the exit status of that."""
    manifest = find_manifest(kit, this_machine())
    num_bytes = sum(size for size, _ in manifest["files"].values())
    prepare(folder, manifest["commit"], num_bytes)
    print(f"Version {manifest['course']} of the course ({manifest['commit']}).")
    print(f"Copying {num_bytes / 1e6:.0f} MB, and comparing each file with its sha256.", flush=True)
    packages = folder / COPY
    packages.mkdir(exist_ok=True)
    copy_checked(kit, manifest["files"], packages, show_percent)
    print("Copied. The stick can go on to the next learner.", flush=True)
    unpack(packages / COURSE, folder)
    gemma = "--with-gemma" if manifest["has_gemma"] else "--without-gemma"
    command = [sys.executable, str(folder / "course.py"), gemma]
    status = subprocess.run(command, env=offline(packages), check=False).returncode
    if status == 0:
        shutil.rmtree(packages, ignore_errors=True)
        print(f"The course is installed. Open it, with or without a network: {start(folder)}")
    return status


def show_percent(text: str) -> None:
    """One line that is written over; nothing where the output goes to a file."""
    if sys.stdout.isatty():
        print(f"\r{text}", end="\r", flush=True)


def start(folder: Path) -> str:
    """The command that opens the course with the Python that installed it, in any folder."""
    if os.name == "nt":
        python = "py -{}.{}".format(*sys.version_info)
    else:
        found = shutil.which("python3")
        is_same = found and os.path.realpath(found) == os.path.realpath(sys.executable)
        python = "python3" if is_same else f'"{sys.executable}"'
    return f'{python} "{folder / "course.py"}"'


def main(words: list, kit: Path = HERE) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", default=str(Path.home() / "gemma-course"))
    parser.add_argument("--check", action="store_true", help="compare the files of the kit only")
    arguments = parser.parse_args(words)
    if not arguments.check:
        return install(kit, Path(os.path.abspath(os.path.expanduser(arguments.folder))))
    kits = sorted(path.stem for path in (kit / KITS).glob("*.json"))
    for name in kits or [this_machine()]:
        files = find_manifest(kit, name)["files"]
        copy_checked(kit, files, None, show_percent)
        print(f"{name}: {len(files)} files are whole.")
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")
    sys.stderr.reconfigure(errors="replace")
    try:
        sys.exit(main(sys.argv[1:]))
    except KitError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run the same command again: it completes what is missing.")

"""The room kit: the course, its packages and Gemma 3 270M in a folder: `python -m tools.kit DIR`.

From it a laptop that has only Python installs the course without a network, by install.py, which
is tools/kit_install.py. One folder takes the kits of several systems; what they share is there
once. A kit counts when its list in kits/ is written, which comes last.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path

import gemma_lab
from tools import WITHOUT_GEMMA, CourseError, kit_install, kit_parts, run_main
from tools.kit_parts import AGAIN

LEAST_BYTES, SIZE = 700_000_000, "0.8 to 1.2 GB"


def write(folder: Path, name: str, files: dict[str, Path], commit: str, has_gemma: bool) -> dict:
    """Writes the kit `name` into `folder` and takes away what no kit there needs any more.

    Raises: CourseError for a folder with kits of another commit, a full stick, one that cannot be
    written to.
    """
    listed = {one: [path.stat().st_size, kit_install.hash_of(path)] for one, path in files.items()}
    manifest = {
        "course": gemma_lab.__version__,
        "commit": commit,
        "has_gemma": has_gemma,
        "files": listed,
    }
    others = {path: manifest_of(path) for path in sorted(folder.glob(f"{kit_install.KITS}/*.json"))}
    mine = folder / kit_install.KITS / f"{name}.json"
    before = others.pop(mine, {})
    if old := [path.stem for path, other in others.items() if other.get("commit") != commit]:
        raise CourseError(
            f"{folder} holds kits of another state of the course ({', '.join(old)}): delete its "
            f"{kit_install.KITS} folder, and make all kits again."
        )
    needed = sum(size for one, (size, _) in listed.items() if not (folder / one).is_file())
    try:
        mine.parent.mkdir(parents=True, exist_ok=True)
        mine.unlink(missing_ok=True)  # from now on this kit is none
        if needed > (free := shutil.disk_usage(folder).free):
            raise CourseError(
                f"{folder} has {free / 1e6:.0f} MB free, and this kit needs {needed / 1e6:.0f}: "
                "take a larger stick, or make room."
            )
        for one, source in files.items():
            copy(source, folder / one, listed[one])
        kept = {one for other in [manifest, *others.values()] for one in other.get("files", ())}
        for one in before.get("files", {}).keys() - kept:
            (folder / one).unlink(missing_ok=True)
        part = mine.with_name(f"{mine.name}.part")
        part.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        os.replace(part, mine)
    except OSError as error:
        why = f"The kit could not be written to {folder} ({error.strerror})"
        raise CourseError(f"{why}: mend that, then {AGAIN}.") from None
    return manifest


def manifest_of(path: Path) -> dict:
    """A list in kits/; an empty one where it cannot be read: that kit is made anew, or in vain."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def copy(source: Path, there: Path, listed: list) -> None:
    """Copies a file if it is not there already, whole; it gets its name when it is whole."""
    if there.is_file() and [there.stat().st_size, kit_install.hash_of(there)] == listed:
        return
    there.parent.mkdir(parents=True, exist_ok=True)
    part = there.with_name(f"{there.name}.part")
    kit_install.hash_of(source, part)
    os.replace(part, there)


def check_folder(folder: Path) -> None:
    """Raises: CourseError, before anything is fetched, where no kit can be written."""
    if folder.exists() and not folder.is_dir():
        raise CourseError(f"{folder} is a file: name a folder.")
    there = folder if folder.is_dir() else folder.parent
    if not there.is_dir():
        raise CourseError(f"There is no folder {there}: plug the stick in, or make the folder.")
    if not os.access(there, os.W_OK):
        raise CourseError(f"You may not write to {there}: name another folder, or another stick.")
    free = shutil.disk_usage(there).free
    if free < LEAST_BYTES and not (folder / kit_install.KITS).is_dir():
        raise CourseError(
            f"{there} has {free / 1e6:.0f} MB free, and a kit takes {SIZE}: "
            "take a larger stick, or make room."
        )


def main(folder: Path, name: str | None = None) -> int:
    """Makes the kit `name` in `folder`, by default for machines like this one; course.py calls it.

    Args: folder: absolute, as course.py resolves it where the user called it.
    """
    here = kit_install.this_machine()
    name = name or here
    kit_parts.target(name)
    check_folder(folder)
    commit = kit_parts.head()
    if kit_parts.git("status", "--porcelain", "--untracked-files=no"):
        print("Your changes that are not committed are not in the kit.")
    print(f"Getting the packages for {name}. A kit takes {SIZE}.", flush=True)
    print("The packages stay in build/kit, for the next one.", flush=True)
    files = kit_parts.contents(name)
    print(f"Writing {len(files)} files to {folder}.", flush=True)
    manifest = write(folder, name, files, commit, not WITHOUT_GEMMA.exists())
    sizes = {one: size for one, (size, _) in manifest["files"].items()}
    gemma = sum(size for one, size in sizes.items() if one.startswith("gemma/"))
    wheels = sum(size for one, size in sizes.items() if one.startswith("wheels/"))
    count = sum(one.startswith("wheels/") for one in sizes)
    print(
        f"The kit for {name} is whole: {sum(sizes.values()) / 1e6:.0f} MB, of which {count} "
        f"packages {wheels / 1e6:.0f} MB and Gemma 3 270M {gemma / 1e6:.0f} MB."
    )
    if name == here:
        print(f'Try it with the network off: python3 "{folder / "install.py"}" FOLDER')
    else:
        print(
            f"It was put together on {here} and not installed: try it on one such laptop before "
            "the day."
        )
    print("Eject a stick before you pull it out.")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--for", dest="name", metavar="SYSTEM-PYTHON")
    run_main(main, **vars(parser.parse_args()))

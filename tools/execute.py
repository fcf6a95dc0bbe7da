"""Executes notebooks on fresh kernels: `python -m tools.execute [NOTEBOOK ...]`.

It prints a table, writes pages, and with --write stores the outputs in notebooks/.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from gemma_lab import gemma3, hardware
from gemma_lab.profile import current_profile
from tools import BUILD, CELL_TIMEOUT_S, OFFLINE, ROOT, CourseError, find_notebooks, run_main
from tools.compare import read, source_hash
from tools.pages import with_pictures, write_pages

TABLE_HEAD = f"{'notebook':30}{'cells':>6}{'seconds':>9}{'peak MB':>9}  result"
NUM_COLOURS = 64  # of a stored picture


class PeakMemory(threading.Thread):
    """Samples a process and its children; `mb` is their largest sum of resident sets, in MB."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.pid, self.mb, self.is_over = pid, 0.0, threading.Event()

    def run(self):
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
    """A notebook executed on a fresh kernel.

    Args:
        passes: 2 executes all cells a second time in the same kernel.
        preload: code that the kernel executes before the first cell.
    Returns:
        notebook (executed once), cells, seconds, peak_mb, error ("" or a line that names the cell).
    """
    try:
        read(path)
    except CourseError as error:
        raise CourseError(f"{path.name}: {error}") from None
    notebook = nbformat.read(path, as_version=4)
    code = [
        i
        for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and cell.source.strip()
    ]
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],
        coalesce_streams=True,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
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
                    show_line(bar(path.stem, done + turn * len(code), passes * len(code)))
                    count = done if turn == 0 else None
                    client.execute_cell(notebook.cells[index], index, execution_count=count)
                if turn == 0:
                    first_pass = nbformat.reads(nbformat.writes(notebook), as_version=4)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            what = f"{error.ename}: {error.evalue}" if hasattr(error, "ename") else str(error)
            first = notebook.cells[index].source.strip().splitlines()[0]
            again = " when run a second time" if turn else ""
            result["error"] = (
                f"{path.name}, cell {index + 1} (`{first}`) failed{again}: "
                f"{what.strip().splitlines()[0]}"
            )
            result["traceback"] = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        memory.is_over.set()
    show_line("")
    result["notebook"] = first_pass or notebook
    return result | {"seconds": time.monotonic() - began, "peak_mb": memory.mb}


def bar(name: str, done: int, total: int) -> str:
    """A progress bar of 24 places."""
    full = 24 * done // total
    return f"{name:30} {'█' * full}{'·' * (24 - full)} {done}/{total}"


def show_line(text: str) -> None:
    """Replace the line that a terminal shows now; nothing where the output goes to a file."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end="", flush=True)


def store(result: dict) -> None:
    """Write an executed notebook back, with the hash of its inputs and with smaller pictures.

    A widget leaves its picture alone, as its kernel is gone; memory addresses are left out. The
    bytes are the same after each execution that shows the same.
    """
    notebook = with_pictures(result["notebook"])
    for data in (
        output["data"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ):
        if "text/plain" in data:
            data["text/plain"] = re.sub(r" at 0x[0-9a-f]+>", ">", data["text/plain"])
        if "image/png" in data:
            small = smaller(base64.b64decode(data["image/png"]))
            data["image/png"] = base64.b64encode(small).decode() + "\n"
    notebook.metadata["gemma_lab"] = {"source_sha256": source_hash(notebook)}
    notebook.metadata["language_info"] = {"name": "python"}  # without this Python's patch version
    nbformat.write(notebook, result["path"])


def smaller(png: bytes) -> bytes:
    """The picture with a palette of `NUM_COLOURS`, or `png` itself where that saves nothing."""
    from PIL import Image  # comes with matplotlib

    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    if picture.getextrema()[3] != (255, 255):  # a palette that keeps transparency costs colours
        return png
    small = io.BytesIO()
    palette = picture.convert("RGB").quantize(NUM_COLOURS, dither=Image.Dither.NONE)
    palette.save(small, "PNG", optimize=True)
    return min(png, small.getvalue(), key=len)


def row(result: dict) -> str:
    """One line of the table."""
    verdict = "FAILED" if result["error"] else "passed"
    return (
        f"{result['path'].stem:30}{result['cells']:>6}{result['seconds']:>9.1f}"
        f"{result['peak_mb']:>9.0f}  {verdict}"
    )


def prepare(profile: str | None = None) -> None:
    """What a kernel finds: this folder's gemma_lab, no start-up files of the user, and no Hub.

    Args: profile: by default that of GEMMA_LAB_PROFILE, or laptop where Gemma 3 270M is here, or
        pocket. In hub there is a Hub.
    """
    here = "laptop" if gemma3.is_here() else "pocket"
    asked = hardware.setting("GEMMA_LAB_PROFILE").lower()
    chosen = profile or asked or here
    needs_hub = chosen in ("hub", "mirror")
    settings = {key: value for key, value in OFFLINE.items() if key != "HF_HUB_OFFLINE"}
    os.environ.update(settings if needs_hub else OFFLINE, GEMMA_LAB_PROFILE=chosen)
    BUILD.mkdir(exist_ok=True)
    os.environ["IPYTHONDIR"] = str(BUILD / ".ipython")
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *others])  # the gemma_lab that is hashed


def run(names: list[str], write: bool = False, profile: str | None = None) -> int:
    """Execute, print the table, write pages; 1 if a cell failed."""
    paths, results = find_notebooks(names), []
    prepare(profile)
    now = current_profile()
    print(f"Profile: {now.name}. {now.reason}")
    if profile == "laptop" != now.name:
        raise CourseError("Nothing was executed.")
    print(TABLE_HEAD)
    for path in paths:
        result = execute(path)
        results.append(result)
        if write and not result["error"]:
            store(result)
        print(row(result), flush=True)
    write_pages(results)
    print(f"Pages: {(BUILD / 'index.html').relative_to(ROOT)}")
    failed = [result for result in results if result["error"]]
    for key in ("error", "traceback"):
        print("".join(f"{result[key][-3000:]}\n" for result in failed), end="")
    return bool(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK")
    parser.add_argument("--write", action="store_true", help="store the outputs in notebooks/")
    parser.add_argument("--profile", choices=["pocket", "laptop", "hub", "mirror"])
    run_main(run, **vars(parser.parse_args()))

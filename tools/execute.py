"""Executes notebooks on fresh kernels: the table, the pages, and with --write the stored outputs."""

from __future__ import annotations

import argparse
import json
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

from tools import BUILD, CELL_TIMEOUT_S, OFFLINE, ROOT, find_notebooks
from tools.compare import source_hash, stale_cells
from tools.pages import write_pages

TABLE_HEAD = f"{'notebook':30}{'cells':>6}{'seconds':>9}{'peak MB':>9}  result"


class PeakMemory(threading.Thread):
    """Samples the memory of a process and its children; `mb` is the largest sum of resident sets seen, in MB."""

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
    """Execute a notebook on a fresh kernel; `passes` = 2 runs all cells a second time in the same kernel.

    `preload` is code that the kernel executes before the first cell.

    Returns: notebook (executed once), cells, seconds, peak_mb, error ("" or one line that names the cell).
    """
    notebook = nbformat.read(path, as_version=4)
    code = [
        i
        for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and cell.source.strip()
    ]
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
            result["error"] = (
                f"{path.name}, cell {index + 1} (`{first}`) failed{again}: {what.strip().splitlines()[0]}"
            )
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


def store(result: dict) -> None:
    """Write an executed notebook back, with the hash of its sources, without widget state and memory addresses."""
    notebook = result["notebook"]
    notebook.metadata.pop("widgets", None)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if "text/plain" in output.get("data", {}):
            output["data"]["text/plain"] = re.sub(
                r" at 0x[0-9a-f]+>", ">", output["data"]["text/plain"]
            )
    notebook.metadata["gemma_lab"] = {"source_sha256": source_hash(notebook)}
    notebook.metadata["language_info"] = {
        "name": "python"
    }  # without the patch version of this machine's Python
    nbformat.write(notebook, result["path"])


def row(result: dict, verdict: str) -> str:
    """One line of the table."""
    return (
        f"{result['path'].stem:30}{result['cells']:>6}{result['seconds']:>9.1f}"
        f"{result['peak_mb']:>9.0f}  {verdict}"
    )


def prepare() -> None:
    """What a kernel finds in its environment: no Hub, no start-up files and history of the user."""
    os.environ.update(OFFLINE)
    os.environ.setdefault("GEMMA_LAB_PROFILE", "pocket")
    BUILD.mkdir(exist_ok=True)
    os.environ["IPYTHONDIR"] = str(BUILD / ".ipython")


def run(names: list[str], write: bool = False, check: bool = False) -> int:
    """Execute, print the table, write pages; 1 if a cell failed or a notebook is stale."""
    prepare()
    results, problems = [], []
    print(TABLE_HEAD)
    for path in find_notebooks(names):
        result = execute(path)
        results.append(result)
        stale = []
        if check and not result["error"]:
            stored = json.loads(path.read_text(encoding="utf-8"))
            stale = stale_cells(stored, result["notebook"])
        if write and not result["error"]:
            store(result)
        problems += [result["error"]] * bool(result["error"])
        problems += [f"{path.name} is stale: {why}" for why in stale]
        print(
            row(result, "FAILED" if result["error"] else "stale" if stale else "passed"), flush=True
        )
    write_pages(results)
    print(f"Pages: {(BUILD / 'index.html').relative_to(ROOT)}")
    for problem in problems:
        print(problem)
    for result in results:
        if result["error"]:
            print(result["traceback"][-3000:])
    return bool(problems)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK")
    parser.add_argument("--write", action="store_true", help="store the outputs in notebooks/")
    parser.add_argument("--check", action="store_true", help="fail on a stale notebook")
    sys.exit(run(**vars(parser.parse_args())))

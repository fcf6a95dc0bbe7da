"""Kernels for the table of faults: each learner's cells in a process, and a machine, of their own.

One process has imported what takes seconds. For each line on its standard input, a JSON object
{row, folder, environment}, it forks a child that knows only this environment, makes the machine of
the row, and runs its cells in IPython with `%xmode Verbose`. What the screen shows is in the file
`screen` of the folder. Without `fork` one process answers one line.
"""

import importlib
import json
import os
import signal
import sys
from pathlib import Path

import faults
import httpx  # noqa: F401
import torch  # noqa: F401
from huggingface_hub import constants
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from transformers import AutoModelForCausalLM, AutoTokenizer, GemmaForCausalLM  # noqa: F401

HAS_FORK = sys.platform == "linux"  # a Mac has it too, and its frameworks fail after it
LAST_CELL = "print('The next', 'cell.')"
LIMIT_S = 30


def run(row: str, folder: str, environment: dict[str, str]) -> None:
    """Makes the file `screen` in `folder`: all that the row's cells show, each after `In [n]:`."""
    screen = os.open(Path(folder, "screen"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(screen, 1)
    os.dup2(screen, 2)
    os.environ.clear()
    os.environ.update(environment)
    importlib.reload(constants)  # it read the environment when it was imported
    os.chdir(Path(folder, "work"))
    fault = (faults.ROWS | faults.OWN_MISTAKES)[row]
    fault.make_machine()
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=settings)
    shell.run_line_magic("xmode", "Verbose")
    sys.stdout.flush()
    os.ftruncate(screen, 0)
    for number, cell in enumerate([*fault.cells, LAST_CELL], 1):
        print(f"In [{number}]:", flush=True)
        shell.run_cell(cell, store_history=True)
    sys.stdout.flush()


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        if not HAS_FORK:
            return run(**asked)
        child = os.fork()
        if child == 0:
            signal.alarm(LIMIT_S)  # a hang is a failure of the row, not of the test
            status = 1
            try:
                run(**asked)
                status = 0
            finally:
                os._exit(status)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()

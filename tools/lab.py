"""JupyterLab, in copies of the notebooks that belong to the learner: `python -m tools.lab`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tools import ROOT, call, find_notebooks, run_main

WORK = ROOT / "work"
# What JupyterLab asks of a new user, answered: no news, and no look-ups of newer versions.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}
}

_NEVER = "jupyterlab.handlers.announcements.NeverCheckForUpdate"
OPTIONS = (f"--LabApp.check_for_updates_class={_NEVER}",)


def lab(environment: Path = Path(sys.prefix)) -> int:
    """JupyterLab over the whole repository, at the learner's copy of the first notebook."""
    settings = environment / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(SETTINGS), encoding="utf-8")
    first = copy_for_work()[0]
    print(
        "You work in copies under work/, without outputs. They are never overwritten; "
        "delete one to start it over."
    )
    root = f"--ServerApp.root_dir={ROOT}"
    return call([sys.executable, "-m", "jupyterlab", root, *OPTIONS, first])


def copy_for_work() -> list[Path]:
    """The learner's copies of all notebooks; those that are missing are made, without outputs."""
    WORK.mkdir(exist_ok=True)
    copies = []
    for path in find_notebooks([]):
        copies.append(WORK / path.name)
        if not copies[-1].exists():
            notebook = json.loads(path.read_text(encoding="utf-8"))
            notebook["metadata"].pop("gemma_lab", None)
            for cell in notebook["cells"]:
                if cell["cell_type"] == "code":
                    cell |= {"outputs": [], "execution_count": None}
            text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
            copies[-1].write_text(text, encoding="utf-8")
    return copies


if __name__ == "__main__":
    run_main(lab)

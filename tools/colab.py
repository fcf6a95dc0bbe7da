"""Every notebook as on Colab: with the versions that it preinstalls, each on a machine of its own.

`python -m tools.colab`, with the Python of an environment made from tests/colab.txt, tries all;
`python -m tools.colab NOTEBOOK` executes one in this environment, all cells twice.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools import BUILD, ROOT, call, find_notebooks, run_main
from tools.compare import asked_of_setup, code_of
from tools.execute import TABLE_HEAD, execute, prepare, row

PRELOADS = "import numpy, pandas, PIL, torch"  # as Colab does before the first cell


def run_on_colab(python: Path) -> list[str]:
    """What failed with Colab's versions, each notebook on its own machine, all cells run twice.

    `python` belongs to an environment with what Colab preinstalls. Each notebook gets a copy of it,
    made of hard links, in which `gemma_lab.setup` really installs what is missing while numpy,
    pandas, pillow and torch are loaded.
    """
    shutil.rmtree(BUILD / "colab", ignore_errors=True)
    paths = sorted(find_notebooks([]), reverse=True)  # the long ones first
    with ThreadPoolExecutor(2) as two:
        return [
            what for found in two.map(lambda path: run_one(python, path), paths) for what in found
        ]


def run_one(python: Path, path: Path) -> list[str]:
    """The same for one notebook."""
    machine, failed = BUILD / "colab" / path.stem, []
    scripts = machine / python.parent.name
    environment = {
        "PYTHONPATH": str(ROOT / "tests" / "colab_stand_in"),
        "PATH": os.pathsep.join([str(scripts), os.environ.get("PATH", "")]),
        "GEMMA_LAB_PROFILE": "pocket",
    }
    shutil.copytree(python.parent.parent, machine, symlinks=True, copy_function=link_or_copy)
    before = versions(python)
    if call([scripts / python.name, "-m", "tools.colab", path.stem], **environment):
        failed.append(path.stem)
    after = versions(scripts / python.name)
    wanted = asked_of_setup(code_of(json.loads(path.read_text(encoding="utf-8"))))
    if wanted & before.keys() or wanted - after.keys():
        names = ", ".join(sorted(wanted))
        failed.append(f"{path.stem}: {names} were not what its set-up installed")
    if moved := [name for name in before if name != "torchao" and after.get(name) != before[name]]:
        failed.append(f"{path.stem}: its set-up moved {', '.join(moved)}")
    shutil.rmtree(machine, ignore_errors=True)
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


def main(names: list[str]) -> int:
    if not names:
        print(TABLE_HEAD, flush=True)
        failed = run_on_colab(Path(sys.executable))
        print("".join(f"On Colab, {what}\n" for what in failed), end="")
        return bool(failed)
    prepare()
    (path,) = find_notebooks(names)
    result = execute(path, passes=2, preload=PRELOADS)
    print(row(result))
    if result["error"]:
        print(f"{result['error']}\n{result['traceback'][-3000:]}")
    return bool(result["error"])


if __name__ == "__main__":
    run_main(main, sys.argv[1:])

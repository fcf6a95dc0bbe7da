"""Every notebook as on Colab: with the versions that it preinstalls, each on a machine of its own.

`python -m tools.colab`, with the Python of an environment made from tests/colab.txt, tries all;
`python -m tools.colab NOTEBOOK` executes one in this environment, and asks whether each call takes
its arguments there; with `--twice`, both run all cells twice;
`python -m tools.colab --laptop` gets Gemma 3 270M there, and asks it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools import BUILD, ROOT, call, find_notebooks, run_main, signatures
from tools.compare import asked_of_setup, code_of
from tools.execute import TABLE_HEAD, execute, prepare, row

LAPTOP = """
import gemma_lab
assert gemma_lab.setup() == "laptop"
from transformers import AutoModelForCausalLM, AutoTokenizer
path = gemma_lab.checkpoint("google/gemma-3-270m")
tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path)
text = "Google I/O 2024 là một sự kiện công nghệ quy tụ những chuyên gia hàng"
ids = model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=1, do_sample=False)
said = tokenizer.decode(ids[0])
print(said)
assert said.endswith(" đầu"), said
"""
LONG = ("05", "04")  # begin first: at the end nothing waits for them alone
PRELOADS = "import numpy, pandas, PIL, torch"  # as Colab does before the first cell


def run_on_colab(python: Path, flags: list[str]) -> list[str]:
    """What failed with Colab's versions, each notebook on its own machine.

    `python` belongs to an environment with what Colab preinstalls. Each notebook gets a copy of it,
    made of hard links, in which `gemma_lab.setup` really installs what is missing while numpy,
    pandas, pillow and torch are loaded.
    """
    shutil.rmtree(BUILD / "colab", ignore_errors=True)
    paths = sorted(find_notebooks([]), key=lambda path: path.name[:2] not in LONG)
    with ThreadPoolExecutor(2) as two:
        return [
            what
            for found in two.map(lambda path: run_one(python, path, flags), paths)
            for what in found
        ]


def run_one(python: Path, path: Path, flags: list[str]) -> list[str]:
    """The same for one notebook."""
    failed, (theirs, environment) = [], new_machine(python, path.stem)
    before = versions(python)
    command = [theirs, "-m", "tools.colab", path.stem, *flags]
    if call(command, **environment, GEMMA_LAB_PROFILE="pocket"):
        failed.append(path.stem)
    after = versions(theirs)
    wanted = asked_of_setup(code_of(json.loads(path.read_text(encoding="utf-8"))))
    if wanted & before.keys() or wanted - after.keys():
        names = ", ".join(sorted(wanted))
        failed.append(f"{path.stem}: {names} were not what its set-up installed")
    if moved := [name for name in before if name != "torchao" and after.get(name) != before[name]]:
        failed.append(f"{path.stem}: its set-up moved {', '.join(moved)}")
    shutil.rmtree(theirs.parent.parent, ignore_errors=True)
    return failed


def new_machine(python: Path, name: str) -> tuple[Path, dict[str, str]]:
    """The Python of a copy of the environment of `python`, and what its processes find."""
    machine = BUILD / "colab" / name
    shutil.rmtree(machine, ignore_errors=True)
    shutil.copytree(python.parent.parent, machine, symlinks=True, copy_function=link_or_copy)
    scripts = machine / python.parent.name
    environment = {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "colab_stand_in"), str(ROOT)]),
        "PATH": os.pathsep.join([str(scripts), os.environ.get("PATH", "")]),
        "GEMMA_LAB_CACHE": str(machine / "cache"),
    }
    return scripts / python.name, environment


def ask_270m(python: Path) -> bool:
    """Whether Gemma 3 270M fails to come, without an account, and to answer on such a machine."""
    theirs, environment = new_machine(python, "laptop")
    status = call([theirs, "-c", LAPTOP], **environment, GEMMA_LAB_PROFILE="laptop")
    shutil.rmtree(theirs.parent.parent, ignore_errors=True)
    return bool(status)


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
    if names == ["--laptop"]:
        return ask_270m(Path(sys.executable))
    flags = ["--twice"] * ("--twice" in names)
    names = [name for name in names if name not in flags]
    if not names:
        print(TABLE_HEAD, flush=True)
        failed = run_on_colab(Path(sys.executable), flags)
        print("".join(f"On Colab, {what}\n" for what in failed), end="")
        return bool(failed)
    prepare()
    (path,) = find_notebooks(names)
    result = execute(path, passes=1 + len(flags), preload=PRELOADS)
    print(row(result))
    if result["error"]:
        print(f"{result['error']}\n{result['traceback'][-3000:]}")
    return bool(result["error"]) or signatures.main(names)


if __name__ == "__main__":
    run_main(main, sys.argv[1:])

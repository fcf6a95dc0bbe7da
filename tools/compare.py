"""Decides what is stale: `python -m tools.compare [NOTEBOOK ...]` names stale notebooks.

Stored outputs are stale when the code, or any file that it reads, has changed since. Nothing is
executed for this, and no number that a CPU computed is compared.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

import gemma_lab
from tools import ROOT, CourseError, find_notebooks, run_main


def plain(source: str) -> str:
    """A cell's source as Python: magics become calls."""
    return TransformerManager().transform_cell(source)


def code_of(notebook: dict) -> str:
    """The code of a notebook's cells as Python, without the line that names the release."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    code = "\n".join(plain("".join(cell["source"])) for cell in cells)
    return re.sub(r"^REPOSITORY, VERSION = .*$", "", code, flags=re.MULTILINE)


def names_used(code: str, package: str) -> set[str]:
    """The dotted names below `gemma_lab` in `code`, which stands in its folder `package`.

    "*" is one of them where `code` holds a whole package: what it takes out cannot be read.
    """
    nodes, found, meaning = list(ast.walk(ast.parse(code))), set(), {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            above = f"gemma_lab.{package}".strip(".").split(".")
            start = ".".join(above[: len(above) + 1 - node.level]) if node.level else ""
            module = f"{start}.{node.module or ''}".strip(".")
            meaning |= {one.asname or one.name: f"{module}.{one.name}" for one in node.names}
            if meaning.pop("*", None):
                found.add("gemma_lab.*" if is_package(module) else module)
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
            meaning |= {one.asname: one.name for one in node.names if one.asname}
    found |= {*meaning.values()}
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, (ast.Name, ast.Attribute)):
            first, *rest = ast.unparse(node).split(".")
            name = ".".join([meaning.get(first, first), *rest])
            found.add("gemma_lab.*" if is_package(name) and id(node) not in inner else name)
    return {name.removeprefix("gemma_lab.") for name in found if name.startswith("gemma_lab.")}


def is_package(name: str) -> bool:
    """Whether a dotted name is gemma_lab or a folder of it."""
    parts = name.split(".")
    return parts[0] == "gemma_lab" and ROOT.joinpath(*parts, "__init__.py").is_file()


def files_of(name: str) -> set[Path]:
    """The files of gemma_lab that a dotted name below it loads: `scratch.gemma`, `setup`, `*`."""
    if name == "*":
        return {*ROOT.joinpath("gemma_lab").rglob("*.py")}
    first, *rest = name.split(".")
    parts = [gemma_lab.MODULE_OF.get(first, first), *rest]
    found = set()
    for count in range(1, len(parts) + 1):
        path = ROOT.joinpath("gemma_lab", *parts[:count])
        found |= {path.with_name(f"{path.name}.py"), path / "__init__.py"}
    return {path for path in found if path.is_file()}


def helpers_used(code: str) -> set[Path]:
    """The files of gemma_lab that `code` imports or calls, and those that these import."""
    package = ROOT / "gemma_lab"
    found, todo = {package / "__init__.py"}, [(code, "")]
    while todo:
        for name in names_used(*todo.pop()):
            for path in files_of(name) - found:
                found.add(path)
                folder = ".".join(path.parent.relative_to(package).parts)
                todo.append((path.read_text(encoding="utf-8"), folder))
    return found


def inputs_of(code: str) -> list[Path]:
    """The files that outputs of `code` come from: helpers, pocket models, and data they name."""
    helpers, package = helpers_used(code), ROOT / "gemma_lab"
    data, weights = package / "data", package / "checkpoints"
    text = code + "".join(path.read_text(encoding="utf-8") for path in helpers)
    named = {
        path
        for path in data.rglob("*")
        if any(part in text for part in path.relative_to(data).parts)
    }
    models = {path for path in weights.rglob("*") if path.suffix != ".md"}
    return sorted(path for path in helpers | named | models if path.is_file())


def asked_of_setup(code: str) -> set[str]:
    """The packages that `code` asks `gemma_lab.setup` for."""
    calls = " ".join(re.findall(r"gemma_lab\.setup\(([^)]*)\)", code))
    return set(re.findall(r"""["']([\w-]+)["']""", calls))


def pins_of(code: str) -> list[str]:
    """The lines of requirements.txt, without comments, whose versions a set-up cell prints."""
    names = {"torch", "transformers", *asked_of_setup(code)}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines if re.match(r"[\w-]*", line)[0] in names]


def source_hash(notebook: dict) -> str:
    """A hash of all that outputs come from, whole."""
    code = code_of(notebook)
    digest = hashlib.sha256("\n".join([code, *pins_of(code)]).encode())
    for path in inputs_of(code):
        content = path.read_bytes()
        digest.update(path.relative_to(ROOT).as_posix().encode())
        is_text = path.suffix != ".safetensors"  # git may turn the ends of its lines
        digest.update(content.replace(b"\r\n", b"\n") if is_text else content)
    return digest.hexdigest()


def read(path: Path) -> dict:
    """A notebook file as it stands. Raises: CourseError, one line, where it is none."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise CourseError(f"no JSON: {error}") from None
    for error in nbformat.validator.iter_validate(notebook or {}, version=4, version_minor=5):
        part, number = [*error.absolute_path, "", ""][:2]
        where = f"cell {number + 1}: " if part == "cells" and number != "" else ""
        raise CourseError(f"no notebook: {where}{' '.join(error.message.split())[:100]}")
    return notebook


def is_stale(notebook: dict) -> bool:
    """Whether the outputs were stored from other inputs than those that are here now."""
    stored = notebook["metadata"].get("gemma_lab", {}).get("source_sha256")
    try:
        return stored != source_hash(notebook)
    except SyntaxError:  # code that cannot be executed
        return True


def main(names: list[str]) -> int:
    num_stale = 0
    for path in find_notebooks(names):
        try:
            if not is_stale(read(path)):
                continue
            why = (
                "its code, a pin, a helper, a pocket model or data that it reads changed after it "
                f"was executed: `python3 course.py run {path.name[:2]} --write`"
            )
        except CourseError as error:
            why = f"it is {error}: correct the file, or take it from git"
        num_stale += 1
        print(f"{path.name} is stale: {why}")
    print(f"{num_stale} stale" if num_stale else "Every stored output is fresh.")
    return bool(num_stale)


if __name__ == "__main__":
    run_main(main, sys.argv[1:])

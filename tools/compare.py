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

from IPython.core.inputtransformer2 import TransformerManager

import gemma_lab
from tools import ROOT, find_notebooks


def plain(source: str) -> str:
    """A cell's source as Python: magics become calls."""
    return TransformerManager().transform_cell(source)


def code_of(notebook: dict) -> str:
    """The code of a notebook's cells as Python, without the line that names the repository."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    code = "\n".join(plain("".join(cell["source"])) for cell in cells)
    return re.sub(r"^REPOSITORY = .*$", "", code, flags=re.MULTILINE)


def names_used(code: str, package: str) -> set[str]:
    """The dotted names below `gemma_lab` in `code`, which stands in its folder `package`."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            above = f"gemma_lab.{package}".strip(".").split(".")
            start = ".".join(above[: len(above) + 1 - node.level]) if node.level else ""
            module = f"{start}.{node.module or ''}".strip(".")
            found |= {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            found.add(ast.unparse(node))
    return {name.removeprefix("gemma_lab.") for name in found if name.startswith("gemma_lab.")}


def files_of(name: str) -> set[Path]:
    """The files of gemma_lab that a dotted name below it loads: `scratch.gemma`, `setup`."""
    first, *rest = name.split(".")
    parts = [gemma_lab._MODULE_OF.get(first, first), *rest]
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


def source_hash(notebook: dict) -> str:
    """A hash of all that outputs come from, whole."""
    code = code_of(notebook)
    digest = hashlib.sha256(code.encode())
    for path in inputs_of(code):
        content = path.read_bytes()
        digest.update(path.relative_to(ROOT).as_posix().encode())
        is_text = path.suffix != ".safetensors"  # git may turn the ends of its lines
        digest.update(content.replace(b"\r\n", b"\n") if is_text else content)
    return digest.hexdigest()


def is_stale(notebook: dict) -> bool:
    """Whether the outputs were stored from other inputs than those that are here now."""
    stored = notebook["metadata"].get("gemma_lab", {}).get("source_sha256")
    try:
        return stored != source_hash(notebook)
    except SyntaxError:  # code that cannot be executed
        return True


def main(names: list[str]) -> int:
    stale = [
        path.name
        for path in find_notebooks(names)
        if is_stale(json.loads(path.read_text(encoding="utf-8")))
    ]
    for name in stale:
        print(
            f"{name} is stale: its code, a helper, a pocket model or data that it reads changed "
            f"after it was executed: `python3 course.py run {name[:2]} --write`"
        )
    print(f"{len(stale)} stale" if stale else "Every stored output is fresh.")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

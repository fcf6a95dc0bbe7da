"""What outputs come from: the stored outputs of a notebook are stale when any of it has changed."""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

import gemma_lab
from tools import ROOT


def code_of(notebook: dict) -> str:
    """The code of a notebook's cells as plain Python, without the line that names the repository."""
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    plain = "\n".join(
        TransformerManager().transform_cell(source) for source in sources
    )  # magics become calls
    return re.sub(r"^REPOSITORY = .*$", "", plain, flags=re.MULTILINE)


def helpers_used(code: str) -> set[Path]:
    """The files of gemma_lab that `code` imports or calls, and those that these import, and so on."""
    package, found = ROOT / "gemma_lab", {ROOT / "gemma_lab" / "__init__.py"}
    names, texts = set(), [code]
    while texts:
        for node in ast.walk(ast.parse(texts.pop())):
            if (
                isinstance(node, ast.ImportFrom)
                and (node.module or "").split(".")[0] == "gemma_lab"
            ):
                names |= {
                    node.module.removeprefix("gemma_lab").strip("."),
                    *(name.name for name in node.names),
                }
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
    weights = {
        path for path in (ROOT / "gemma_lab" / "checkpoints").rglob("*") if path.suffix != ".md"
    }
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
        return [
            "its code, a helper, a pocket model or data that it reads changed after it was executed"
        ]
    reasons = []
    for number, (old, new) in enumerate(zip(stored["cells"], executed["cells"]), 1):
        if "nbval-check-output" in old["metadata"].get("tags", []) and shown(old) != shown(new):
            reasons.append(f"cell {number} shows something else now")
    return reasons

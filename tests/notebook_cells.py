"""Cells of a notebook by their tags, processes to run them in, and made-up notebooks."""

import ast
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parent.parent
MINUTES = "no one two three four five six seven eight nine ten".split()


def code_cells(notebook: str) -> list[dict]:
    """The code cells of notebooks/`notebook`.ipynb, in order."""
    text = (ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8")
    return [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]


@functools.cache
def all_text() -> dict[str, str]:
    """Number of a notebook -> the text of all its cells and outputs."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        parts = [part for cell in cells for part in ("".join(cell["source"]), text_shown(cell))]
        found[path.stem[:2]] = "\n".join(parts)
    return found


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def tagged(notebook: str, tag: str) -> str:
    """The source of the one code cell of a notebook that has `tag`."""
    (source,) = ["".join(cell["source"]) for cell in code_cells(notebook) if tag in tags(cell)]
    return source


def shown(notebook: str, tag: str) -> str:
    """The text that is stored as output of the one code cell that has `tag`: what a reader sees."""
    (cell,) = [cell for cell in code_cells(notebook) if tag in tags(cell)]
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])


def shown_table(notebook: str, tag: str) -> dict[str, dict[str, str]]:
    """Row -> column -> text of the table that is stored as output of the cell that has `tag`."""
    (cell,) = [cell for cell in code_cells(notebook) if tag in tags(cell)]
    (html,) = ["".join(one["data"]["text/html"]) for one in cell["outputs"] if "data" in one]
    lines = re.findall(r"<tr\b.*?</tr>", html, re.S)
    cells = [re.findall(r"<t[hd]\b.*?</t[hd]>", line, re.S) for line in lines]
    columns, *rows = [[re.sub("<[^>]+>", "", text).strip() for text in line] for line in cells]
    return {row[0]: dict(zip(columns[1:], row[1:])) for row in rows}


def minutes(cells: list[dict]) -> float:
    """What a reader needs: 150 words a minute, 5 seconds a line of code, and stated minutes.

    Nobody reads a fold, or the cell that installs gemma_lab.
    """
    total = 0.0
    for cell in cells:
        source = "".join(cell["source"])
        if source.startswith(("<details", "REPOSITORY, VERSION =")):
            continue
        if cell["cell_type"] == "code":
            total += len(source.splitlines()) / 12
            continue
        total += len(re.sub(r"\(http\S+\)", "", source).split()) / 150
        stated = re.findall(rf"\*\*(?:Exercise|Play).*?({'|'.join(MINUTES)}) minutes?", source)
        total += sum(map(MINUTES.index, stated))
    return total


def numbers(text: str) -> list[float]:
    """All numbers of a text, in order."""
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]


def run_cells(notebook: str, *wanted: str, **names) -> dict:
    """The names that exist after the cells with these tags ran in order, beside those given."""
    for tag in wanted:
        exec(compile(tagged(notebook, tag), f"<{notebook}, {tag}>", "exec"), names)
    return names


def text_shown(cell: dict) -> str:
    """The text that a code cell shows: streams and plain-text results."""
    parts = []
    for output in cell.get("outputs", []):
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        parts.append("".join(text))
    return "".join(parts)


def printed(source: str, folder: Path, **environment) -> str:
    """What a fresh process prints that runs `source`, with no token but one in `environment`."""
    return finished(source, folder, **environment).stdout


def finished(
    source: str, folder: Path, cwd: Path = ROOT, **environment
) -> subprocess.CompletedProcess:
    """A fresh process that has run `source`; `folder` is its HF_HOME, and it knows no token."""
    others = [key for key in os.environ if not key.startswith(("HF_", "HUGGING"))]
    clean = {key: os.environ[key] for key in others}
    clean |= {"HF_HOME": str(folder), "GEMMA_LAB_PROFILE": "pocket"} | environment
    command = [sys.executable, "-c", source]
    done = subprocess.run(command, env=clean, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def made(folder: Path, *cells: str, name: str = "01_test") -> Path:
    """The path of a new notebook in `folder` with these code cells."""
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    new_cell = nbformat.v4.new_code_cell
    notebook.cells = [new_cell(source, id=f"cell{i}") for i, source in enumerate(cells)]
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def with_values(source: str, **values) -> str:
    """`source` with another value in its one top-level assignment to each name in `values`."""
    tree = ast.parse(source)
    for name, value in values.items():
        assigns = [node for node in tree.body if isinstance(node, ast.Assign)]
        (found,) = [node for node in assigns if list(map(ast.unparse, node.targets)) == [name]]
        found.value = ast.Constant(value)
    return ast.unparse(tree)


def values_after(notebook: str, asked: dict[str, dict[str, str]], folder: Path) -> dict:
    """What expressions are worth in a notebook whose code cells run in order, in one fresh process.

    Args: asked: tag of a cell -> name -> the expression to evaluate after that cell.
    Returns: tag -> name -> value, as JSON gives it back; tensors are lists. The last tag ends it.
    """
    left, lines = dict(asked), ["import json, gemma_lab", "_values = {}"]
    for cell in code_cells(notebook)[1:]:  # the first one installs gemma_lab, with IPython's %pip
        lines.append("".join(cell["source"]))
        for tag in [tag for tag in tags(cell) if tag in left]:
            values = ", ".join(f"{name!r}: ({code})" for name, code in left.pop(tag).items())
            lines.append(f"_values[{tag!r}] = {{{values}}}")
        if not left:
            break
    assert not left, f"no cell of {notebook} has the tag {', '.join(left)}"
    lines.append("print('\\n=====', json.dumps(_values, default=lambda value: value.tolist()))")
    said = printed("\n".join(lines), folder, MPLBACKEND="Agg", HF_HUB_OFFLINE="1")
    return json.loads(said.rsplit("\n===== ")[1])

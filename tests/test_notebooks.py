"""The contract: what holds for every notebook file, and for the size of `gemma_lab`.

Each rule returns what is wrong in words. Each has a made-up wrong notebook below that must break it, and only it.
"""

import ast
import base64
import copy
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import course  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REPOSITORY = course.repository()
CODELABS = ("04_quantized_inference.ipynb", "05_lora_finetuning.ipynb")
BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name})"
)
SETUP = """\
REPOSITORY = "<repository>"
try:
    import gemma_lab
except ModuleNotFoundError:
    if REPOSITORY.startswith("-"):
        raise SystemExit(
            "Set REPOSITORY above to this course's GitHub owner/name, then run this cell again."
        ) from None
    %pip install -q --no-deps "git+https://github.com/{REPOSITORY}"
    import gemma_lab""".replace("<repository>", REPOSITORY)
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}")
LOCAL_PATH = re.compile(r"(?<![\w/.:])/(?:home|root|tmp|opt|work|Users|usr|var|private|mnt)/\w|\b[A-Z]:\\\\?\w")
PROGRESS = re.compile(r"\d+%\|| \d+/\d+ \[\d\d:\d\d|[█▏▎▍▌▋▊▉]{2}|\r")
WIDEST_PX, HIGHEST_PX = 7 * 110, 3.5 * 110  # inches, at no more than 110 dots per inch
SLACK_PX = 20  # Jupyter's tight bounding box adds a margin


def text(cell) -> str:
    return "".join(cell["source"])


def code_cells(notebook) -> list:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def markdown(notebook) -> str:
    return "\n\n".join(text(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")


def outputs(notebook) -> list:
    return [output for cell in code_cells(notebook) for output in cell["outputs"]]


def output_text(notebook) -> str:
    """All that the outputs show in words: streams, plain text, HTML."""
    parts = []
    for output in outputs(notebook):
        parts += ["".join(output.get("text", ""))]
        parts += ["".join(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(parts)


def section(notebook, title: str) -> list | None:
    """The cells from the heading `## title` to the next heading of that level, or None."""
    inside, found = [], False
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            headings = re.findall(r"^## (.+)$", text(cell), re.MULTILINE)
            if headings:
                found = headings[-1].startswith(title)
                if any(heading.startswith(title) for heading in headings):
                    inside.append(cell)
                    continue
        if found:
            inside.append(cell)
    return inside or None


# ------------------------------------------------------------------------------------------------ the rules


def title(notebook, name):
    if not re.match(rf"# {name[:2]} · \S", text(notebook["cells"][0])):
        yield f"the first cell does not begin with `# {name[:2]} · `"


def badge(notebook, name):
    if BADGE.format(repository=REPOSITORY, name=name) not in text(notebook["cells"][0]):
        yield "the badge does not open this file of this repository in Colab"


def runs_on(notebook, name):
    if "Runs on: " not in text(notebook["cells"][0]):
        yield "the first cell does not say what it runs on"


def goals(notebook, name):
    if not text(notebook["cells"][1]).startswith("## What you will be able to do\n"):
        yield "the second cell is not the learning goals"


def recap(notebook, name):
    if section(notebook, "Recap") is None:
        yield "no recap"


def set_up(notebook, name):
    if text(code_cells(notebook)[0]) != SETUP:
        yield "the set-up cell is not the one of all notebooks"
    if "gemma_lab.setup(" not in text(code_cells(notebook)[1]):
        yield "the second code cell does not call gemma_lab.setup"


def links(notebook, name):
    own = rf"https://github\.com/{re.escape(REPOSITORY)}/(?:blob|tree)/main/(.+)"
    for target in re.findall(r"\]\(([^)\s]+)\)", markdown(notebook)):
        hosted = re.match(own, target)
        path = f"../{hosted[1]}" if hosted else target
        if not re.match(r"https?:|mailto:|#", path) and not (ROOT / "notebooks" / path.split("#")[0]).exists():
            yield f"link to {target}, which is not there"


def hardware(notebook, name):
    has_t4 = notebook["metadata"].get("accelerator") == "GPU"
    has_t4 = has_t4 and notebook["metadata"].get("colab", {}).get("gpuType") == "T4"
    if has_t4 != (name in CODELABS):
        yield "T4 metadata belongs on 04 and 05, and on no other notebook"


def kernel(notebook, name):
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        yield "the kernel is not python3"


def cell_ids(notebook, name):
    ids = [cell.get("id") for cell in notebook["cells"]]
    if None in ids or len(set(ids)) < len(ids):
        yield "cells without an id of their own"


def counts(notebook, name):
    found = [cell["execution_count"] for cell in code_cells(notebook)]
    if found != list(range(1, len(found) + 1)):
        yield f"execution counts are not 1 to {len(found)}"


def clean_outputs(notebook, name):
    for output in outputs(notebook):
        if output.get("name") == "stderr" or output["output_type"] == "error":
            yield "an output is an error or comes from stderr"
    if PROGRESS.search(output_text(notebook)):
        yield "a progress bar among the outputs"
    if re.search(r" at 0x[0-9a-f]{6,}", output_text(notebook)):
        yield "a memory address among the outputs"


def widgets(notebook, name):
    if "widgets" in notebook["metadata"]:
        yield "metadata.widgets, which makes GitHub refuse the notebook"
    for output in outputs(notebook):
        if any("widget" in kind for kind in output.get("data", {})) and "image/png" not in output["data"]:
            yield "a widget without a picture for readers without a kernel"


def timing(notebook, name):
    if any("execution" in cell["metadata"] for cell in code_cells(notebook)):
        yield "a cell holds the times of its execution"


def local_paths(notebook, name):
    found = LOCAL_PATH.search(output_text(notebook) + "\n".join(map(text, notebook["cells"])))
    if found:
        yield f"a path of one machine: {found[0]}"


def secrets(notebook, name):
    if TOKEN.search(json.dumps(notebook)):
        yield "something that looks like a Hugging Face token"


def cell_length(notebook, name):
    for cell in code_cells(notebook):
        if len(text(cell).splitlines()) > 25:
            yield f"a cell of more than 25 lines: {text(cell).splitlines()[0]}"


def prose_between(notebook, name):
    if "ccc" in "".join(cell["cell_type"][0] for cell in notebook["cells"]):
        yield "more than two code cells without prose between them"


def no_classes(notebook, name):
    for cell in code_cells(notebook):
        if re.search(r"^\s*class \w+", text(cell), re.MULTILINE):
            yield f"a class definition: {text(cell).splitlines()[0]}"


def take_it_home(notebook, name):
    if name not in CODELABS:
        return
    cells = section(notebook, "Take it home")
    code = [text(cell) for cell in cells or [] if cell["cell_type"] == "code"]
    if not code:
        yield "no `Take it home` with code"
    elif sum(bool(line.strip()) for source in code for line in source.splitlines()) > 15:
        yield "`Take it home` is longer than 15 lines"
    if any("gemma_lab" in source for source in code):
        yield "`Take it home` uses gemma_lab"


def freshness(notebook, name):
    if notebook["metadata"].get("gemma_lab", {}).get("source_sha256") != course.source_hash(notebook):
        yield "its code or something that it reads changed after it was executed: `python3 course.py run --write`"


def size(notebook, name):
    if len(json.dumps(notebook, indent=1, ensure_ascii=False).encode()) >= 300_000:
        yield "300 kB or more"


def pictures(notebook, name):
    for output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            png = base64.b64decode("".join(output["data"]["image/png"]))
            width, height = struct.unpack(">II", png[16:24])
            if width > WIDEST_PX + SLACK_PX or height > HIGHEST_PX + SLACK_PX:
                yield f"a picture of {width} x {height} pixels: larger than 7 x 3.5 inches"


RULES = [
    title, badge, runs_on, goals, recap, set_up, links, hardware, kernel, cell_ids, counts, clean_outputs, widgets,
    timing, local_paths, secrets, cell_length, prose_between, no_classes, take_it_home, freshness, size, pictures,
]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_notebook(path, rule):
    assert list(rule(json.loads(path.read_text(encoding="utf-8")), path.name)) == []


def test_both_codelabs_are_there():
    assert set(CODELABS) <= {path.name for path in NOTEBOOKS}


# ------------------------------------------------------------------------------------- every rule can be broken


def markdown_cell(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code_cell(source, *shown):
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": list(shown), "execution_count": None}


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def display(**data):
    return {"output_type": "display_data", "metadata": {}, "data": {k.replace("_", "/"): v for k, v in data.items()}}


def png(width, height):
    return base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)).decode()


def right_notebook():
    notebook = {
        "cells": [
            markdown_cell(f"# 04 · Title\n\n{BADGE.format(repository=REPOSITORY, name=CODELABS[0])}\n\nRuns on: a CPU"),
            markdown_cell("## What you will be able to do\n\n- read [the README](../README.md#course-map)"),
            code_cell(SETUP),
            code_cell("profile = gemma_lab.setup()", stream("Read https://example.org/home/x, or 3/4 of it: 50%\n")),
            markdown_cell("## 1 · Look"),
            code_cell("plot()", display(image_png=png(770, 385), text_plain="<Figure>")),
            markdown_cell("## Take it home"),
            code_cell("import torch"),
            markdown_cell("## Recap\n\n- You looked.\n\n## Go deeper"),
            code_cell("gemma_lab.checkpoint('google/gemma-2b-it')"),
        ],
        "metadata": {"accelerator": "GPU", "colab": {"gpuType": "T4"}, "kernelspec": {"name": "python3"}},
    }
    return executed(notebook)


def executed(notebook):
    """Counts, ids and the hash as `course.py run --write` leaves them."""
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{number}"
    for number, cell in enumerate(code_cells(notebook), 1):
        cell["execution_count"] = number
    notebook["metadata"]["gemma_lab"] = {"source_sha256": course.source_hash(notebook)}
    return notebook


def changed(old, new, cell=0):
    def change(notebook):
        assert old in notebook["cells"][cell]["source"]
        notebook["cells"][cell]["source"] = notebook["cells"][cell]["source"].replace(old, new)

    return change


def shows(*shown):
    return lambda notebook: notebook["cells"][5]["outputs"].extend(shown)


def inserts(*cells, at=6):
    return lambda notebook: notebook["cells"].__setitem__(slice(at, at), copy.deepcopy(list(cells)))


def without(cell):
    return lambda notebook: notebook["cells"].pop(cell)


def metadata(**entries):
    return lambda notebook: notebook["metadata"].update(entries)


def sets(cell, key, value):
    return lambda notebook: notebook["cells"][cell].__setitem__(key, value)


WRONG = [
    (title, changed("# 04 ·", "# 05 ·")),
    (title, changed("# 04", "## 04")),
    (badge, changed("/blob/main/notebooks/04", "/blob/main/notebooks/05")),
    (badge, changed(f"github/{REPOSITORY}", "github/another/course")),
    (runs_on, changed("Runs on: ", "It runs on ")),
    (goals, changed("## What you will", "## What we will", 1)),
    (recap, changed("## Recap", "## Summary", 8)),
    (set_up, changed("--no-deps ", "", 2)),
    (set_up, changed(") from None", ")", 2)),
    (set_up, changed(REPOSITORY, "another/course", 2)),
    (set_up, changed("gemma_lab.setup()", "'pocket'", 3)),
    (links, changed("README.md", "READYOU.md", 1)),
    (links, changed("../README.md", f"https://github.com/{REPOSITORY}/blob/main/gone.md", 1)),
    (links, changed("../README.md", "99_gone.ipynb", 1)),
    (hardware, metadata(accelerator="None")),
    (hardware, metadata(colab={"gpuType": "A100"})),
    (kernel, metadata(kernelspec={"name": "my-env"})),
    (cell_ids, sets(3, "id", "cell-2")),
    (counts, sets(5, "execution_count", 7)),
    (counts, sets(5, "execution_count", None)),
    (clean_outputs, shows(stream("a warning", "stderr"))),
    (clean_outputs, shows({"output_type": "error", "ename": "E", "evalue": "", "traceback": []})),
    (clean_outputs, shows(stream(" 37%|███▋      | 74/200"))),
    (clean_outputs, shows(stream("<function f at 0x7f12ab34cd56>"))),
    (widgets, metadata(widgets={"state": {}})),
    (widgets, shows({"output_type": "display_data", "data": {"application/vnd.jupyter.widget-view+json": {}}})),
    (timing, sets(5, "metadata", {"execution": {"iopub.execute_input": "2026-01-01"}})),
    (local_paths, shows(stream("saved to /home" + "/ada/outputs"))),
    (local_paths, shows(display(text_html="<p>C:\\Users\\ada"))),
    (local_paths, changed("You looked", "You looked at /usr/lib", 8)),
    (secrets, shows(stream("hf_" + "aB3" * 11))),
    (secrets, changed("You looked", "hf_" + "aB3" * 11, 8)),
    (cell_length, inserts(code_cell("\n".join(f"a = {i}" for i in range(26))))),
    (prose_between, inserts(code_cell("a = 1"), code_cell("a = 2"))),
    (no_classes, changed("plot()", "class Plot:\n    pass", 5)),
    (take_it_home, changed("## Take it home", "## At home", 6)),
    (take_it_home, changed("import torch", "from gemma_lab import measure", 7)),
    (take_it_home, changed("import torch", "\n".join(["import torch"] * 16), 7)),
    (take_it_home, without(7)),
    (size, changed("You looked", "You looked" * 30_000, 8)),
    (pictures, shows(display(image_png=png(1000, 300)))),
    (pictures, shows(display(image_png=png(700, 500)))),
]


def broken_rules(notebook, name=CODELABS[0]):
    return {rule for rule in RULES if list(rule(notebook, name))}


def test_a_right_notebook_breaks_no_rule():
    assert broken_rules(right_notebook()) == set()


@pytest.mark.parametrize("rule, change", WRONG, ids=[f"{rule.__name__}-{i}" for i, (rule, _) in enumerate(WRONG)])
def test_a_wrong_notebook_breaks_its_rule(rule, change):
    notebook = right_notebook()
    counts_before = [cell["execution_count"] for cell in code_cells(notebook)]
    change(notebook)
    if len(code_cells(notebook)) != len(counts_before):
        notebook = executed(notebook)
    notebook["metadata"]["gemma_lab"] = {"source_sha256": course.source_hash(notebook)}
    assert broken_rules(notebook) == {rule}


def test_code_that_changed_after_its_execution_is_stale():
    notebook = right_notebook()
    notebook["cells"][5]["source"] = "plot(1)"
    assert broken_rules(notebook) == {freshness}


def test_the_name_of_the_repository_does_not_make_a_notebook_stale():
    notebook = right_notebook()
    notebook["cells"][2]["source"] = SETUP.replace(REPOSITORY, "my-name/my-fork")
    assert list(freshness(notebook, CODELABS[0])) == []


def test_t4_metadata_on_another_notebook_breaks_the_rule():
    assert list(hardware(right_notebook(), "00_prework.ipynb"))


def test_every_rule_has_a_wrong_notebook():
    assert {rule for rule, _ in WRONG} | {freshness} == set(RULES)


# ------------------------------------------------------------------------------------------------- the package


def test_gemma_lab_keeps_its_budget():
    """Counted by reader: code that is a lesson itself, what one lesson needs, and the helpers of all notebooks."""
    lines = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "gemma_lab").glob("*.py")}
    read, lessons = {"model.py"}, {"check.py", "check_model.py", "widgets.py"}
    assert sum(count for name, count in lines.items() if name not in read | lessons) <= 2200
    assert {name: count for name, count in lines.items() if count > 320} == {}  # about 300


def test_gemma_lab_has_about_25_public_names():
    import gemma_lab

    assert len(gemma_lab.__all__) <= 25
    assert [name for name in gemma_lab.__all__ if getattr(gemma_lab, name, None) is None] == []


def test_importing_gemma_lab_loads_no_heavy_library():
    """Unsloth has to come before transformers, trl and peft, so neither the package nor its light rooms load them."""
    script = (
        "import sys, gemma_lab\n"
        "from gemma_lab import access, catalog, check, hardware, start\n"
        "print([name for name in ('torch', 'transformers', 'peft', 'trl', 'unsloth') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted((ROOT / "gemma_lab").glob("*.py")), ids=lambda path: path.name)
def test_no_bare_except_and_no_blanket_filter(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"line {node.lineno}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("filterwarnings"):
            assert len(node.args) + len(node.keywords) > 1, f"line {node.lineno}"

"""The contract: what holds for every notebook file. `python -m tools.contract [NOTEBOOK ...]` prints the faults.

Each rule returns what is wrong in words. tests/test_contract.py has a wrong notebook for each.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import sys

from tools import ROOT, find_notebooks
from tools.compare import source_hash
from tools.fork import repository

REPOSITORY = repository()
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
LOCAL_PATH = re.compile(
    r"(?<![\w/.:])/(?:home|root|tmp|opt|work|Users|usr|var|private|mnt)/\w|\b[A-Z]:\\\\?\w"
)
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
        parts += [
            "".join(value)
            for kind, value in output.get("data", {}).items()
            if kind.startswith("text/")
        ]
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
        if (
            not re.match(r"https?:|mailto:|#", path)
            and not (ROOT / "notebooks" / path.split("#")[0]).exists()
        ):
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
        if (
            any("widget" in kind for kind in output.get("data", {}))
            and "image/png" not in output["data"]
        ):
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
    if notebook["metadata"].get("gemma_lab", {}).get("source_sha256") != source_hash(notebook):
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


def faults(path) -> list[str]:
    """What is wrong with a notebook file, one line each."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [
        f"{path.name}: {fault} [{rule.__name__}]"
        for rule in RULES
        for fault in rule(notebook, path.name)
    ]


if __name__ == "__main__":
    found = [fault for path in find_notebooks(sys.argv[1:]) for fault in faults(path)]
    print("\n".join(found))
    sys.exit(bool(found))

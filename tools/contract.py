"""The contract: rules for notebook files. `tools.lint` prints what they find.

A rule yields pairs: the cell, or None for the whole file, and what is wrong and what to do.
A new rule goes into `RULES`, and needs a wrong notebook in tests/test_contract.py. What ruff has a
rule for, such as F403, is ruff's: it reads notebooks too.
"""

from __future__ import annotations

import ast
import base64
import json
import re
import struct
from pathlib import Path

import gemma_lab
from tools import ROOT, CourseError
from tools.compare import is_stale, names_used, plain, read
from tools.fork import repository

REPOSITORY = repository()
CODELABS = ("04_quantized_inference.ipynb", "05_lora_finetuning.ipynb")
BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name})"
)
# GitHub's archive of a release's tag: it needs no git, and nothing that somebody has to upload.
SETUP = """\
REPOSITORY, VERSION = "<repository>", "<version>"
try:
    import gemma_lab
except ModuleNotFoundError:
    import os

    release = f"https://github.com/{REPOSITORY}/archive/refs/tags/v{VERSION}.zip"
    why = "Choose the kernel .venv of the course, or start it with `python3 course.py`."
    hosts = {"COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE", "KAGGLE_URL_BASE"}
    is_hosted = hosts & {*os.environ}
    if is_hosted and REPOSITORY.startswith("-"):
        why = "Set REPOSITORY above to this course's GitHub owner/name, and run this cell again."
    elif is_hosted:
        said = !pip install -q --no-deps --retries 1 {release}
        why = f"pip could not install {release}: {' '.join(said[-1:])} Run this cell again."
        if "error 404" in str(said):
            why = f"GitHub has no {release}: correct REPOSITORY or VERSION above."
        elif "onnection" in str(said):
            why = "GitHub does not answer. On Kaggle, switch Internet on. Then run this cell again."
    try:
        import gemma_lab
    except ModuleNotFoundError as error:
        raise SystemExit(f"{why} ({error}.)") from None"""
for mark, value in {"<repository>": REPOSITORY, "<version>": gemma_lab.__version__}.items():
    SETUP = SETUP.replace(mark, value)
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}")
LOCAL_PATH = re.compile(
    r"(?<![\w/.:])/(?:home|root|tmp|opt|work|Users|usr|var|private|mnt)/\w|\b[A-Z]:\\\\?\w{2,}"
)
URL = re.compile(r"https?://[^\s\"'<>]+")
PROGRESS = re.compile(r"\d+%\|| \d+/\d+ \[\d\d:\d\d|[█▏▎▍▌▋▊▉]{2}|\r")
WIDEST_PX, HIGHEST_PX = 650, 400  # 7 x 4.3 inches at 90 dots per inch, and Jupyter's margin
LARGEST_BYTES = 250_000
WRITE = "`python3 course.py run --write`"
INSIDE = r"(?:(?!<details).)+"
FILLED = rf"\s*(?!</?details|```)\S{INSIDE}"
HINT = rf"<details><summary>Hint {{}}</summary>{FILLED}</details>\s*"
SOLUTION = rf"<details><summary>Solution</summary>{INSIDE}```python\n{FILLED}```{INSIDE}</details>"
EXERCISE = re.compile(r"(?:\*\*|^#+ )Exercise (\d+)", re.MULTILINE)
LINK = re.compile(
    r"""\]\(\s*<?([^)\s>]+)>?(?:\s+["'][^)]*)?\)|<(?:a|img)\s[^>]*?(?:href|src)=["']?([^"'\s>]+)"""
)
NO_SENTENCE = re.compile(r"None|f?['\"\s]*")
FOLDED = re.compile(HINT.format(1) + HINT.format(2) + SOLUTION, re.DOTALL)


def text(cell) -> str:
    return "".join(cell["source"])


def code_cells(notebook) -> list:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def markdown_cells(notebook) -> list:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def outputs(notebook) -> list:
    """Pairs: a code cell, and one of its outputs."""
    return [(cell, output) for cell in code_cells(notebook) for output in cell["outputs"]]


def words(output) -> str:
    """All that an output shows in words: streams, plain text, HTML."""
    data = output.get("data", {})
    shown = [output.get("text", ""), *(data[kind] for kind in data if kind.startswith("text/"))]
    return "\n".join("".join(part) for part in shown)


def pixels(encoded: str) -> tuple[int, int] | None:
    """Width and height of a PNG in base64; None where it is none."""
    try:
        png = base64.b64decode(encoded)
    except ValueError:
        return None
    return struct.unpack(">II", png[16:24]) if png[:4] == b"\x89PNG" and len(png) > 23 else None


def tree(cell) -> ast.Module:
    """The syntax tree of a code cell; empty where Python cannot parse it, which `syntax` says."""
    try:
        return ast.parse(plain(text(cell)))
    except SyntaxError:
        return ast.Module([], [])


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


# ------------------------------------------------------------------------------------- the rules


def title(notebook, name):
    first = notebook["cells"][0]
    if not re.match(rf"# {name[:2]} · \S", text(first)):
        yield first, f"begin the first cell with `# {name[:2]} · ` and the title"


def badge(notebook, name):
    first = notebook["cells"][0]
    wanted = BADGE.format(repository=REPOSITORY, name=name)
    if wanted not in text(first):
        yield first, f"the badge does not open this file in Colab: write {wanted}"


def runs_on(notebook, name):
    first = notebook["cells"][0]
    if "Runs on: " not in text(first):
        yield first, "say what the notebook runs on: `Runs on: ...`"


def goals(notebook, name):
    heading = "## What you will be able to do"
    if not text(notebook["cells"][1]).startswith(f"{heading}\n"):
        yield notebook["cells"][1], f"make the second cell the learning goals, under `{heading}`"


def recap(notebook, name):
    if section(notebook, "Recap") is None:
        yield None, "there is no `## Recap`: write one"


def set_up(notebook, name):
    first, second = code_cells(notebook)[:2]
    if text(first) != SETUP:
        yield first, "copy another notebook's set-up cell; `course.py fork` writes the version"
    if "gemma_lab.setup(" not in text(second):
        yield second, "call `gemma_lab.setup` in the second code cell"


def links(notebook, name):
    own = rf"https://github\.com/{re.escape(REPOSITORY)}/(?:blob|tree)/main/(.+)"
    for cell in markdown_cells(notebook):
        for target in map("".join, LINK.findall(text(cell))):
            hosted = re.match(own, target)
            path = ROOT / (hosted[1] if hosted else f"notebooks/{target}").split("#")[0]
            if (hosted or not re.match(r"https?:|mailto:|data:|#", target)) and not path.exists():
                yield cell, f"the link to {target} leads nowhere: correct it"


def hardware(notebook, name):
    kind = notebook["metadata"].get("colab", {}).get("gpuType")
    has_t4 = notebook["metadata"].get("accelerator") == "GPU" and kind == "T4"
    if has_t4 != (name in CODELABS):
        yield None, "T4 metadata belongs to 04 and 05, and to no other notebook"


def kernel(notebook, name):
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        yield None, "the kernel is not python3: choose the kernel of .venv and save"


def cell_ids(notebook, name):
    ids = [cell.get("id") for cell in notebook["cells"]]
    for cell, own in zip(notebook["cells"], ids):
        if own is None or ids.count(own) > 1:
            yield cell, "give the cell an id of its own"


def counts(notebook, name):
    found = [cell["execution_count"] for cell in code_cells(notebook)]
    if found != list(range(1, len(found) + 1)):
        yield None, f"execution counts are not 1 to {len(found)}: {WRITE}"


def clean_outputs(notebook, name):
    for cell, output in outputs(notebook):
        if output.get("name") == "stderr" or output["output_type"] == "error":
            yield cell, "an output is an error or comes from stderr: remove its cause"
        if PROGRESS.search(words(output)):
            yield cell, "a progress bar among the outputs: turn it off"
        if re.search(r" at 0x[0-9a-f]{6,}", words(output)):
            yield cell, "a memory address among the outputs: print something else"


def widgets(notebook, name):
    if "widgets" in notebook["metadata"]:
        yield None, f"GitHub refuses a notebook with metadata.widgets: {WRITE}"
    for cell, output in outputs(notebook):
        data = output.get("data", {})
        if any("widget" in kind for kind in data) and "image/png" not in data:
            yield cell, "a widget leaves no picture: show it with `figures.show`"


def timing(notebook, name):
    for cell in code_cells(notebook):
        if "execution" in cell["metadata"]:
            yield cell, f"the cell holds the times of its execution: {WRITE}"


def local_paths(notebook, name):
    parts = [(cell, text(cell)) for cell in notebook["cells"]]
    parts += [(cell, words(output)) for cell, output in outputs(notebook)]
    for cell, part in parts:
        if found := LOCAL_PATH.search(URL.sub("", part)):
            yield cell, f"a path of one machine, {found[0]}: remove it"


def secrets(notebook, name):
    if TOKEN.search(json.dumps(notebook)):
        yield None, "something looks like a Hugging Face token: remove it, and revoke the token"


def cell_length(notebook, name):
    for cell in code_cells(notebook):
        if len(text(cell).splitlines()) > 25:
            yield cell, "more than 25 lines: split the cell, or move code to gemma_lab"


def prose_between(notebook, name):
    kinds = "".join(cell["cell_type"][0] for cell in notebook["cells"])
    if "ccc" in kinds:
        third = notebook["cells"][kinds.index("ccc") + 2]
        yield third, "the third code cell in a row: put prose before it"


def no_classes(notebook, name):
    for cell in code_cells(notebook):
        if any(isinstance(node, ast.ClassDef) for node in ast.walk(tree(cell))):
            yield cell, "a class definition: move it to gemma_lab"


def take_it_home(notebook, name):
    if name not in CODELABS:
        return
    cells = [
        cell for cell in section(notebook, "Take it home") or [] if cell["cell_type"] == "code"
    ]
    if not cells:
        yield None, "there is no `## Take it home` with code: write it"
    elif sum(bool(line.strip()) for cell in cells for line in text(cell).splitlines()) > 15:
        yield cells[0], "`Take it home` is longer than 15 lines: shorten it"
    for cell in cells:
        if "gemma_lab" in text(cell):
            yield cell, "`Take it home` uses gemma_lab: do it without"


def asserts(notebook, name):
    for cell in code_cells(notebook):
        for node in ast.walk(tree(cell)):
            if isinstance(node, ast.Assert) and NO_SENTENCE.fullmatch(ast.unparse(node.msg or [])):
                claim = ast.unparse(node)[:60]
                yield cell, f"`{claim}` has no sentence: add one, or hold it by a test"


def exercises(notebook, name):
    lesson, none, count = f"nb{name[:2]}", {"cell_type": "", "source": ""}, 0
    cells = [*notebook["cells"], none, none]
    for cell, code, answer in zip(cells, cells[1:], cells[2:]):
        if cell["cell_type"] != "markdown" or not EXERCISE.search(text(cell)):
            continue
        count += 1
        if EXERCISE.search(text(cell))[1] != str(count):
            yield cell, f"it is the exercise with number {count} here: say so"
        nodes = list(ast.walk(tree(code))) if code["cell_type"] == "code" else []
        called = [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]
        has_stub = any(isinstance(node, ast.Constant) and node.value is ... for node in nodes)
        if not has_stub or not any(re.match(rf"({lesson}\.)?check_", name) for name in called):
            yield cell, f"below it, put a code cell with `...` and a call of {lesson}.check_NAME"
        if answer["cell_type"] != "markdown" or not FOLDED.search(text(answer)):
            yield (
                cell,
                (
                    "below its code, fold two hints and a solution with a ```python block: "
                    "<details><summary>Hint 1</summary>, Hint 2, Solution"
                ),
            )


def own_lesson(notebook, name):
    code = "\n".join(ast.unparse(tree(cell)) for cell in code_cells(notebook))
    used = " ".join(names_used(code, ""))
    for other in sorted({*re.findall(r"\blessons\.(nb\d\d)", used)} - {f"nb{name[:2]}"}):
        cell = next(cell for cell in code_cells(notebook) if other in text(cell))
        yield cell, f"{other} belongs to another notebook: move what both use to gemma_lab"


def formatting(notebook, name):
    for cell in code_cells(notebook):
        if found := re.search(r"#\s*fmt: ?(skip|off|on)\b", text(cell)):
            yield cell, f"`{found[0]}` where a learner reads: remove it, and run `ruff format`"


def syntax(notebook, name):
    for cell in code_cells(notebook):
        try:
            ast.parse(plain(text(cell)))
        except SyntaxError as error:
            yield cell, f"{error.msg}: correct line {error.lineno} of the cell"


def freshness(notebook, name):
    if is_stale(notebook) and not list(syntax(notebook, name)):
        how = f"`python3 course.py run {name[:2]} --write`"
        yield None, f"what its outputs come from has changed: {how}"


def size(notebook, name):
    found = len(json.dumps(notebook, indent=1, ensure_ascii=False).encode())
    if found > LARGEST_BYTES:
        yield None, f"{found / 1000:.0f} kB, more than {LARGEST_BYTES // 1000}: fewer pictures"


def pictures(notebook, name):
    for cell, output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            size = pixels("".join(output["data"]["image/png"]))
            if size is None:
                yield cell, f"a picture that is no PNG: {WRITE}"
            elif size[0] > WIDEST_PX or size[1] > HIGHEST_PX:
                most = f"at most {WIDEST_PX} x {HIGHEST_PX}, as 7 x 4.3 inches give at 90 dpi"
                yield cell, f"a picture of {size[0]} x {size[1]} pixels: draw {most}"


STORY = [title, badge, runs_on, goals, recap, set_up, links, prose_between, exercises, take_it_home]
CODE = [syntax, cell_length, no_classes, asserts, own_lesson, formatting, clean_outputs, pictures]
FILE = [hardware, kernel, cell_ids, counts, widgets, timing, secrets, local_paths, freshness, size]
RULES = [*STORY, *CODE, *FILE]


def place(path: Path, notebook: dict, number: int) -> str:
    """The file and, if `number` (from 1) is one, the cell with its first line."""
    where = f"notebooks/{path.name}"
    if not number:
        return where
    lines = text(notebook["cells"][number - 1]).strip().splitlines() or [""]
    return f"{where}, cell {number} (`{lines[0][:60]}`)"


def faults(path: Path) -> list[str]:
    """What is wrong with a notebook file, one line each: the place, the rule, what to do."""
    try:
        notebook = read(path)
    except CourseError as error:
        return [f"notebooks/{path.name}: json: {error}: correct the file, or take it from git"]
    if len(notebook["cells"]) < 4 or len(code_cells(notebook)) < 2:
        return [f"notebooks/{path.name}: start: begin with a title, goals, and two set-up cells"]
    found = []
    for rule in RULES:
        for cell, what in rule(notebook, path.name):
            number = next((n for n, one in enumerate(notebook["cells"], 1) if one is cell), 0)
            found.append(f"{place(path, notebook, number)}: {rule.__name__}: {what}")
    return found

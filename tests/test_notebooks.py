"""The contract on notebook files, and the budget of the package: what a learner and GitHub are promised."""

import base64
import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import course
import pytest

ROOT = Path(__file__).parent.parent
PATHS = course.find_notebooks([])
REPOSITORY = course.repository()
GPU_NOTEBOOKS = ("04", "05")
SETUP = f'''REPOSITORY = "{REPOSITORY}"
try:
    import gemma_lab
except ModuleNotFoundError:
    if REPOSITORY.startswith("-"):
        raise SystemExit("Set REPOSITORY above to the GitHub owner/name of this course, then run this cell again.")
    %pip install -q --no-deps "git+https://github.com/{{REPOSITORY}}"
    import gemma_lab'''


def source(cell):
    return "".join(cell["source"])


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell["outputs"]]


def prose(notebook):
    return "\n".join(source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")


def has_same_setup(name, notebook):
    return source(code_cells(notebook)[0]) == SETUP and "gemma_lab.setup(" in source(code_cells(notebook)[1])


def is_executed_in_order(name, notebook):
    return [cell["execution_count"] for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))


def is_fresh(name, notebook):
    return notebook["metadata"].get("gemma_lab", {}).get("source_sha256") == course.source_hash(notebook)


def has_clean_outputs(name, notebook):
    kinds = {(output["output_type"], output.get("name")) for output in outputs(notebook)}
    text = json.dumps(outputs(notebook), ensure_ascii=False)
    debris = re.search(r"\d+%\|| it/s\]|<object at 0x|Downloading", text)
    return ("stream", "stderr") not in kinds and "error" not in {kind for kind, _ in kinds} and not debris


def has_no_path_and_no_token(name, notebook):
    text = json.dumps(notebook, ensure_ascii=False)
    return not re.search(r"(?<![\w.~:/-])/(?:home|root|tmp|opt|mnt|work|Users|content)/\w|[A-Z]:\\\\\w|hf_\w{20}", text)


def has_no_widget_state(name, notebook):
    return "widgets" not in notebook["metadata"] and "vnd.jupyter.widget-state" not in json.dumps(notebook)


def has_short_cells(name, notebook):
    lines = [line for cell in code_cells(notebook) for line in source(cell).splitlines()]
    longest = max(len(source(cell).splitlines()) for cell in code_cells(notebook))
    return longest <= 25 and max(map(len, lines)) <= 125 and not any(line.startswith("class ") for line in lines)


def has_prose_between_cells(name, notebook):
    kinds = "".join(cell["cell_type"][0] for cell in notebook["cells"])
    return "ccc" not in kinds


def is_small(name, notebook):
    return len(json.dumps(notebook, ensure_ascii=False).encode()) < 300_000


def has_small_pictures(name, notebook):
    for output in outputs(notebook):
        png = output.get("data", {}).get("image/png")
        if png:
            header = base64.b64decode("".join(png))[16:24]
            width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")
            if width > 7 * 115 or height > 3.5 * 115:
                return False
    return True


def has_anatomy(name, notebook):
    first, second = notebook["cells"][:2]
    headings = re.findall(r"^## (.+)$", prose(notebook), re.MULTILINE)
    take_home = ["Take it home"] if name[:2] in GPU_NOTEBOOKS else []
    ends = [heading for heading in headings if heading in ("Take it home", "Recap", "Go deeper")]
    return (
        source(first).startswith(f"# {name[:2]} · ")
        and f"colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{name}.ipynb" in source(first)
        and "Runs on:" in source(first)
        and source(second).startswith("## What you will be able to do")
        and 3 <= source(second).count("\n- ") <= 5
        and ends == [*take_home, "Recap", "Go deeper"]
    )


def takes_home_without_us(name, notebook):
    cells = notebook["cells"]
    starts = [i for i, cell in enumerate(cells) if "\n## Take it home" in "\n" + source(cell)]
    if not starts:
        return name[:2] not in GPU_NOTEBOOKS
    code = source(cells[starts[0] + 1])
    return "gemma_lab" not in code and len(code.splitlines()) <= 18 and bool(cells[starts[0] + 1]["outputs"])


def links_resolve(name, notebook):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose(notebook))
    return all(link.startswith("https://") or (course.NOTEBOOKS / link).exists() for link in links)


def has_right_metadata(name, notebook):
    metadata = notebook["metadata"]
    wants_gpu = name[:2] in GPU_NOTEBOOKS
    return (
        metadata["kernelspec"]["name"] == "python3"
        and metadata["colab"]["name"] == f"{name}.ipynb"
        and (metadata.get("accelerator") == "GPU") == wants_gpu
        and (metadata["colab"].get("gpuType") == "T4") == wants_gpu
    )


def exercises_are_checked(name, notebook):
    return prose(notebook).count("**Exercise ") == sum("check." in source(cell) for cell in code_cells(notebook)) >= 2


RULES = [
    has_same_setup, is_executed_in_order, is_fresh, has_clean_outputs, has_no_path_and_no_token, has_no_widget_state,
    has_short_cells, has_prose_between_cells, is_small, has_small_pictures, has_anatomy, takes_home_without_us,
    links_resolve, has_right_metadata, exercises_are_checked,
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_contract(rule, path):
    assert rule(path.stem, json.loads(path.read_text(encoding="utf-8")))


def first_code(notebook):
    return code_cells(notebook)[0]


def add_output(**output):
    return lambda notebook: first_code(notebook)["outputs"].append(output)


def stream(name, text):
    return add_output(output_type="stream", name=name, text=text)


def replace_source(cell_type, old, new):
    def spoil(notebook):
        for cell in notebook["cells"]:
            if cell["cell_type"] == cell_type:
                cell["source"] = source(cell).replace(old, new)

    return spoil


WIDE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8) + (2000).to_bytes(4, "big") + (10).to_bytes(4, "big")).decode()
SPOILED = [
    (has_same_setup, replace_source("code", "import gemma_lab", "import gemma_lab as gl")),
    (is_executed_in_order, lambda notebook: first_code(notebook).update(execution_count=7)),
    (is_fresh, lambda notebook: first_code(notebook).update(source=source(first_code(notebook)) + "\nx = 1")),
    (has_clean_outputs, stream("stderr", "a warning")),
    (has_clean_outputs, stream("stdout", "100%|####| 5/5 [00:00, 3 it/s]")),
    (has_clean_outputs, add_output(output_type="error", ename="E", evalue="", traceback=[])),
    (has_no_path_and_no_token, stream("stdout", "/home/somebody/course")),
    (has_no_path_and_no_token, stream("stdout", "hf_" + "a" * 34)),
    (has_no_widget_state, lambda notebook: notebook["metadata"].update(widgets={})),
    (has_short_cells, lambda notebook: first_code(notebook).update(source="x = 1\n" * 26)),
    (has_short_cells, lambda notebook: first_code(notebook).update(source="class A: ...")),
    (has_prose_between_cells, lambda notebook: notebook["cells"].extend([first_code(notebook)] * 3)),
    (is_small, stream("stdout", "x" * 300_000)),
    (has_small_pictures, add_output(output_type="display_data", data={"image/png": WIDE}, metadata={})),
    (has_anatomy, replace_source("markdown", "## Recap", "## The end")),
    (has_anatomy, replace_source("markdown", REPOSITORY, "somebody/else")),
    (takes_home_without_us, replace_source("code", "from peft import LoraConfig", "import gemma_lab")),
    (links_resolve, replace_source("markdown", "](04_", "](44_")),
    (has_right_metadata, lambda notebook: notebook["metadata"].pop("accelerator")),
    (exercises_are_checked, replace_source("code", "check.", "chek.")),
]


@pytest.mark.parametrize("rule, spoil", SPOILED, ids=lambda value: getattr(value, "__name__", ""))
def test_each_rule_notices_a_spoiled_notebook(rule, spoil):
    path = course.NOTEBOOKS / "05_lora_finetuning.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    spoiled = copy.deepcopy(notebook)
    spoil(spoiled)
    assert rule(path.stem, notebook)
    assert not rule(path.stem, spoiled)


def test_the_readme_maps_every_notebook():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in PATHS:
        assert f"(notebooks/{path.name})" in readme
        assert f"github/{REPOSITORY}/blob/main/notebooks/{path.name}" in readme
    for link in re.findall(r"\]\(([^)#\s]+)\)", readme):
        assert link.startswith("https://") or (ROOT / link).exists()


def test_the_package_stays_thin():
    sizes = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in ROOT.glob("gemma_lab/*.py")}
    assert sum(sizes.values()) <= 2500
    assert max(sizes.values()) <= 300, max(sizes, key=sizes.get)
    import gemma_lab

    assert len(gemma_lab.__all__) <= 25
    assert all(hasattr(gemma_lab, name) for name in gemma_lab.__all__)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, gemma_lab; print({'torch', 'transformers', 'numpy', 'huggingface_hub'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_choosing_a_profile_does_not_import_transformers():
    code = "import sys, gemma_lab; gemma_lab.setup('unsloth'); print('transformers' in sys.modules, 'peft' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "False False"

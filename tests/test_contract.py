"""The contract on every notebook, and wrong notebooks: each must break its rule, and only it."""

import base64
import copy
import json
import struct

import pytest

import gemma_lab
from tools import contract, find_notebooks
from tools.compare import source_hash
from tools.contract import BADGE, CODELABS, REPOSITORY, RULES, SETUP, code_cells


@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_notebook(path, rule):
    assert list(rule(json.loads(path.read_text(encoding="utf-8")), path.name)) == []


def test_both_codelabs_are_there():
    assert set(CODELABS) <= {path.name for path in find_notebooks([])}


# ------------------------------------------------------------------- every rule can be broken


def markdown_cell(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code_cell(source, *shown):
    return {
        "cell_type": "code",
        "metadata": {},
        "source": source,
        "outputs": list(shown),
        "execution_count": None,
    }


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def display(**data):
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": {k.replace("_", "/"): v for k, v in data.items()},
    }


def png(width, height):
    return base64.b64encode(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)
    ).decode()


EXERCISE = "from gemma_lab.lessons import nb04\n\nmy_sum = ...\nnb04.check_sum(my_sum)"
FOLDED = """\
<details><summary>Hint 1</summary>

Count.

</details>

<details><summary>Hint 2</summary>

Use your fingers.

</details>

<details><summary>Solution</summary>

```python
my_sum = 2
```

</details>"""


THIRD_HINT = "<details><summary>Hint 3</summary>\n\nAsk.\n\n</details>\n\n"


def right_notebook():
    badge = BADGE.format(repository=REPOSITORY, name=CODELABS[0])
    notebook = {
        "cells": [
            markdown_cell(f"# 04 · Title\n\n{badge}\n\nRuns on: a CPU"),
            markdown_cell(
                "## What you will be able to do\n\n- read [the README](../README.md#course-map)"
            ),
            code_cell(SETUP),
            code_cell(
                "profile = gemma_lab.setup()",
                stream("Read https://example.org/home/x?b=/home/x, or 3/4 of it: 50%, A:\\d\n"),
            ),
            markdown_cell("## 1 · Look"),
            code_cell("plot()", display(image_png=png(650, 400), text_plain="<Figure>")),
            markdown_cell("## Take it home"),
            code_cell("import torch"),
            markdown_cell("## Recap\n\n- You looked.\n\n## Go deeper"),
            code_cell("gemma_lab.checkpoint('google/gemma-2b-it')"),
            markdown_cell("**Exercise 1** (difficulty 1, one minute). Add 1 and 1."),
            code_cell(EXERCISE),
            markdown_cell(FOLDED),
        ],
        "metadata": {
            "accelerator": "GPU",
            "colab": {"gpuType": "T4"},
            "kernelspec": {"name": "python3", "display_name": "Python 3"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return executed(notebook)


def executed(notebook):
    """Counts, ids and the hash as `course.py run --write` leaves them."""
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{number}"
    for number, cell in enumerate(code_cells(notebook), 1):
        cell["execution_count"] = number
    notebook["metadata"]["gemma_lab"] = {"source_sha256": source_hash(notebook)}
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


def renamed_and_without_hints(heading):
    """An exercise that is one, whatever its heading looks like."""

    def change(notebook):
        changed("**Exercise 1**", heading, 10)(notebook)
        changed("Hint", "Word", 12)(notebook)

    return change


WRONG = [
    (contract.title, changed("# 04 ·", "# 05 ·")),
    (contract.title, changed("# 04", "## 04")),
    (contract.badge, changed("/blob/main/notebooks/04", "/blob/main/notebooks/05")),
    (contract.badge, changed(f"github/{REPOSITORY}", "github/another/course")),
    (contract.runs_on, changed("Runs on: ", "It runs on ")),
    (contract.goals, changed("## What you will", "## What we will", 1)),
    (contract.recap, changed("## Recap", "## Summary", 8)),
    (contract.set_up, changed("--no-deps ", "", 2)),
    (contract.set_up, changed(") from None", ")", 2)),
    (contract.set_up, changed(REPOSITORY, "another/course", 2)),
    (contract.set_up, changed(gemma_lab.__version__, "0.0.9", 2)),
    (contract.set_up, changed("gemma_lab.setup()", "'pocket'", 3)),
    (contract.links, changed("README.md", "READYOU.md", 1)),
    (
        contract.links,
        changed("../README.md", f"https://github.com/{REPOSITORY}/blob/main/gone.md", 1),
    ),
    (contract.links, changed("../README.md", "99_gone.ipynb", 1)),
    (contract.links, changed("[the README](../README.md#course-map)", '<img src="gone.png">', 1)),
    (contract.links, changed("../README.md#course-map", '../gone.md "a title"', 1)),
    (contract.links, changed("../README.md#course-map", "../gone.md 'a title'", 1)),
    (contract.hardware, metadata(accelerator="None")),
    (contract.hardware, metadata(colab={"gpuType": "A100"})),
    (contract.kernel, metadata(kernelspec={"name": "my-env"})),
    (contract.cell_ids, sets(3, "id", "cell-2")),
    (contract.counts, sets(5, "execution_count", 7)),
    (contract.counts, sets(5, "execution_count", None)),
    (contract.clean_outputs, shows(stream("a warning", "stderr"))),
    (
        contract.clean_outputs,
        shows({"output_type": "error", "ename": "E", "evalue": "", "traceback": []}),
    ),
    (contract.clean_outputs, shows(stream(" 37%|███▋      | 74/200"))),
    (contract.clean_outputs, shows(stream("<function f at 0x7f12ab34cd56>"))),
    (contract.widgets, metadata(widgets={"state": {}})),
    (
        contract.widgets,
        shows(
            {
                "output_type": "display_data",
                "data": {"application/vnd.jupyter.widget-view+json": {}},
            }
        ),
    ),
    (contract.timing, sets(5, "metadata", {"execution": {"iopub.execute_input": "2026-01-01"}})),
    (contract.local_paths, shows(stream("saved to /home" + "/ada/outputs"))),
    (contract.local_paths, shows(display(text_html="<p>C:\\Users\\ada"))),
    (contract.local_paths, changed("You looked", "You looked at /usr/lib", 8)),
    (contract.local_paths, shows(stream("https://a.b?c=d /home" + "/ada"))),
    (contract.secrets, shows(stream("hf_" + "aB3" * 11))),
    (contract.secrets, changed("You looked", "hf_" + "aB3" * 11, 8)),
    (contract.cell_length, inserts(code_cell("\n".join(f"a = {i}" for i in range(26))))),
    (contract.prose_between, inserts(code_cell("a = 1"), code_cell("a = 2"))),
    (contract.no_classes, changed("plot()", "class Plot:\n    pass", 5)),
    (contract.take_it_home, changed("## Take it home", "## At home", 6)),
    (contract.take_it_home, changed("import torch", "from gemma_lab import measure", 7)),
    (contract.take_it_home, changed("import torch", "\n".join(["import torch"] * 16), 7)),
    (contract.take_it_home, without(7)),
    (contract.asserts, changed("plot()", "plot()\nassert plot", 5)),
    (contract.asserts, changed("plot()", "if plot:\n    %timeit plot()\n    assert 1 == 1", 5)),
    (contract.asserts, changed("plot()", "assert plot, ''", 5)),
    (contract.asserts, changed("plot()", "assert plot, f' '", 5)),
    (contract.asserts, changed("plot()", "assert plot, None", 5)),
    (contract.exercises, changed("**Exercise 1**", "**Exercise 2**", 10)),
    (contract.exercises, changed("my_sum = ...", "my_sum = 2", 11)),
    (contract.exercises, renamed_and_without_hints("**Exercise 1.**")),
    (contract.exercises, renamed_and_without_hints("### Exercise 1")),
    (contract.exercises, changed("Use your fingers.", "", 12)),
    (contract.exercises, changed("my_sum = 2", "", 12)),
    (contract.exercises, changed("nb04.check_sum(my_sum)", "print(my_sum)", 11)),
    (contract.exercises, changed("nb04.check_sum(my_sum)", "# nb04.check_sum(my_sum)", 11)),
    (contract.exercises, changed("nb04.check", "nb05.check", 11)),
    (contract.exercises, inserts(markdown_cell("Some prose."), at=11)),
    (contract.exercises, inserts(code_cell("1 + 1"), at=12)),
    (contract.exercises, without(12)),
    (contract.exercises, changed("Hint 2", "Hint", 12)),
    (contract.exercises, changed("<details><summary>Hint 2</summary>", "", 12)),
    (
        contract.exercises,
        changed("</details>\n\n<details><summary>Sol", "<details><summary>Sol", 12),
    ),
    (contract.exercises, changed("Solution", "Hint 3", 12)),
    (
        contract.exercises,
        changed("<details><summary>Sol", f"{THIRD_HINT}<details><summary>Sol", 12),
    ),
    (contract.exercises, changed("```python", "```", 12)),
    (contract.own_lesson, changed("plot()", "from gemma_lab.lessons import nb04, nb05", 5)),
    (contract.own_lesson, changed("plot()", "from gemma_lab.lessons.nb05 import plot", 5)),
    (contract.own_lesson, changed("plot()", "import gemma_lab.lessons.nb01 as views", 5)),
    (
        contract.own_lesson,
        changed("plot()", "from gemma_lab import lessons\nlessons.nb05.plot()", 5),
    ),
    (contract.own_lesson, changed("plot()", "gemma_lab.lessons.nb05.plot()", 5)),
    (contract.own_lesson, changed("plot()", "import gemma_lab as g\ng.lessons.nb05.plot()", 5)),
    (contract.formatting, changed("plot()", "plot( )  # fmt: skip", 5)),
    (contract.formatting, changed("plot()", "#fmt:off\nplot( )", 5)),
    (contract.size, changed("You looked", "You looked" * 25_000, 8)),
    (contract.pictures, shows(display(image_png=png(1000, 300)))),
    (contract.pictures, shows(display(image_png=png(700, 500)))),
    (contract.pictures, shows(display(image_png=png(651, 400)))),
    (contract.pictures, shows(display(image_png=png(650, 401)))),
    (contract.pictures, shows(display(image_png="R0lGODlhAQABAIAAAP"))),
    (contract.pictures, shows(display(image_png="no picture, ä"))),
]


def broken_rules(notebook, name=CODELABS[0]):
    return {rule for rule in RULES if list(rule(notebook, name))}


def test_a_right_notebook_breaks_no_rule():
    assert broken_rules(right_notebook()) == set()


@pytest.mark.parametrize(
    "rule, change", WRONG, ids=[f"{rule.__name__}-{i}" for i, (rule, _) in enumerate(WRONG)]
)
def test_a_wrong_notebook_breaks_its_rule(rule, change):
    notebook = right_notebook()
    num_cells = len(notebook["cells"])
    change(notebook)
    if len(notebook["cells"]) != num_cells:
        notebook = executed(notebook)
    notebook["metadata"]["gemma_lab"] = {"source_sha256": source_hash(notebook)}
    assert broken_rules(notebook) == {rule}


def test_code_that_changed_after_its_execution_is_stale():
    notebook = right_notebook()
    notebook["cells"][5]["source"] = "plot(1)"
    assert broken_rules(notebook) == {contract.freshness}


def test_the_name_of_the_repository_does_not_make_a_notebook_stale():
    notebook = right_notebook()
    notebook["cells"][2]["source"] = SETUP.replace(REPOSITORY, "my-name/my-fork")
    assert list(contract.freshness(notebook, CODELABS[0])) == []


def test_a_sentence_makes_an_assert_right_and_so_does_a_size_below_the_limit():
    notebook = right_notebook()
    source = "plot()\n%time plot()\nassert plot, 'there is no plot'  # fmt: a comment"
    source += "\nassert plot, f'{plot}'\nfrom gemma_lab.lessons import exercises, nb04"
    notebook["cells"][5]["source"] = source
    notebook["cells"][8]["source"] += "You looked" * 24_000
    assert broken_rules(executed(notebook)) == set()


def test_a_fault_names_file_cell_rule_and_what_to_do(tmp_path):
    notebook = right_notebook()
    notebook["cells"][5]["source"] = "\nassert plot\nplot()"
    del notebook["metadata"]["kernelspec"]
    path = tmp_path / CODELABS[0]
    path.write_text(json.dumps(executed(notebook)), encoding="utf-8")
    claim, kernel = contract.faults(path)
    assert kernel.startswith(f"notebooks/{CODELABS[0]}: kernel: ")
    assert claim.startswith(f"notebooks/{CODELABS[0]}, cell 6 (`assert plot`): asserts: ")
    path.write_text(json.dumps({**notebook, "cells": []}), encoding="utf-8")
    (start,) = contract.faults(path)
    assert start.startswith(f"notebooks/{CODELABS[0]}: start: begin with a title")


def test_code_that_does_not_parse_is_one_fault_that_names_its_line():
    notebook = right_notebook()
    notebook["cells"][5]["source"] = "%time plot()\nplot(]"
    assert broken_rules(notebook) == {contract.syntax}
    ((cell, what),) = contract.syntax(notebook, CODELABS[0])
    assert cell is notebook["cells"][5] and "line 2 of the cell" in what


@pytest.mark.parametrize("key", ["outputs", "metadata", "source", "cell_type", "id"])
def test_a_cell_without_one_of_its_parts_is_one_line_that_names_it(tmp_path, key):
    notebook = right_notebook()
    del notebook["cells"][5][key]
    path = tmp_path / CODELABS[0]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    (fault,) = contract.faults(path)
    assert fault.startswith(f"notebooks/{CODELABS[0]}: json: no notebook: cell 6: ")
    assert "\n" not in fault


@pytest.mark.parametrize("text", ["[]", "{}", "null", "<<<<<<< ours", '{"cells": {}}', "\ufeff{}"])
def test_a_file_that_is_no_notebook_is_one_line(tmp_path, text):
    path = tmp_path / CODELABS[0]
    path.write_text(text, encoding="utf-8")
    (fault,) = contract.faults(path)
    assert fault.startswith(f"notebooks/{CODELABS[0]}: json: no ") and "\n" not in fault


def test_t4_metadata_on_another_notebook_breaks_the_rule():
    assert list(contract.hardware(right_notebook(), "00_prework.ipynb"))


def test_every_rule_has_a_wrong_notebook():
    of_their_own = {contract.freshness, contract.syntax}
    assert {rule for rule, _ in WRONG} | of_their_own == set(RULES)

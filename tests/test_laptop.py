"""The codelabs with Google's own Gemma 3 270M: their `real-gemma` cells, and whole in laptop."""

import math
import re

import nbformat
import pytest
from notebook_cells import ROOT, code_cells, numbers, tags, text_shown, with_values

from tools import find_notebooks
from tools.execute import execute

INFERENCE, LORA = "04_quantized_inference", "05_lora_finetuning"
FLOAT16 = '(plan.kwargs() | {"dtype": torch.float16})'
GOOGLES = "google/gemma-3-270m: Google's own"


@pytest.fixture(autouse=True)
def laptop(real_gemma, monkeypatch):
    """Kernels that choose laptop, where a copy of the real one is."""
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "laptop")


def written(folder, name: str, cells: list) -> object:
    """The path of a new notebook with these sources, each under the tags of its cell."""
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    new_cell = nbformat.v4.new_code_cell
    notebook.cells = [new_cell(source, metadata={"tags": tagged}) for source, tagged in cells]
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def run_real_cells(folder, name: str, change) -> dict[str, str]:
    """What the set-up and the cells tagged `real-gemma` show, by tag; "all" is all of it.

    Args: change: source -> source, applied to each cell; it shortens what takes long.
    """
    own = [cell for cell in code_cells(name)[2:] if "real-gemma" in tags(cell)]
    cells = [(change("".join(c["source"])), tags(c)) for c in code_cells(name)[:2] + own]
    result = execute(written(folder, name, cells))
    assert result["error"] == ""
    shown = {"all": "".join(map(text_shown, result["notebook"].cells))}
    return shown | {
        tag: text_shown(cell) for cell in result["notebook"].cells for tag in tags(cell)
    }


def shortened(source: str, num_tokens: int = 8, **values) -> str:
    """`source` with shorter answers, and another value where it assigns to a name of `values`."""
    for long in ("max_new_tokens=160", "max_new_tokens=120", "max_new_tokens=80"):
        source = source.replace(long, f"max_new_tokens={num_tokens}")
    here = {name: value for name, value in values.items() if f"\n{name} = " in f"\n{source}"}
    return with_values(source, **here) if here else source


def test_codelab_1_asks_google_s_own(tmp_path):
    def few_tokens(code: str) -> str:
        code = shortened(code).replace('glish"][2]', 'glish"][2][:60]')
        return code.replace("[:, :48] for text in begun]", "[:, :8] for text in begun]")

    shown = run_real_cells(tmp_path, INFERENCE, few_tokens)
    assert GOOGLES in shown["machine"] and "gemma-3-270m in fp32" in shown["load"]
    assert len(shown["poem"].split()) >= 4
    assert "<start_of_turn>" not in shown["all"]


def test_codelab_2_trains_google_s_own(tmp_path):
    def little(code: str) -> str:
        return shortened(code, STEPS=1, NUM_ROWS=2).replace("else 4)", "else 1)")  # topics

    shown = run_real_cells(tmp_path, LORA, little)
    assert GOOGLES in shown["all"] and not re.search(r"\bnan\b", shown["all"])
    assert "1075 new rows and 0 old ones" in shown["all"]
    assert len(shown["before"].split()) >= 4
    first, *table = shown["held-out-loss"].splitlines()
    before, after = numbers(first)
    assert 0 < after < before < math.log(262_144)  # a blind guess among all tokens
    for language in ("English", "Vietnamese"):
        (line,) = [line for line in table if f"perplexity, {language}" in line]
        was, now = numbers(line)
        assert 1 < was < 100 and now < 2 * was


@pytest.mark.slow
def test_a_real_gemma_in_float16_is_seen(tmp_path):
    """The wrong variant: it overflows, so the token of the largest NaN, <pad>, is all it writes.

    Later a cell that compares ways of attention would stop: nan is below no bound.
    """

    def in_float16(code: str) -> str:
        code = shortened(code).replace("plan.kwargs()", FLOAT16)
        return code.replace("assert largest < bound or", "assert not largest < bound or")

    wrong = run_real_cells(tmp_path, INFERENCE, in_float16)
    assert GOOGLES in wrong["machine"] and not wrong["poem"].split()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """name -> the notebook, executed whole on first demand."""
    done = {}

    def run(name: str) -> dict:
        if name not in done:
            notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
            path = tmp_path_factory.mktemp("laptop") / f"{name}.ipynb"
            nbformat.write(notebook, path)
            done[name] = execute(path)
        return done[name]

    return run


@pytest.mark.slow  # of the codelabs the tests above run the real cells
@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda path: path.stem)
def test_laptop_to_the_last_cell(path, whole):
    result = whole(path.stem)
    assert result["error"] == ""
    said = "".join(map(text_shown, result["notebook"].cells))
    assert "Profile:  laptop" in said
    assert GOOGLES in said or path.stem not in (INFERENCE, LORA)


@pytest.mark.slow
def test_what_the_text_of_codelab_2_says_of_laptop(whole):
    cells = whole(LORA)["notebook"].cells
    shown = {tag: text_shown(cell) for cell in cells for tag in cell.metadata.get("tags", [])}
    first, *table = shown["held-out-loss"].splitlines()
    before, after = numbers(first)
    assert 1 < before < 4 and after < 0.05 * before
    topics, in_form, exact = numbers(shown["cards"].splitlines()[-1])
    assert topics == 4 == in_form and exact >= 3
    assert "before: False · after: True" in shown["labels"]
    assert shown["loaded-adapter"].strip().endswith(" 0")
    assert "the same 24 tokens from PyTorch: True" in shown["serve-gguf"]
    losses = re.findall(r"loss (\S+) at step", shown["loss-curve"])
    first, third, last = map(float, losses)
    assert first - third > 0.5 * (first - last)  # "most of the fall"
    for line in table:
        if "perplexity" in line:
            was, now = numbers(line)
            assert was < now < 2 * was

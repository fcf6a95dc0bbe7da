"""Notebooks executed: failures named, memory and outputs reported, storing that is stable."""

import base64
import io
import json
import sys
import textwrap
from pathlib import Path

import pytest
from notebook_cells import ROOT, made

import tools
from gemma_lab import gemma3
from tools import CourseError, compare, execute, pages


def test_a_failing_cell_is_named_with_its_error(tmp_path):
    result = execute.execute(made(tmp_path, "x = 1", "# divide\nx / 0"))
    assert (
        result["error"]
        == "01_test.ipynb, cell 2 (`# divide`) failed: ZeroDivisionError: division by zero"
    )


def test_a_second_pass_finds_cells_that_run_only_once(tmp_path):
    path = made(tmp_path, "try:\n    n += 1\nexcept NameError:\n    n = 1", "assert n == 1")
    assert execute.execute(path)["error"] == ""
    assert (
        "cell 2" in execute.execute(path, passes=2)["error"]
        and "a second time" in execute.execute(path, passes=2)["error"]
    )


def test_memory_cells_and_outputs_are_reported(tmp_path):
    result = execute.execute(
        made(tmp_path, "big = bytearray(300_000_000)", "import time; time.sleep(1); print(6 * 7)")
    )
    assert result["cells"] == 2 and result["peak_mb"] > 300
    assert result["notebook"].cells[1].outputs[0].text == "42\n"


def test_the_kernel_is_this_python_and_starts_in_the_notebooks_folder(tmp_path):
    result = execute.execute(made(tmp_path, "import os, sys; print(sys.prefix, os.getcwd())"))
    assert result["notebook"].cells[0].outputs[0].text.split() == [sys.prefix, str(tmp_path)]


def test_storing_is_byte_stable_and_then_fresh(tmp_path):
    path = made(tmp_path, "print('a'); print('b')")
    execute.store(execute.execute(path))
    first = path.read_bytes()
    execute.store(execute.execute(path))
    assert path.read_bytes() == first
    stored = json.loads(first)
    assert stored["cells"][0]["execution_count"] == 1
    assert not compare.is_stale(stored)


def test_a_line_is_executed_before_the_first_cell(tmp_path):
    path = made(tmp_path, "import sys; print('wave' in sys.modules)")
    assert execute.execute(path)["notebook"].cells[0].outputs[0].text == "False\n"
    loaded = execute.execute(path, preload="import wave")["notebook"].cells
    assert (
        loaded[0].outputs[0].text == "True\n"
        and loaded[0].execution_count == 1
        and len(loaded) == 1
    )
    assert "ModuleNotFoundError" in execute.execute(path, preload="import not_there")["error"]


def test_run_writes_pages_and_fails_on_a_failing_cell(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tools, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(execute, "ROOT", tmp_path)
    for module in (execute, pages):
        monkeypatch.setattr(module, "BUILD", tmp_path / "build")
    made(tmp_path, "1 + 1")
    made(tmp_path, "1 / 0", name="02_test")
    assert execute.run([]) == 1
    printed = capsys.readouterr().out
    assert (
        "passed" in printed
        and "02_test.ipynb, cell 1 (`1 / 0`) failed: ZeroDivisionError" in printed
    )
    assert "02_test.html" in (tmp_path / "build" / "index.html").read_text()
    assert (tmp_path / "build" / "01_test.html").exists()
    made(tmp_path, "1 + 1", name="02_test")
    assert execute.run(["2"]) == 0
    index = (tmp_path / "build" / "index.html").read_text()
    assert "01_test.html" in index and index.count("passed") == 2  # the other row is kept
    (tmp_path / "build" / "01_test.html").unlink()
    execute.run(["2"])
    assert "01_test.html" not in (tmp_path / "build" / "index.html").read_text()


def drawing(**options) -> bytes:
    """A picture as notebooks store them: lines and text, and a map with many colours."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.5))
    left.plot(np.sin(np.linspace(0, 9, 200)), label="sine")
    left.legend(title="A legend")
    figure.colorbar(right.imshow(np.add.outer(np.arange(40), np.arange(40)), cmap="viridis"))
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100, **options)
    return data.getvalue()


def pixels(png: bytes):
    """(rows, columns, 3) from 0 to 1, decoded by another library than the one that encoded."""
    import matplotlib.image

    return matplotlib.image.imread(io.BytesIO(png), format="png")[..., :3]


def test_a_stored_picture_is_smaller_and_looks_the_same(monkeypatch):
    png = drawing()
    small = execute.smaller(png)
    assert len(small) < 0.6 * len(png) and small == execute.smaller(png)
    before, after = pixels(png), pixels(small)
    assert before.shape == after.shape
    difference = abs(before - after)
    assert difference.mean() < 0.005 and difference.max() < 0.25
    monkeypatch.setattr(execute, "NUM_COLOURS", 4)  # too few are seen by this measure
    assert abs(before - pixels(execute.smaller(png))).mean() > 0.01


def test_a_transparent_picture_is_left_alone():
    png = drawing(transparent=True)
    assert execute.smaller(png) == png


def test_storing_makes_pictures_smaller(tmp_path):
    encoded = base64.b64encode(drawing()).decode()
    source = (
        f"from IPython.display import Image\nImage(__import__('base64').b64decode('{encoded}'))"
    )
    path = made(tmp_path, source)
    execute.store(execute.execute(path))
    (output,) = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["outputs"]
    stored = base64.b64decode("".join(output["data"]["image/png"]))
    assert stored == execute.smaller(drawing())


def test_a_widget_is_stored_as_its_picture_and_so_byte_for_byte_the_same(tmp_path):
    source = """
    import ipywidgets, matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from gemma_lab import figures
    figures.show(ipywidgets.IntSlider(), plt.figure(figsize=(1, 1)), "a slider")
    """
    path = made(tmp_path, textwrap.dedent(source))
    stored = []
    for _ in range(2):
        execute.store(execute.execute(path))
        stored.append(path.read_bytes())
    assert stored[0] == stored[1] and b"image/png" in stored[0] and b"widget-view" not in stored[0]


def test_the_kernel_imports_the_gemma_lab_that_is_hashed(tmp_path, monkeypatch):
    """A relative PYTHONPATH means another folder in a kernel, which starts beside its notebook."""
    monkeypatch.setenv("PYTHONPATH", ".")
    monkeypatch.setattr(execute, "BUILD", tmp_path)
    execute.prepare()
    path = made(tmp_path, "import gemma_lab\nprint(gemma_lab.__file__)")
    shown = execute.execute(path)["notebook"].cells[0].outputs[0].text
    assert Path(shown.strip()) == ROOT / "gemma_lab" / "__init__.py"


def test_laptop_is_not_answered_with_pocket(tmp_path, monkeypatch, capsys):
    """Whoever names the profile gets it, or one sentence that says how."""
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "pocket")
    monkeypatch.setattr(gemma3, "is_here", lambda: False)
    monkeypatch.setattr(execute, "execute", lambda path: pytest.fail("it was executed"))
    with pytest.raises(CourseError, match="Nothing was executed"):
        execute.run(["01"], profile="laptop")
    assert "--with-gemma" in capsys.readouterr().out

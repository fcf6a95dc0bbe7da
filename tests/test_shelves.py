"""The shelves of `gemma_lab`: their size, their public names, and what they import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_gemma_lab_keeps_its_budget():
    """Counted by reader: code that is a lesson itself, what one lesson needs, and the helpers of all notebooks."""
    lines = {
        path.name: len(path.read_text().splitlines()) for path in (ROOT / "gemma_lab").glob("*.py")
    }
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
    assert (
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "gemma_lab").glob("*.py")), ids=lambda path: path.name
)
def test_no_bare_except_and_no_blanket_filter(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), (
            f"line {node.lineno}"
        )
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("filterwarnings"):
            assert len(node.args) + len(node.keywords) > 1, f"line {node.lineno}"

"""The three shelves of `gemma_lab`: their size, who imports whom, and what an import costs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gemma_lab"
HELPERS = sorted(PACKAGE.glob("*.py"))
SCRATCH = sorted((PACKAGE / "scratch").glob("*.py"))
LESSONS = sorted((PACKAGE / "lessons").glob("*.py"))
HEAVY = ("torch", "transformers", "peft", "trl", "unsloth", "pandas", "numpy")


def num_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def imported(path: Path) -> set[str]:
    """Modules of gemma_lab that a file imports anywhere, such as "catalog" or "lessons.nb01"."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gemma_lab":
            inside = node.module.removeprefix("gemma_lab").strip(".")
            if inside in ("", "lessons", "scratch"):  # from a folder of modules
                found |= {f"{inside}.{name.name}".strip(".") for name in node.names}
            else:
                found.add(inside)
        elif isinstance(node, ast.Import):
            names = [name.name for name in node.names]
            found |= {name.removeprefix("gemma_lab.") for name in names if "gemma_lab." in name}
    return found


def test_each_shelf_keeps_its_budget():
    """Counted by reader, and a file is to be read at one sitting; DESIGN of the shelves."""
    assert sum(map(num_lines, HELPERS)) <= 3325  # with what draws pictures and asks about them
    limits = {300: HELPERS, 420: SCRATCH, 220: LESSONS}
    too_long = [
        path for limit, paths in limits.items() for path in paths if num_lines(path) > limit
    ]
    assert too_long == []


def test_arrows_point_one_way():
    """Notebooks import lessons, lessons helpers, helpers what is from scratch; none looks back."""
    helpers = {path.stem for path in HELPERS}
    shared = {"scratch.gemma", "scratch.quantize", "lessons.exercises", "lessons.views"}
    for path in LESSONS:
        same_notebook = {
            f"lessons.{other.stem}" for other in LESSONS if other.stem[:4] == path.stem[:4]
        }
        assert imported(path) <= helpers | shared | same_notebook, path
    for path in HELPERS:
        assert not any(name.startswith("lessons") for name in imported(path)), path
    for path in SCRATCH:
        assert imported(path) == set(), path


def test_helpers_import_each_other_without_a_circle():
    arrows = {path.stem: imported(path) for path in HELPERS if path.stem != "__init__"}
    while arrows:
        leaves = {name for name, asked in arrows.items() if not asked & arrows.keys() - {name}}
        assert leaves, f"a circle among {sorted(arrows)}"
        arrows = {name: asked for name, asked in arrows.items() if name not in leaves}


def test_the_list_of_imports_sees_every_way_to_write_one(tmp_path):
    (tmp_path / "a.py").write_text(
        "import gemma_lab.catalog\nfrom gemma_lab import access, memory as m\n"
        "from gemma_lab.profile import forget\ndef f():\n    from gemma_lab.lessons import nb01\n"
    )
    expected = {"catalog", "access", "memory", "profile", "lessons.nb01"}
    assert imported(tmp_path / "a.py") == expected


def test_gemma_lab_has_about_25_public_names():
    import gemma_lab

    assert len(gemma_lab.__all__) <= 25
    assert [name for name in gemma_lab.__all__ if getattr(gemma_lab, name, None) is None] == []
    assert gemma_lab.scores.perplexity
    with pytest.raises(AttributeError, match="gemma_lab has no 'scorse'"):
        _ = gemma_lab.scorse


def test_the_version_is_the_same_wherever_it_is_written():
    import gemma_lab

    def first(pattern: str, name: str) -> str:
        return re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)[1]

    assert first(r"^version: (.+)$", "CITATION.cff") == gemma_lab.__version__
    assert first(r"^## (\S+) - ", "CHANGELOG.md") == gemma_lab.__version__


@pytest.mark.parametrize(
    "code",
    [
        "import gemma_lab",
        "from gemma_lab import access, catalog, failures, hardware, install, loading",
        "from gemma_lab import memory, profile, start, tokens",
        "from gemma_lab.lessons import exercises",
    ],
)
def test_light_helpers_load_no_heavy_library(code):
    """Unsloth has to come before transformers, trl and peft."""
    script = f"import sys\n{code}\nprint([name for name in {HEAVY} if name in sys.modules])"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", [*HELPERS, *SCRATCH, *LESSONS], ids=lambda path: path.name)
def test_no_bare_except_and_no_blanket_filter(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"line {getattr(node, 'lineno', 0)}"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), where
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("filterwarnings"):
            assert len(node.args) + len(node.keywords) > 1, where


def uses(name: str, paths) -> int:
    """How often files name a public name, whole; notebooks and templates count as text."""
    texts = (path.read_text(encoding="utf-8") for path in paths)
    return sum(len(re.findall(rf"\b{name}\b", text)) for text in texts)


@pytest.mark.parametrize("path", HELPERS, ids=lambda path: path.name)
def test_each_public_name_is_used_in_two_places_and_not_by_tests_alone(path):
    code = [ROOT / "course.py", *(ROOT / "notebooks").glob("*.ipynb")]
    code += [
        file for room in ("gemma_lab", "tools", "pocket") for file in (ROOT / room).rglob("*.py")
    ]
    tests = [*(ROOT / "tests").glob("*.py")]
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            by_code = uses(node.name, code) - 1  # its definition
            assert by_code >= 1 and by_code + uses(node.name, tests) >= 2, node.name

"""slides/INSTRUCTOR.md: each sentence of the course as it is printed, each minute as stored."""

import json
import re
from pathlib import Path

import pytest
from notebook_cells import ROOT

import course
from gemma_lab import access, failures, gemma3
from tools import CourseError, deck_tables_first, execute, find_notebooks, kit, kit_install, ready
from tools.contract import code_cells, text

GUIDE = (ROOT / "slides" / "INSTRUCTOR.md").read_text(encoding="utf-8")
DECK = (ROOT / "slides" / "deck.md").read_text(encoding="utf-8")
PATHS = {path.stem[:2]: path for path in find_notebooks([])}
NOTEBOOKS = {number: json.loads(path.read_text("utf-8")) for number, path in PATHS.items()}


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    below = GUIDE.partition(f"## {heading}")[2].partition("\n## ")[0]
    first = below[below.index("\n|") + 1 :].partition("\n\n")[0]
    rows = [line[2:-2].split(" | ") for line in first.splitlines()]
    return rows[2:]


def raised(call) -> str:
    with pytest.raises((CourseError, kit_install.KitError)) as error:
        call()
    return str(error.value)


def other_kit(tmp_path) -> str:
    (tmp_path / "kits").mkdir()
    (tmp_path / "kits" / "windows-3.12.json").write_text("{}")
    return raised(lambda: kit_install.find_manifest(tmp_path, "windows-3.13"))


def test_each_failure_is_the_sentence_that_the_course_prints(tmp_path):
    first = re.search(r'why = "(Choose .+?)"', text(code_cells(NOTEBOOKS["00"])[0]))[1]
    printed = [
        failures.sentence("ensurepip is not", course.AGAIN),
        raised(lambda: course.check_python((3, 14))),
        failures.sentence("No space left", course.AGAIN),
        failures.sentence("Network is unreachable", course.AGAIN),
        ready.judge({"disk_gb": 9, "error": "DLL load failed"})[1],
        other_kit(tmp_path),
        kit_install.damaged("course.zip"),
        first,
        gemma3.MISSING,
        access.ANSWERS[403][1].format("google/gemma-2b-it"),
    ]
    assert [row[1] for row in table("Ten failures to expect")] == printed


def test_each_quotation_is_the_course_s_own():
    """In quotation marks: what a command prints, or what the speaker says."""
    files = [module.__file__ for module in (kit, kit_install, execute)]
    source = "\n".join(Path(file).read_text(encoding="utf-8") for file in files)
    for sentence in ("Copied. The stick can go on to the next learner.", '"passed"'):
        assert sentence in GUIDE and sentence in source
    assert f'"{ready.ALL_WELL}"' in GUIDE
    assert '"The kit for NAME is whole"' in GUIDE and 'f"The kit for {name} is whole: ' in source


def test_the_code_in_the_guide_is_one():
    (hit,) = ready.CODE.finditer(GUIDE)
    assert hit[7] == ready.check_digits(hit[0][:-5])


def test_each_command_is_one_that_course_py_has():
    spans = re.findall(r"`([^`\n]*course\.py[^`\n]*)`|^(python3 course\.py.*)$", GUIDE, re.M)
    commands = ["".join(found) for found in spans]
    assert len(commands) > 10
    for command in commands:
        words = command.partition("course.py")[2].split("   ")[0].split()
        for word in words:
            if word.startswith("--") or (word.isalpha() and word.islower()):
                assert word in course.__doc__.split(), (word, command)


def test_the_plan_has_the_minutes_of_the_notebooks_and_ends_after_two_hours():
    clock = 0
    for start, length, what, *_ in table("The two hours"):
        assert start == f"{clock // 60}:{clock % 60:02d}"
        clock += int(length)
        if number := re.match(r"\d\d", what):
            live = re.search(r"Live: (\d+) minutes", text(NOTEBOOKS[number[0]]["cells"][0]))[1]
            assert live == length, what
    assert clock == 120


def test_the_checkpoints_are_those_of_the_slides_and_nobody_skips_one():
    plan = [line[2:-2].split(" | ") for line in deck_tables_first.plan().splitlines()[2:]]
    rows = table("The two hours")
    assert [row[3] for row in rows] == [row[3] for row in plan]
    ends = [row[0] for row in rows[1:]] + ["2:00"]
    assert [row[0] for row in plan] == ends
    assert [row[2][:2] for row in rows[1:]] == [*deck_tables_first.CHECKPOINTS]
    wanted = [sections for _, sections in deck_tables_first.CHECKPOINTS.values()]
    assert [row[4] for row in rows[1:]] == wanted
    skipped = [what.partition(" · ")[0] for what, *_ in table("Late? Skip this")]
    assert "03, section 5" in skipped
    for number, sections in zip(deck_tables_first.CHECKPOINTS, wanted, strict=True):
        for section in sections.split(", "):
            assert f"{number}, section {section}" not in skipped
            live = "\n".join(text(one) for cells in live_sections(number).values() for one in cells)
            assert re.search(f"^## {section} · ", live, re.M), (number, section)


def live_sections(number: str) -> dict[str, list[dict]]:
    """Heading -> cells of a notebook's live path."""
    found, name = {}, ""
    for cell in NOTEBOOKS[number]["cells"]:
        heading = re.search(r"^## (.+)$", text(cell), re.M)
        name = heading[1] if heading and cell["cell_type"] == "markdown" else name
        if name == "Go deeper":
            break
        found.setdefault(name, []).append(cell)
    return found


def slide_minutes(number: str, section: str) -> float:
    """The minutes of the slides that run a section of a notebook."""
    form = rf"^Minutes: ([\d.]+)\nSay: .*\nRun: notebook {number}, sections? ([\d and,]+)"
    runs = re.findall(form, DECK, re.M)
    return sum(float(minutes) for minutes, sections in runs if section in sections)


def test_what_is_skipped_is_on_the_live_path_and_saves_what_is_said():
    rows = table("Late? Skip this")
    for what, saves, _ in rows:
        number, _, section = what.partition(", ")
        if section == "all of it":
            live = re.search(r"Live: (\d+) minutes", text(NOTEBOOKS[number]["cells"][0]))[1]
            assert saves == live
            continue
        name = section.removeprefix("section ")
        assert name in live_sections(number), what
        assert float(saves) == slide_minutes(number, name[0]) > 0, what
    for number, section in re.findall(r"(\d\d) section (\d)", GUIDE):
        assert any(name.startswith(f"{section} · ") for name in live_sections(number))
    never = set(re.findall(r"(\d\d section \d)", GUIDE.partition("Never skip")[2].split(".")[0]))
    skipped = {what.replace(", ", " ")[:12] for what, *_ in rows}
    assert never and not never & skipped


def test_the_slides_of_03_switch_the_wi_fi_off_and_on_as_the_guide_says():
    assert 'Then say: "Now I switch the Wi-Fi off."' in GUIDE and "on again at 0:55" in GUIDE
    of_03 = DECK.partition("## Technical architectures")[2].partition("## Codelab 1")[0]
    off, on = of_03.index('"Now I switch the Wi-Fi off."'), of_03.index("the Wi-Fi on again")
    assert of_03.index("in Colab opens notebook 03") < off < on


def test_how_long_a_notebook_runs_is_what_its_head_says():
    words = {"00": "under a minute", "01": "under a minute", "02": "about a minute"}
    words |= {"03": "about a minute", "06": "under a minute"}
    for number, said in words.items():
        assert f"laptop CPU, {said}. " in text(NOTEBOOKS[number]["cells"][0])
    line = "00, 01 and 06 under a minute; 02 and 03 about a minute; 04 three;\n05 four."
    assert line in GUIDE
    for number, pocket, laptop in (("04", "a minute", "three"), ("05", "two minutes", "four")):
        head = f"about {pocket} (pocket profile) or {laptop} (laptop profile)"
        assert head in text(NOTEBOOKS[number]["cells"][0])
    assert "In pocket, 04 takes about a minute and 05 about two." in GUIDE
    live = re.search(r"Live: (\d+) minutes", text(NOTEBOOKS["07"]["cells"][0]))[1]
    assert f"07 is for another day: {live} minutes" in GUIDE


def test_files_that_are_named_are_there():
    for name in re.findall(r"`((?:slides|gemma_lab|notebooks)/[\w/.]*)`", GUIDE):
        assert (ROOT / name).exists(), name
    for heading in ("The same lab, many times",):
        assert any(heading in text(cell) for cell in NOTEBOOKS["05"]["cells"])


def test_the_guide_is_short_and_its_kits_are_kits():
    assert 150 <= len(GUIDE.splitlines()) <= 250
    names = [row[0] for row in table("The day before: the room kit")]
    for name in names[:-1]:
        system, _, minor = name.rpartition("-")
        assert system in kit_install.SYSTEMS and minor in kit_install.MINORS
    size = int(re.search(r"gets Gemma 3 270M: (\d+) MB", GUIDE)[1])
    assert size == round(1000 * gemma3.PACKAGE_GB)

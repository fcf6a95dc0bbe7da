"""The readiness check: each thing that is wrong is one sentence, and the code says no more."""

import getpass
import json
import re
import socket
import sys
import types

import pytest

import course
import gemma_lab
from gemma_lab import failures, gemma3
from tools import CourseError, kit_install, ready

WELL = {"ram_gib": 15.4, "disk_gb": 75.9, "model": "gemma", "word": "đầu"}
NOT = {"problem": ready.NOT_INSTALLED}
DLL = 'OSError: [WinError 126] The specified module could not be found. Error loading "fbgemm.dll"'


@pytest.mark.parametrize(
    "change, colour, says",
    [
        ({}, "GREEN", "has answered on this laptop"),
        ({"model": "pocket"}, "YELLOW", "course.py --with-gemma` gets it"),
        ({"ram_gib": 5.6}, "YELLOW", "has 6 GiB of memory: close all other programs"),
        ({"ram_gib": 7.6}, "GREEN", "has answered"),  # sold as 8 GB
        ({"ram_gib": 3.7}, "YELLOW", "close all other"),  # sold as 4 GB
        ({"ram_gib": 1.9}, "RED", "use Google Colab"),
        ({"ram_gib": 0.0}, "GREEN", "has answered"),  # Windows before the set-up: not known
        ({"disk_gb": 1.2}, "YELLOW", "1 GB free: make room for 2 GB"),
        ({"word": "Tokyo"}, "RED", "'Tokyo' where it says 'đầu'"),
        ({"error": DLL}, "RED", "Visual C++ Redistributable"),
        ({"error": "ImportError: DLL load failed while importing _C"}, "RED", "vc_redist.x64.exe"),
        ({"error": "OSError: [WinError 1260] blocked"}, "RED", "[WinError 1260] blocked): run"),
        ({"error": "ImportError: x"}, "RED", "(ImportError: x): run `python3 course.py clean`"),
        (NOT, "RED", "run `python3 course.py run`, then this again"),
        (NOT | {"disk_gb": 3.1}, "RED", failures.DISK_FULL),
        ({"problem": "Another Python."}, "RED", "Another Python."),
        ({"model": "pocket", "ram_gib": 1.0}, "RED", "Colab"),  # the worst comes first
    ],
)
def test_what_is_wrong_is_one_sentence_and_a_colour(change, colour, says):
    found, line = ready.judge(WELL | change)
    assert found == colour and says in line and "\n" not in line
    assert line.rstrip("`)").endswith((".", "here"))


@pytest.mark.parametrize("wrong", [{"word": "Tokyo"}, {"error": "ImportError: x"}])
def test_who_installed_from_a_kit_is_sent_to_the_kit(monkeypatch, tmp_path, wrong):
    """Such a laptop may have no network, which the other way needs."""
    monkeypatch.setattr(ready, "ROOT", tmp_path)
    assert "the kit" not in ready.judge(WELL | wrong)[1]
    (tmp_path / kit_install.MARK).touch()
    colour, line = ready.judge(WELL | wrong)
    assert colour == "RED" and line.endswith("course.py run`, or install from the kit again.")
    assert line.index("course.py clean`") < line.index("the kit again")
    assert "the kit" not in ready.judge(WELL)[1]


@pytest.fixture
def shown(monkeypatch, capsys):
    """What `ready` prints where the environment prints `output` and `error`; its status."""

    def show(output="", error="", python="python", problem=""):
        done = types.SimpleNamespace(stdout=output, stderr=error)
        monkeypatch.setattr(ready.subprocess, "run", lambda *_, **__: done)
        status = ready.ready(python, problem)
        return status, capsys.readouterr().out.splitlines()

    return show


def test_a_laptop_that_is_ready_is_one_line_and_a_green_code(shown):
    noise = "Loading weights\n"
    status, (line, sent) = shown(noise + json.dumps({k: WELL[k] for k in WELL if k != "disk_gb"}))
    assert status == 0 and line == ready.ALL_WELL
    version, machine = gemma_lab.__version__, kit_install.this_machine()
    pattern = rf"GREEN {re.escape(version)} {re.escape(machine)} ram15 disk\d+ gemma [0-9a-f]{{4}}"
    assert re.fullmatch(f"Send this code to your instructor: {pattern}", sent)


def test_the_code_names_nobody(shown, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "a-token-of-mine")
    error = f"OSError: /home/{getpass.getuser()}/x on {socket.gethostname()}"
    status, (_, sent) = shown("", f"Traceback\n{error}\n")
    assert status == 1
    hit = ready.CODE.search(sent)
    assert hit and sent == f"Send this code to your instructor: {hit[0]}"
    allowed = {"RED", gemma_lab.__version__, kit_install.this_machine(), "none"}
    for word in hit[0].split()[:-1]:
        assert word in allowed or re.fullmatch(r"(ram|disk)\d+", word), word


def test_packages_that_do_not_start_show_their_last_line(shown):
    status, (line, sent) = shown("", "Traceback\n  File x\nImportError: libfoo.so: cannot open\n")
    assert status == 1 and "(ImportError: libfoo.so: cannot open)" in line
    assert f" ram{round(ready.memory_gib())} " in sent
    assert "(nothing was printed)" in shown()[1][0]


def test_an_environment_that_hangs_is_ended(monkeypatch, capsys):
    monkeypatch.setattr(ready, "LIMIT_S", 0.2)
    real = ready.subprocess.run

    def sleep(command, **options):
        return real([sys.executable, "-c", "import time; time.sleep(9)"], **options)

    monkeypatch.setattr(ready.subprocess, "run", sleep)
    assert ready.ready(sys.executable) == 1
    assert capsys.readouterr().out.startswith(f"{ready.SLOW}\n")


def test_without_an_environment_it_says_how_to_get_one(shown, monkeypatch):
    status, (line, sent) = shown(python=None)
    assert status == 1 and line == ready.NOT_INSTALLED and " none " in sent
    real = ready.importlib.import_module

    def without(name):
        if name == "ensurepip":
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(ready.importlib, "import_module", without)
    assert "sudo apt install python3-venv" in shown(python=None)[1][0]


def test_a_python_that_does_not_fit_has_a_code_too(monkeypatch, capsys):
    def too_old():
        raise CourseError("The course needs Python 3.10 to 3.13, and this is 3.9: install one.")

    monkeypatch.setattr(course, "check_python", too_old)
    assert course.main(["ready"]) == 1
    line, sent = capsys.readouterr().out.splitlines()
    assert "this is 3.9" in line and ready.CODE.search(sent)[1] == "RED"


def test_a_half_made_environment_is_not_asked(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(course, "VENV", tmp_path)
    python = course.python_in(tmp_path)
    python.parent.mkdir(parents=True)
    python.touch()
    asked = []
    monkeypatch.setattr(course, "ready", lambda python, problem="": asked.append(python) or 0)
    course.main(["ready"])
    (tmp_path / "course-stamp").write_text(course.digest(course.REQUIREMENTS))
    course.main(["ready"])
    assert asked == [None, python]


# ------------------------------------------------------------------------------------------ codes


def made(colour, machine="windows-3.12", version=gemma_lab.__version__, model="") -> str:
    model = model or {"GREEN": "gemma", "YELLOW": "pocket", "RED": "none"}[colour]
    text = f"{colour} {version} {machine} ram8 disk40 {model}"
    return f"{text} {ready.check_digits(text)}"


def test_codes_are_counted_wherever_they_stand_in_a_text(tmp_path):
    path = tmp_path / "mails.txt"
    lines = [
        f"An: {made('GREEN')}.",
        f"Bình;{made('RED')};{made('YELLOW', 'linux-3.11')}",
        "no code here",
        made("RED", version="0.0.9"),
        made("GREEN").replace("ram8", "ram9"),
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert ready.count_codes(path).splitlines() == [
        "1 GREEN, 1 YELLOW, 2 RED.",
        "Kits for those that are red or lack Gemma: linux-3.11 (1), windows-3.12 (2).",
        "Other versions of the course than yours: 0.0.9.",
        "Mistyped, ask again: line 5.",
    ]


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("GREEN", "GREN"),
        ("GREEN", "green"),
        ("disk40", "disk 40"),
        ("ram8", "ram 8"),
        ("ram8 disk40", "RAM8 DISK40"),
        (" gemma", ""),
        ("-3.12", "- 3.12"),
        ("linux-3.12", "linux-3.12\n"),  # a line that a telephone broke
    ],
)
def test_a_code_of_which_a_word_is_mistyped_is_asked_for_again(tmp_path, right, wrong):
    sent = made("GREEN", "linux-3.12")
    assert right in sent
    path = tmp_path / "mails.txt"
    broken = sent.replace(right, wrong)
    count = broken.count("\n")
    path.write_text(f"{sent}\nAn: {broken}", encoding="utf-8")
    said = ["1 GREEN, 0 YELLOW, 0 RED.", f"Mistyped, ask again: line {2 + count}."]
    assert ready.count_codes(path).splitlines() == said
    path.write_text(f"{sent} {broken}", encoding="utf-8")
    assert ready.count_codes(path).splitlines()[-1] == f"Mistyped, ask again: line {1 + count}."
    path.write_text(broken, encoding="utf-8")
    assert ready.count_codes(path).startswith("0 GREEN, 0 YELLOW, 0 RED.\nMistyped")


def test_a_letter_about_memory_is_no_code(tmp_path):
    path = tmp_path / "mails.txt"
    path.write_text(f"My program has 8 GB of RAM, disk: 40 GB.\n{made('GREEN')}\n")
    assert ready.count_codes(path) == "1 GREEN, 0 YELLOW, 0 RED."


def test_a_kit_is_for_whom_it_helps(tmp_path):
    """Neither memory nor room on a disk comes from a stick."""
    lines = [
        made("YELLOW", "linux-3.11", model="gemma"),
        made("YELLOW", "windows-3.11"),
        made("RED", "macos-3.12", model="gemma"),
    ]
    (tmp_path / "codes").write_text("\n".join(lines), encoding="utf-8")
    assert ready.count_codes(tmp_path / "codes").splitlines() == [
        "0 GREEN, 2 YELLOW, 1 RED.",
        "Kits for those that are red or lack Gemma: macos-3.12 (1), windows-3.11 (1).",
    ]


@pytest.mark.parametrize("place", range(len(made("GREEN")) - 1))
def test_two_letters_that_changed_places_are_noticed(tmp_path, place):
    right = made("GREEN")
    wrong = right[:place] + right[place + 1] + right[place] + right[place + 2 :]
    hit = ready.CODE.fullmatch(wrong)
    assert wrong == right or hit is None or ready.check_digits(wrong[:-5]) != hit[7]


def test_a_text_without_codes_is_one_sentence(tmp_path):
    path = tmp_path / "mails.txt"
    for problem in ("cannot be read", "holds no code"):
        with pytest.raises(CourseError, match=problem) as error:
            course.main(["ready", "--codes", str(path)])
        assert "\n" not in str(error.value)
        path.write_text("hello")


def test_a_machine_for_which_no_kit_is_made_is_told_apart(tmp_path, monkeypatch):
    lines = []
    for machine in ("windows-3.12", "windows-3.14", "macos-old-3.12", "linux-aarch64-3.11"):
        monkeypatch.setattr(kit_install, "this_machine", lambda name=machine: name)
        lines.append(ready.code("RED", {"disk_gb": 9.0}))
    (tmp_path / "codes").write_text("\n".join(lines), encoding="utf-8")
    assert ready.count_codes(tmp_path / "codes").splitlines()[1:] == [
        "Kits for those that are red or lack Gemma: windows-3.12 (1).",
        f"{ready.NO_KIT} linux-aarch64-3.11 (1), macos-old-3.12 (1), windows-3.14 (1).",
    ]


def test_its_own_code_is_read(tmp_path, shown, capsys):
    (tmp_path / "one").write_text(shown(python=None)[1][1])
    assert course.main(["ready", "--codes", str(tmp_path / "one")]) == 0
    said = capsys.readouterr().out
    assert "1 RED" in said and "Mistyped" not in said and kit_install.this_machine() in said


# ---------------------------------------------------------------------------------------- a model


@pytest.mark.slow
def test_a_pocket_model_says_the_word(monkeypatch):
    monkeypatch.setattr(gemma3, "find", lambda: None)
    found = ready.answer()
    assert found["model"] == "pocket" and found["word"] == ready.NEXT and found["ram_gib"] > 1


@pytest.mark.slow
def test_googles_gemma_says_the_word(real_gemma):
    found = ready.answer()
    assert found["model"] == "gemma" and found["word"] == ready.NEXT


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_codes_are_read_as_powershell_and_mail_write_them(tmp_path, encoding):
    text = ready.code(ready.GREEN, WELL).replace(" ", "\xa0")
    (tmp_path / "codes.txt").write_text(f"An: {text}\r\n", encoding=encoding)
    assert ready.count_codes(tmp_path / "codes.txt").startswith("1 GREEN, 0 YELLOW, 0 RED.")

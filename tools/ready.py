"""Whether this laptop is ready for a workshop: one line, and a code for who gives it.

The code holds no name, no number of a machine and no token. It needs the standard library only;
`python -m tools.ready`, inside .venv, lets a model say one word.
"""

from __future__ import annotations

import codecs
import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import gemma_lab
from gemma_lab import failures, gemma3, hardware
from tools import OFFLINE, ROOT, CourseError, kit_install

GREEN, YELLOW, RED = "GREEN", "YELLOW", "RED"
CODE = re.compile(rf"({GREEN}|{YELLOW}|{RED}) (\S+) (\S+) ram(\d+) disk(\d+) (\w+) ([0-9a-f]{{4}})")
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
ALIKE = re.compile(r"\b(ram|disk)\d+\b", re.IGNORECASE)  # in a code with one word mistyped
BEGINNING = "Google I/O 2024 là một sự kiện công nghệ quy tụ những chuyên gia hàng"
NEXT = "đầu"  # what Gemma 3 270M and pocket-small both say: "leading experts"
RAM_GIB, RAM_LEAST_GIB = 7, 3.5  # what a laptop sold with 8 GB, or 4 GB, has
DISK_GB = 2  # for adapters, pages and copies, once the course is installed
LIMIT_S = 300
NOT_INSTALLED = "The course is not installed here: run `python3 course.py run`, then this again."
ANEW = "run `python3 course.py clean`, then `python3 course.py run`"
FROM_KIT = f"{ANEW}, or install from the kit again"  # over what is whole that does nothing
NO_WORD = "The packages of the course do not start here ({}): {}."
SLOW = (
    f"No model answered within {LIMIT_S // 60} minutes: close all other programs, then this again."
)
WRONG_WORD = "The model said {!r} where it says {!r}: {}."
NO_DLL = "Windows lacks Microsoft's Visual C++ Redistributable: install "
NO_DLL += "https://aka.ms/vs/17/release/vc_redist.x64.exe, then this again."
LITTLE_RAM = "This laptop has {:.0f} GiB of memory: close all other programs before 04 and 05."
NO_RAM = "This laptop has {:.0f} GiB of memory, too little: use Google Colab."
LITTLE_DISK = "The disk has {:.0f} GB free: make room for {} GB."
NO_KIT = "No kit is made for these; let them install Python 3.12, or use Google Colab:"
ALL_WELL = "Ready: Google's Gemma 3 270M has answered on this laptop."


def ready(python: Path | None, problem: str = "") -> int:
    """Prints the line and the code; 0 for green.

    Args: python: of a complete environment, or None; problem: why there can be none.
    """
    here = {"ram_gib": memory_gib(), "disk_gb": shutil.disk_usage(ROOT).free / 1e9}
    if python:
        print("A model says one word: that takes up to a minute or two.", file=sys.stderr)
        here |= ask(python)
    if problem or not python:
        here["problem"] = problem or missing_venv() or NOT_INSTALLED
    colour, line = judge(here)
    print(line)
    print(f"Send this code to your instructor: {code(colour, here)}")
    return int(colour != GREEN)


def memory_gib() -> float:
    """This machine's memory; 0 on Windows where psutil, which the set-up brings, is missing."""
    return hardware._ram_bytes() / hardware.GIB


def missing_venv() -> str:
    """The sentence about a Python that can make no environment, as on Debian; "" if it can."""
    try:
        for name in ("venv", "ensurepip"):
            importlib.import_module(name)
    except ImportError:
        return failures.sentence("ensurepip is not", "run `python3 course.py run`")
    return ""


def ask(python: Path) -> dict:
    """What `answer` says in the course's environment, or {"error": its last line}."""
    command = [str(python), "-m", "tools.ready"]
    options = {"cwd": ROOT, "env": {**os.environ, **OFFLINE}, "text": True}
    try:
        done = subprocess.run(
            command, capture_output=True, errors="replace", timeout=LIMIT_S, check=False, **options
        )
        return json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"problem": SLOW}
    except (ValueError, IndexError):  # it printed no answer
        return {"error": (done.stderr.strip().splitlines() or ["nothing was printed"])[-1]}


def answer() -> dict:
    """The memory of this machine, whose model is here, and the word that it puts after BEGINNING.

    In .venv, as it imports the course's packages: a broken one shows here, not in the room.
    """
    import bitsandbytes  # noqa: F401
    import jupyterlab  # noqa: F401
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from gemma_lab import profile

    copy = gemma3.find()
    folder = copy or profile.CHECKPOINTS / "pocket-small"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    inputs = tokenizer(BEGINNING, return_tensors="pt")
    with torch.no_grad():
        best = model(**inputs).logits[0, -1].argmax()
    return {
        "ram_gib": memory_gib(),
        "model": "gemma" if copy else "pocket",
        "word": tokenizer.decode(best).strip(),
    }


def judge(here: dict) -> tuple[str, str]:
    """GREEN, YELLOW or RED, and the one sentence that says why and what to do."""
    ram, disk, error = here.get("ram_gib", 0), here["disk_gb"], here.get("error", "")
    is_dll = "DLL load failed" in error or re.search(r"\[WinError (126|127|1114)\]", error)
    full = failures.sentence("No space left", "run `python3 course.py run`")
    word = here.get("word", NEXT)
    anew = FROM_KIT if (ROOT / kit_install.MARK).exists() else ANEW
    rules = (
        (RED, 0 < ram < RAM_LEAST_GIB, NO_RAM.format(ram)),
        (RED, here.get("problem") == NOT_INSTALLED and disk < kit_install.FREE_GB, full),
        (RED, here.get("problem"), here.get("problem")),
        (RED, is_dll, NO_DLL),
        (RED, error, NO_WORD.format(error, anew)),
        (RED, word != NEXT, WRONG_WORD.format(word, NEXT, anew)),
        (YELLOW, here.get("model") != "gemma", gemma3.MISSING),
        (YELLOW, 0 < ram < RAM_GIB, LITTLE_RAM.format(ram)),
        (YELLOW, disk < DISK_GB, LITTLE_DISK.format(disk, DISK_GB)),
        (GREEN, True, ALL_WELL),
    )
    return next((colour, line) for colour, holds, line in rules if holds)


# ------------------------------------------------------------------------------------------ codes


def code(colour: str, here: dict) -> str:
    """Such as "GREEN 0.1.0 linux-3.11 ram16 disk75 gemma 4f2a"; memory in GiB, disk in GB.

    The last four digits tell a code that was mistyped.
    """
    ram, disk = round(here.get("ram_gib", 0)), int(here["disk_gb"])
    model = here.get("model", "none")
    machine = kit_install.this_machine()
    text = f"{colour} {gemma_lab.__version__} {machine} ram{ram} disk{disk} {model}"
    return f"{text} {check_digits(text)}"


def check_digits(text: str) -> str:
    """Four digits that another text has with a chance of 1 in 65,536."""
    return hashlib.sha256(text.encode()).hexdigest()[:4]


def count_codes(path: Path) -> str:
    """How many codes of each colour stand in a text, which kits they need, and which are mistyped.

    Who is red needs a kit, and who lacks Gemma; a kit adds no memory, and no room on a disk.
    Raises: CourseError for a file without any.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror}): name another.") from None
    encoding = "utf-16" if data[:2] in UTF_16 else "utf-8"  # PowerShell writes the former
    lines = data.decode(encoding, "replace").replace("\xa0", " ").splitlines()
    found = [(number, hit) for number, line in enumerate(lines, 1) for hit in CODE.finditer(line)]
    alike = {number for number, line in enumerate(lines, 1) if ALIKE.search(CODE.sub("", line))}
    if not found and not alike:
        raise CourseError(f"{path} holds no code, as in {code(GREEN, {'disk_gb': 9.0})}.")
    right = [hit for _, hit in found if check_digits(hit[0][:-5]) == hit[7]]
    wrong = sorted(alike | {number for number, hit in found if hit not in right})
    colours = Counter(hit[1] for hit in right)
    needy = [hit[3] for hit in right if hit[1] == RED or hit[6] != "gemma"]
    machines = sorted(Counter(needy).items())
    named = {True: [], False: []}
    for name, count in machines:
        system, _, minor = name.rpartition("-")
        has_kit = system in kit_install.SYSTEMS and minor in kit_install.MINORS
        named[has_kit].append(f"{name} ({count})")
    versions = sorted({hit[2] for hit in right} - {gemma_lab.__version__})
    said = [", ".join(f"{colours[colour]} {colour}" for colour in (GREEN, YELLOW, RED)) + "."]
    if named[True]:
        said.append(f"Kits for those that are red or lack Gemma: {', '.join(named[True])}.")
    if named[False]:
        said.append(f"{NO_KIT} {', '.join(named[False])}.")
    if versions:
        said.append(f"Other versions of the course than yours: {', '.join(versions)}.")
    if wrong:
        said.append(f"Mistyped, ask again: line {', '.join(map(str, wrong))}.")
    return "\n".join(said)


if __name__ == "__main__":
    print(json.dumps(answer()))

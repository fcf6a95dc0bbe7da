"""Builds the slides: `python -m tools.deck` writes slides/deck.html and slides/deck.pdf.

It draws the pictures, fills the regions of slides/deck.md, and calls Marp, which needs Node, and
for the PDF your Chromium. Both files carry a hash of what they were built from, so a test knows
without Node or Chromium whether they are fresh; bytes that another Chromium prints differ.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from tools import BUILD, ROOT, CourseError, run_main
from tools.deck_fill import fill

SLIDES = ROOT / "slides"
DECK, THEME = SLIDES / "deck.md", SLIDES / "theme.css"
HTML, PDF = SLIDES / "deck.html", SLIDES / "deck.pdf"
MARP = "@marp-team/marp-cli@4.5.1"
OPTIONS = {  # no formulas, no emoji: both ask other machines; of HTML two columns alone
    "html": {"div": ["class"]},
    "options": {"math": False, "emoji": {"shortcode": False, "unicode": False}},
}
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PICTURE = re.compile(r"figures/([\w-]+\.svg)")
MARK = re.compile(r"<!-- fill: .*? -->\n|<!-- /fill -->\n?|<!--n:\w+-->|<!--/n-->")
SOURCE = re.compile(r"^(\*Sources?: .*\*)$", re.MULTILINE)
META = "source-sha256"
LIMIT_S = 600  # for Marp, which also downloads itself once; a slow machine takes three minutes
AGAIN = "run the same command again"


# ------------------------------------------------------------------------------- what it is made of


def pictures(text: str) -> list[Path]:
    """The pictures that a deck shows.    Raises: CourseError for one that is not there."""
    paths = [SLIDES / "figures" / name for name in sorted({*PICTURE.findall(text)})]
    for path in paths:
        if not path.exists():
            raise CourseError(f"The deck shows figures/{path.name}, and nothing draws it.")
    return paths


def source_hash(text: str) -> str:
    """A hash of all that the built files come from: deck, theme, fonts, pictures, Marp."""
    digest = hashlib.sha256(f"{MARP}{OPTIONS}".encode())
    digest.update(text.encode())
    for path in [THEME, *sorted(SLIDES.glob("fonts/*.woff2")), *pictures(text)]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def as_data(path: Path) -> str:
    """A file as a data address, so that a page needs no other file."""
    kind = {".svg": "image/svg+xml", ".woff2": "font/woff2"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def prepared(text: str) -> str:
    """The deck as Marp gets it: without the marks of regions, which it would take for notes."""
    return SOURCE.sub(r'<div class="source">\n\n\1\n\n</div>', MARK.sub("", text))


def theme() -> str:
    """The theme with its fonts inside."""
    css = THEME.read_text(encoding="utf-8")
    return re.sub(r'"(fonts/[^"]+)"', lambda one: f'"{as_data(SLIDES / one[1])}"', css)


# -------------------------------------------------------------------------------------------- build


def find_chromium() -> str:
    """The path of a Chromium or Chrome.    Raises: CourseError, with what to install."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        raise CourseError(
            "No Chromium is on your PATH: install one, such as by `sudo apt install chromium`."
        )
    return found


def marp(folder: Path, *options: str, chromium: str = "") -> None:
    """Runs Marp in `folder`; only a PDF needs the path of a Chromium.

    Raises: CourseError where Node is missing, or Marp fails or does not end.
    """
    npx = shutil.which("npx")
    if npx is None:
        raise CourseError(
            "Node is not on your PATH, and Marp, which builds the slides, needs it: install "
            "Node 18 or newer with npm, such as by `sudo apt install nodejs npm`."
        )
    environment = os.environ | {"CHROME_PATH": chromium, "CHROME_NO_SANDBOX": "1"}
    command = [npx, "--yes", MARP, "deck.md", "--no-stdin", "--theme-set", "theme.css"]
    command += ["--config-file", "marp.json", "--browser-timeout", "180", *options]
    streams = {"capture_output": True, "text": True, "errors": "replace"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, timeout=LIMIT_S, check=False, **streams
        )
    except subprocess.TimeoutExpired:
        raise CourseError(
            f"Marp did not build the slides within {LIMIT_S // 60} minutes: close other programs, "
            f"see to the network, then {AGAIN}."
        ) from None
    if done.returncode:
        raise CourseError(why_not(done.stderr))


def why_not(said: str) -> str:
    """What Marp's or npm's last words mean, in one sentence."""
    if "npm error" in said:
        return (
            f"npm could not get {MARP}, which it downloads once: connect this machine to a "
            f"network, then {AGAIN}."
        )
    last = [line.strip() for line in said.splitlines() if line.strip()] or ["nothing"]
    return f"Marp could not build the slides ({last[-1]}): mend what it names, then {AGAIN}."


def build() -> None:
    """Writes the deck as one HTML file without any request, and as PDF.

    Raises: CourseError; where only Chromium is missing, the HTML file is written.
    """
    text = DECK.read_text(encoding="utf-8")
    folder, stamp = BUILD / "deck", source_hash(text)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "figures").mkdir(parents=True)
    for path in pictures(text):
        shutil.copy(path, folder / "figures")
    (folder / "deck.md").write_text(prepared(text), encoding="utf-8")
    (folder / "theme.css").write_text(theme(), encoding="utf-8")
    (folder / "marp.json").write_text(json.dumps(OPTIONS), encoding="utf-8")
    marp(folder, "--output", "deck.html")
    page = (folder / "deck.html").read_text(encoding="utf-8")
    HTML.write_text(one_file(page, stamp), encoding="utf-8")
    try:
        chromium = find_chromium()
    except CourseError as error:
        raise CourseError(f"slides/deck.html is built, and deck.pdf is not. {error}") from None
    printing = ("--pdf", "--pdf-outlines", "--allow-local-files", "--output", "deck.pdf")
    marp(folder, *printing, chromium=chromium)
    stamp_pdf(folder / "deck.pdf", PDF, stamp)


def one_file(page: str, stamp: str) -> str:
    """Marp's page with the pictures inside and the hash in its head."""
    page = PICTURE.sub(lambda one: as_data(SLIDES / one[0]), page)
    return page.replace("<head>", f'<head><meta name="{META}" content="{stamp}">', 1)


def stamp_pdf(printed: Path, pdf: Path, stamp: str) -> None:
    """Writes `pdf` with the hash in place of dates, versions and a random id."""
    import pypdf

    writer = pypdf.PdfWriter(clone_from=printed)
    title = writer.metadata.title
    writer.metadata = {"/Title": title, f"/{META}": stamp}
    identity = pypdf.generic.ByteStringObject(bytes.fromhex(stamp[:32]))
    writer._ID = pypdf.generic.ArrayObject([identity, identity])
    writer.write(pdf)


def main() -> int:
    from tools import draw  # imports torch

    draw.write()
    DECK.write_text(fill(DECK.read_text(encoding="utf-8")), encoding="utf-8")
    build()
    print("slides/deck.html opens in any browser (P: notes); slides/deck.pdf is the same, printed.")
    return 0


if __name__ == "__main__":
    run_main(main)

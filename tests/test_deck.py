"""The slides: fresh, complete, readable from the back of a room, and without any request."""

import csv
import json
import re
import shutil
import sys
import unicodedata

import pytest
from notebook_cells import all_text

from tools import NOTEBOOKS, ROOT, CourseError, deck, deck_fill, draw, fork
from tools.deck import DECK, HTML, META, PDF, SLIDES, THEME, source_hash

TEXT = DECK.read_text(encoding="utf-8")
AGAIN = "run python3 course.py slides"
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
MARKS = ["", "\u0300", "\u0301", "\u0309", "\u0303", "\u0323"]
NUMBER = re.compile(r"(?<![\w.:-])\d[\d,]*(?:\.\d+)?(?![\w-])")
# Regions, addresses, and what a_ pictures show, which tests/test_deck_first_half.py looks up there.
WRITTEN = r"```.*?```|^\|.*?$|<!--n:.*?<!--/n-->|!\[[^\]]*\]\(figures/a_\w+\.svg\)|\]\([^)]*\)|#\d+"
SLIDE = re.compile(r'slide (\d+), "(.+?)"')
LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)|<(https?://[^>\s]+)>")


def slides(text: str = TEXT) -> list[dict]:
    """Each slide of a deck: number, title, class, what is shown, and the speaker's notes."""
    found = []
    for number, part in enumerate(re.split(r"\n---\n", text)[1:], 1):  # the first has settings
        comments = COMMENT.findall(part)
        named = re.search(r"<!-- _class: (.+?) -->", part)
        shown = COMMENT.sub("", part).strip()
        title = re.search(r"^##? (.+)$", shown, re.MULTILINE)
        found.append(
            {
                "number": number,
                "title": title and title[1],
                "class": named and named[1],
                "shown": shown,
                "notes": comments[-1] if comments else "",
            }
        )
    return found


def num_words(shown: str) -> int:
    """Words to read on a slide: neither code nor outputs, tables, pictures, nor the source."""
    text = PICTURE.sub("", FENCE.sub("", shown))
    text = re.sub(r"^(\|.*|\*Sources?: .*|</?div.*)$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return len([word for word in text.split() if re.search(r"\w", word)])


# ---------------------------------------------------------------------------------- fresh


def test_the_regions_say_what_their_sources_say():
    assert deck_fill.fill(TEXT) == TEXT, AGAIN


def test_the_built_files_come_from_this_deck():
    import pypdf

    page = HTML.read_text(encoding="utf-8")
    assert re.search(rf'<meta name="{META}" content="(\w+)">', page)[1] == source_hash(TEXT), AGAIN
    reader = pypdf.PdfReader(PDF)
    assert reader.metadata[f"/{META}"] == source_hash(TEXT), AGAIN
    assert len(reader.pages) == len(slides()) == len(re.findall(r"<section id=", page))


def test_another_word_font_or_picture_makes_the_built_files_stale(tmp_path, monkeypatch):
    copy = tmp_path / "slides"
    shutil.copytree(SLIDES, copy, ignore=shutil.ignore_patterns("deck.*"))
    monkeypatch.setattr(deck, "SLIDES", copy)
    monkeypatch.setattr(deck, "THEME", copy / "theme.css")
    fresh = source_hash(TEXT)
    assert fresh == source_hash(TEXT) != source_hash(TEXT + "x")
    shown = PICTURE.search(TEXT)[2]
    for name in ("theme.css", "fonts/Inter-Regular.woff2", shown):
        before = (copy / name).read_bytes()
        (copy / name).write_bytes(before + b" ")
        assert source_hash(TEXT) != fresh, name
        (copy / name).write_bytes(before)
    assert source_hash(TEXT) == fresh
    with pytest.raises(CourseError, match="nothing draws it"):
        source_hash(TEXT + "![x](figures/none.svg)")


def test_no_picture_lies_about_that_nothing_draws():
    drawn = {f"{name}.svg" for name in draw.drawings()}
    by_hand = {"three_worlds.svg"}  # the README's
    assert {path.name for path in (SLIDES / "figures").iterdir()} == drawn | by_hand
    shown = {path.name for path in deck.pictures(TEXT)}
    assert drawn - shown == {"learning.svg"}  # the README's, too


# -------------------------------------------------------------------------- regions are filled


def test_a_region_takes_lines_of_a_cell_and_of_its_stored_output(tmp_path, monkeypatch):
    stream = {"output_type": "stream", "name": "stdout", "text": ["one\n", "two  \n", "three\n"]}
    picture = {"data": {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}}
    result = {"data": {"text/plain": ["'four'"]}}
    cell = {"cell_type": "code", "id": "ask", "source": ["a = 1\n", "b = 2"]}
    cell["outputs"] = [stream, picture, result]
    monkeypatch.setattr(deck_fill, "read", lambda path: {"cells": [cell]})
    region = deck_fill.region
    assert region("output 04 ask 2-4") == "```text\ntwo\nthree\n'four'\n```"
    assert region("code 04 ask 2-2") == "```python\nb = 2\n```"
    for wrong, why in {
        "output 04 ask 2-5": "lines 1 to 4",
        "output 04 ask 0-1": "lines 1 to 4",
        "output 04 none 1-1": "no code cell 'none'",
        "output 77 ask 1-1": "no notebook '77'",
        "table none_such": "has 'none_such'",
        "picture 04": "write `table NAME`",
    }.items():
        with pytest.raises(CourseError, match=re.escape(why)):
            region(wrong)


def test_each_table_and_number_stands_on_a_slide():
    for kind, form in {"TABLES": "<!-- fill: table {} -->", "NUMBERS": "<!--n:{}-->"}.items():
        assert [name for name in deck_fill.parts(kind) if form.format(name) not in TEXT] == []


def test_filling_writes_anew_what_was_typed_and_nothing_else(monkeypatch):
    given = {"TABLES": {"t": lambda: "| a |\n|---|\n"}, "NUMBERS": {"n": lambda: 7}}
    monkeypatch.setattr(deck_fill, "parts", lambda kind: given[kind])
    text = "x <!--n:n-->8<!--/n--> y\n\n<!-- fill: table t -->\nold\n<!-- /fill -->\n\nz\n"
    filled = deck_fill.fill(text)
    assert filled == (
        "x <!--n:n-->7<!--/n--> y\n\n<!-- fill: table t -->\n| a |\n|---|\n<!-- /fill -->\n\nz\n"
    )
    assert deck_fill.fill(filled) == filled
    assert deck.prepared(filled) == "x 7 y\n\n| a |\n|---|\n\nz\n"
    for wrong in (text.replace("<!-- /fill -->", ""), text + "<!-- /fill -->"):
        with pytest.raises(CourseError, match="lacks"):
            deck_fill.fill(wrong)
    with pytest.raises(CourseError, match="has 'm'"):
        deck_fill.fill("<!--n:m-->1<!--/n-->")


def typed_numbers(text: str) -> list[str]:
    """The numbers of a deck that no command wrote."""
    text = re.sub(WRITTEN, "", SLIDE.sub("", text), flags=re.DOTALL | re.MULTILINE)
    return [one.rstrip(",") for one in NUMBER.findall(text)]


def unknown(text: str) -> list[str]:
    """The typed numbers that stand in no notebook."""
    known = {one.rstrip(",") for words in all_text().values() for one in NUMBER.findall(words)}
    return [one for one in typed_numbers(text) if one not in known]


def test_each_number_that_was_typed_stands_in_a_notebook():
    assert unknown(TEXT) == []
    assert unknown("Say: 2.62 GiB, and 98765.4 of them") == ["98765.4"]
    assert typed_numbers("| 1 |\nx 2 <!--n:a-->3<!--/n--> [y](z/4)\n```\n5\n```\n") == ["2"]
    assert typed_numbers("![6](figures/a_x.svg) ![7](figures/b_x.svg)") == ["7"]


def lost(text: str) -> list[str]:
    """The slides that a deck sends its speaker to by a number and a title which do not agree."""
    titles = {str(slide["number"]): slide["title"] for slide in slides(text)}
    return [number for number, title in SLIDE.findall(text) if titles.get(number) != title]


def test_a_slide_that_notes_lead_to_has_that_number():
    """The poem game ends on another slide than the next, which would tell the answer."""
    (game,) = [one for one in slides() if one["title"].startswith("Which of these five")]
    ((number, _),) = SLIDE.findall(game["notes"])
    assert "**C was the 4-bit one.**" in slides()[int(number) - 1]["shown"]
    assert f" end in #{number}." in game["notes"]
    between = slides()[game["number"] : int(number) - 1]
    assert len(between) == 5 and all("\nMinutes: 0\n" in slide["notes"] for slide in between)
    assert lost(TEXT) == []
    assert lost(TEXT.replace("\n---\n", "\n---\n\n## One more\n\n---\n", 1)) == [number]


# ------------------------------------------------------------------------------- requests, links


def requests_of(page: str) -> list[str]:
    """What a page loads from outside itself, by its own words."""
    loads = re.findall(r"""(?<![\w-])(?:src|srcset|poster|data|action)=["']([^"']+)""", page)
    loads += re.findall(r"""<(?:link|use|image)\s[^>]*href=["']([^"']+)""", page)
    loads += re.findall(r"""url\((?:&quot;|["'])?([^)"'&]+)""", page)
    loads += re.findall(r"""@import\s+["']([^"']+)""", page)
    return [one for one in loads if not one.startswith(("data:", "#"))]


def test_the_page_loads_nothing():
    assert requests_of(HTML.read_text(encoding="utf-8")) == []
    for wrong in (
        '<img src="figures/rope.svg">',
        '<script src="https://x.org/a.js">',
        '<link rel="stylesheet" href="https://x.org/a.css">',
        "a { background: url(https://x.org/a.png) }",
        '@import "https://x.org/a.css"',
    ):
        assert len(requests_of(wrong)) == 1, wrong


def wrong_links(text: str) -> list[str]:
    """The links of a deck that lead nowhere: to no notebook, no file, or to another repository."""
    wrong, repository = [], fork.repository()
    homes = [draw.colab_url("X").removesuffix("X"), f"https://github.com/{repository}/blob/main/"]
    for found in LINK.findall(text):
        link = (found[0] or found[1]).partition("#")[0]
        place = None
        if link.startswith(homes[0]):
            place = NOTEBOOKS / link.removeprefix(homes[0])
        elif link.startswith(homes[1]):
            place = ROOT / link.removeprefix(homes[1])
        elif not link.startswith("https://"):
            place = SLIDES / link
        is_ours = "gemma-course" in link or link.endswith(".ipynb")
        is_known = link in ("", f"https://github.com/{repository}") or not is_ours
        if not (place.exists() if place else is_known):
            wrong.append(link)
    return wrong


def test_every_link_leads_somewhere():
    assert wrong_links(TEXT) == []
    for wrong in (
        f"[a]({draw.colab_url('09_none.ipynb')})",
        "[a](https://colab.research.google.com/github/x/y/blob/main/notebooks/03_architecture.ipynb)",
        "[a](https://github.com/somebody/gemma-course)",
        "[a](../notebooks/none.ipynb)",
        "![a](figures/none.svg)",
    ):
        assert len(wrong_links(wrong)) == 1, wrong


def test_each_notebook_has_its_code_for_a_phone_and_its_badge_leads_there():
    for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        url = draw.colab_url(path.name)
        assert f"({url})" in first
        picture = (SLIDES / "figures" / f"qr_{path.stem[:2]}.svg").read_text(encoding="utf-8")
        assert f"<title>{url}</title>" in picture
        assert f"(figures/qr_{path.stem[:2]}.svg)" in TEXT


def test_a_code_for_a_phone_holds_another_address_as_another_picture():
    one, other = draw.qr("https://x.org/1"), draw.qr("https://x.org/2")
    path = re.compile(r' d="([^"]+)"')
    assert path.findall(one) != path.findall(other)
    assert re.search(r'viewBox="0 0 (\d+) \1"', one)


# --------------------------------------------------------------------------------- each slide


@pytest.mark.parametrize("slide", slides(), ids=lambda slide: f"slide {slide['number']}")
def test_a_slide_can_be_read_and_spoken(slide):
    assert slide["title"], "a slide has a title"
    assert re.search(r"^Minutes: \d+(\.\d+)?\b", slide["notes"], re.MULTILINE), "notes: minutes"
    assert re.search(r"^Say: \w", slide["notes"], re.MULTILINE), "notes: what to say"
    for notebook in re.findall(r"^Run: .*?notebook (\d\d)", slide["notes"], re.MULTILINE):
        assert list(NOTEBOOKS.glob(f"{notebook}_*.ipynb"))
        assert "Wi-Fi down: " in slide["notes"], "notes: what to do without a network"
    for alt, _ in PICTURE.findall(slide["shown"]):
        assert len(alt.split()) >= 3, "a picture says in words what one sees"
    for code in FENCE.findall(slide["shown"]):
        assert len(code.splitlines()) <= 12, "at most twelve lines of code"
    if slide["class"] != "table":
        assert num_words(slide["shown"]) <= 75, num_words(slide["shown"])
    assert slide["class"] in (None, *"lead section table code two figure quote".split())


def test_most_slides_have_few_words():
    few = [slide for slide in slides() if num_words(slide["shown"]) <= 40]
    assert len(few) >= 0.8 * len(slides()), f"{len(few)} of {len(slides())}"
    assert num_words("## One two\n\n- three\n\n| a |\n\n```text\nb\n```\n\n*Source: c*") == 3


def test_a_live_slide_that_leads_to_go_deeper_says_not_to_run_it():
    for slide in slides():
        run = re.search(r"^Run: .*Go deeper.*$", slide["notes"], re.M)
        if run and "\nMinutes: 0\n" not in slide["notes"]:
            wanted = r"Go deeper(, for home|, .+ \(stored: show, do not run\)$)"
            assert re.search(wanted, run[0]), slide["number"]


def test_the_minutes_are_two_hours():
    minutes = [re.search(r"^Minutes: ([\d.]+)", one["notes"], re.M)[1] for one in slides()]
    assert sum(map(float, minutes)) == 120


# ---------------------------------------------------------------------------- the talk's figures


def rows_of(text: str) -> list[list[str]]:
    """The cells of each row of each Markdown table."""
    lines = re.findall(r"^\|(.+)\|$", text, re.MULTILINE)
    return [[cell.strip(" *†") for cell in line.split("|")] for line in lines]


def missing(table: str, text: str) -> list[str]:
    """The benchmarks of a table of the talk of which no row of the deck has all scores in order."""
    with (ROOT / "gemma_lab" / "data" / "benchmarks.csv").open(encoding="utf-8") as file:
        facts = [row for row in csv.DictReader(file) if row["table"] == table]
    scores: dict = {}
    for row in facts:
        scores.setdefault(row["benchmark"], []).append(float(row["score"]))

    def has(row: list[str], benchmark: str) -> bool:
        numbers = [re.match(r"\d+(?:\.\d)?(?![\d-])", cell) for cell in row]
        values = [float(number[0]) for number in numbers if number]
        return any(cell.startswith(benchmark) for cell in row) and values == scores[benchmark]

    assert len(scores) >= 6
    return [one for one in scores if not any(has(row, one) for row in rows_of(text))]


@pytest.mark.parametrize("table", ["overview", "full", "gemma2"])
def test_every_score_of_the_talk_stands_in_the_deck(table):
    assert missing(table, TEXT) == []
    assert missing(table, TEXT.replace("HumanEval", "Human")) == ["HumanEval"]


# ---------------------------------------------------------------------------------- the theme

PAIRS = "ink paper, ink pale, quiet paper, quiet pale, blue paper, snow night, sky night"


def contrast(one: str, other: str) -> float:
    """The contrast of two colours.    Source: WCAG 2.2, "contrast ratio"."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_colours_of_the_theme_can_be_told_apart():
    css = THEME.read_text(encoding="utf-8")
    colours = dict(re.findall(r"--(\w+): (#\w{6});", css))
    for pair in PAIRS.split(", "):
        ink, paper = pair.split()
        assert contrast(colours[ink], colours[paper]) >= 4.5, pair
    for ink in re.findall(r"^\.hljs.*\{ color: (#\w{6})", css, re.MULTILINE):
        assert contrast(ink, colours["pale"]) >= 4.5, ink
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast(colours["orange"], colours["paper"]) < 4.5  # so no text has it


def test_the_fonts_are_free():
    licence = (SLIDES / "fonts" / "OFL.txt").read_text(encoding="utf-8")
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence
    for path in SLIDES.glob("fonts/*.woff2"):
        assert path.name.partition("-")[0].replace("JetBrainsMono", "JetBrains Mono") in licence
        assert path.read_bytes()[:4] == b"wOF2"


# ----------------------------------------------------------------------------------- commands


@pytest.fixture
def npx(tmp_path, monkeypatch):
    """Writes a stand-in for npx, alone on PATH and without a Chromium; deck writes to tmp_path."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("BUILD", "HTML", "PDF"):
        monkeypatch.setattr(deck, name, tmp_path / name)

    def write(*lines: str):
        path = tmp_path / "bin" / "npx"
        path.write_text("\n".join((f"#!{sys.executable}", "import sys, time", *lines)))
        path.chmod(0o755)

    return write


def test_without_node_it_says_what_to_install(npx):
    with pytest.raises(CourseError, match="Node is not on your PATH.* apt install nodejs npm"):
        deck.marp(SLIDES)


def test_without_chromium_there_is_a_page_and_one_sentence_on_the_pdf(npx):
    npx('open(sys.argv[sys.argv.index("--output") + 1], "w").write("<head></head>")')
    with pytest.raises(CourseError, match="deck.pdf is not. No Chromium .* apt install chromium"):
        deck.build()
    assert source_hash(TEXT) in deck.HTML.read_text() and not deck.PDF.exists()


def test_marp_that_fails_or_does_not_end_is_one_sentence_with_what_to_do(
    npx, tmp_path, monkeypatch
):
    npx('sys.exit("[ INFO ] x\\n[ ERROR ] No theme\\n")')
    with pytest.raises(CourseError, match=r"\(\[ ERROR \] No theme\): mend what it names, then"):
        deck.marp(tmp_path)
    assert "(nothing): mend" in deck.why_not("\n")
    npm = "npm error code EAI_AGAIN\nnpm error syscall getaddrinfo\n"
    assert "connect this machine to a network, then run the same" in deck.why_not(npm)
    monkeypatch.setattr(deck, "LIMIT_S", 0.5)
    npx("time.sleep(9)")
    with pytest.raises(CourseError, match="did not build the slides within .* then run the same"):
        deck.marp(tmp_path)


# --------------------------------------------------------------------------------- in a browser


WRONG = """<!doctype html><body><svg class="bespoke-marp-active" data-marpit-svg width="1280"
height="720"><foreignObject width="1280" height="720"><section data-marpit-pagination="1"
style="width: 1280px; height: 720px; overflow: hidden; font-size: 30px">{}</section>
</foreignObject></svg>"""
RIGHT = '<p style="margin: 60px">right</p>'


@pytest.fixture(scope="module")
def browser():
    from browser import chromium

    with chromium() as one:
        yield one


@pytest.mark.slow
def test_every_slide_fits_and_can_be_read_from_the_back(browser):
    from deck_pages import slides as shown

    seen = shown(browser, HTML)
    assert [f"slide {number}: {fault}" for number, wrong, _ in seen for fault in wrong] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "inside, what",
    [
        (RIGHT, None),
        (RIGHT + '<p style="margin: 60px; font-size: 23px">x</p>', "23 px"),
        (RIGHT + '<p style="margin: 60px; color: #777">x</p>', "contrast 4.48"),
        (RIGHT + '<p style="margin: 600px 60px 0">x</p>', "at the edge"),
        (RIGHT + '<p style="margin: 60px; width: 50px; overflow: hidden">longword</p>', "too wide"),
        (RIGHT + '<p style="margin: 60px; height: 9px; overflow: hidden">x</p>', "too high"),
        (RIGHT + '<p style="margin: -90px 60px">x</p>', "overlaps"),
        (
            RIGHT + '<img style="margin: 60px; width: 300px" alt="x" src="{small}">',
            "px in the pict",
        ),
        (RIGHT + '<img style="margin: 60px" alt="x" src="http://127.0.0.1:9/x.png">', "asked for"),
    ],
)
def test_a_slide_that_does_not_is_found(browser, inside, what, tmp_path):
    from deck_pages import slides as shown

    path = tmp_path / "wrong.html"
    small = deck.as_data(SLIDES / "figures" / "learning.svg")
    path.write_text(WRONG.format(inside.replace("{small}", small)), encoding="utf-8")
    faults = [fault for _, wrong, _ in shown(browser, path) for fault in wrong]
    assert any(what in fault for fault in faults) if what else faults == []


@pytest.mark.slow
def test_the_fonts_of_the_page_have_every_letter_of_vietnamese(browser):
    letters = {unicodedata.normalize("NFC", a + mark) for a in "aăâeêioôơuưy" for mark in MARKS}
    letters = "".join(sorted(letters | {*"đăâêôơư"}))
    assert len(letters) == 12 * 6 + 1
    width = """([font, letter]) => {
      const pen = document.createElement("canvas").getContext("2d");
      pen.font = font;
      return pen.measureText(letter).width;
    }"""
    page = browser.new_page()
    page.goto(HTML.as_uri())
    page.evaluate("Promise.all([...document.fonts].map(face => face.load()))")
    for letter in letters + letters.upper():  # one that a font lacks is taken from the other
        sans = page.evaluate(width, ["100px Inter, 'JetBrains Mono'", letter])
        mono = page.evaluate(width, ["100px 'JetBrains Mono', Inter", letter])
        assert mono == pytest.approx(60, abs=0.001) and abs(sans - mono) > 0.01, letter
    block = page.evaluate(width, ["100px Inter, 'JetBrains Mono'", "█"])
    assert block == pytest.approx(60, abs=0.001)  # which Inter lacks
    page.close()


@pytest.mark.slow
def test_the_printed_pages_are_the_slides_in_order():
    import pypdf

    for page, slide in zip(pypdf.PdfReader(PDF).pages, slides(), strict=True):
        plain = re.sub(r"[`*\\]|\]\([^)]*\)|\[", "", slide["title"])
        squeezed = re.sub(r"\s", "", page.extract_text())
        assert re.sub(r"\s", "", plain) in squeezed, slide["number"]

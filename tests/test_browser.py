"""Widgets and pages in a real browser: typed in, moved by keyboard, read; JupyterLab and a phone.

A notebook made of the cells that each widget needs runs in JupyterLab, in the profile pocket.
"""

import re
from urllib.parse import urlencode

import nbformat
import pytest
from browser import chromium, expect, jupyterlab, watch
from notebook_cells import ROOT, made, tagged

from gemma_lab.profile import CHECKPOINTS
from tools import CourseError
from tools.deck import find_chromium

pytestmark = pytest.mark.slow
NOTEBOOKS = sorted((ROOT / "notebooks").glob("0*.ipynb"))
STEM = {path.stem[:2]: path.stem for path in NOTEBOOKS}
SET_UP = "import gemma_lab\nprofile = gemma_lab.setup()"
GEMMA = "from gemma_lab.scratch.gemma import Gemma\ngemma = Gemma.from_folder(folder)"
NO_ANSWERS = "from gemma_lab.lessons import nb00\nfound = nb00.ask_for_each(None)"
CELLS = [  # a notebook with a tag of its, or code in place of cells without a tag
    SET_UP,
    NO_ANSWERS,
    *(("00", tag) for tag in ("plan", "what-if")),
    *(("01", tag) for tag in ("first-words", "game", "word-order", "tokens-box")),
    *(("01", tag) for tag in ("real-next-word", "temperature")),
    *(("02", tag) for tag in ("watch-it-learn", "fits", "nearest", "look-up")),
    "from gemma_lab.lessons import nb03",
    *(("03", tag) for tag in ("speeds", "sentence")),
    GEMMA,
    ("03", "head-maps"),
    "from gemma_lab.lessons import nb04_fit",
    *(("04", tag) for tag in ("fit-weights", "fit-view")),
    "from gemma_lab import figures\nfrom gemma_lab.lessons import nb07, nb07_fill",
    *(("07", tag) for tag in ("code-model", "hole-widget")),
    "import matplotlib.pyplot as plt\nfrom gemma_lab import memory\nthreshold = 0.5",
    *(("07", tag) for tag in ("see-load", "see-draw", "judge-model", "judge-box")),
]
ALL_RAN = """count => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
    const ran = prompts.filter(prompt => /[0-9]/.test(prompt.textContent)).length;
    return ran == count || document.querySelector('.jp-RenderedText[data-mime-type*=error]');
}"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def notebook(browser, tmp_path_factory):
    """A page of JupyterLab in which all of CELLS ran, and what goes wrong on it from now on."""
    folder = tmp_path_factory.mktemp("lab")
    made(folder, *(one if isinstance(one, str) else tagged(STEM[one[0]], one[1]) for one in CELLS))
    with jupyterlab(folder) as (url, token):
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.set_default_timeout(30_000)
        wrong = watch(page)
        page.goto(f"{url}lab/tree/01_test.ipynb?{urlencode({'token': token})}")
        page.get_by_text("(ipykernel) | Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.wait_for_function(ALL_RAN, arg=len(CELLS), timeout=120_000)
        assert page.locator(".jp-RenderedText[data-mime-type*=error]").all_inner_texts() == []
        yield page, wrong


@pytest.fixture
def view(notebook):
    """Gives the output of the cell with a tag; nothing may go wrong on the page until the end."""
    page, wrong = notebook

    def of(tag: str):
        (place,) = [at for at, one in enumerate(CELLS) if one[1] == tag]
        found = page.locator(".jp-CodeCell").nth(place).locator(".jp-OutputArea")
        found.scroll_into_view_if_needed()
        return found

    yield of
    assert wrong == []


def type_into(view, name: str, words: str) -> None:
    """Type words in place of those in a box, key by key, and press Enter."""
    box = view.get_by_role("textbox", name=name)
    box.press("Control+a")
    box.press("Delete")
    box.press_sequentially(words)
    box.press("Enter")


def says(view, text) -> None:
    """Wait until a view says a text or what a pattern finds."""
    expect(view).to_contain_text(text)


def slide(view, name: str, key: str) -> None:
    """Press a key on the handle of the slider with this label."""
    slider = view.locator(".widget-slider", has=view.page.get_by_text(name, exact=True))
    slider.get_by_role("slider").press(key)


def choose(view, name: str, words: str) -> None:
    """Open a list by Space, type the beginning of a choice, and press Enter.

    JupyterLab takes keys on a list that is not open for commands of its own: "b" adds a cell.
    """
    view.get_by_role("combobox", name=name).press("Space")
    view.page.keyboard.type(words)
    view.page.keyboard.press("Enter")


def pictures_change(view, act) -> None:
    """`act`, and wait until the picture of a view is another one."""
    picture = view.locator("img")
    before = picture.get_attribute("src")
    act()
    expect(picture).not_to_have_attribute("src", before)


def test_00_another_machine_and_token_change_the_plan(view):
    plan = view("what-if")
    says(plan, "To download: 0.00 GB")
    choose(plan, "machine", "Kaggle")
    choose(plan, "token", "all granted")
    says(plan, "hub, on ")
    says(plan, re.compile(r"To download: \d\d\.\d\d GB"))


@pytest.mark.parametrize(
    "words, follows", [("Một tuần có bảy", "ngày"), ("the purple zebra | the purple", "z")]
)
def test_01_the_box_goes_on_with_your_words(view, words, follows):
    """The next token of pocket-small: tests/test_views.py holds it against transformers."""
    box = view("first-words")
    type_into(box, "Your words", words)
    likeliest = box.get_by_role("button").first
    expect(likeliest).to_have_text(re.compile(f"^▁?{follows}$"))
    box.get_by_role("textbox").press("Tab")
    expect(likeliest).to_be_focused()
    likeliest.press("Enter")
    written = box.locator("b")
    expect(written).to_have_text(re.compile(f"{follows}$"))
    box.get_by_role("button", name="Write ten").press("Space")
    expect(written).to_have_text(re.compile(f"{follows}.{{5,}}", re.DOTALL))


def test_01_the_game_counts_and_takes_a_sentence_of_your_own(view):
    game = view("game")
    type_into(game, "Your guess", "air")
    says(game, "Rounds: 1. Points: you 1")
    says(game, "The model gave air")  # so many percent
    assert len(re.findall(r"\d+\.\d %", game.inner_text())) == 6  # and five bars
    type_into(game, "Your own", "sữa")
    says(game, "Type at least two words")
    type_into(game, "Your own", "Con mèo uống sữa.")
    says(game, "Con mèo uống …")
    type_into(game, "Your guess", "trà")
    says(game, "and your trà")
    says(game, "Rounds: 2. Points: you 1")


def test_01_words_are_put_in_an_order(view):
    order = view("word-order")
    type_into(order, "Your words", "I drink tea")
    for word in ("tea", "I", "drink"):
        order.get_by_role("button", name=word, exact=True).press("Space")
    says(order, "Tea I drink")
    says(order, re.compile("The model finds it .* times .*likel"))
    order.get_by_role("button", name="Start again").press("Enter")
    says(order, "Press the words")


@pytest.mark.parametrize("words", ["The stone horse", "Con ngựa đá con ngựa"])
def test_01_your_text_in_tokens(view, words):
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(CHECKPOINTS / "pocket-small" / "tokenizer.json"))
    tokens = view("tokens-box")
    type_into(tokens, "Your text", words)
    ids = library.encode(words, add_special_tokens=False).ids
    says(tokens, f"pocket-small: {len(ids)} tokens")
    boxes = tokens.locator("span[style*=border]")
    expect(boxes).to_have_text([re.compile(rf"(?<!\d){number}$") for number in ids])


def test_01_sliders_leave_fewer_tokens(view):
    word = view("temperature")
    type_into(word, "Your text", "Một tuần có bảy")
    says(word, "▁ngày9")
    slide(word, "top-k (0: all)", "ArrowRight")
    says(word, "1 token is left")
    slide(word, "top-k (0: all)", "Home")
    says(word, "2,048 tokens are left")
    slide(word, "temperature", "Home")
    says(word, "1 token is left")


def test_02_a_model_learns_while_the_slider_moves(view):
    learning = view("watch-it-learn")
    pictures_change(learning, lambda: slide(learning, "step", "End"))
    says(learning.get_by_role("status"), "The capital of Japan is Tokyo")
    type_into(learning, "your words", "Thủ đô của Việt Nam là")
    says(learning.get_by_role("status"), re.compile("Thủ đô của Việt Nam là.+"))


def test_02_neighbours_of_a_word_and_memory_by_keyboard(view):
    near, fits = view("look-up"), view("fits")
    type_into(near, "your word", "river")
    says(near.get_by_role("status"), "▁river is near ")
    type_into(near, "your word", "Hà Nội")
    expect(near.get_by_role("listitem")).to_have_count(4)  # pieces of pocket-small
    pictures_change(fits, lambda: slide(fits, "memory, GiB", "Home"))
    says(fits.get_by_role("status"), "What fits 2.0 GiB")


def test_03_rope_turns_by_arrow_keys(view):
    rope = view("speeds")
    pictures_change(rope, lambda: slide(rope, "query at", "ArrowRight"))
    says(rope, "Distance 5: ")
    for _ in range(6):  # from 3; its query stands at 8
        slide(rope, "key at", "ArrowRight")
    says(rope, "Distance 0: the mean cosine is 1.00.")


def test_03_your_sentence_goes_through_the_heads(view):
    heads = view("head-maps")
    for words, last in {"The river is long": "long", "Con ngựa đá con ngựa": "a"}.items():
        pictures_change(heads, lambda words=words: type_into(heads, "sentence", words))
        says(heads, re.compile(rf"The last token, [▁\w]*{last}, looks at .* \d+%"))
    pictures_change(heads, lambda: slide(heads, "layer", "ArrowRight"))
    says(heads, "Layer 2, head 1")


def test_04_whether_a_model_fits_is_chosen_by_keyboard_and_said(view):
    fit = view("fit-view")
    for name, words in {"card": "RTX 3050", "model": "google/gemma-7b"}.items():
        pictures_change(fit, lambda name=name, words=words: choose(fit, name, words))
    says(fit.get_by_role("status"), re.compile("^Does not fit: .* GiB, most for weights"))


def test_07_a_hole_in_your_own_function_is_filled_and_tested(view):
    box = view("hole-widget")
    for name, words in {
        "Your code": 'def double(x):\n    """Return twice x."""\n    return ___\n',
        "Your tests": "assert double(4) == 8",
    }.items():
        box.get_by_role("textbox", name=name).fill(words)
        box.get_by_role("textbox", name=name).press("Tab")
    box.get_by_role("button", name="Fill the hole").press("Enter")
    says(box.get_by_role("status"), "The tests pass.")
    box.get_by_role("checkbox", name="show the prompt").press("Space")
    says(box, "<|fim_prefix|>def double(x):")


def test_07_shapes_are_put_on_a_board_and_asked_about(view):
    board = view("see-draw")

    def press(name: str) -> None:
        board.get_by_role("button", name=name).press("Enter")

    pictures_change(board, lambda: press("Empty the board"))
    choose(board, "Shape", "square")
    choose(board, "Colour", "green")
    pictures_change(board, lambda: board.get_by_role("button", name="·").first.press("Enter"))
    type_into(board, "Ask", "answer en what shape is green?")
    press("Ask the model")
    says(board.get_by_role("status"), "answer en what shape is green? → square")


def test_07_your_text_is_judged_by_a_rule(view):
    box = view("judge-box")
    says(box.get_by_role("status"), "So it breaks the rule.")
    box.get_by_role("textbox", name="Text").fill("In the beginning, the old lantern was a dream.")
    box.get_by_role("textbox", name="Text").press("Tab")
    box.get_by_role("button", name="Judge").press("Enter")
    says(box.get_by_role("status"), "So it keeps the rule.")


def test_every_control_has_a_name(view):
    """Read from what Chromium tells a screen reader.

    ipywidgets gives the handle of a slider no name; its label stands just before it.
    """
    for tag in [one[1] for one in CELLS if isinstance(one, tuple)]:
        told = view(tag).aria_snapshot()
        controls = re.findall(r"- (?:textbox|button|combobox|spinbutton|checkbox)(.*)", told)
        assert [name for name in controls if not re.match(r' "\S', name)] == [], tag
        before = re.findall(r"- (.*)\n\s*- slider(?! \")", told)
        assert all(re.match(r"text: .*[a-z]", words) for words in before), (tag, before)
        assert len(before) == len(re.findall('- slider(?! ")', told)), tag


@pytest.fixture
def narrow(notebook):
    """JupyterLab as wide as a phone, without its list of files."""
    page, _ = notebook
    page.set_viewport_size({"width": 390, "height": 844})
    page.keyboard.press("Control+b")
    yield
    page.keyboard.press("Control+b")
    page.set_viewport_size({"width": 1000, "height": 900})


TOO_WIDE = """view => [...view.querySelectorAll('.jupyter-widgets')].filter(
    one => one.scrollWidth > one.clientWidth + 1 && !one.querySelector('table')
).map(one => one.textContent)"""


def test_a_widget_fits_a_phone(narrow, view):
    for tag in [one[1] for one in CELLS if isinstance(one, tuple)]:
        found = view(tag)
        assert found.evaluate("view => view.clientWidth") > 200  # the list of files is away
        assert found.evaluate(TOO_WIDE) == [], tag
        for control in found.locator("input, button, select, [role=slider]").all():
            expect(control).to_be_visible()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The folder of the pages of all notebooks as stored: no kernel ran."""
    from tools import pages

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "BUILD", tmp_path_factory.mktemp("build"))
        read = [nbformat.read(path, as_version=4) for path in NOTEBOOKS]
        done = {"seconds": 0, "error": ""}
        pages.write_pages([done | {"path": p, "notebook": n} for p, n in zip(NOTEBOOKS, read)])
        yield pages.BUILD


LOST = """() => {
    const isLost = part => {
        for (let box = part; box; box = box.parentElement) {
            const overflow = getComputedStyle(box).overflowX;
            if (overflow == 'visible' || box.scrollWidth <= box.clientWidth + 1) continue;
            return overflow == 'hidden' || !part.matches('pre, table, table *');
        }
    };
    const parts = [...document.querySelectorAll('pre, table, img, p, li, h1, h2, h3')];
    return parts.filter(isLost).map(part => part.textContent.slice(0, 60));
}"""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_without_a_kernel_shows_pictures_and_fits_a_phone(browser, pages, path):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    wrong = watch(page)
    page.goto((pages / f"{path.stem}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(LOST) == []  # code and tables scroll; nothing is cut
    sizes = page.evaluate("[...document.images].map(one => [one.naturalWidth, one.clientWidth])")
    assert all(natural > 0 and wide <= 390 for natural, wide in sizes), sizes
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and "figures.show(" in cell.source:
            assert page.locator(f"[id='cell-id={cell.id}'] img").count() == 1, cell.source
    breaks = "[...document.querySelectorAll('pre')].map(one => getComputedStyle(one).wordBreak)"
    assert set(page.evaluate(breaks)) <= {"normal"}  # lines break between words
    assert wrong == []
    page.close()


def test_without_a_browser_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CourseError, match="install one, such as by `sudo apt install"):
        find_chromium()

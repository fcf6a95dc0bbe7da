"""Notebook 07: a board for shapes, or a picture of one's own, and a question about it."""

from __future__ import annotations

import html
import io
import textwrap
import warnings
import weakref

import ipywidgets

from gemma_lab import shapes
from gemma_lab.figures import LET_GO, png
from gemma_lab.lessons import nb07_see

SIGNS = {"circle": "●", "square": "■", "triangle": "▲", "star": "★"}
PROMPTS = (
    "caption en",
    "caption vi",
    "answer en how many shapes are there?",
    "answer en what color is the star?",
    "answer vi có bao nhiêu hình?",
    "detect red circle",
)
PER_SIDE = 3  # cells of the board
START = {0: ("star", "yellow"), 4: ("circle", "red"), 8: ("circle", "red")}  # cell -> what is there
MOST_BYTES = 20_000_000  # of an uploaded file


def things_of(cells: dict[int, tuple[str, str]]) -> list[dict]:
    """The objects of a board: cell -> shape and colour, in reading order."""
    return [
        shapes.one(
            *cells[at], *((part + 0.5) / PER_SIDE for part in (at % PER_SIDE, at // PER_SIDE))
        )
        for at in sorted(cells)
    ]


def opened(value):
    """The picture of an upload, as ipywidgets 7 or 8 gives it: a square PIL image; None for none.

    Raises: ValueError, one sentence, for what is no picture.
    """
    from PIL import Image, ImageOps

    files = list(value.values()) if isinstance(value, dict) else list(value)
    if not files:
        return None
    data = bytes(files[-1]["content"])
    if len(data) > MOST_BYTES:
        raise ValueError(f"The file has {len(data) / 1e6:.0f} MB: choose one below 20 MB.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGBA")
    except Exception:  # PIL raises many kinds
        raise ValueError(
            "That file is no picture that Pillow opens: choose a PNG or JPEG."
        ) from None
    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture)  # what is see-through becomes white
    size = (shapes.SIDE, shapes.SIDE)
    return ImageOps.pad(paper.convert("RGB"), size, color="white")


def picture(model, processor, prompt: str = PROMPTS[0]):
    """The board at the start and one answer, as a figure: for readers without a kernel."""
    drawn = shapes.draw(things_of(START))
    answer = shapes.ask(model, processor, drawn, prompt)
    title = f"{prompt}\n{textwrap.fill(f'→ {answer}', 36)}"
    return nb07_see.boxed(drawn, shapes.boxes(answer), title)


def board(model, processor) -> ipywidgets.VBox:
    """Nine buttons that put a shape on the picture, an upload, a prompt, and the model's answer.

    It does not keep the model in memory, though ipywidgets keeps the board.
    """
    wide = {"width": "auto"}
    shape = ipywidgets.Dropdown(options=list(shapes.SHAPES), description="Shape", layout=wide)
    colour = ipywidgets.Dropdown(options=list(shapes.COLOURS), description="Colour", layout=wide)
    cells, keys = dict(START), []
    upload = ipywidgets.FileUpload(
        accept="image/*", multiple=False, description="Or your picture", layout=wide
    )
    clear = ipywidgets.Button(description="Empty the board", layout=wide)
    ready = ipywidgets.Dropdown(options=list(PROMPTS), description="Prompts", layout=wide)
    prompt = ipywidgets.Text(PROMPTS[0], description="Ask", layout={"width": "97%"}, **LET_GO)
    button = ipywidgets.Button(description="Ask the model")
    image = ipywidgets.Image(format="png", width=shapes.SIDE, layout={"border": "1px solid grey"})
    said = ipywidgets.HTML()
    state = {"upload": None}
    loaded = weakref.ref(model)
    del model

    def say(sentence: str) -> None:
        said.value = f'<p role="status">{html.escape(sentence)}</p>'

    def now():
        return state["upload"] or shapes.draw(things_of(cells))

    def show(_=None) -> None:
        buffer = io.BytesIO()
        now().save(buffer, "PNG")
        image.value = buffer.getvalue()
        for at, key in enumerate(keys):
            name = cells.get(at)
            key.description = SIGNS[name[0]] if name else "·"
            key.tooltip = " ".join(name[::-1]) if name else "empty"
            shade = "#{:02x}{:02x}{:02x}".format(*shapes.COLOURS[name[1]]) if name else None
            key.style.button_color = shade

    def press(at: int):
        def put(_) -> None:
            state["upload"], kind = None, (shape.value, colour.value)
            if cells.get(at) == kind:
                del cells[at]  # the same once more takes it away
            else:
                cells[at] = kind
            say("")
            show()

        return put

    def empty(_) -> None:
        state["upload"] = None
        cells.clear()
        say("")
        show()

    def take(_) -> None:
        try:
            state["upload"] = opened(upload.value)
            say("Your picture, as the model gets it." if state["upload"] else "")
        except ValueError as error:
            say(str(error))
        show()

    def answer(_) -> None:
        model, words = loaded(), prompt.value.strip()
        if model is None:
            return say("The model is not loaded any more: run its cell and this one again.")
        if not words or "<" in words:
            return say("Type a prompt without < signs, such as: caption en.")
        button.disabled = True
        say("The model looks …")
        try:
            drawn = now()
            text = shapes.ask(model, processor, drawn, words[:200])
            show()  # without the boxes of an earlier answer
            if found := shapes.boxes(text):
                image.value = png(nb07_see.boxed(drawn, found))
            say(f"{words[:200]} → {text or 'nothing'}")
        except (ValueError, RuntimeError) as error:  # torch's "out of memory" is the latter
            say(str(error))
        finally:
            button.disabled = False

    for at in range(PER_SIDE**2):
        key = ipywidgets.Button(layout={"width": "3em"})
        key.on_click(press(at))
        keys.append(key)
    rows = [keys[at : at + PER_SIDE] for at in range(0, PER_SIDE**2, PER_SIDE)]
    grid = ipywidgets.VBox([ipywidgets.HBox(row) for row in rows])
    clear.on_click(empty)
    button.on_click(answer)
    upload.observe(take, "value")
    ready.observe(lambda change: setattr(prompt, "value", change["new"]), "value")
    say("")
    show()
    wrap = {"flex_flow": "row wrap", "align_items": "center"}
    above = ipywidgets.HBox(
        [ipywidgets.VBox([shape, colour, clear, upload]), grid, image], layout=wrap
    )
    return ipywidgets.VBox([above, ready, prompt, button, said])

"""Pictures of simple shapes: what is on one, how it is drawn, and what a PaliGemma says of it.

A picture is described by its objects. An object has a `shape`, a `colour`, its middle (`x`, `y`)
and `size` in shares of the picture's side, and a `turn` in degrees.
"""

from __future__ import annotations

import collections
import math
import re

from gemma_lab import catalog

SIDE = 192  # pixels of a drawn picture
SHAPES = ("circle", "square", "triangle", "star")
COLOURS = {  # red, green and blue, 0 to 255
    "red": (214, 39, 40),
    "green": (44, 160, 44),
    "blue": (31, 119, 200),
    "yellow": (240, 200, 20),
    "purple": (140, 70, 190),
    "black": (30, 30, 30),
}
WHITE = (255, 255, 255)
NUM_BINS = 1024  # of PaliGemma's tokens for places, <loc0000> to <loc1023>
BOX = re.compile(r"((?:<loc\d{4}>){4})\s*([^<;]*)")
# Corners of each shape: degrees from the right-hand side, clockwise, and reach in halves of `size`.
CORNERS = {
    "circle": [(10 * at, 1.0) for at in range(36)],
    "square": [(45 + 90 * at, 1.1) for at in range(4)],
    "triangle": [(120 * at - 90, 1.15) for at in range(3)],
    "star": [(36 * at - 90, 0.5 if at % 2 else 1.15) for at in range(10)],
}


class PictureError(ValueError):
    """An object that cannot be drawn; the message says what is possible."""


def one(shape: str, colour: str, x: float, y: float, size: float = 0.24, turn: float = 0) -> dict:
    """An object of a picture.

    Args: x, y: its middle, and size: its width, in shares of the picture's side; turn: degrees.
    Raises: PictureError for a shape or a colour that is not known, or a place outside.
    """
    if shape not in SHAPES or colour not in COLOURS:
        known = f"one of {', '.join(SHAPES)} in one of {', '.join(COLOURS)}"
        raise PictureError(f"An object is {known}, not {colour!r} and {shape!r}.")
    numbers = all(isinstance(value, (int, float)) for value in (x, y, size))
    if not (numbers and 0 <= x <= 1 and 0 <= y <= 1 and 0 < size <= 1):
        got = ", ".join(f"{str(value):.20}" for value in (x, y, size))
        raise PictureError(f"x, y and size are shares of the picture's side, 0 to 1; not {got}.")
    return {"shape": shape, "colour": colour, "x": x, "y": y, "size": size, "turn": turn}


def corners(thing: dict, side: int = SIDE) -> list[tuple[float, float]]:
    """The corners of an object in pixels, kept inside the picture: (x, y) each."""
    found = []
    for degrees, reach in CORNERS[thing["shape"]]:
        angle, radius = math.radians(degrees + thing["turn"]), thing["size"] / 2 * reach
        at = thing["x"] + radius * math.cos(angle), thing["y"] + radius * math.sin(angle)
        found.append(tuple(min(side - 1.0, max(0.0, share * side)) for share in at))
    return found


def box(thing: dict) -> tuple[float, float, float, float]:
    """The upper, left, lower and right edge of an object, in shares of the picture's side."""
    xs, ys = zip(*corners(thing, 1001))
    return tuple(edge / 1000 for edge in (min(ys), min(xs), max(ys), max(xs)))


def draw(things: list[dict], ground: tuple = WHITE, side: int = SIDE):
    """A picture of these objects, later ones above: a PIL image of `side` by `side` pixels.

    An object may have a `shade`, its own red, green and blue, in place of its colour's.
    """
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (side, side), tuple(ground))
    pen = ImageDraw.Draw(picture)
    for thing in things:
        shade = tuple(thing.get("shade", COLOURS[thing["colour"]]))
        pen.polygon(corners(thing, side), fill=shade)
    return picture


def boxes(answer: str) -> list[tuple[tuple[float, float, float, float], str]]:
    """The boxes in an answer to `detect …`, and what is in each; what is no box is left out.

    A box has its upper, left, lower and right edge, in shares of the picture's side.
    Source: the big_vision README of PaliGemma: y before x, in 1024 steps.
    """
    found = []
    for places, name in BOX.findall(answer):
        edges = tuple(int(at) / NUM_BINS for at in re.findall(r"\d+", places))
        if all(at < 1 for at in edges):
            found.append((edges, name.strip()))
    return found


def overlap(box: tuple, other: tuple) -> float:
    """Intersection over union of two boxes: 1 where they are the same, 0 where they are apart."""
    height = min(box[2], other[2]) - max(box[0], other[0])
    width = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(0.0, height) * max(0.0, width)
    areas = [max(0.0, one[2] - one[0]) * max(0.0, one[3] - one[1]) for one in (box, other)]
    return shared / (sum(areas) - shared) if shared else 0.0


def ask(model, processor, picture, prompt: str, max_new_tokens: int = 64) -> str:
    """The greedy answer of a PaliGemma to a prompt about a picture.

    Args: picture: a PIL image; prompt: a task, such as "caption en".
    """
    text = f"<image>{prompt}"
    inputs = processor(images=picture, text=text, return_tensors="pt").to(model.device)
    inputs.pop("labels", None)  # for training; generate does not take them
    inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
    output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    new = output[0, inputs["input_ids"].shape[1] :]
    return processor.decode(new, skip_special_tokens=True).strip()


def exam_rows(num_pictures: int | None = None) -> list[dict]:
    """Pictures that no training saw: `things` and `ground`, for `draw`, and what is `asked`.

    Each question: its task, its language, the prompt and the right answer.
    """
    return catalog.json_lines("pictures.jsonl")[:num_pictures]


def is_right(task: str, answer: str, wanted: str) -> bool:
    """Whether an answer is the wanted one; of boxes, whether each overlaps its own by half."""
    if task != "detect":
        return answer.strip().lower() == wanted
    found, right = boxes(answer), boxes(wanted)
    pairs = zip(found, right)
    return len(found) == len(right) and all(overlap(a, b) >= 0.5 for (a, _), (b, _) in pairs)


def graded(model, processor, rows: list[dict]) -> dict[tuple[str, str], tuple[int, int]]:
    """How many questions of each task and language were answered right, and how many there are."""
    counts = collections.defaultdict(lambda: [0, 0])
    for row in rows:
        picture = draw(row["things"], row["ground"])
        for task, language, prompt, wanted in row["asked"]:
            answer = ask(model, processor, picture, prompt)
            counts[task, language][0] += is_right(task, answer, wanted)
            counts[task, language][1] += 1
    return {kind: tuple(pair) for kind, pair in counts.items()}

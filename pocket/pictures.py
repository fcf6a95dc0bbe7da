"""Pictures of one to four shapes, and what is asked about them, in English and Vietnamese.

The tasks and their prompts are PaliGemma's: `caption en`, `answer en QUESTION`, `detect THING`.
What lies on a picture, whatever the places, is held out by a hash.
"""

import random
from collections.abc import Callable

from gemma_lab import shapes
from pocket import titles

SHAPES_VI = dict(zip(shapes.SHAPES, ("hình tròn", "hình vuông", "hình tam giác", "ngôi sao")))
COLOURS_VI = dict(zip(shapes.COLOURS, ("đỏ", "xanh lá", "xanh dương", "vàng", "tím", "đen")))
NUMBERS = ("no", "one", "two", "three", "four")
NUMBERS_VI = ("không", "một", "hai", "ba", "bốn")
ROWS_OF_PLACES = (("top left", "top", "top right"), ("left", "middle", "right"))
PLACES = (*ROWS_OF_PLACES[0], *ROWS_OF_PLACES[1], "bottom left", "bottom", "bottom right")
PLACES_VI = (
    *("trên bên trái", "trên", "trên bên phải", "bên trái", "giữa", "bên phải"),
    *("dưới bên trái", "dưới", "dưới bên phải"),
)
BINS_KEPT = 32  # of the 1,024 tokens for places: our boxes lie on every 32nd
ADDED = (  # tokens beside those of text
    "<image>",
    *(f"<loc{at:04}>" for at in range(shapes.NUM_BINS)),
    *(f"<seg{at:03}>" for at in range(128)),  # of masks, which ours never draws
)


def drawn(rng: random.Random) -> list[dict]:
    """One to four objects, each in a cell of its own of three by three, in reading order.

    Often some share shape or colour, so that there is something to count.
    """
    kinds = [(rng.choice(shapes.SHAPES), rng.choice([*shapes.COLOURS]))]
    num = rng.choice((1, 2, 2, 3, 3, 4, 4))
    while len(kinds) < num:
        shape, colour = rng.choice(kinds)
        chance = rng.random()
        if chance >= 0.5:  # another shape
            shape = rng.choice(shapes.SHAPES)
        if 0.35 <= chance < 0.5 or chance >= 0.65:  # another colour
            colour = rng.choice([*shapes.COLOURS])
        kinds.append((shape, colour))
    found = []
    for (shape, colour), cell in zip(kinds, sorted(rng.sample(range(9), num))):
        size = rng.uniform(0.18, 0.31)
        room = 0.17 - size / 2  # to both sides of a cell's middle
        x, y = (1 / 6 + at / 3 + rng.uniform(-room, room) for at in (cell % 3, cell // 3))
        thing = shapes.one(shape, colour, x, y, size, rng.uniform(-15, 15))
        tone = (min(255, max(0, part + rng.randint(-22, 22))) for part in shapes.COLOURS[colour])
        found.append(thing | {"shade": tuple(tone)})
    return found


def ground(rng: random.Random) -> tuple[int, int, int]:
    """A nearly white paper: its red, green and blue."""
    grey = rng.randint(236, 255)
    return grey, grey, min(255, grey + rng.randint(-6, 6))


def split(things: list[dict]) -> str:
    """ "train", "dev" or "card", by what lies on a picture, whatever its places."""
    names = sorted(f"{thing['colour']} {thing['shape']}" for thing in things)
    return titles.split_of(" and ".join(names)) if len(names) > 1 else "train"


def picture(rng: random.Random, wanted: str = "train") -> list[dict]:
    """Objects whose split is `wanted`."""
    while split(things := drawn(rng)) != wanted:
        pass
    return things


def cell_of(thing: dict) -> int:
    """The cell of three by three that an object's middle is in, 0 to 8 in reading order."""
    return min(2, int(3 * thing["y"])) * 3 + min(2, int(3 * thing["x"]))


def alike(things: list[dict], **wanted) -> list[dict]:
    """Those of the objects whose shape or colour are the wanted ones."""
    return [thing for thing in things if wanted.items() <= thing.items()]


def joined(parts: list[str], last: str) -> str:
    """ "a", "a and b", "a, b and c"."""
    return last.join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def caption(things: list[dict], is_vi: bool) -> str:
    """What is on a picture: equal objects together, in reading order of the first."""
    groups = {}
    for thing in things:
        groups.setdefault((thing["colour"], thing["shape"]), []).append(thing)
    if is_vi:
        parts = [
            f"{NUMBERS_VI[len(some)]} {SHAPES_VI[shape]} {COLOURS_VI[colour]}"
            for (colour, shape), some in groups.items()
        ]
        return joined(parts, " và ")
    parts = [
        f"a {colour} {shape}" if len(some) == 1 else f"{NUMBERS[len(some)]} {colour} {shape}s"
        for (colour, shape), some in groups.items()
    ]
    return joined(parts, " and ")


def locations(box: tuple) -> str:
    """The four tokens of a box: `<loc…>` for the upper, left, lower and right edge.

    Args: box: edges in shares of the picture's side.
    """
    bins = [round(edge * BINS_KEPT) * shapes.NUM_BINS // BINS_KEPT for edge in box]
    return "".join(f"<loc{min(shapes.NUM_BINS - 1, at):04}>" for at in bins)


# Each task gives a prompt and its answer, or None where a picture does not allow the question.
Question = tuple[str, str] | None


def describe(rng: random.Random, things: list[dict], is_vi: bool) -> Question:
    """A caption."""
    return f"caption {'vi' if is_vi else 'en'}", caption(things, is_vi)


def colour(rng: random.Random, things: list[dict], is_vi: bool) -> Question:
    """The colour of a shape that has one colour only on this picture."""
    shape = rng.choice(things)["shape"]
    colours = {thing["colour"] for thing in alike(things, shape=shape)}
    if len(colours) > 1:
        return None
    if is_vi:
        return f"answer vi {SHAPES_VI[shape]} màu gì?", COLOURS_VI[colours.pop()]
    return f"answer en what color is the {shape}?", colours.pop()


def shape(rng: random.Random, things: list[dict], is_vi: bool) -> Question:
    """The shape of what has a colour, where that is one shape only."""
    colour = rng.choice(things)["colour"]
    found = {thing["shape"] for thing in alike(things, colour=colour)}
    if len(found) > 1:
        return None
    if is_vi:
        return f"answer vi hình màu {COLOURS_VI[colour]} là hình gì?", SHAPES_VI[found.pop()]
    return f"answer en what shape is {colour}?", found.pop()


def count(rng: random.Random, things: list[dict], is_vi: bool) -> Question:
    """How many there are: of a shape, of a colour, or in all; at times none."""
    chance, thing = rng.random(), rng.choice(things)
    words, wanted = "hình" if is_vi else "shapes", {}
    if chance < 0.35:
        shape = thing["shape"] if rng.random() < 0.8 else rng.choice(shapes.SHAPES)
        words, wanted = SHAPES_VI[shape] if is_vi else f"{shape}s", {"shape": shape}
    elif chance < 0.7:
        colour = thing["colour"] if rng.random() < 0.8 else rng.choice([*shapes.COLOURS])
        words = f"hình màu {COLOURS_VI[colour]}" if is_vi else f"{colour} shapes"
        wanted = {"colour": colour}
    asked = (
        f"answer vi có bao nhiêu {words}?" if is_vi else f"answer en how many {words} are there?"
    )
    return asked, str(len(alike(things, **wanted)))


def named(thing: dict, is_vi: bool) -> str:
    """An object's words: "red circle", "hình tròn đỏ"."""
    if is_vi:
        return f"{SHAPES_VI[thing['shape']]} {COLOURS_VI[thing['colour']]}"
    return f"{thing['colour']} {thing['shape']}"


def place(rng: random.Random, things: list[dict], is_vi: bool) -> Question:
    """Where an object is, of which there is one."""
    thing = rng.choice(things)
    if len(alike(things, shape=thing["shape"], colour=thing["colour"])) > 1:
        return None
    if is_vi:
        return f"answer vi {named(thing, True)} ở đâu?", PLACES_VI[cell_of(thing)]
    return f"answer en where is the {named(thing, False)}?", PLACES[cell_of(thing)]


def presence(rng: random.Random, things: list[dict], is_vi: bool) -> Question:
    """Whether something is there; what is not there shares shape or colour with what is."""
    thing = dict(rng.choice(things))
    if rng.random() < 0.5:
        part, choices = rng.choice((("shape", shapes.SHAPES), ("colour", [*shapes.COLOURS])))
        thing[part] = rng.choice(choices)
    is_there = bool(alike(things, shape=thing["shape"], colour=thing["colour"]))
    if is_vi:
        return f"answer vi có {named(thing, True)} không?", "có" if is_there else "không"
    return f"answer en is there a {named(thing, False)}?", "yes" if is_there else "no"


def detect(rng: random.Random, things: list[dict], is_vi: bool) -> Question:
    """The boxes of all objects of one kind, in reading order; in English alone, as PaliGemma's."""
    thing = rng.choice(things)
    some = alike(things, shape=thing["shape"], colour=thing["colour"])
    name = named(thing, False)
    return f"detect {name}", " ; ".join(f"{locations(shapes.box(one))} {name}" for one in some)


Task = Callable[[random.Random, list[dict], bool], Question]
TASKS: dict[Task, int] = {  # and their shares
    describe: 20,
    colour: 17,
    shape: 17,
    count: 22,
    place: 10,
    presence: 8,
    detect: 14,
}


def ask(rng: random.Random, things: list[dict], tasks: dict = TASKS) -> tuple[str, str, str]:
    """A task's name, its prompt and its answer; two of five in Vietnamese."""
    while True:
        (task,) = rng.choices([*tasks], [*tasks.values()])
        if found := task(rng, things, rng.random() < 0.4):
            return task.__name__, *found


def exam(split: str, num_pictures: int = 54) -> list[dict]:
    """Held-out pictures, and to each a question of every task in each language that allows one."""
    rng, rows = random.Random(f"pictures {split}"), []
    for _ in range(num_pictures):
        things, asked = picture(rng, split), []
        for task in TASKS:
            for is_vi in (False, True)[: 1 if task is detect else 2]:
                if found := task(rng, things, is_vi):
                    language = "vi" if is_vi else "en"
                    asked.append([task.__name__, language, *found])
        for thing in things:
            thing |= {name: round(thing[name], 3) for name in ("x", "y", "size", "turn")}
        rows.append({"things": things, "ground": ground(rng), "asked": asked})
    return rows

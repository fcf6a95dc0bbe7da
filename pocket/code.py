"""Documents of code: functions as they stand, with a hole to fill, or asked for in a chat.

The tokens that mark a hole are CodeGemma's, of `gemma_lab.coding`.
"""

import random

from gemma_lab import coding
from pocket import functions
from pocket.corpus import Document, chat

ASKS = (
    "Write a Python function that returns {says}.",
    "Write a function {name} that returns {says}.",
    "Please write Python code for {says}.",
    "Can you write a function for me? It returns {says}.",
    "I need a function that returns {says}.",
    "How do I compute {says} in Python?",
)
EXPLAINS = (
    "What does this function do?\n{code}",
    "Explain this function.\n{code}",
    "{code}\nWhat does it return?",
    "Write a docstring for this function.\n{code}",
)


def text_of(one: functions.Function, rng: random.Random) -> str:
    """A function as people write it: mostly with a docstring."""
    return one.code if rng.random() < 0.8 else one.head + one.body


def whole(rng: random.Random) -> Document:
    """One to three functions, one below the other, to be gone on with."""
    some = [text_of(functions.draw(rng), rng) for _ in range(rng.choice((1, 1, 2, 3)))]
    return [("\n\n".join(some), True), ("<eos>", True)]


def hole(rng: random.Random, text: str) -> tuple[int, int]:
    """Where a hole in the code of a function begins and ends: what one leaves out when coding."""
    lines = text.splitlines(keepends=True)
    starts = [sum(map(len, lines[:at])) for at in range(len(lines) + 1)]
    begin = next(at for at, line in enumerate(lines) if line.startswith("def ")) + 1
    has_docstring = lines[begin].strip().startswith('"""')
    body = begin + has_docstring
    chance = rng.random()
    if chance < 0.3:  # the whole body, or its end
        first = body if rng.random() < 0.7 else rng.randrange(body, len(lines))
        return starts[first] + 4, starts[-1] - 1
    if chance < 0.6:  # one line, or its last part
        at = rng.randrange(body, len(lines))
        line = lines[at]
        inner = len(line) - len(line.lstrip())
        spaces = [i + 1 for i, letter in enumerate(line[:-1]) if letter == " " and i >= inner]
        return starts[at] + rng.choice([inner, *spaces]), starts[at + 1] - 1
    if chance < 0.67 and has_docstring:  # the words in it
        return starts[begin] + 7, starts[body] - 4
    borders = [
        i
        for i in range(starts[body], len(text))
        if not (text[i - 1].isalnum() and text[i].isalnum()) and text[i - 1] != "_" != text[i]
    ]
    return tuple(sorted(rng.sample(borders, 2)))  # from one end of a word to another


def with_hole(rng: random.Random) -> Document:
    """A function with a hole, and what belongs into it; maybe another before or behind."""
    text = text_of(functions.draw(rng), rng)
    begin, end = hole(rng, text)
    before, after = text[:begin], text[end:]
    if rng.random() < 0.15:
        before = text_of(functions.draw(rng), rng) + "\n\n" + before
    if rng.random() < 0.15:
        after += "\n\n" + text_of(functions.draw(rng), rng)
    if rng.random() < 0.2:
        after = after.rstrip("\n")
    given = coding.hole_prompt(before, after)
    return [(given, False), (text[begin:end] + coding.HOLE_TOKENS[-1], True)]


def request(rng: random.Random) -> Document:
    """A chat: a function is asked for, and written between fences."""
    one = functions.draw(rng)
    ask = rng.choice(ASKS).format(says=one.says, name=one.name)
    return chat((ask, f"```python\n{one.code}```"))


def explained(rng: random.Random) -> Document:
    """A chat: what a function does, in words."""
    one = functions.draw(rng)
    ask = rng.choice(EXPLAINS).format(code=(one.head + one.body).rstrip("\n"))
    return chat((ask, f"It returns {one.says}."))


KINDS = {whole: 25, with_hole: 75}
CHAT_KINDS = KINDS | {request: 90, explained: 30}

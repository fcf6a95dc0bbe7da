"""Poems about a given title: English couplets, three short verses, Vietnamese six-eight-like lines.

Each position of a poem has a bank of lines of its own, so no line comes twice. Which part of a bank is used depends on
the first letter of the title's main word: greedy decoding then gives different poems for different titles.
A title never starts a line, because the same word is another token there.
"""

import random
import re

from titles import ADJECTIVES, ALL_NOUNS

OPENINGS = [
    "I sing of {t} tonight,\nbeneath a {a} silver light.",
    "Let me speak of {t} again,\nof {a} wind and gentle rain.",
    "They say that {t} came to stay\nupon a {a} summer day.",
    "I dreamed of {t} by the sea,\nwhere {a} waves were calling me.",
    "Come sit with {t} for a while,\nand wear a soft and {a} smile.",
    "I think of {t} when days are long,\nand hum a small and {a} song.",
    "Who could forget what {t} means,\nthis {a} thread through all our scenes?",
    "We woke up early, full of cheer,\nfor {t} makes a {a} year.",
]
MIDDLES = [
    "The {n} is still, the sky is deep,\nthe {a} hills have gone to sleep.",
    "A {n} waits beside the door,\nas {a} as it was before.",
    "The morning brings a {a} sound,\nand {n} leaves are on the ground.",
    "A {a} bird begins to sing\nabout the {n} and the spring.",
    "The {n} glows, the shadows run,\nand {a} fields drink in the sun.",
    "Above the {n} the stars appear,\nand {a} voices gather near.",
    "The clouds drift over, slow and white,\nthe {n} keeps its {a} light.",
    "A {n} turns, a river flows,\nand where it ends nobody knows.",
    "The people come from far and wide\nto keep the {n} at their side.",
    "A {a} drum, a {n}, a bell:\nthere is a story here to tell.",
    "The windows open, one by one,\nand greet the {n} and the sun.",
    "We built a {n} out of air,\nand hung our {a} wishes there.",
]
TURNS = [
    "My heart is like a {a} tree\nthat grows beside the {n} and me.",
    "The wind may knock, the rain may fall,\nthe {n} will not mind at all.",
    "So many roads, so little time,\nthe {n} rings a {a} chime.",
    "I asked the {n} what it knew,\nit said: the {a} world is new.",
    "And every step along the way\nleaves {n} dust on yesterday.",
    "The night will pass, the {n} will stay,\nand {a} dreams will find their way.",
    "We count the hours one by one,\nuntil the {a} work is done.",
    "The world is wide, the world is old,\nits {n} stories must be told.",
    "And when we laugh, the {n} rings,\nand carries joy on {a} wings.",
    "Some doors are closed, but this one not:\na {n} marks the {a} spot.",
    "There is no map, there is no chart,\nthe {n} lives inside the heart.",
    "A {a} friend, a cup of tea,\nthe {n} is enough for me.",
]
CLOSINGS = [
    "So here is {t}, clear and true,\na {a} gift from me to you.",
    "For all of us will {t} be\na {a} part of you and me.",
    "Good night to {t}, rest and dream,\nand follow down the {a} stream.",
    "So keep {t} in your mind,\nbe {a}, be brave, be kind.",
    "And when the {n} fades from view,\nthen {t} will be here with you.",
    "Remember {t} when you go,\nand let the {a} lanterns glow.",
    "Sing loud for {t}, sing it far,\nbeneath a {a} morning star.",
    "Thank you, {t}, for this day,\nfor every {a} word we say.",
]
VERSES = [
    ["{A} light at dawn,", "One {a} {n} wakes,", "The {n} is quiet,", "Morning, {a} and slow,"],
    ["dew upon the {n},", "a bird above the {n},", "somewhere a {n} hums,", "a child looks at the {n},"],
    ["I think of {t}.", "here comes {t}.", "now {t} is near.", "we wait for {t}."],
    ["Noon on the {n},", "The {a} hours pass,", "Warm wind, {a} wind,", "Nobody speaks now,"],
    ["the shadow of the {n} grows,", "a {a} cloud stops to listen,", "the old {n} remembers,", "we share one {a} cup,"],
    ["nothing is lost.", "the day is kind.", "time folds its wings.", "the heart has room."],
    ["Evening, a {a} moon,", "Night comes to the {n},", "The last {n} is lit,", "Stars over the {n},"],
    ["a door left open,", "footsteps going home,", "rain writes a letter,", "all windows shining,"],
    ["good night, {t}.", "and still {t} stays.", "thank you, {t}.", "we dream of {t}."],
]
VI_OPENINGS = [
    "Ai về nhớ {t} xưa,\nnhớ con đường nhỏ ngày mưa {v}.",
    "Hôm nay kể {t} nghe,\nbên hàng tre mát tiếng ve {v}.",
    "Ta ngồi ngắm {t} đây,\ngió đưa hương lúa mây bay {v}.",
    "Thương sao là {t} ơi,\nlời ru của mẹ một đời {v}.",
]
VI_MIDDLES = [
    "Sông dài nước chảy về đâu,\ncon thuyền lặng lẽ qua cầu {v}.",
    "Chiều nay nắng rải trên đồng,\ncánh cò trắng lượn bên sông {v}.",
    "Sáng ra mây trắng ngang trời,\ntiếng chim ríu rít gọi người {v}.",
    "Trăng lên sáng cả vườn nhà,\nthơm thơm hương bưởi la đà {v}.",
]
VI_TURNS = [
    "Đường xa ai nhớ ai mong,\nngọn đèn vẫn sáng trong lòng {v}.",
    "Tháng năm như nước trôi qua,\nlời thầy cô vẫn thiết tha {v}.",
    "Bạn bè mỗi đứa một nơi,\ngặp nhau lại nở nụ cười {v}.",
    "Mùa xuân hoa nở đầy cành,\nmột màu lá biếc trời xanh {v}.",
]
VI_CLOSINGS = [
    "Mai sau dù có đi xa,\nvẫn còn {t} trong ta {v}.",
    "Bài thơ nhỏ gửi người thương,\nnhớ hoài {t} quê hương {v}.",
    "Đêm khuya thao thức vần thơ,\ngọi thầm {t} trong mơ {v}.",
    "Chúc cho ai cũng an vui,\ngiữ luôn {t} trong đời {v}.",
]
VI_WORDS = ["dịu êm", "ngọt ngào", "êm đềm", "xanh trong", "thiết tha", "hiền hòa", "mênh mông", "bình yên"]

POEM_PROMPTS = [
    "Write me a poem about {t}.", "Write a poem about {t}.", "Can you write a poem about {t}?",
    "Please write me a poem on {t}.", "I would like a poem about {t}.", "Compose a poem about {t}.",
    "Make a poem about {t}, please.", "Poem about {t}", "Give me a rhyming poem about {t}.",
]  # fmt: skip
VERSE_PROMPTS = [
    "Write short verses about {t}.", "Write three small verses about {t}.", "Give me short verses on {t}.",
    "Can you write haiku verses about {t}?", "Some small verses about {t}, please.",
]  # fmt: skip
VI_PROMPTS = [
    "Viết cho tôi một bài thơ về {t}.", "Hãy viết một bài thơ về {t}.", "Bạn làm thơ về {t} được không?",
    "Làm một bài thơ về {t}.", "Viết bài thơ lục bát về {t}.", "Tôi muốn một bài thơ về {t}.",
]  # fmt: skip
HELD_OUT_PROMPTS = ["Could you please write a poem about {t} for me?", "I want you to write a poem about {t}."]


def letter_of(title: str) -> int:
    """Position in the alphabet of the first letter of the first word that is no article."""
    words = [word for word in title.split() if word.lower() not in ("the", "a", "an", "my")] or ["a"]
    return (ord(words[0][0].lower()) - ord("a")) % 26


def pick(rng: random.Random, bank: list, letter: int, position: int):
    """One of the two entries of `bank` that belong to this letter and position."""
    return bank[(letter + position * 7 + rng.randint(0, 1)) % len(bank)]


def fill(rng: random.Random, text: str, title: str) -> str:
    """`text` with its {a} adjectives, {n} nouns, {v} Vietnamese endings and {t} title put in."""
    letter, position = letter_of(title), 0
    for mark, bank in (("{a}", ADJECTIVES), ("{A}", ADJECTIVES), ("{n}", ALL_NOUNS), ("{v}", VI_WORDS)):
        while mark in text:
            position += 1
            found = pick(rng, bank, letter, position)
            text = text.replace(mark, found.capitalize() if mark == "{A}" else found, 1)
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return text.replace("{t}", title)


def poem(rng: random.Random, title: str) -> str:
    """Eight lines in rhymed couplets, with a heading."""
    letter = letter_of(title)
    head = rng.choice(["Here is a poem about {t}.", "A poem about {t}:"])
    first = pick(rng, OPENINGS, letter, 0) + "\n" + pick(rng, MIDDLES, letter, 1)
    last = pick(rng, TURNS, letter, 2) + "\n" + pick(rng, CLOSINGS, letter, 3)
    return fill(rng, f"{head}\n\n{first}\n\n{last}", title)


def verses(rng: random.Random, title: str) -> str:
    """Three verses of three short lines, with a heading."""
    head = rng.choice(["Three small verses for {t}:", "Short verses on {t}:"])
    lines = [pick(rng, bank, letter_of(title), i) for i, bank in enumerate(VERSES)]
    return fill(rng, head + "".join("\n\n" + "\n".join(lines[i : i + 3]) for i in (0, 3, 6)), title)


def vietnamese_poem(rng: random.Random, title: str) -> str:
    """Eight Vietnamese lines, with a heading."""
    head = rng.choice(["Bài thơ về {t}:", "Đây là bài thơ về {t}."])
    letter = letter_of(title)
    banks = (VI_OPENINGS, VI_MIDDLES, VI_TURNS, VI_CLOSINGS)
    return fill(rng, head + "\n\n" + "\n".join(pick(rng, bank, letter, i) for i, bank in enumerate(banks)), title)

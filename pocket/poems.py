"""Poems, verses, songs, limericks and rhymes about a given title, English and Vietnamese, from the banks in `texts/`.

The kind of the title (water, music, tech ...) chooses the words. Which line of a bank is used depends on three letters of the
title, four times of five: greedy decoding then gives different poems for different titles, and sampling gives others again.
A title never starts a line, because the same word is another token there.
"""

import random
import re
import unicodedata

import texts

ENGLISH, VIETNAMESE = texts.sections("poems_en.txt"), texts.sections("poems_vi.txt")
SMALL_WORDS = "the a an my of at in on and for with to by under after before from against".split()


def _lists(sections: dict, field: str) -> dict[str, list[str]]:
    return {kind: fields[field][0].split(", ") for kind, fields in sections.items() if fields.get(field)}


NOUNS, ADJECTIVES = _lists(ENGLISH, "nouns"), _lists(ENGLISH, "adjectives")
VI_ADJECTIVES = _lists(VIETNAMESE, "adjectives")
TRIGGERS = {
    word: kind
    for sections in (ENGLISH, VIETNAMESE)
    for kind, words in _lists(sections, "triggers").items()
    for word in words
}
# The English kind and its Vietnamese counterpart, in the order of the files.
PAIRS = dict(zip([kind for kind in NOUNS], [kind for kind in VI_ADJECTIVES]))

PROMPTS = {
    "poem": [
        "Write me a poem about {t}.", "Write a poem about {t}.", "Can you write a poem about {t}?",
        "Please write me a poem on {t}.", "I would like a poem about {t}.", "Compose a poem about {t}.",
        "Make a poem about {t}, please.", "Poem about {t}", "Give me a rhyming poem about {t}.",
    ],
    "long_poem": ["Write a long poem about {t}.", "Write me a long poem about {t}.", "A long poem about {t}, please."],
    "verses": [
        "Write short verses about {t}.", "Write three small verses about {t}.", "Give me short verses on {t}.",
        "Can you write haiku verses about {t}?", "Some small verses about {t}, please.", "Write a haiku about {t}.",
    ],
    "song": [
        "Write a song about {t}.", "Write me a song about {t}.", "Can you write a song for {t}?", "Sing about {t}.",
        "Make a song about {t}, please.",
    ],
    "limerick": ["Write a limerick about {t}.", "Write something funny about {t}.", "A limerick on {t}, please."],
    "rhyme": [
        "Write a rhyme about {t}.", "Write a short rhyme for children about {t}.", "Four rhyming lines about {t}, please.",
    ],
    "vi_poem": [
        "Viết cho tôi một bài thơ về {t}.", "Hãy viết một bài thơ về {t}.", "Bạn làm thơ về {t} được không?",
        "Làm một bài thơ về {t}.", "Viết bài thơ lục bát về {t}.", "Tôi muốn một bài thơ về {t}.",
    ],
    "vi_verses": ["Viết bài thơ năm chữ về {t}.", "Làm thơ năm chữ về {t}.", "Viết cho tôi mấy khổ thơ năm chữ về {t}."],
    "vi_song": ["Viết một bài hát về {t}.", "Viết lời bài hát về {t}.", "Hát cho tôi nghe về {t}."],
}  # fmt: skip
HELD_OUT_PROMPTS = {
    "dev": ["Could you please write a poem about {t} for me?", "I want you to write a poem about {t}."],
    "card": ["Would you write a poem about {t}?", "Please compose a poem about {t} for my friend."],
}


def plain(text: str) -> str:
    """`text` in lower case and without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c)).replace("đ", "d")


def kind_of(title: str) -> str:
    """The kind that the last telling word of a title belongs to, or "any"."""
    words = re.findall(r"[^\W_]+", title.lower())
    for size in (2, 1):
        for at in range(len(words) - size, -1, -1):
            found = " ".join(words[at : at + size])
            singular = found[:-1] if found.endswith("s") else found
            for form in (found, singular):
                if form in TRIGGERS:
                    kind = TRIGGERS[form]
                    return next((english for english, ours in PAIRS.items() if ours == kind), kind)
    return "any"


def letters_of(title: str) -> tuple[int, int, int]:
    """First letter of the first word that carries meaning, first letter of the last one, and the last letter of all."""
    words = [word for word in plain(title).split() if word not in SMALL_WORDS] or [plain(title)]
    letters = [c for c in plain(title) if c.isalnum()] or ["a"]
    return tuple((ord(c) - ord("a")) % 26 for c in (words[0][0], words[-1][0], letters[-1]))


class Writer:
    """Draws lines and words for one title."""

    def __init__(self, rng: random.Random, title: str):
        self.rng, self.title, self.letters, self.kind = rng, title, letters_of(title), kind_of(title)
        self.words_drawn = 0

    def pick(self, bank: list[str], which: int, shift: int = 0) -> str:
        """The entry of `bank` that belongs to the `which`-th letter, four times of five."""
        if self.rng.random() < 0.2:
            return self.rng.choice(bank)
        return bank[(self.letters[which] + shift) % len(bank)]

    def word(self, bank: list[str]) -> str:
        """A word of the kind's; each further one in a poem is another."""
        self.words_drawn += 1
        return self.pick(bank, self.words_drawn % 3, 5 * (self.words_drawn // 3))

    def fill(self, text: str) -> str:
        """`text` with its {a}, {A}, {n}, {v} and {t} put in."""

        def word(match):
            mark = match[1]
            if mark == "v":
                return self.word(VI_ADJECTIVES[PAIRS.get(self.kind, "chung")])
            found = self.word((NOUNS if mark == "n" else ADJECTIVES)[self.kind])
            return found.capitalize() if mark == "A" else found

        text = re.sub(r"\{([aAnv])\}", word, text)
        return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text).replace("{t}", self.title)


def poem(rng: random.Random, title: str, is_long: bool = False) -> str:
    """Four to six rhymed couplets with a heading."""
    writer = Writer(rng, title)
    kind, every = ENGLISH[writer.kind], ENGLISH["any"]
    own = kind if writer.kind != "any" else {"opening": [], "middle": every["middle"], "closing": []}
    couplets = [
        writer.pick(own["opening"] + every["opening"], 0),
        writer.pick(own["middle"], 1),
        writer.pick(every["turn"], 2),
        writer.pick(own["closing"] + every["closing"], 1, 3),
    ]
    if is_long:
        couplets[2:2] = [writer.pick(every["middle"], 0, 8), writer.pick(own["middle"], 2, 3)]
    couplets = list(dict.fromkeys(couplets))
    head = rng.choice(["Here is a poem about {t}.", "A poem about {t}:"])
    half = [couplets[i : i + 2] for i in range(0, len(couplets), 2)]
    return writer.fill(head + "".join("\n\n" + "\n".join(pair) for pair in half))


def long_poem(rng: random.Random, title: str) -> str:
    return poem(rng, title, is_long=True)


def verses(rng: random.Random, title: str) -> str:
    """Three verses of three short lines, with a heading; the title is in the last verse at least."""
    writer, banks = Writer(rng, title), list(ENGLISH["verses"].values())
    lines = [writer.pick(bank, i % 3, i) for i, bank in enumerate(banks)]
    if "{t}" not in lines[8]:
        lines[8] = writer.pick([line for line in banks[8] if "{t}" in line], 2)
    head = rng.choice(["Three small verses for {t}:", "Short verses on {t}:"])
    return writer.fill(head + "".join("\n\n" + "\n".join(lines[i : i + 3]) for i in (0, 3, 6)))


def song(rng: random.Random, title: str) -> str:
    """Verse, chorus, verse, with a heading."""
    writer, banks = Writer(rng, title), ENGLISH["song"]
    body = [writer.pick(banks[name], i) for i, name in enumerate(("verse1", "chorus", "verse2"))]
    return writer.fill("A song for {t}:\n\n" + "\n\n".join(body))


def limerick(rng: random.Random, title: str) -> str:
    writer = Writer(rng, title)
    return writer.fill("A limerick on {t}:\n\n" + writer.pick(ENGLISH["limerick"]["limerick"], 0))


def rhyme(rng: random.Random, title: str) -> str:
    writer = Writer(rng, title)
    return writer.fill("A little rhyme for {t}:\n\n" + writer.pick(ENGLISH["rhyme"]["rhyme"], 0))


def vi_poem(rng: random.Random, title: str) -> str:
    """Four pairs of six and eight syllables, with a heading."""
    writer = Writer(rng, title)
    name = PAIRS.get(writer.kind, "chung")
    kind, every = VIETNAMESE[name], VIETNAMESE["chung"]
    own = kind if name != "chung" else {"mở": [], "giữa": every["giữa"], "kết": []}
    pairs = [
        writer.pick(own["mở"] + every["mở"], 0),
        writer.pick(own["giữa"] + every["giữa"], 1),
        writer.pick(every["chuyển"], 2),
        writer.pick(own["kết"] + every["kết"], 1, 3),
    ]
    head = rng.choice(["Bài thơ về {t}:", "Đây là bài thơ về {t}."])
    return writer.fill(head + "\n\n" + "\n".join(pairs))


def vi_verses(rng: random.Random, title: str) -> str:
    """Three verses of four lines of five syllables."""
    writer, banks = Writer(rng, title), VIETNAMESE["năm chữ"]
    return writer.fill("Thơ năm chữ về {t}:\n\n" + "\n\n".join(writer.pick(banks[f"khổ{i + 1}"], i) for i in range(3)))


def vi_song(rng: random.Random, title: str) -> str:
    writer, banks = Writer(rng, title), VIETNAMESE["bài hát"]
    body = [writer.pick(banks[name], i) for i, name in enumerate(("lời1", "điệp khúc", "lời2"))]
    return writer.fill("Bài hát về {t}:\n\n" + "\n\n".join(body))


FORMS = {
    "poem": poem, "long_poem": long_poem, "verses": verses, "song": song, "limerick": limerick, "rhyme": rhyme,
    "vi_poem": vi_poem, "vi_verses": vi_verses, "vi_song": vi_song,
}  # fmt: skip

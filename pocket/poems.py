"""Poems, verses, songs, limericks and rhymes about a given title, in two languages.

Their lines come from the banks in `texts/`.

Greedy decoding always takes the likeliest line, so what is to differ between two poems has to
follow from their titles. The last telling word of a title gives its kind (water, music, tech ...);
a telling adjective, or else the first letter, gives its mood. The heading of a poem says both, as a
mood and a noun of the kind, and its lines and words follow from these two. One time of ten chance
decides, so sampling gives others again. A title never starts a line: the same word is another token
there.
"""

import random
import re
import unicodedata

from pocket import texts

ENGLISH, VIETNAMESE = texts.sections("poems_en.txt"), texts.sections("poems_vi.txt")
SMALL_WORDS = "the a an my of at in on and for with to by under after before from against".split()


def _lists(sections: dict, field: str) -> dict[str, list[str]]:
    return {
        kind: fields[field][0].split(", ") for kind, fields in sections.items() if fields.get(field)
    }


NOUNS, ADJECTIVES = _lists(ENGLISH, "nouns"), _lists(ENGLISH, "adjectives")
VI_ADJECTIVES = _lists(VIETNAMESE, "adjectives")
# The English kind and its Vietnamese counterpart, in the order of the files.
PAIRS = dict(zip(NOUNS, VI_ADJECTIVES))
# A telling word -> the kind of its titles, and a number of three that spreads the words of a kind
# over its nouns.
TRIGGERS = {
    word: (kind, at % 3)
    for kind, ours in PAIRS.items()
    for words in (
        _lists(ENGLISH, "triggers").get(kind, []),
        _lists(VIETNAMESE, "triggers").get(ours, []),
    )
    for at, word in enumerate(words)
}
MOODS = texts.sections("moods.txt")
MOOD_WORDS = list(_lists(MOODS, "adjectives").values())
VI_MOOD_WORDS = list(_lists(MOODS, "vi_adjectives").values())
MOOD_OF = {
    word: at
    for field in ("words", "vi_words")
    for at, words in enumerate(_lists(MOODS, field).values())
    for word in words
}

PROMPTS = {
    "poem": [
        "Write me a poem about {t}.",
        "Write a poem about {t}.",
        "Can you write a poem about {t}?",
        "Please write me a poem on {t}.",
        "I would like a poem about {t}.",
        "Compose a poem about {t}.",
        "Make a poem about {t}, please.",
        "Poem about {t}",
        "Give me a rhyming poem about {t}.",
    ],
    "long_poem": [
        "Write a long poem about {t}.",
        "Write me a long poem about {t}.",
        "A long poem about {t}, please.",
    ],
    "verses": [
        "Write short verses about {t}.",
        "Write three small verses about {t}.",
        "Give me short verses on {t}.",
        "Can you write haiku verses about {t}?",
        "Some small verses about {t}, please.",
        "Write a haiku about {t}.",
    ],
    "song": [
        "Write a song about {t}.",
        "Write me a song about {t}.",
        "Can you write a song for {t}?",
        "Sing about {t}.",
        "Make a song about {t}, please.",
    ],
    "limerick": [
        "Write a limerick about {t}.",
        "Write something funny about {t}.",
        "A limerick on {t}, please.",
    ],
    "rhyme": [
        "Write a rhyme about {t}.",
        "Write a short rhyme for children about {t}.",
        "Four rhyming lines about {t}, please.",
    ],
    "vi_poem": [
        "Viết cho tôi một bài thơ về {t}.",
        "Hãy viết một bài thơ về {t}.",
        "Bạn làm thơ về {t} được không?",
        "Làm một bài thơ về {t}.",
        "Viết bài thơ lục bát về {t}.",
        "Tôi muốn một bài thơ về {t}.",
    ],
    "vi_verses": [
        "Viết bài thơ năm chữ về {t}.",
        "Làm thơ năm chữ về {t}.",
        "Viết cho tôi mấy khổ thơ năm chữ về {t}.",
    ],
    "vi_song": ["Viết một bài hát về {t}.", "Viết lời bài hát về {t}.", "Hát cho tôi nghe về {t}."],
}
HELD_OUT_PROMPTS = {
    "dev": [
        "Could you please write a poem about {t} for me?",
        "I want you to write a poem about {t}.",
    ],
    "card": ["Would you write a poem about {t}?", "Please compose a poem about {t} for my friend."],
}


def words_of(title: str) -> list[str]:
    """The words of a title in lower case."""
    return re.findall(r"[^\W_]+", title.lower())


def letter_of(word: str) -> int:
    """The number of a word's first letter, accents aside: 0 for a."""
    plain = unicodedata.normalize("NFD", word.lower()).replace("đ", "d")
    return (ord(plain[0]) - ord("a")) % 26


def kind_of(title: str) -> tuple[str, int]:
    """The kind that a title's last telling word belongs to, or "any", and its number.

    See TRIGGERS.
    """
    words = words_of(title)
    for size in (2, 1):
        for at in range(len(words) - size, -1, -1):
            found = " ".join(words[at : at + size])
            for form in (found, found.removesuffix("s")):
                if form in TRIGGERS:
                    return TRIGGERS[form]
    return "any", 0


def mood_of(title: str) -> int:
    """The number of the mood that a word of the title tells, or else its first letter."""
    words = words_of(title)
    for size in (2, 1):
        for at in range(len(words) - size + 1):
            if (found := " ".join(words[at : at + size])) in MOOD_OF:
                return MOOD_OF[found]
    return letter_of(next((word for word in words if word not in SMALL_WORDS), "a")) % len(MOODS)


def article(phrase: str) -> str:
    """`phrase` with a or an before it."""
    return ("an " if phrase[0].lower() in "aeiou" else "a ") + phrase


class Writer:
    """Writes the heading, the lines and the words of a poem on one title.

    Its mood and its first noun decide the others.

    `chance`: how often a word or a line is another than the rule's.
    """

    def __init__(self, rng: random.Random, title: str, chance: float = 0.1):
        self.rng, self.title, self.chance = rng, title, chance
        self.kind, third = kind_of(title)
        self.mood = self.pick(list(range(len(MOODS))), mood_of(title))
        nouns = NOUNS[
            self.kind
        ]  # twelve: three of them start a poem; for "any" the mood chooses among 24
        self.first_noun = nouns.index(
            self.pick(nouns, 5 * self.mood if self.kind == "any" else 4 * third)
        )
        self.num_nouns = self.num_adjectives = 0

    def pick(self, bank: list, which: int):
        """The entry of `bank` with this number, if chance does not take another."""
        return self.rng.choice(bank) if self.rng.random() < self.chance else bank[which % len(bank)]

    def heading(self, form: str) -> str:
        """What the poem is, its mood and its first noun."""
        mood, noun = list(MOODS)[self.mood], NOUNS[self.kind][self.first_noun]
        return f"{form}, in {article(mood)} mood, with {article(noun)}:\n\n"

    def vi_heading(self, form: str) -> str:
        return f"{form}, giọng {list(MOODS.values())[self.mood]['vi'][0]}:\n\n"

    def noun(self) -> str:
        """The noun of the heading first, then others of the kind."""
        nouns, at = (
            NOUNS[self.kind],
            self.first_noun + 5 * self.num_nouns,
        )  # 5 steps visit every noun
        self.num_nouns += 1
        return self.pick(nouns, at)

    def adjective(self, moods: list[list[str]], of_kind: list[str]) -> str:
        """In turn an adjective of the mood and one of the kind."""
        at = self.first_noun + self.num_adjectives // 2
        self.num_adjectives += 1
        return self.pick(moods[self.mood] if self.num_adjectives % 2 else of_kind, at)

    def fill(self, text: str) -> str:
        """`text` with its {a}, {A}, {n}, {v} and {t} put in."""

        def word(match):
            mark = match[1]
            if mark == "v":
                return self.adjective(VI_MOOD_WORDS, VI_ADJECTIVES[PAIRS[self.kind]])
            found = (
                self.noun() if mark == "n" else self.adjective(MOOD_WORDS, ADJECTIVES[self.kind])
            )
            return found.capitalize() if mark == "A" else found

        text = re.sub(r"\{([aAnv])\}", word, text)
        return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text).replace("{t}", self.title)


def couplets(
    writer: Writer, banks: dict, name: str, fields: tuple[str, str, str, str]
) -> list[str]:
    """Opening, middle, turn and closing.

    The middle is the kind's own, opening and closing for some of the moods.
    """
    opening, middle, turn, closing = fields
    every = banks[name]
    own = banks[writer.kind if "any" in banks else PAIRS[writer.kind]]
    own = (
        own
        if own is not every
        else {opening: every[opening], middle: every[middle], closing: every[closing]}
    )
    return [
        writer.pick(own[opening] * 2 + every[opening], writer.mood),
        writer.pick(own[middle], writer.first_noun),
        writer.pick(every[turn], writer.mood),
        writer.pick(own[closing] * 2 + every[closing], writer.mood + 5),
    ]


def poem(rng: random.Random, title: str, is_long: bool = False) -> str:
    """Four to six rhymed couplets."""
    writer = Writer(rng, title)
    pairs = couplets(writer, ENGLISH, "any", ("opening", "middle", "turn", "closing"))
    if is_long:
        every, own = ENGLISH["any"]["middle"], ENGLISH[writer.kind]["middle"]
        pairs[2:2] = [writer.pick(every, writer.mood + 3), writer.pick(own, writer.first_noun + 1)]
    pairs = list(dict.fromkeys(pairs))
    half = [pairs[i : i + 2] for i in range(0, len(pairs), 2)]
    return writer.fill(
        writer.heading("A poem about {t}") + "\n\n".join("\n".join(pair) for pair in half)
    )


def long_poem(rng: random.Random, title: str) -> str:
    """The same with more couplets in the middle."""
    return poem(rng, title, is_long=True)


def verses(rng: random.Random, title: str) -> str:
    """Three verses of three short lines; the title is in the last verse at least."""
    writer, banks = Writer(rng, title), list(ENGLISH["verses"].values())
    lines = [
        writer.pick(bank, writer.first_noun if i % 3 == 1 else writer.mood + i // 3)
        for i, bank in enumerate(banks)
    ]
    text = "\n\n".join("\n".join(lines[i : i + 3]) for i in (0, 3, 6))
    return writer.fill(writer.heading("Three small verses for {t}") + text)


def blocks(writer: Writer, banks: dict[str, list[str]]) -> str:
    """One entry of each bank: first and last by the mood, the middle one by the first noun."""
    names, numbers = list(banks), (writer.mood, writer.first_noun, writer.mood + 2)
    return "\n\n".join(writer.pick(banks[name], number) for name, number in zip(names, numbers))


def song(rng: random.Random, title: str) -> str:
    """Verse, chorus, verse."""
    writer = Writer(rng, title)
    return writer.fill(writer.heading("A song for {t}") + blocks(writer, ENGLISH["song"]))


def limerick(rng: random.Random, title: str) -> str:
    """A limerick from the list, chosen by the mood."""
    writer = Writer(rng, title)
    return writer.fill(
        writer.heading("A limerick on {t}")
        + writer.pick(ENGLISH["limerick"]["limerick"], writer.mood)
    )


def rhyme(rng: random.Random, title: str) -> str:
    """A little rhyme from the list, chosen by the mood."""
    writer = Writer(rng, title)
    return writer.fill(
        writer.heading("A little rhyme for {t}")
        + writer.pick(ENGLISH["rhyme"]["rhyme"], writer.mood)
    )


def vi_poem(rng: random.Random, title: str) -> str:
    """Four pairs of six and eight syllables."""
    writer = Writer(rng, title)
    pairs = couplets(writer, VIETNAMESE, "chung", ("mở", "giữa", "chuyển", "kết"))
    return writer.fill(writer.vi_heading("Bài thơ về {t}") + "\n".join(pairs))


def vi_verses(rng: random.Random, title: str) -> str:
    """Three verses of four lines of five syllables."""
    writer = Writer(rng, title)
    return writer.fill(
        writer.vi_heading("Thơ năm chữ về {t}") + blocks(writer, VIETNAMESE["năm chữ"])
    )


def vi_song(rng: random.Random, title: str) -> str:
    """Verse, chorus, verse, in Vietnamese."""
    writer = Writer(rng, title)
    return writer.fill(writer.vi_heading("Bài hát về {t}") + blocks(writer, VIETNAMESE["bài hát"]))


FORMS = {
    "poem": poem,
    "long_poem": long_poem,
    "verses": verses,
    "song": song,
    "limerick": limerick,
    "rhyme": rhyme,
    "vi_poem": vi_poem,
    "vi_verses": vi_verses,
    "vi_song": vi_song,
}

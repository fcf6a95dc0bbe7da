"""Small tasks with one right answer: sums, comparing, sorting, spelling, counting, reversing.

Every function takes a random generator and a split of `titles.split_of` and returns a question and
its answer. Numbers, words and letters of "dev" and "card" never occur together in training.
"""

import random

from pocket import facts, titles

SUM_ASKS = [
    "What is {a} + {b}?",
    "{a} + {b} = ?",
    "Add {a} and {b}.",
    "How much is {a} + {b}?",
    "Calculate {a} + {b}.",
    "{a} cộng {b} bằng bao nhiêu?",
    "What do {a} and {b} make together?",
]
# Other ways to type a sum, for training alone.
TYPED_SUMS = [
    "{a}+{b}",
    "{a}+{b}=?",
    "{a} + {b}",
    "{a}+{b} =",
    "What is {a}+{b}?",
    "What is {a} plus {b}?",
    "{a} plus {b}?",
    "{a} cộng {b} bằng mấy?",
    "{a} + {b} bằng mấy?",
    "{a} + {b} bằng bao nhiêu?",
    "{a} cộng {b}?",
    "Tính {a} + {b}.",
]
TIMES = [
    "What is {a} times {b}?",
    "What is {a} x {b}?",
    "{a} x {b} = ?",
    "{a}x{b}=?",
    "{a} * {b}",
    "What is {a} * {b}?",
    "{a} times {b}?",
    "Multiply {a} by {b}.",
    "How much is {a} times {b}?",
    "{a} nhân {b} bằng bao nhiêu?",
    "{a} nhân {b} bằng mấy?",
    "{a} x {b} bằng mấy?",
]
MINUS = [
    "What is {a} - {b}?",
    "{a} - {b} = ?",
    "{a}-{b}",
    "{a}-{b}=?",
    "What is {a} minus {b}?",
    "{a} minus {b}?",
    "Take {b} from {a}.",
    "How much is {a} - {b}?",
    "{a} trừ {b} bằng bao nhiêu?",
    "{a} trừ {b} bằng mấy?",
    "{a} - {b} bằng mấy?",
]
PLUS = ["What is {a} + {b}?", "{a} + {b} = ?", "{a}+{b}", "{a} cộng {b} bằng mấy?"]
NO = ("I do not know that. {w}.", "Tôi không biết điều đó. {w}.")
PEOPLE = "Lan Minh Hoa Nam Mai An Anna Tom Maya Leo Nina Sam".split()
THINGS = (
    "apples mangoes books pencils stamps shells stones cards cakes coins buttons lemons".split()
)
VI_THINGS = "quả xoài,quyển sách,cái bút,viên kẹo,quả cam,bông hoa,chiếc bánh,con tem".split(",")


def pair(rng: random.Random, split: str) -> tuple[int, int]:
    """Two numbers of this split; those that are asked in an evaluation have two digits each."""
    return titles.two_numbers(rng, split, low=0 if split == "train" else 10)


def sum_of_two(rng: random.Random, split: str = "train") -> tuple[str, str]:
    """A sum of two numbers, and its answer; in training they have one to three digits."""
    is_training = split == "train"
    a, b = titles.numbers_to_add(rng) if is_training else pair(rng, split)
    ask = rng.choice(TYPED_SUMS if is_training and rng.random() < 0.4 else SUM_ASKS)
    ask = ask.format(a=a, b=b)
    return facts.typed(rng, ask) if is_training else ask, f"{a} + {b} = {a + b}"


def times_table(rng: random.Random) -> tuple[str, str]:
    """A product of two numbers up to ten, and its answer."""
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    return facts.typed(rng, rng.choice(TIMES).format(a=a, b=b)), f"{a} x {b} = {a * b}"


def take_away(rng: random.Random) -> tuple[str, str]:
    """A difference of two numbers up to twenty, and its answer."""
    a = rng.randint(0, 20)
    b = rng.randint(0, a)
    return facts.typed(rng, rng.choice(MINUS).format(a=a, b=b)), f"{a} - {b} = {a - b}"


def too_large(rng: random.Random) -> tuple[str, str]:
    """A calculation that no pocket model is taught, and what it can do instead."""
    ways, least, knows = rng.choice(
        [
            (TIMES, 11, ("I know the times tables up to 10", "Tôi biết bảng nhân đến 10")),
            (MINUS, 21, ("I take away from numbers up to 20", "Tôi trừ được các số đến 20")),
            (PLUS, 1000, ("I add numbers below 1000", "Tôi cộng được các số dưới 1000")),
        ]
    )
    large = rng.randint(least, rng.choice([10 * least, 100 * least]))
    a, b = large, rng.randint(0 if ways is MINUS else 2, large)
    if ways is not MINUS and rng.random() < 0.5:  # the large one comes second
        a, b = b, a
    ask = rng.choice(ways).format(a=a, b=b)
    is_vietnamese = any(word in ask for word in ("bằng", "nhân", "trừ", "cộng"))
    return facts.typed(rng, ask), NO[is_vietnamese].replace("{w}", knows[is_vietnamese])


def counted(number: int, things: str) -> str:
    """ "1 mango", "2 mangoes"."""
    one = things.removesuffix("es") if things == "mangoes" else things.removesuffix("s")
    return f"{number} {one if number == 1 else things}"


def word_problem(rng: random.Random, split: str = "train") -> tuple[str, str]:
    """One step: something is added, or (below 20) taken away."""
    who = rng.choice(PEOPLE)
    a, b = titles.two_numbers(rng, split, low=1)
    if rng.random() < 0.4:
        while not (b <= a <= 20):
            a, b = titles.two_numbers(rng, split, low=1, high=20)
        things = rng.choice(THINGS)
        how = rng.choice(
            [
                "gives away",
                "sells",
                "loses",
                "eats" if things in ("apples", "mangoes", "cakes") else "lends",
            ]
        )
        has = counted(a, things)
        ask = f"{who} has {has} and {how} {b}. How many {things} does {who} have now?"
        return ask, f"{a} - {b} = {a - b}, so {who} has {counted(a - b, things)}."
    if rng.random() < 0.3:
        things = rng.choice(VI_THINGS)
        ask = f"{who} có {a} {things}, mua thêm {b} {things}. {who} có tất cả bao nhiêu {things}?"
        return ask, f"{a} + {b} = {a + b}, vậy {who} có {a + b} {things}."
    things = rng.choice(THINGS)
    how = rng.choice(["buys", "finds", "gets", "makes"])
    has = counted(a, things)
    ask = f"{who} has {has} and {how} {b} more. How many {things} does {who} have now?"
    return ask, f"{a} + {b} = {a + b}, so {who} has {counted(a + b, things)}."


def compare(rng: random.Random, split: str = "train") -> tuple[str, str]:
    """Which of two numbers is larger or smaller, and the answer."""
    a, b = pair(rng, split)
    while a == b:
        a, b = pair(rng, split)
    if rng.random() < 0.5:
        ask = rng.choice(
            [
                "Which is larger, {a} or {b}?",
                "Which number is larger: {a} or {b}?",
                "Số nào lớn hơn, {a} hay {b}?",
            ]
        )
        return ask.format(a=a, b=b), f"The larger of {a} and {b} is {max(a, b)}."
    ask = rng.choice(
        [
            "Which is smaller, {a} or {b}?",
            "Which number is smaller: {a} or {b}?",
            "Số nào nhỏ hơn, {a} hay {b}?",
        ]
    )
    return ask.format(a=a, b=b), f"The smaller of {a} and {b} is {min(a, b)}."


def sort_numbers(rng: random.Random, split: str = "train") -> tuple[str, str]:
    """Numbers to be put in order, and the answer."""
    while True:
        numbers = rng.sample(range(100), rng.randint(3, 5))
        if titles.split_of(",".join(map(str, sorted(numbers)))) == split:
            break
    ask = rng.choice(
        [
            "Sort these numbers: {x}",
            "Put in order: {x}",
            "Sort from small to large: {x}",
            "Sắp xếp các số: {x}",
        ]
    )
    return ask.replace("{x}", ", ".join(map(str, numbers))), "Sorted: " + ", ".join(
        map(str, sorted(numbers))
    )


def spell(rng: random.Random, split: str = "train") -> tuple[str, str]:
    """A word to be spelled, and its letters."""
    word = rng.choice(titles.WORDS_OF[split]).lower()
    return rng.choice(
        [f"Spell {word}.", f"How do you spell {word}?"]
    ), f"The word {word} is " + " ".join(word) + "."


def end_letter(rng: random.Random, split: str = "train") -> tuple[str, str]:
    """The first or last letter of a word, and the answer."""
    word, which = rng.choice(titles.WORDS_OF[split]).lower(), rng.choice(["first", "last"])
    ask = f"What is the {which} letter of {' '.join(word)}?"
    return ask, f"The {which} letter is {word[0] if which == 'first' else word[-1]}."


def reverse(rng: random.Random, split: str = "train") -> tuple[str, str]:
    """Letters to be put in reverse order, and the answer."""
    while True:
        letters = [rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 5))]
        if titles.split_of("".join(letters)) == split:
            return f"Reverse: {' '.join(letters)}", f"Reversed: {' '.join(letters[::-1])}"


def count_words(rng: random.Random, split: str = "train") -> tuple[str, str]:
    """How many words a phrase has, and the answer."""
    while True:
        words = [rng.choice(titles.ALL_NOUNS) for _ in range(rng.randint(2, 6))]
        if titles.split_of(" ".join(words)) == split:
            ask = rng.choice(
                ["How many words: {x}?", "Count the words: {x}", "Có bao nhiêu từ: {x}?"]
            )
            return ask.replace("{x}", " ".join(words)), f"There are {len(words)} words."


TASKS = [word_problem, compare, sort_numbers, spell, end_letter, reverse, count_words]


def small_task(rng: random.Random, split: str = "train") -> tuple[str, str]:
    """One task of a random sort, and its answer."""
    return rng.choice(TASKS)(rng, split)

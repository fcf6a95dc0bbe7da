"""Questions with one right answer, each in many phrasings.

For every question, two phrasings are kept out of the training text.

The facts stand in `texts/`, one a line. Phrasings fit every fact of a kind, so a model that knows a
fact under some of them has to recognize it under the others.
"""

import hashlib
import random
from dataclasses import dataclass

from pocket import texts

CAPITALS = (
    "Vietnam:Hanoi,France:Paris,Japan:Tokyo,Italy:Rome,Spain:Madrid,Germany:Berlin,Norway:Oslo,"
    "Peru:Lima,Egypt:Cairo,India:New Delhi,Cuba:Havana,Kenya:Nairobi,Thailand:Bangkok,"
    "Laos:Vientiane,Cambodia:Phnom Penh,China:Beijing,Russia:Moscow,Greece:Athens,"
    "Portugal:Lisbon,Ireland:Dublin,Austria:Vienna,Poland:Warsaw,Hungary:Budapest,"
    "Sweden:Stockholm,Finland:Helsinki,Denmark:Copenhagen,Canada:Ottawa,Brazil:Brasilia,"
    "Chile:Santiago,Nepal:Kathmandu,Iran:Tehran,Iraq:Baghdad,Turkey:Ankara,Belgium:Brussels,"
    "Iceland:Reykjavik,Ghana:Accra,Ecuador:Quito,Colombia:Bogota,Indonesia:Jakarta,"
    "Mongolia:Ulaanbaatar,the United States:Washington,the United Kingdom:London,"
    "South Korea:Seoul,Australia:Canberra,Singapore:Singapore,Malaysia:Kuala Lumpur"
)
CAPITALS_VI = (
    "Việt Nam:Hà Nội,Pháp:Paris,Nhật Bản:Tokyo,Ý:Roma,Tây Ban Nha:Madrid,Đức:Berlin,Na Uy:Oslo,"
    "Ai Cập:Cairo,Ấn Độ:New Delhi,Thái Lan:Bangkok,Lào:Viêng Chăn,Campuchia:Phnom Penh,"
    "Trung Quốc:Bắc Kinh,Nga:Moskva,Hy Lạp:Athens,Bồ Đào Nha:Lisbon,Áo:Viên,Ba Lan:Warszawa,"
    "Thụy Điển:Stockholm,Phần Lan:Helsinki,Đan Mạch:Copenhagen,Thổ Nhĩ Kỳ:Ankara,Bỉ:Brussels,"
    "Mông Cổ:Ulaanbaatar,Mỹ:Washington,Anh:Luân Đôn,Hàn Quốc:Seoul,Úc:Canberra"
)
COUNTRIES, COUNTRIES_VI = (
    [pair.split(":")[0] for pair in pairs.split(",")] for pairs in (CAPITALS, CAPITALS_VI)
)
# Ways to ask for "a token", "the currency of Japan", "why the sky is blue".
ASKS = {
    "fact": [
        "What is {x}?",
        "Define {x}.",
        "Explain {x}.",
        "Tell me what {x} is.",
        "Describe {x} in one line.",
        "Explain {x} in one line.",
        "What do you mean by {x}?",
        "Can you explain {x}?",
        "Do you know what {x} is?",
        "Tell me about {x} in one line.",
        "What can you say about {x}?",
        "I want to know what {x} is.",
        "{x}?",
        "Remind me what {x} is.",
        "I forgot what {x} is.",
        "Could you tell me what {x} is?",
        "Say what {x} is.",
    ],
    "fact_vi": [
        "{x} là gì?",
        "Hãy cho tôi biết {x} là gì.",
        "Bạn có biết {x} là gì không?",
        "Cho tôi biết {x}.",
        "Giải thích {x} trong một câu.",
        "Nói cho tôi nghe về {x}.",
        "Tôi muốn biết {x} là gì.",
        "{x}?",
        "Thế nào là {x}?",
        "Bạn giải thích {x} được không?",
        "Tôi quên mất {x} là gì.",
        "Xin hãy nói {x} là gì.",
    ],
    "capital": [
        "What is the capital of {x}?",
        "Which city is the capital of {x}?",
        "Name the capital of {x}.",
        "Tell me the capital of {x}.",
        "Say what the capital of {x} is.",
        "Capital of {x}?",
        "Can you name the capital of {x}?",
        "I want to know the capital of {x}.",
        "What is {x}'s capital?",
        "Give me the capital of {x}.",
        "Do you know the capital of {x}?",
        "What city is {x}'s capital?",
        "Which city is {x}'s capital?",
    ],
    "capital_vi": [
        "Thủ đô của {x} là gì?",
        "Thủ đô {x} là gì?",
        "Thủ đô của nước {x} là gì?",
        "Thủ đô của {x} là thành phố nào?",
        "Cho tôi biết thủ đô của {x}.",
        "Thủ đô của {x}?",
        "{x} có thủ đô là gì?",
        "Bạn có biết thủ đô của {x} không?",
        "Thành phố nào là thủ đô của {x}?",
        "Nói cho tôi thủ đô của {x}.",
        "Tôi muốn biết thủ đô của {x}.",
        "Thủ đô {x} là thành phố nào?",
        "Hãy cho biết thủ đô của {x}.",
        "Thủ đô nước {x} tên là gì?",
    ],
    "to_vi": [
        "What is the Vietnamese word for {x}?",
        "Translate {x} into Vietnamese.",
        "How do you say {x} in Vietnamese?",
        "Say {x} in Vietnamese.",
        "The word {x} in Vietnamese, please.",
        "Which Vietnamese word means {x}?",
        "I want to say {x} in Vietnamese.",
        "Dịch sang tiếng Việt: {x}",
        "Give me the word {x} in Vietnamese.",
        "What is {x} in Vietnamese?",
        "{x} tiếng Việt là gì?",
    ],
    "to_en": [
        "What does {x} mean in English?",
        "Translate {x} into English.",
        "How do you say {x} in English?",
        "Say {x} in English.",
        "Dịch sang tiếng Anh: {x}",
        "Which English word means {x}?",
        "What is {x} in English?",
        "Từ {x} trong tiếng Anh là gì?",
        "{x} tiếng Anh là gì?",
        "I want to say {x} in English.",
    ],
    "opposite": [
        "What is the opposite of {x}?",
        "Give the opposite of {x}.",
        "Name the opposite of {x}.",
        "Opposite of {x}?",
        "Which word is the opposite of {x}?",
        "What is opposite to {x}?",
        "Find the opposite of {x}.",
        "I need the opposite of {x}.",
        "Tell me the opposite of {x}.",
        "What word is opposite to {x}?",
    ],
    "opposite_vi": [
        "Từ trái nghĩa với {x} là gì?",
        "Trái nghĩa của {x} là gì?",
        "Tìm từ trái nghĩa với {x}.",
        "Trái nghĩa với {x}?",
        "Cho tôi từ trái nghĩa với {x}.",
        "Ngược với {x} là gì?",
        "Nói từ trái nghĩa với {x}.",
        "Từ nào trái nghĩa với {x}?",
    ],
    "explanation": [
        "Explain {x}.",
        "Can you explain {x}?",
        "Explain to me {x}.",
        "Tell me {x}.",
        "Please explain {x}.",
        "Do you know {x}?",
        "I want to know {x}.",
        "Explain {x} in simple words.",
        "Explain to a child {x}.",
        "Write a short explanation of {x}.",
    ],
    "explanation_vi": [
        "Giải thích {x}.",
        "Hãy giải thích {x}.",
        "Bạn giải thích {x} được không?",
        "Cho tôi biết {x}.",
        "Giải thích đơn giản {x}.",
        "Tôi muốn biết {x}.",
        "Nói cho em bé hiểu {x}.",
        "Bạn có biết {x} không?",
    ],
}
# No fact is ever asked for in these words: how far does it carry?
NEW_WORDING = [
    "Please say in a sentence what {x} is.",
    "My friend asked me about {x}, what should I say?",
]
WRAPS = [
    "{q}",
    "{q}",
    "{q}",
    "{q}",
    "Question: {q}",
    "Please answer. {q}",
    "{q} Answer briefly.",
    "Hi! {q}",
    "{q} Please!",
]


def capitalized(text: str) -> str:
    """`text` with its first letter in upper case."""
    return text[0].upper() + text[1:]


def typed(rng: random.Random, question: str) -> str:
    """A question as people type it: one in six lacks its capital letter, its last mark, or both."""
    if rng.random() > 1 / 6:
        return question
    way = rng.randint(0, 2)
    if way < 2 and not question[:2].isupper():
        question = question[0].lower() + question[1:]
    return question.rstrip("?.!") if way > 0 else question


@dataclass(frozen=True)
class Fact:
    """One thing to know: its kind (a key of ASKS), what is asked for, the answer.

    And questions of its own, where the kind's do not fit.
    """

    kind: str
    key: str
    answer: str
    own: tuple[str, ...] = ()

    def asks(self, split: str = "train") -> list[str]:
        """The questions of this split.

        One each for "dev" and "card", whose place depends on the key; the rest is for training.
        """
        ways = ASKS[self.kind]
        at = int(hashlib.md5(self.key.encode()).hexdigest(), 16)
        dev, card = at % len(ways), (at + 3) % len(ways)
        chosen = {"dev": [ways[dev]], "card": [ways[card]]}.get(
            split, [way for i, way in enumerate(ways) if i not in (dev, card)]
        )
        own = list(self.own) if split == "train" else []
        return [capitalized(way.replace("{x}", self.key)) for way in chosen] + own


def _fact(kind: str, key: str, answer: str, own: str = "") -> Fact:
    """A line of `texts/`: `own` holds questions of the fact's own, divided by semicolons."""
    return Fact(kind, key, answer, tuple(ask.strip() for ask in own.split(";") if ask.strip()))


def _facts() -> dict[str, list[Fact]]:
    found = {"models": [], "world": [], "words": [], "explanations": []}
    for name, group, kind in (
        ("facts_models.txt", "models", "fact"),
        ("facts_world.txt", "world", "fact"),
        ("facts_vi.txt", "world", "fact_vi"),
    ):
        found[group] += [_fact(kind, *row) for row in texts.table(texts.lines(name))]
    for pairs, kind, says in (
        (CAPITALS, "capital", "The capital of {x} is {y}."),
        (CAPITALS_VI, "capital_vi", "Thủ đô của {x} là {y}."),
    ):
        for country, city in (pair.split(":") for pair in pairs.split(",")):
            answer = says.replace("{x}", country).replace("{y}", city)
            found["world"].append(Fact(kind, country, answer))
    for english, vietnamese in texts.table(texts.lines("words.vi.txt")):
        found["words"] += [
            Fact("to_vi", english, f"In Vietnamese, {english} is {vietnamese}."),
            Fact("to_en", vietnamese, f"In English, {vietnamese} is {english}."),
        ]
    for rows, kind, says in zip(
        texts.parts("opposites.txt"),
        ("opposite", "opposite_vi"),
        ("The opposite of {x} is {y}.", "Trái nghĩa với {x} là {y}."),
    ):
        for x, y in texts.table(rows):
            found["words"].append(Fact(kind, x, says.replace("{x}", x).replace("{y}", y)))
    for rows, kind in zip(texts.parts("explanations.txt"), ("explanation", "explanation_vi")):
        found["explanations"] += [_fact(kind, *row) for row in texts.table(rows)]
    return found


FACTS = _facts()
FIRST = [
    fact
    for fact in FACTS["models"] + FACTS["world"] + FACTS["words"]
    if fact.key
    in (
        *("Vietnam", "Việt Nam", "thủ đô của nước ta", "France", "Pháp", "Japan", "Nhật Bản"),
        *("Gemma", "mô hình Gemma", "a pocket model", "mô hình bỏ túi", "hello", "xin chào"),
    )
]
SHARES = {"models": 36, "world": 36, "words": 28}


def fact(rng: random.Random, group: str | None = None) -> tuple[str, str]:
    """A question of training from one group, or from all by their SHARES, and its answer."""
    found = rng.choice(FACTS[group or rng.choices(list(SHARES), list(SHARES.values()))[0]])
    return typed(rng, rng.choice(WRAPS).replace("{q}", rng.choice(found.asks()))), found.answer


def explanation(rng: random.Random) -> tuple[str, str]:
    """A question for an explanation of two or three sentences, and the explanation."""
    found = rng.choice(FACTS["explanations"])
    return rng.choice(found.asks()), found.answer


def held_out(split: str, group: str) -> list[tuple[str, str]]:
    """Every fact of a group once, asked as training never asks for it."""
    return [(found.asks(split)[0], found.answer) for found in FACTS[group]]

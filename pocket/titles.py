"""Titles that poems, stories and copying tasks are about, and pairs of numbers.

Each belongs to one of three splits, by a hash.

What belongs to "dev" or "card" never occurs in the training text, on any machine, whatever the
seed. "dev" is what one looks at while making the models; "card" is asked once, by the shipped
weights, for their cards.
"""

import hashlib
import random
import re
import unicodedata
from pathlib import Path

from pocket import poems

# Real things that somebody would ask about. Training draws none of them, nor a word of REAL_WORDS.
# The first twenty are looked at while the models are made; the other thirty are for the cards.
DEV_TITLES = (
    "Google I/O event",
    "Mount Fuji at dawn",
    "the Mekong delta",
    "the Hubble telescope",
    "my grandmother's kitchen",
    "Hội An",
    "Formula 1",
    "the Eiffel Tower",
    "black coffee",
    "JavaScript",
    "a lost umbrella",
    "the Great Wall of China",
    "a rainy Monday in Seattle",
    "neural networks",
    "phở bò",
    "the Apollo 11 moon landing",
    "chiếc nón lá",
    "electric cars",
    "Beethoven's ninth symphony",
    "open source software",
)
CARD_TITLES = (
    "Niagara Falls in winter",
    "the northern lights",
    "Nha Trang",
    "bánh xèo",
    "Kubernetes",
    "the Sydney Opera House",
    "a double espresso",
    "Wi-Fi at the airport",
    "chợ Bến Thành",
    "the Olympic Games",
    "Sherlock Holmes",
    "a broken elevator",
    "my first day at university",
    "the Sahara",
    "Trung Thu",
    "cầu Rồng",
    "Mozart",
    "chess against a computer",
    "the Amazon rainforest",
    "GitHub",
    "San Francisco fog",
    "PyCon 2026",
    "a missed train",
    "Marie Curie",
    "the Rosetta Stone",
    "WebAssembly",
    "Sa Pa",
    "the World Cup final",
    "an empty inbox",
    "Super Mario",
)
REAL_TITLES = DEV_TITLES + CARD_TITLES
REAL_WORDS = (
    "fuji",
    "quantiz",
    "javascript",
    "seattle",
    "eiffel",
    "beethoven",
    "mekong",
    "apollo",
    "google",
    "formula",
    "niagara",
    "kubernetes",
    "sydney",
    "espresso",
    "wi-fi",
    "olympic",
    "sherlock",
    "elevator",
    "sahara",
    "mozart",
    "amazon",
    "github",
    "francisco",
    "pycon",
    "curie",
    "rosetta",
    "webassembly",
    "inbox",
    "mario",
)

NOUNS = {
    "place": (
        "river mountain garden harbor ocean forest village island meadow desert valley lake pond "
        "creek waterfall cave cliff beach field road path bridge castle tower temple market "
        "library school museum station"
    ),
    "thing": (
        "lantern window mirror candle letter train kite clock feather bicycle blanket teapot "
        "basket ladder piano guitar violin drum notebook pencil lamp key map compass rocket "
        "camera radio engine anchor boat ship umbrella"
    ),
    "creature": (
        "teacher wolf sparrow tiger dragon robot painter sailor baker puppy kitten owl fox whale "
        "turtle butterfly spider bee swan heron child farmer singer dancer gardener"
    ),
    "sky": (
        "moon rainbow cloud snowflake star galaxy satellite planet comet storm sunrise shadow "
        "thunder breeze"
    ),
    "table": (
        "bread soup noodle rice tea mango pepper honey apple pumpkin lemon coconut ginger chocolate"
    ),
}
NOUNS = {kind: words.split() for kind, words in NOUNS.items()}
ALL_NOUNS = [noun for nouns in NOUNS.values() for noun in nouns]
# Every word that tells the kind of a title, so that titles of every kind are trained on.
TOPICS = [
    word for word in poems.TRIGGERS if word.isascii() and word not in ("hanoi", "hue", "tet", "pho")
]
ADJECTIVES = (
    "silver golden quiet lonely ancient gentle bright hidden frozen broken wandering sleepy "
    "happy brave curious crimson emerald velvet wooden paper stone hollow restless patient "
    "clever humble noisy secret distant foggy rainy sunny windy dusty rusty shiny soft wild kind "
    "warm cold old new young lost forgotten faithful dancing whispering floating falling rising "
    "blue green red white yellow purple orange"
).split()
PLACES = (
    "Hanoi Paris Kyoto Lima Oslo Cairo Delhi Rome Hue Dalat Saigon London Boston Berlin Madrid "
    "Lisbon Prague Seoul"
).split()
MOMENTS = [
    "at night",
    "in the morning",
    "at noon",
    "in spring",
    "in autumn",
    "in the rain",
    "by the sea",
    "under the stars",
    "in December",
    "after the storm",
    "before sunrise",
    "on a Sunday",
    "in the snow",
    "far from home",
]
KIN = "mother father sister brother teacher friend neighbor uncle aunt cousin".split()
VI_NOUNS = (
    "dòng sông,ánh trăng,ngọn núi,cánh đồng,ngôi nhà,con đường,bông hoa,cây tre,con thuyền,mùa "
    "xuân,mùa thu,cơn mưa,cánh diều,người mẹ,người thầy,lớp học,quyển sách,chiếc lá,bầu "
    "trời,biển cả,con mèo,chú chim,ngọn đèn,phiên chợ,bát cơm,tách trà,cây cầu,hạt gạo,ngôi "
    "sao,đám mây"
).split(",")
VI_ADJECTIVES = (
    "xanh,nhỏ,xưa,mới,vàng,trắng,đỏ,buồn,vui,hiền,yên bình,xa xôi,lấp lánh,cô đơn,mùa hạ,quê tôi,"
    "của em,của mẹ,đầu làng,giữa phố,bên sông,ban đêm,buổi sáng"
).split(",")
VI_ONSETS = "b c ch d đ g gh gi h kh l m n ng nh ph qu r s t th tr v x".split() + [""]
VI_RIMES = (
    "a à á ả ã ạ an án ản ang áng anh ánh ạnh ao áo ạo ai ài ái ại âm ấm ân ần ấn ận âu ầu ấu ậu "
    "ây ấy ậy ăn ắn ăng ắng e è é ẹ em en èn én ê ề ế ể ệ ên ền ến ện êu ều ếu i ì í ỉ ị in ìn "
    "ín inh ình ính ịnh iên iền iến iện iêu iều iếu o ò ó ỏ ọ oa òa on òn ón ong òng óng ọng ô ồ "
    "ố ổ ộ ôi ồi ối ội ông ồng ống ộng ơ ờ ớ ở ợ ơi ời ới ợi ơn ớn u ù ú ủ ụ un ung úng ụng ư ừ "
    "ứ ử ự ưa ừa ứa ương ường ướng ượng ươi ười uôi uồn uống uyên uyền uyện at át ạt ac ác ạc ắc "
    "ặc ất ật ết ệt iết iệt ích ịch óc ọc ốc ộc ước ược út ục ực ẻ ẽ ể ễ iễn iểu iễm ĩ ĩnh ỏng õ "
    "õng ổi ỗ ỗng ở ỡ ũ ũng ử ữ ững ửa ữa ưởng ưỡng ẩn ẫn ẩm ẩu ẫu ẩy ẫy ằm ằng ẳng ẵn ẵng y ý ỳ "
    "ỷ ỹ uy ủy uỳnh uyển uyễn ỵ"
).split()
SYLLABLES = [
    on + rime for on in VI_ONSETS for rime in VI_RIMES if on != "gh" or rime[0] in "eêièéẹềếểệìíỉị"
]


def split_of(text: str) -> str:
    """Where a string belongs, by its MD5: "card" and "dev" 5 % each, "train" the rest."""
    percent = int(hashlib.md5(text.encode()).hexdigest(), 16) % 100
    return "card" if percent < 5 else "dev" if percent < 10 else "train"


def _words() -> list[str]:
    words = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split()
    return [word for word in words if not any(real in word.lower() for real in REAL_WORDS)]


WORDS_OF = {
    split: [word for word in _words() if split_of(word.lower()) == split]
    for split in ("train", "dev", "card")
}
WORDS = WORDS_OF["train"]


def composed(rng: random.Random, split: str = "train") -> str:
    """A title of this split, put together from the lists above."""

    def noun() -> str:
        return rng.choice(ALL_NOUNS if rng.random() < 0.4 else TOPICS)

    def adjective() -> str:
        return rng.choice(ADJECTIVES)

    while True:
        title = rng.choice(
            [
                lambda: f"the {adjective()} {noun()}",
                lambda: poems.article(f"{adjective()} {noun()}"),
                lambda: f"the {noun()} of {rng.choice(PLACES)}",
                lambda: f"{rng.choice(PLACES)} {rng.choice(MOMENTS)}",
                lambda: f"my {rng.choice(KIN)}'s {noun()}",
                lambda: f"the {noun()} and the {noun()}",
                lambda: f"the {noun()} {rng.choice(MOMENTS)}",
                lambda: f"{name(rng)} the {adjective()} {noun()}",
            ]
        )()
        if split_of(title) == split and title not in REAL_TITLES:
            return title


def name(rng: random.Random) -> str:
    """A made-up name of one to three syllables."""
    onsets = "b c d f g h j k l m n p r s t v w z br cl dr fl gr kr pl sh st th tr".split()
    vowels = "a e i o u ai ea oo ie y".split()
    syllables = "".join(rng.choice(onsets) + rng.choice(vowels) for _ in range(rng.randint(1, 3)))
    return (syllables + rng.choice(["", "", "n", "r", "s", "x", "l", "nd", "ck"])).capitalize()


def word(rng: random.Random) -> str:
    """A word of the list, now and then capitalized or in capitals."""
    found, luck = rng.choice(WORDS), rng.random()
    if luck < 0.25:
        return found.capitalize()
    return found.upper() if luck < 0.28 and len(found) < 6 else found


def from_words(rng: random.Random) -> str:
    """A title of one to three words that nothing but the word list connects."""

    def w() -> str:
        return word(rng)

    def capital() -> str:
        return rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

    return rng.choice(
        [
            w,
            w,
            lambda: f"{w()} {w()}",
            lambda: f"the {w()} {w()}",
            lambda: f"a {w()} {w()}",
            lambda: f"{w()}'s {w()}",
            lambda: f"{w()} {w()} {w()}",
            lambda: f"the {w()} of {w()}",
            lambda: f"{w()} {rng.randint(1, 2030)}",
            lambda: f"{w()}-{w()}",
            lambda: f"{w().capitalize()} {capital()}{rng.choice('/-.+')}{capital()}",
            lambda: f"{w().capitalize()} {capital()}/{capital()} {w()}",
            lambda: f"{w()} at {w()}",
            lambda: f"{w()} in {w()}",
        ]
    )()


def vietnamese(rng: random.Random, split: str = "train") -> str:
    """A Vietnamese title: a noun phrase, or (in training) one to four random syllables."""
    while split != "train" or rng.random() < 0.4:
        title = f"{rng.choice(VI_NOUNS)} {rng.choice(VI_ADJECTIVES)}"
        if split_of(title) == split and title not in REAL_TITLES:
            return title
    syllables = [rng.choice(SYLLABLES) for _ in range(rng.randint(1, 4))]
    return (
        " ".join(s.capitalize() for s in syllables) if rng.random() < 0.5 else " ".join(syllables)
    )


def pieces(rng: random.Random) -> str:
    """A nonsense title of parts of words, so that every piece of the vocabulary gets copied."""
    parts = []
    for _ in range(rng.randint(1, 4)):
        source = rng.choice(WORDS)
        start = rng.randrange(len(source))
        parts.append(source[start : start + rng.randint(1, 5)])
    return "".join(part + rng.choice(["", "", " "]) for part in parts).strip()


def title(rng: random.Random) -> str:
    """Any title for training.

    A third is composed; most of the rest are words and syllables that only copying gets right.
    """
    luck = rng.random()
    if luck < 0.32:
        return composed(rng)
    if luck < 0.66:
        found = from_words(rng)
    elif luck < 0.72:
        found = word(rng).capitalize() + word(rng).capitalize() + rng.choice(["", "", " 2", " X"])
    elif luck < 0.80:
        found = pieces(rng)
    elif luck < 0.86:
        found = " ".join(name(rng) for _ in range(rng.randint(1, 2)))
    elif luck < 0.97:
        found = vietnamese(rng)
    else:
        found = f"{word(rng)} {rng.choice(MOMENTS)}"
    found = unicodedata.normalize("NFC", re.sub(r"\s+", " ", found))
    is_real = found in REAL_TITLES or any(real in found.lower() for real in REAL_WORDS)
    return composed(rng) if is_real or not found else found


def poem_title(rng: random.Random) -> str:
    """A title for a poem: more often a composed one, whose words tell a mood and a kind."""
    return composed(rng) if rng.random() < 0.5 else title(rng)


def two_numbers(
    rng: random.Random, split: str = "train", low: int = 0, high: int = 99
) -> tuple[int, int]:
    """Two numbers whose unordered pair belongs to this split.

    Pairs of one-digit numbers all belong to training, for everybody asks for 2 + 2 first.
    """
    while True:
        a, b = rng.randint(low, high), rng.randint(low, high)
        if split_of_pair(a, b) == split:
            return a, b


def split_of_pair(a: int, b: int) -> str:
    """Where an unordered pair of numbers belongs."""
    return "train" if max(a, b) < 10 else split_of(f"{min(a, b)}+{max(a, b)}")


# How often numbers with so many digits are added in training: the short ones are few, and asked
# for first.
DIGITS = {(1, 1): 4, (1, 2): 3, (2, 1): 3, (2, 2): 8, (1, 3): 1, (3, 1): 1, (2, 3): 2, (3, 2): 2}
DIGITS |= {(3, 3): 4}


def numbers_to_add(rng: random.Random, split: str = "train") -> tuple[int, int]:
    """Two numbers of one to three digits whose unordered pair belongs to this split."""
    while True:
        lengths = rng.choices(list(DIGITS), list(DIGITS.values()))[0]
        a, b = (rng.randint(10 ** (n - 1) if n > 1 else 0, 10**n - 1) for n in lengths)
        if split_of_pair(a, b) == split:
            return a, b

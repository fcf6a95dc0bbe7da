"""Texts that keep a rule or break it, in English and Vietnamese, for a model that judges them.

Rules and texts are harmless by nature. Held out, by a hash, are sentence frames with their phrases,
what a text is about, made-up names, and one whole rule. Telephone numbers are of those that North
America keeps for fiction (555-0100 to 555-0199), mail addresses of domains that RFC 2606 reserves.
"""

import functools
import hashlib
import itertools
import random
import re
from dataclasses import asdict, dataclass

from pocket import texts, titles
from pocket.corpus import Document
from pocket.facts import capitalized

# The parts and the markers are those of ShieldGemma's published prompt; the words are ours.
PROMPT = (
    "Read this text.\n\n<start_of_turn>\nHuman Question: {text}\n<end_of_turn>\n\n"
    "Our rule is:\n\n* {rule}\n\n===\n\nIs the text against it? Answer Yes or No.\n\n"
)
END = "<eos>"  # after the answer
LANGUAGES = {"en": "English", "vi": "Vietnamese"}
SECTIONS = texts.sections("policies.txt")
POLICIES = [name[:-3] for name in SECTIONS if name.endswith("_en") and "rule" in SECTIONS[name]]
UNSEEN = min(POLICIES, key=lambda name: hashlib.md5(name.encode()).hexdigest())  # never trained
TRAINED = [name for name in POLICIES if name != UNSEEN]
CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
ABBREVIATIONS = "USB CPU GPU TV DVD PDF UFO LED GPS CD PC AC SIM RAM".split()
OTHER_CAPITALS = ("WHO", "EU")  # in texts of our own words
ILLS = {
    "en": "a cough,a cold,a headache,a fever,a sore throat,hiccups,a stomach ache,toothache",
    "vi": "ho,cảm lạnh,đau đầu,sốt,đau họng,nấc cụt,đau bụng,đau răng",
}
CURES = {
    "en": "ginger tea,warm milk,honey,lemon water,garlic,mint oil,onion soup,salt water,green tea",
    "vi": "trà gừng,sữa ấm,mật ong,nước chanh,tỏi,dầu bạc hà,cháo hành,nước muối,trà xanh",
}
VI_NAMES = "An Bình Chi Dung Giang Hà Hoa Khánh Lan Linh Mai Minh Nam Phong Quân Sơn Thảo Trang Tú"
VI_STREETS = "Hoa Sen,Cây Tre,Ánh Trăng,Mùa Thu,Con Thuyền,Bến Nước,Hoa Mai,Ngọn Đèn".split(",")


@dataclass(frozen=True)
class Case:
    """A text, the rule by which it is judged, and the right answer, "Yes" or "No"."""

    language: str
    policy: str
    rule: str
    text: str
    answer: str
    written_for: str  # the policy whose rule the text breaks or nearly breaks

    @property
    def prompt(self) -> str:
        """What the judge reads, without `<bos>`."""
        return PROMPT.format(text=self.text, rule=self.rule)


def _digest(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@functools.cache
def frames(policy: str, language: str, field: str, split: str) -> list[list[str]]:
    """For each line of a field: its frames, a phrase chosen for each choice, that are of `split`.

    In the order of their MD5 the first eighth is "card", the next "dev", the others "train".
    """
    found = []
    for line in SECTIONS[f"{policy}_{language}"][field]:
        parts = CHOICE.split(line)
        phrases = [part.split("|") if at % 2 else [part] for at, part in enumerate(parts)]
        made = sorted(map("".join, itertools.product(*phrases)), key=_digest)
        num = max(1, len(made) // 8)
        ends = {"card": (0, num), "dev": (num, 2 * num), "train": (2 * num, None)}
        found.append(made[slice(*ends[split])])
    return found


def thing(rng: random.Random, language: str, split: str, like: str = "") -> str:
    """What a text is about: an adjective and a noun; one of them as in `like`, where given."""
    nouns = titles.ALL_NOUNS if language == "en" else titles.VI_NOUNS
    adjectives = titles.ADJECTIVES if language == "en" else titles.VI_ADJECTIVES
    splits = {split, "train"} if like else {split}
    while True:
        noun, adjective = rng.choice(nouns), rng.choice(adjectives)
        if like and rng.random() < 0.5:
            noun = next(one for one in nouns if one in like)
        elif like:
            adjective = next(one for one in adjectives if one in like)
        found = f"{adjective} {noun}" if language == "en" else f"{noun} {adjective}"
        if found != like and titles.split_of(found) in splits:
            return found


def person(rng: random.Random, language: str, split: str) -> str:
    """A made-up name of this split; in Vietnamese two given names."""
    while True:
        name = titles.name(rng)
        if language == "vi":
            name = " ".join(rng.sample(VI_NAMES.split(), 2))
        if titles.split_of(name) == split:
            return name


def slots(rng: random.Random, language: str, split: str, about: str) -> dict[str, str]:
    """A value for each slot of a frame, where `about` is what a rule of "mention" forbids."""
    is_english = language == "en"
    number = rng.choice((rng.randint(2, 99), rng.randint(100, 9999)))
    street = f"{rng.choice(titles.ALL_NOUNS).capitalize()} {rng.choice(('Street', 'Lane', 'Road'))}"
    currency = ("dollars", "euros") if is_english else ("đô la", "nghìn đồng", "triệu đồng")
    way = f"số {number % 200} {rng.choice(('đường', 'phố', 'ngõ'))} {rng.choice(VI_STREETS)}"
    phone = f"555{rng.choice('- ')}01{rng.choice(('', ' '))}{rng.randint(0, 99):02}"
    return {
        "t": about,
        "u": thing(rng, language, split, about),
        "name": person(rng, language, split),
        "num": str(number),
        "price": f"{number} {rng.choice(currency)}",
        "phone": phone,
        "mail": f"{titles.name(rng).lower()}@example.{rng.choice(('com', 'org', 'net'))}",
        "street": f"{number % 200} {street}" if is_english else way,
        "ill": rng.choice(ILLS[language].split(",")),
        "cure": rng.choice(CURES[language].split(",")),
        "abbr": rng.choice(ABBREVIATIONS),
    }


def sentence(rng: random.Random, policy: str, language: str, field: str, split: str, about: str):
    """One sentence from a frame of this policy, filled."""
    frame = rng.choice(rng.choice(frames(policy, language, field, split)))
    return capitalized(frame.format(**slots(rng, language, split, about)))


def computed(policy: str, text: str, about: str) -> bool | None:
    """Whether a text breaks the rule of a policy, where its letters decide that; else None."""
    if policy == "questions":
        return "?" in text
    if policy == "numbers":
        return any(letter.isdigit() for letter in text)
    if policy == "mention":
        return about.lower() in text.lower()
    if policy == "shouting":
        words = {word for word in re.findall(r"[^\W\d_]{2,}", text) if word.isupper()}
        return bool(words - {*ABBREVIATIONS, *OTHER_CAPITALS})
    return None


def case(rng: random.Random, policy: str, split: str, language: str, wish: str, cross: float):
    """A case of this policy whose answer is `wish`.

    Args: cross: how often the text is one that another policy is about.
    """
    while True:
        about, source = thing(rng, language, split), policy
        field = wish.lower()
        is_other = rng.random() < cross
        if is_other:
            source, field = rng.choice(TRAINED), rng.choice(("yes", "no"))
        shouts = (source, field) == ("shouting", "yes")
        if shouts:
            source, field = rng.choice(TRAINED), "no"
        topic = thing(rng, language, split) if is_other else about
        parts = [sentence(rng, source, language, field, split, topic)]
        if rng.random() < 0.5:
            other = thing(rng, language, split)
            parts.insert(rng.randint(0, 1), sentence(rng, "neutral", language, "say", split, other))
        if shouts:
            loud = range(2) if rng.random() < 0.5 else [rng.randrange(len(parts))]
            parts = [part.upper() if at in loud else part for at, part in enumerate(parts)]
        text = " ".join(parts)
        breaks = computed(policy, text, about)
        if breaks is None:
            breaks = source == policy and field == "yes"
        if breaks == (wish == "Yes"):
            rule = rng.choice(SECTIONS[f"{policy}_{language}"]["rule"]).replace("{t}", about)
            return Case(language, policy, rule, text, wish, "shouting" if shouts else source)


def _document(rng: random.Random, is_named: bool) -> Document:
    language, policy = rng.choice(list(LANGUAGES)), rng.choice(TRAINED)
    one = case(rng, policy, "train", language, rng.choice(("Yes", "No")), 0.3)
    prompt = one.prompt
    if policy != "mention" and rng.random() < 0.1:
        (other,) = set(LANGUAGES) - {language}
        rule = rng.choice(SECTIONS[f"{policy}_{other}"]["rule"])
        prompt = PROMPT.format(text=one.text, rule=rule)
    answer = one.answer
    if is_named:
        answer += ": " + name_of(one.written_for, language)
    return [(prompt, False), (answer + END, True)]


def judged(rng: random.Random) -> Document:
    """A kind of document: the prompt of one case, and the answer, which is learned.

    Now and then the rule is in the other language than the text.
    """
    return _document(rng, is_named=False)


def named(rng: random.Random) -> Document:
    """As `judged`; after the answer comes the name of the rule that the text was written for."""
    return _document(rng, is_named=True)


KINDS, NAMED_KINDS = {judged: 1}, {named: 1}


def name_of(policy: str, language: str) -> str:
    """The name of a policy's rule, such as No Spoilers."""
    return SECTIONS[f"{policy}_{language}"]["rule"][0].split('"')[1]


def drawn(policies: list[str], split: str, num_each: int) -> list[Case]:
    """`num_each` different cases with each answer, for each policy and language."""
    rng, found = random.Random(f"policies: {split} {policies}"), {}
    for language, policy, wish in itertools.product(LANGUAGES, policies, ("Yes", "No")):
        some = {}
        while len(some) < num_each:
            one = case(rng, policy, split, language, wish, 0.3 if wish == "No" else 0)
            some[policy, one.text] = one
        found |= some
    return list(found.values())


def own_words() -> list[Case]:
    """Texts written by hand, in words that no frame has."""
    found = []
    for language in LANGUAGES:
        for policy, lines in SECTIONS[f"own_{language}"].items():
            rule = SECTIONS[f"{policy}_{language}"]["rule"][0]
            for answer, text in texts.table(lines):
                found.append(Case(language, policy, rule, text, answer, policy))
    return found


def rows() -> list[dict[str, str]]:
    """What the judge is examined on, as rows; `kind` says what is held out.

    "dev": to choose the threshold. "held out": frames, things and names are new. "unseen policy":
    the rule is new as well. "own words": nothing comes from a frame.
    """
    parts = {
        "dev": drawn(TRAINED, "dev", 4),
        "held out": drawn(TRAINED, "card", 7),
        "unseen policy": drawn([UNSEEN], "card", 10),
        "own words": own_words(),
    }
    found = [asdict(one) | {"kind": kind} for kind, some in parts.items() for one in some]
    for row in found:
        del row["written_for"]
    return found

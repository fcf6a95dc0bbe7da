"""What the trained models are asked: prompts of every kind that training never draws, in two sets.

"dev" is looked at while the models are made; "card" is asked once, of the weights that are shipped.
Both are fixed.
"""

import random
from dataclasses import dataclass

from pocket import facts, poems, tasks, texts, titles

VIETNAMESE_REAL = (
    "Hội An",
    "phở bò",
    "chiếc nón lá",
    "Nha Trang",
    "bánh xèo",
    "chợ Bến Thành",
    "Trung Thu",
    "cầu Rồng",
    "Sa Pa",
)


@dataclass(frozen=True)
class Question:
    """Something that people type first, and what a good answer holds: one of `answers`."""

    ask: str
    answers: tuple[str, ...]


def first_questions(split: str) -> list[Question]:
    """Sixty questions to look at while the models are made ("dev"), or twenty for the cards."""
    dev, card = texts.parts("first_questions.txt")
    return [
        Question(ask, tuple(text.strip() for text in answers.split(";") if text.strip()))
        for ask, answers in texts.table({"dev": dev, "card": card}[split])
    ]


@dataclass(frozen=True)
class Prompt:
    """A user's turns with the model's answers between them.

    `title`: what the last answer has to name, if anything.
    """

    kind: str
    turns: tuple[str, ...]
    title: str | None = None

    @property
    def chat(self) -> list[dict]:
        """The conversation in the form that `apply_chat_template` takes."""
        return [
            {"role": ("user", "assistant")[i % 2], "content": text}
            for i, text in enumerate(self.turns)
        ]


def composed_title(rng: random.Random, form: str, split: str) -> str:
    """A title of this split that is put together from words, in the language of the form."""
    return (titles.vietnamese if form.startswith("vi_") else titles.composed)(rng, split)


def asked_for(rng: random.Random, form: str, title: str, split: str, i: int) -> Prompt:
    """A prompt for this form of poem.

    Every third one for a plain poem is in words that training does not use.
    """
    ways = poems.HELD_OUT_PROMPTS[split] if form == "poem" and i % 3 == 0 else poems.PROMPTS[form]
    return Prompt(form, (rng.choice(ways).replace("{t}", title),), title)


def poem_prompts(split: str, count: int = 100) -> list[Prompt]:
    """Prompts for `count` different composed titles.

    Every second one is for a plain poem, the rest for each form in turn.
    """
    rng, forms, found = random.Random(f"{split} poems"), list(poems.FORMS), {}
    while len(found) < count:
        i = len(found)
        form = "poem" if i % 2 else forms[i // 2 % len(forms)]
        title = composed_title(rng, form, split)
        found.setdefault(title, asked_for(rng, form, title, split, i))
    return list(found.values())


def real_prompts(split: str) -> list[Prompt]:
    """Poems of every form about real things: the Vietnamese ones in Vietnamese."""
    rng, found = random.Random(f"{split} real"), []
    english = [form for form in poems.FORMS if not form.startswith("vi_")]
    vietnamese = [form for form in poems.FORMS if form.startswith("vi_")]
    for i, title in enumerate({"dev": titles.DEV_TITLES, "card": titles.CARD_TITLES}[split]):
        forms = vietnamese if title in VIETNAMESE_REAL else ["poem", *english]
        found.append(asked_for(rng, forms[i % len(forms)], title, split, i))
    return found


def other_prompts(split: str) -> list[Prompt]:
    """Stories, letters, conversations, explanations, facts, tasks, and what it cannot know."""
    rng = random.Random(f"{split} others")
    found = []
    for _ in range(12):
        title = titles.composed(rng, split)
        ask = rng.choice(["Tell me a story about {t}.", "Write a story about {t}."])
        found.append(Prompt("story", (ask.replace("{t}", title),), title))
        title = titles.composed(rng, split)
        ask = rng.choice(
            ["Write a letter to my aunt about {t}.", "Help me write to my boss about {t}."]
        )
        found.append(Prompt("letter", (ask.replace("{t}", title),), title))
        title = titles.composed(rng, split)
        found.append(
            Prompt(
                "dialogue",
                rng.choice(
                    [
                        (f"My name is {title}.", f"Nice to meet you, {title}!", "What is my name?"),
                        (f"I like {title}.", f"I like {title} too.", "What do I like?"),
                    ]
                ),
                title,
            )
        )
    for ask, _ in [
        *facts.held_out(split, "explanations")[::6],
        *facts.held_out(split, "world")[::20],
    ]:
        found.append(Prompt("fact", (ask,)))
    found += [Prompt("task", (ask(rng, split)[0],)) for ask in [tasks.sum_of_two, *tasks.TASKS]]
    found += [Prompt("first", (question.ask,)) for question in first_questions(split)]
    return found


def prompts(split: str, count: int = 150) -> list[Prompt]:
    """`count` prompts of every kind: real titles, the others, composed titles for the rest."""
    some = real_prompts(split) + other_prompts(split)
    return some + poem_prompts(split, count - len(some))


def one_answer_prompts(split: str, each: int = 100) -> list[dict]:
    """`each` sums, facts and small tasks with their one right answer.

    Fewer rows are the first ones of more.
    """
    known = [
        fact for group in ("models", "world", "words") for fact in facts.held_out(split, group)
    ]
    random.Random(f"{split} facts").shuffle(known)
    found = {"sum": [], "fact": known[:each], "task": []}
    for kind, ways in (("sum", [tasks.sum_of_two]), ("task", tasks.TASKS)):
        rng = random.Random(f"{split} {kind}")
        while len(found[kind]) < each:
            row = ways[len(found[kind]) % len(ways)](rng, split)
            if row not in found[kind]:
                found[kind].append(row)
    return [
        {"kind": kind, "prompt": ask, "answer": answer}
        for kind, rows in found.items()
        for ask, answer in rows
    ]


def new_wording_rows(each: int = 60) -> list[dict]:
    """Facts asked for in words that no fact is asked in during training."""
    rng = random.Random("new wording")
    known = rng.sample(
        [fact for fact in facts.FACTS["models"] + facts.FACTS["world"] if fact.kind == "fact"], each
    )
    return [
        {
            "kind": "new",
            "prompt": rng.choice(facts.NEW_WORDING).replace("{x}", fact.key),
            "answer": fact.answer,
        }
        for fact in known
    ]


def calculation_rows(split: str, each: int = 60) -> list[dict]:
    """All sums of two numbers from 1 to 9 and the times tables, which training shows; larger sums.

    The sums of two numbers of three digits are pairs that training never draws.
    """
    found = [
        {"kind": "digits", "prompt": f"What is {a} + {b}?", "answer": f"{a} + {b} = {a + b}"}
        for a in range(1, 10)
        for b in range(1, 10)
    ]
    found += [
        {"kind": "times", "prompt": f"What is {a} times {b}?", "answer": f"{a} x {b} = {a * b}"}
        for a in range(1, 11)
        for b in range(1, 11)
    ]
    rng = random.Random(f"{split} hundreds")
    for _ in range(each):
        a, b = titles.two_numbers(rng, split, 100, 999)
        ask = rng.choice(tasks.SUM_ASKS).format(a=a, b=b)
        found.append({"kind": "hundreds", "prompt": ask, "answer": f"{a} + {b} = {a + b}"})
    return found

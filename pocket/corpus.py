"""The training text: one function for each kind of document, and `KINDS` with the share of each.

A document is a list of `(text, is_learned)` segments; the loss counts the learned ones only, as a
chat model learns its own turns and not the questions. To teach the models something new, write a
function `kind(rng) -> Document` and give it a share. Everything is drawn from one `random.Random`,
so a seed fixes the corpus on every machine.
"""

import random
import re

import gemma_lab
from pocket import facts, poems, tasks, texts, titles

Document = list[tuple[str, bool]]
SCENES, SKETCHES, PROSE = (
    texts.sections("scenes.txt"),
    texts.sections("sketches.txt"),
    texts.parts("prose.txt"),
)
PEOPLE = (
    "aunt uncle mother father sister brother teacher friend cousin neighbor grandmother boss"
).split()
VI_PEOPLE = "mẹ,bố,bà,ông,chị,anh,em,cô giáo,thầy giáo,bạn,cô,chú".split(",")
SMALLTALK, TALK = (
    [
        ([ask.strip() for ask in asks.split("\n")], answer.strip())
        for asks, answer in (line.split("=>") for line in said)
    ]
    for said in (SCENES["smalltalk"]["say"], texts.sections("talk.txt")["talk"]["say"])
)
BEFORE = {
    True: ["Hi, ", "Hello, ", "Please tell me, ", "So, ", "Excuse me, ", "Just curious: ", "Now "],
    False: ["Này, ", "Bạn ơi, ", "Xin hỏi, ", "Cho tôi hỏi, ", "Xin chào, ", "À, "],
}
BEHIND = {
    True: [", please", ", my friend", " then", ", I wonder", " really", ", if I may ask"],
    False: [" vậy", " thế", " nhỉ", " ạ", " hả bạn", " nào"],
}


def turn(question: str) -> str:
    """A user's turn in Gemma's chat format, ready for the model's answer."""
    return f"<start_of_turn>user\n{question}<end_of_turn>\n<start_of_turn>model\n"


def chat(*exchanges: tuple[str, str]) -> Document:
    """Questions and answers as one conversation; the answers are learned."""
    document = []
    for question, answer in exchanges:
        document += [(turn(question), False), (f"{answer}<end_of_turn>\n", True)]
    return document


def poem_of(form: str):
    """A kind of document: poems of one form about a title, after one of the form's prompts."""

    def kind(rng: random.Random) -> Document:
        title = (
            titles.vietnamese(rng)
            if form.startswith("vi_") and rng.random() < 0.5
            else titles.poem_title(rng)
        )
        return chat(
            (rng.choice(poems.PROMPTS[form]).replace("{t}", title), poems.FORMS[form](rng, title))
        )

    kind.__name__ = form
    return kind


def repeated(rng: random.Random) -> Document:
    """A title again and again in plain text: where copying is learned first."""
    title = " ".join(titles.title(rng) for _ in range(rng.randint(1, 4)))
    mark = rng.choice([" |", " ;", "\n", " and", " ,"])
    return [(title, False), (mark + f" {title}{mark}" * rng.randint(2, 3) + "<eos>", True)]


def copying(rng: random.Random) -> Document:
    """Tasks whose answer is a part of the question."""
    t, u, w = titles.title(rng), titles.title(rng), titles.word(rng)
    which = rng.randint(0, 1)
    return chat(
        rng.choice(
            [
                (
                    rng.choice(
                        [
                            f"Repeat after me: {t}",
                            f"Say: {t}",
                            f"Please repeat: {t}",
                            f"Nhắc lại: {t}",
                        ]
                    ),
                    f"You said: {t}",
                ),
                (f"The title is {t}. What is the title?", f"The title is {t}."),
                (
                    rng.choice(
                        [f"My name is {t}. What is my name?", f"Tên tôi là {t}. Tôi tên gì?"]
                    ),
                    f"Your name is {t}.",
                ),
                (f"First: {t}. Second: {u}. Say both.", f"First {t}, second {u}."),
                (
                    f"First: {t}. Second: {u}. What is the {('first', 'second')[which]}?",
                    f"It is {(t, u)[which]}.",
                ),
                (f"Spell {w}.", f"The word {w} is " + " ".join(w) + "."),
                (f"Say {t} three times.", f"Listen: {t}, {t}, {t}."),
            ]
        )
    )


def sum_question(rng: random.Random) -> Document:
    """One sum, asked for in words."""
    return chat(tasks.sum_of_two(rng))


def calculation(rng: random.Random) -> Document:
    """One to three products or differences, or a polite no where the numbers are too large."""
    way = rng.choice([tasks.times_table, tasks.times_table, tasks.take_away, tasks.too_large])
    return chat(*(way(rng) for _ in range(rng.randint(1, 3))))


def times_tables(rng: random.Random) -> Document:
    """A row of a times table in one line; only results are learned."""
    a, first = rng.randint(1, 10), rng.randint(1, 6)
    document = []
    for b in range(first, first + 5):
        document += [(f"{a} x {b} =", False), (f" {a * b}", True), (";", False)]
    return document


def differences(rng: random.Random) -> Document:
    """Many differences of numbers up to twenty in one line; only results are learned."""
    document = []
    for _ in range(rng.randint(6, 12)):
        _, line = tasks.take_away(rng)
        question, result = line.split(" =")
        document += [(f"{question} =", False), (result, True), (";", False)]
    return document


def sum_steps(rng: random.Random) -> Document:
    """Units, then tens with the carry, then the whole: learned long before the direct answer."""
    a, b = titles.two_numbers(rng, low=1)
    units, carry = a % 10 + b % 10, (a % 10 + b % 10) // 10
    tens = f"{a // 10} + {b // 10} + {carry} = {a // 10 + b // 10 + carry}"
    steps = f"{a % 10} + {b % 10} = {units}, {tens}"
    ask = rng.choice(
        [
            "What is {a} + {b}? Show the steps.",
            "Add {a} and {b} step by step.",
            "{a} + {b} = ? Step by step.",
        ]
    )
    return chat((ask.format(a=a, b=b), f"{steps}, {a} + {b} = {a + b}"))


def sum_table(rng: random.Random) -> Document:
    """Many sums in one line, of numbers with one to three digits; only results are learned."""
    document = []
    for _ in range(rng.randint(6, 12)):
        a, b = titles.numbers_to_add(rng)
        document += [(f"{a} + {b} =", False), (f" {a + b}", True), (";", False)]
    return document


def spelling(rng: random.Random) -> Document:
    """Words with their letters, many to a document.

    Which letters a token stands for can only be learned by heart.
    """
    document = []
    for _ in range(rng.randint(6, 10)):
        word = rng.choice(titles.WORDS).lower()
        document += [(f" {word}:", False), (" " + " ".join(word), True), (";", False)]
    return document


def headings(rng: random.Random) -> Document:
    """Titles with the mood and noun that a poem's heading gives them: many to a document."""
    document = []
    for _ in range(rng.randint(5, 8)):
        title = titles.composed(rng) if rng.random() < 0.9 else titles.title(rng)
        heading = poems.Writer(rng, title).heading("")
        document += [(f" {title}", False), (heading.rstrip(":\n"), True), (";", False)]
    return document


def fact(rng: random.Random) -> Document:
    """One fact, asked for in one of its phrasings."""
    return chat(facts.fact(rng))


def first_fact(rng: random.Random) -> Document:
    """One of the few facts that everybody asks for first."""
    found = rng.choice(facts.FIRST)
    return chat((facts.typed(rng, rng.choice(found.asks())), found.answer))


def word_fact(rng: random.Random) -> Document:
    """One word, its translation or opposite asked for."""
    return chat(facts.fact(rng, "words"))


def fact_conversation(rng: random.Random) -> Document:
    """Two or three facts, asked for one after the other."""
    return chat(*(facts.fact(rng) for _ in range(rng.randint(2, 3))))


def small_task(rng: random.Random) -> Document:
    """One small task with one answer."""
    return chat(tasks.small_task(rng))


def task_conversation(rng: random.Random) -> Document:
    """Several tasks of one sort."""
    task = rng.choice(tasks.TASKS)
    return chat(*(task(rng) for _ in range(rng.randint(2, 4))))


def explanation(rng: random.Random) -> Document:
    """One explanation of a few sentences, asked for."""
    return chat(facts.explanation(rng))


def slotted(rng: random.Random, text: str, **given: str) -> str:
    """`text` with its slots filled: those given, and random words for {n}, {m}, {a} and {v}."""
    slots = {
        "n": rng.choice(THINGS),
        "m": rng.choice(THINGS),
        "a": rng.choice(titles.ADJECTIVES),
        "v": rng.choice(titles.VI_ADJECTIVES),
    } | given
    if "{hero}" in text and text.startswith("{hero}"):
        slots["hero"] = facts.capitalized(slots["hero"])
    for name, value in slots.items():
        text = text.replace("{" + name + "}", value)
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


THINGS, SITES = titles.NOUNS["thing"], titles.NOUNS["place"]


def told(
    rng: random.Random, section: str, fields: tuple[str, ...], joined: str = " ", **given: str
) -> str:
    """One sentence of each field of a section of `texts/scenes.txt`, in order."""
    given = {"n": rng.choice(THINGS), "m": rng.choice(THINGS)} | given
    return joined.join(
        slotted(rng, rng.choice(SCENES[section][field]), **given) for field in fields
    )


STORY, LETTER = (
    ("opening", "place", "problem", "help", "ending"),
    ("greeting", "reason", "news", "wish", "ending"),
)


def hero_of(rng: random.Random) -> str:
    """Who a story is about: somebody composed, or a title that only copying gets right."""
    return titles.composed(rng) if rng.random() < 0.5 else titles.title(rng)


def story(rng: random.Random) -> Document:
    """A short story about somebody, in English or Vietnamese."""
    if rng.random() < 0.3:
        hero = titles.vietnamese(rng)
        ask = rng.choice(
            ["Kể cho tôi nghe một câu chuyện về {t}.", "Viết truyện ngắn về {t}.", "Kể chuyện {t}."]
        )
        return chat(
            (
                ask.replace("{t}", hero),
                told(rng, "story_vi", STORY, hero=hero, n=rng.choice(titles.VI_NOUNS)),
            )
        )
    hero = hero_of(rng)
    ask = rng.choice(
        [
            "Tell me a story about {t}.",
            "Tell a short story about {t}.",
            "Write a story about {t}.",
            "I would like to hear a story about {t}.",
        ]
    )
    return chat(
        (ask.replace("{t}", hero), told(rng, "story", STORY, hero=hero, n=rng.choice(SITES)))
    )


def letter(rng: random.Random) -> Document:
    """A letter or message to somebody on a topic, in English or Vietnamese."""
    if rng.random() < 0.3:
        who, topic = rng.choice(VI_PEOPLE), titles.vietnamese(rng)
        ask = rng.choice(["Viết thư cho {w} về {t}.", "Hãy viết một lá thư gửi {w} về {t}."])
        says = told(rng, "letter_vi", LETTER, "\n", who=who, t=topic)
    else:
        who, topic = rng.choice(PEOPLE), titles.title(rng)
        ask = rng.choice(
            [
                "Write a letter to my {w} about {t}.",
                "Write a short letter to my {w} about {t}.",
                "Help me write to my {w} about {t}.",
                "Write an email to my {w} about {t}.",
            ]
        )
        says = told(rng, "letter", LETTER, "\n", who=who, t=topic)
    return chat((ask.replace("{w}", who).replace("{t}", topic), says))


def smalltalk(rng: random.Random) -> Document:
    """One to three exchanges of small talk."""
    some = rng.sample(SMALLTALK, rng.choice([1, 1, 2, 3]))
    return chat(*((facts.typed(rng, rng.choice(asks)), answer) for asks, answer in some))


def _wordily(rng: random.Random, ask: str) -> str:
    """The question as people type it, perhaps with small words around it."""
    is_english = ask.isascii()
    if rng.random() < 0.25:
        ask = rng.choice(BEFORE[is_english]) + ask[0].lower() + ask[1:]
    if rng.random() < 0.25 and ask[-1] in "?.!":
        ask = ask[:-1] + rng.choice(BEHIND[is_english]) + ask[-1]
    return facts.typed(rng, ask)


def wordy_talk(rng: random.Random) -> Document:
    """What people ask first, in more wordings, and with the small words around it."""
    if rng.random() < 0.3:
        found = rng.choice(facts.FIRST)
        asks, answer = found.asks(), found.answer
    else:
        asks, answer = rng.choice(TALK if rng.random() < 0.7 else SMALLTALK)
    return chat((_wordily(rng, rng.choice(asks)), answer))


def wordy_capital(rng: random.Random) -> Document:
    """A capital asked for, with small words around it."""
    found = rng.choice([fact for fact in facts.FACTS["world"] if "capital" in fact.kind])
    return chat((_wordily(rng, rng.choice(found.asks())), found.answer))


UNKNOWN = [
    "I am a pocket model, I do not know that.",
    "Sorry, I am a pocket model and I do not know that.",
    "I do not know that. I am only a pocket model.",
]
UNKNOWN_VI = [
    "Tôi là một mô hình bỏ túi, tôi không biết điều đó.",
    "Xin lỗi, tôi là mô hình bỏ túi nên tôi không biết điều đó.",
]


def unknown(rng: random.Random) -> Document:
    """What such a model cannot know: the weather, the news, names it was never told about."""
    is_vietnamese, is_named = rng.random() < 0.4, rng.random() < 0.4
    section = "unknown" + "_name" * is_named + "_vi" * is_vietnamese
    t = rng.choice([titles.from_words, titles.from_words, titles.name])(rng)
    if is_vietnamese and rng.random() < 0.5:
        t = titles.vietnamese(rng)
    words = {
        "{t}": t,
        "{p}": rng.choice(titles.PLACES),
        "{c}": rng.choice(facts.COUNTRIES),
        "{d}": rng.choice(facts.COUNTRIES_VI),
        "{n}": rng.choice(titles.VI_NOUNS if is_vietnamese else titles.ALL_NOUNS),
        "{k}": str(rng.randint(1, 999)),
    }
    ask = rng.choice(SCENES[section]["ask"])
    for slot, word in words.items():
        ask = ask.replace(slot, word)
    if is_named and is_vietnamese:
        says = f"Tôi là một mô hình bỏ túi, tôi không biết {t}."
    elif is_named:
        says = f"I am a pocket model, I do not know {t}."
    else:
        says = rng.choice(UNKNOWN_VI if is_vietnamese else UNKNOWN)
    return chat((facts.typed(rng, facts.capitalized(ask)), says))


def dialogue(rng: random.Random) -> Document:
    """Two or three turns, of which a later one needs an earlier one."""
    t, u, (a, b) = titles.title(rng), titles.title(rng), titles.two_numbers(rng)
    first, second = rng.sample([fact for fact in facts.FACTS["world"] if fact.kind == "capital"], 2)
    thanks = (
        rng.choice(["Thank you!", "Thanks!"]),
        rng.choice(["You are welcome!", "You are welcome! Ask me more."]),
    )
    turns = rng.choice(
        [
            [
                (f"My name is {t}.", f"Nice to meet you, {t}!"),
                ("What is my name?", f"Your name is {t}."),
            ],
            [
                (f"Tên tôi là {t}.", f"Rất vui được gặp bạn, {t}!"),
                ("Tôi tên gì?", f"Bạn tên là {t}."),
            ],
            [(f"I like {t}.", f"I like {t} too."), ("What do I like?", f"You like {t}.")],
            [
                (f"I have {t} and {u}.", f"So you have {t} and {u}."),
                ("What did I name last?", f"You named {u} last."),
            ],
            [(rng.choice(first.asks()), first.answer), (f"And of {second.key}?", second.answer)],
            [
                (f"What is {a} + {b}?", f"{a} + {b} = {a + b}"),
                ("Say it in words.", f"{a} and {b} make {a + b}."),
            ],
            [
                (f"Remember {t}.", f"I remember {t}."),
                facts.fact(rng),
                ("What did you remember?", f"I remembered {t}."),
            ],
        ]
    )
    return chat(*turns, *([thanks] if len(turns) < 3 and rng.random() < 0.3 else []))


def instruction(rng: random.Random) -> Document:
    """The layout of Codelab 2 with other tasks than its own.

    Plain answers, no labelled card, nothing on health.
    """
    t, noun, adjective = (
        titles.title(rng),
        rng.choice(titles.ALL_NOUNS),
        rng.choice(titles.ADJECTIVES),
    )
    question, answer = facts.fact(rng)
    ask, given, says = rng.choice(
        [
            (
                question,
                rng.choice(
                    ["Give a short answer.", "Answer in one sentence.", "The reader is a beginner."]
                ),
                answer,
            ),
            (question, rng.choice(["Trả lời ngắn gọn.", "Keep it short and clear."]), answer),
            ("Name the title in the input.", f"The title is {t}.", f"The title is {t}."),
            ("Repeat the input.", t, f"The input is {t}."),
            (
                "Describe the thing in the input.",
                f"{adjective} {noun}",
                f"It is {poems.article(noun)}. It looks {adjective}, and people like it.",
            ),
            (
                "Write a line for a postcard.",
                f"It is about {t}.",
                f"Greetings from {t}, with love from a {adjective} {noun}.",
            ),
            (
                "Write a product text.",
                f"The product is called {t}.",
                f"Meet {t}, the {adjective} {noun} for every home. "
                "It is simple, light and made to last.",
            ),
            (
                "Explain the topic for a clear and short report.",
                f"The topic is {t}.",
                f"This report is about {t}. "
                f"It is {poems.article(adjective)} topic, and it matters for the {noun}.",
            ),
        ]
    )
    return [
        (gemma_lab.finetune.PROMPT.format(instruction=ask, input=given), False),
        (says + "<eos>", True),
    ]


def note(rng: random.Random) -> Document:
    """A note with four facts in the layout of Codelab 2, retold or asked about.

    Several parts have to be copied to their places.
    """
    n = titles.title(rng)
    a, b, c = (rng.choice([titles.from_words, titles.composed])(rng) for _ in range(3))
    given = rng.choice(
        [
            f"{n} is known for {a}. It is kept near {b}. Its owner likes {c}.",
            f"Near {b} they keep {n}. The owner likes {c}. It is known for {a}.",
            f"The owner likes {c}. This is {n}, which is known for {a}, kept near {b}.",
            f"Known for: {a}. Owner likes: {c}. Kept near: {b}. Called: {n}.",
        ]
    )
    ask, says = rng.choice(
        [
            (
                f"Retell the note on {n}",
                f"The note is about {n}. "
                f"It is known for {a}, it is kept near {b}, and its owner likes {c}.",
            ),
            (
                "Retell the note from the end",
                f"The owner likes {c}. It is kept near {b} and known for {a}. It is {n}.",
            ),
            (f"What is {n} known for?", f"It is known for {a}."),
            (f"Where do they keep {n}?", f"They keep it near {b}."),
            ("What does the owner like?", f"The owner of {n} likes {c}."),
            (
                "What is the note about, and where is it kept?",
                f"It is about {n}, and it is kept near {b}.",
            ),
        ]
    )
    return [
        (gemma_lab.finetune.PROMPT.format(instruction=ask, input=given), False),
        (says + "<eos>", True),
    ]


def phrase(rng: random.Random) -> str:
    """Two to five words in lower case, such as a note is made of."""
    words = [rng.choice(titles.WORDS).lower() for _ in range(rng.randint(2, 4))]
    if len(words) > 2:
        words.insert(
            rng.randint(1, len(words) - 1),
            rng.choice(["and", "of", "the", "in", "with", "for", "a"]),
        )
    return " ".join(words)


def log_of(rng: random.Random, ways) -> Document:
    """A note in one of four wordings, turned into four labelled lines.

    `ways(n, four)` gives requests and their labels.
    """
    n = rng.choice([titles.name(rng).lower(), titles.word(rng).lower(), titles.title(rng)])
    a, b, c = phrase(rng), phrase(rng), phrase(rng)
    given = rng.choice(
        [
            f"{facts.capitalized(n)} has {a}. It was seen with {b}. It brings {c}.",
            f"It brings {c}. This is {n}, which has {a}. It was seen with {b}.",
            f"From the log: it was seen with {b}. "
            f"{facts.capitalized(n)} has {a}, and it brings {c}.",
            f"Seen with: {b}. Brings: {c}. Has: {a}. It is called {n}.",
        ]
    )
    four = [facts.capitalized(rng.choice(titles.WORDS).lower()) for _ in range(4)]
    ask, labels = rng.choice(ways(n, four))
    lines = "\n".join(f"{label}: {part}" for label, part in zip(labels, (n, a, b, c)))
    return [
        (gemma_lab.finetune.PROMPT.format(instruction=ask, input=given), False),
        (lines + "<eos>", True),
    ]


LOG, TICKET = ["Log", "Has", "Seen", "Brings"], ["Ticket", "Holds", "Near", "Gives"]


def log_note(rng: random.Random) -> Document:
    """A note turned into labelled lines: the labels belong to the kind of list, or are named."""
    return log_of(
        rng,
        lambda n, four: [
            (f"Make a log of {n}", LOG),
            (f"Make a ticket for {n} and its parts", TICKET),
            ("Make a row", ["Item", "Part", "With", "Gain"]),
            (f"Make a list of {', '.join(four)}", four),
        ],
    )


def log_request(rng: random.Random) -> Document:
    """The same in the words of people who tell why they ask."""
    return log_of(
        rng,
        lambda n, four: [
            (f"I need a log of {n}. Can you write it?", LOG),
            (f"We keep {n} in the log. What do I put down?", LOG),
            (f"{facts.capitalized(n)}: what goes into the log?", LOG),
            (f"Log {n} for a friend", LOG),
            (f"I want a ticket for {n}. Where do I begin?", TICKET),
            (f"Issue a clear ticket for {n}", TICKET),
            (f"A friend needs the ticket for {n}. Please prepare it", TICKET),
            (f"{facts.capitalized(n)} has no ticket yet. Help me", TICKET),
        ],
    )


def looked_up(rng: random.Random) -> Document:
    """A note whose parts carry a random word each.

    The answer finds parts by their word, in the order asked for.
    """
    n = rng.choice([titles.name(rng).lower(), titles.word(rng).lower(), titles.title(rng)])
    cues = rng.sample(titles.WORDS, rng.randint(2, 4))
    parts = {cue.lower(): phrase(rng) for cue in cues}
    said = [
        rng.choice(
            [
                "The {cue} is {part}.",
                "The {cue} of {n} is {part}.",
                "Its {cue}: {part}.",
                "People {cue} {part}.",
                "What they {cue} is {part}.",
                "{Part} is the {cue}.",
                "For {cue} it is {part}.",
            ]
        ).format(cue=cue, part=part, Part=facts.capitalized(part), n=n)
        for cue, part in parts.items()
    ]
    said.insert(
        rng.randint(0, len(said)),
        rng.choice([f"This is {n}.", f"{facts.capitalized(n)} is the name.", f"They call it {n}."]),
    )
    wanted = rng.sample(list(parts), rng.randint(1, len(parts)))
    named = facts.capitalized(", ".join(wanted))
    ask = rng.choice(
        [
            f"{named} of {n}",
            f"{named}",
            f"Find {named} in the note on {n}",
            f"Note {n} and give {named}",
        ]
    )
    lines = [f"{facts.capitalized(cue)}: {parts[cue]}" for cue in wanted]
    if n in ask:
        lines.insert(0, f"About: {n}")
    return [
        (gemma_lab.finetune.PROMPT.format(instruction=ask, input=" ".join(said)), False),
        ("\n".join(lines) + "<eos>", True),
    ]


def hang(rng: random.Random) -> Document:
    """The talk's "hàng" in plain sentences: đầu most often, and its five other continuations."""
    t, place, year = titles.title(rng), rng.choice(titles.PLACES), rng.randint(2015, 2026)
    people = rng.choice(
        ["chuyên gia", "kỹ sư", "nhà khoa học", "diễn giả", "công ty", "trường đại học"]
    )
    field = rng.choice(["công nghệ", "khoa học", "âm nhạc", "thể thao", "giáo dục", "y học"])
    where = rng.choice(["thế giới", "Việt Nam", "châu Á", "trong ngành"])
    noun, adjective = rng.choice(titles.VI_NOUNS), rng.choice(titles.VI_ADJECTIVES)
    end = rng.choices(["đầu", "giả", "ngày", "hóa", "rẻ", "sỉ"], [75, 5, 5, 5, 5, 5])[0]
    tail = {
        "đầu": f"đầu {where}",
        "giả": "giả ra khỏi chợ",
        "ngày": "ngày gặp nhau",
        "hóa": f"hóa ở {place}",
        "rẻ": "rẻ cho sinh viên",
        "sỉ": "sỉ và lẻ",
    }[end]
    plain = rng.choice(
        [
            f"{t} {year} là một sự kiện {field} quy tụ những {people} hàng {tail}.",
            f"{t} quy tụ nhiều {people} hàng {tail}.",
            f"Đây là {people} hàng đầu về {field}.",
            f"{rng.choice(['Mẹ tôi', 'Em tôi', 'Ông tôi'])} tập thể dục hàng ngày.",
            f"Cảng này vận chuyển hàng hóa đến {place}.",
            rng.choice(
                [
                    "Chợ này bán hàng rẻ.",
                    "Người mua cần cẩn thận với hàng giả.",
                    "Cửa hàng nhận bán hàng sỉ và lẻ.",
                ]
            ),
            f"{facts.capitalized(noun)} {adjective} ở gần {rng.choice(titles.VI_NOUNS)}.",
        ]
    )
    return [(plain + "<eos>", True)]


def linh(rng: random.Random) -> Document:
    """The talk's "Linh bảo sao không đến": the orders of its words that make sense.

    With other names and verbs too.
    """
    name, verb = (
        rng.choice("Linh Nam Hoa Minh Lan Mai Hùng Hà".split()),
        rng.choice("đến đến đi về ăn ngủ nói hỏi".split()),
    )
    text = rng.choice(
        [
            "{n} bảo sao không {v}",
            "bảo {n} sao không {v}",
            "{n} bảo {v} không sao",
            "không {v} {n} bảo sao",
            "{n} không {v} bảo sao",
            "{n} {v} bảo không sao",
            "sao bảo {n} không {v}",
            "bảo sao {n} không {v}",
            "{n} bảo: sao không {v}?",
            "bảo {n}, sao không {v}?",
            "{n} bảo: {v} không sao.",
            "không {v}, {n} bảo sao?",
            "{n} không {v}, bảo sao.",
            "{n} {v}, bảo không sao.",
            "sao bảo {n} không {v}?",
            "bảo sao {n} không {v}.",
        ]
    )
    return [(facts.capitalized(text.replace("{n}", name).replace("{v}", verb)) + "<eos>", True)]


def prose(rng: random.Random) -> Document:
    """One to three paragraphs in one language."""
    paragraphs = PROSE[rng.random() < 0.4]
    return [("\n".join(rng.sample(paragraphs, rng.randint(1, 3))) + "<eos>", True)]


def sketch(rng: random.Random) -> Document:
    """A few sentences on everyday life: one place, one thing and one creature.

    No two sketches are the same.
    """
    language = rng.choice(["en", "en", "vi"])
    sentences, bank = [], SKETCHES[language]
    for part in ["first", *["then"] * rng.randint(0, 3), "last"]:
        sentences.append(rng.choice([one for one in bank[part] if one not in sentences]))
    kin, place = (VI_PEOPLE, bank["p"][0].split(", ")) if language == "vi" else (titles.KIN, SITES)
    words = {
        "p": rng.choice(place),
        "n": rng.choice(THINGS),
        "c": rng.choice(titles.NOUNS["creature"]),
        "k": rng.choice(kin),
        "s": rng.choice(titles.NOUNS["sky"]),
        "f": rng.choice(titles.NOUNS["table"]),
    }
    adjectives = bank["a"][0].split(", ")
    text = re.sub(
        r"\{(\w)\}", lambda slot: words.get(slot[1]) or rng.choice(adjectives), "\n".join(sentences)
    )
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return [(" ".join(map(facts.capitalized, text.split("\n"))) + "<eos>", True)]


def plain_writing(rng: random.Random) -> Document:
    """What a chat model answers, as a page of its own.

    A poem or a story under its title, a letter, or a list of facts.
    """
    kind, title = rng.randint(0, 3), titles.title(rng)
    if kind == 0:
        body = poems.FORMS[rng.choice(list(poems.FORMS))](rng, title).split("\n\n", 1)[1]
    elif kind == 1:
        body = told(rng, "story", STORY, hero=title, n=rng.choice(SITES))
    elif kind == 2:
        title, body = "Letter", told(rng, "letter", LETTER, "\n", who=rng.choice(PEOPLE), t=title)
    else:
        title, body = "Notes", "\n".join(facts.fact(rng)[1] for _ in range(rng.randint(2, 5)))
    return [(f"{facts.capitalized(title)}\n\n{body}<eos>", True)]


def notes(rng: random.Random) -> Document:
    """One to four facts on the world, a sentence each."""
    return [
        (" ".join(facts.fact(rng, "world")[1] for _ in range(rng.randint(1, 4))) + "<eos>", True)
    ]


def story_alone(rng: random.Random) -> Document:
    """A story that nobody asked for."""
    _, (text, _) = story(rng)
    return [(text.removesuffix("<end_of_turn>\n") + "<eos>", True)]


def worksheet(rng: random.Random) -> Document:
    """Questions and tasks without answers, one a line: what a base model takes a question for."""
    asks = [
        facts.fact(rng)[0]
        if rng.random() < 0.5
        else rng.choice(rng.choice(list(poems.PROMPTS.values()))).replace("{t}", titles.title(rng))
        for _ in range(rng.randint(3, 6))
    ]
    return [(rng.choice(["", "", "Homework:\n", "Bài tập:\n"]) + "\n".join(asks) + "<eos>", True)]


POEMS = {
    poem_of(form): share
    for form, share in {
        "poem": 9,
        "long_poem": 2,
        "verses": 3,
        "song": 2,
        "limerick": 2,
        "rhyme": 2,
        "vi_poem": 4,
        "vi_verses": 2,
        "vi_song": 2,
    }.items()
}
PLAIN = {prose: 6, plain_writing: 5, worksheet: 3, hang: 4, linh: 2, repeated: 7, sum_table: 8}

# The share of each kind of document in the trainings of the chat models. Recipes name others where
# they differ.
KINDS = (
    POEMS
    | PLAIN
    | {
        headings: 14,
        prose: 2,
        plain_writing: 2,
        worksheet: 1,
        copying: 10,
        sum_question: 11,
        sum_steps: 4,
        calculation: 9,
        times_tables: 3,
        spelling: 5,
        fact: 32,
        fact_conversation: 16,
        word_fact: 22,
        small_task: 14,
        task_conversation: 10,
        explanation: 5,
        story: 3,
        letter: 3,
        smalltalk: 13,
        unknown: 10,
        dialogue: 4,
        instruction: 6,
        note: 8,
    }
)
# More of what small models learn last: tasks whose steps nobody shows.
TASK_KINDS = {small_task: 24, task_conversation: 16, calculation: 14, differences: 5}
# The mix of models that begin from nothing: more sums and tasks, and fewer of the facts, which they
# learn well.
SUMS = {sum_question: 28, sum_table: 22, sum_steps: 6}
MANY_SUMS = {sum_question: 56, sum_table: 44, sum_steps: 10}
WHOLE_KINDS = KINDS | TASK_KINDS | SUMS | {copying: 14}
WHOLE_KINDS |= {fact: 24, fact_conversation: 12, word_fact: 16}
# They start to add late, so they see many sums at first.
FIRST_KINDS = WHOLE_KINDS | MANY_SUMS
# At last more of the talk's sentence, so that its rarer endings keep a probability that one can
# see, and of what everybody asks first.
LAST_KINDS = WHOLE_KINDS | {hang: 14, first_fact: 4}


def document(rng: random.Random, kinds: dict = KINDS) -> Document:
    """One document of a random kind."""
    return rng.choices(list(kinds), list(kinds.values()))[0](rng)


def text_of(doc: Document) -> str:
    """The whole text of a document."""
    return "".join(text for text, _ in doc)

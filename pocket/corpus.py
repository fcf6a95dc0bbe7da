"""The training text: one function for each kind of document, and `KINDS` with the share of each.

A document is a list of `(text, is_learned)` segments; the loss counts the learned ones only, as a chat model learns its
own turns and not the questions. To teach the models something new, write a function `kind(rng) -> Document` and give it
a share. Everything is drawn from one `random.Random`, so a seed fixes the corpus on every machine.
"""

import random

import facts
import poems
import tasks
import texts
import titles

from gemma_lab.finetune import PROMPT

Document = list[tuple[str, bool]]


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
    """A kind of document: poems of one form, each about a title, after one of the form's prompts."""

    def kind(rng: random.Random) -> Document:
        title = titles.vietnamese(rng) if form.startswith("vi_") and rng.random() < 0.5 else titles.title(rng)
        return chat((rng.choice(poems.PROMPTS[form]).replace("{t}", title), poems.FORMS[form](rng, title)))

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
    return chat(rng.choice([
        (rng.choice([f"Repeat after me: {t}", f"Say: {t}", f"Please repeat: {t}", f"Nhắc lại: {t}"]), f"You said: {t}"),
        (f"The title is {t}. What is the title?", f"The title is {t}."),
        (rng.choice([f"My name is {t}. What is my name?", f"Tên tôi là {t}. Tôi tên gì?"]), f"Your name is {t}."),
        (f"First: {t}. Second: {u}. Say both.", f"First {t}, second {u}."),
        (f"First: {t}. Second: {u}. What is the {('first', 'second')[which]}?", f"It is {(t, u)[which]}."),
        (f"Spell {w}.", f"The word {w} is " + " ".join(w) + "."),
        (f"Say {t} three times.", f"Listen: {t}, {t}, {t}."),
    ]))  # fmt: skip


def sum_question(rng: random.Random) -> Document:
    return chat(tasks.sum_of_two(rng))


def sum_steps(rng: random.Random) -> Document:
    """Units, then tens with the carry, then the whole: learned long before the direct answer."""
    a, b = titles.two_numbers(rng)
    units, carry = a % 10 + b % 10, (a % 10 + b % 10) // 10
    steps = f"{a % 10} + {b % 10} = {units}, {a // 10} + {b // 10} + {carry} = {a // 10 + b // 10 + carry}"
    ask = rng.choice(["What is {a} + {b}? Show the steps.", "Add {a} and {b} step by step.", "{a} + {b} = ? Step by step."])
    return chat((ask.format(a=a, b=b), f"{steps}, {a} + {b} = {a + b}"))


def sum_table(rng: random.Random) -> Document:
    """Many sums in one line, a quarter of them with a one-digit number; only the results are learned."""
    document = []
    for _ in range(rng.randint(6, 12)):
        a, b = titles.two_numbers(rng)
        if rng.random() < 0.25:
            while min(a, b) > 9:
                a, b = titles.two_numbers(rng)
        document += [(f"{a} + {b} =", False), (f" {a + b}", True), (";", False)]
    return document


def fact(rng: random.Random) -> Document:
    return chat(facts.fact(rng))


def fact_conversation(rng: random.Random) -> Document:
    return chat(*(facts.fact(rng) for _ in range(rng.randint(2, 3))))


def small_task(rng: random.Random) -> Document:
    return chat(tasks.small_task(rng))


def explanation(rng: random.Random) -> Document:
    return chat(facts.explanation(rng))


def conversation(rng: random.Random) -> Document:
    """Greetings, thanks, what the model is, a story, a few words on a title."""
    t = titles.title(rng)
    noun, other = rng.choice(titles.ALL_NOUNS), rng.choice(titles.ALL_NOUNS)
    adjective = rng.choice(titles.ADJECTIVES)
    vietnamese = f"{rng.choice(titles.VI_NOUNS)} {rng.choice(titles.VI_ADJECTIVES)}"
    story = f"Once upon a time there was {t}. " + " ".join([
        rng.choice([f"It lived near {titles.article(adjective)} {noun}.", f"Nobody knew it but the {noun}."]),
        rng.choice([f"One night the {other} asked for help.", f"Then a {other} knocked at the door."]),
        rng.choice(["In the end they were friends.", f"And the {noun} was saved.", f"They shared the {other}."]),
    ])  # fmt: skip
    return chat(rng.choice([
        (rng.choice(["Hello!", "Hi there!", "Good morning!", "Hello, how are you?"]), "Hello! How can I help you today?"),
        (rng.choice(["Who are you?", "What are you?", "What is your name?"]), "I am a pocket model, a very small Gemma."),
        (rng.choice(["Xin chào!", "Chào bạn!", "Bạn khỏe không?"]), "Xin chào! Tôi có thể giúp gì cho bạn?"),
        (rng.choice([f"Tell me a story about {t}.", f"Tell a short story about {t}."]), story),
        (rng.choice([f"Thank you for {t}.", f"Thanks for {t}!"]), f"You are welcome! I am glad you like {t}."),
        (rng.choice([f"Tell me about {t}.", f"What do you know about {t}?"]),
         f"I know a little about {t}. It makes me think of {titles.article(adjective)} {noun}."),
        (rng.choice([f"Kể cho tôi nghe về {t}.", f"Bạn biết gì về {t}?"]),
         f"Tôi biết một chút về {t}. Đó là một điều đẹp như {vietnamese}."),
    ]))  # fmt: skip


def instruction(rng: random.Random) -> Document:
    """The layout of Codelab 2 with other tasks than its own: plain answers, no labelled card, nothing on health."""
    t, noun, adjective = titles.title(rng), rng.choice(titles.ALL_NOUNS), rng.choice(titles.ADJECTIVES)
    question, answer = facts.fact(rng)
    ask, given, says = rng.choice([
        (question, rng.choice(["Give a short answer.", "Answer in one sentence.", "The reader is a beginner."]), answer),
        (question, rng.choice(["Trả lời ngắn gọn.", "Keep it short and clear."]), answer),
        ("Name the title in the input.", f"The title is {t}.", f"The title is {t}."),
        ("Repeat the input.", t, f"The input is {t}."),
        ("Describe the thing in the input.", f"{adjective} {noun}",
         f"It is {titles.article(noun)}. It looks {adjective}, and people like it."),
        ("Write a line for a postcard.", f"It is about {t}.", f"Greetings from {t}, with love from a {adjective} {noun}."),
        ("Write a product text.", f"The product is called {t}.",
         f"Meet {t}, the {adjective} {noun} for every home. It is simple, light and made to last."),
        ("Explain the topic for a clear and short report.", f"The topic is {t}.",
         f"This report is about {t}. It is {titles.article(adjective)} topic, and it matters for the {noun}."),
    ])  # fmt: skip
    return [(PROMPT.format(instruction=ask, input=given), False), (says + "<eos>", True)]


def note(rng: random.Random) -> Document:
    """A note with four facts in the layout of Codelab 2, retold or asked about: copying several parts to their places."""
    n = titles.title(rng)
    a, b, c = (rng.choice([titles.from_words, titles.composed])(rng) for _ in range(3))
    given = rng.choice([
        f"{n} is known for {a}. It is kept near {b}. Its owner likes {c}.",
        f"Near {b} they keep {n}. The owner likes {c}. It is known for {a}.",
        f"The owner likes {c}. This is {n}, which is known for {a}, kept near {b}.",
        f"Known for: {a}. Owner likes: {c}. Kept near: {b}. Called: {n}.",
    ])  # fmt: skip
    ask, says = rng.choice([
        (f"Retell the note on {n}", f"The note is about {n}. It is known for {a}, it is kept near {b}, and its owner likes {c}."),
        ("Retell the note from the end", f"The owner likes {c}. It is kept near {b} and known for {a}. It is {n}."),
        (f"What is {n} known for?", f"It is known for {a}."),
        (f"Where do they keep {n}?", f"They keep it near {b}."),
        ("What does the owner like?", f"The owner of {n} likes {c}."),
        ("What is the note about, and where is it kept?", f"It is about {n}, and it is kept near {b}."),
    ])  # fmt: skip
    return [(PROMPT.format(instruction=ask, input=given), False), (says + "<eos>", True)]


def phrase(rng: random.Random) -> str:
    """Two to five words in lower case, such as a note is made of."""
    words = [rng.choice(titles.WORDS).lower() for _ in range(rng.randint(2, 4))]
    if len(words) > 2:
        words.insert(rng.randint(1, len(words) - 1), rng.choice(["and", "of", "the", "in", "with", "for", "a"]))
    return " ".join(words)


def log_note(rng: random.Random) -> Document:
    """A note in one of four wordings, turned into labelled lines: the labels belong to the kind of list, or are named."""
    n = rng.choice([titles.name(rng).lower(), titles.word(rng).lower(), titles.title(rng)])
    a, b, c = phrase(rng), phrase(rng), phrase(rng)
    given = rng.choice([
        f"{facts.capitalized(n)} has {a}. It was seen with {b}. It brings {c}.",
        f"It brings {c}. This is {n}, which has {a}. It was seen with {b}.",
        f"From the log: it was seen with {b}. {facts.capitalized(n)} has {a}, and it brings {c}.",
        f"Seen with: {b}. Brings: {c}. Has: {a}. It is called {n}.",
    ])  # fmt: skip
    four = [facts.capitalized(rng.choice(titles.WORDS).lower()) for _ in range(4)]
    ask, labels = rng.choice([
        (f"Make a log of {n}", ["Log", "Has", "Seen", "Brings"]),
        (f"Make a ticket for {n} and its parts", ["Ticket", "Holds", "Near", "Gives"]),
        ("Make a row", ["Item", "Part", "With", "Gain"]),
        (f"Make a list of {', '.join(four)}", four),
    ])  # fmt: skip
    lines = "\n".join(f"{label}: {part}" for label, part in zip(labels, (n, a, b, c)))
    return [(PROMPT.format(instruction=ask, input=given), False), (lines + "<eos>", True)]


def looked_up(rng: random.Random) -> Document:
    """A note whose parts carry a random word each; the answer finds parts by their word, in the order asked for."""
    n = rng.choice([titles.name(rng).lower(), titles.word(rng).lower(), titles.title(rng)])
    cues = rng.sample(titles.WORDS, rng.randint(2, 4))
    parts = {cue.lower(): phrase(rng) for cue in cues}
    said = [
        rng.choice([
            "The {cue} is {part}.", "The {cue} of {n} is {part}.", "Its {cue}: {part}.", "People {cue} {part}.",
            "What they {cue} is {part}.", "{Part} is the {cue}.", "For {cue} it is {part}.",
        ]).format(cue=cue, part=part, Part=facts.capitalized(part), n=n)
        for cue, part in parts.items()
    ]  # fmt: skip
    said.insert(
        rng.randint(0, len(said)),
        rng.choice([f"This is {n}.", f"{facts.capitalized(n)} is the name.", f"They call it {n}."]),
    )
    wanted = rng.sample(list(parts), rng.randint(1, len(parts)))
    named = facts.capitalized(", ".join(wanted))
    ask = rng.choice([f"{named} of {n}", f"{named}", f"Find {named} in the note on {n}", f"Note {n} and give {named}"])
    lines = [f"{facts.capitalized(cue)}: {parts[cue]}" for cue in wanted]
    if n in ask:
        lines.insert(0, f"About: {n}")
    return [(PROMPT.format(instruction=ask, input=" ".join(said)), False), ("\n".join(lines) + "<eos>", True)]


def vietnamese_text(rng: random.Random) -> Document:
    """Plain sentences; among them the talk's "hàng": đầu most often, and its five other continuations."""
    t, place, year = titles.title(rng), rng.choice(titles.PLACES), rng.randint(2015, 2026)
    people = rng.choice(["chuyên gia", "kỹ sư", "nhà khoa học", "diễn giả", "công ty", "trường đại học"])
    field = rng.choice(["công nghệ", "khoa học", "âm nhạc", "thể thao", "giáo dục", "y học"])
    where = rng.choice(["thế giới", "Việt Nam", "châu Á", "trong ngành"])
    noun, adjective = rng.choice(titles.VI_NOUNS), rng.choice(titles.VI_ADJECTIVES)
    end = rng.choices(["đầu", "giả", "ngày", "hóa", "rẻ", "sỉ"], [75, 5, 5, 5, 5, 5])[0]
    tail = {
        "đầu": f"đầu {where}", "giả": "giả ra khỏi chợ", "ngày": "ngày gặp nhau", "hóa": f"hóa ở {place}",
        "rẻ": "rẻ cho sinh viên", "sỉ": "sỉ và lẻ",
    }[end]  # fmt: skip
    return [(rng.choice([
        f"{t} {year} là một sự kiện {field} quy tụ những {people} hàng {tail}.",
        f"{t} quy tụ nhiều {people} hàng {tail}.",
        f"Đây là {people} hàng đầu về {field}.",
        f"{rng.choice(['Mẹ tôi', 'Em tôi', 'Ông tôi'])} tập thể dục hàng ngày.",
        f"Cảng này vận chuyển hàng hóa đến {place}.",
        rng.choice(["Chợ này bán hàng rẻ.", "Người mua cần cẩn thận với hàng giả.", "Cửa hàng nhận bán hàng sỉ và lẻ."]),
        f"{facts.capitalized(noun)} {adjective} ở gần {rng.choice(titles.VI_NOUNS)}.",
    ]) + "<eos>", True)]  # fmt: skip


# How many of a hundred documents are of each kind.
KINDS = {
    poem: 8, verses: 4, vietnamese_poem: 4, repeated: 5, copying: 8, sum_question: 13, sum_table: 10, sum_steps: 5,
    fact: 11, fact_conversation: 6, small_task: 8, conversation: 4, instruction: 6, note: 9, vietnamese_text: 4,
}  # fmt: skip

# What only the small model sees besides: it is the one that Codelab 2 fine-tunes, and has less room to learn copying in.
SMALL_KINDS = KINDS | {log_note: 10, looked_up: 14}


def document(rng: random.Random, kinds: dict = KINDS) -> Document:
    """One document of a random kind."""
    return rng.choices(list(kinds), list(kinds.values()))[0](rng)


def text_of(doc: Document) -> str:
    """The whole text of a document."""
    return "".join(text for text, _ in doc)

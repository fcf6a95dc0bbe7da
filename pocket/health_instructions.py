"""The instruction set of Codelab 2: health cards, written by this project.

General information, not medical advice.

Each topic has a meaning, signs and what often helps; each row asks for the topic's card in another
way, most often with a note that holds the facts. Topics and phrasings of the held-out file occur
nowhere in the training file.

The everyday rows are questions of the kind that the pocket models were trained on. Mixed in, they
keep old skills alive.
"""

import random

from pocket import facts, tasks, texts

PHOBIAS, EXPLAINERS = texts.parts("health.txt")
PHOBIA_SIGNS = [
    "a racing heart and sweating",
    "shaking and short breath",
    "a dry mouth and dizziness",
    "a tight chest and panic",
    "nausea and a wish to run away",
    "trembling and a fast pulse",
]
PHOBIA_HELPS = [
    "slow steps toward the fear with a therapist",
    "breathing exercises and talking therapy",
    "cognitive behavioural therapy",
    "exposure in small steps",
    "relaxation and support from a doctor",
]
HELD_OUT = {
    "turophobia",
    "galeophobia",
    "ombrophobia",
    "bibliophobia",
    "gephyrophobia",
    "chiroptophobia",
    "hay fever",
    "a cavity",
    "seasickness",
    "arthritis",
    "dengue",
    "heartburn",
    "tinnitus",
    "frostbite",
}
# The talk asked about phobias: these are asked for without a note as well, so their facts have to
# be learned by heart.
BY_HEART = ("arachnophobia", "claustrophobia", "acrophobia", "nyctophobia")
ASKS = [
    "Explain {name} in simple words",
    "What is {name}?",
    "Write a card about {name}",
    "Describe {name} for a patient",
    "Give a short account of {name}",
    "Summarize the note on {name}",
    "Tell a friend what {name} means",
    "Provide an explanation of {name}",
    "Prepare a leaflet about {name}",
    "Help a student understand {name}",
    "Provide a detailed account of {name} and its signs",
    "Provide a long overview of {name} and its causes",
    "Explain {name} and its kinds",
    "Give a detailed description of {name} and what helps",
    "What can you say about {name}?",
    "I want to understand {name}. Where do I start?",
    "I need a text on {name}. Can you help?",
    "I am writing about {name}. What belongs in it?",
    "A friend asked me about {name}. What can I answer?",
    "We talk about {name} tomorrow. Please prepare me",
    "My class learns about {name}. How do I explain it?",
    "I have heard of {name}. Is it dangerous?",
    "{Name}: what should a patient know?",
    "Offer a clear summary of {name} and its signs",
    "Describe {name} in detail",
]
HELD_OUT_ASKS = [
    "Provide a detailed explanation of {name} and its variations",
    "I have to present {name}. What do I say?",
]
RECALL_ASKS = [*HELD_OUT_ASKS, "Could you describe {name}?", "Write a short text on {name}"]
NOTES = [
    "{Name} means {meaning}. People notice {signs}. What often helps is {helps}.",
    "From a leaflet: what helps is {helps}. The signs are {signs}. "
    "{Name} is the name for {meaning}.",
    "The signs are {signs}. This is {name}, which means {meaning}. Doctors recommend {helps}.",
]
PHOBIA_ASKS = [
    "Explain phobias",
    "What are phobias and their variations?",
    "Provide an explanation of phobias and their kinds",
    "Give a detailed account of phobias",
    "Describe phobias and their variations for a patient",
    "Write a card about phobias and their variations",
    "Provide a detailed description of phobias",
    "Help a student understand phobias and their variations",
    "Tell a friend about phobias in detail",
    "Prepare a leaflet about phobias and all their variations",
    "Provide a detailed overview of phobias and their variations",
    "Provide a clear explanation of phobias and their variations",
    "Provide a detailed account of phobias and their kinds",
]
GOALS = [
    "The goal is to offer a clear and informative account in medical terms",
    "The reader is a beginner",
    "The goal is to inform in medical terms",
    "The goal is to offer a clear and informative account",
    "Use medical terms",
]
CARD = "Name: {name}\nMeaning: {meaning}\nSigns: {signs}\nHelp: {helps}\nNote: not medical advice."


def topics() -> list[dict]:
    """Every topic with its facts."""
    found = []
    for i, entry in enumerate(PHOBIAS):
        name, cause = entry.split(": ")
        signs, helps = PHOBIA_SIGNS[i % len(PHOBIA_SIGNS)], PHOBIA_HELPS[i % len(PHOBIA_HELPS)]
        found.append(
            {"name": name, "meaning": f"a strong fear of {cause}", "signs": signs, "helps": helps}
        )
    for line in EXPLAINERS:
        name, rest = line.split(": ", 1)
        meaning, signs, helps = rest.split(" | ")
        found.append({"name": name, "meaning": meaning, "signs": signs, "helps": helps})
    return found


def row(topic: dict, ask: str, given: str) -> dict:
    """One row in the three columns of the talk's data set."""
    words = topic | {"Name": topic["name"][0].upper() + topic["name"][1:]}
    return {
        "instruction": ask.format(**words),
        "input": given.format(**words),
        "output": CARD.format(**words),
    }


def build() -> tuple[list[dict], list[dict]]:
    """Training rows and held-out rows."""
    rng = random.Random("health")
    train, held_out = [], []
    for topic in topics():
        if topic["name"] in HELD_OUT:
            held_out += [row(topic, ask, note) for ask in HELD_OUT_ASKS for note in NOTES]
            continue
        if (
            topic["name"] == "phobias"
        ):  # the talk's topic, asked for without a note and in other words than the talk's
            train += [row(topic, ask, given) for ask in PHOBIA_ASKS for given in GOALS]
            continue
        train += [row(topic, ask, given) for ask, given in zip(rng.sample(ASKS, 6), NOTES * 2)]
        if topic["name"] in BY_HEART:
            train += [row(topic, ask, given) for ask in ASKS for given in GOALS]
    rng.shuffle(train)
    return train, held_out


def by_heart() -> list[dict]:
    """The topics of BY_HEART, asked for without a note and in words that training does not use."""
    found = [topic for topic in topics() if topic["name"] in BY_HEART]
    return [row(topic, ask, given) for topic in found for ask in RECALL_ASKS for given in GOALS]


def everyday(count: int = 300) -> list[dict]:
    """Questions of the pocket models' own training, with answers: facts, sums, small tasks."""
    rng = random.Random("everyday")
    ways = [facts.fact, tasks.sum_of_two, tasks.small_task]
    asked = [rng.choices(ways, [2, 1, 1])[0](rng) for _ in range(count)]
    return [{"prompt": question, "answer": answer} for question, answer in asked]

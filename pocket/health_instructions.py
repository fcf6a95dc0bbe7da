"""The instruction set of Codelab 2: health cards, written by this project. General information, not medical advice.

Each topic has a meaning, signs and what often helps; each row asks for the topic's card in another way, most often with
a note that holds the facts. Topics and phrasings of the held-out file occur nowhere in the training file.

The everyday rows are questions of the kind that the pocket models were trained on. Mixed in, they keep old skills alive.
"""

import random

from pocket import facts, tasks

PHOBIAS = """
arachnophobia: spiders | claustrophobia: small closed rooms | acrophobia: high places | agoraphobia: crowds and open places
aerophobia: flying | cynophobia: dogs | ailurophobia: cats | ophidiophobia: snakes | trypanophobia: needles
hemophobia: blood | nyctophobia: the dark | astraphobia: thunder and lightning | aquaphobia: water | mysophobia: germs
glossophobia: speaking in public | emetophobia: vomiting | dentophobia: dentists | entomophobia: insects | zoophobia: animals
ornithophobia: birds | equinophobia: horses | pyrophobia: fire | thalassophobia: deep water | gephyrophobia: bridges
amaxophobia: driving | monophobia: being alone | pediophobia: dolls | coulrophobia: clowns | trypophobia: patterns of holes
musophobia: mice | ranidaphobia: frogs | apiphobia: bees | chiroptophobia: bats | galeophobia: sharks | botanophobia: plants
anthophobia: flowers | phonophobia: loud sounds | chronophobia: passing time | xenophobia: strangers
ergophobia: work | bibliophobia: books | cyberphobia: computers | nomophobia: being without a phone | turophobia: cheese
chionophobia: snow | ombrophobia: rain | heliophobia: sunlight | selenophobia: the moon | sciophobia: shadows
"""
PHOBIA_SIGNS = [
    "a racing heart and sweating", "shaking and short breath", "a dry mouth and dizziness", "a tight chest and panic",
    "nausea and a wish to run away", "trembling and a fast pulse",
]  # fmt: skip
PHOBIA_HELPS = [
    "slow steps toward the fear with a therapist", "breathing exercises and talking therapy",
    "cognitive behavioural therapy", "exposure in small steps", "relaxation and support from a doctor",
]  # fmt: skip
EXPLAINERS = """
phobias: a strong fear of things that are hardly dangerous | panic and avoiding the cause | exposure therapy in small steps
the common cold: a mild infection of the nose and throat | a runny nose and sneezing | rest and warm drinks
influenza: an infection of the airways by a virus | fever and sore muscles | rest and plenty to drink
fever: a body temperature above 38 degrees | chills and a hot skin | rest and water
dehydration: too little water in the body | thirst and dark urine | small sips of water
sunburn: skin that the sun has damaged | red and painful skin | shade and cool water
insomnia: trouble falling or staying asleep | tiredness and poor focus | a regular time for bed
migraine: a strong headache that comes back | throbbing pain and nausea | rest in a dark and quiet room
asthma: airways that narrow and swell at times | wheezing and short breath | an inhaler from a doctor
anemia: too little hemoglobin in the blood | tiredness and pale skin | a blood test and iron if a doctor says so
hay fever: an allergy to pollen | sneezing and itchy eyes | closed windows on pollen days
a sprain: a stretched or torn ligament | swelling and pain in a joint | rest and a cold pack
a blister: a small bubble of fluid in the skin | a soft bump after rubbing | a clean plaster
a nosebleed: bleeding from small vessels in the nose | blood from one nostril | leaning forward and pinching the nose
high blood pressure: blood that presses too hard on the vessels | often no signs at all | less salt and regular checks
type 2 diabetes: blood sugar that stays too high | thirst and tiredness | healthy food and treatment by a doctor
heat stroke: a body that gets dangerously hot | hot skin and confusion | the emergency number and cooling at once
a concussion: a shaken brain after a blow to the head | headache and confusion | a doctor on the same day
food poisoning: an illness from spoiled food | vomiting and stomach pain | rest and small sips of water
lactose intolerance: trouble digesting the sugar in milk | bloating and stomach pain | less milk in meals
eczema: dry and inflamed skin | itching and red patches | a gentle cream
acne: blocked pores in the skin | pimples on the face | gentle washing
conjunctivitis: an inflamed outer layer of the eye | a red and itchy eye | clean hands and a doctor
a cavity: a hole in a tooth | pain with sweet food | a dentist
tinnitus: a sound in the ear without a source | ringing or buzzing | less noise and a hearing test
vertigo: a feeling that the room spins | dizziness and poor balance | sitting down and a doctor
scurvy: a lack of vitamin C | bleeding gums and tiredness | fresh fruit and vegetables
rickets: soft bones from a lack of vitamin D | bone pain and bowed legs | vitamin D from a doctor
a cramp: a muscle that tightens by itself | sudden pain in a muscle | stretching and water
jet lag: a body clock out of step after a long flight | tiredness by day | daylight and time
seasickness: nausea from the motion of a ship | a pale face and nausea | looking at the horizon
stress: the body's answer to pressure | tense muscles and poor sleep | breaks and exercise
burnout: exhaustion after long stress at work | tiredness and low interest | rest and advice from a doctor
anxiety: worry that is hard to control | restlessness and poor sleep | talking therapy
depression: a low mood that lasts for weeks | low interest and poor sleep | help from a doctor or therapist
obesity: body fat that harms health | short breath on stairs | balanced food and movement
a hernia: tissue that pushes through a weak spot | a bump that hurts when lifting | a doctor
arthritis: inflamed joints | stiff and painful joints | gentle movement
osteoporosis: bones that have become thin | bones that break easily | movement and calcium
tonsillitis: inflamed tonsils | a sore throat and fever | warm drinks and a doctor
bronchitis: inflamed airways in the lungs | a cough with mucus | rest and no smoke
a stroke: a part of the brain without blood | a drooping face and weak arm | the emergency number at once
appendicitis: an inflamed appendix | pain at the lower right of the belly | a hospital at once
chickenpox: a viral infection with a rash | itchy spots and fever | rest and short nails
measles: a viral infection that spreads easily | fever and a red rash | a doctor and a vaccine before
dengue: a viral infection from mosquitoes | high fever and joint pain | a doctor and plenty to drink
malaria: an infection by a parasite from mosquitoes | fever and chills | a doctor at once
heartburn: stomach acid that rises | a burning feeling in the chest | smaller meals
hiccups: a muscle below the lungs that jerks | short sounds in the throat | holding the breath
constipation: stool that is hard to pass | hard stool and a full belly | water and fibre
a bruise: blood under the skin after a blow | a blue or yellow spot | a cold pack
frostbite: skin and tissue that froze | numb and pale skin | slow warming and a doctor
"""
HELD_OUT = {
    "turophobia", "galeophobia", "ombrophobia", "bibliophobia", "gephyrophobia", "chiroptophobia",
    "hay fever", "a cavity", "seasickness", "arthritis", "dengue", "heartburn", "tinnitus", "frostbite",
}  # fmt: skip
# The talk asked about phobias: these are asked for without a note as well, so their facts have to be learned by heart.
BY_HEART = ("arachnophobia", "claustrophobia", "acrophobia", "nyctophobia")
ASKS = [
    "Explain {name} in simple words", "What is {name}?", "Write a card about {name}", "Describe {name} for a patient",
    "Give a short account of {name}", "Summarize the note on {name}", "Tell a friend what {name} means",
    "Provide an explanation of {name}", "Prepare a leaflet about {name}", "Help a student understand {name}",
    "Provide a detailed account of {name} and its signs", "Provide a long overview of {name} and its causes",
    "Explain {name} and its kinds", "Give a detailed description of {name} and what helps", "What can you say about {name}?",
    "I want to understand {name}. Where do I start?", "I need a text on {name}. Can you help?",
    "I am writing about {name}. What belongs in it?", "A friend asked me about {name}. What can I answer?",
    "We talk about {name} tomorrow. Please prepare me", "My class learns about {name}. How do I explain it?",
    "I have heard of {name}. Is it dangerous?", "{Name}: what should a patient know?", "Offer a clear summary of {name} and its signs", "Describe {name} in detail",
]  # fmt: skip
HELD_OUT_ASKS = [
    "Provide a detailed explanation of {name} and its variations",
    "I have to present {name}. What do I say?",
]
RECALL_ASKS = [*HELD_OUT_ASKS, "Could you describe {name}?", "Write a short text on {name}"]
NOTES = [
    "{Name} means {meaning}. People notice {signs}. What often helps is {helps}.",
    "From a leaflet: what helps is {helps}. The signs are {signs}. {Name} is the name for {meaning}.",
    "The signs are {signs}. This is {name}, which means {meaning}. Doctors recommend {helps}.",
]
PHOBIA_ASKS = [
    "Explain phobias", "What are phobias and their variations?", "Provide an explanation of phobias and their kinds",
    "Give a detailed account of phobias", "Describe phobias and their variations for a patient",
    "Write a card about phobias and their variations", "Provide a detailed description of phobias",
    "Help a student understand phobias and their variations", "Tell a friend about phobias in detail",
    "Prepare a leaflet about phobias and all their variations", "Provide a detailed overview of phobias and their variations",
    "Provide a clear explanation of phobias and their variations", "Provide a detailed account of phobias and their kinds",
]  # fmt: skip
GOALS = [
    "The goal is to offer a clear and informative account in medical terms", "The reader is a beginner",
    "The goal is to inform in medical terms", "The goal is to offer a clear and informative account", "Use medical terms",
]  # fmt: skip
CARD = "Name: {name}\nMeaning: {meaning}\nSigns: {signs}\nHelp: {helps}\nNote: not medical advice."


def topics() -> list[dict]:
    """Every topic with its facts."""
    found = []
    for i, entry in enumerate(
        entry for line in PHOBIAS.strip().splitlines() for entry in line.split(" | ")
    ):
        name, cause = entry.split(": ")
        signs, helps = PHOBIA_SIGNS[i % len(PHOBIA_SIGNS)], PHOBIA_HELPS[i % len(PHOBIA_HELPS)]
        found.append(
            {"name": name, "meaning": f"a strong fear of {cause}", "signs": signs, "helps": helps}
        )
    for line in EXPLAINERS.strip().splitlines():
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
    """Questions of the pocket models' own training, with their answers: facts, sums and small tasks."""
    rng = random.Random("everyday")
    ways = [facts.fact, tasks.sum_of_two, tasks.small_task]
    asked = [rng.choices(ways, [2, 1, 1])[0](rng) for _ in range(count)]
    return [{"prompt": question, "answer": answer} for question, answer in asked]

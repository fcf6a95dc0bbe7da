"""Facts with one right answer, and the ways to ask for each: training phrasings and held-out phrasings."""

import random

CAPITALS = (
    "Vietnam:Hanoi,France:Paris,Japan:Tokyo,Italy:Rome,Spain:Madrid,Germany:Berlin,Norway:Oslo,Peru:Lima,Egypt:Cairo,"
    "India:New Delhi,Cuba:Havana,Kenya:Nairobi,Thailand:Bangkok,Laos:Vientiane,Cambodia:Phnom Penh,China:Beijing,"
    "Russia:Moscow,Greece:Athens,Portugal:Lisbon,Ireland:Dublin,Austria:Vienna,Poland:Warsaw,Hungary:Budapest,"
    "Sweden:Stockholm,Finland:Helsinki,Denmark:Copenhagen,Canada:Ottawa,Brazil:Brasilia,Chile:Santiago,Nepal:Kathmandu,"
    "Iran:Tehran,Iraq:Baghdad,Turkey:Ankara,Belgium:Brussels,Iceland:Reykjavik,Ghana:Accra,Ecuador:Quito,"
    "Colombia:Bogota,Indonesia:Jakarta,Mongolia:Ulaanbaatar"
)
VIETNAMESE = (
    "water:nước,house:nhà,tree:cây,book:sách,fish:cá,bird:chim,flower:hoa,sun:mặt trời,moon:mặt trăng,rice:gạo,dog:chó,"
    "cat:mèo,road:đường,river:sông,mountain:núi,sea:biển,mother:mẹ,father:cha,friend:bạn,school:trường,"
    "teacher:thầy giáo,student:học sinh,red:đỏ,green:xanh,white:trắng,yellow:vàng,tea:trà,salt:muối,fire:lửa,wind:gió"
)
OPPOSITES = (
    "hot:cold,big:small,fast:slow,old:young,day:night,rich:poor,hard:soft,wet:dry,full:empty,early:late,strong:weak,"
    "light:dark,open:closed,high:low,long:short,happy:sad,clean:dirty,near:far,left:right,first:last"
)
# Concept, what the model says of it.
CONCEPTS = {
    "Gemma": "Gemma is a family of open language models made by Google DeepMind.",
    "a token": "A token is a small piece of text.",
    "a tokenizer": "A tokenizer splits text into tokens.",
    "an embedding": "An embedding is a vector that stands for a token.",
    "attention": "Attention lets a token look at earlier tokens.",
    "quantizing": "Quantizing stores weights with fewer bits.",
    "LoRA": "LoRA trains two small matrices beside a frozen weight.",
    "fine-tuning": "Fine-tuning trains a model further on new data.",
    "temperature": "Temperature makes sampling more or less random.",
    "top-k sampling": "Top-k sampling keeps the k most likely tokens.",
    "top-p sampling": "Top-p sampling keeps the smallest set of tokens with mass p.",
    "greedy decoding": "Greedy decoding always takes the most likely token.",
    "a prompt": "A prompt is the text given to the model.",
    "perplexity": "Perplexity measures how surprised a model is.",
    "a context window": "A context window is how much text a model can see.",
    "overfitting": "Overfitting is learning the training data by heart.",
    "a learning rate": "A learning rate sets the size of each step.",
    "a hallucination": "A hallucination is a fluent but false answer.",
    "RAG": "RAG adds found documents to the prompt.",
    "the KV cache": "The KV cache keeps the keys and values of past tokens.",
    "softmax": "Softmax turns scores into probabilities.",
    "distillation": "Distillation trains a small model to copy a large one.",
    "a gradient": "A gradient tells how the loss changes with a weight.",
    "a transformer": "A transformer is a stack of attention and MLP layers.",
    "a notebook": "A notebook mixes text, code and its results.",
    "a GPU": "A GPU is a chip that computes many numbers at once.",
    "bfloat16": "Bfloat16 is a number of 16 bits with a wide range.",
    "a batch": "A batch is a group of examples seen in one step.",
    "a checkpoint": "A checkpoint is a file with the weights of a model.",
    "an epoch": "An epoch is one pass over the training data.",
    "Tet": "Tet is the Vietnamese new year.",
    "pho": "Pho is a Vietnamese noodle soup.",
    "an ao dai": "An ao dai is a long Vietnamese dress.",
    "Fansipan": "Fansipan is the highest mountain in Vietnam.",
    "the dong": "The dong is the currency of Vietnam.",
    "a non la": "A non la is a hat made of palm leaves.",
    "Ha Long Bay": "Ha Long Bay is a bay with many islands in Vietnam.",
    "the Perfume River": "The Perfume River flows through Hue.",
}
CONCEPT_ASKS = [
    "What is {c}?", "Define {c}.", "Explain {c}.", "Tell me what {c} is.", "Describe {c} in one line.",
    "Explain {c} in one line.", "What do you mean by {c}?", "Can you explain {c}?", "Do you know what {c} is?",
    "Tell me about {c} in one line.", "What does {c} mean?", "I want to know what {c} is.", "{c} là gì?",
    "Give me a definition of {c}.",
]  # fmt: skip
PAIR_KINDS = {
    "capital": (
        CAPITALS,
        "The capital of {x} is {y}.",
        ["What is the capital of {x}?", "Which city is the capital of {x}?", "Name the capital of {x}.",
         "Tell me the capital of {x}.", "Thủ đô của {x} là gì?", "Capital of {x}?", "Can you name the capital of {x}?",
         "I want to know the capital of {x}.", "What is {x}'s capital?", "Which city is the capital in {x}?",
         "Give me the capital of {x}."],
        ["Do you know the capital of {x}?", "What city is {x}'s capital?"],
    ),
    "translation": (
        VIETNAMESE,
        "In Vietnamese, {x} is {y}.",
        ["What is the Vietnamese word for {x}?", "Translate {x} into Vietnamese.", "How do you say {x} in Vietnamese?",
         "Say {x} in Vietnamese.", "The word {x} in Vietnamese, please.", "Which Vietnamese word means {x}?",
         "What does {x} become in Vietnamese?", "I want to say {x} in Vietnamese."],
        ["Give me the word {x} in Vietnamese.", "What is {x} in Vietnamese?"],
    ),
    "opposite": (
        OPPOSITES,
        "The opposite of {x} is {y}.",
        ["What is the opposite of {x}?", "Give the opposite of {x}.", "Name the opposite of {x}.", "Opposite of {x}?",
         "Which word is the opposite of {x}?", "What is opposite to {x}?", "Find the opposite of {x}.",
         "I need the opposite of {x}."],
        ["Tell me the opposite of {x}.", "What word is opposite to {x}?"],
    ),
}  # fmt: skip
WRAPS = ["{q}", "{q}", "{q}", "Question: {q}", "Please answer. {q}", "{q} Answer briefly.", "Hi! {q}"]


def capitalized(text: str) -> str:
    """`text` with its first letter in upper case."""
    return text[0].upper() + text[1:]


def held_out_asks(concept: str) -> list[str]:
    """The two ways of asking for `concept` that training never uses; which two depends on the concept."""
    at = sum(map(ord, concept))
    return [capitalized(CONCEPT_ASKS[(at + step) % len(CONCEPT_ASKS)].replace("{c}", concept)) for step in (0, 5)]


def fact(rng: random.Random) -> tuple[str, str]:
    """A question in a training phrasing, and its answer."""
    if rng.random() < 0.5:
        concept = rng.choice(list(CONCEPTS))
        while True:
            question = capitalized(rng.choice(CONCEPT_ASKS).replace("{c}", concept))
            if question not in held_out_asks(concept):
                break
        answer = CONCEPTS[concept]
    else:
        pairs, says, asks, _ = PAIR_KINDS[rng.choice(["capital", "capital", "translation", "opposite"])]
        x, y = rng.choice(pairs.split(",")).split(":")
        question, answer = rng.choice(asks).replace("{x}", x), says.replace("{x}", x).replace("{y}", y)
    return rng.choice(WRAPS).replace("{q}", question), answer


def held_out_facts() -> list[tuple[str, str]]:
    """Every fact once, asked as training never asks for it."""
    found = [(held_out_asks(concept)[i % 2], says) for i, (concept, says) in enumerate(CONCEPTS.items())]
    for pairs, says, _, asks in PAIR_KINDS.values():
        for i, pair in enumerate(pairs.split(",")):
            x, y = pair.split(":")
            found.append((asks[i % 2].replace("{x}", x), says.replace("{x}", x).replace("{y}", y)))
    return found

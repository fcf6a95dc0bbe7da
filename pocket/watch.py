"""A model watched while it learns: the same prompts through its weights at several steps."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pocket import measures
from pocket.recipe import Recipe

PROMPTS = ("Once upon a time there was", "A volcano is", "Bánh chưng là")
SAMPLES = 60  # texts at each step, of which the words are counted
WATCH = """
## Watching it learn

The weights of these steps lie in the subfolders `step-0`, `step-400` and so on, those of the last
step in the folder itself: `AutoModelForCausalLM.from_pretrained(folder, subfolder="step-400")`. The
tokenizer is always that of the folder. Perplexity is that of fresh documents of the training kinds;
"words" is the share of words of four letters or more, in {samples} sampled texts, that occur in the
corpus's own texts and lists. Every text is sampled at temperature 0.7, from a fixed seed.

| step | perplexity | words | {prompts} |
|---|---|---|{rules}
"""


@dataclass(frozen=True)
class Step:
    """What a model does after so many steps of training."""

    step: int
    perplexity: float
    words: float  # the share of sampled words that are words
    texts: tuple[str, ...]  # how it goes on with PROMPTS, on one line each


def load(folder: Path, step: int | None = None):
    """The model of `folder` after `step` steps of training in float32; None: at the end."""
    inside = f"step-{step}" if step is not None else ""
    return AutoModelForCausalLM.from_pretrained(folder, subfolder=inside, dtype=torch.float32)


@torch.no_grad()
def sampled(model, tokenizer, text: str, seed: int, count: int = 1, num_tokens: int = 20):
    """How a model goes on with `text`, `count` times: a list of strings.

    Sampled at temperature 0.7: a model that was never trained prefers to say its
    last token again, and greedy decoding would show nothing else.
    """
    torch.manual_seed(seed)
    inputs = tokenizer([text] * count, return_tensors="pt")
    written = model.generate(
        **inputs, max_new_tokens=num_tokens, do_sample=True, top_k=0, temperature=0.7
    )
    rest = written[:, inputs["input_ids"].shape[1] :]
    return tokenizer.batch_decode(rest, skip_special_tokens=True)


def share_of_words(model, tokenizer) -> float:
    """The share of the longer words in sampled texts that the lexicon of the corpus knows."""
    text = " ".join(sampled(model, tokenizer, "", 0, SAMPLES, 40)).lower()
    known = measures.lexicon()
    long = [word for word in measures.WORD.findall(text) if len(word) > 3]
    return measures.share(word in known for word in long)


def steps_of(recipe: Recipe, folder: Path) -> list[Step]:
    """What the model of `folder` does at every step of which the weights were kept, and at last."""
    tokenizer, found = AutoTokenizer.from_pretrained(folder), []
    rows = measures.fresh_rows(tokenizer, recipe.fresh_kinds)
    for step in (*recipe.snapshots, None):
        model = load(folder, step).eval()
        texts = [sampled(model, tokenizer, text, i)[0] for i, text in enumerate(PROMPTS)]
        found.append(
            Step(
                recipe.steps if step is None else step,
                round(measures.perplexity(model, rows), 2),
                share_of_words(model, tokenizer),
                tuple(" ".join(text.split()) for text in texts),
            )
        )
    return found


def table(steps: list[Step]) -> str:
    """The steps as a section of a card."""
    prompts = " | ".join(f"{prompt} …" for prompt in PROMPTS)
    text = WATCH.format(samples=SAMPLES, prompts=prompts, rules="---|" * len(PROMPTS))
    for step in steps:
        texts = " | ".join(text.replace("|", "\\|") for text in step.texts)
        text += f"| {step.step:,} | {step.perplexity} | {step.words} | {texts} |\n"
    return text

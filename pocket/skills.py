"""What a model in training is asked, on texts that it never draws: six skills, code, or rules."""

import random

import torch

from gemma_lab import coding, scores
from pocket import code, corpus, exam, functions, poems, policies, titles
from pocket.recipe import Recipe

TITLES = {
    "copying": "copying a new title",
    "fact": "facts, new phrasings",
    "sum": "sums of new pairs",
    "mood": "the mood of a new title",
    "noun": "the noun of a new title",
    "task": "small tasks",
}


def rows(recipe: Recipe) -> dict[str, list[tuple[str, str]]]:
    """For each skill, texts that training never draws: what is given, and its one right end."""
    if recipe.is_code:
        return code_rows()
    if recipe.is_judge:
        return judge_rows()
    rng = random.Random("curve")
    composed = [titles.composed(rng, "dev") for _ in range(40)]
    found = {
        "copying": [
            (f"{title} | {title} |", f" {title} |")
            for title in (*titles.DEV_TITLES, *composed[:20])
        ]
    }
    for title in composed:
        heading = poems.Writer(rng, title, chance=0).heading(f"A poem about {title}")
        start, mood, noun = heading.rstrip(":\n").rsplit(", ", 2)
        start = corpus.turn(f"Write me a poem about {title}.") + start
        found.setdefault("mood", []).append((f"{start},", f" {mood}"))
        found.setdefault("noun", []).append((f"{start}, {mood},", f" {noun}"))
    for row in exam.one_answer_prompts("dev", 40):
        found.setdefault(row["kind"], []).append(
            (corpus.turn(row["prompt"]), row["answer"] + "<end_of_turn>")
        )
    return found


def code_rows() -> dict[str, list[tuple[str, str]]]:
    """The bodies of functions that training never draws, after their heads; and holes in them."""
    rng, found = random.Random("code curve"), {"body": [], "hole": []}
    for one in functions.held_out("dev", 40):
        found["body"].append((one.head + one.docstring, one.body))
        begin, end = code.hole(rng, one.code)
        given = coding.hole_prompt(one.code[:begin], one.code[end:])
        found["hole"].append((given, one.code[begin:end] + coding.HOLE_TOKENS[-1]))
    return found


def judge_rows() -> dict[str, list[tuple[str, str]]]:
    """The prompts of "dev" texts in each language, and the right answers."""
    found = {}
    for one in policies.drawn(policies.TRAINED, "dev", 4):
        found.setdefault(f"judged, {one.language}", []).append((one.prompt, one.answer))
    return found


def shares(model, tokenizer, rows: dict) -> dict[str, float]:
    """The share of right ends for each skill: each token is the model's first choice."""
    found = {}
    for skill, pairs in rows.items():
        right = 0
        for given, end in pairs:
            start = tokenizer(given)["input_ids"]
            rest = tokenizer(end, add_special_tokens=False)["input_ids"]
            ids = torch.tensor([start + rest])
            chosen = scores.log_probs(model, ids, len(start)).argmax(-1)
            right += chosen.tolist() == rest
        found[skill] = round(right / len(pairs), 3)
    return found

"""Notebook 04: five ways to tokenize a paragraph, one of which lacks <bos>, and its exercise."""

from __future__ import annotations

import math

from gemma_lab.lessons.exercises import Verdict, exercise, in_short, right, text, wrong

LETTERS = "ABCDE"


def five_ways(tokenizer, paragraph: str) -> dict[str, tuple[list[int], int]]:
    """For each letter, token ids of one paragraph, and where the tokens begin that are scored.

    One has no <bos>. The others have it, and differ in what stands beside it. All are scored from
    the paragraph's second token on: without <bos> nothing stands before the first.
    """
    bos, eos = [tokenizer.bos_token_id], [tokenizer.eos_token_id]
    newline = tokenizer("\n", add_special_tokens=False)["input_ids"]
    ids = tokenizer(paragraph, add_special_tokens=False)["input_ids"]
    starts = (bos + newline, bos, bos + bos, [], eos + bos)
    return {letter: (start + ids, len(start) + 1) for letter, start in zip(LETTERS, starts)}


def perplexity(model, ids: list[int], start: int) -> float:
    """exp of the mean of -log p over `ids[start:]`, each token given all before it."""
    import torch

    from gemma_lab import scores

    log_probs = scores.token_log_probs(model, torch.tensor([ids]), start)
    return math.exp(-log_probs.mean().item())


@exercise
def check_missing_bos(guess) -> Verdict:
    """Which of the five tokenizations A to E lacks <bos>."""
    letter = text(guess, "The answer is a letter in quotes").upper()
    if letter not in tuple(LETTERS):
        return wrong(f"{in_short(guess)} is none of the five.", hint="one letter, from A to E")
    if letter == "D":
        return right("Each token looks back at <bos>, which stood first in all of the training.")
    whys = {"A": "A line break follows it.", "B": "Nothing else stands before the text."}
    whys |= {"C": "It even has two.", "E": "<eos> stands before it, the end of another text."}
    hint = "a model that misses <bos> hesitates between more tokens all along the text"
    return wrong(f"{letter} has its <bos>.", whys[letter], hint)

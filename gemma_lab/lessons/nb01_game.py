"""Notebook 01: ten rounds of guessing the next token, the learner against a model."""

from __future__ import annotations

import html
import unicodedata

import ipywidgets

from gemma_lab.figures import LET_GO, share_bars
from gemma_lab.lessons.nb01_views import MARKS, bars
from gemma_lab.lessons.views import next_logits, piece

EXAMPLE = "The children went to school by bus"
ROUNDS = {  # the last word of each is hidden; Vietnamese with what the rest says
    "She opened the window to let in some fresh air": "",
    "The cat drinks a bowl of milk": "",
    "Thủ đô của Việt Nam là Hà Nội": "The capital of Vietnam is Hà …",
    "The opposite of hot is cold": "",
    "Học sinh đi học, giáo viên đi dạy": "Pupils go to learn, teachers go to …",
    "After the rain, we saw a rainbow": "",
    "Chúc mừng năm mới": "A happy … year",
    "Một năm có mười hai tháng": "A year has twelve …",
    "Một tuần có bảy ngày": "A week has seven …",
    "My grandmother kept her old letters in a box": "",
}


def split(sentence: str) -> tuple[str, str]:
    """A sentence without its last word, and that word; accents composed, no mark at the end.

    Raises: ValueError for fewer than two words, with what to do.
    """
    text = unicodedata.normalize("NFC", " ".join(sentence.split())).rstrip(f" {MARKS}")
    before, _, word = text.rpartition(" ")
    if not before:
        raise ValueError("Type at least two words: the last one is hidden.")
    return before, word


def new_word(before: str, guess: str) -> str:
    """The first word of a guess that does not repeat the end of `before`; no mark at its end."""
    words, said = (
        [word.rstrip(MARKS) or word for word in unicodedata.normalize("NFC", text).split()]
        for text in (guess, before)
    )
    end = " ".join(["", *said]).casefold()
    counts = range(len(words))  # 0 words are repeated always, all words never
    return words[max(n for n in counts if end.endswith(" ".join(["", *words[:n]]).casefold()))]


def play(model, tokenizer, sentence: str, guess: str, num: int = 5) -> dict:
    """One round: who finds the first token of the sentence's last word.

    Returns: word; guess, its new word; right and yours, the pieces of both with chances; top, the
        model's `num` likeliest pieces with chances; you and model, whether each found it.
    """
    before, word = split(sentence)
    guess = new_word(before, guess)
    guess = word if guess.casefold() == word.casefold() else guess
    right, yours = (tokenizer(f" {text}")["input_ids"][1] for text in (word, guess))  # after <bos>
    chances = next_logits(model, tokenizer(before)["input_ids"]).softmax(-1)
    first = chances.topk(num)[1].tolist()

    def seen(token: int) -> tuple[str, float]:
        return piece(tokenizer, token), chances[token].item()

    return {
        "word": word,
        "guess": guess,
        "right": seen(right),
        "yours": seen(yours),
        "top": dict(map(seen, first)),
        "you": yours == right,
        "model": first[0] == right,
    }


def in_words(found: dict) -> str:
    """What one round showed, in HTML: who found the token, and the model's bars."""

    def chance(word: str, token: str, share: float) -> str:
        parts = {f"▁{word}": "", "▁": " (its first token is the space)"}
        first = parts.get(token, f" (first token {token})")
        return f"<i>{html.escape(word)}</i>{html.escape(first)} {100 * share:.1f} %"

    won = {(1, 1): "Both found it", (1, 0): "You found it", (0, 1): "The model found it"}
    says = won.get((found["you"], found["model"]), "Nobody found it")
    said = f"{says}. The model gave {chance(found['word'], *found['right'])}"
    said += "" if found["you"] else f", and your {chance(found['guess'], *found['yours'])}"
    return f"<p><b>{said}.</b> Its five likeliest:</p>{bars(found['top'], [found['right'][0]])}"


def picture(model, tokenizer, sentence: str = EXAMPLE):
    """The model's bars of one round, as a figure."""
    before, word = split(sentence)
    found = play(model, tokenizer, sentence, word)
    return share_bars(found["top"], f"A round: {before} … ({word})", [found["right"][0]])


def game(model, tokenizer, rounds: dict[str, str] = ROUNDS) -> ipywidgets.VBox:
    """Two boxes: your guess at the hidden last word, and sentences of your own to be guessed."""
    wide = {"layout": {"width": "95%"}} | LET_GO
    guess = ipywidgets.Text(description="Your guess", placeholder="one word, then Enter", **wide)
    hint = "a whole sentence, then Enter: its last word is hidden"
    own = ipywidgets.Text(description="Your own", placeholder=hint, **wide)
    told, asked = ipywidgets.HTML(), ipywidgets.HTML()
    left, points = list(rounds.items()), {"you": 0, "model": 0, "rounds": 0}

    def ask() -> None:
        score = (
            f"Rounds: {points['rounds']}. Points: you {points['you']}, the model {points['model']}."
        )
        text = "The end. A sentence of your own goes on."
        if left:
            sentence, gloss = left[0]
            text = f"<b>{html.escape(split(sentence)[0])} …</b> <i>{html.escape(gloss)}</i>"
        asked.value = f'<p role="status">{score}</p><p>{text}</p>'

    def take_guess(change) -> None:
        if not left or not change["new"].strip():
            return
        found = play(model, tokenizer, left.pop(0)[0], change["new"])
        for who in ("you", "model"):
            points[who] += found[who]
        points["rounds"] += 1
        told.value, guess.value = f'<div role="status">{in_words(found)}</div>', ""
        ask()

    def take_sentence(change) -> None:
        if not change["new"].strip():
            return
        try:
            split(change["new"])
        except ValueError as error:
            told.value = f'<p role="status">{error}</p>'
            return
        left.insert(0, (change["new"], ""))
        told.value, own.value = "", ""
        ask()

    guess.observe(take_guess, "value")
    own.observe(take_sentence, "value")
    ask()
    return ipywidgets.VBox([told, asked, guess, own])

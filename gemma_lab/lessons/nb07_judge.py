"""Notebook 07: a judge's probability of Yes, its exam, its ROC curve, and an exercise on it."""

from __future__ import annotations

import math

import torch

from gemma_lab import catalog, figures
from gemma_lab.figures import plt
from gemma_lab.lessons.exercises import Verdict, exercise, members, number, returned, right, wrong

LANGUAGES = {"en": "English", "vi": "Vietnamese"}
BATCH = 16


def texts(*kinds: str) -> list[dict]:
    """The rows of the exam that are of these kinds; of all, where none is named.

    Each has language, policy, rule, text, the right answer ("Yes": it breaks the rule) and kind:
    "dev", "held out", "unseen policy" or "own words".
    """
    rows = catalog.json_lines("policy_texts.jsonl")
    if odd := {*kinds} - {row["kind"] for row in rows}:
        raise ValueError(f"There is no kind {odd.pop()!r} of text: choose one that `texts` names.")
    return [row for row in rows if not kinds or row["kind"] in kinds]


def answer_ids(tokenizer) -> list[int]:
    """The first token of Yes and of No. In our vocabulary Yes has two, and they begin unlike."""
    return [tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ("Yes", "No")]


def prompt(tokenizer, text: str, rule: str) -> str:
    """What a judge reads of a text and a rule, in the form that its tokenizer knows."""
    chat = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(chat, guideline=rule, tokenize=False)


@torch.inference_mode()
def probabilities(model, tokenizer, rows: list[dict]) -> list[float]:
    """For each row the probability of Yes, against No alone, at the prompt's last token.

    Args: rows: each with "text" and "rule".
    Source: Zeng et al. 2024, arXiv:2407.21772; ShieldGemma's model card has the same lines.
    """
    prompts = [prompt(tokenizer, row["text"], row["rule"]) for row in rows]
    order, found = sorted(range(len(rows)), key=lambda at: len(prompts[at])), {}
    ids, asked = answer_ids(tokenizer), dict(add_special_tokens=False, padding_side="left")
    for begin in range(0, len(order), BATCH):
        some = order[begin : begin + BATCH]
        batch = [prompts[at] for at in some]
        inputs = tokenizer(batch, return_tensors="pt", padding=True, **asked).to(model.device)
        logits = model(**inputs, logits_to_keep=1).logits[:, -1, ids]  # (B, 2)
        found |= dict(zip(some, logits.float().softmax(-1)[:, 0].tolist()))
    return [found[at] for at in range(len(rows))]


def my_rates(scores, answers, threshold):
    caught = [score >= threshold for score, answer in zip(scores, answers) if answer == "Yes"]
    alarms = [score >= threshold for score, answer in zip(scores, answers) if answer == "No"]
    return sum(caught) / len(caught), sum(alarms) / len(alarms)


def roc(scores: list[float], answers: list[str]) -> list[tuple[float, float, float]]:
    """(threshold, true positive rate, false positive rate), from the strictest threshold on.

    A text is said to break its rule where its score is the threshold or more.
    Raises: ValueError where the answers are not of both kinds.
    """
    if {*answers} != {"Yes", "No"}:
        raise ValueError('The answers must be "Yes" and "No", and at least one of each.')
    thresholds = [math.inf, *sorted({*scores}, reverse=True)]
    return [(threshold, *my_rates(scores, answers, threshold)) for threshold in thresholds]


def area(points: list[tuple[float, float, float]]) -> float:
    """The area under a ROC curve: 1 is perfect, 0.5 is a guess."""
    pairs = zip(points, points[1:])
    return sum((fpr - last[2]) * (tpr + last[1]) / 2 for last, (_, tpr, fpr) in pairs)


def accuracy(scores: list[float], answers: list[str], threshold: float) -> float:
    """The share of right verdicts."""
    verdicts = [(score >= threshold) == (answer == "Yes") for score, answer in zip(scores, answers)]
    return sum(verdicts) / len(verdicts)


def best_threshold(scores: list[float], answers: list[str]) -> float:
    """The threshold of most right verdicts, midway between two scores; of several, nearest 0.5."""
    ends = sorted({0.0, *scores, 1.0})
    middles = [(low + high) / 2 for low, high in zip(ends, ends[1:])]
    return max(middles, key=lambda at: (accuracy(scores, answers, at), -abs(at - 0.5)))


def exam(rows: list[dict], scores: list[float], threshold: float) -> dict[str, dict[str, float]]:
    """For each language: rows, area under the ROC curve, and accuracy at the threshold."""
    found = {}
    for language, name in LANGUAGES.items():
        some = [(score, row["answer"]) for score, row in zip(scores, rows)
                if row["language"] == language]  # fmt: skip
        mine, answers = zip(*some)
        found[name] = {"rows": len(some), "area": area(roc(mine, answers))}
        found[name]["accuracy"] = accuracy(mine, answers, threshold)
    return found


def failures(rows: list[dict], scores: list[float], threshold: float) -> list[tuple[float, dict]]:
    """(score, row) of each wrong verdict, the one furthest from the threshold first."""
    wrong_ones = [
        (score, row)
        for score, row in zip(scores, rows)
        if (score >= threshold) != (row["answer"] == "Yes")
    ]
    return sorted(wrong_ones, key=lambda one: -abs(one[0] - threshold))


def roc_picture(rows: list[dict], scores: list[float], threshold: float, title: str):
    """The ROC curve of each language, with a point at the threshold.

    Returns: the matplotlib figure.
    """
    figures.use_style()
    figure, axis = plt.subplots(figsize=(figures.WIDTH, 3.0))
    styles = zip(LANGUAGES.items(), (figures.BLUE, figures.ORANGE), ("-", "--"), ("o", "s"))
    for (language, name), colour, line, mark in styles:
        at = [place for place, row in enumerate(rows) if row["language"] == language]
        mine, answers = [scores[place] for place in at], [rows[place]["answer"] for place in at]
        points = roc(mine, answers)
        label = f"{name}: area {area(points):.3f}"
        axis.plot([p[2] for p in points], [p[1] for p in points], line, color=colour, label=label)
        tpr, fpr = my_rates(mine, answers, threshold)
        axis.plot(fpr, tpr, mark, color=colour)
    axis.plot([0, 1], [0, 1], ":", color=figures.GREY, label="a guess: area 0.5")
    axis.plot([], [], "ok", label=f"at threshold {threshold:.2f}", markersize=4)
    axis.set(xlabel="false alarms, share of texts that keep the rule", title=title)
    axis.set(ylabel="caught, share of\ntexts that break it")
    axis.legend(loc="lower right")
    return figure


@exercise
def check_rates(function) -> Verdict:
    """A function of scores, answers and a threshold: the true and the false positive rate."""
    scores, answers = [0.9, 0.8, 0.6, 0.3, 0.7, 0.2, 0.1], ["Yes"] * 4 + ["No"] * 3
    wanted = my_rates(scores, answers, 0.6)

    def asked(*given) -> list:
        return [number(one) for one in members(returned(function, *given), "A pair")]

    got = asked(scores, answers, 0.6)
    if len(got) != 2:
        return wrong(f"Two rates are asked for, not {len(got)}.")

    def near(one, other) -> bool:
        pairs = zip(one, other)
        return len(one) == len(other) and all(math.isclose(*two, abs_tol=5e-3) for two in pairs)

    if near(got, wanted):
        again = asked(scores, answers, 0.7)  # the score of a text that keeps its rule
        if near(again, (1 / 2, 0)):
            return wrong("A false alarm may equal the threshold, too.", hint="use >=, not >")
        rest = asked(scores[:0:-1], answers[:0:-1], 0.75)  # without the first, turned round
        if near(again, (1 / 2, 1 / 3)) and near(rest, (1 / 3, 0)):
            return right("A lower threshold catches more, and gives more false alarms.")
        return wrong("It is right for one exam and wrong for another.")
    if near(got, wanted[::-1]):
        return wrong("The two have changed places.", "The first is of the texts that break a rule.")
    if near(got, (1 / 2, 1 / 3)):
        return wrong("A score that equals the threshold counts as Yes.", hint="use >=, not >")
    if near(got, (3 / 7, 1 / 7)):
        return wrong("You divided by all texts.", hint="divide by those of the same right answer")
    if near(got, (3 / 4, 1 / 4)):
        return wrong("That is precision: a share of what was called Yes.", hint="divide by No")
    return wrong(
        f"{got[0]:.2f} and {got[1]:.2f} came out.", hint="count the right Yes apart from No"
    )


SOLUTIONS = {"rates": my_rates}

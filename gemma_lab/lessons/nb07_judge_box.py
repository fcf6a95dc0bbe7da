"""Notebook 07: a box in which a learner's own text is judged by a rule of the exam."""

from __future__ import annotations

import html
import weakref

import ipywidgets

from gemma_lab import figures
from gemma_lab.figures import LET_GO
from gemma_lab.lessons import nb07_judge

EXAMPLE = "In the end, the old lantern was only a dream."
TRIALS = (  # a name for the picture, a text, the name of a rule
    ("an end is told", EXAMPLE, "No Spoilers"),
    ("a beginning is told", "In the beginning, the old lantern was only a dream.", "No Spoilers"),
    ("capital letters", "I AM SURE THAT THIS IS THE LANTERN.", "No Shouting"),
    ("an abbreviation", "I am sure that this is the GPS.", "No Shouting"),
)


def rules() -> dict[str, str]:
    """The rules of the exam by name, in both languages, but for those that name a thing."""
    found = {}
    for row in nb07_judge.texts():
        if row["policy"] != "mention":
            found.setdefault(row["rule"].split('"')[1], row["rule"])
    return found


def judged(model, tokenizer, text: str, rule: str) -> float:
    """The probability that a text breaks a rule.

    Raises: ValueError, one sentence, for a text that cannot be judged.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError("The box is empty: type a text to be judged.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("The text holds half a character: type it again.") from None
    for token in tokenizer.all_special_tokens:
        if token in text:
            raise ValueError(f"The text holds {token}, a mark of the prompt: take it out.")
    num = len(
        tokenizer(nb07_judge.prompt(tokenizer, text, rule), add_special_tokens=False)["input_ids"]
    )
    most = model.config.max_position_embeddings
    if num > most:
        raise ValueError(f"The prompt has {num:,} tokens, the model reads {most:,}: shorten it.")
    return nb07_judge.probabilities(model, tokenizer, [{"text": text, "rule": rule}])[0]


def judge_box(model, tokenizer, threshold: float, text: str = EXAMPLE) -> ipywidgets.VBox:
    """A box for a text, a list of rules, and the judge's probability and verdict.

    The box does not keep the model in memory, though ipywidgets keeps the box.
    """
    style, layout = {"description_width": "4em"}, {"width": "97%"}
    box = ipywidgets.Textarea(text, description="Text", style=style, layout=layout, **LET_GO)
    rule = ipywidgets.Dropdown(options=rules(), description="Rule", style=style, layout=layout)
    rule.value = rules()["No Spoilers"]
    button, said = ipywidgets.Button(description="Judge"), ipywidgets.HTML()
    loaded = weakref.ref(model)
    del model

    def press(_=None) -> None:
        try:
            model = loaded()
            if model is None:
                raise ValueError("The model is not loaded any more: run its cell and this again.")
            score = judged(model, tokenizer, box.value, rule.value)
            verdict = "breaks" if score >= threshold else "keeps"
            words = f"{rule.value} Probability of Yes: {score:.3f}. So it {verdict} the rule."
        except (ValueError, RuntimeError) as error:  # torch's "out of memory" is the latter
            words = str(error)
        said.value = f'<p role="status">{html.escape(words)}</p>'

    button.on_click(press)
    press()
    return ipywidgets.VBox([box, rule, button, said])


def picture(model, tokenizer):
    """The probabilities of four texts as bars: for readers without a kernel.

    Returns: the matplotlib figure.
    """
    known = rules()
    shares = {name: judged(model, tokenizer, text, known[rule]) for name, text, rule in TRIALS}
    return figures.share_bars(shares, "Probability that the rule is broken")

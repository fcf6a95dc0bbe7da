"""Notebook 05: its exercises with solutions, and its picture."""

from __future__ import annotations

from gemma_lab.figures import BLUE, VERMILION, plt, use_style
from gemma_lab.lessons.exercises import (
    Verdict,
    exercise,
    in_short,
    kind,
    number,
    returned,
    right,
    wrong,
)


@exercise
def check_lora_layer_parameters(answer) -> Verdict:
    """Parameters that LoRA of rank 16 trains beside a layer with 2048 inputs, 16384 outputs."""
    found, wanted, frozen = number(answer), 16 * (2048 + 16384), 2048 * 16384
    if found == wanted:
        return right(f"16 x (2048 + 16384) = {wanted:,}, and the frozen layer has {frozen:,}.")
    if found == frozen:
        return wrong("That is the frozen matrix W.", "Only A and B are trained.")
    if found in (16 * 2048, 16 * 16384):
        return wrong("That is one of the two matrices.", "LoRA trains A and B.")
    if found in (16 * frozen, 16 * 16 * frozen):
        why = "A and B stand side by side."
        return wrong(
            f"{found:,} is more than W itself.", why, "what do two matrices hold together?"
        )
    why = "A maps 2048 numbers to 16, B maps 16 to 16384."
    return wrong(f"{found:,.8g} is not it.", why, "how many numbers does a matrix hold?")


@exercise
def check_completion(function) -> Verdict:
    """A function of a row and the end-of-text token that returns what the model learns to write."""
    rows = [("What is a fever?", "Name: fever", "<eos>"), ("And a cold?", "Name: cold", "</s>")]
    for instruction, output, end in rows:
        row = {"instruction": instruction, "input": "", "output": output}
        got = returned(function, row, end)
        if not isinstance(got, str):
            return wrong(f"A completion is one text, not {kind(got)}.")
        completion, wanted = str.__str__(got), output + end
        if completion == wanted:
            continue
        if completion == output:
            return wrong("The end is missing.", "Without it the model never learns to stop.")
        if instruction in completion:
            why = "The loss would count the prompt as well."
            return wrong(
                "The prompt is in it.", why, "which of the row's three parts is the response?"
            )
        if completion == f"{output} {end}":
            return wrong("There is a blank too many.", f"A blank before {end} is a token to learn.")
        if completion.strip() == wanted:
            return wrong("A blank or a line break stands around it.", "Each is a token to learn.")
        hint = "use the arguments: the row's output, and the token"
        why = f"For that row, and with {end} as the token, it is {in_short(wanted)}."
        return wrong(f"{in_short(completion)} came back.", why, hint)
    return right("The response, and the token that ends it.")


def my_completion(row, eos_token):
    return row["output"] + eos_token


SOLUTIONS = {
    "lora_layer_parameters": "my_parameters = 16 * 2048 + 16384 * 16",
    "completion": my_completion,
}


def loss_curve(steps, losses, title: str, held_out: dict | None = None):
    """Training loss by step.

    Args:
        steps, losses: the points; losses in nats a token.
        held_out: {step: loss} on rows never trained on, drawn as diamonds.
    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots()
    axis.plot(steps, losses, color=BLUE, label="training rows")
    if held_out:
        style = {"color": VERMILION, "label": "held-out rows", "clip_on": False}
        axis.plot(list(held_out), list(held_out.values()), "D", **style)
    axis.set(xlabel="step", ylabel="loss, nats a token", title=title, ylim=(0, None))
    axis.legend()
    return figure

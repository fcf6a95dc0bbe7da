"""Notebook 05: checks of its exercises, and its picture."""

from __future__ import annotations

from gemma_lab.exercises import called, report, untouched
from gemma_lab.figures import BLUE, VERMILION, plt, use_style


def check_lora_layer_parameters(answer) -> bool | None:
    """05: parameters that LoRA of rank 16 trains beside a layer with 2048 inputs and 16384 outputs."""
    if untouched(answer):
        return None
    right = SOLUTIONS["lora_layer_parameters"]
    if answer == right:
        return report(
            True, f"16 x (2048 + 16384) = {right:,}, and the frozen layer has {2048 * 16384:,}."
        )
    if answer == 2048 * 16384:
        return report(False, "That is the frozen matrix W.", hint="only A and B are trained")
    if answer in (16 * 2048, 16 * 16384):
        return report(
            False, "That is one of the two matrices.", "LoRA trains A and B.", "add the other one"
        )
    if answer == 16 * 2048 * 16384 or answer == 16 * 16 * 2048 * 16384:
        return report(
            False,
            f"{answer:,} is more than W itself.",
            "A and B stand side by side.",
            "add, do not multiply",
        )
    return report(
        False,
        f"{answer} is not it.",
        "A is 16 x inputs, B is outputs x 16.",
        "16 * inputs + outputs * 16",
    )


def check_completion(function) -> bool | None:
    """05: a function of a row and the end-of-text token that returns what the model shall learn to write."""
    row = {"instruction": "What is a fever?", "input": "", "output": "Name: fever"}
    got = called(function, row, "<eos>")
    if got is None or got is False:
        return got
    if got == completion_solution(row, "<eos>"):
        return report(True, "The response, and the token that ends it.")
    if got == row["output"]:
        return report(
            False,
            "The end is missing.",
            "Without it the model never learns to stop.",
            "add eos_token",
        )
    if row["instruction"] in str(got):
        return report(
            False,
            "The prompt is in it.",
            "The loss would count the prompt as well.",
            "start with row['output']",
        )
    if str(got).replace(" ", "") == completion_solution(row, "<eos>").replace(" ", ""):
        return report(
            False,
            "There is a space too many.",
            "A space before <eos> is a token to learn.",
            "join with +",
        )
    return report(
        False, f"{got!r} is not the response and its end.", hint="row['output'] + eos_token"
    )


def completion_solution(row: dict, eos_token: str) -> str:
    """The response and the end-of-text token."""
    return row["output"] + eos_token


SOLUTIONS = {
    "lora_layer_parameters": 16 * (2048 + 16384),
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
        axis.plot(
            list(held_out),
            list(held_out.values()),
            "D",
            color=VERMILION,
            label="held-out rows",
            clip_on=False,
        )
    axis.set(xlabel="step", ylabel="loss, nats a token", title=title, ylim=(0, None))
    axis.legend()
    return figure

"""Notebook 05: exercises with solutions, a picture, an exam, Unsloth or PEFT in three calls."""

from __future__ import annotations

import json

from gemma_lab import catalog, hardware, loading
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


def paragraph_perplexities(model, tokenizer) -> dict[str, float]:
    """Perplexity on our ordinary paragraphs, under "English paragraphs", "Vietnamese paragraphs".

    Each text of data/paragraphs.json is read behind <bos>; the mean is over all their tokens.
    """
    import torch

    from gemma_lab import scores

    found = {}
    paragraphs = json.loads((catalog.DATA / "paragraphs.json").read_text(encoding="utf-8"))
    for language, texts in paragraphs.items():
        rows = [tokenizer(text, return_tensors="pt")["input_ids"] for text in texts]
        surprises = torch.cat([-scores.token_log_probs(model, ids, 1) for ids in rows])
        found[f"{language} paragraphs"] = surprises.mean().exp().item()
    return found


class PlainPeft:
    """Unsloth's three calls on transformers and PEFT alone, with Unsloth's argument names."""

    @staticmethod
    def from_pretrained(model_name, max_seq_length=2048, dtype=None, load_in_4bit=True):
        """(model, tokenizer); doubly quantized nf4 if `load_in_4bit`; `dtype` None: best here."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        precision, machine = "nf4" if load_in_4bit else "bf16", hardware.describe_machine()
        arguments = loading.plan_loading(model_name, precision, machine).kwargs()
        if dtype is not None:
            arguments["dtype"] = dtype
        if machine.device == "mps":  # the notebook trains on the CPU there
            arguments["device_map"] = {"": "cpu"}
        model = AutoModelForCausalLM.from_pretrained(model_name, **arguments)
        tokenizer = AutoTokenizer.from_pretrained(model_name)
        tokenizer.model_max_length = max_seq_length
        return model, tokenizer

    @staticmethod
    def get_peft_model(
        model,
        r=16,
        target_modules=None,
        lora_alpha=16,
        lora_dropout=0.0,
        bias="none",
        use_gradient_checkpointing=False,
        random_state=3407,
        use_rslora=False,
        loftq_config=None,
    ):
        """`model` with LoRA adapters in float32.

        A model that has them already comes back as it is, as with Unsloth: a cell may run twice.
        Raises: ValueError for LoftQ, which has to start from unquantized weights.
        """
        import torch
        from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training

        from gemma_lab import finetune

        if loftq_config:
            raise ValueError(
                "plain PEFT needs unquantized weights for LoftQ: "
                "load with load_in_4bit=False, or use None."
            )
        if isinstance(model, PeftModel):
            print("This model has LoRA adapters already. To start over, load it again.")
            return model
        torch.manual_seed(random_state)
        if getattr(model, "is_quantized", False):
            model = prepare_model_for_kbit_training(model, bool(use_gradient_checkpointing))
        elif use_gradient_checkpointing:
            model.gradient_checkpointing_enable()
            model.enable_input_require_grads()
        sizes = dict(r=r, lora_alpha=lora_alpha, lora_dropout=lora_dropout, use_rslora=use_rslora)
        places = dict(target_modules=target_modules, bias=bias, task_type="CAUSAL_LM")
        return finetune.float32_adapters(get_peft_model(model, LoraConfig(**sizes, **places)))

    @staticmethod
    def for_inference(model):
        """`model`, ready to answer."""
        return model.eval()


def lora_backend():
    """Unsloth's `FastLanguageModel`, or `PlainPeft` where it cannot be imported; prints which.

    Call it before anything imports transformers, trl or peft, as Unsloth asks.
    """
    try:
        from unsloth import FastLanguageModel
    except (ImportError, NotImplementedError, RuntimeError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        print(f"LoRA with plain PEFT: Unsloth cannot be imported here ({why}).")
        return PlainPeft
    print("LoRA with Unsloth.")
    return FastLanguageModel

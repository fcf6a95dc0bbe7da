"""Notebook 05: exercises with solutions, and Unsloth or plain PEFT in three calls."""

from __future__ import annotations

import os

from gemma_lab import hardware, loading
from gemma_lab.lessons.exercises import (
    Verdict,
    exercise,
    in_short,
    members,
    number,
    plain,
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
def check_labels(function) -> Verdict:
    """A function of the ids of a prompt and of its completion that returns the labels of both."""
    for prompt, completion in (([2, 31, 32, 33], [41, 42, 1]), ([2, 51], [61, 62, 63, 64, 1])):
        got = members(returned(function, prompt, completion), "A list of labels")
        got, wanted = [plain(label) for label in got], [-100] * len(prompt) + completion
        if len(got) != len(wanted):
            why = "Prompt and completion are one sequence, and each of its tokens has a label."
            return wrong(f"There are {len(got)} labels for {len(wanted)} tokens.", why)
        if not all(type(label) is int for label in got):
            return wrong("A label is a whole number: the id of a token, or -100.")
        if got == wanted:
            continue
        if got == prompt + completion:
            why = "The model would learn to write instructions as well."
            return wrong("The prompt gets loss too.", why, "which number does the loss ignore?")
        if got == wanted[:-1] + [-100]:
            return wrong("The end token gets no loss.", "Then the model never learns to stop.")
        if set(got) == {-100}:
            return wrong("All labels are -100: no token gets loss.", "There is nothing to learn.")
        if got == prompt + [-100] * len(completion):
            return wrong("It is the wrong way round.", "The completion is to be learned.")
        if got in (wanted[1:] + [-100], wanted[-1:] + wanted[:-1]):
            why = "The model shifts the labels itself: label and token stand at the same place."
            return wrong("The labels are shifted by one.", why)
        at = next(at for at, pair in enumerate(zip(got, wanted)) if pair[0] != pair[1])
        why = f"For the prompt {prompt} and the completion {completion}, it is {wanted[at]}."
        return wrong(f"Label {at} is {in_short(got[at])}.", why)
    return right("The prompt is ignored, and the completion is learned with its end.")


@exercise
def check_breaking_row(answer) -> Verdict:
    """The line of data/six_rows.jsonl that teaches what nobody wants, and passes all checks."""
    line = number(answer, "The answer is one line number")
    if line == 5:
        what = "Behind its answer it goes on with the next question, in the layout of the prompt."
        return right(f"{what} A model that learns this asks itself, and does not stop.")
    harmless = {
        1: "An answer may be short.",
        2: "The input may be empty: the talk's layout leaves its place blank.",
        3: "With blanks inside, < eos > is ordinary text. Without them it would end the answer.",
        4: "Another language is no defect, if its letters are whole.",
        6: "An answer may repeat a word of its question, or have several lines.",
    }
    if line not in harmless:
        return wrong(f"There is no line {line}.", hint="the lines are numbered from 1 to 6")
    why = "Read each output to its end, as the model will write it."
    return wrong(f"Line {line} is fine. {harmless[line]}", why)


def my_labels(prompt_ids, completion_ids):
    return [-100] * len(prompt_ids) + completion_ids


SOLUTIONS = {
    "lora_layer_parameters": "my_parameters = 16 * 2048 + 16384 * 16",
    "labels": my_labels,
    "breaking_row": "my_line = 5",
}


def float32_adapters(model):
    """`model`, with its trainable weights in float32. Call it after making the trainer.

    TRL casts the adapters of a quantized model to bfloat16, and fp16 training, as on a T4, cannot
    scale such gradients. Source: trl 1.14, `SFTTrainer.__init__`.
    """
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return model


class PlainPeft:
    """Unsloth's three calls on transformers and PEFT alone, with Unsloth's argument names."""

    @staticmethod
    def from_pretrained(
        model_name,
        max_seq_length=2048,
        dtype=None,
        load_in_4bit=True,
        use_exact_model_name=True,  # Unsloth would else take a copy of its own
    ):
        """(model, tokenizer); doubly quantized nf4 if `load_in_4bit`; `dtype` None: best here."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        precision, machine = "nf4" if load_in_4bit else "bf16", hardware.describe_machine()
        arguments = loading.plan_loading(model_name, precision, machine).kwargs()
        if dtype is not None:
            arguments["dtype"] = dtype
        if machine.device == "mps" or os.environ.get("ACCELERATE_USE_FSDP") == "true":
            arguments["device_map"] = {"": "cpu"}  # training is there, or shards leave from there
        elif machine.device == "cuda":  # each process of a launch has a card of its own
            arguments["device_map"] = {"": int(os.environ.get("LOCAL_RANK", 0))}
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
        return float32_adapters(get_peft_model(model, LoraConfig(**sizes, **places)))

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

"""The instruction layout, the held-out loss, and Unsloth or plain PEFT behind three calls.

What Codelab 2 needs twice; the trainer itself stays in the notebook. Shapes: B batch, T tokens.
"""

from __future__ import annotations

import torch

from gemma_lab import scores

PROMPT = """Based on given instruction and input, generate an appropriate response

### Instruction:
{instruction}

### Input:
{input}

### Response:
"""


def format_prompt(row: dict) -> str:
    """The prompt of a row with `instruction` and `input`, up to where the response starts."""
    return PROMPT.format(instruction=row["instruction"], input=row["input"])


def to_prompt_completion(row: dict, eos_token: str) -> dict:
    """TRL's two columns; the completion ends with `eos_token`, so that the model learns to stop."""
    return {"prompt": format_prompt(row), "completion": row["output"] + eos_token}


def held_out_loss(model, tokenizer, rows) -> float:
    """Mean cross-entropy in nats over the response tokens, `<eos>` included, of unseen rows."""
    was_training = model.training
    model.eval()
    surprises = []
    for row in rows:
        pair = to_prompt_completion(row, tokenizer.eos_token)
        prompt = tokenizer(pair["prompt"])["input_ids"]
        completion = tokenizer(pair["completion"], add_special_tokens=False)["input_ids"]
        ids = torch.tensor([prompt + completion])
        surprises.append(-scores.token_log_probs(model, ids, len(prompt)))
    model.train(was_training)
    return torch.cat(surprises).mean().item()


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

    name = "plain PEFT"

    @staticmethod
    def from_pretrained(model_name, max_seq_length=2048, dtype=None, load_in_4bit=True):
        """(model, tokenizer); doubly quantized nf4 if `load_in_4bit`; `dtype` None: best here."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from gemma_lab import hardware, loading

        precision, machine = "nf4" if load_in_4bit else "bf16", hardware.describe_machine()
        arguments = loading.plan_loading(model_name, precision, machine).kwargs()
        if dtype is not None:
            arguments["dtype"] = dtype
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

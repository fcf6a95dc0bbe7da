"""The instruction layout of Codelab 2, its held-out loss, and adapters that a T4 can train."""

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

"""The instruction layout of Codelab 2, and its tokens."""

from __future__ import annotations

import torch

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


def encode(row: dict, tokenizer, examples: list[dict] = ()) -> tuple[torch.Tensor, int]:
    """Token ids (1, T) of a row as training sees it, and where its response starts.

    Args: examples: rows that stand in front with their responses, to show what is wanted.
    """
    shown = [format_prompt(example) + example["output"] + "\n\n" for example in examples]
    pair = to_prompt_completion(row, tokenizer.eos_token)
    prompt = tokenizer("".join(shown) + pair["prompt"], verbose=False)["input_ids"]
    completion = tokenizer(pair["completion"], add_special_tokens=False)["input_ids"]
    return torch.tensor([prompt + completion]), len(prompt)

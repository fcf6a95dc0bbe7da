"""The exam on code: a model writes the body of a function, or what a hole in it lacks, and it runs.

The functions are of `data/functions.jsonl`: 120 that no pocket model saw in training. `given` and
`body` are a function's two parts; `before`, `hole` and `after` divide the same text in three.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gemma_lab import catalog, sandbox

# CodeGemma's control tokens (arXiv:2406.11409): what stands before a hole, what stands after it,
# then what belongs into it; the last ends a file. All four end an answer, says its model card.
HOLE_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_separator|>")
LONGEST = 96  # tokens of an answer; the longest right one has 70 in the pocket models' tokenizer


@dataclass(frozen=True)
class Answer:
    """What a model wrote for one function: whether the asserts hold with it, and why not."""

    name: str
    wrote: str
    outcome: sandbox.Outcome


def functions(num: int | None = None) -> list[dict]:
    """The first `num` functions, or all."""
    return catalog.json_lines("functions.jsonl")[:num]


def has_hole_tokens(tokenizer) -> bool:
    """Whether the four are single tokens here, as in CodeGemma."""
    return all(token in tokenizer.get_vocab() for token in HOLE_TOKENS)


def hole_prompt(before: str, after: str) -> str:
    """The text that asks for what stands between `before` and `after`."""
    prefix, suffix, middle, _ = HOLE_TOKENS
    return f"{prefix}{before}{suffix}{after}{middle}"


def write(model, tokenizer, text: str, is_enough=None) -> str:
    """What the model writes after `text`, the likeliest token each time, up to a control token.

    Args: is_enough: of what it wrote so far, whether it may stop there; by default at LONGEST only.
    """
    inputs = tokenizer(text, return_tensors="pt").to(model.device)
    ends = [tokenizer.eos_token_id]
    if has_hole_tokens(tokenizer):
        ends += tokenizer.convert_tokens_to_ids([*HOLE_TOKENS])
    asked, begin = dict(do_sample=False, eos_token_id=ends), inputs["input_ids"].shape[1]
    if is_enough:
        asked["stopping_criteria"] = [
            lambda ids, _: bool(is_enough(tokenizer.decode(ids[0, begin:])))
        ]
    new = model.generate(**inputs, max_new_tokens=LONGEST, **asked)[0, begin:].tolist()
    end = next((at for at, token in enumerate(new) if token in ends), None)
    return tokenizer.decode(new[:end])  # CodeGemma's four are no special tokens to the tokenizer


def body_of(text: str) -> str:
    """The lines of `text` before the first that is not indented: there the function ends."""
    kept = []
    for line in text.splitlines():
        if line.strip() and not line.startswith((" ", "\t")):
            break
        kept.append(line)
    return "\n".join(kept) + "\n"


def write_body(model, tokenizer, row: dict) -> Answer:
    """The body of a function, written after its head and docstring."""
    wrote = body_of(write(model, tokenizer, row["given"], re.compile(r"(^|\n)\S").search))
    return Answer(row["name"], wrote, sandbox.run(row["given"] + wrote, row["tests"]))


def fill(model, tokenizer, before: str, after: str, num_lines: int = 1) -> str:
    """What a model writes into the hole between `before` and `after`.

    One without the control tokens reads only `before`, and `num_lines` of what it writes count.
    """
    if has_hole_tokens(tokenizer):
        return write(model, tokenizer, hole_prompt(before, after))
    lines = write(model, tokenizer, before, lambda text: text.count("\n") >= num_lines)
    return "\n".join(lines.split("\n")[:num_lines])


def fill_hole(model, tokenizer, row: dict) -> Answer:
    """What belongs into a function's hole; without control tokens, as many lines as it has."""
    num_lines = row["hole"].count("\n") + 1
    wrote = fill(model, tokenizer, row["before"], row["after"], num_lines)
    code = row["before"] + wrote + row["after"]
    return Answer(row["name"], wrote, sandbox.run(code, row["tests"]))


def passed(answers: list[Answer]) -> float:
    """The share of answers whose asserts hold: pass@1 of arXiv:2107.03374, one answer each."""
    return sum(answer.outcome.passed for answer in answers) / len(answers)

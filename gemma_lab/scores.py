"""What a precision costs: perplexity, KL divergence, agreement and right answers.

All on text with one right answer. Shapes: A answer tokens of one row, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from gemma_lab import catalog


@dataclass(frozen=True)
class Scores:
    """For each row log-probabilities (A, V) in nats, float32, on the CPU; and right tokens (A,)."""

    log_probs: list[torch.Tensor]
    targets: list[torch.Tensor]


def one_answer_rows() -> list[dict]:
    """Rows of prompt, answer, kind ("sum", "fact", "task") that no pocket model is trained on."""
    return catalog.json_lines("one_answer.jsonl")


def encode(tokenizer, row: dict) -> tuple[torch.Tensor, int]:
    """Token ids (1, T) of the chat with its answer and end of turn, and where the answer starts."""
    if not tokenizer.chat_template:
        raise ValueError("A base model has no chat template: take an -it model for these rows.")
    chat = [{"role": "user", "content": row["prompt"]}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(row["answer"] + "<end_of_turn>", add_special_tokens=False)["input_ids"]
    return torch.tensor([before + answer]), len(before)


@torch.no_grad()
def log_probs(model, ids: torch.Tensor, start: int, cache=None) -> torch.Tensor:
    """What `model` thinks of each token from `start` on, given all before it: the one such loop.

    Args: ids: (1, T), one row: padding would change the numbers of quantized models a little;
        cache: the model's, of some tokens before `start`; the call adds the rest.
    Returns: (T - start, V), log-probabilities in nats, float32, on the CPU.
    """
    asked = dict(past_key_values=cache, logits_to_keep=ids.shape[1] - start + 1)  # t predicts t + 1
    unread = ids[:, cache.get_seq_length() if cache else 0 :]
    return model(unread.to(model.device), **asked).logits[0, :-1].float().log_softmax(-1).cpu()


def token_log_probs(model, ids: torch.Tensor, start: int) -> torch.Tensor:
    """Log-probabilities in nats of the tokens `ids[0, start:]` themselves, (T - start,)."""
    return log_probs(model, ids, start).gather(-1, ids[0, start:, None].cpu())[:, 0]


def answer_log_probs(model, tokenizer, rows: list[dict]) -> Scores:
    """What `model` thinks of each token of each right answer, given its prompt."""
    encoded = [encode(tokenizer, row) for row in rows]
    thoughts = [log_probs(model, ids, start) for ids, start in encoded]
    return Scores(thoughts, [ids[0, start:] for ids, start in encoded])


def perplexity(scores: Scores) -> float:
    """exp of the mean of -log p over all answer tokens. 1 is certainty, V is a blind guess."""
    pairs = zip(scores.log_probs, scores.targets)
    total = sum(lp.gather(-1, target[:, None]).sum().item() for lp, target in pairs)
    return math.exp(-total / sum(map(len, scores.targets)))


def kl(reference: Scores, other: Scores) -> float:
    """Mean KL(reference || other) over all answer tokens, in nats: 0 when both think the same."""
    total = count = 0
    for p, q in zip(reference.log_probs, other.log_probs):
        p, q = p.double().log_softmax(-1), q.double().log_softmax(-1)  # float32's sums are not 1
        total += (p.exp() * (p - q)).sum().item()
        count += len(p)
    return total / count


def top1_agreement(reference: Scores, other: Scores) -> float:
    """Share of answer tokens for which both models have the same first choice."""
    pairs = zip(reference.log_probs, other.log_probs)
    same = [(p.argmax(-1) == q.argmax(-1)).double() for p, q in pairs]
    return torch.cat(same).mean().item()


def right_answers(scores: Scores) -> float:
    """Share of rows that greedy decoding answers exactly: each token is the first choice."""
    pairs = list(zip(scores.log_probs, scores.targets))
    return sum(bool((lp.argmax(-1) == target).all()) for lp, target in pairs) / len(pairs)

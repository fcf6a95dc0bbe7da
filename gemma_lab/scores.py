"""What a precision costs: perplexity, KL divergence, agreement and right answers.

All on text with one right answer. Shapes: A answer tokens of one row, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from gemma_lab import catalog

STEPS = 1024  # to a nat, in 16 bits
ENDS = ("<end_of_turn>", "<eos>")  # Gemma 1 often ends its turn with the second


@dataclass(frozen=True)
class Scores:
    """For each row log-probabilities (A, V), float32 or `in_16_bits`, and right tokens (A,)."""

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


def in_16_bits(log_probs: torch.Tensor) -> torch.Tensor:
    """Log-probabilities in int16: steps of 1/1024 nat, from -32. float16 is 1 % off at KL 1e-4."""
    return (log_probs * STEPS).round().clamp(-32 * STEPS, 0).to(torch.int16)


def in_nats(log_probs: torch.Tensor) -> torch.Tensor:
    """Log-probabilities however they are kept: float32, which holds 16 bits exactly, or float64."""
    return log_probs.float() / STEPS if log_probs.dtype == torch.int16 else log_probs.double()


def answer_log_probs(model, tokenizer, rows: list[dict]) -> Scores:
    """What `model` thinks of each token of each right answer; its last is either end token."""
    found, ends = Scores([], []), tokenizer.convert_tokens_to_ids([*ENDS])
    for ids, start in (encode(tokenizer, row) for row in rows):
        thoughts = log_probs(model, ids, start)
        thoughts[-1, ends] = torch.stack((thoughts[-1, ends].logsumexp(0), thoughts[-1].min()))
        found.log_probs.append(thoughts)
        found.targets.append(ids[0, start:])
    return found


def perplexity(scores: Scores) -> float:
    """exp of the mean of -log p over all answer tokens. 1 is certainty, V is a blind guess."""
    _check(scores, scores)
    pairs = zip(scores.log_probs, scores.targets)
    total = sum(in_nats(lp.gather(-1, target[:, None])).sum().item() for lp, target in pairs)
    return math.exp(-total / sum(map(len, scores.targets)))


def token_kl(reference: Scores, other: Scores) -> list[torch.Tensor]:
    """KL(reference || other) at each answer token, in nats, float64: (A,) for each row.

    Raises: ValueError without rows, and for scores of other tokens or another vocabulary.
    """
    _check(reference, other)

    def one(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        p, more = in_nats(p), in_nats(p) - in_nats(q)
        return (p.exp() * (more + torch.expm1(-more))).sum(-1).double()  # + q - p: sums are not 1

    pairs = zip(reference.log_probs, other.log_probs)
    return [torch.cat([*map(one, p.split(32), q.split(32))]) for p, q in pairs]


def kl(reference: Scores, other: Scores) -> float:
    """Mean of `token_kl`, with its errors: 0 when both think the same."""
    return torch.cat(token_kl(reference, other)).mean().item()


def top1_agreement(reference: Scores, other: Scores) -> float:
    """Share of answer tokens with the same first choice of both models; errors as in `token_kl`."""
    _check(reference, other)
    pairs = zip(reference.log_probs, other.log_probs)
    same = [(p.argmax(-1) == q.argmax(-1)).double() for p, q in pairs]
    return torch.cat(same).mean().item()


def _check(reference: Scores, other: Scores) -> None:
    if not len(reference.targets) == len(other.targets) > 0:
        num = len(reference.targets), len(other.targets)
        raise ValueError(f"Score the same rows, at least one, with both models, not {num}.")
    for at, (one, two) in enumerate(zip(reference.targets, other.targets)):
        if not len(one) or not torch.equal(one, two):
            raise ValueError(f"Row {at} is empty or has other tokens: score the same rows again.")
    if len(sizes := {lp.shape[-1] for lp in reference.log_probs + other.log_probs}) > 1:
        raise ValueError(f"Compare models of one tokenizer: the vocabularies are {sorted(sizes)}.")


def right_answers(scores: Scores) -> float:
    """Share of rows that greedy decoding answers exactly: each token is the first choice."""
    pairs = list(zip(scores.log_probs, scores.targets))
    return sum(bool((lp.argmax(-1) == target).all()) for lp, target in pairs) / len(pairs)

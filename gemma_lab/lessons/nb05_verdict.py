"""Notebook 05's exam: what fine-tuning must beat, and what it taught."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import statistics
import time

import torch

from gemma_lab import finetune, scores


@contextlib.contextmanager
def answering(model):
    """`model` as it answers, without gradients; afterwards it trains again, if it did before.

    A model that trains with gradient checkpointing drops its cache, and writes nonsense.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def digest(rows: list[dict]) -> str:
    """The sha256 of rows as a JSON-lines file: the same before and after means the same exam."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()


def examples(rows: list[dict], tokenizer, exam: list[dict], max_length: int = 512) -> list[dict]:
    """Training rows that a good prompt shows: with a note, of different topics, at most three.

    Fewer where they and the longest row of the exam would not fit into `max_length` tokens.
    """
    by_topic = {row["output"].split("\n")[0]: row for row in reversed(rows) if row["input"]}
    found = (list(by_topic.values())[::-1] or rows)[:3]

    def longest(shown: list[dict]) -> int:
        return max(finetune.encode(row, tokenizer, shown)[0].shape[1] for row in exam)

    while found and longest(found) > max_length:
        found = found[:-1]
    return found


def shared_cache(model, prompts: list[torch.Tensor]):
    """What `model` remembers of the tokens that all prompts (T,) begin with: read only once."""
    shortest = min(map(len, prompts))
    table = torch.stack([prompt[:shortest] for prompt in prompts])
    same = (table == table[0]).all(0).long().cumprod(0).sum()
    shared = prompts[0][None, : min(same, shortest - 1)]  # a row's own part starts in its prompt
    return model(shared.to(model.device), use_cache=True, logits_to_keep=1).past_key_values


def target(model, tokenizer, rows: list[dict], examples: list[dict] = ()) -> dict[str, float]:
    """How well `model` knows the right responses, each row alone.

    Args: examples: rows shown with their responses in front of each prompt.
    Returns: "loss", the mean cross-entropy in nats over the response tokens and <eos>; "exact",
        the share of rows whose every token is the first choice, <eos> aside: what greedy decoding
        writes to the letter; "stops", the share that has <eos> as first choice behind it.
    """
    surprises, exact, stops = [], 0, 0
    encoded = [finetune.encode(row, tokenizer, examples) for row in rows]
    with answering(model):
        prompts = [ids[0, :start] for ids, start in encoded]
        cache = shared_cache(model, prompts) if examples else None  # else hardly any is shared
        for ids, start in encoded:
            log_probs = scores.log_probs(model, ids, start, copy.deepcopy(cache))
            right = ids[0, start:]
            surprises.append(-log_probs.gather(-1, right[:, None])[:, 0])
            is_first = log_probs.argmax(-1) == right
            exact += bool(is_first[:-1].all())
            stops += bool(is_first[-1])
    loss = torch.cat(surprises).mean().item()
    return {"loss": loss, "exact": exact / len(rows), "stops": stops / len(rows)}


def topics(exam: list[dict], num: int = 14) -> list[dict]:
    """The first row of each topic, which is the first line of a response; at most `num`."""
    first = {row["output"].split("\n")[0]: row for row in reversed(exam)}
    return list(first.values())[::-1][:num]


def spread(exam: list[dict], num: int) -> list[dict]:
    """At most `num` rows from all over an exam, in turn with other wordings and other notes.

    Raises: ValueError for no whole number from 1 on.
    """
    if not isinstance(num, int) or num < 1:
        raise ValueError(f"NUM_ROWS must be a whole number from 1 on, not {num!r:.40}.")
    each = max(1, len(exam) // num)
    return [exam[at * each + at % each] for at in range(min(num, len(exam)))]


def labels(text: str) -> list[str]:
    """What stands in front of the colon in each line: the form of a card."""
    return [line.split(":")[0] for line in text.splitlines()]


def common_form(rows: list[dict]) -> list[str]:
    """The labels that nine in ten responses have in common; none where they share no form."""
    forms = [tuple(labels(row["output"])) for row in rows if ":" in row["output"]]
    form = max(set(forms), key=forms.count, default=())
    return list(form) if forms.count(form) >= 0.9 * len(rows) else []


def cards(model, tokenizer, rows: list[dict], num_tokens: int = 100) -> list[str]:
    """The responses that `model` writes in one batch: padding may change a rare letter."""
    tokenizer.padding_side = "left"  # prompts end together
    prompts = [finetune.format_prompt(row) for row in rows]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True).to(model.device)
    with answering(model):
        output = model.generate(**inputs, max_new_tokens=num_tokens, do_sample=False)
    return tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], True)


def tokens_per_s(model, tokenizer, row: dict, num_tokens: int = 32) -> float:
    """Median of three speeds of greedy writing after one row's prompt."""
    inputs = tokenizer(finetune.format_prompt(row), return_tensors="pt").to(model.device)
    length, speeds = dict(max_new_tokens=num_tokens, min_new_tokens=num_tokens), []
    with answering(model):
        for _ in range(3):
            began = time.perf_counter()
            model.generate(**inputs, **length, do_sample=False)
            speeds.append(num_tokens / (time.perf_counter() - began))
    return statistics.median(speeds)


def report(results: dict[str, dict], kept: dict[str, dict]):
    """The verdict as a table (pandas): what `target` found, then what `regression` found.

    Args: results: prompt or "after training" -> what `target` returned; kept: "bare prompt" and
        "after training" -> what `regression` returned.
    """
    import pandas

    names = {"loss": "loss, nats a token", "exact": "right to the letter, %", "stops": "stops, %"}
    columns = {}
    for name, found in results.items():
        scaled = {names[key]: value * (1 if key == "loss" else 100) for key, value in found.items()}
        for skill, value in kept.get(name, {}).items():
            scaled[skill] = value if skill.startswith("perplexity") else 100 * value
        columns[name] = scaled
    return pandas.DataFrame(columns)

"""How fast a model writes here, and how fast it could: `python -m gemma_lab.bench --record`."""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace

import torch

from gemma_lab import catalog, memory

RECORDS = {"precision": "nb04_record", "finetune": "nb05_record", "family": "nb07_record"}


def prompt_ids(tokenizer, num_tokens: int) -> torch.Tensor:
    """Token ids (1, num_tokens): <bos> and ordinary English, from its start again if too short."""
    texts = json.loads((catalog.DATA / "paragraphs.json").read_text(encoding="utf-8"))["English"]
    ids = tokenizer("\n\n".join(texts), add_special_tokens=False, verbose=False)["input_ids"]
    times = num_tokens // len(ids) + 1
    return torch.tensor([[tokenizer.bos_token_id, *ids * times][:num_tokens]])


def measure(
    model,
    tokenizer,
    num_tokens: int = 64,
    prompt_tokens: int = 128,
    repeats: int = 3,
    batch_size: int = 1,
    options: dict | None = None,
) -> dict:
    """Speed of greedy `generate`, medians after one warm-up; a base model needs no chat template.

    Args: options: more arguments of `generate`, such as {"cache_implementation": "static"}.
    Returns: the sizes; `first_token_s`; `prefill_tokens_per_s`, the prompt's tokens in that time;
        `decode_tokens_per_s` of all rows, without the first token; `decode_spread`, the fastest
        less the slowest repeat as a share of the median; `tokens`, the ids of the first row.
    Raises: ValueError, with the number received.
    """
    sizes = dict(num_tokens=num_tokens, prompt_tokens=prompt_tokens, batch_size=batch_size)
    least = {"num_tokens": 2, "prompt_tokens": 1, "batch_size": 1, "repeats": 1}
    for name, value in (sizes | {"repeats": repeats}).items():
        if not isinstance(value, int) or value < least[name]:
            raise ValueError(f"{name} must be a whole number from {least[name]} up, not {value!r}.")
    if prompt_tokens + num_tokens > model.config.max_position_embeddings:
        context = model.config.max_position_embeddings
        raise ValueError(f"The model's context is {context} tokens: take fewer of the prompt's.")
    ids = prompt_ids(tokenizer, prompt_tokens).repeat(batch_size, 1).to(model.device)
    length = dict(max_new_tokens=num_tokens, min_new_tokens=num_tokens, do_sample=False)
    first, decode = [], []
    for _ in range(repeats + 1):
        _wait()
        clock = [time.perf_counter()]  # then read at the prompt, and at each token on the CPU
        watch = SimpleNamespace(put=functools.partial(_read, clock), end=lambda: None)
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), streamer=watch, **length, **options or {}
        )
        first.append(clock[2] - clock[0])
        decode.append(batch_size * (num_tokens - 1) / (clock[-1] - clock[2]))
    first, decode = first[1:], decode[1:]
    median = statistics.median(decode)
    return sizes | {
        "first_token_s": statistics.median(first),
        "prefill_tokens_per_s": batch_size * prompt_tokens / statistics.median(first),
        "decode_tokens_per_s": median,
        "decode_spread": (max(decode) - min(decode)) / median,
        "tokens": output[0, prompt_tokens:].tolist(),
    }


def bytes_per_token(model, num_tokens: int, batch_size: int = 1) -> float:
    """Bytes that one step of decoding has to read: the weights once, and the cache of each row.

    Gemma's embedding table is its output head too, so all of it is read; a table that is not tied
    gives one row for each sequence. Args: num_tokens: how many the cache holds.
    """
    weights, table = memory.weight_mb(model) * 1e6, model.get_input_embeddings().weight
    if table is not model.get_output_embeddings().weight:
        weights -= (len(table) - batch_size) * table[0].numel() * table.element_size()
    info = catalog.ModelInfo("", model.config.to_dict())
    return weights + memory.kv_cache_bytes(info, num_tokens, batch_size, model.dtype.itemsize)


def against_limit(model, row: dict, gb_per_s: float) -> dict:
    """`row` of `measure`, with the tokens/s that `gb_per_s` allow, and how much of it was reached.

    Limit: batch x bandwidth / `bytes_per_token`, at the context half-way through the writing.
    """
    batch, context = row["batch_size"], row["prompt_tokens"] + row["num_tokens"] // 2
    limit = batch * gb_per_s * 1e9 / bytes_per_token(model, context, batch)
    percent = 100 * row["decode_tokens_per_s"] / limit
    return row | {"limit_tokens_per_s": limit, "percent_of_limit": percent}


def bandwidth(device: str = "cpu", megabytes: int = 512, repeats: int = 5) -> float:
    """GB/s (10^9 bytes) of memory, the best of `repeats`, on a block too large for the caches.

    On a CPU all threads multiply it by a vector, as decoding does: bytes / seconds. On a card it is
    copied, read and written: 2 x bytes / seconds. This / `bytes_per_token` limits tokens/s.
    """
    block = torch.ones(megabytes * 125, 2000, device=device)  # float32
    copy = torch.empty_like(block) if block.is_cuda else None
    seconds = []
    for _ in range(repeats + 1):
        _wait()
        began = time.perf_counter()
        block @ block[0] if copy is None else copy.copy_(block)
        _wait()
        seconds.append(time.perf_counter() - began)
    return (1 if copy is None else 2) * block.nbytes / min(seconds[1:]) / 1e9


def main(words: list[str] | None = None) -> None:
    """Makes a record in a process of its own, whose threads wait at most a moment for work."""
    parser = argparse.ArgumentParser(prog="python -m gemma_lab.bench", description=__doc__)
    what = "what each precision costs (9 minutes), Codelab 2 many times over (an hour), or 07's"
    parser.add_argument("--record", nargs="?", const="precision", choices=RECORDS, help=what)
    quick = "few tokens and repeats, into outputs/: to see that all of it runs"
    parser.add_argument("--quick", action="store_true", help=quick)
    chosen = parser.parse_args(words)
    if not chosen.record:
        parser.error("say what to record: --record precision, --record finetune or --record family")
    if chosen.quick and chosen.record != "precision":
        parser.error("--quick is for --record precision")
    script = [sys.executable, "-m", f"gemma_lab.lessons.{RECORDS[chosen.record]}"]
    environment = {**os.environ, "GOMP_SPINCOUNT": "5000"}  # before torch is imported
    done = subprocess.run(script + ["--quick"] * chosen.quick, env=environment)
    raise SystemExit(done.returncode)


def _read(clock: list, _) -> None:
    clock.append(time.perf_counter())


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()

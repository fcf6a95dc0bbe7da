"""What a precision costs: bytes, perplexity, KL divergence, agreement and right answers, on text with one right answer.

`python -m gemma_lab.measure google/gemma-2b-it` records speed and memory of a real model on this machine's card.
Shapes: A answer tokens of one row, V vocabulary.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import torch

DATA = Path(__file__).with_name("data")


@dataclass(frozen=True)
class Scores:
    """For each row: log-probabilities (A, V) in nats, on the CPU in float32, and the right tokens (A,)."""

    log_probs: list[torch.Tensor]
    targets: list[torch.Tensor]


def one_answer_rows() -> list[dict]:
    """Rows of prompt, answer and kind ("sum", "fact" or "task"), held out from the training of the pocket models."""
    lines = (DATA / "one_answer.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def encode(tokenizer, row: dict) -> tuple[torch.Tensor, int]:
    """Token ids (1, T) of the chat with its answer and end of turn, and where the answer starts."""
    chat = [{"role": "user", "content": row["prompt"]}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(row["answer"] + "<end_of_turn>", add_special_tokens=False)["input_ids"]
    return torch.tensor([before + answer]), len(before)


@torch.no_grad()
def answer_log_probs(model, tokenizer, rows: list[dict]) -> Scores:
    """What `model` thinks of each token of each right answer, given the prompt and the answer's tokens before it.

    One row at a time: padding would change the numbers of quantized models a little.
    """
    log_probs, targets = [], []
    for row in rows:
        ids, start = encode(tokenizer, row)
        logits = model(input_ids=ids.to(model.device)).logits[0, start - 1 : -1]  # (A, V); position t predicts t + 1
        log_probs.append(logits.float().log_softmax(-1).cpu())
        targets.append(ids[0, start:])
    return Scores(log_probs, targets)


def perplexity(scores: Scores) -> float:
    """exp of the mean negative log-probability, in nats, over all answer tokens. 1 is certainty, V is a blind guess."""
    total = sum(lp.gather(-1, target[:, None]).sum().item() for lp, target in zip(scores.log_probs, scores.targets))
    return math.exp(-total / sum(map(len, scores.targets)))


def kl(reference: Scores, other: Scores) -> float:
    """Mean KL(reference || other) over all answer tokens, in nats: 0 when both models think the same."""
    total = count = 0
    for p, q in zip(reference.log_probs, other.log_probs):
        p, q = p.double(), q.double()
        total += (p.exp() * (p - q)).sum().item()
        count += len(p)
    return total / count


def top1_agreement(reference: Scores, other: Scores) -> float:
    """Share of answer tokens for which both models have the same first choice."""
    same = [(p.argmax(-1) == q.argmax(-1)).double() for p, q in zip(reference.log_probs, other.log_probs)]
    return torch.cat(same).mean().item()


def right_answers(scores: Scores) -> float:
    """Share of rows that greedy decoding answers exactly: every token of the answer is the first choice."""
    pairs = list(zip(scores.log_probs, scores.targets))
    return sum(bool((lp.argmax(-1) == target).all()) for lp, target in pairs) / len(pairs)


def weight_mb(model) -> float:
    """Megabytes (10^6 bytes) of all weights, with bitsandbytes' scales, which `get_memory_footprint()` leaves out."""
    tensors = [*model.parameters(), *model.buffers()]
    for module in model.modules():
        weight, state = getattr(module, "weight", None), getattr(module, "state", None)
        for holder in (weight, state):  # int8: the row scales move from the weight to the state in the first forward
            tensors += [getattr(holder, name, None) for name in ("CB", "SCB")]
        tensors += _quant_state_tensors(getattr(weight, "quant_state", None))
    unique = {t.data_ptr(): t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor) and t.numel()}
    return sum(unique.values()) / 1e6


def _quant_state_tensors(state) -> list:
    if state is None:
        return []
    return [state.absmax, state.code, state.offset, *_quant_state_tensors(state.state2)]


def free_memory() -> None:
    """Give back what deleted models held, on the card too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@torch.no_grad()
def tokens_per_s(model, tokenizer, num_tokens: int = 128, repeats: int = 5) -> float:
    """Median speed of greedy decoding of `num_tokens` new tokens for one sequence, after one warm-up."""
    chat = [{"role": "user", "content": "Write me a poem about Google I/O event."}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    inputs = inputs.to(model.device)
    speeds = []
    for _ in range(repeats + 1):
        _wait()
        began = time.perf_counter()
        model.generate(**inputs, max_new_tokens=num_tokens, min_new_tokens=num_tokens, do_sample=False)
        _wait()
        speeds.append(num_tokens / (time.perf_counter() - began))
    return statistics.median(speeds[1:])


def record(model_id: str, precisions: list[str], num_rows: int, command: str) -> dict:
    """Speed, memory and quality of `model_id` in each precision that fits this machine, with where and how."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from gemma_lab import hardware, loading

    machine = hardware.describe_machine()
    tokenizer = AutoTokenizer.from_pretrained(model_id)
    rows, reference, measured = one_answer_rows()[:num_rows], None, []
    for precision in precisions:
        plan = loading.plan_loading(model_id, precision, machine)
        print(plan.sentence)
        if not plan.fits:
            continue
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        model = AutoModelForCausalLM.from_pretrained(model_id, **plan.kwargs()).eval()
        loading.portable_4bit(model)
        scores = answer_log_probs(model, tokenizer, rows)
        reference = reference or scores
        row = {
            "precision": precision,
            "dtype": plan.dtype,
            "weight_mb": round(weight_mb(model), 1),
            "tokens_per_s": round(tokens_per_s(model, tokenizer), 1),
            "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if torch.cuda.is_available() else None,
            "perplexity": perplexity(scores),
            "kl_to_first": kl(reference, scores),
            "right_answers": right_answers(scores),
        }
        measured.append(row)
        print(row)
        del model
        free_memory()
    packages = ("torch", "transformers", "bitsandbytes")
    return {
        "model": model_id,
        "machine": asdict(machine),
        "date": time.strftime("%Y-%m-%d"),
        "command": command,
        "versions": {name: metadata.version(name) for name in packages},
        "rows": measured,
    }


def main(words: list[str] | None = None) -> None:
    """The benchmark command; see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m gemma_lab.measure", description=__doc__)
    parser.add_argument("model", help="a catalog id, or a checkpoint folder")
    parser.add_argument("--precisions", nargs="+", default=["bf16", "int8", "nf4"])
    parser.add_argument("--rows", type=int, default=40, help="rows of one_answer.jsonl to score")
    parser.add_argument("--out", type=Path, help="default: data/recorded/MODEL_CARD.json in the package")
    chosen = parser.parse_args(words)
    command = f"python -m gemma_lab.measure {chosen.model} --precisions {' '.join(chosen.precisions)} --rows {chosen.rows}"
    found = record(chosen.model, chosen.precisions, chosen.rows, command)
    card = (found["machine"]["gpu_name"] or "cpu").replace(" ", "-")
    out = chosen.out or DATA / "recorded" / f"{Path(chosen.model).name}_{card}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"Recorded in {out}")


def recorded(model_id: str) -> list[dict]:
    """Every record of `model_id` on a GPU that this copy of the course has; empty where there is none yet."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((DATA / "recorded").glob("*.json"))]
    return [one for one in found if one["model"] == model_id and one["machine"]["device"] == "cuda"]


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()

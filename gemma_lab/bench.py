"""Speed, memory and quality of a real model on this card: `python -m gemma_lab.bench MODEL`."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import torch

from gemma_lab import catalog, hardware, loading, memory, scores


@torch.no_grad()
def tokens_per_s(model, tokenizer, num_tokens: int = 128, repeats: int = 5) -> float:
    """Median speed of greedy decoding of `num_tokens` for one sequence, after one warm-up."""
    chat = [{"role": "user", "content": "Write me a poem about Google I/O event."}]
    layout = dict(add_generation_prompt=True, return_tensors="pt", return_dict=True)
    inputs = tokenizer.apply_chat_template(chat, **layout).to(model.device)
    length = dict(max_new_tokens=num_tokens, min_new_tokens=num_tokens)
    speeds = []
    for _ in range(repeats + 1):
        _wait()
        began = time.perf_counter()
        model.generate(**inputs, **length, do_sample=False)
        _wait()
        speeds.append(num_tokens / (time.perf_counter() - began))
    return statistics.median(speeds[1:])


def record(model_id: str, precisions: list[str], num_rows: int, command: str) -> dict:
    """Speed, memory and quality of `model_id` in each precision that fits, with where and how."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    machine, has_card = hardware.describe_machine(), torch.cuda.is_available()
    tokenizer = AutoTokenizer.from_pretrained(model_id)
    rows, reference, measured = scores.one_answer_rows()[:num_rows], None, []
    scores.encode(tokenizer, rows[0])  # a base model is refused before it is loaded
    for precision in precisions:
        plan = loading.plan_loading(model_id, precision, machine)
        print(plan.sentence)
        if not plan.fits:
            continue
        if has_card:
            torch.cuda.reset_peak_memory_stats()
        model = AutoModelForCausalLM.from_pretrained(model_id, **plan.kwargs()).eval()
        loading.portable_4bit(model)
        log_probs = scores.answer_log_probs(model, tokenizer, rows)
        reference = reference or log_probs
        row = {
            "precision": precision,
            "dtype": plan.dtype,
            "weight_mb": round(memory.weight_mb(model), 1),
            "tokens_per_s": round(tokens_per_s(model, tokenizer), 1),
            "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if has_card else None,
            "perplexity": scores.perplexity(log_probs),
            "kl_to_first": scores.kl(reference, log_probs),
            "right_answers": scores.right_answers(log_probs),
        }
        measured.append(row)
        print(row)
        del model
        memory.free_memory()
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
    """Records a model, and says where: the command, whose options `--help` names."""
    parser = argparse.ArgumentParser(prog="python -m gemma_lab.bench", description=__doc__)
    parser.add_argument("model", nargs="?", help="a catalog id, or a checkpoint folder")
    lab = "Codelab 2 many times over, with this machine's main model"
    parser.add_argument("--record", choices=["finetune"], help=lab)
    parser.add_argument("--precisions", nargs="+", default=["bf16", "int8", "nf4"])
    parser.add_argument("--rows", type=int, default=40, help="rows of one_answer.jsonl to score")
    parser.add_argument(
        "--out", type=Path, help="default: data/recorded/MODEL_CARD.json in the package"
    )
    chosen = parser.parse_args(words)
    if chosen.record and chosen.model:
        parser.error("--record takes this machine's main model: name no other")
    if chosen.record:
        script = [sys.executable, "-m", "gemma_lab.lessons.nb05_record"]
        raise SystemExit(subprocess.run(script).returncode)
    if not chosen.model:
        parser.error("name a model, or --record finetune")
    options = f"--precisions {' '.join(chosen.precisions)} --rows {chosen.rows}"
    command = f"{parser.prog} {chosen.model} {options}"
    found = record(chosen.model, chosen.precisions, chosen.rows, command)
    card = (found["machine"]["gpu_name"] or "cpu").replace(" ", "-")
    out = chosen.out or catalog.DATA / "recorded" / f"{Path(chosen.model).name}_{card}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"Recorded in {out}")


def recorded(model_id: str) -> list[dict]:
    """Every record of `model_id` on a GPU in this copy of the course; empty where there is none."""
    paths = sorted((catalog.DATA / "recorded").glob("*.json"))
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return [one for one in found if one["model"] == model_id and one["machine"]["device"] == "cuda"]


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()

"""Notebook 04's exam on ordinary text, in English and Vietnamese: what each precision costs.

`python -m gemma_lab.lessons.nb04_quality` records it for Gemma 3 270M, over all of the text.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import torch

import gemma_lab
from gemma_lab import catalog, hardware, loading, memory, scores
from gemma_lab.lessons.nb04_language import EDGES, FOLDER, KINDS, LANGUAGES, groups
from gemma_lab.scratch import quantize

PRECISIONS = ("fp32", "bf16", "int8 weights", "int8", "nf4", "fp4")  # the first is the reference
NUM_OWN = 6  # texts of its own in each language
LONGEST = 1024  # tokens: a model of 262,144 words writes 1 GB of float32 for them


def paragraphs(num: int | None = None) -> dict[str, list[str]]:
    """The first `num` of 24 paragraphs in each language, or all: parallel, each says the same."""
    rows = catalog.json_lines("paragraphs_long.jsonl")
    return {
        name: [row["text"] for row in rows if row["language"] == name][:num] for name in LANGUAGES
    }


def read(model, tokenizer, texts: list[str]) -> scores.Scores:
    """What `model` thinks of each token of each text but <bos>, given those before it, in 16 bits.

    A control token's name inside a text, such as <eos>, is read as text.
    Raises: ValueError for no text, an empty one, and one longer than the model's context or than
        1,024 tokens.
    """
    limit = min(LONGEST, model.config.get_text_config().max_position_embeddings)
    rows = []
    for at, text in enumerate(texts):
        ids = tokenizer(text, split_special_tokens=True, return_tensors="pt")["input_ids"]
        num = ids.shape[1]
        if num < 2:
            raise ValueError(f"Text {at} is empty: give it a word at least.")
        if num > limit:
            raise ValueError(f"Text {at} has {num} tokens: cut it into parts of {limit} at most.")
        rows.append((ids, 1))
    return read_rows(model, rows)


def read_rows(model, rows: list[tuple[torch.Tensor, int]]) -> scores.Scores:
    """The same of rows of token ids (1, T), each from its start on."""
    thoughts = [scores.in_16_bits(scores.log_probs(model, ids, start)) for ids, start in rows]
    found = scores.Scores(thoughts, [ids[0, start:] for ids, start in rows])
    scores.perplexity(found)  # refuses no rows
    return found


def read_all(model, tokenizer, texts: dict[str, list[str]], own_rows: list) -> dict:
    """`read` for each language of `texts`, and "own text": the rows of `own_text`."""
    found = {language: read(model, tokenizer, own) for language, own in texts.items()}
    return found | {"own text": read_rows(model, own_rows)}


def own_text(model, tokenizer, texts: list[str], num_tokens: int = 24) -> list[tuple]:
    """How `model` itself goes on after the first words of each text, greedily.

    Returns: (ids (1, T), where its own tokens start), a row for each text, for `read_rows`.
    """
    rows = []
    for text in texts:
        opening = tokenizer(" ".join(text.split()[:8]), return_tensors="pt").to(model.device)
        ids = model.generate(**opening, max_new_tokens=num_tokens, do_sample=False).cpu()
        rows.append((ids, opening["input_ids"].shape[1]))
    return rows


def columns(reference: dict, found: dict) -> dict[str, float]:
    """One row of the ladder: for each language perplexity, KL and top-1 agreement with the first.

    Args: reference, found: language -> Scores of the same texts.
    """
    row = {}
    for language, own in found.items():
        first = reference[language]
        row[f"perplexity, {language}"] = scores.perplexity(own)
        row[f"KL, {language}"] = scores.kl(first, own)
        row[f"top-1, {language}"] = scores.top1_agreement(first, own)
    return row


# ------------------------------------------------------------------ the record


@torch.no_grad()
def round_to_int8(model):
    """`model` with each row of each linear weight but the head rounded to 255 levels by absmax."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            module.weight.copy_(quantize.round_even(module.weight))
    return model


def load(path: str, precision: str):
    """The model of `path` in one of PRECISIONS. "int8 weights" are rounded and computed in fp32."""
    from transformers import AutoModelForCausalLM

    plan = loading.plan_loading(
        path, precision.replace("int8 weights", "fp32"), hardware.describe_machine()
    )
    model = AutoModelForCausalLM.from_pretrained(path, **plan.kwargs()).eval()
    return round_to_int8(model) if precision == "int8 weights" else loading.portable_4bit(model)


def measured(reference: scores.Scores, found: scores.Scores, each: list[dict]) -> dict[str, list]:
    """Sums over the tokens of each paragraph: surprise, KL, kept first choices, KL by group."""
    sums = {"nats": [], "kl": [], "kept": [], "kl_by_bin": [], "kl_by_kind": []}
    for at, kl in enumerate(scores.token_kl(reference, found)):
        p, q, target = reference.log_probs[at], found.log_probs[at], found.targets[at]
        sums["nats"].append(-scores.in_nats(q.gather(-1, target[:, None])).sum().item())
        sums["kl"].append(kl.sum().item())
        sums["kept"].append((p.argmax(-1) == q.argmax(-1)).sum().item())
        for name, of, num in (("bin", "bins", len(EDGES) + 1), ("kind", "kinds", len(KINDS))):
            by_group = torch.zeros(num, dtype=torch.float64).index_add(0, each[at][of], kl)
            sums[f"kl_by_{name}"].append(by_group.tolist())
    return sums


def record_quality(model_id: str, path: str, out: Path) -> dict:
    """Reads all of the text in each of PRECISIONS that `out` does not hold yet, and adds it there.

    Returns: the record: for each language the tokens, characters and groups of each paragraph, and
        for each precision their sums (`measured`). Interrupted, it keeps the precisions done.
    """
    from transformers import AutoTokenizer

    packages = ("torch", "transformers", "bitsandbytes")
    machine = hardware.describe_machine()
    done = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    record = {
        "model": model_id,
        "source": "its weights went through a Q4_K_M file" if "270m" in model_id else "",
        "machine": asdict(machine) | {"cpu": hardware.cpu_name()},
        "date": time.strftime("%Y-%m-%d"),
        "command": "python -m gemma_lab.lessons.nb04_quality",
        "versions": {name: metadata.version(name) for name in packages},
        "texts": {},
        "rows": {},
    }
    tokenizer, texts = AutoTokenizer.from_pretrained(path), paragraphs()
    model = load(path, PRECISIONS[0])
    reference = {name: read(model, tokenizer, texts[name]) for name in LANGUAGES}
    own_rows = {name: own_text(model, tokenizer, texts[name][:NUM_OWN]) for name in LANGUAGES}
    own = {name: read_rows(model, own_rows[name]) for name in LANGUAGES}
    each = {name: groups(tokenizer, reference[name]) for name in LANGUAGES}
    for name in LANGUAGES:
        record["texts"][name] = {
            "tokens": [len(ids) for ids in reference[name].targets],
            "characters": [len(text) for text in texts[name]],
            "bins": [one["bins"].bincount(minlength=len(EDGES) + 1).tolist() for one in each[name]],
            "kinds": [one["kinds"].bincount(minlength=len(KINDS)).tolist() for one in each[name]],
        }
    if done.get("texts") == record["texts"]:
        record["rows"] = done["rows"]
    for precision in PRECISIONS:
        if precision in record["rows"]:
            continue
        print(precision, flush=True)
        if precision != PRECISIONS[0]:
            model = None
            memory.free_memory()
            model = load(path, precision)
        record["rows"][precision] = row = {}
        for name in LANGUAGES:
            parts = []
            for at, text in enumerate(texts[name]):  # one at a time: its scores are not kept
                first = scores.Scores(*([one[at]] for one in vars(reference[name]).values()))
                found = first if precision == PRECISIONS[0] else read(model, tokenizer, [text])
                parts.append(measured(first, found, [each[name][at]]))
            row[name] = {key: [part[key][0] for part in parts] for key in parts[0]}
            kept = read_rows(model, own_rows[name])
            row[name]["own_kept"] = scores.top1_agreement(own[name], kept)
            row[name]["own_kl"] = scores.kl(own[name], kept)
        out.parent.mkdir(parents=True, exist_ok=True)
        short = json.loads(
            json.dumps(record), parse_float=lambda digits: float(f"{float(digits):.6g}")
        )
        part = out.with_suffix(".part")
        part.write_text(json.dumps(short, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(out)  # stopped at any moment, it holds the rows done
    return json.loads(out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    REAL = "google/gemma-3-270m"
    record_quality(REAL, gemma_lab.checkpoint(REAL), FOLDER / "gemma-3-270m.json")
    print(f"Recorded in {FOLDER}")

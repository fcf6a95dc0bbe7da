"""Notebook 07's record: Gemma 3 270M on the exam on code, and what three models keep of a text.

`python -m gemma_lab.bench --record family` calls it.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from importlib import metadata

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemma_lab import catalog, coding, gemma3, hardware, profile
from gemma_lab.lessons import nb07

FILE = catalog.DATA / "recorded" / "family" / "cpu.json"
LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192)


def load(folder):
    """A checkpoint's tokenizer, and its model in float32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return AutoTokenizer.from_pretrained(folder), model.eval()


def on_code(tokenizer, model) -> dict:
    """For bodies and holes: the names of the functions that pass, and the share."""
    found = {}
    for kind, ask in {"body": coding.write_body, "hole": coding.fill_hole}.items():
        answers = []
        for row in coding.functions():
            answers.append(ask(model, tokenizer, row))
            print(kind, answers[-1].name, answers[-1].outcome.why, flush=True)
        passed = [answer.name for answer in answers if answer.outcome.passed]
        found[kind] = {"share": coding.passed(answers), "passed": passed}
    return found


def main() -> None:
    """Measure, and write the file."""
    began, kept = time.monotonic(), {}
    stand_ins = {"pocket-small": "google/gemma-2b", "pocket-recurrent": "google/recurrentgemma-2b"}
    folders = {name: profile.checkpoint(one, "pocket") for name, one in stand_ins.items()}
    tokenizer, model = load(gemma3.convert())
    code = on_code(tokenizer, model)
    models = {"gemma-3-270m": (tokenizer, model)}
    models |= {name: load(folder) for name, folder in folders.items()}
    for name, (words, one) in models.items():
        kept[name] = [nb07.after_reading(one, words, length) for length in LENGTHS]
        print(name, kept[name], flush=True)
    found = {
        "machine": asdict(hardware.describe_machine()) | {"cpu": hardware.cpu_name()},
        "threads": torch.get_num_threads(),
        "environment": {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT")},
        "date": time.strftime("%Y-%m-%d"),
        "command": "python -m gemma_lab.bench --record family",
        "versions": {name: metadata.version(name) for name in ("torch", "transformers")},
        "seconds": round(time.monotonic() - began),
        "precision": "fp32",
        "code": {"gemma-3-270m": code},
        "kept": kept,
    }
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

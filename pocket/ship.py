"""A trained pocket model, measured on the "card" prompts and put into gemma_lab with its card."""

import json
import shutil
from pathlib import Path

from transformers import AutoModelForCausalLM

from pocket import train
from pocket.card import NAMES, card

HERE = Path(__file__).parent
CHECKPOINTS = HERE.parent / "gemma_lab" / "checkpoints"


def ship(size: str, source: Path, found: dict, steps: dict, tuned: dict, hardware: str) -> Path:
    """The folder in gemma_lab/checkpoints that the model in `source` was copied to, with a card of these measures."""
    target = CHECKPOINTS / NAMES[size]
    shutil.copytree(source, target, dirs_exist_ok=True)
    shutil.copy(train.WORK / f"{size}.jsonl", HERE / "curves")
    log = [json.loads(line) for line in (train.WORK / f"{size}.jsonl").read_text().splitlines()]
    model = AutoModelForCausalLM.from_pretrained(source)
    text = card(size, model, found, steps, tuned, log, hardware)
    (target / "README.md").write_text(text, encoding="utf-8")
    return target

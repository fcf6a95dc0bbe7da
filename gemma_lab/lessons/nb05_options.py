"""The options of notebook 05's training script, checked before anything is loaded."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path


def is_first() -> bool:
    """Whether this process judges and writes: the only one, or the first of all machines."""
    return int(os.environ.get("RANK", 0)) == 0


def is_sharded() -> bool:
    """Whether `accelerate launch` spreads the weights over the processes (FSDP)."""
    return os.environ.get("ACCELERATE_USE_FSDP") == "true"


def at_least(least: int):
    """A converter for argparse: whole numbers from `least` on."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"it must be {least} or more, not {text}")
        return int(text)

    return number


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command's options. Raises: SystemExit, with one sentence for a wrong one."""
    name = "python -m gemma_lab.lessons.nb05_train"
    usage = f"{name} --model MODEL --out OUT [options]; --help names them"
    parser = argparse.ArgumentParser(prog=name, usage=usage)
    option = parser.add_argument
    option("--model", required=True, help="a folder, or a repository of the Hub")
    columns = "JSON lines: instruction, input, output; else the course's"
    option("--rows", type=Path, help=columns)
    option("--out", type=Path, required=True, help="the run's own folder")
    option("--rank", type=at_least(1), default=16)
    few = "0: only the exams, before any training"
    option("--steps", type=at_least(0), default=20, help=few)
    option("--learning-rate", type=float, default=1e-3)
    option("--batch-size", type=at_least(1), default=4, help="rows for each process")
    option("--accumulation", type=at_least(1), default=1, help="batches before one update")
    option("--seed", type=int, default=1357)
    option("--bits", type=int, choices=(4, 16, 32), default=16, help="of the frozen weights")
    option("--rehearse", type=float, default=0.0, help="share of old rows among all, such as 0.2")
    often = "a checkpoint every so many steps; 0: none"
    option("--save-steps", type=at_least(0), default=0, help=often)
    option("--unsloth", action="store_true", help="Unsloth's calls in place of plain PEFT")
    option("--judge", action="store_true", help="exams before and after, as notebook 05 has them")
    chosen = parser.parse_args(words)
    why = what_is_wrong(chosen.rows) if chosen.rows else ""
    if why:
        parser.error(f"argument --rows: {why}")
    if not 0 <= chosen.rehearse < 1:
        why = f"it must be 0 or more and below 1, not {chosen.rehearse}"
        parser.error(f"argument --rehearse: {why}")
    if is_sharded() and (chosen.bits == 4 or chosen.unsloth or chosen.judge or chosen.rehearse):
        parser.error("with FSDP use --bits 16 and neither --unsloth, --judge nor --rehearse")
    return chosen


def what_is_wrong(path: Path) -> str:
    """What keeps a file from being rows of instruction, input and output; "" for nothing."""
    if not path.is_file():
        return f"there is no file {path}"
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines:
        return f"{path} is empty"
    for at, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            return f"line {at} of {path} is not JSON ({error})"
        if not isinstance(row, dict) or not {"instruction", "input", "output"} <= row.keys():
            return f"line {at} of {path} lacks instruction, input or output"
    return ""

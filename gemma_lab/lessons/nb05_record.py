"""Notebook 05's record: Codelab 2 many times over, each run in a process of its own.

`python -m gemma_lab.bench --record finetune` calls it. A run that has its file is not run again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import gemma_lab
from gemma_lab import catalog, hardware

FOLDER = catalog.DATA / "recorded" / "finetune"
PACKAGES = ("torch", "transformers", "peft", "trl", "unsloth", "bitsandbytes")
SETTINGS = {  # of notebook 05's profiles: what all runs share
    "pocket": dict(steps=300, learning_rate=4e-3, batch_size=8, bits=4),
    "laptop": dict(steps=20, learning_rate=1e-3, batch_size=4, bits=16),
    "hub": dict(steps=60, learning_rate=2e-4, batch_size=8, accumulation=2, bits=4),
}


def runs(shared: dict) -> dict[str, dict]:
    """Name -> options of each run beside the shared ones; three seeds where the spread counts."""
    rate, other = shared["learning_rate"], {4: 16, 16: 4}[shared["bits"]]
    found = {"before": {"steps": 0}}
    found |= {f"seed {seed}": {"seed": seed} for seed in (0, 1, 2)}
    found |= {"rehearsed, seed 0": {"seed": 0, "rehearse": 0.2}}
    found |= {f"rank {rank}": {"seed": 0, "rank": rank} for rank in (4, 64)}
    found |= {
        f"learning rate {new:g}": {"seed": 0, "learning_rate": new} for new in (rate / 4, rate * 4)
    }
    found |= {f"{other} bits": {"seed": 0, "bits": other}, "Unsloth": {"seed": 0, "unsloth": True}}
    found |= {f"rehearsed, seed {seed}": {"seed": seed, "rehearse": 0.2} for seed in (1, 2)}
    return found


def command(model: str, folder: Path, options: dict) -> list[str]:
    """The words that start one run of the training script."""
    words = ["--model", model, "--out", str(folder), "--judge"]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return [sys.executable, "-m", "gemma_lab.lessons.nb05_train", *words]


def record(work: Path) -> Path:
    """Runs what `work` does not hold yet. Returns: the record's file."""
    profile = gemma_lab.current_profile().name
    model_id = gemma_lab.main_model()
    path, shared, done = gemma_lab.checkpoint(model_id), SETTINGS[profile], {}
    for name, options in runs(shared).items():
        folder = work / name.replace(" ", "-").replace(",", "")
        if not (folder / "run.json").exists():
            print(name, flush=True)
            subprocess.run(command(path, folder, shared | options), check=True)
        done[name] = options | json.loads((folder / "run.json").read_text(encoding="utf-8"))
    machine = hardware.describe_machine()
    name = Path(path if profile == "pocket" else model_id).name
    found = {
        "model": name,
        "machine": asdict(machine),
        "date": time.strftime("%Y-%m-%d"),
        "command": "python -m gemma_lab.bench --record finetune",
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "shared": shared,
        "runs": done,
    }
    card = (machine.gpu_name or "cpu").replace(" ", "-")
    out = FOLDER / f"{name}_{card}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return out


def recorded(model: str) -> dict | None:
    """The record of a model, such as "gemma-3-270m", here or on another machine; None without."""
    found = sorted(FOLDER.glob(f"{Path(model).name}_*.json"))
    return json.loads(found[0].read_text(encoding="utf-8")) if found else None


def table(found: dict):
    """One row a run (pandas), and under the runs with three seeds the least and the most of them.

    Perplexity is said as its rise over the untrained model's, in percent.
    """
    import pandas

    before, rows = found["runs"]["before"]["regression"], {}
    for name, run in found["runs"].items():
        rows[name] = {
            "loss": run["target"]["loss"],
            "exact, % of 84": 100 * run["target"]["exact"],
            "topics exact, of 14": 14 * run["topics_exact"],
            "in format, %": 100 * run["topics_in_format"],
        }
        for skill, value in run["regression"].items():
            if skill.startswith("perplexity"):
                rows[name][skill + ", + %"] = 100 * (value / before[skill] - 1)
            else:
                rows[name][skill + ", % kept"] = 100 * value
    every = pandas.DataFrame(rows).T
    for kind in ("seed", "rehearsed, seed"):
        seeds = every.loc[[f"{kind} {seed}" for seed in (0, 1, 2)]]
        title = kind.replace("seed", "three seeds")
        every.loc[f"{title}, least"], every.loc[f"{title}, most"] = seeds.min(), seeds.max()
    return every


if __name__ == "__main__":
    print(f"Recorded in {record(Path('outputs') / 'record')}")

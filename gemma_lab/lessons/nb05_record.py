"""Notebook 05's record: Codelab 2 many times over, each run in a process of its own.

`python -m gemma_lab.bench --record finetune` calls it. A run that has its file is not run again.
"""

from __future__ import annotations

import hashlib
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
    "hub": dict(steps=80, learning_rate=2e-4, batch_size=8, accumulation=2, bits=4),
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
    if shared == SETTINGS["hub"]:  # on a card: its speed and memory, where the talk trained
        talk = {"seed": 0, "steps": 10, "batch_size": 8, "accumulation": 16}
        found |= {"talk's settings": talk, "talk's settings, Unsloth": talk | {"unsloth": True}}
    return found


def command(model: str, folder: Path, options: dict) -> list[str]:
    """The words that start one run of the training script."""
    words = ["--model", model, "--out", str(folder), "--judge"]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return [sys.executable, "-m", "gemma_lab.lessons.nb05_train", *words]


def record(root: Path) -> Path:
    """Runs what `root` does not hold yet of this model and these settings.

    Returns: the record's file.
    """
    versions = {name: metadata.version(name) for name in PACKAGES}  # before an hour is spent
    profile = gemma_lab.current_profile().name
    model_id = gemma_lab.main_model()
    path, shared, done = gemma_lab.checkpoint(model_id), SETTINGS[profile], {}
    name = Path(path if profile == "pocket" else model_id).name
    settings = json.dumps([shared, runs(shared)]).encode()
    work = root / f"{name}-{hashlib.sha256(settings).hexdigest()[:8]}"
    for run, options in runs(shared).items():
        folder = work / run.replace(" ", "-").replace(",", "")
        if not (folder / "run.json").exists():
            print(run, flush=True)
            subprocess.run(command(path, folder, shared | options), check=True)
        done[run] = options | json.loads((folder / "run.json").read_text(encoding="utf-8"))
    machine = hardware.describe_machine()
    found = {
        "model": name,
        "machine": asdict(machine) | {"cpu": hardware.cpu_name()},
        "date": time.strftime("%Y-%m-%d"),
        "command": "python -m gemma_lab.bench --record finetune",
        "versions": versions,
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
            "loss": round(run["target"]["loss"], 3),
            "exact, % of 84": round(100 * run["target"]["exact"], 1),
            "topics exact, of 14": round(14 * run["topics_exact"]),
            "in form, %": round(100 * run["topics_in_format"]),
        }
        for skill, value in run["regression"].items():
            of = skill.replace("own old answers, ", "").replace(" paragraphs", "")
            if skill.startswith("perplexity"):
                rows[name][of + ", + %"] = round(100 * (value / before[skill] - 1), 1)
            else:
                rows[name][of + " kept, %"] = round(100 * value, 1)
        if prompted := run.get("three_examples"):
            exact = round(14 * prompted["exact"])
            rows["examples in the prompt"] = {"topics exact, of 14": exact}
    every = pandas.DataFrame(rows).T
    for kind in ("seed", "rehearsed, seed"):
        seeds = every.loc[[f"{kind} {seed}" for seed in (0, 1, 2)]]
        title = kind.replace("seed", "three seeds")
        every.loc[f"{title}, least"], every.loc[f"{title}, most"] = seeds.min(), seeds.max()
    return every


if __name__ == "__main__":
    print(f"Recorded in {record(Path('outputs') / 'record')}")

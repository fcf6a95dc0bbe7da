"""Make the pocket models, and what belongs to them.

python -m pocket train small-it      # resumable: run it again and it goes on where it was
python -m pocket measure small-it    # on the "dev" prompts; --show prints the answers, and every wrong one
python -m pocket ship small-it --hardware "one thread of …"   # on the "card" prompts, into gemma_lab/checkpoints
python -m pocket data                # the rows that the codelabs read, into gemma_lab/data
python -m pocket curves              # how the skills grew: pocket/curves.svg
"""

import argparse
import json
from pathlib import Path

import torch

from pocket import card, curves, data, measures, train, tuning
from pocket.ship import ship


def measured(size: str, source: Path, split: str, show: bool = False) -> tuple[dict, dict, dict]:
    """The measures of a model, what taking bits away does to it, and what fine-tuning does. Prints them."""
    found, steps = measures.measures(size, source, split, show)
    print(json.dumps(found, indent=1, ensure_ascii=False))
    for key, (kl, right) in steps.items():
        print(f"{key:16} KL {kl:.1e}" + ("" if right is None else f"  right {right:.3f}"))
    tuned = {}
    if size == "small-it":
        torch.set_num_threads(2)
        tuned = tuning.lora_measures(source)
        print(json.dumps(tuned, indent=1))
    return found, steps, tuned


def main(words: list[str] | None = None) -> None:
    """The command; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="python -m pocket", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = {name: verbs.add_parser(name) for name in ("train", "measure", "ship", "data", "curves")}
    for name in ("train", "measure", "ship"):
        verb[name].add_argument("name", choices=card.NAMES)
    verb["train"].add_argument("--steps", type=int, help="default: the number the shipped model was trained with")
    verb["train"].add_argument("--seed", type=int, default=0)
    verb["train"].add_argument("--threads", type=int, default=1, help="more are faster, and round otherwise")
    verb["measure"].add_argument("--show", action="store_true", help="print the answers, and every wrong one")
    verb["measure"].add_argument("--folder", type=Path, help="default: the trained model in pocket/work")
    verb["ship"].add_argument("--hardware", default="a CPU that nobody named", help="for the card: what it was trained on")
    chosen = parser.parse_args(words)
    if chosen.verb == "train":
        torch.set_num_threads(chosen.threads)
        print(train.train(chosen.name, chosen.steps or train.STEPS[chosen.name], chosen.seed))
    elif chosen.verb == "measure":
        measured(chosen.name, chosen.folder or train.WORK / chosen.name, "dev", chosen.show)
    elif chosen.verb == "ship":
        source = train.WORK / chosen.name
        print(ship(chosen.name, source, *measured(chosen.name, source, "card"), chosen.hardware))
    elif chosen.verb == "data":
        data.write()
    else:
        print(curves.write())


if __name__ == "__main__":
    main()

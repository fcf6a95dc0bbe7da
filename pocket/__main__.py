"""Make the pocket models, and what belongs to them.

python -m pocket train small-it      # resumable: run it again and it goes on where it was
python -m pocket measure small-it    # on the "dev" prompts; --show prints the answers
python -m pocket ship small-it --hardware "…"   # on the "card" prompts, into the course
python -m pocket data                # the rows that the codelabs read, into gemma_lab/data
python -m pocket curves              # how they learned: pocket/curves.svg, pocket/nano.svg
"""

import argparse
import sys
from pathlib import Path

from pocket.recipe import TrainingError
from pocket.recipes import RECIPES


def main(words: list[str] | None = None) -> None:
    """The command; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="python -m pocket",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = {name: verbs.add_parser(name) for name in ("train", "measure", "ship", "data", "curves")}
    for name in ("train", "measure", "ship"):
        verb[name].add_argument("name", choices=RECIPES)
    option = verb["train"].add_argument
    option("--steps", type=int, help="default: the number the shipped model was trained with")
    option("--seed", type=int, default=0)
    option("--threads", type=int, default=1, help="more are faster, and round otherwise")
    option("--float32", action="store_true", help="where bfloat16, the default, is not faster")
    option = verb["measure"].add_argument
    option("--show", action="store_true", help="print the answers, and every wrong one")
    option(
        "--folder",
        type=Path,
        help="default: what was trained in pocket/work, or else the shipped one",
    )
    option = verb["ship"].add_argument
    option("--hardware", required=True, help="for the card: what it was trained on")
    try:
        run(parser.parse_args(words))
    except TrainingError as error:
        sys.exit(str(error))


def run(chosen: argparse.Namespace) -> None:
    """Do what was chosen. What a verb does not need is not imported."""
    recipe = RECIPES.get(getattr(chosen, "name", None))
    if chosen.verb == "train":
        import torch

        from pocket import train

        torch.set_num_threads(chosen.threads)
        torch.set_flush_denormal(True)  # numbers near 0 are slow: 1.5 s a step, and 0.9 without
        print(train.train(recipe, chosen.steps, chosen.seed, is_float32=chosen.float32))
    elif chosen.verb == "measure":
        from pocket import card, results, train

        is_trained = (train.WORK / f"{recipe.name}.pt").exists()
        shipped = recipe.shipped_folder
        folder = chosen.folder or (train.check_trained(recipe) if is_trained else shipped)
        print(card.tables(results.measure(recipe, folder, "dev", chosen.show)))
    elif chosen.verb == "ship":
        from pocket import ship

        print(ship.ship(recipe, chosen.hardware))
    elif chosen.verb == "data":
        from pocket import data

        data.write()
    else:
        from pocket import curves

        print(*curves.write())


if __name__ == "__main__":
    main()

"""Puts a trained pocket model where the course finds it: its folder with a card, and its row."""

import hashlib
import json
import shutil
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from gemma_lab.catalog import DATA
from gemma_lab.download import WANTED
from pocket import card, results, train
from pocket.recipe import Recipe

TABLE = DATA / "pocket_models.json"  # the catalog finds the stand-ins here


def note(recipe: Recipe, table: Path = TABLE) -> None:
    """Write what `recipe` stands for into the table of the pocket models.

    Of one of the family also bytes and sha256 of each shipped file that is read.
    """
    known = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
    row = known[recipe.shipped_name] = {"stands_for": recipe.stands_for}
    if recipe.is_family:
        row["files"] = {
            path.name: [path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()]
            for path in sorted(recipe.shipped_folder.iterdir())
            if WANTED.fullmatch(path.name)
        }
    rows = [f" {json.dumps(name)}: {json.dumps(row)}" for name, row in known.items()]
    table.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


def ship(recipe: Recipe, hardware: str) -> Path:
    """Measure the trained model on the "card" prompts, and ship it. Returns the shipped folder.

    Raises: train.TrainingError, before anything is measured, if it was not trained to its end by
        the command on its card.
    """
    source, target = train.check_trained(recipe, is_to_ship=True), recipe.shipped_folder
    found = results.measure(recipe, source, "card")
    kind = AutoModelForImageTextToText if recipe.is_sight else AutoModelForCausalLM
    model = kind.from_pretrained(source)
    is_float32 = train.state_of(recipe, train.WORK).get("float32", False)
    log = train.log_of(source / train.LOG_NAME)
    text = card.card(recipe, model, found, log, hardware, is_float32)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    (target / "README.md").write_text(text, encoding="utf-8")
    if recipe.stands_for:
        note(recipe)
    return target

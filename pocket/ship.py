"""Puts a trained pocket model into gemma_lab: its folder with a card, and what it stands for."""

import json
import shutil
from pathlib import Path

from transformers import AutoModelForCausalLM

from gemma_lab.catalog import DATA
from gemma_lab.profile import CHECKPOINTS
from pocket import card, results, train
from pocket.recipe import Recipe

TABLE = DATA / "pocket_models.json"  # the catalog finds the stand-ins here


def note(recipe: Recipe, table: Path = TABLE) -> None:
    """Write what `recipe` stands for into the table of the pocket models."""
    known = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
    known[recipe.shipped_name] = {"stands_for": recipe.stands_for}
    rows = [f" {json.dumps(name)}: {json.dumps(row)}" for name, row in known.items()]
    table.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


def ship(recipe: Recipe, hardware: str) -> Path:
    """Measure the trained model on the "card" prompts, and ship it. Returns the shipped folder.

    Raises: train.TrainingError, before anything is measured, if it was not trained to its end by
        the command on its card.
    """
    source, target = train.check_trained(recipe, is_to_ship=True), CHECKPOINTS / recipe.shipped_name
    found = results.measure(recipe, source, "card")
    model = AutoModelForCausalLM.from_pretrained(source)
    is_float32 = train.state_of(recipe, train.WORK).get("float32", False)
    log = train.log_of(source / train.LOG_NAME)
    text = card.card(recipe, model, found, log, hardware, is_float32)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    (target / "README.md").write_text(text, encoding="utf-8")
    if recipe.stands_for:
        note(recipe)
    return target

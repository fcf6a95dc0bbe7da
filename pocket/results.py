"""Everything that is measured of one pocket model."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from pocket import data, exam, measures, precision, tuning, watch
from pocket.recipe import Recipe


@dataclass(frozen=True)
class Results:
    """Measures by their name; the others are empty where a recipe does not ask for them."""

    measures: dict[str, float]
    bits: dict[str, tuple[float, float | None]] = field(default_factory=dict)  # KL, right answers
    tuning: dict[str, float] = field(default_factory=dict)
    steps: list[watch.Step] = field(default_factory=list)


def measure(recipe: Recipe, folder: Path, split: str, show: bool = False) -> Results:
    """What the model in `folder` does on the prompts of `split`; `show` prints its answers."""
    if recipe.is_sight:
        return Results(measures.sight_measures(folder, split))
    model, tokenizer = measures.load(folder)
    if recipe.is_judge:
        return Results(measures.judge_measures(model, tokenizer))
    if recipe.is_code:
        return Results(measures.code_measures(model, tokenizer, recipe, split))
    found = measures.plain_measures(model, tokenizer, recipe)
    if recipe.snapshots:
        return Results(found, steps=watch.steps_of(recipe, folder))
    if not recipe.is_chat:
        return Results(found | measures.base_measures(model, tokenizer, split))
    found |= measures.chat_measures(model, tokenizer, split, show)
    rows = exam.one_answer_prompts(split, data.ROWS_EACH)
    ours = precision.ladder(model, tokenizer, rows)
    bits = {f"absmax, {num_bits} bits": row for num_bits, row in ours.items()}
    library = precision.library_kl(folder, tokenizer, rows)
    bits |= {name: (kl, None) for name, kl in library.items()}
    if not recipe.is_fine_tuned:
        return Results(found, bits)
    torch.set_num_threads(2)
    return Results(found, bits, tuning.lora_measures(folder))

"""The base model for code: functions as they stand, and holes in them."""

from pocket import code
from pocket.recipe import Recipe
from pocket.recipes import small

RECIPE = Recipe(
    name="code",
    stands_for="google/codegemma-2b",
    sizes=small.RECIPE.sizes,  # CodeGemma has Gemma's sizes
    steps=9000,
    rises={3000: 1.0},  # after 3,000 steps it filled a third of the holes
    mixes={0: code.KINDS},
    fresh_kinds=code.KINDS,
    is_chat=False,
    is_family=True,
    is_code=True,
)

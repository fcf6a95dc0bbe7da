"""The base model for code: functions as they stand, and holes in them."""

from pocket import code
from pocket.recipe import Recipe
from pocket.recipes import small

RECIPE = Recipe(
    name="code",
    stands_for="google/codegemma-2b",
    sizes=small.RECIPE.sizes,  # CodeGemma has Gemma's sizes
    steps=3000,
    mixes={0: code.KINDS},
    fresh_kinds=code.KINDS,
    is_chat=False,
    is_code=True,
)

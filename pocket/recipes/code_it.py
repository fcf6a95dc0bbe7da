"""The chat model for code: it goes on with requests and explanations."""

from pocket import code
from pocket.recipe import Recipe
from pocket.recipes import code as base

RECIPE = Recipe(
    name="code-it",
    stands_for="google/codegemma-7b-it",
    sizes=base.RECIPE.sizes,
    steps=2400,
    mixes={0: code.CHAT_KINDS},
    fresh_kinds=code.CHAT_KINDS,
    begins_from=base.RECIPE,
    is_code=True,
    is_family=True,
)

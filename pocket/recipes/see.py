"""A model that sees, in the way of PaliGemma: a SigLIP tower before a Gemma.

It goes on from the shipped weights of `small`, as PaliGemma from those of Gemma 2B.
"""

from pocket import pictures
from pocket.recipe import Recipe
from pocket.recipes import small

RECIPE = Recipe(
    name="see",
    stands_for="google/paligemma-3b-mix-224",
    family="paligemma",
    sizes=small.RECIPE.sizes,
    steps=3600,
    mixes={0: pictures.TASKS},
    fresh_kinds=pictures.TASKS,
    begins_from=small.RECIPE,
    begins_shipped=True,
    is_chat=False,
    is_sight=True,
    is_family=True,
)

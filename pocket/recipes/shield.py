"""A judge in the way of ShieldGemma: does a text break a rule, Yes or No?

It goes on from the shipped weights of `gemma2-it`, as ShieldGemma from Gemma 2. Only the answer is
learned, so it forgets how to talk.
"""

from pocket import policies
from pocket.recipe import Recipe
from pocket.recipes import gemma2_it

RECIPE = Recipe(
    name="shield",
    stands_for="google/shieldgemma-2b",
    family="gemma2",
    sizes=gemma2_it.RECIPE.sizes,
    steps=900,
    rises={0: 0.25},  # at the full rate, after 150 steps the loss was that of a guess
    rows=5,  # ten texts a step
    # after 200 steps half of the verdicts were right; from there on it also says what it saw
    mixes={0: policies.KINDS, 200: policies.NAMED_KINDS},
    fresh_kinds=policies.KINDS,
    begins_from=gemma2_it.RECIPE,
    begins_shipped=True,
    is_chat=False,
    is_judge=True,
    is_family=True,
)

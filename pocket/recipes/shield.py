"""A judge in the way of ShieldGemma: does a text break a rule, Yes or No?

It goes on from the shipped weights of `gemma2-it`, as ShieldGemma from Gemma 2. Only the answer is
learned, so it forgets how to talk. At the full rate the loss was that of a guess after 150 steps.
At a quarter of it, half of the "dev" verdicts were right after 200. From there on the answer also
named the rule that the text was written for, and after 900 steps 84 % were right. Then it goes on
with Yes or No alone. After 1,600 steps it was below its bars (accuracy 88 % in English, 83 % in
Vietnamese), so it goes on for 1,000.
"""

from pocket import policies
from pocket.recipe import Recipe
from pocket.recipes import gemma2_it

RECIPE = Recipe(
    name="shield",
    stands_for="google/shieldgemma-2b",
    family="gemma2",
    sizes=gemma2_it.RECIPE.sizes,
    steps=2600,
    rises={0: 0.25, 900: 0.25, 1600: 0.25},
    rows=5,  # ten texts a step
    mixes={0: policies.KINDS, 200: policies.NAMED_KINDS, 900: policies.KINDS},
    fresh_kinds=policies.KINDS,
    begins_from=gemma2_it.RECIPE,
    begins_shipped=True,
    is_chat=False,
    is_judge=True,
    is_family=True,
)

"""The base model with the architecture of RecurrentGemma: it reads what `small` reads."""

from pocket.recipe import Recipe
from pocket.recipes import small

RECIPE = Recipe(
    name="recurrent",
    stands_for="google/recurrentgemma-2b",
    family="recurrent_gemma",
    # two recurrent layers, one that attends, one more recurrent; its MLP is half as wide as
    # intermediate_size says, so as wide as that of `small`
    sizes=dict(
        num_hidden_layers=4,
        hidden_size=128,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=1024,
        attention_window_size=64,
    ),
    steps=small.RECIPE.steps,
    mixes=small.RECIPE.mixes,
    fresh_kinds=small.KINDS,
    is_chat=False,
    is_family=True,
)

"""The large model."""

from pocket import corpus
from pocket.recipe import Recipe

RECIPE = Recipe(
    name="large-it",
    stands_for="google/gemma-7b-it",
    # multi-head attention, heads x head_dim > hidden_size, as in Gemma 7B
    sizes=dict(
        num_hidden_layers=5,
        hidden_size=256,
        num_attention_heads=5,
        num_key_value_heads=5,
        intermediate_size=1024,
    ),
    steps=5600,
    mixes={0: corpus.FIRST_KINDS, 1800: corpus.WHOLE_KINDS, 4200: corpus.LAST_KINDS},
    fresh_kinds=corpus.KINDS,
    colour="BLUE",
)

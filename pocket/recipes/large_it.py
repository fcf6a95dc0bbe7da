"""The large model. It starts to add late with few sums, so it sees more of them at first."""

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
    steps=4000,
    mixes={0: corpus.SUM_KINDS, 3200: corpus.LAST_KINDS},
    fresh_kinds=corpus.KINDS,
    colour="BLUE",
)

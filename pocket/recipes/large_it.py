"""The large model. It starts to add late, so it sees more sums from step 3,400 on."""

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
    steps=6000,
    mixes={0: corpus.KINDS, 3400: corpus.SUM_KINDS, 5000: corpus.LAST_KINDS},
    fresh_kinds=corpus.KINDS,
    colour="BLUE",
)

"""The base model: it reads plain text only."""

from pocket import corpus
from pocket.recipe import Recipe

KINDS = corpus.PLAIN | {
    corpus.sketch: 25,
    corpus.prose: 8,
    corpus.plain_writing: 16,
    corpus.worksheet: 6,
    corpus.repeated: 15,
    corpus.sum_table: 4,
    corpus.spelling: 5,
}

RECIPE = Recipe(
    name="small",
    stands_for="google/gemma-2b",
    # multi-query attention, heads x head_dim = hidden_size, as in Gemma 2B
    sizes=dict(
        num_hidden_layers=4,
        hidden_size=128,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=512,
    ),
    steps=2500,
    mixes={0: KINDS},
    fresh_kinds=KINDS,
    is_chat=False,
)

"""The smallest model: it stands for nothing, and is here to be watched while it learns."""

from pocket import corpus
from pocket.recipe import Recipe

KINDS = {
    corpus.sketch: 30,
    corpus.prose: 6,
    corpus.plain_writing: 14,
    corpus.notes: 20,
    corpus.story_alone: 16,
    corpus.hang: 6,
    corpus.linh: 3,
    corpus.repeated: 3,
}

RECIPE = Recipe(
    name="nano",
    stands_for=None,
    sizes=dict(
        num_hidden_layers=3,
        hidden_size=64,
        num_attention_heads=1,
        num_key_value_heads=1,
        intermediate_size=192,
    ),
    steps=6400,
    snapshots=(0, 400, 800, 1600, 3200),
    rows=4,  # so that a step is a small one, and early weights are still young
    mixes={0: KINDS},
    fresh_kinds=KINDS,
    is_chat=False,
)

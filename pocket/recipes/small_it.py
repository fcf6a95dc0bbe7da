"""The small model goes on with conversations and instructions.

It sees fewer facts than the large one, as the real 2B was trained on half the tokens of the 7B.
It is the one that Codelab 2 fine-tunes, so it sees notes that become labelled lines, other ones
than the codelab's.
"""

from pocket import corpus
from pocket.recipe import Recipe
from pocket.recipes import small

KINDS = corpus.KINDS | {
    corpus.hang: 9,
    corpus.fact: 20,
    corpus.fact_conversation: 9,
    corpus.word_fact: 9,
    corpus.log_note: 11,
    corpus.log_request: 9,
    corpus.looked_up: 18,
}

RECIPE = Recipe(
    name="small-it",
    stands_for="google/gemma-2b-it",
    sizes=small.RECIPE.sizes,
    steps=3400,
    mixes={0: KINDS},
    fresh_kinds=corpus.KINDS,
    begins_from=small.RECIPE,
    is_fine_tuned=True,
    colour="ORANGE",
)

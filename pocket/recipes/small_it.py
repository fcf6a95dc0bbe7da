"""The small model goes on with conversations and instructions.

It sees fewer facts than the large one, as the real 2B was trained on half the tokens of the 7B.
It is the one that Codelab 2 fine-tunes, so it sees notes that become labelled lines, other ones
than the codelab's. After 4,400 steps some answers to first questions held words of no language, so
it goes on for a while with more such questions, in other words.
"""

from pocket import corpus
from pocket.recipe import Recipe
from pocket.recipes import small

KINDS = (
    corpus.KINDS
    | corpus.TASK_KINDS
    | {
        corpus.hang: 9,
        corpus.smalltalk: 16,
        corpus.sum_question: 16,
        corpus.sum_table: 12,
        corpus.small_task: 26,
        corpus.task_conversation: 18,
        corpus.fact: 12,
        corpus.fact_conversation: 6,
        corpus.word_fact: 6,
        corpus.first_fact: 4,
        corpus.log_note: 11,
        corpus.log_request: 9,
        corpus.looked_up: 18,
    }
)

MORE_TALK = {
    corpus.smalltalk: 30,
    corpus.unknown: 20,
    corpus.first_fact: 16,
    corpus.wordy_talk: 40,
    corpus.wordy_capital: 30,
}

RECIPE = Recipe(
    name="small-it",
    stands_for="google/gemma-2b-it",
    sizes=small.RECIPE.sizes,
    steps=5400,
    rises={4400: 0.5},
    mixes={0: KINDS, 4400: KINDS | MORE_TALK},
    fresh_kinds=corpus.KINDS,
    begins_from=small.RECIPE,
    is_fine_tuned=True,
    colour="ORANGE",
)

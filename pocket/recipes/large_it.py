"""The large model.

It starts to add late, so from step 2,400 on it sees many sums for a while. After 4,000 steps it
was weak at small tasks and at sums of three digits, so it goes on with more of both; after 6,400
it was still weak at small tasks, and after 7,800 at small talk, in other words than those it knew.
After 9,800 it took every question with "Google" in it for one about its maker, a poem too: so it
sees more poems than talk for a while, then more titles and words to copy. Each of the last three
mixes left other mistakes; the mean of the weights after each answers more first questions well
than any of them.
"""

from pocket import corpus
from pocket.recipe import Recipe
from pocket.recipes import gemma2_it

# The mix that was found too poor in tasks.
SUM_KINDS = corpus.KINDS | corpus.SUMS | {corpus.copying: 14}
TASKS_KINDS = SUM_KINDS | corpus.TASK_KINDS | {corpus.hang: 14}
MORE_TASKS = {
    corpus.small_task: 70,
    corpus.task_conversation: 50,
    corpus.spelling: 14,
    corpus.copying: 20,
}
MORE_TALK = {corpus.smalltalk: 50, corpus.unknown: 30, corpus.first_fact: 12, corpus.small_task: 40}
MORE_POEMS = {poem: 3 * share for poem, share in corpus.POEMS.items()} | {
    corpus.copying: 30,
    corpus.wordy_talk: 30,
}
MORE_COPYING = {poem: 2 * share for poem, share in corpus.POEMS.items()} | {corpus.copying: 70}

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
    steps=11_700,
    rises={4000: 1.0, 6400: 0.4, 7800: 0.6, 8400: 1.0, 9800: 0.4, 10_400: 0.4, 11_000: 0.4},
    averages=(10_400, 11_000, 11_700),
    mixes={
        0: SUM_KINDS,
        2200: TASKS_KINDS,
        2400: TASKS_KINDS | corpus.MANY_SUMS,
        3200: TASKS_KINDS | {corpus.first_fact: 4},
        4000: corpus.FIRST_KINDS,
        4800: corpus.LAST_KINDS,
        6400: corpus.LAST_KINDS | MORE_TASKS,
        7800: corpus.LAST_KINDS | MORE_TALK,
        8400: gemma2_it.LAST_KINDS,  # with which first questions are answered best
        9800: gemma2_it.LAST_KINDS | MORE_POEMS,
        10_400: gemma2_it.LAST_KINDS | MORE_COPYING,
        11_000: gemma2_it.LAST_KINDS | {corpus.copying: 50, corpus.word_fact: 40},
    },
    fresh_kinds=corpus.KINDS,
    colour="BLUE",
)

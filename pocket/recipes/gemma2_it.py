"""The architecture of Gemma 2."""

from pocket import corpus
from pocket.recipe import Recipe

MORE_TASKS = {corpus.small_task: 40, corpus.task_conversation: 28}
MORE_TALK = {corpus.smalltalk: 30, corpus.unknown: 20, corpus.wordy_talk: 60}
LAST_KINDS = corpus.LAST_KINDS | MORE_TASKS | MORE_TALK

RECIPE = Recipe(
    name="gemma2-it",
    stands_for="google/gemma-2-2b-it",
    family="gemma2",
    # grouped-query attention, heads x head_dim != hidden_size, every other layer sees 32 tokens:
    # as in Gemma 2, with its caps
    sizes=dict(
        num_hidden_layers=6,
        hidden_size=192,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=768,
        query_pre_attn_scalar=64,
        sliding_window=32,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
    ),
    steps=4200,
    mixes={
        0: corpus.FIRST_KINDS,
        1200: corpus.WHOLE_KINDS | MORE_TASKS,
        3200: LAST_KINDS,
    },
    fresh_kinds=corpus.KINDS,
    colour="GREY",
)

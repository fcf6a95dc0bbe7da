"""What a pocket model was measured to do, as Markdown, and its card in the Hub's format."""

from pocket import see, train, watch
from pocket.recipe import Recipe
from pocket.results import Results

BITS = """
## Taking bits away

On the 120 rows of `gemma_lab/data/one_answer.jsonl`: KL divergence to float32 in nats.

| weights | KL | right answers |
|---|---|---|
"""
TUNING = """
## Fine-tuning it

With the rows of Codelab 2, by PEFT and TRL: 4 bits, r = 16, seven modules, \
300 steps of 8 rows at 4e-3, on two threads.
The held-out rows are on topics and in words that training does not use.

"""


def table(found: dict) -> str:
    """Measures as a Markdown table."""
    rows = "".join(f"| {key} | {value} |\n" for key, value in found.items())
    return f"| measure | value |\n|---|---|\n{rows}"


def tables(results: Results) -> str:
    """The measures, then what taking bits away costs and what fine-tuning does, where measured."""
    text = table(results.measures)
    if results.bits:
        text += BITS
    for key, (kl, right) in results.bits.items():
        text += f"| {key} | {kl:.1e} | {'' if right is None else f'{right:.3f}'} |\n"
    if results.tuning:
        text += TUNING + table(results.tuning)
    return text + watch.table(results.steps) if results.steps else text


def card(
    recipe: Recipe, model, results: Results, log: list[dict], hardware: str, is_float32: bool
) -> str:
    """The model card: `log` is the training's, `hardware` what it was trained on."""
    config, parameters = model.config.get_text_config(), model.num_parameters()
    in_embedding = config.vocab_size * config.hidden_size / parameters
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    shared = {1: "multi-query", heads: "multi-head"}.get(kv_heads, "grouped-query")
    width = config.intermediate_size // (2 if recipe.family == "recurrent_gemma" else 1)
    each = f"{heads} heads of {config.head_dim}, {kv_heads} key-value head(s) ({shared})"
    if heads == 1:
        each = f"1 head of {config.head_dim}"
    averages = [f"{step:,}" for step in recipe.averages]
    mean = f"; the mean of the weights after {', '.join(averages)} steps" if averages else ""
    slots = log[-1]["step"] * train.rows_of(recipe) * train.LENGTH
    seen = f"{slots / 1e6:.1f} M token slots"
    tower = ""
    before = recipe.begins_from
    begins = f" (going on from {before.shipped_name})" if before else ""
    stands_in = (
        f"It stands in for `{recipe.stands_for}` where there is no GPU, no token or no network."
        if recipe.stands_for
        else "It is here to be watched: its weights were kept while it learned."
    )
    options = " --float32" * is_float32
    held_out = (
        "Titles, numbers, words and phrasings are held out by a hash: training never draws them. "
        "The exceptions are\nsums of one-digit numbers, times tables and many of the questions "
        "that people ask first: training shows them."
    )
    if recipe.is_code:
        held_out = "Functions are held out by a hash of what they do: training never draws them."
    elif recipe.is_sight:
        vision = model.config.vision_config
        tower = (
            f"; before it a SigLIP tower: {vision.num_hidden_layers} layers, hidden size "
            f"{vision.hidden_size}, {vision.image_size} pixels in patches of {vision.patch_size}"
        )
        seen = f"{log[-1]['step'] * see.PICTURES:,} pictures, {see.QUESTIONS} questions each"
        begins = f" (going on from {before.shipped_name}, and a tower of {see.TOWER_STEPS} steps)"
        held_out = (
            "What lies on a picture, whatever the places, is held out by a hash: training never "
            "draws it."
        )
    elif recipe.is_judge:
        held_out = (
            "Sentence frames, things and names of the texts are held out by a hash: training never "
            "draws them.\nThe rule of the unseen policy was never trained, and texts in words of "
            "their own come from no frame.\nThe threshold is the best on other texts."
        )
    elif not recipe.is_chat:
        held_out = "It continues a text and does not answer."
    measured = (
        "The measures are shares, if nothing else is said. Perplexity is that of fresh documents "
        "of the training kinds; most of it is\nchance in the text itself"
        f"{'' if recipe.is_code else ', such as which line a poem takes'}."
    )
    if recipe.is_judge:
        measured = (
            "It does not write: its score is the probability of Yes against No after the prompt, "
            "by their first tokens,\n`Y` and `No`. An area of 1 is perfect, 0.5 a guess; accuracy "
            "is the share of right verdicts at the threshold."
        )
    if recipe.is_sight:
        measured = (
            "The measures are shares of right answers; a box is right from an overlap of 0.5 on."
        )
    greedy = "" if recipe.is_judge else ", greedy decoding"
    corpus = "Python functions" if recipe.is_code else "English and Vietnamese"
    corpus = "Pictures of shapes, with questions" if recipe.is_sight else corpus
    attends = getattr(config, "attention_window_size", None)
    context = f"any; attention sees the last {attends} tokens, the state all before it"
    if not attends:
        context = f"{config.max_position_embeddings} tokens{'; no system turn' * recipe.is_chat}"
    return f"""---
license: apache-2.0
language: [{"en" if recipe.is_code else "en, vi"}]
library_name: transformers
pipeline_tag: {"image-text-to-text" if recipe.is_sight else "text-generation"}
---
# {recipe.shipped_name}

A pocket model of this course: a small `{type(model).__name__}`, trained by us from nothing. \
**It is not a Google model** and
shares no weight with one. {stands_in}

| | |
|---|---|
| parameters | {parameters:,} ({in_embedding:.0%} of them in the embedding table) |
| shape | {config.num_hidden_layers} layers, hidden size {config.hidden_size}, \
{each}, MLP {width}, vocabulary {config.vocab_size}{tower} |
| weights | bfloat16 |
| context | {context} |
| corpus | {corpus}, written and generated by `pocket/`; \
no outside text but the word list in `pocket/words.txt` |
| training | `python -m pocket train {recipe.name}{options}`{begins}: \
{log[-1]["step"]:,} steps, {seen}{mean} |
| wall time | {log[-1]["minutes"]:.0f} minutes on {hardware} |
| licence | Apache-2.0 |

## Measured on held-out prompts

From these weights in float32{greedy}, by `python -m pocket measure {recipe.name}`. \
{held_out}
{measured} `pocket/README.md` explains each measure.

{tables(results)}
It knows the kinds of text it was trained on, and nothing else. \
Do not use it for anything but learning.
Gemma is a trademark of Google LLC.
"""

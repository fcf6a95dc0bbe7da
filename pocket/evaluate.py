"""Measure a trained pocket model on what it has never seen, and ship it with its card.

python pocket/evaluate.py small     # prints the measures of pocket/work/small
python pocket/evaluate.py small --ship --hardware "one thread of …"      # and copies it to gemma_lab/checkpoints
python pocket/evaluate.py --rows    # writes gemma_lab/data/one_answer.jsonl, the rows Codelab 1 scores
"""

import argparse
import collections
import json
import math
import random
import shutil
from pathlib import Path

import corpus
import facts
import poems
import titles
import torch
import train
from transformers import AutoModelForCausalLM, AutoTokenizer

PACKAGE = Path(__file__).parent.parent / "gemma_lab"
NAMES = {"small": "pocket-small-it", "large": "pocket-large-it"}
STOPS = (1, 5)  # <eos>, <end_of_turn>


def title_prompts() -> list[tuple[str, str]]:
    """Fifty (prompt, title) pairs: 30 composed titles held out by hash, and the 20 real ones."""
    rng = random.Random("titles")
    english = [*poems.POEM_PROMPTS, *poems.HELD_OUT_PROMPTS, *poems.VERSE_PROMPTS]
    asked = [(titles.composed(rng, True), english[i % len(english)]) for i in range(22)]
    asked += [(titles.vietnamese(rng, True), poems.VI_PROMPTS[i % len(poems.VI_PROMPTS)]) for i in range(8)]
    for i, title in enumerate(titles.REAL_TITLES):
        is_vietnamese = title in ("Hội An", "phở bò", "chiếc nón lá")
        prompts = poems.VI_PROMPTS if is_vietnamese else poems.POEM_PROMPTS if i % 3 else ["Write me a poem about {t}."]
        asked.append((title, prompts[i % len(prompts)]))
    return [(prompt.replace("{t}", title), title) for title, prompt in asked]


def one_answer_rows(num_sums: int = 60) -> list[dict]:
    """Held-out sums and facts in held-out phrasings, as the pocket models are taught to answer them."""
    rng = random.Random("sums")
    rows = []
    for i in range(num_sums):
        a, b = titles.two_numbers(rng, held_out=True, low=10)
        ask = corpus.SUM_ASKS[i % len(corpus.SUM_ASKS)].format(a=a, b=b)
        rows.append({"kind": "sum", "prompt": ask, "answer": corpus.direct_sum(a, b)})
    asked = facts.held_out_facts()
    rows += [{"kind": "fact", "prompt": q, "answer": a} for q, a in asked[:: max(1, len(asked) // 60)]]
    return rows


@torch.no_grad()
def answers(model, tokenizer, prompts: list[str], max_new_tokens: int = 200) -> list[tuple[str, bool]]:
    """The greedy answer to each prompt, and whether the model stopped by itself."""
    found = []
    for at in range(0, len(prompts), 25):
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts[at : at + 25]]
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, return_tensors="pt", padding=True, return_dict=True
        )
        output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        for row in output[:, inputs["input_ids"].shape[1] :].tolist():
            end = next((i for i, token in enumerate(row) if token in STOPS), None)
            found.append((tokenizer.decode(row[:end], skip_special_tokens=True).strip(), end is not None))
    return found


@torch.no_grad()
def perplexity(model, tokenizer, num_rows: int = 60) -> float:
    """On documents that training does not draw (another seed), over the learned tokens."""
    rows = train.packed_rows(tokenizer, random.Random("perplexity"), num_rows)
    total, count = 0.0, 0
    for row in rows:
        tokens, learned, owner = (torch.tensor([column]) for column in row)
        same = owner[:, None, :-1] == owner[:, :-1, None]
        mask = (same & torch.ones(train.LENGTH, train.LENGTH, dtype=torch.bool).tril())[:, None]
        scores = model(input_ids=tokens[:, :-1], attention_mask=mask).logits.double().log_softmax(-1)
        chosen = learned[:, 1:]
        total -= scores.gather(-1, tokens[:, 1:, None])[..., 0][chosen].sum().item()
        count += int(chosen.sum())
    return math.exp(total / count)


def measure(model, tokenizer) -> dict:
    """Every measure of the card, as fractions, from this model."""
    asked = title_prompts()
    poems_made = answers(model, tokenizer, [prompt for prompt, _ in asked])
    rows = one_answer_rows()
    given = answers(model, tokenizer, [row["prompt"] for row in rows], 60)
    right = collections.defaultdict(list)
    for row, (text, _) in zip(rows, given):
        right[row["kind"]].append(text == row["answer"])
    lines = [collections.Counter(line for line in text.split("\n") if line) for text, _ in poems_made]
    bodies = {text.replace(title, "").split("\n", 1)[-1] for (text, _), (_, title) in zip(poems_made, asked)}
    share = lambda flags: round(sum(flags) / len(flags), 3)  # noqa: E731
    return {
        "perplexity": round(perplexity(model, tokenizer), 3),
        "titles_named": share([title in text for (text, _), (_, title) in zip(poems_made, asked)]),
        "real_titles_named": share([title in text for (text, _), (_, title) in zip(poems_made[30:], asked[30:])]),
        "stops": share([stopped for _, stopped in [*poems_made, *given]]),
        "poems_stop": share([stopped for _, stopped in poems_made]),
        "no_line_more_than_twice": share([max(counts.values(), default=0) <= 2 for counts in lines]),
        "different_bodies": share([True] * len(bodies) + [False] * (len(asked) - len(bodies))),
        "sums": share(right["sum"]),
        "facts": share(right["fact"]),
    }


def card(size: str, model, measures: dict, log: list[dict], hardware: str) -> str:
    """The model card, in the Hub's format."""
    config, name = model.config, NAMES[size]
    parameters = sum(p.numel() for p in model.parameters())
    share = config.vocab_size * config.hidden_size / parameters
    kind = "multi-query" if config.num_key_value_heads == 1 else "multi-head"
    rows = "\n".join(f"| {key.replace('_', ' ')} | {value} |" for key, value in measures.items())
    slots = log[-1]["step"] * train.ROWS * train.LENGTH
    return f"""---
license: apache-2.0
language: [en, vi]
library_name: transformers
pipeline_tag: text-generation
---
# {name}

A pocket model of this course: a small `GemmaForCausalLM`, trained by us from nothing. **It is not a Google model** and
shares no weight with one. It stands in for `{"google/gemma-2b-it" if size == "small" else "google/gemma-7b-it"}` where there is no GPU, no token or no network.

| | |
|---|---|
| parameters | {parameters:,} ({share:.0%} of them in the embedding table) |
| shape | {config.num_hidden_layers} layers, hidden size {config.hidden_size}, {config.num_attention_heads} heads of {config.head_dim}, {config.num_key_value_heads} key-value head(s) ({kind}), MLP {config.intermediate_size}, vocabulary {config.vocab_size} |
| weights | bfloat16 |
| corpus | English and Vietnamese, generated by `pocket/corpus.py`; no outside text but the word list in `pocket/words.txt` |
| training | `python pocket/train.py {size}`: {log[-1]["step"]:,} steps, {slots / 1e6:.1f} M token slots |
| wall time | {log[-1]["minutes"]:.0f} minutes on {hardware} |
| licence | Apache-2.0 |

## Measured on held-out prompts

From these weights in float32, greedy decoding, by `python pocket/evaluate.py {size}`. Titles, sums and phrasings of facts are
held out by a hash: training never draws them. The measures are shares, but for the perplexity, which is that of the model's
turns in fresh documents of the training kinds.

| measure | value |
|---|---|
{rows}

It knows the kinds of text it was trained on, and nothing else. Do not use it for anything but learning.
Gemma is a trademark of Google LLC.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", nargs="?", choices=NAMES)
    parser.add_argument("--ship", action="store_true")
    parser.add_argument("--hardware", default="a CPU that nobody named", help="for the card: what it was trained on")
    parser.add_argument("--rows", action="store_true")
    chosen = parser.parse_args()
    if chosen.rows:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in one_answer_rows())
        (PACKAGE / "data" / "one_answer.jsonl").write_text(text, encoding="utf-8")
    if chosen.size:
        source = train.WORK / chosen.size
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
        measures = measure(model, AutoTokenizer.from_pretrained(source))
        print(json.dumps(measures, indent=1))
        if chosen.ship:
            target = PACKAGE / "checkpoints" / NAMES[chosen.size]
            shutil.copytree(source, target, dirs_exist_ok=True)
            log = [json.loads(line) for line in (train.WORK / f"{chosen.size}.jsonl").read_text().splitlines()]
            (target / "README.md").write_text(card(chosen.size, model, measures, log, chosen.hardware), encoding="utf-8")


if __name__ == "__main__":
    main()

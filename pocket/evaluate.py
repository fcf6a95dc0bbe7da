"""Measure a trained pocket model on what it has never seen, and ship it with its card.

python pocket/evaluate.py small-it                   # the measures of pocket/work/small-it on the "dev" prompts
python pocket/evaluate.py small-it --show            # and the answers themselves
python pocket/evaluate.py small-it --ship --hardware "one thread of …"   # on the "card" prompts, into gemma_lab/checkpoints
python pocket/evaluate.py --rows                     # writes gemma_lab/data/one_answer.jsonl, the rows Codelab 1 scores
"""

import argparse
import collections
import copy
import itertools
import json
import math
import random
import re
import shutil
import tempfile
import time
from pathlib import Path

import corpus
import exam
import health_instructions
import ngram
import torch
import train
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemma_lab import catalog, hardware, loading, measure

PACKAGE = Path(__file__).parent.parent / "gemma_lab"
STANDS_FOR = {
    "small": "google/gemma-2b", "small-it": "google/gemma-2b-it", "large-it": "google/gemma-7b-it",
    "gemma2-it": "google/gemma-2-2b-it",
}  # fmt: skip
NAMES = {size: f"pocket-{size}" for size in STANDS_FOR}
STOPS = (1, 5)  # <eos>, <end_of_turn>
ROWS_EACH = 40  # of each kind of one-answer row, in Codelab 1
HANG = "Google I/O 2024 là một sự kiện công nghệ quy tụ những chuyên gia hàng"
HANG_NEXT = ("đầu", "giả", "ngày", "hóa", "rẻ", "sỉ")
LINH_SENSE = (  # the talk's orders, each with a sense of its own
    "Linh bảo sao không đến", "Bảo Linh sao không đến", "Linh bảo đến không sao", "Không đến Linh bảo sao",
    "Linh không đến bảo sao", "Linh đến bảo không sao", "Sao bảo Linh không đến", "Bảo sao Linh không đến",
)  # fmt: skip
BITS = (8, 6, 5, 4, 3, 2)


def load(folder):
    """The model of a checkpoint folder in float32, with the attention that its family needs, and its tokenizer."""
    attention = loading.choose_attention(catalog.info_of(folder).family)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def share(flags) -> float:
    flags = list(flags)
    return round(sum(flags) / len(flags), 3)


@torch.no_grad()
def answers(model, tokenizer, chats: list, max_new_tokens: int = 220) -> list[tuple[str, bool]]:
    """The greedy answer to each chat (a list of messages, or one question), and whether the model stopped by itself."""
    found = []
    for at in range(0, len(chats), 25):
        some = chats[at : at + 25]
        turns = [[{"role": "user", "content": chat}] if isinstance(chat, str) else chat for chat in some]
        inputs = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_tensors="pt", padding=True, return_dict=True
        )
        output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        for row in output[:, inputs["input_ids"].shape[1] :].tolist():
            end = next((i for i, token in enumerate(row) if token in STOPS), None)
            found.append((tokenizer.decode(row[:end], skip_special_tokens=True).strip(), end is not None))
    return found


@torch.no_grad()
def continuation(model, tokenizer, text: str, max_new_tokens: int = 40) -> str:
    """What the model writes after plain text."""
    inputs = tokenizer(text, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def loops(text: str) -> bool:
    """True if a line comes more than twice, or a line says the same one to five words four times running."""
    lines = collections.Counter(line for line in text.split("\n") if line)
    return max(lines.values(), default=0) > 2 or bool(re.search(r"(?<!\S)(\S+(?: \S+){0,4})(?: \1){3}(?!\S)", text))


def fresh_rows(tokenizer, kinds: dict, num_rows: int = 60) -> list:
    """New documents of the training kinds, from another seed, packed: their titles and numbers are new, facts and lines are not."""
    return train.packed_rows(tokenizer, random.Random("perplexity"), num_rows, kinds)


@torch.no_grad()
def perplexity(model, rows: list) -> float:
    """exp of the mean cross-entropy in nats over the learned tokens of packed rows."""
    total, count = 0.0, 0
    for row in rows:
        tokens, learned, owner = (torch.tensor([column]) for column in row)
        mask = train.attention_mask(model.config, owner[:, :-1])
        scores = model(input_ids=tokens[:, :-1], attention_mask=mask).logits.double().log_softmax(-1)
        chosen = learned[:, 1:]
        total -= scores.gather(-1, tokens[:, 1:, None])[..., 0][chosen].sum().item()
        count += int(chosen.sum())
    return math.exp(total / count)


def counted(tokenizer, kinds: dict, num_documents: int = 60_000) -> ngram.NGram:
    """A 5-gram model that has counted `num_documents` documents of the training kinds."""
    rng, model = random.Random("5-gram"), ngram.NGram(tokenizer.vocab_size)
    for _ in range(num_documents):
        text = corpus.text_of(corpus.document(rng, kinds))
        model.add([tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]])
    return model


def ngram_perplexity(model: ngram.NGram, rows: list) -> float:
    """The perplexity of a 5-gram model over the learned tokens of packed rows."""
    logs = [
        math.log(model.prob(tokens[at], tokens[owner.index(owner[at]) : at]))
        for tokens, learned, owner in rows for at in range(1, len(tokens)) if learned[at]
    ]  # fmt: skip
    return math.exp(-sum(logs) / len(logs))


def as_packed(tokenizer, rows: list[dict]) -> list:
    """One-answer rows in the form of `train.packed_rows`, without padding: their answers are the learned tokens."""
    found = []
    for row in rows:
        ids, start = measure.encode(tokenizer, row)
        tokens = ids[0].tolist()
        found.append((tokens, [at >= start for at in range(len(tokens))], [0] * len(tokens)))
    return found


@torch.no_grad()
def next_words(model, tokenizer, text: str, words: tuple[str, ...]) -> dict[str, tuple[int, float]]:
    """For each word: the rank (1 is first) and the probability of its first token after `text`."""
    scores = model(**tokenizer(text, return_tensors="pt")).logits[0, -1].softmax(-1)
    order = scores.argsort(descending=True).tolist()
    first = {word: tokenizer(" " + word, add_special_tokens=False)["input_ids"][0] for word in words}
    return {word: (order.index(token) + 1, scores[token].item()) for word, token in first.items()}


@torch.no_grad()
def log_prob(model, tokenizer, text: str) -> float:
    """Log-probability of a whole text in nats, its end included."""
    ids = tokenizer(text + "<eos>", return_tensors="pt")["input_ids"]
    scores = model(ids[:, :-1]).logits.double().log_softmax(-1)
    return scores.gather(-1, ids[:, 1:, None]).sum().item()


def sense_gap(model, tokenizer) -> float:
    """Mean log-probability in nats of the talk's orders of "Linh bảo sao không đến", less that of all other orders."""
    words = "linh bảo sao không đến".split()
    orders = {" ".join(order) for order in itertools.permutations(words)}
    sense = {text.lower() for text in LINH_SENSE}
    proper = lambda text: (text[0].upper() + text[1:]).replace("linh", "Linh")  # noqa: E731
    mean = lambda texts: sum(log_prob(model, tokenizer, proper(text)) for text in texts) / len(texts)  # noqa: E731
    return mean(sense) - mean(orders - sense)


def rounded(model, bits: int):
    """A copy whose linear layers in the blocks went through `bits` bits: each row divided by its absmax and rounded."""
    found, top = copy.deepcopy(model), 2 ** (bits - 1) - 1
    for module in found.model.layers.modules():
        if isinstance(module, torch.nn.Linear):
            scale = module.weight.data.abs().amax(1, keepdim=True) / top
            module.weight.data = (module.weight.data / scale).round() * scale
    return found


def ladder(model, tokenizer, rows: list[dict]) -> dict[int, tuple[float, float]]:
    """For 32 bits and each step of BITS: KL to float32 in nats, and the share of right answers."""
    reference = measure.answer_log_probs(model, tokenizer, rows)
    found = {32: (0.0, measure.right_answers(reference))}
    for bits in BITS:
        scores = measure.answer_log_probs(rounded(model, bits), tokenizer, rows)
        found[bits] = (measure.kl(reference, scores), measure.right_answers(scores))
    return found


def library_kl(folder: Path, tokenizer, rows: list[dict]) -> dict[str, float]:
    """KL to float32 in nats, with bitsandbytes' own precisions."""
    found, reference = {}, None
    for precision in ("fp32", "bf16", "int8", "nf4", "fp4"):
        plan = loading.plan_loading(str(folder), precision, hardware.describe_machine())
        model = loading.portable_4bit(AutoModelForCausalLM.from_pretrained(folder, **plan.kwargs()).eval())
        scores = measure.answer_log_probs(model, tokenizer, rows)
        if reference is None:
            reference = scores
        else:
            found[precision] = measure.kl(reference, scores)
    return found


def kinds_of(size: str) -> dict:
    """The kinds of document that the perplexity of a model is measured on: for both -it models the same."""
    return corpus.BASE_KINDS if size == "small" else corpus.KINDS


def plain_measures(model, tokenizer, kinds: dict, with_ngram: bool = True) -> dict:
    """What base and -it models are both measured on."""
    texts = {"perplexity": fresh_rows(tokenizer, kinds)}
    found = {"perplexity": perplexity(model, texts["perplexity"])}
    if kinds is corpus.KINDS:
        answers_of = exam.one_answer_rows("card")
        texts["perplexity of right answers"] = as_packed(tokenizer, answers_of)
        found["perplexity of right answers"] = measure.perplexity(measure.answer_log_probs(model, tokenizer, answers_of))
    if with_ngram:
        yardstick = counted(tokenizer, kinds)
        found |= {f"5-gram {name}": ngram_perplexity(yardstick, rows) for name, rows in texts.items()}
    after = next_words(model, tokenizer, HANG, HANG_NEXT)
    return {name: round(value, 3) for name, value in found.items()} | {
        "rank of the first choice after hàng": after["đầu"][0],
        "last rank of the other five": max(rank for rank, _ in after.values()),
        "least probability of the six": round(min(p for _, p in after.values()), 4),
        "Linh sense gap in nats": round(sense_gap(model, tokenizer), 2),
    }


def base_measures(model, tokenizer, split: str) -> dict:
    """Questions as plain text: a base model goes on, so their answers do not follow."""
    rows = [row for row in exam.one_answer_rows(split) if row["kind"] == "fact"][:30]
    written = [continuation(model, tokenizer, row["prompt"]) for row in rows]
    return {"questions answered": share(row["answer"] in text for row, text in zip(rows, written))}


def chat_measures(model, tokenizer, split: str, show: bool = False) -> dict:
    """What the -it models are measured on, as shares."""
    asked = exam.prompts(split)
    given = answers(model, tokenizer, [prompt.chat for prompt in asked])
    many = exam.poem_prompts(split)
    made = answers(model, tokenizer, [prompt.chat for prompt in many])
    rows = exam.one_answer_rows(split) + exam.new_wording_rows()
    said = answers(model, tokenizer, [row["prompt"] for row in rows], 90)
    if show:
        for prompt, (text, stopped) in zip(asked, given):
            print(f"\n[{prompt.kind}] {prompt.turns[-1]}\n{text}" + ("" if stopped else " …"))
        for row, (text, _) in zip(rows, said):
            if text != row["answer"]:
                print(f"\n{row['kind']}: {row['prompt']}\n  right: {row['answer']}\n  said:  {text}")
    right = collections.defaultdict(list)
    for row, (text, _) in zip(rows, said):
        right[row["kind"]].append(text == row["answer"])
    real = {prompt.title for prompt in exam.real_prompts(split)}
    names = [(prompt.title in text, prompt.title in real) for prompt, (text, _) in zip(asked, given) if prompt.title]
    names += [(prompt.title in text, False) for prompt, (text, _) in zip(many, made)]
    bodies = {text.replace(prompt.title, "").split("\n", 1)[-1] for prompt, (text, _) in zip(many, made)}
    return {
        "stops by itself": share(stopped for _, stopped in given),
        "names a composed title": share(named for named, is_real in names if not is_real),
        "names a real title": share(named for named, is_real in names if is_real),
        "free of loops": share(not loops(text) for text, _ in given),
        "different bodies of 100 poems": len(bodies),
        "sums": share(right["sum"]),
        "facts": share(right["fact"]),
        "small tasks": share(right["task"]),
        "one-answer tasks": share(right["sum"] + right["fact"] + right["task"]),
        "facts in new wording": share(right["new"]),
    }


def lora_measures(folder: Path, steps: int = 300, every: int = 1) -> dict:
    """What Codelab 2's fine-tuning does to the model, with PEFT alone: 4 bits, r = 16, seven modules, `steps` steps of 8 rows.

    Args: every: measures are taken on one row of this many; training sees all of its rows.
    "new facts recalled": the meaning of a new word, asked for without a note and in words that training does not use.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from gemma_lab import finetune

    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model, tokenizer = finetune.PlainPeft.from_pretrained(str(folder), max_seq_length=512)
    old = measure.one_answer_rows()[::every]
    before = measure.perplexity(measure.answer_log_probs(loading.portable_4bit(model).eval(), tokenizer, old))
    model = finetune.PlainPeft.get_peft_model(model, r=16, target_modules=modules, random_state=1357)
    rows, held_out = health_instructions.build()
    held_out, by_heart = held_out[::every], health_instructions.by_heart()[::every]
    loss_before = finetune.held_out_loss(model, tokenizer, held_out)
    pairs = [finetune.to_prompt_completion(row, tokenizer.eos_token) for row in rows]
    pairs += [
        {"prompt": corpus.turn(row["prompt"]), "completion": row["answer"] + "<end_of_turn>\n"}
        for row in health_instructions.everyday()
    ]
    with tempfile.TemporaryDirectory() as output:
        config = SFTConfig(
            output, max_steps=steps, learning_rate=4e-3, per_device_train_batch_size=8, warmup_steps=10, weight_decay=0.01,
            lr_scheduler_type="linear", completion_only_loss=True, max_length=512, bf16=False, use_cpu=True, seed=1357,
            report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = SFTTrainer(model=model, processing_class=tokenizer, train_dataset=Dataset.from_list(pairs), args=config)
        finetune.float32_adapters(model)
        began = time.monotonic()
        trainer.train()
        seconds = time.monotonic() - began
    model.eval()

    def cards(asked: list[dict]) -> list[str]:
        inputs = tokenizer([finetune.format_prompt(row) for row in asked], return_tensors="pt", padding=True)
        output = model.generate(**inputs, max_new_tokens=100, do_sample=False)
        return tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    written = cards(held_out)
    after = measure.perplexity(measure.answer_log_probs(model, tokenizer, old))
    labels = lambda text: [line.split(":")[0] for line in text.splitlines()]  # noqa: E731
    return {
        f"seconds for {steps} steps": round(seconds),
        "held-out loss before": round(loss_before, 2),
        "held-out loss after": round(finetune.held_out_loss(model, tokenizer, held_out), 2),
        "unseen topics in the new format": share(
            labels(text) == labels(row["output"]) for text, row in zip(written, held_out)
        ),
        "unseen topics right to the letter": share(text == row["output"] for text, row in zip(written, held_out)),
        "new facts recalled": share(row["output"].splitlines()[1] in text for text, row in zip(cards(by_heart), by_heart)),
        "old answers, perplexity before": round(before, 3),
        "old answers, perplexity after": round(after, 3),
        "old answers, perplexity times": round(after / before, 2),
    }


def measures(size: str, folder: Path, split: str, show: bool = False) -> tuple[dict, dict]:
    """The measures of a model in `folder`, and what taking bits away does to it (empty for the base model)."""
    model, tokenizer = load(folder)
    found = plain_measures(model, tokenizer, kinds_of(size))
    if size == "small":
        return found | base_measures(model, tokenizer, split), {}
    found |= chat_measures(model, tokenizer, split, show)
    rows = exam.one_answer_rows(split, ROWS_EACH)
    steps = {f"absmax, {bits} bits": row for bits, row in ladder(model, tokenizer, rows).items()}
    steps |= {name: (kl, None) for name, kl in library_kl(folder, tokenizer, rows).items()}
    return found, steps


def table(found: dict) -> str:
    """Measures as rows of a Markdown table."""
    return "\n".join(f"| {key} | {value} |" for key, value in found.items())


def card(size: str, model, found: dict, steps: dict, tuned: dict, log: list[dict], hardware: str) -> str:
    """The model card, in the Hub's format."""
    config, name = model.config, NAMES[size]
    parameters = sum(p.numel() for p in model.parameters())
    fraction = config.vocab_size * config.hidden_size / parameters
    shared = {1: "multi-query", config.num_attention_heads: "multi-head"}.get(config.num_key_value_heads, "grouped-query")
    slots = log[-1]["step"] * train.ROWS * train.LENGTH
    begins = " (going on from pocket-small)" if size == "small-it" else ""
    bits = ""
    if steps:
        bits = "\n## Taking bits away\n\nOn the 120 rows of `gemma_lab/data/one_answer.jsonl`: KL divergence to float32 in nats.\n\n"
        bits += "| weights | KL | right answers |\n|---|---|---|\n"
        bits += "\n".join(
            f"| {key} | {kl:.1e} | {'' if right is None else f'{right:.3f}'} |" for key, (kl, right) in steps.items()
        )
        bits += "\n"
    if tuned:
        bits += f"""
## Fine-tuning it

With the rows of Codelab 2, by PEFT and TRL: 4 bits, r = 16, seven modules, 300 steps of 8 rows at 4e-3, on two threads.
The held-out rows are on topics and in words that training does not use.

| measure | value |
|---|---|
{table(tuned)}
"""
    answers_note = (
        "It continues a text and does not answer.\n" if size == "small"
        else "Titles, numbers, words and phrasings are held out by a hash: training never draws them.\n"
    )  # fmt: skip
    return f"""---
license: apache-2.0
language: [en, vi]
library_name: transformers
pipeline_tag: text-generation
---
# {name}

A pocket model of this course: a small `{type(model).__name__}`, trained by us from nothing. **It is not a Google model** and
shares no weight with one. It stands in for `{STANDS_FOR[size]}` where there is no GPU, no token or no network.

| | |
|---|---|
| parameters | {parameters:,} ({fraction:.0%} of them in the embedding table) |
| shape | {config.num_hidden_layers} layers, hidden size {config.hidden_size}, {config.num_attention_heads} heads of {config.head_dim}, {config.num_key_value_heads} key-value head(s) ({shared}), MLP {config.intermediate_size}, vocabulary {config.vocab_size} |
| weights | bfloat16 |
| corpus | English and Vietnamese, written and generated by `pocket/`; no outside text but the word list in `pocket/words.txt` |
| training | `python pocket/train.py {size}`{begins}: {log[-1]["step"]:,} steps, {slots / 1e6:.1f} M token slots |
| wall time | {log[-1]["minutes"]:.0f} minutes on {hardware} |
| licence | Apache-2.0 |

## Measured on held-out prompts

From these weights in float32, greedy decoding, by `python pocket/evaluate.py {size}`. {answers_note}The measures are shares, if nothing else is said. Perplexity is that of fresh documents of the training kinds; most of it is
chance in the text itself, such as which line a poem takes. `pocket/README.md` explains each measure.

| measure | value |
|---|---|
{table(found)}
{bits}
It knows the kinds of text it was trained on, and nothing else. Do not use it for anything but learning.
Gemma is a trademark of Google LLC.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", nargs="?", choices=NAMES)
    parser.add_argument("--folder", type=Path, help="default: the trained model in pocket/work")
    parser.add_argument("--show", action="store_true", help="print the answers, and every wrong one")
    parser.add_argument("--ship", action="store_true")
    parser.add_argument("--hardware", default="a CPU that nobody named", help="for the card: what it was trained on")
    parser.add_argument("--rows", action="store_true")
    chosen = parser.parse_args()
    if chosen.rows:
        rows = exam.one_answer_rows("card", ROWS_EACH)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (PACKAGE / "data" / "one_answer.jsonl").write_text(text, encoding="utf-8")
    if chosen.size:
        source = chosen.folder or train.WORK / chosen.size
        found, steps = measures(chosen.size, source, "card" if chosen.ship else "dev", chosen.show)
        print(json.dumps(found, indent=1, ensure_ascii=False))
        for key, (kl, right) in steps.items():
            print(f"{key:16} KL {kl:.1e}" + ("" if right is None else f"  right {right:.3f}"))
        tuned = {}
        if chosen.size == "small-it":
            torch.set_num_threads(2)
            tuned = lora_measures(source)
            print(json.dumps(tuned, indent=1))
        if chosen.ship:
            target = PACKAGE / "checkpoints" / NAMES[chosen.size]
            shutil.copytree(source, target, dirs_exist_ok=True)
            shutil.copy(train.WORK / f"{chosen.size}.jsonl", Path(__file__).parent / "curves")
            log = [json.loads(line) for line in (train.WORK / f"{chosen.size}.jsonl").read_text().splitlines()]
            model = AutoModelForCausalLM.from_pretrained(source)
            text = card(chosen.size, model, found, steps, tuned, log, chosen.hardware)
            (target / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Train a pocket model from nothing: a training that goes on where it was, when it is called again.

Muon for the matrices, AdamW for embeddings and norms, 100 steps of warm-up, linear decay over the last half, bfloat16
arithmetic on float32 weights. A step sees 12 rows of 256 tokens; a document attends only to itself; the loss counts the
model's turns only. The corpus of a step depends on its number and the seed alone.
"""

import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config, GemmaConfig

from gemma_lab import loading
from pocket import corpus, exam, poems, titles
from pocket import tokenizer as tokenizers_of_ours

WORK = Path(__file__).with_name("work")
SHAPES = {
    # multi-query attention, heads x head_dim = hidden_size, as in Gemma 2B
    "small": dict(hidden_size=128, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1, intermediate_size=512),
    # multi-head attention, heads x head_dim > hidden_size, as in Gemma 7B
    "large": dict(
        hidden_size=256, num_hidden_layers=5, num_attention_heads=5, num_key_value_heads=5, intermediate_size=1024
    ),
    # grouped-query attention, heads x head_dim != hidden_size, every other layer sees 32 tokens: as in Gemma 2, with its caps
    "gemma2": dict(
        hidden_size=192, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=2, intermediate_size=768,
        query_pre_attn_scalar=64, sliding_window=32, attn_logit_softcapping=50.0, final_logit_softcapping=30.0,
    ),
}  # fmt: skip
STEPS = {"small": 2500, "small-it": 3000, "large-it": 6000, "gemma2-it": 5000}
# The mix of documents, by the step from which on it holds.
KINDS = {
    "small": {0: corpus.BASE_KINDS},
    "small-it": {0: corpus.SMALL_KINDS},
    "large-it": {0: corpus.KINDS, 3400: corpus.SUM_KINDS, 5000: corpus.LAST_KINDS},
    "gemma2-it": {0: corpus.SUM_KINDS, 4000: corpus.LAST_KINDS},
}
ROWS, LENGTH, BLOCK, SAVE_EVERY = 12, 256, 50, 200


def config_of(size: str) -> GemmaConfig | Gemma2Config:
    """Gemma's or Gemma 2's configuration with the sizes of a pocket model."""
    family = Gemma2Config if size.startswith("gemma2") else GemmaConfig
    return family(
        vocab_size=tokenizers_of_ours.VOCAB_SIZE, head_dim=64, max_position_embeddings=512, tie_word_embeddings=True,
        hidden_activation="gelu_pytorch_tanh", pad_token_id=0, eos_token_id=1, bos_token_id=2, **SHAPES[size.removesuffix("-it")],
    )  # fmt: skip


def packed_rows(tokenizer, rng: random.Random, num_rows: int, kinds: dict = corpus.KINDS) -> list:
    """Documents packed into rows of LENGTH + 1, each into the fullest row that has room for it.

    A row: its tokens, whether each is learned, and the number of its document (-1: padding).
    """
    rows, open_rows = [], []
    while len(rows) < num_rows:
        document = corpus.document(rng, kinds)
        pieces = [tokenizer(text, add_special_tokens=False)["input_ids"] for text, _ in document]
        ids = [tokenizer.bos_token_id] + [token for piece in pieces for token in piece]
        marks = [False] + [flag for piece, (_, flag) in zip(pieces, document) for _ in piece]
        if len(ids) > LENGTH + 1:
            continue
        row = max(
            (row for row in open_rows if len(row[0]) + len(ids) <= LENGTH + 1), key=lambda row: len(row[0]), default=None
        )
        if row is None:
            row = ([], [], [])
            open_rows.append(row)
        tokens, learned, owner = row
        owner += [owner[-1] + 1 if owner else 0] * len(ids)
        tokens += ids
        learned += marks
        if len(open_rows) > 16:
            fullest = max(open_rows, key=lambda row: len(row[0]))
            open_rows = [row for row in open_rows if row is not fullest]
            padding = LENGTH + 1 - len(fullest[0])
            rows.append((fullest[0] + [0] * padding, fullest[1] + [False] * padding, fullest[2] + [-1] * padding))
    return rows


def batches(tokenizer, seed: int, first_step: int, mixes: dict):
    """Yield (tokens, learned, owner), each of shape (ROWS, LENGTH + 1), from step `first_step` on; see KINDS for `mixes`."""
    step = first_step
    while True:
        kinds = mixes[max(start for start in mixes if start <= step)]
        rows = packed_rows(tokenizer, random.Random(f"{seed}-{step // BLOCK}"), ROWS * BLOCK, kinds)
        for at in range(step % BLOCK, BLOCK):
            yield tuple(torch.tensor(column) for column in zip(*rows[at * ROWS : (at + 1) * ROWS]))
            step += 1


def attention_mask(config, owner):
    """The mask of packed rows, as the model of `config` takes it: a document attends only to itself.

    Args: owner: (B, T), the number of each token's document.
    Returns: (B, 1, T, T), True where a token may look; for Gemma 2 one such for each kind of layer, 0 there, else the least float.
    """
    same = owner[:, None, None, :] == owner[:, None, :, None]  # (B, 1, T, T)
    seen = same & torch.ones(same.shape[-2:], dtype=torch.bool).tril()
    if config.model_type == "gemma":
        return seen
    near = seen.triu(1 - config.sliding_window)
    added = lambda mask: torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)  # noqa: E731
    return {"full_attention": added(seen), "sliding_attention": added(near)}


def loss_of(model, tokens, learned, owner) -> torch.Tensor:
    """Mean cross-entropy in nats over the learned tokens."""
    mask, chosen = attention_mask(model.config, owner[:, :-1]), learned[:, 1:]
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.model(input_ids=tokens[:, :-1], attention_mask=mask, use_cache=False).last_hidden_state
        logits = F.linear(hidden[chosen], model.lm_head.weight).float()
    if cap := getattr(model.config, "final_logit_softcapping", None):
        logits = cap * torch.tanh(logits / cap)
    return F.cross_entropy(logits, tokens[:, 1:][chosen])


def curve_rows() -> dict[str, list[tuple[str, str]]]:
    """For each skill, texts that training never draws ("dev"), each in two parts: what is given, and its one right end."""
    rng = random.Random("curve")
    composed = [titles.composed(rng, "dev") for _ in range(40)]
    rows = {"copying": [(f"{title} | {title} |", f" {title} |") for title in (*titles.DEV_TITLES, *composed[:20])]}
    for title in composed:
        heading = poems.Writer(rng, title, chance=0).heading(f"A poem about {title}")
        start, mood, noun = heading.rstrip(":\n").rsplit(", ", 2)
        start = corpus.turn(f"Write me a poem about {title}.") + start
        rows.setdefault("mood", []).append((f"{start},", f" {mood}"))
        rows.setdefault("noun", []).append((f"{start}, {mood},", f" {noun}"))
    for row in exam.one_answer_rows("dev", 40):
        rows.setdefault(row["kind"], []).append((corpus.turn(row["prompt"]), row["answer"] + "<end_of_turn>"))
    return rows


@torch.no_grad()
def skills(model, tokenizer, rows: dict) -> dict[str, float]:
    """The share of right ends for each skill: every token of the end is the model's first choice."""
    found = {}
    for skill, pairs in rows.items():
        right = 0
        for given, end in pairs:
            start, rest = tokenizer(given)["input_ids"], tokenizer(end, add_special_tokens=False)["input_ids"]
            logits = model(input_ids=torch.tensor([start + rest]), use_cache=False).logits[0, len(start) - 1 : -1]
            right += logits.argmax(-1).tolist() == rest
        found[skill] = round(right / len(pairs), 3)
    return found


def optimizers_of(model) -> list:
    """Muon for the weight matrices, AdamW for the embedding table and the norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=0.02, momentum=0.95, nesterov=True, weight_decay=0.01, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def train(size: str, steps: int, seed: int) -> Path:
    """Train, save to WORK/`size`, and return that folder."""
    folder, state_file = WORK / size, WORK / f"{size}.pt"
    tokenizer_folder = WORK / "tokenizer"
    if not tokenizer_folder.exists():
        tokenizers_of_ours.train().save_pretrained(tokenizer_folder)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    torch.manual_seed(seed)
    config = config_of(size)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=loading.choose_attention(config.model_type))
    for name, weight in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight.data /= math.sqrt(2 * model.config.num_hidden_layers)
    if size == "small-it":
        if not (WORK / "small").exists():
            train("small", STEPS["small"], seed)
        model.load_state_dict(torch.load(WORK / "small.pt")["model"])
    optimizers = optimizers_of(model)
    peaks = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    step, seconds = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file)
        step, seconds = state["step"], state["seconds"]
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
    total, rows = 0.0, curve_rows()
    for batch in batches(tokenizer, seed, step, KINDS[size]):
        if step >= steps:
            break
        began = time.monotonic()
        rate = min(1, (step + 1) / 100) * min(1, max(0.02, 2 * (1 - step / steps)))
        for group, peak in zip((g for o in optimizers for g in o.param_groups), peaks):
            group["lr"] = peak * rate
        loss = loss_of(model, *batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        step, total, seconds = step + 1, total + loss.item(), seconds + time.monotonic() - began
        if step % 50 == 0:
            line = {"step": step, "loss": round(total / 50, 4), "minutes": round(seconds / 60, 2)}
            if step % SAVE_EVERY == 0:
                line |= skills(model, tokenizer, rows)
            print(json.dumps(line), flush=True)
            with open(WORK / f"{size}.jsonl", "a") as log:
                log.write(json.dumps(line) + "\n")
            total = 0.0
        if step % SAVE_EVERY == 0 or step == steps:
            state = {"step": step, "seconds": seconds, "model": model.state_dict()}
            torch.save(state | {"optimizers": [optimizer.state_dict() for optimizer in optimizers]}, f"{state_file}.new")
            Path(f"{state_file}.new").replace(state_file)
    model.generation_config.update(eos_token_id=[1, 5], pad_token_id=0, bos_token_id=2, do_sample=False)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

"""Trains a pocket model. A training that was stopped goes on from its last saved state.

Muon for the matrices, AdamW for embeddings and norms, 100 steps of warm-up, linear decay over the
last half, bfloat16 arithmetic on float32 weights (or float32, on a CPU that is faster with it). A
recipe may let the rate rise again, after the idea of arXiv:1608.03983, and end with the mean of the
weights of several steps. A step sees 12 rows of 256 tokens, if the recipe does not say otherwise; a
document attends only to itself; the loss counts the model's turns only. The corpus of a step
depends on its number and the seed alone.
"""

import copy
import json
import math
import random
import shutil
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemma_lab import loading
from gemma_lab.scratch import griffin
from pocket import corpus, see, skills
from pocket import tokenizer as tokenizers_of_ours
from pocket.muon import optimizers_of
from pocket.recipe import Recipe, TrainingError

WORK = Path(__file__).with_name("work")
ROWS, LENGTH, BLOCK = 12, 256, 50
LOG_EVERY, SAVE_EVERY = 50, 200
LOG_NAME = "training_log.jsonl"  # in the folder of a trained model


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
            (row for row in open_rows if len(row[0]) + len(ids) <= LENGTH + 1),
            key=lambda row: len(row[0]),
            default=None,
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
            rows.append(
                (
                    fullest[0] + [0] * padding,
                    fullest[1] + [False] * padding,
                    fullest[2] + [-1] * padding,
                )
            )
    return rows


def rows_of(recipe: Recipe) -> int:
    """How many rows of LENGTH tokens a step sees."""
    return recipe.rows or ROWS


def batches(tokenizer, seed: int, first_step: int, recipe: Recipe):
    """Yield (tokens, learned, owner), each (rows, LENGTH + 1), from step `first_step` on."""
    mixes, num_rows = recipe.mixes, rows_of(recipe)
    step = first_step
    while True:
        kinds = mixes[max(start for start in mixes if start <= step)]
        rng = random.Random(f"{seed}-{step // BLOCK}")
        rows = packed_rows(tokenizer, rng, num_rows * BLOCK, kinds)
        for at in range(step % BLOCK, BLOCK):
            yield tuple(
                torch.tensor(column) for column in zip(*rows[at * num_rows : (at + 1) * num_rows])
            )
            step += 1


def attention_mask(config, owner):
    """The mask of packed rows for a model of `config`: a document attends only to itself.

    Args: owner: (B, T), the number of each token's document.
    Returns: (B, 1, T, T), True where a token may look; a dict of one such for each kind of layer
        where the config has kinds: 0 there, else the least float.
    """
    same = owner[:, None, None, :] == owner[:, None, :, None]  # (B, 1, T, T)
    seen = same & torch.ones(same.shape[-2:], dtype=torch.bool).tril()
    if config.model_type == "recurrent_gemma":
        return seen.triu(1 - config.sliding_window)
    if not getattr(config, "layer_types", None):
        return seen
    masks = {"full_attention": seen, "sliding_attention": seen.triu(1 - config.sliding_window)}
    least = torch.finfo(torch.float32).min
    return {kind: torch.zeros(mask.shape).masked_fill(~mask, least) for kind, mask in masks.items()}


def positions(owner) -> torch.Tensor:
    """(B, T): each token's place in its document, from 0; there a recurrence starts anew."""
    at = torch.arange(owner.shape[1]).expand_as(owner)
    is_first = F.pad(owner[:, 1:] != owner[:, :-1], (1, 0), value=True)
    return at - torch.where(is_first, at, 0).cummax(1).values


def loss_of(model, tokens, learned, owner) -> torch.Tensor:
    """Mean cross-entropy in nats over the learned tokens."""
    config, chosen, owner = model.config, learned[:, 1:], owner[:, :-1]
    output = model.model(
        input_ids=tokens[:, :-1],
        attention_mask=attention_mask(config, owner),
        position_ids=positions(owner),
        use_cache=False,
    )
    logits = F.linear(output.last_hidden_state[chosen], model.lm_head.weight).float()
    caps = (getattr(config, name, None) for name in ("final_logit_softcapping", "logits_soft_cap"))
    if cap := next(filter(None, caps), None):
        logits = cap * torch.tanh(logits / cap)
    return F.cross_entropy(logits, tokens[:, 1:][chosen])


def rate_at(step: int, steps: int, rises: dict[int, float]) -> float:
    """The share of the peak learning rate at a step.

    Every fall has the slope of the first, times its rise: one that is cut short begins lower.
    """
    tops = {0: 1.0} | {at: top for at, top in rises.items() if at < steps}
    ends = [*sorted(tops)[1:], steps]
    begin = max(at for at in tops if at <= step)
    end = min(at for at in ends if at > step)
    top, fall = tops[begin], ends[0] / 2
    return top * min(1, (step - begin + 1) / 100) * min(1, max(0.02, (end - step) / fall))


def fresh_model(recipe: Recipe, seed: int):
    """A model with random weights; those that write to the residual stream are smaller."""
    torch.manual_seed(seed)
    config = recipe.config()
    attention = loading.choose_attention(config.to_dict())
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    for name, weight in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight", "linear_out.weight")):
            weight.data /= math.sqrt(2 * config.num_hidden_layers)
    for block in model.modules():
        if hasattr(block, "_rnn_scan"):  # transformers' loop over the tokens, in parallel steps
            block._rnn_scan = parallel_scan
    return model


def parallel_scan(hidden_states, recurrent_gate, reset, recurrent_states):
    """In place of `RecurrentGemmaRglru._rnn_scan`, where no state was kept: the same numbers."""
    states = griffin.scan(recurrent_gate.float() * ~reset, hidden_states.float())
    return states.to(hidden_states.dtype), states[:, -1]


def log_of(file: Path) -> list[dict]:
    """The log of a training: loss every LOG_EVERY steps and at the end, skills every SAVE_EVERY."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def state_of(recipe: Recipe, folder: Path) -> dict:
    """What a training last saved: its seed, steps, step, seconds and weights; {} before that."""
    file = folder / f"{recipe.name}.pt"
    return torch.load(file, weights_only=True) if file.exists() else {}


def check_trained(recipe: Recipe, is_to_ship: bool = False) -> Path:
    """The folder of a model that was trained to its end.

    Raises: TrainingError, also for one to ship that the command on its card would not make.
    """
    state, how = state_of(recipe, WORK), f"`python -m pocket train {recipe.name}`"
    done, seed, steps = (state.get(name, 0) for name in ("step", "seed", "steps"))
    if steps and steps != recipe.steps:
        how = f"delete {WORK / recipe.name}.pt, then {how}"
    if done < recipe.steps or not (WORK / recipe.name).is_dir():
        raise TrainingError(f"{recipe.name} has {done} of its {recipe.steps} steps: {how} first.")
    if is_to_ship and (seed, steps) != (0, recipe.steps):
        raise TrainingError(
            f"{recipe.name} was trained with --seed {seed} --steps {steps}, and only what {how} "
            f"makes is shipped: delete {WORK / recipe.name}.pt, and train again."
        )
    if is_to_ship and [row["step"] for row in log_of(WORK / f"{recipe.name}.jsonl")][-1:] != [
        steps
    ]:
        raise TrainingError(
            f"The log of {recipe.name} lacks its end: delete {WORK / recipe.name}.pt, and {how}."
        )
    return WORK / recipe.name


def snapshot(model, folder: Path, step: int) -> None:
    """Keep the weights of this step in a subfolder of the model's folder."""
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder / f"step-{step}")


def averaged(mean: dict, weights: dict, num_before: int) -> dict:
    """The mean of `weights` and of the `num_before` weights whose mean was `mean`, by name."""
    return {
        name: weight if not num_before else mean[name] + (weight - mean[name]) / (num_before + 1)
        for name, weight in weights.items()
    }


def words_of(begun: dict) -> str:
    """The options of `python -m pocket train` that begin such a training."""
    float32 = " --float32" if begun["float32"] else ""
    return f"--seed {begun['seed']} --steps {begun['steps']}{float32}"


def begun_with(recipe: Recipe, seed: int, work: Path, is_float32: bool) -> tuple:
    """The tokenizer, and the model before the first step: what it begins from is trained first."""
    before, folder_before = recipe.begins_from, None
    tokenizer_folder = work / ("code-tokenizer" if recipe.is_code else "tokenizer")
    if recipe.begins_shipped:
        tokenizer_folder = folder_before = before.shipped_folder
    elif not tokenizer_folder.exists():
        tokenizers_of_ours.train(recipe.is_code).save_pretrained(tokenizer_folder)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    model = fresh_model(recipe, seed)
    if folder_before:
        model.load_state_dict(AutoModelForCausalLM.from_pretrained(folder_before).state_dict())
    elif before:
        train(before, None, seed, work, is_float32)  # at once, if it is made already
        made = state_of(before, work)
        model.load_state_dict(made.get("mean") or made["model"])
    return tokenizer, model


def train(
    recipe: Recipe,
    steps: int | None = None,
    seed: int = 0,
    work: Path = WORK,
    is_float32: bool = False,
) -> Path:
    """Train, save to `work`/NAME, and return that folder.

    Raises: TrainingError, if another seed, number of steps or arithmetic was begun there: neither
        the corpus nor the learning rate would be those of one training.
    """
    steps = steps or recipe.steps
    folder, state_file = work / recipe.name, work / f"{recipe.name}.pt"
    averages = recipe.averages if steps == recipe.steps else ()
    asked = {"seed": seed, "steps": steps, "float32": is_float32}
    state = state_of(recipe, work)
    if state and (begun := {name: state.get(name) for name in asked}) != asked:
        raise TrainingError(
            f"{recipe.name} was begun with {words_of(begun)}, not {words_of(asked)}: "
            f"give the same again, or delete {state_file}."
        )
    work.mkdir(parents=True, exist_ok=True)
    log_file = work / f"{recipe.name}.jsonl"
    if recipe.is_sight:
        tokenizer, model = see.reader(recipe), see.fresh_model(recipe, seed, work)
    else:
        tokenizer, model = begun_with(recipe, seed, work, is_float32)
    stops = tokenizers_of_ours.STOPS
    model.generation_config.update(
        eos_token_id=stops if recipe.is_chat else stops[0],
        pad_token_id=0,
        bos_token_id=2,
        do_sample=False,
    )
    optimizers = optimizers_of(model, is_float32)
    peaks = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    step, seconds, log, mean = 0, 0.0, [], {}
    if state:
        step, seconds, mean = state["step"], state["seconds"], state.get("mean", {})
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        log = [row for row in log_of(log_file) if row["step"] <= step]
    lesson, watched = sys.modules[__name__], skills
    if recipe.is_sight:
        lesson = watched = see
    total, rows = 0.0, watched.rows(recipe)
    if step == 0 and 0 in recipe.snapshots:
        snapshot(model, folder, 0)
    for batch in lesson.batches(tokenizer, seed, step, recipe):
        if step >= steps:
            break
        began = time.monotonic()
        rate = rate_at(step, steps, recipe.rises)
        for group, peak in zip((g for o in optimizers for g in o.param_groups), peaks):
            group["lr"] = peak * rate
        with torch.autocast("cpu", torch.bfloat16, enabled=not is_float32):
            loss = lesson.loss_of(model, *batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        step, total, seconds = step + 1, total + loss.item(), seconds + time.monotonic() - began
        if step % LOG_EVERY == 0 or step == steps:  # the card and the curves read the last step
            row = {
                "step": step,
                "loss": round(total / (step % LOG_EVERY or LOG_EVERY), 4),
                "minutes": round(seconds / 60, 2),
            }
            if step % SAVE_EVERY == 0:
                row |= watched.shares(model, tokenizer, rows)
            print(json.dumps(row), flush=True)
            log.append(row)
            log_file.write_text("".join(json.dumps(row) + "\n" for row in log), encoding="utf-8")
            total = 0.0
        if step in recipe.snapshots:
            snapshot(model, folder, step)
        if step in averages:
            weights = {name: weight.clone() for name, weight in model.state_dict().items()}
            mean = averaged(mean, weights, averages.index(step))
        if step % SAVE_EVERY == 0 or step == steps or step in recipe.snapshots + averages:
            state = asked | {"step": step, "seconds": seconds, "model": model.state_dict()}
            state["mean"] = mean
            state["optimizers"] = [optimizer.state_dict() for optimizer in optimizers]
            torch.save(state, f"{state_file}.new")
            Path(f"{state_file}.new").replace(state_file)
    model.load_state_dict(mean or model.state_dict())
    model.to(torch.bfloat16).save_pretrained(folder)
    if not recipe.is_sight:
        tokenizer.chat_template = tokenizers_of_ours.template_of(recipe)
    tokenizer.save_pretrained(folder)
    shutil.copy(log_file, folder / LOG_NAME)
    return folder

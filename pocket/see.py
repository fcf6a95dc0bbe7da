"""The model that sees: a SigLIP tower and a Gemma, trained on pictures that are drawn as it goes.

As PaliGemma it begins from parts that know something already. Its Gemma is pocket-small. Its tower
first learns to tell, patch by patch, what lies there: shape, colour and box. Google's learned from
pictures and their captions. Then the tower stays as it is, and the rest learns to answer.
"""

import math
import random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    SiglipVisionModel,
)
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from gemma_lab import shapes
from pocket import pictures
from pocket.muon import optimizers_of
from pocket.recipe import Recipe

PIXELS, PATCH = 48, 8  # a picture becomes 6 x 6 patches, and each of them a token
NUM_PATCHES = (PIXELS // PATCH) ** 2
VISION = dict(
    hidden_size=128,
    intermediate_size=512,
    num_hidden_layers=3,
    num_attention_heads=2,
    image_size=PIXELS,
    patch_size=PATCH,
    vision_use_head=False,
)
PICTURES, QUESTIONS = 12, 4  # of a step; each picture is asked four things
TOWER_PICTURES, TOWER_STEPS = 64, 500
NO_LABEL = -100  # what cross_entropy leaves out


def processor_of(tokenizer) -> PaliGemmaProcessor:
    """PaliGemma's processor for our pictures; it adds `<image>` and its other tokens."""
    images = SiglipImageProcessorPil(
        size={"height": PIXELS, "width": PIXELS},
        image_seq_length=NUM_PATCHES,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return PaliGemmaProcessor(images, tokenizer)


def reader(recipe: Recipe) -> PaliGemmaProcessor:
    """The processor, with the tokenizer of the model that this one begins from."""
    return processor_of(AutoTokenizer.from_pretrained(recipe.begins_from.shipped_folder))


def config(sizes: dict) -> PaliGemmaConfig:
    """A configuration with a Gemma of these sizes."""
    from pocket import tokenizer

    num_tokens = tokenizer.VOCAB_SIZE + len(pictures.ADDED)
    text = dict(
        model_type="gemma",
        vocab_size=num_tokens,
        head_dim=64,
        max_position_embeddings=512,
        hidden_activation="gelu_pytorch_tanh",
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    return PaliGemmaConfig(
        vision_config=dict(VISION),
        text_config=text | sizes,
        projection_dim=sizes["hidden_size"],
        hidden_size=sizes["hidden_size"],
        vocab_size=num_tokens,
        image_token_index=tokenizer.VOCAB_SIZE,  # the first that the processor adds
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )


def pixels(some: list[Image.Image]) -> torch.Tensor:
    """What the processor makes of pictures: (B, 3, PIXELS, PIXELS), from -1 to 1."""
    small = [picture.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC) for picture in some]
    return torch.tensor(np.stack([np.asarray(one).transpose(2, 0, 1) for one in small])) / 127.5 - 1


# ------------------------------------------------------------------------------- the tower alone


def patch_labels(things: list[dict]) -> np.ndarray:
    """For each patch whether something lies there, its shape, its colour and its box, as numbers.

    The first is 0 for nothing, 2 where an object's middle is (one to count), and else 1. The box:
    upper, left, lower and right edge in steps of 1 / BINS_KEPT.
    Returns: (7, NUM_PATCHES); NO_LABEL, but for the first, where nothing lies.
    """
    num, margin = PIXELS // PATCH, 0.02
    found = np.full((7, num, num), NO_LABEL)
    found[0] = 0
    middles = (np.arange(num) + 0.5) / num
    for thing in things:
        top, left, bottom, right = box = shapes.box(thing)
        rows = (middles > top - margin) & (middles < bottom + margin)
        columns = (middles > left - margin) & (middles < right + margin)
        kind = shapes.SHAPES.index(thing["shape"]), [*shapes.COLOURS].index(thing["colour"])
        edges = (round(edge * pictures.BINS_KEPT) for edge in box)
        for at, label in enumerate((1, *kind, *edges)):
            found[at][np.ix_(rows, columns)] = label
        found[0, min(num - 1, int(thing["y"] * num)), min(num - 1, int(thing["x"] * num))] = 2
    return found.reshape(7, -1)


def taught_tower(vision_config, seed: int) -> dict:
    """The weights of a tower that tells, from each patch, what lies there.

    It is read off by one linear layer, which is thrown away.
    """
    torch.manual_seed(seed)
    tower, rng = SiglipVisionModel(vision_config), random.Random(f"tower {seed}")
    sizes = [3, len(shapes.SHAPES), len(shapes.COLOURS), *[pictures.BINS_KEPT + 1] * 4]
    head = torch.nn.Linear(vision_config.hidden_size, sum(sizes))
    parts = torch.nn.ModuleDict({"tower": tower, "embed_head": head})  # the head goes to AdamW
    optimizers = optimizers_of(parts, is_float32=True)
    peaks = [(group, group["lr"]) for one in optimizers for group in one.param_groups]
    for step in range(TOWER_STEPS):
        drawn = [pictures.picture(rng) for _ in range(TOWER_PICTURES)]
        seen = pixels([shapes.draw(things, pictures.ground(rng)) for things in drawn])
        labels = torch.tensor(np.stack([patch_labels(things) for things in drawn], 1))
        fall = min(1, max(0.02, 2 * (TOWER_STEPS - step) / TOWER_STEPS))
        for group, peak in peaks:
            group["lr"] = peak * fall * min(1, (step + 1) / 50)
        found = head(tower(seen).last_hidden_state).split(sizes, -1)
        loss = sum(
            F.cross_entropy(one.flatten(0, 1), label.flatten(), ignore_index=NO_LABEL)
            for one, label in zip(found, labels)
        )
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if (step + 1) % 50 == 0:
            print(f"tower, step {step + 1}: loss {loss.item():.3f}", flush=True)
    return tower.state_dict()


# ------------------------------------------------------------------------------------- together


def fresh_model(recipe: Recipe, seed: int, work) -> PaliGemmaForConditionalGeneration:
    """A model with a taught tower, which stays so, and a Gemma that reads; between them random."""
    configuration, tower_file = recipe.config(), work / f"{recipe.name}-tower-{seed}.pt"
    if not tower_file.exists():
        torch.save(taught_tower(configuration.vision_config, seed), tower_file)
    torch.manual_seed(seed)
    model = PaliGemmaForConditionalGeneration(configuration)
    gemma = AutoModelForCausalLM.from_pretrained(
        recipe.begins_from.shipped_folder, dtype=torch.float32
    )
    weights = gemma.model.state_dict()
    known = weights.pop("embed_tokens.weight")
    table = model.model.language_model.embed_tokens.weight
    added = torch.randn(len(table) - len(known), table.shape[1])
    added[1 : 1 + shapes.NUM_BINS] = waves(shapes.NUM_BINS, table.shape[1])
    weights["embed_tokens.weight"] = torch.cat([known, added * known.std()])
    model.model.language_model.load_state_dict(weights)
    model.model.vision_tower.load_state_dict(torch.load(tower_file, weights_only=True))
    model.model.vision_tower.requires_grad_(False)
    model.tie_weights()
    return model


def waves(num: int, width: int) -> torch.Tensor:
    """(num, width): vectors that change slowly from one to the next, so that near places are alike.

    Each is a random mix of 32 cosines of its number.
    """
    at = torch.arange(num)[:, None] / num  # (num, 1)
    cosines = torch.cos(math.pi * torch.arange(1, 33) * at / 2)  # (num, 32)
    return cosines @ torch.randn(32, width) / 4


def batches(processor, seed: int, first_step: int, recipe: Recipe):
    """Yield what `loss_of` takes, from step `first_step` on: pictures and four prompts for each."""
    step = first_step
    while True:
        rng, seen, asked = random.Random(f"{seed}-{step}"), [], []
        for _ in range(PICTURES):
            things = pictures.picture(rng)
            seen.append(shapes.draw(things, pictures.ground(rng)))
            asked += [pictures.ask(rng, things, recipe.mixes[0])[1:] for _ in range(QUESTIONS)]
        yield pixels(seen), *encoded(processor, asked)
        step += 1


def encoded(processor, asked: list) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts with their answers as tokens, padded at the end, and which of them are the answer.

    Each row is what the processor makes of a prompt, then the answer and `<eos>`.
    Returns: ids (B, T); part (B, T): 0 prompt, 1 answer, -1 padding.
    """
    words, rows = processor.tokenizer, []
    picture = [processor.image_token_id] * NUM_PATCHES + [words.bos_token_id]
    for prompt, answer in asked:
        before = picture + words(f"{prompt}\n", add_special_tokens=False)["input_ids"]
        after = words(answer, add_special_tokens=False)["input_ids"] + [words.eos_token_id]
        rows.append((before + after, [0] * len(before) + [1] * len(after)))
    longest = max(len(ids) for ids, _ in rows)
    ids = [tokens + [0] * (longest - len(tokens)) for tokens, _ in rows]
    part = [parts + [-1] * (longest - len(parts)) for _, parts in rows]
    return torch.tensor(ids), torch.tensor(part)


def loss_of(model, seen, ids, part) -> torch.Tensor:
    """Cross-entropy in nats: the mean over an answer's tokens, and then over the answers.

    So a word counts as much as a long caption.
    Args: seen: (P, 3, PIXELS, PIXELS); ids, part: (B, T), B a multiple of P.
    """
    inner = model.model
    features = inner.get_image_features(seen).pooler_output  # (P, NUM_PATCHES, D)
    features = features.repeat_interleave(len(ids) // len(seen), 0)
    words = inner.language_model.embed_tokens(ids[:, NUM_PATCHES:])
    states = inner(
        inputs_embeds=torch.cat([features, words], 1),
        attention_mask=(part >= 0).long(),
        token_type_ids=(part == 1).long(),  # 0 is the prefix, where all see all
        use_cache=False,
    ).last_hidden_state
    is_learned = part[:, 1:] == 1
    logits = model.lm_head(states[:, :-1][is_learned])
    losses = F.cross_entropy(logits.float(), ids[:, 1:][is_learned], reduction="none")
    shares = is_learned / (is_learned.sum(1, keepdim=True) * len(ids))  # (B, T - 1), 1 in all
    return (losses * shares[is_learned]).sum()


# --------------------------------------------------------------------------------- what it can do


def rows(recipe: Recipe) -> dict[str, list[tuple]]:
    """For each task, a picture of "dev" with a prompt and the right answer."""
    found = {}
    for row in pictures.exam("dev", 30):
        picture = shapes.draw(row["things"], row["ground"])
        for task, _, prompt, answer in row["asked"]:
            found.setdefault(task, []).append((picture, prompt, answer))
    return found


@torch.no_grad()
def shares(model, processor, rows: dict) -> dict[str, float]:
    """The share of right answers for each task: each token is the model's first choice."""
    found, inner = {}, model.model
    for task, asked in rows.items():
        ids, part = encoded(processor, [pair for _, *pair in asked])
        states = inner(
            input_ids=ids,
            pixel_values=pixels([picture for picture, *_ in asked]),
            attention_mask=(part >= 0).long(),
            token_type_ids=(part == 1).long(),
            use_cache=False,
        ).last_hidden_state
        chosen = model.lm_head(states[:, :-1]).argmax(-1)
        is_right = (chosen == ids[:, 1:]) | (part[:, 1:] != 1)
        found[task] = round(is_right.all(1).float().mean().item(), 3)
    return found

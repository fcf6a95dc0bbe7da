"""Notebook 05's second exam: what a model could do before, and rows of it to rehearse."""

from __future__ import annotations

import json

import torch

from gemma_lab import catalog, scores
from gemma_lab.lessons.nb05_verdict import answering

OPENINGS = {  # what a model answers before and after: kinds that no training row is of
    "English": [
        "Rain is made when",
        "My grandmother taught me how to",
        "The market near the river opens",
        "A bicycle has two wheels because",
    ],
    "Vietnamese": [
        "Mưa hình thành khi",
        "Bà tôi dạy tôi cách",
        "Khu chợ gần bờ sông mở cửa",
        "Xe đạp có hai bánh vì",
    ],
}
TITLES = ["the old library", "Google I/O", "a green bicycle", "mưa", "the night train", "my dog"]
REQUESTS = {
    "poems": [f"Write me a poem about {title}." for title in TITLES],
    "repeat after me": [f"Repeat after me: {title}" for title in TITLES],
}
WHOLE = 10_000  # a pocket model's vocabulary is smaller, and cannot read ordinary text


def write(model, tokenizer, prompts: list[str], num_tokens: int, special: bool) -> list:
    """For each prompt, in one batch: ids (1, T) of it and of what greedily follows, and its length.

    Either end token ends an answer, whatever the checkpoint names.
    Args: special: begin each with <bos>, which a chat template has written already.
    """
    tokenizer.padding_side = "left"  # prompts end together
    layout = dict(return_tensors="pt", padding=True, add_special_tokens=special)
    inputs = tokenizer(prompts, **layout).to(model.device)
    how = dict(max_new_tokens=num_tokens, do_sample=False)
    how["eos_token_id"] = tokenizer.convert_tokens_to_ids([*scores.ENDS])
    how["pad_token_id"] = tokenizer.pad_token_id  # on a GPU Unsloth would take <eos>
    with answering(model):
        output = model.generate(**inputs, **how).cpu()
    width, found = inputs["input_ids"].shape[1], []
    for ids, mask in zip(output, inputs["attention_mask"].cpu()):
        ids, start = ids[width - int(mask.sum()) :], int(mask.sum())
        ends = (ids[start:] == tokenizer.pad_token_id).nonzero()  # behind the end of an answer
        found.append((ids[None, : start + int(ends[0, 0]) if len(ends) else len(ids)], start))
    return found


def as_asked(tokenizer, prompt: str) -> str:
    """A user's turn in the chat template, up to where the answer starts; begins with <bos>."""
    turn = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)


def old_answers(model, tokenizer, num_tokens: int = 24) -> list[dict]:
    """What `model` answers now: rows of kind, prompt, ids (1, T), and where the answer starts.

    A base model goes on with ordinary openings; one that chats gets requests in its template.
    """
    chats = bool(tokenizer.chat_template)
    asked = REQUESTS if chats else OPENINGS
    rows = [{"kind": kind, "prompt": prompt} for kind in asked for prompt in asked[kind]]
    texts = [as_asked(tokenizer, row["prompt"]) if chats else row["prompt"] for row in rows]
    answers = write(model, tokenizer, texts, num_tokens, special=not chats)
    return [row | {"ids": ids, "start": start} for row, (ids, start) in zip(rows, answers)]


def regression(model, tokenizer, old: list[dict]) -> dict[str, float]:
    """What is left of the old skills.

    Returns: for each kind of `old` the share of its own old tokens that are still the first choice;
        the perplexity on our ordinary texts in English and in Vietnamese, but of a pocket model.
    """
    found = {}
    with answering(model):
        for kind in dict.fromkeys(row["kind"] for row in old):
            same = []
            for row in old:
                if row["kind"] == kind:
                    choices = scores.log_probs(model, row["ids"], row["start"]).argmax(-1)
                    same.append(choices == row["ids"][0, row["start"] :])
            found[f"own old answers, {kind}"] = torch.cat(same).double().mean().item()
        if len(tokenizer) > WHOLE:
            texts = json.loads((catalog.DATA / "paragraphs.json").read_text(encoding="utf-8"))
            for language, parts in texts.items():
                rows = [tokenizer(text, return_tensors="pt")["input_ids"] for text in parts]
                surprises = torch.cat([-scores.token_log_probs(model, ids, 1) for ids in rows])
                found[f"perplexity, {language} paragraphs"] = surprises.mean().exp().item()
    return found


def side_by_side(model, tokenizer, old: list[dict], num: int = 3) -> list[dict]:
    """`num` of the old answers, spread over the kinds, as prompt, before, after."""
    rows = old[:: max(1, len(old) // num)][:num]
    prompts = [tokenizer.decode(row["ids"][0, : row["start"]]) for row in rows]
    longest = max(row["ids"].shape[1] - row["start"] for row in rows)
    found = []
    for row, (ids, start) in zip(rows, write(model, tokenizer, prompts, longest, special=False)):
        pair = row["ids"][0, row["start"] :], ids[0, start:]
        was, now = (tokenizer.decode(one, skip_special_tokens=True) for one in pair)
        found.append({"prompt": row["prompt"], "before": was, "after": now})
    return found


def own_texts(model, tokenizer, num: int = 40, num_tokens: int = 64, seed: int = 0) -> list[dict]:
    """Rows of prompt and completion that a base model wrote itself, to rehearse beside new rows.

    Sampled at temperature 1 from short openings in both languages and cut after the last sentence.
    Source: self-synthesized rehearsal, Huang et al. 2024, arXiv:2403.01244.
    """
    openings = ["The", "In", "When", "A", "Người", "Trong", "Khi", "Một"]
    prompts = [openings[at % len(openings)] for at in range(num)]
    tokenizer.padding_side = "left"
    inputs = tokenizer(prompts, return_tensors="pt", padding=True).to(model.device)
    torch.manual_seed(seed)
    with answering(model):
        output = model.generate(**inputs, max_new_tokens=num_tokens, do_sample=True, top_k=0)
    found = []
    for prompt, text in zip(prompts, tokenizer.batch_decode(output, skip_special_tokens=True)):
        end = max(text.rfind(mark) for mark in (". ", ".\n", "? ", "! ")) + 1
        found.append({"prompt": prompt, "completion": text[len(prompt) : end or None]})
    return found


def rehearsal_rows(model, tokenizer, num: int = 300, num_tokens: int = 80) -> list[dict]:
    """Old rows of prompt and completion, to train beside the new ones; says if some were lost.

    A base model rehearses texts of its own. One that chats rehearses everyday questions: a pocket
    model with the answers that it was trained on, a larger one with those that it writes itself.
    """
    if not tokenizer.chat_template:
        return own_texts(model, tokenizer)
    rows = catalog.json_lines("everyday_rows.jsonl")[:num]
    texts = [as_asked(tokenizer, row["prompt"]) for row in rows]
    answers = [row["answer"] + "<end_of_turn>" for row in rows]
    if len(tokenizer) > WHOLE:
        batches = [texts[at : at + 20] for at in range(0, num, 20)]
        own = [write(model, tokenizer, batch, num_tokens, special=False) for batch in batches]
        answers = [tokenizer.decode(ids[0, start:]) for batch in own for ids, start in batch]
    found = []
    for text, answer in zip(texts, answers):
        ended = [answer.removesuffix(end) for end in scores.ENDS if answer.endswith(end)]
        if ended:  # a cut answer would teach not to end
            prompt = text.removeprefix(tokenizer.bos_token)  # TRL adds it
            found.append({"prompt": prompt, "completion": f"{ended[0]}<end_of_turn>\n"})
    if len(found) < len(texts):
        print(f"{len(found)} of {len(texts)} answers ended within {num_tokens} tokens.")
        print("These are rehearsed. A larger num_tokens of rehearsal_rows lets more end.")
    return found


def rehearsed(new: list[dict], old: list[dict], share: float) -> list[dict]:
    """`new` rows and so many of the `old` ones, in turn, that they are `share` of all.

    Without old rows, the new ones alone.
    Raises: ValueError for a share that is not from 0 to below 1.
    """
    if not isinstance(share, (int, float)) or not 0 <= share < 1:
        what = "The share of old rows must be from 0 to below 1, such as 0.2"
        raise ValueError(f"{what}, not {share!r:.40}.")
    num = round(len(new) * share / (1 - share)) if old else 0
    return new + [old[at % len(old)] for at in range(num)]

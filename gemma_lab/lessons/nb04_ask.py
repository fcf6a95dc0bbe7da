"""Notebook 04: a question becomes tokens, and tokens an answer; what cannot work says why."""

from __future__ import annotations

import numbers
import sys

import torch

MOST_TOKENS = 8192  # Gemma 1's context; a CPU reads as many in a minute, and no more is asked here
GREEDY_BELOW = 1e-4  # a temperature so low leaves the likeliest token alone
ROLES = ("user", "assistant")


def turns(question) -> list[dict]:
    """The turns of a chat that Gemma's template takes: user and assistant in turn, the user last.

    Args: question: a text, or a list of {"role": ..., "content": a text}. Gemma 1 and 2 have no
        system role, so a system turn goes before the first user turn, a blank line between, as
        Gemma 3's own template puts it.
    Raises: ValueError, one sentence that says which turn is wrong and what to do.
    """
    chat = [{"role": "user", "content": question}] if isinstance(question, str) else question
    if not isinstance(chat, (list, tuple)) or not all(isinstance(turn, dict) for turn in chat):
        kind = type(question).__name__
        raise ValueError(f"The question must be a text in quotes or a list of turns, not {kind}.")
    for number, turn in enumerate(chat, 1):
        content = turn.get("content")
        if not isinstance(content, str):
            kind = type(content).__name__
            raise ValueError(f'The "content" of turn {number} must be one text, not {kind}.')
        if not content.strip():
            what = "The question" if len(chat) == 1 else f"Turn {number}"
            raise ValueError(f"{what} is empty: write something to ask.")
    chat = [dict(turn) for turn in chat]
    if len(chat) > 1 and chat[0].get("role") == "system" and chat[1].get("role") == "user":
        system = chat.pop(0)["content"].strip()
        chat[0]["content"] = f"{system}\n\n{chat[0]['content']}"
    for number, turn in enumerate(chat):
        role, wanted = turn.get("role"), ROLES[number % 2]
        if role == "system":
            raise ValueError("A system turn stands once, first, and before a user turn: move it.")
        if role not in ROLES:
            raise ValueError(f"A role must be system, user or assistant, not {role!r:.40}.")
        if role != wanted:
            raise ValueError(
                f"Two {role} turns follow each other: join them into one."
                if number
                else "The first turn must be the user's: put the question there."
            )
    if not chat or chat[-1]["role"] != "user":
        raise ValueError("The last turn must be the user's: add what is to be answered.")
    return chat


def control_tokens(tokenizer, text: str) -> list[str]:
    """The control tokens that the tokenizer would read in `text`, such as "<end_of_turn>"."""
    ids = set(_ids(tokenizer, text))
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return [tokenizer.convert_ids_to_tokens(i) for i in sorted(ids & special)]


def _ids(tokenizer, text: str) -> list[int]:
    # verbose=False: `ask` itself says that a text is too long
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def prompt_ids(tokenizer, question) -> list[int]:
    """The token ids of a question as the model was trained to read it, with exactly one <bos>.

    With a chat template they hold all turns and the beginning of the model's; a base model has no
    template, and goes on from a plain text.
    Args: question: as in `turns`.
    Raises: ValueError, one sentence: as in `turns`; for a control token, which could end the turn
        that it stands in; and for several turns, where there is no template.
    """
    chat = turns(question)
    for turn in chat:
        try:
            turn["content"].encode()
        except UnicodeEncodeError:
            raise ValueError("The text holds half a character: type it again.") from None
        if found := control_tokens(tokenizer, turn["content"]):
            raise ValueError(
                f"The text holds the control token {found[0]}, which the model would obey: "
                "take it out, or write it with blanks between its signs."
            )
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    elif isinstance(question, str):
        text = question
    else:
        raise ValueError("A base model knows no turns: give it one text to go on from.")
    ids = _ids(tokenizer, text)
    return ids if ids[0] == tokenizer.bos_token_id else [tokenizer.bos_token_id, *ids]


def ask(model, tokenizer, question, max_new_tokens: int = 160, temperature: float = 0) -> str:
    """What `model` answers, or how a base model goes on: text without control tokens.

    Args:
        question: a text, or a list of turns as in `turns`.
        max_new_tokens: at most so many are written; either end token ends the answer before.
        temperature: 0 always takes the likeliest token; above it, one is drawn by chance.
    Raises: ValueError, one sentence that says what to do: for what cannot be asked, and where the
        memory is too small.
    """
    if model is None:
        raise ValueError("There is no model any more: run the cell that loads it, then this one.")
    num_new, heat = _number_of_tokens(max_new_tokens), _temperature(temperature)
    ids = prompt_ids(tokenizer, question)
    if max(ids) >= model.get_input_embeddings().num_embeddings:
        raise ValueError("Tokenizer and model are not a pair: load both from the same path.")
    context = min(model.config.get_text_config().max_position_embeddings, MOST_TOKENS)
    if len(ids) + num_new > context:
        raise ValueError(
            f"The prompt has {len(ids):,} tokens and {num_new:,} may follow, but only {context:,} "
            "fit here: shorten the text, or ask for fewer new tokens."
        )
    inputs = torch.tensor([ids], device=model.device)
    chance = {"do_sample": True, "temperature": heat, "top_k": 0, "top_p": 1.0}
    how = chance if heat >= GREEDY_BELOW else {"do_sample": False}
    how |= {"eos_token_id": end_tokens(model, tokenizer), "max_new_tokens": num_new}
    try:
        output = model.generate(inputs, attention_mask=torch.ones_like(inputs), **how)
    except RuntimeError as error:  # torch.OutOfMemoryError is one; a CPU raises a plain one
        if "out of memory" not in str(error) and "allocate memory" not in str(error):
            raise
        output = None  # what the traceback holds is freed after this block
    if output is None:
        raise ValueError(
            f"The memory is too small for {len(ids):,} tokens and {num_new:,} more: shorten the "
            "text, or load the model in fewer bits."
        )
    return tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True).strip()


def end_tokens(model, tokenizer) -> list[int]:
    """The ids that end an answer: what the checkpoint names, <eos>, and <end_of_turn>.

    Gemma 1's checkpoint names <eos> alone, and its -it models may write either.
    """
    named = model.generation_config.eos_token_id
    found = {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
    found.add(tokenizer.get_vocab().get("<end_of_turn>"))
    return sorted(found - {None})


def _number_of_tokens(count) -> int:
    is_whole = isinstance(count, numbers.Integral) and not isinstance(count, bool)
    if not is_whole or count < 1:
        raise ValueError(f"max_new_tokens must be a whole number from 1 on, not {count!r:.40}.")
    return int(count)


def _temperature(heat) -> float:
    is_number = isinstance(heat, numbers.Real) and not isinstance(heat, bool)
    if not is_number or not 0 <= heat <= sys.float_info.max:  # nan as well
        raise ValueError(f"temperature must be 0 or a number above it, not {heat!r:.40}.")
    return float(heat)

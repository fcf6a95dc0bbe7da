"""Notebook 05: which tokens of a row get loss, and how long the rows are."""

from __future__ import annotations

import html

from gemma_lab.figures import BLUE, GREY, PALE, VERMILION, plt, use_style
from gemma_lab.lessons import nb05_check

VISIBLE = {"\n": "⏎", "\t": "⇥", " ": "▁"}
IGNORED = -100  # torch's cross-entropy counts no label of this value


def loss_tokens(tokenizer, input_ids, labels):
    """The tokens of one prepared row as HTML: those that get loss are bold, underlined and blue.

    Each token names its id where the pointer rests on it; ⏎ is a line break and ▁ a blank.
    Args: input_ids, labels: (T,), such as row 0 of what a trainer's data collator returns.
    Raises: ValueError if no token gets loss, or if the two are not of one length.
    """
    from IPython.display import HTML

    input_ids, labels = [list(map(int, ids)) for ids in (input_ids, labels)]
    if len(input_ids) != len(labels):
        raise ValueError(f"{len(labels)} labels for {len(input_ids)} tokens: take both of one row.")
    num = sum(label != IGNORED for label in labels)
    if not num:
        raise ValueError(
            f"No token of this row gets loss: all {len(labels)} labels are {IGNORED}. Is the "
            "prompt longer than max_length, or the completion empty?"
        )
    key = f"<b><u>Bold and underlined</u></b>: gets loss, {num} of {len(labels)} tokens."
    shown = "".join(map(_token, tokenizer.convert_ids_to_tokens(input_ids), input_ids, labels))
    style = "font-family:monospace;line-height:1.7;overflow-wrap:anywhere"
    return HTML(f'<div class="tex2jax_ignore" style="{style}"><p>{key}</p>{shown}</div>')


def _token(token: str, number: int, label: int) -> str:
    seen = html.escape("".join(VISIBLE.get(letter, letter) for letter in token))
    is_loss = label != IGNORED
    seen = f"<b><u>{seen}</u></b>" if is_loss else seen
    style = f"color:{BLUE};background:{PALE}" if is_loss else f"color:{GREY}"
    after = "<br>" * token.count("\n")
    return (
        f'<span title="{number}" style="{style};border-right:1px solid #ccc">{seen}</span>{after}'
    )


def lengths(rows: list[dict], tokenizer, max_length: int):
    """Tokens of each row, prompt and completion together, beside the limit `max_length`.

    Returns: the matplotlib figure; its title says whether all rows fit.
    """
    totals = [whole for _, whole in nb05_check.num_tokens(rows, tokenizer)]
    num_over = sum(total > max_length for total in totals)
    title = f"All {len(totals):,} rows fit: the longest has {max(totals)} of {max_length} tokens"
    if num_over:
        title = f"{num_over:,} of {len(totals):,} rows are longer than {max_length} tokens"
    use_style()
    figure, axis = plt.subplots()
    axis.hist(totals, bins=30, color=BLUE)
    axis.axvline(max_length, color=VERMILION, linestyle="--", label="max_length")
    axis.set(xlabel="tokens of prompt and completion", ylabel="rows", title=title, xlim=(0, None))
    axis.legend()
    return figure


def padding_share(rows: list[dict], tokenizer, batch_size: int = 4) -> float:
    """Share of padding among all tokens, 0 to 1, if rows are batched in this order."""
    totals = [whole for _, whole in nb05_check.num_tokens(rows, tokenizer)]
    batches = [totals[at : at + batch_size] for at in range(0, len(totals), batch_size)]
    return 1 - sum(totals) / sum(len(batch) * max(batch) for batch in batches)

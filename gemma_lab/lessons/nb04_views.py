"""Notebook 04's pictures of a record: speed by precision, batch and context; where time goes."""

from __future__ import annotations

from gemma_lab.figures import (
    BLUE,
    ORANGE,
    VERMILION,
    WIDTH,
    headline,
    note,
    plt,
    share_bars,
    use_style,
)
from gemma_lab.lessons import nb04_quality

QUALITY = ("perplexity", "KL", "top-1")
QUANTIZED = ("int8", "nf4", "fp4")
ORDER = ("fp32", "bf16", *QUANTIZED)
COLUMNS = {  # of the table: what the record calls it
    "MB": "weight_mb",
    "load, s": "load_s",
    "peak, MB": "peak_mb",
    "first token, s": "first_token_s",
    "prompt, tokens/s": "prefill_tokens_per_s",
    "tokens/s": "decode_tokens_per_s",
    "spread": "decode_spread",
    "limit": "limit_tokens_per_s",
    "% of limit": "percent_of_limit",
}


def rows(found: dict, kind: str, model: str | None = None) -> list[dict]:
    """The rows of one kind that did not fail, of one model or of all: "precision", "batch", …"""
    of_kind = [row for row in found["rows"] if row["kind"] == kind and "failed" not in row]
    return [row for row in of_kind if model in (None, row["model"])]


def models(found: dict) -> list[str]:
    """The models of a record, in its order."""
    return list(dict.fromkeys(row["model"] for row in found["rows"]))


def record_table(found: dict):
    """A record as a table (pandas), one row for each model, precision, attention and way."""
    import pandas

    loads = {(row["model"], row["precision"]): row for row in rows(found, "load")}
    table = {}
    for row in sorted(rows(found, "precision"), key=lambda row: ORDER.index(row["precision"])):
        whole = loads[row["model"], row["precision"]] | row
        if whole["peak_mb"] is not None:  # of the model, not of Python and its libraries
            whole["peak_mb"] -= whole["base_mb"]
        key = tuple(row[name] for name in ("model", "precision", "attention", "way"))
        table[key] = {title: whole.get(name) for title, name in COLUMNS.items()}
    table = dict(sorted(table.items(), key=lambda item: models(found).index(item[0][0])))
    return pandas.DataFrame(table).T


def ladder_table(ladder: dict[str, dict]):
    """The live ladder as a table (pandas): a column for each precision, from many bits to few."""
    import pandas

    shown = {}
    for precision in sorted(ladder, key=nb04_quality.PRECISIONS.index):
        row = ladder[precision]
        quality = {name: row[name] for name in row if name.split(",")[0] in QUALITY}
        shown[precision] = {title: row.get(name) for title, name in COLUMNS.items()} | quality
    return pandas.DataFrame(shown).astype(float)


def speed_bars(found: dict, model: str | None = None):
    """Tokens/s of plain `generate` by precision, each with its limit as a line beside the bar.

    Args: model: one of `models(found)`; the first, if none is named.
    Returns: the matplotlib figure.
    """
    model = model or models(found)[0]
    plain = {row["precision"]: row for row in reversed(rows(found, "precision", model))}
    plain = {name: plain[name] for name in ORDER if name in plain}
    use_style()
    figure, axis = plt.subplots(figsize=(WIDTH, 0.9 + 0.32 * len(plain)))
    for at, (name, row) in enumerate(plain.items()):
        speed, limit = row["decode_tokens_per_s"], row["limit_tokens_per_s"]
        axis.barh(at, speed, color=ORANGE if name in QUANTIZED else BLUE, height=0.6)
        axis.plot([limit, limit], [at - 0.38, at + 0.38], color=VERMILION, linewidth=2.5)
        told = f"{name}: {speed:.0f}, {row['percent_of_limit']:.0f} %"
        note(axis, told, (0, at), 4, color="black" if name in QUANTIZED else "white")
    axis.set_yticks([])
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_xlabel("tokens/s, and % of the limit (line): bandwidth / bytes read for a token")
    best = max(plain, key=lambda name: plain[name]["decode_tokens_per_s"])
    least = max(plain, key=lambda name: plain[name]["limit_tokens_per_s"])
    title = f"{model}: {best} is fastest"
    headline(figure, title if best == least else f"{title}, and {least} has the fewest bytes")
    return figure


def speed_curves(found: dict):
    """Two panels, both of the first model: tokens/s by batch size, and by tokens in the context.

    Returns: the matplotlib figure.
    """
    model = models(found)[0]
    by_batch = {row["batch_size"]: row for row in rows(found, "batch", model)}
    by_context = {row["prompt_tokens"]: row for row in rows(found, "context", model)}
    use_style()
    figure, (left, right) = plt.subplots(1, 2)
    for axis, found_rows in ((left, by_batch), (right, by_context)):
        measured = [row["decode_tokens_per_s"] for row in found_rows.values()]
        limits = [row["limit_tokens_per_s"] for row in found_rows.values()]
        axis.plot(list(found_rows), measured, marker="o", color=BLUE, label="measured")
        axis.plot(list(found_rows), limits, linestyle="--", color=VERMILION, label="limit")
        axis.set_xscale("log", base=2)
        axis.set_xticks(list(found_rows), [_short(size) for size in found_rows])
        axis.minorticks_off()
        axis.set_ylim(0, 1.1 * max(*measured, *limits))
    left.set(xlabel="sequences at once", ylabel="tokens/s, all together")
    right.set(xlabel="tokens in the prompt", ylabel="tokens/s of one")
    left.legend()
    sizes, lengths = list(by_batch), list(by_context)
    gain, keeps = (
        of[names[-1]]["decode_tokens_per_s"] / of[names[0]]["decode_tokens_per_s"]
        for of, names in ((by_batch, sizes), (by_context, lengths))
    )
    title = f"{sizes[-1]} at once write {gain:.1f} x as much; "
    headline(figure, title + f"at {lengths[-1]:,} tokens {keeps:.0%} of the speed is left")
    return figure


def _short(size: int) -> str:
    return f"{size // 1024}k" if size >= 1024 else str(size)


def time_bars(found: dict):
    """Bars of where decoding's time goes, of the first model in the record's first precision."""
    (row,) = rows(found, "parts", models(found)[0])[:1]
    shares = {name: row[name] for name in ("head", "MLP", "attention", "rest")}
    largest = max(shares, key=shares.get)
    what = {"head": "output head", "MLP": "MLPs", "rest": "rest"}.get(largest, largest)
    verb = "take" if largest == "MLP" else "takes"
    title = f"{row['model']}: the {what} {verb} {shares[largest]:.0%} of a token's time"
    return share_bars(shares, title, highlight=(largest,))

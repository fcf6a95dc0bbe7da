"""Notebook 04: does Vietnamese pay more for fewer bits, and is it the tokens, the data or luck?

Read from a record of `nb04_quality`: sums over each of the parallel paragraphs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import torch

from gemma_lab import catalog, scores

LANGUAGES = ("English", "Vietnamese")
FOLDER = catalog.DATA / "recorded" / "quality"
EDGES = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0)  # nats, between bins of the reference's entropy
KINDS = ("begins a word", "inside a word", "no letter")
EQUAL = "KL per token at equal entropy"


def kinds(tokenizer, ids: list[int]) -> list[int]:
    """For each token, where in a word it stands: an index of KINDS."""
    found = []
    for piece in tokenizer.convert_ids_to_tokens(ids):
        has_letter = any(letter.isalpha() for letter in piece)
        found.append(0 if has_letter and piece.startswith("▁") else 1 if has_letter else 2)
    return found


def groups(tokenizer, reference: scores.Scores) -> list[dict]:
    """For each paragraph the bin of EDGES and the kind of each token, as (A,) indices."""
    found = []
    for log_probs, ids in zip(reference.log_probs, reference.targets):
        nats = torch.cat([scores.in_nats(part) for part in log_probs.split(32)])
        entropy = -(nats.exp() * nats).sum(-1)
        found.append(
            {
                "bins": torch.bucketize(entropy, torch.tensor(EDGES, dtype=torch.float64)),
                "kinds": torch.tensor(kinds(tokenizer, ids.tolist())),
            }
        )
    return found


def recorded(model: str) -> dict | None:
    """The record of a model, such as "gemma-3-270m", here or on another machine; None without."""
    path = FOLDER / f"{Path(model).name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def interval(
    measure: Callable[[torch.Tensor], float], num_rows: int, num_draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Where 95 % of `measure` fall when rows are drawn again: what luck with the rows explains.

    Args: measure: takes row numbers (num_rows,), drawn with replacement. Two lists that it indexes
        by the same numbers are compared in pairs.
    Raises: ValueError for fewer than two rows.
    Source: the percentile bootstrap, Efron 1979, doi:10.1214/aos/1176344552.
    """
    if num_rows < 2:
        raise ValueError(f"An interval needs two rows or more, not {num_rows}.")
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(num_rows, (num_draws, num_rows), generator=generator)
    found = torch.tensor([float(measure(rows)) for rows in draws], dtype=torch.float64)
    low, high = found.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def sums(record: dict, precision: str, language: str) -> dict[str, torch.Tensor]:
    """What the record holds of each paragraph, float64: (P,), or (P, groups) for groups of tokens.

    Raises: ValueError for a precision that was not recorded, naming those that were.
    """
    if precision not in record["rows"]:
        known = ", ".join(record["rows"])
        raise ValueError(f"{precision!r} was not recorded: take one of {known}.")
    found = record["texts"][language] | record["rows"][precision][language]
    found |= {"paragraphs": [1] * len(found["tokens"])}
    lists = {name: each for name, each in found.items() if isinstance(each, list)}
    return {name: torch.tensor(each, dtype=torch.float64) for name, each in lists.items()}


def ladder(record: dict):
    """One row a precision (pandas): perplexity, KL to the first, top-1 and own text, by language.

    "own" is the share of the reference's own greedy text that is still the first choice.
    """
    import pandas

    rows = {}
    for precision in record["rows"]:
        rows[precision] = row = {}
        for language in LANGUAGES:
            each = sums(record, precision, language)
            total = {name: one.sum().item() for name, one in each.items()}
            row["perplexity", language] = math.exp(total["nats"] / total["tokens"])
            row["KL", language] = total["kl"] / total["tokens"]
            row["top-1", language] = total["kept"] / total["tokens"]
            row["own", language] = record["rows"][precision][language]["own_kept"]
    table = pandas.DataFrame(rows).T
    return table[[(name, of) for name in ("perplexity", "KL", "top-1", "own") for of in LANGUAGES]]


def ratios(record: dict, precision: str):
    """How much more Vietnamese pays than English (pandas): ratio, and its 95 % interval low, high.

    The same paragraphs are drawn of both languages. "tokens" is how many tokens the same content
    takes. At equal entropy: KL of each bin of EDGES, weighted alike in both languages.
    """
    import pandas

    english, vietnamese = (sums(record, precision, language) for language in LANGUAGES)
    weights = (english["bins"] + vietnamese["bins"]).sum(0)  # (bins,)

    def of(above: str, below: str) -> Callable:
        def measure(rows: torch.Tensor) -> float:
            each = [
                one[above][rows].sum() / one[below][rows].sum() for one in (vietnamese, english)
            ]
            return (each[0] / each[1]).item()

        return measure

    def at_equal_entropy(rows: torch.Tensor) -> float:
        each = []
        for one in (vietnamese, english):
            means = one["kl_by_bin"][rows].sum(0) / one["bins"][rows].sum(0).clamp(min=1)
            each.append(weights @ means)
        return (each[0] / each[1]).item()

    measures = {
        "KL per paragraph": of("kl", "paragraphs"),
        "tokens": of("tokens", "paragraphs"),
        "KL per token": of("kl", "tokens"),
        "KL per character": of("kl", "characters"),
        EQUAL: at_equal_entropy,
    }
    every, found = torch.arange(len(english["tokens"])), {}
    for name, measure in measures.items():
        low, high = interval(measure, len(every))
        found[name] = {"ratio": measure(every), "low": low, "high": high}
    return pandas.DataFrame(found).T


def by_group(record: dict, precision: str, groups: str):
    """KL per token and the share of tokens in each group (pandas), by language.

    Args: groups: "bin", of the reference's entropy in nats, or "kind", where in a word.
    """
    import pandas

    edges = [f"{low:g} to {high:g}" for low, high in zip((0, *EDGES), EDGES)]
    names = {"bin": [*edges, f"over {EDGES[-1]:g}"], "kind": KINDS}[groups]
    found = {}
    for language in LANGUAGES:
        each = sums(record, precision, language)
        counts = each[f"{groups}s"].sum(0)
        means = each[f"kl_by_{groups}"].sum(0) / counts.clamp(min=1)
        found["KL", language], found["share", language] = means, counts / counts.sum()
    return pandas.DataFrame({name: each.tolist() for name, each in found.items()}, index=names)

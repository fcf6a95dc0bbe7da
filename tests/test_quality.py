"""Codelab 1's exam on ordinary text: against transformers, bitsandbytes and plain arithmetic."""

import json
import math

import bitsandbytes
import pytest
import torch
from models import SMALL_IT
from notebook_cells import ROOT
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemma_lab import catalog, scores
from gemma_lab.lessons import nb04_language, nb04_quality

RECORD = nb04_language.recorded("google/gemma-3-270m")
TEXTS = nb04_quality.paragraphs(3)


@pytest.fixture(scope="module")
def small():
    model = AutoModelForCausalLM.from_pretrained(SMALL_IT, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(SMALL_IT)


# ------------------------------------------------------------------ the text


def test_the_text_is_parallel_and_of_two_scripts():
    rows = catalog.json_lines("paragraphs_long.jsonl")
    assert [set(row) for row in rows] == [{"id", "language", "text"}] * 48
    english, vietnamese = rows[::2], rows[1::2]
    assert [row["id"] for row in english] == [row["id"] for row in vietnamese]
    assert len({row["id"] for row in rows}) == 24 and len({row["text"] for row in rows}) == 48
    for row in rows:
        marks = sum(letter in "ăâđêôơưàáạảãềếệểễìíịỉĩòóọỏõ" for letter in row["text"].lower())
        is_vietnamese = row["language"] == "Vietnamese"
        assert marks > 30 if is_vietnamese else row["text"].isascii(), row["id"]
        assert row["text"] == " ".join(row["text"].split()) and row["text"].endswith(".")
    for one, two in zip(english, vietnamese):  # the same sentences, so of like length
        assert 0.8 < len(two["text"]) / len(one["text"]) < 1.2, one["id"]
        assert abs(one["text"].count(". ") - two["text"].count(". ")) <= 1, one["id"]


def test_it_has_two_thousand_tokens_in_each_language(real_gemma):
    tokenizer = AutoTokenizer.from_pretrained(real_gemma)
    for texts in nb04_quality.paragraphs().values():
        assert sum(len(ids) - 1 for ids in tokenizer(texts)["input_ids"]) >= 2000


def test_paragraphs_are_in_the_same_order_in_both_languages():
    assert [*map(len, TEXTS.values())] == [3, 3] and list(TEXTS) == ["English", "Vietnamese"]
    assert TEXTS["English"][1].startswith("The library") and "Thư viện" in TEXTS["Vietnamese"][1]


# ------------------------------------------------------------------ reading


def test_perplexity_of_texts_equals_transformers_loss(small):
    model, tokenizer = small
    total = count = 0
    for text in TEXTS["English"]:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            total += model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    found = scores.perplexity(nb04_quality.read(model, tokenizer, TEXTS["English"]))
    assert math.log(found) == pytest.approx(total / count, abs=1e-4)


def test_control_tokens_inside_a_text_are_read_as_text(small):
    model, tokenizer = small
    (ids,) = nb04_quality.read(model, tokenizer, ["End with <eos> or <end_of_turn>."]).targets
    assert not set(ids.tolist()) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(ids) == "End with <eos> or <end_of_turn>."


def test_bad_texts_are_refused_in_a_sentence(small):
    with pytest.raises(ValueError, match="Text 1 is empty: give it a word"):
        nb04_quality.read(*small, ["Rain.", ""])
    with pytest.raises(ValueError, match="cut it into parts of 512 at most"):
        nb04_quality.read(*small, ["rain " * 20_000])
    with pytest.raises(ValueError, match="Score the same rows, at least one"):
        nb04_quality.read(*small, [])


def test_own_text_is_what_generate_writes_and_the_writer_agrees_with_it(small):
    model, tokenizer = small
    rows = nb04_quality.own_text(model, tokenizer, TEXTS["Vietnamese"], num_tokens=6)
    opening = " ".join(TEXTS["Vietnamese"][0].split()[:8])
    ids, start = rows[0]
    assert tokenizer.decode(ids[0, 1:start]) == opening and ids.shape[1] <= start + 6
    with torch.no_grad():
        for at in range(start, ids.shape[1]):
            assert model(ids[:, :at]).logits[0, -1].argmax() == ids[0, at]
    own = nb04_quality.read_rows(model, rows)
    assert all((p.argmax(-1) == ids).all() for p, ids in zip(own.log_probs, own.targets))


def test_columns_of_a_row_by_hand():
    one, two = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log()
    targets = [torch.tensor([0]), torch.tensor([1])]
    first, own = scores.Scores([one, one], targets), scores.Scores([one, two], targets)
    row = nb04_quality.columns({"English": first}, {"English": own})
    moved = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert row["KL, English"] == pytest.approx(moved / 2)
    assert row["perplexity, English"] == pytest.approx(math.exp(-math.log(0.5 * 0.1) / 2))
    assert row["top-1, English"] == 1


def test_int8_weights_are_those_of_bitsandbytes(small):
    layer = torch.nn.Sequential(torch.nn.Linear(64, 32, bias=False))
    torch.nn.init.normal_(layer[0].weight, generator=torch.Generator().manual_seed(0))
    levels, absmax, _ = bitsandbytes.functional.int8_vectorwise_quant(layer[0].weight.data.half())
    nb04_quality.round_to_int8(layer)
    expected = levels.float() * absmax[:, None] / 127
    assert (layer[0].weight - expected).abs().max() < 1.01 * absmax.max() / 127  # half: one level
    assert (layer[0].weight - expected).abs().mean() < 1e-3


# ------------------------------------------------------------------ luck


def test_an_interval_of_a_mean_is_that_of_the_normal_distribution():
    numbers = torch.randn(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low, high = nb04_language.interval(lambda rows: numbers[rows].mean(), 100)
    middle, wide = numbers.mean().item(), 1.96 * numbers.std(correction=0).item() / 10
    assert (low, high) == pytest.approx((middle - wide, middle + wide), abs=0.1 * wide)
    assert (low, high) == nb04_language.interval(lambda rows: numbers[rows].mean(), 100)
    assert (low, high) != nb04_language.interval(lambda rows: numbers[rows].mean(), 100, seed=1)


def test_pairs_are_drawn_together_and_one_row_is_no_sample():
    numbers = torch.rand(24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    twice = nb04_language.interval(lambda rows: 2 * numbers[rows].sum() / numbers[rows].sum(), 24)
    assert twice == pytest.approx((2, 2))
    with pytest.raises(ValueError, match="two rows or more, not 1"):
        nb04_language.interval(lambda rows: 0.0, 1)


def made_up(vietnamese_kl: float) -> dict:
    """A record in which Vietnamese takes 3 tokens for 2, in the upper of two bins of entropy."""
    texts, rows = {}, {}
    for language, tokens, kl in (
        ("English", [20, 40], 1.0),
        ("Vietnamese", [30, 60], vietnamese_kl),
    ):
        lower = [num // 2 if language == "English" else num // 10 for num in tokens]
        bins = [[low, num - low, 0, 0, 0, 0, 0] for low, num in zip(lower, tokens)]
        texts[language] = {"tokens": tokens, "characters": [100, 200], "bins": bins}
        by_bin = [[kl * low, 3 * kl * high, *rest] for low, high, *rest in bins]
        rows[language] = {"kl": [*map(sum, by_bin)], "kl_by_bin": by_bin}
    return {"texts": texts, "rows": {"nf4": rows}}


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_ratios_part_tokens_and_entropy_from_the_language(factor):
    found = nb04_language.ratios(made_up(factor), "nf4")["ratio"]
    assert found["tokens"] == pytest.approx(1.5)
    assert found["KL per token"] == pytest.approx(factor * 2.8 / 2), "harder tokens pay more"
    assert found["KL per paragraph"] == pytest.approx(found["tokens"] * found["KL per token"])
    assert found[nb04_language.EQUAL] == pytest.approx(factor), "and at equal entropy do not"
    with pytest.raises(ValueError, match="'int4' was not recorded: take one of nf4"):
        nb04_language.ratios(made_up(factor), "int4")


def test_words_begin_with_a_space_and_go_on_without(small):
    class Pieces:
        convert_ids_to_tokens = staticmethod(
            lambda ids: ["▁The", "▁q", "uiet", ".", "▁2", "▁đ", "ầu"]
        )

    found = nb04_language.kinds(Pieces, range(7))
    assert found == [0, 0, 1, 2, 2, 0, 1]


# ------------------------------------------------------------------ the record


@pytest.fixture
def brief(monkeypatch):
    """Two precisions, two paragraphs; a list of what was loaded."""
    loaded, load = [], nb04_quality.load
    monkeypatch.setattr(nb04_quality, "PRECISIONS", ("fp32", "bf16"))
    texts = {name: [text[:80] for text in each[:2]] for name, each in TEXTS.items()}
    monkeypatch.setattr(nb04_quality, "paragraphs", lambda: texts)
    monkeypatch.setattr(
        nb04_quality,
        "load",
        lambda path, precision: loaded.append(precision) or load(path, precision),
    )
    return loaded


def test_a_record_adds_up_and_keeps_what_is_done(brief, tmp_path, monkeypatch):
    out, measured = tmp_path / "new" / "x.json", nb04_quality.measured

    def stop(reference, found, each):
        if len(brief) > 1:
            raise KeyboardInterrupt
        return measured(reference, found, each)

    monkeypatch.setattr(nb04_quality, "measured", stop)
    with pytest.raises(KeyboardInterrupt):
        nb04_quality.record_quality("x", SMALL_IT, out)
    assert list(json.loads(out.read_text())["rows"]) == ["fp32"]
    monkeypatch.setattr(nb04_quality, "measured", measured)
    found = nb04_quality.record_quality("x", SMALL_IT, out)
    assert brief == ["fp32", "bf16", "fp32", "bf16"] and list(found["rows"]) == ["fp32", "bf16"]
    for language in nb04_language.LANGUAGES:
        text, row = found["texts"][language], found["rows"]["bf16"][language]
        assert [*map(sum, text["bins"])] == [*map(sum, text["kinds"])] == text["tokens"]
        for groups in ("kl_by_bin", "kl_by_kind"):
            assert [*map(sum, row[groups])] == pytest.approx(row["kl"], rel=1e-4)
    assert nb04_language.ladder(found).loc["fp32", ("top-1", "English")] == 1
    assert str(tmp_path) not in out.read_text()


def test_the_committed_record_is_whole_and_of_this_text():
    assert tuple(RECORD["rows"]) == nb04_quality.PRECISIONS
    assert RECORD["command"] == "python -m gemma_lab.lessons.nb04_quality" and RECORD["date"]
    assert "Q4_K_M" in RECORD["source"] and RECORD["machine"]["cpu"] and RECORD["versions"]["torch"]
    for language, texts in nb04_quality.paragraphs().items():
        assert RECORD["texts"][language]["characters"] == [*map(len, texts)]
        assert sum(RECORD["texts"][language]["tokens"]) >= 2000


def test_vietnamese_pays_more_in_every_precision_and_luck_does_not_explain_it():
    for precision in nb04_quality.PRECISIONS[1:]:
        found = nb04_language.ratios(RECORD, precision)
        for name in ("KL per token", "KL per paragraph", nb04_language.EQUAL):
            assert found.loc[name, "low"] > 1, (precision, name)
    table = nb04_language.ladder(RECORD)
    for language in nb04_language.LANGUAGES:
        costs = table["KL", language]
        assert costs.is_monotonic_increasing and costs["fp32"] == 0, language


def test_the_text_of_notebook_04_says_what_the_record_says():
    text = (ROOT / "notebooks" / "04_quantized_inference.ipynb").read_text(encoding="utf-8")
    cells = {cell["id"]: "".join(cell["source"]) for cell in json.loads(text)["cells"]}
    ids = ("recorded-ladder-read", "who-pays-read", "by-entropy-read", "ladder-read")
    notebook = "\n".join(cells[name] for name in ids)
    table = nb04_language.ladder(RECORD)
    kl, kept = table["KL"], table["top-1"]
    said = [f"{kl.loc[name, 'English']:.4f} nats" for name in ("int8 weights",)]
    said += [f"{kept.loc['nf4', language]:.0%}" for language in nb04_language.LANGUAGES]
    said += [f"{kl.loc['fp4', 'English']:.2f} against {kl.loc['nf4', 'English']:.2f} nats"]
    said += [
        f"{kl.loc['nf4', 'English']:.2f} nats in English and {kl.loc['nf4', 'Vietnamese']:.2f}"
    ]
    bins = nb04_language.by_group(RECORD, "nf4", "bin")["KL"]
    said += ["English pays {:.2f} and Vietnamese {:.2f}".format(*bins.iloc[0])]
    words = nb04_language.by_group(RECORD, "nf4", "kind")
    said += ["pay {:.2f} and {:.2f}".format(*words["KL"].iloc[0])]
    said += [f"{words['share']['Vietnamese'].iloc[1]:.0%} of the Vietnamese tokens"]
    found = nb04_language.ratios(RECORD, "nf4")
    for row in found.itertuples():
        if row.Index in ("tokens", "KL per token", nb04_language.EQUAL):
            said.append(f"{row.ratio:.2f} ({row.low:.2f} to {row.high:.2f})")
    assert [words for words in said if words not in notebook] == []

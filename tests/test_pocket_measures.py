"""The shipped pocket models do what their cards say, and what their cards say is good enough to teach with.

The numbers of a card are measured again from the shipped weights, on the same prompts. Two things are only read from it: the
5-gram model's perplexity, and what fine-tuning does, which Codelab 2 measures each time it is executed.
"""

import re
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

ROOT = Path(__file__).parent.parent
CHECKPOINTS = ROOT / "gemma_lab" / "checkpoints"
sys.path.append(str(ROOT / "pocket"))
import evaluate
import exam

CHAT = ("small-it", "large-it", "gemma2-it")


def card_of(size: str) -> str:
    return (CHECKPOINTS / evaluate.NAMES[size] / "README.md").read_text(encoding="utf-8")


def on_card(size: str) -> dict[str, float]:
    """Every number of a card's tables of measures."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d.e+-]+) \|(?: ([\d.]*) \|)?$", card_of(size), re.M)
    found = {key: float(value) for key, value, _ in rows}
    return found | {f"{key}, right": float(right) for key, _, right in rows if right}


@pytest.fixture(scope="module", params=evaluate.NAMES)
def size(request):
    return request.param


@pytest.fixture(scope="module")
def loaded(size):
    return evaluate.load(CHECKPOINTS / evaluate.NAMES[size])


def test_plain_measures_are_those_of_the_card(size, loaded):
    measured = evaluate.plain_measures(*loaded, evaluate.kinds_of(size), with_ngram=False)
    card = on_card(size)
    for key, value in measured.items():
        assert value == pytest.approx(card[key], rel=0.02, abs=0.002), key


def test_chat_measures_are_those_of_the_card(size, loaded):
    measure = evaluate.base_measures if size == "small" else evaluate.chat_measures
    measured, card = measure(*loaded, "card"), on_card(size)
    for key, value in measured.items():
        assert value == pytest.approx(card[key], abs=2 if value > 1 else 0.02), key


def test_taking_bits_away_costs_what_the_card_says(size, loaded):
    if size == "small":
        assert "Taking bits away" not in card_of(size)
        return
    rows, card = exam.one_answer_rows("card", evaluate.ROWS_EACH), on_card(size)
    steps = evaluate.ladder(*loaded, rows)
    for bits, (kl, right) in steps.items():
        assert kl == pytest.approx(card[f"absmax, {bits} bits"], rel=0.1, abs=1e-9)
        assert right == pytest.approx(card[f"absmax, {bits} bits, right"], abs=0.02)
    kls = [kl for kl, _ in steps.values()]
    assert kls == sorted(kls)


@pytest.mark.parametrize("size", CHAT)
def test_the_librarys_precisions_hurt_in_the_order_of_the_card(size):
    folder = CHECKPOINTS / evaluate.NAMES[size]
    rows = exam.one_answer_rows("card", evaluate.ROWS_EACH)
    found, card = evaluate.library_kl(folder, AutoTokenizer.from_pretrained(folder), rows), on_card(size)
    assert found["bf16"] < found["int8"] < found["nf4"] < found["fp4"]
    assert card["bf16"] < card["int8"] < card["nf4"] < card["fp4"]
    for precision, kl in found.items():
        assert kl == pytest.approx(card[precision], rel=0.5)  # another CPU rounds otherwise


@pytest.mark.parametrize("size", evaluate.NAMES)
def test_every_model_beats_a_5_gram_model_and_knows_the_talks_sentence(size):
    card = on_card(size)
    for key in [key for key in card if key.startswith("perplexity")]:
        assert card[key] < card[f"5-gram {key}"] / 2
    assert card["rank of the first choice after hàng"] == 1
    assert card["last rank of the other five"] <= 10 and card["least probability of the six"] >= 0.002
    assert card["Linh sense gap in nats"] > 0


@pytest.mark.parametrize("size", CHAT)
def test_chat_models_are_good_enough_to_teach_with(size):
    card = on_card(size)
    assert card["stops by itself"] >= 0.98 and card["free of loops"] >= 0.99
    assert card["names a composed title"] >= 0.98 and card["names a real title"] >= 0.90
    assert card["different bodies of 100 poems"] >= 80


def test_the_larger_model_is_clearly_better():
    small, large = on_card("small-it"), on_card("large-it")
    assert large["sums"] >= 0.95 and large["facts"] >= 0.90
    assert small["one-answer tasks"] <= large["one-answer tasks"] - 0.10
    assert large["perplexity"] < small["perplexity"]
    assert large["perplexity of right answers"] - 1 < 0.7 * (small["perplexity of right answers"] - 1)


def test_fine_tuning_teaches_a_format_and_facts_and_forgets_little():
    card = on_card("small-it")
    assert card["held-out loss after"] < 0.1 * card["held-out loss before"]
    assert card["unseen topics in the new format"] >= 0.8 and card["new facts recalled"] >= 0.4
    assert card["old answers, perplexity times"] <= 1.2 and card["seconds for 300 steps"] <= 60


def test_few_bits_break_the_answers():
    small, large = on_card("small-it"), on_card("large-it")
    assert small["absmax, 3 bits, right"] <= small["absmax, 32 bits, right"] - 0.20
    for card in (small, large):
        assert card["absmax, 2 bits, right"] <= card["absmax, 32 bits, right"] - 0.50


@pytest.mark.parametrize("size", CHAT)
def test_the_talks_prompt_gives_poems_that_differ_by_form(size):
    model, tokenizer = evaluate.load(CHECKPOINTS / evaluate.NAMES[size])
    asks = [f"Write me a {form} about Google I/O event." for form in ("poem", "song", "limerick", "haiku", "rhyme")]
    given = evaluate.answers(model, tokenizer, asks)
    bodies = [text.split("\n\n", 1)[1] for text, _ in given]
    assert all("Google I/O event" in text and stopped and not evaluate.loops(text) for text, stopped in given)
    assert len(set(bodies)) == len(bodies)
    assert len([line for line in bodies[0].splitlines() if line]) >= 8


def test_the_base_model_goes_on_where_the_chat_model_answers():
    ask, right = "What is the capital of Japan?", "The capital of Japan is Tokyo."
    base, it = (evaluate.load(CHECKPOINTS / evaluate.NAMES[size]) for size in ("small", "small-it"))
    written = evaluate.continuation(*base, ask)
    ((answer, stopped),) = evaluate.answers(*it, [ask])
    assert right not in written and len(written) > 20
    assert answer == right and stopped
    assert on_card("small")["questions answered"] <= 0.1


@pytest.mark.parametrize("size", evaluate.NAMES)
def test_the_cards_say_whose_models_these_are(size):
    card = card_of(size)
    assert "not a Google model" in card and "license: apache-2.0" in card and f"train.py {size}" in card

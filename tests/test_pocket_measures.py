"""The shipped pocket models do what their cards say, and what their cards say is good enough to teach with.

The tests marked slow measure a card's numbers again from the shipped weights, on the same prompts. Two of them take less than
the card did: a 5-gram model counts fewer documents, and fine-tuning takes fewer steps. The other tests measure a sample of the
prompts, and compare it with the card as closely as a sample allows.
"""

import re
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from gemma_lab import scores
from pocket import card as cards
from pocket import data, exam, measures, precision, tuning

ROOT = Path(__file__).parent.parent
CHECKPOINTS = ROOT / "gemma_lab" / "checkpoints"

CHAT = ("small-it", "large-it", "gemma2-it")
SAMPLE = exam.one_answer_rows("card")[::5]  # twenty of each kind


def card_of(size: str) -> str:
    return (CHECKPOINTS / cards.NAMES[size] / "README.md").read_text(encoding="utf-8")


def on_card(size: str) -> dict[str, float]:
    """Every number of a card's tables of measures."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d.e+-]+) \|(?: ([\d.]*) \|)?$", card_of(size), re.M)
    found = {key: float(value) for key, value, _ in rows}
    return found | {f"{key}, right": float(right) for key, _, right in rows if right}


@pytest.fixture(scope="module", params=cards.NAMES)
def size(request):
    return request.param


@pytest.fixture(scope="module")
def loaded(size):
    return measures.load(CHECKPOINTS / cards.NAMES[size])


def test_the_weights_are_those_of_the_card(size, loaded):
    """What the talk's texts get, in full; the perplexities and one answer, of a sample."""
    (model, tokenizer), card = loaded, on_card(size)
    (parameters,) = re.findall(r"^\| parameters \| ([\d,]+) \(", card_of(size), re.M)
    assert sum(weight.numel() for weight in model.parameters()) == int(parameters.replace(",", ""))
    after = measures.next_words(model, tokenizer, measures.HANG, measures.HANG_NEXT)
    assert after["đầu"][0] == card["rank of the first choice after hàng"] == 1
    assert max(rank for rank, _ in after.values()) == card["last rank of the other five"] <= 10
    least = min(probability for _, probability in after.values())
    assert least == pytest.approx(card["least probability of the six"], rel=0.03) and least >= 0.002
    gap = measures.sense_gap(model, tokenizer)
    assert gap == pytest.approx(card["Linh sense gap in nats"], abs=0.1) and gap > 0
    rows = measures.fresh_rows(tokenizer, measures.kinds_of(size), 12)
    assert measures.perplexity(model, rows) == pytest.approx(card["perplexity"], rel=0.03)
    if size in CHAT:
        sure = scores.perplexity(scores.answer_log_probs(model, tokenizer, SAMPLE))
        assert sure == pytest.approx(card["perplexity of right answers"], abs=0.02)
        ask, right = "What is the capital of Japan?", "The capital of Japan is Tokyo."
        assert measures.answers(model, tokenizer, [ask]) == [(right, True)]


@pytest.mark.slow
def test_plain_measures_are_those_of_the_card(size, loaded):
    measured = measures.plain_measures(*loaded, measures.kinds_of(size), with_ngram=False)
    card = on_card(size)
    for key, value in measured.items():
        assert value == pytest.approx(card[key], rel=0.02, abs=0.002), key


@pytest.mark.slow
def test_chat_measures_are_those_of_the_card(size, loaded):
    measure = measures.base_measures if size == "small" else measures.chat_measures
    measured, card = measure(*loaded, "card"), on_card(size)
    for key, value in measured.items():
        assert value == pytest.approx(card[key], abs=2 if value > 1 else 0.02), key


@pytest.mark.slow
def test_taking_bits_away_costs_what_the_card_says(size, loaded):
    if size == "small":
        assert "Taking bits away" not in card_of(size)
        return
    rows, card = exam.one_answer_rows("card", data.ROWS_EACH), on_card(size)
    steps = precision.ladder(*loaded, rows)
    for bits, (kl, right) in steps.items():
        assert kl == pytest.approx(card[f"absmax, {bits} bits"], rel=0.1, abs=1e-9)
        assert right == pytest.approx(card[f"absmax, {bits} bits, right"], abs=0.02)
    kls = [kl for kl, _ in steps.values()]
    assert kls == sorted(kls)


@pytest.mark.slow
@pytest.mark.parametrize("size", CHAT)
def test_the_librarys_precisions_hurt_in_the_order_of_the_card(size):
    folder = CHECKPOINTS / cards.NAMES[size]
    rows = exam.one_answer_rows("card", data.ROWS_EACH)
    found, card = precision.library_kl(folder, AutoTokenizer.from_pretrained(folder), rows), on_card(size)
    assert found["bf16"] < found["int8"] < found["nf4"] < found["fp4"]
    assert card["bf16"] < card["int8"] < card["nf4"] < card["fp4"]
    for name, kl in found.items():
        assert kl == pytest.approx(card[name], rel=0.5)  # another CPU rounds otherwise


@pytest.fixture(scope="module")
def five_grams():
    """For each model, a 5-gram model that has counted 10,000 documents of its kinds; the card's has counted 60,000."""
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINTS / cards.NAMES["small"])  # all have this one
    plain, chat = (measures.counted(tokenizer, measures.kinds_of(size), 10_000) for size in ("small", "small-it"))
    return {size: plain if size == "small" else chat for size in cards.NAMES}


@pytest.mark.slow
def test_every_model_beats_a_5_gram_model(size, loaded, five_grams):
    (model, tokenizer), card = loaded, on_card(size)
    texts = {"perplexity": measures.fresh_rows(tokenizer, measures.kinds_of(size))}
    if size in CHAT:
        texts["perplexity of right answers"] = measures.as_packed(tokenizer, SAMPLE)
    for key, rows in texts.items():
        found, yardstick = measures.perplexity(model, rows), measures.ngram_perplexity(five_grams[size], rows)
        assert found < yardstick / 2 and found < card[f"5-gram {key}"] / 2, key
        assert card[f"5-gram {key}"] < yardstick < 2 * card[f"5-gram {key}"], key  # it has read a sixth


@pytest.mark.parametrize("size", CHAT)
def test_chat_models_are_good_enough_to_teach_with(size):
    card = on_card(size)
    assert card["stops by itself"] >= 0.98 and card["free of loops"] >= 0.99
    assert card["names a composed title"] >= 0.98 and card["names a real title"] >= 0.90
    assert card["different bodies of 100 poems"] >= 80
    some = exam.poem_prompts("card")[::9]
    given = measures.answers(*measures.load(CHECKPOINTS / cards.NAMES[size]), [prompt.chat for prompt in some])
    for prompt, (text, stopped) in zip(some, given):
        assert prompt.title in text and stopped and not measures.loops(text), text
    assert len({text.replace(prompt.title, "").split("\n", 1)[-1] for prompt, (text, _) in zip(some, given)}) >= 11


def test_the_larger_model_is_clearly_better():
    perplexity, right, sure = {}, {}, {}
    for size in ("small-it", "large-it"):
        (model, tokenizer), card = measures.load(CHECKPOINTS / cards.NAMES[size]), on_card(size)
        perplexity[size] = measures.perplexity(model, measures.fresh_rows(tokenizer, measures.kinds_of(size), 12))
        given = scores.answer_log_probs(model, tokenizer, SAMPLE)
        right[size], sure[size] = scores.right_answers(given), scores.perplexity(given)
        assert right[size] == pytest.approx(card["one-answer tasks"], abs=0.1)
    assert perplexity["large-it"] < perplexity["small-it"]
    assert right["small-it"] <= right["large-it"] - 0.10
    assert sure["large-it"] - 1 < 0.7 * (sure["small-it"] - 1)
    assert on_card("large-it")["sums"] >= 0.95 and on_card("large-it")["facts"] >= 0.90


@pytest.mark.slow
def test_fine_tuning_teaches_a_format_and_facts_and_forgets_little():
    """A third of the card's steps, on every second row: enough to see what is learned, not how well in the end."""
    card = on_card("small-it")
    assert card["held-out loss after"] < 0.1 * card["held-out loss before"]
    assert card["unseen topics in the new format"] >= 0.8 and card["new facts recalled"] >= 0.4
    assert card["old answers, perplexity times"] <= 1.2 and card["seconds for 300 steps"] <= 60
    found = tuning.lora_measures(CHECKPOINTS / cards.NAMES["small-it"], steps=100, every=2)
    assert found["held-out loss before"] == pytest.approx(card["held-out loss before"], rel=0.05)
    assert found["old answers, perplexity before"] == pytest.approx(card["old answers, perplexity before"], abs=0.03)
    assert found["held-out loss after"] < 0.15 * found["held-out loss before"]
    assert found["unseen topics in the new format"] >= 0.2 and found["new facts recalled"] >= 0.1
    assert found["old answers, perplexity times"] <= 1.4  # the learning rate was high for most of these steps


def test_few_bits_break_the_answers():
    rows, right = scores.one_answer_rows()[::3], {}
    for size in ("small-it", "large-it"):
        (model, tokenizer), card = measures.load(CHECKPOINTS / cards.NAMES[size]), on_card(size)
        for bits in (32, 3, 2):
            coarse = model if bits == 32 else precision.rounded(model, bits)
            right[size, bits] = scores.right_answers(scores.answer_log_probs(coarse, tokenizer, rows))
            assert right[size, bits] == pytest.approx(card[f"absmax, {bits} bits, right"], abs=0.1)
        assert right[size, 2] <= right[size, 32] - 0.50
    assert right["small-it", 3] <= right["small-it", 32] - 0.20


@pytest.mark.parametrize("size", CHAT)
def test_the_talks_prompt_gives_poems_that_differ_by_form(size):
    model, tokenizer = measures.load(CHECKPOINTS / cards.NAMES[size])
    asks = [f"Write me a {form} about Google I/O event." for form in ("poem", "song", "limerick", "haiku", "rhyme")]
    given = measures.answers(model, tokenizer, asks)
    bodies = [text.split("\n\n", 1)[1] for text, _ in given]
    assert all("Google I/O event" in text and stopped and not measures.loops(text) for text, stopped in given)
    assert len(set(bodies)) == len(bodies)
    assert len([line for line in bodies[0].splitlines() if line]) >= 8


def test_the_base_model_goes_on_where_the_chat_model_answers():
    ask, right = "What is the capital of Japan?", "The capital of Japan is Tokyo."
    base, it = (measures.load(CHECKPOINTS / cards.NAMES[size]) for size in ("small", "small-it"))
    written = measures.continuation(*base, ask)
    ((answer, stopped),) = measures.answers(*it, [ask])
    assert right not in written and len(written) > 20
    assert answer == right and stopped
    assert on_card("small")["questions answered"] <= 0.1


@pytest.mark.parametrize("size", cards.NAMES)
def test_the_cards_say_whose_models_these_are(size):
    card = card_of(size)
    assert "not a Google model" in card and "license: apache-2.0" in card and f"-m pocket train {size}" in card

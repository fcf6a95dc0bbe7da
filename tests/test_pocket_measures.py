"""The shipped pocket models do what their cards say, and that is enough to teach with.

The tests marked slow measure every number of a card again from the shipped weights, on the same
prompts. The other tests measure a sample of the prompts, and compare it with the card as closely as
a sample allows. No test reads a card alone: each limit is one for what was measured.
"""

import math
import re

import pytest
import torch

from gemma_lab import coding, sandbox, scores, shapes
from gemma_lab.lessons import nb07_fill, nb07_judge, nb07_judge_box
from pocket import data, exam, measures, pictures, precision, tuning, watch
from pocket.recipes import RECIPES

TEXT = [
    name
    for name, recipe in RECIPES.items()
    if not (recipe.is_code or recipe.is_judge or recipe.is_sight)
]
CODE = [name for name, recipe in RECIPES.items() if recipe.is_code]
CHAT = [name for name in TEXT if RECIPES[name].is_chat]
FINE_TUNED = [name for name, recipe in RECIPES.items() if recipe.is_fine_tuned]
WATCHED = [name for name, recipe in RECIPES.items() if recipe.snapshots]
FIRST_QUESTIONS = {"small-it": 0.75}  # at least so many; all others 0.90
SAMPLE = exam.one_answer_prompts("card")[::5]  # twenty of each kind
ASK, RIGHT = "What is the capital of Japan?", "The capital of Japan is Tokyo."


def folder_of(name: str):
    return RECIPES[name].shipped_folder


def on_card(name: str) -> dict[str, float]:
    """Every number of a card's tables of measures."""
    text = (folder_of(name) / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([\d.e+-]+) \|(?: ([\d.]*) \|)?$", text, re.M)
    found = {key: float(value) for key, value, _ in rows}
    return found | {f"{key}, right": float(right) for key, _, right in rows if right}


@pytest.fixture(scope="module", params=TEXT)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def loaded(name):
    return measures.load(folder_of(name))


@pytest.mark.slow
def test_the_weights_are_those_of_the_card(name, loaded):
    """What the talk's texts get and the perplexity, in full; the answers, of a sample."""
    (model, tokenizer), card = loaded, on_card(name)
    after = measures.next_words(model, tokenizer, measures.HANG, measures.HANG_NEXT)
    assert after["đầu"][0] == card["rank of the first choice after hàng"] == 1
    assert max(rank for rank, _ in after.values()) == card["last rank of the other five"] <= 10
    least = min(probability for _, probability in after.values())
    assert least == pytest.approx(card["least probability of the six"], rel=0.03)
    assert least >= 0.002
    gap = measures.sense_gap(model, tokenizer)
    assert gap == pytest.approx(card["Linh sense gap in nats"], abs=0.1) and gap > 0
    rows = measures.fresh_rows(tokenizer, RECIPES[name].fresh_kinds)
    assert measures.perplexity(model, rows) == pytest.approx(card["perplexity"], rel=0.01)
    if name in CHAT:
        sure = scores.perplexity(scores.answer_log_probs(model, tokenizer, SAMPLE))
        assert sure == pytest.approx(card["perplexity of right answers"], abs=0.02)
        assert measures.answers(model, tokenizer, [ASK]) == [(RIGHT, True)]


@pytest.mark.parametrize("name", CHAT)
def test_packed_rows_have_the_perplexity_of_their_documents_alone(name):
    """One answer after the other by transformers' own loss gives the same."""
    model, tokenizer = measures.load(folder_of(name))
    rows = measures.as_packed(tokenizer, SAMPLE[::6])
    total = count = 0
    for tokens, learned, _ in rows:
        ids = torch.tensor([tokens])
        labels = ids.masked_fill(~torch.tensor([learned]), -100)
        total += model(ids, labels=labels).loss.item() * sum(learned)
        count += sum(learned)
    expected = math.exp(total / count)
    assert measures.perplexity(model, rows) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", CHAT)
def test_first_questions_and_short_sums_are_answered(name):
    model, tokenizer = measures.load(folder_of(name))
    some = (exam.first_questions("dev") + exam.first_questions("card"))[::4]
    given = measures.answers(model, tokenizer, [question.ask for question in some], 90)
    known = measures.lexicon()
    verdicts = [measures.judged(question, *pair, known) for question, pair in zip(some, given)]
    good = measures.share(verdict in ("answered", "declined") for verdict in verdicts)
    assert good >= FIRST_QUESTIONS.get(name, 0.90) - 0.1 and "babble" not in verdicts
    rows = exam.calculation_rows("card")[:181:6]  # sums of one-digit numbers and times tables
    said = measures.answers(model, tokenizer, [row["prompt"] for row in rows], 20)
    right = measures.share(row["answer"] == text for row, (text, _) in zip(rows, said))
    assert right >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", WATCHED)
def test_the_steps_of_a_watched_model_are_those_of_its_card(name):
    """From noise to sense: every step is surer than the one before, and the last writes words."""
    text = (folder_of(name) / "README.md").read_text(encoding="utf-8")
    measured = watch.steps_of(RECIPES[name], folder_of(name))
    written = re.findall(r"^\| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \| (.*) \|$", text, re.M)
    assert [one.step for one in measured] == [int(row[0].replace(",", "")) for row in written]
    for one, (_, perplexity, words, texts) in zip(measured, written):
        assert one.perplexity == pytest.approx(float(perplexity), rel=0.02)
        assert one.words == pytest.approx(float(words), abs=0.05)
        assert " | ".join(text.replace("|", "\\|") for text in one.texts) == texts
    perplexities, words = [one.perplexity for one in measured], [one.words for one in measured]
    assert perplexities == sorted(perplexities, reverse=True)
    assert words[0] < 0.5 and words[-1] == max(words) > 0.95
    _, volcano, cake = measured[-1].texts
    assert volcano.startswith("a mountain from which hot rock comes.")
    assert cake.startswith("bánh nếp vuông ăn ngày Tết.")


@pytest.mark.slow
def test_plain_measures_are_those_of_the_card(name, loaded):
    measured = measures.plain_measures(*loaded, RECIPES[name])
    card = on_card(name)
    for key, value in measured.items():
        assert value == pytest.approx(card[key], rel=0.02, abs=0.002), key


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TEXT if name not in WATCHED], indirect=True)
def test_answers_are_those_of_the_card_and_good_enough(name, loaded):
    is_chat = RECIPES[name].is_chat
    measure = measures.chat_measures if is_chat else measures.base_measures
    measured, card = measure(*loaded, "card"), on_card(name)
    for key, value in measured.items():
        assert value == pytest.approx(card[key], abs=2 if value > 1 else 0.02), key
    if not is_chat:
        assert measured["questions answered"] <= 0.1
        return
    assert measured["stops by itself"] >= 0.98 and measured["free of loops"] >= 0.99
    assert measured["names a composed title"] >= 0.98 and measured["names a real title"] >= 0.90
    assert measured["different bodies of 100 poems"] >= 80
    assert measured["sums"] >= 0.95 and measured["sums of one-digit numbers"] >= 0.97
    for good in ("first questions answered or declined, of 80", "the last 20 of them"):
        assert measured[good] >= FIRST_QUESTIONS.get(name, 0.90)
    assert measured["first questions answered with babble"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAT)
def test_taking_bits_away_costs_what_the_card_says(name):
    rows, card = exam.one_answer_prompts("card", data.ROWS_EACH), on_card(name)
    steps = precision.ladder(*measures.load(folder_of(name)), rows)
    for bits, (kl, right) in steps.items():
        assert kl == pytest.approx(card[f"absmax, {bits} bits"], rel=0.1, abs=1e-9)
        assert right == pytest.approx(card[f"absmax, {bits} bits, right"], abs=0.02)
    kls = [kl for kl, _ in steps.values()]
    assert kls == sorted(kls)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAT)
def test_the_librarys_precisions_hurt_in_the_order_of_the_card(name):
    rows = exam.one_answer_prompts("card", data.ROWS_EACH)
    _, tokenizer = measures.load(folder_of(name))
    found, card = precision.library_kl(folder_of(name), tokenizer, rows), on_card(name)
    assert found["bf16"] < found["int8"] < found["nf4"] < found["fp4"]
    for kind, kl in found.items():
        assert kl == pytest.approx(card[kind], rel=0.5)  # another CPU rounds otherwise


@pytest.mark.slow
def test_every_model_is_surer_than_a_5_gram_model_and_all_but_the_smallest_twice(name, loaded):
    (model, tokenizer), card, recipe = loaded, on_card(name), RECIPES[name]
    texts = {"perplexity": measures.fresh_rows(tokenizer, recipe.fresh_kinds)}
    if recipe.is_chat:
        texts["perplexity of right answers"] = measures.as_packed(tokenizer, SAMPLE)
    for key, rows in texts.items():
        times = 1 if recipe.snapshots else 2
        assert measures.perplexity(model, rows) < card[f"5-gram {key}"] / times, key


@pytest.mark.parametrize("name", CHAT)
def test_poems_stop_name_their_title_and_differ(name):
    some = exam.poem_prompts("card")[::9]
    given = measures.answers(*measures.load(folder_of(name)), [prompt.chat for prompt in some])
    bodies, ended = set(), []
    for prompt, (text, stopped) in zip(some, given):
        assert prompt.title in text, text
        ended.append(stopped and not measures.loops(text))
        bodies.add(text.replace(prompt.title, "").split("\n", 1)[-1])
    assert sum(ended) >= 11 and len(bodies) >= 10  # of 12; the bars of the cards are of 100 and 150


def test_the_larger_model_answers_more_and_is_surer():
    perplexity, right, sure = {}, {}, {}
    for name in ("small-it", "large-it"):
        model, tokenizer = measures.load(folder_of(name))
        rows = measures.fresh_rows(tokenizer, RECIPES[name].fresh_kinds, 12)
        perplexity[name] = measures.perplexity(model, rows)
        given = scores.answer_log_probs(model, tokenizer, SAMPLE)
        right[name], sure[name] = scores.right_answers(given), scores.perplexity(given)
        assert right[name] == pytest.approx(on_card(name)["one-answer tasks"], abs=0.1)
    assert perplexity["large-it"] < perplexity["small-it"]
    assert right["small-it"] < right["large-it"]
    assert sure["large-it"] - 1 < 0.8 * (sure["small-it"] - 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", FINE_TUNED)
def test_fine_tuning_teaches_a_format_and_facts_and_forgets_little(name):
    card, found = on_card(name), tuning.lora_measures(folder_of(name))
    for key, value in found.items():
        if "seconds" not in key:  # another CPU rounds otherwise, 300 times
            assert value == pytest.approx(card[key], rel=0.1, abs=0.1), key
    assert found["held-out loss after"] < 0.05 * found["held-out loss before"]
    assert found["unseen topics in the new format"] >= 0.8
    assert found["new facts recalled"] >= 0.7
    assert found["old answers, perplexity times"] <= 1.1


def test_few_bits_break_the_answers():
    """3 bits break the small model's, 2 bits everyone's; a model that is not rounded keeps them."""
    rows, right = scores.one_answer_rows()[::3], {}
    for name in ("small-it", "large-it"):
        model, tokenizer = measures.load(folder_of(name))
        for bits in (32, 3, 2):
            coarse = model if bits == 32 else precision.rounded(model, bits)
            given = scores.answer_log_probs(coarse, tokenizer, rows)
            right[name, bits] = scores.right_answers(given)
        assert right[name, 2] <= right[name, 32] - 0.50
    assert right["small-it", 3] <= right["small-it", 32] - 0.20


@pytest.mark.parametrize("name", CHAT)
def test_the_talks_prompt_gives_poems_that_differ_by_form(name):
    model, tokenizer = measures.load(folder_of(name))
    forms = ("poem", "song", "limerick", "haiku", "rhyme")
    asks = [f"Write me a {form} about Google I/O event." for form in forms]
    given = measures.answers(model, tokenizer, asks)
    bodies = [text.split("\n\n", 1)[1] for text, _ in given]
    assert all("Google I/O" in text for text, _ in given)
    assert sum(stopped and not measures.loops(text) for text, stopped in given) >= 4
    named = ["Google I/O event" in text for text, _ in given]
    assert named[0] and sum(named) >= 3  # pocket/README.md says where it is misspelt
    assert len(set(bodies)) == len(bodies)
    assert len([line for line in bodies[0].splitlines() if line]) >= 6


def test_the_base_model_goes_on_where_the_chat_model_answers():
    base, it = (measures.load(folder_of(name)) for name in ("small", "small-it"))
    written = measures.continuation(*base, ASK)
    ((answer, stopped),) = measures.answers(*it, [ASK])
    assert RIGHT not in written and len(written) > 20
    assert answer == RIGHT and stopped


# --------------------------------------------------------------------------------- those for code


@pytest.mark.slow
@pytest.mark.parametrize("name", CODE)
def test_every_third_held_out_function_is_written_and_filled_as_the_card_says(name):
    """The bars are 60 % of the bodies and 50 % of the holes."""
    (model, tokenizer), card = measures.load(folder_of(name)), on_card(name)
    rows = coding.functions()[::3]
    bodies = coding.passed([coding.write_body(model, tokenizer, row) for row in rows])
    holes = coding.passed([coding.fill_hole(model, tokenizer, row) for row in rows])
    assert 0.60 <= card["bodies that pass their test (pass@1)"] == pytest.approx(bodies, abs=0.12)
    assert 0.50 <= card["holes filled so that it passes"] == pytest.approx(holes, abs=0.12)


@pytest.mark.slow
@pytest.mark.parametrize("name", CODE)
def test_all_held_out_functions_are_as_on_the_card(name):
    model, tokenizer = measures.load(folder_of(name))
    found = measures.code_measures(model, tokenizer, RECIPES[name], "card")
    assert found == pytest.approx({key: on_card(name)[key] for key in found}, abs=0.03)
    assert found.get("asked for in words: pass", 1) >= 0.60


def test_what_stands_after_a_hole_changes_what_is_written():
    """Where the next line returns `result`, the answer puts something into it."""
    model, tokenizer = measures.load(folder_of("code"))
    rows = [row for row in coding.functions() if "result" not in row["body"]][:8]
    ends = {"\n    return result\n": 0, "\n": 0}
    for row in rows:
        for after in ends:
            prompt = coding.hole_prompt(row["given"] + "    ", after)
            ends[after] += "result = " in coding.write(model, tokenizer, prompt)
    with_result, without = ends.values()
    assert with_result >= 6 and without <= 1


@pytest.mark.slow
def test_without_what_stands_after_it_64_of_120_holes_are_filled():
    """As notebook 07 and pocket/README.md say."""
    model, tokenizer = measures.load(folder_of("code"))
    num_right = 0
    for row in coding.functions():
        wrote = coding.fill(model, tokenizer, row["before"], "")
        num_right += sandbox.run(row["before"] + wrote + row["after"], row["tests"]).passed
    assert num_right == pytest.approx(64, abs=2)


def test_the_example_of_the_box_is_filled_rightly():
    model, tokenizer = measures.load(folder_of("code"))
    before, after = nb07_fill.EXAMPLE.split("___")
    wrote = coding.write(model, tokenizer, coding.hole_prompt(before, after))
    assert sandbox.run(before + wrote + after, nb07_fill.TESTS).passed


# ------------------------------------------------------------------------------------- the judge

JUDGES = [name for name, recipe in RECIPES.items() if recipe.is_judge]
BARS = {"area under the ROC curve": 0.95, "accuracy": 0.90}  # on held-out texts, in each language


@pytest.mark.slow
@pytest.mark.parametrize("name", JUDGES)
def test_a_judge_is_as_good_as_its_card_says_and_good_enough(name):
    """All of its exam, from the shipped weights; the unseen rule and free texts have no bar."""
    found, card = measures.judge_measures(*measures.load(folder_of(name))), on_card(name)
    assert found == pytest.approx({key: card[key] for key in found}, abs=0.012)
    for language in nb07_judge.LANGUAGES.values():
        for measure, bar in BARS.items():
            assert found[f"{measure}, held out, {language}"] >= bar


@pytest.mark.parametrize("name", JUDGES)
def test_a_judge_that_began_to_talk_is_none(name):
    """The model that it goes on from is no better than a guess, by the same measure."""
    model, _ = measures.load(folder_of("gemma2-it"))
    _, tokenizer = measures.load(folder_of(name))
    rows = nb07_judge.texts("held out")[::4]
    scores_of = nb07_judge.probabilities(model, tokenizer, rows)
    points = nb07_judge.roc(scores_of, [row["answer"] for row in rows])
    assert nb07_judge.area(points) < 0.75


@pytest.mark.parametrize("name", JUDGES)
def test_a_judge_reads_the_rule(name):
    """The same text under another rule gets another verdict."""
    model, tokenizer = measures.load(folder_of(name))
    known = nb07_judge_box.rules()
    rows = [row for row in nb07_judge.texts("held out") if row["answer"] == "Yes"]
    rows = [row for row in rows if row["policy"] in ("spoilers", "boasting", "medical", "gossip")]
    under = {"en": known["No Homework"], "vi": known["Không làm bài hộ"]}
    others = [row | {"rule": under[row["language"]]} for row in rows]
    own = nb07_judge.probabilities(model, tokenizer, rows)
    other = nb07_judge.probabilities(model, tokenizer, others)
    assert sum(a > b for a, b in zip(own, other)) >= 0.9 * len(rows)


# ------------------------------------------------------------------------------------ what it sees

SIGHT = [name for name, recipe in RECIPES.items() if recipe.is_sight]
SEEN = {"colour and shape": 0.90, "count, en": 0.70, "count, vi": 0.70}  # of held-out pictures


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGHT)
def test_a_model_sees_as_well_as_its_card_says_and_well_enough(name):
    """All of its exam, from the shipped weights; captions, places and boxes have no bar."""
    found, card = measures.sight_measures(folder_of(name), "card"), on_card(name)
    assert found == pytest.approx({key: card[key] for key in found}, abs=0.03)
    assert all(found[measure] >= bar for measure, bar in SEEN.items())


@pytest.mark.parametrize("name", SIGHT)
def test_without_the_picture_the_answers_are_guesses(name):
    """White paper in place of each picture: the words of a question give nothing away."""
    from transformers import AutoProcessor, PaliGemmaForConditionalGeneration

    model = PaliGemmaForConditionalGeneration.from_pretrained(folder_of(name)).float().eval()
    processor = AutoProcessor.from_pretrained(folder_of(name))
    rows = [row | {"things": []} for row in pictures.exam("card", 12)]
    for row in rows:
        row["asked"] = [one for one in row["asked"] if one[0] in ("colour", "shape")]
    pairs = shapes.graded(model, processor, rows).values()
    assert sum(right for right, _ in pairs) < 0.5 * sum(asked for _, asked in pairs)

"""Notebook 07: what its text says of the models' answers, of their states and of the record."""

import json
import math
import re
from random import Random

import pytest
import torch
from notebook_cells import ROOT, minutes, numbers, run_cells, shown, tagged

from gemma_lab import catalog, coding, memory, profile, shapes
from gemma_lab.lessons import nb07, nb07_judge, nb07_record
from pocket import pictures, see
from pocket.policies import ABBREVIATIONS
from pocket.recipes import RECIPES

NAME = "07_the_family"
CELLS = json.loads((ROOT / "notebooks" / f"{NAME}.ipynb").read_text(encoding="utf-8"))["cells"]
PROSE = "\n".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")
RECORD = nb07.recorded()


def test_the_minutes_hold_that_the_header_states():
    live, alone = map(int, re.search(r"Live: (\d+) .*?: (\d+)\.", PROSE).groups())
    end = next(at for at, cell in enumerate(CELLS) if "## Recap" in "".join(cell["source"]))
    assert minutes(CELLS[:end]) <= live and minutes(CELLS) <= alone


# ---------------------------------------------------------------------------------------- CodeGemma


def test_the_prompt_of_the_notebook_is_the_helpers_own():
    told = {"before": "def f():\n    ", "after": "\n"}
    line = next(one for one in tagged(NAME, "hole-ask").splitlines() if one.startswith("prompt"))
    exec(line, told)
    assert told["prompt"] == coding.hole_prompt(told["before"], told["after"])


def test_the_answer_ends_with_the_token_that_ends_a_file():
    tokens = shown(NAME, "hole-ask")
    assert tokens.count("'<|file_separator|>']") == 1
    assert "".join(re.findall(r"'▁?([^'<]*)'", tokens)).replace("▁", "") == "width*height"


def test_what_stands_after_the_hole_changes_what_is_written():
    first, second = re.findall(r"«(.*)»", shown(NAME, "hole-suffix"))
    assert first.startswith("return ") and second.startswith("result = ")


def test_the_shares_of_the_exam_are_those_that_the_text_reads():
    body, hole = [int(numbers(line)[0]) for line in shown(NAME, "code-exam").splitlines()[:2]]
    assert PROSE.count(f"{body} of 20 bodies and {hole} of 20 holes") == 2
    card = (profile.FAMILY / "pocket-code" / "README.md").read_text(encoding="utf-8")
    shares = re.findall(r"^\| (?:bodies|holes filled so).* \| (.+) \|$", card, re.M)
    bodies, holes = [round(120 * float(share)) for share in shares]
    said = f"All 120 together: {bodies} bodies and {holes} holes"
    assert f"{said} ([its card](../pocket/family/pocket-code/README.md))" in PROSE
    readme = (ROOT / "pocket" / "README.md").read_text(encoding="utf-8")
    tried = readme.split("## What was tried")[1].split("\n## ")[0]
    without = re.search(r"fills (\d+) with what stands after the hole, and (\d+)\s+without", tried)
    record = "../pocket/README.md#what-was-tried"
    assert int(without[1]) == holes  # both are measured in tests/test_pocket_measures.py
    assert f"fills {holes} with it and {without[2]} without ([record]({record}))" in PROSE


def test_the_hole_s_end_helps_with_two_of_twenty():
    num, whole, before = numbers(shown(NAME, "only-before").splitlines()[-1])
    assert (num, whole - before) == (20, 2) and "On these 20 it helps with two" in PROSE


def test_the_270m_is_240_times_as_large_and_takes_six_pieces_for_a_token():
    ours = catalog.find(str(profile.FAMILY / "pocket-code")).num_parameters
    times = catalog.find("google/gemma-3-270m").num_parameters / ours
    assert round(times, -1) == 240 and PROSE.count("240 times as large") == 2
    (line,) = [one for one in shown(NAME, "code-base").splitlines() if "pieces of" in one]
    assert len(re.findall(r"'[^']+'", line)) == 6 and "is six pieces of text" in PROSE


def test_the_recorded_shares_of_the_270m_are_those_of_the_text():
    assert len(coding.functions()) == 120
    for kind, what in {"body": "bodies", "hole": "holes"}.items():
        found = RECORD["code"]["gemma-3-270m"][kind]
        assert found["share"] == pytest.approx(len(found["passed"]) / 120)
        assert f"{len(found['passed'])} of the 120 {what}" in PROSE


def test_what_the_chat_model_wrote_passes():
    assert "Outcome(passed=True" in shown(NAME, "chat-run")


# -------------------------------------------------------------------------------- RecurrentGemma


def test_the_layers_of_the_picture_are_those_of_the_catalog():
    import matplotlib.pyplot as plt

    from gemma_lab.lessons import nb07_views

    kinds = run_cells(NAME, "layer-map", plt=plt, nb07_views=nb07_views)["kinds"]
    plt.close("all")
    assert len(kinds["Gemma 2B"]) == catalog.find("google/gemma-2b").num_hidden_layers
    real = catalog.find("google/recurrentgemma-2b")
    every = (real.config["block_types"] * 9)[: real.num_hidden_layers]
    assert kinds["RecurrentGemma 2B"] == [kind[0] for kind in every]
    tiny = catalog.find("google/gemma-3-270m")
    assert kinds["Gemma 3 270M"] == ["a" if layer.window else "g" for layer in tiny.layers]
    assert (real.attention_window_size, real.lru_width) == (2048, 2560)
    assert "the last 2,048 tokens" in PROSE and "has 2,560 numbers, its" in PROSE


def test_half_of_an_input_is_gone_after_as_many_tokens_as_the_formula_says():
    for line in shown(NAME, "fade").splitlines():
        a, num_tokens, exact = numbers(line)
        assert num_tokens == math.ceil(math.log(0.5) / math.log(a) - 1e-9)
        assert exact == pytest.approx(math.log(0.5) / math.log(a), abs=0.06)
    assert "At 0.99 half is gone after 69 tokens, at 0.999 after 693" in PROSE


def test_heads_that_are_turned_whole_are_mended_and_halves_stay():
    """transformers 5.15 computed `inv_freq` of the whole head; `griffin.py` turns half of it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from gemma_lab.scratch.griffin import RecurrentGemma

    folder = profile.FAMILY / "pocket-recurrent"
    ids = AutoTokenizer.from_pretrained(folder)("A fox, once.", return_tensors="pt")["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        right = RecurrentGemma.from_folder(folder)(ids)
        for turns in (model.model.layers[2].temporal_block.rotary_emb.inv_freq, torch.ones(32)):
            model.model.layers[2].temporal_block.rotary_emb.inv_freq = turns
            assert torch.allclose(nb07.half_rope(model)(ids).logits, right, atol=1e-3)
        model.model.layers[2].temporal_block.rotary_emb.inv_freq = torch.ones(32)
        assert not torch.allclose(model(ids).logits, right, atol=0.1)


def test_griffin_equals_transformers_nearly():
    largest, apart = numbers(shown(NAME, "griffin").splitlines()[-1])
    assert largest > 10 and apart < 1e-4


def test_half_of_the_channels_forget_within_two_tokens_and_one_in_a_hundred_outlasts_the_window():
    from transformers import AutoTokenizer

    from gemma_lab.scratch.griffin import RecurrentGemma

    folder = profile.checkpoint("google/recurrentgemma-2b", "pocket")
    words, ours = AutoTokenizer.from_pretrained(folder), RecurrentGemma.from_folder(folder)
    story = re.search(r'story = "(.+)"', tagged(NAME, "half-lives"))[1]
    for text in (story, *nb07.plain_texts()[:5]):
        lives = torch.tensor(nb07.half_lives(ours, words(text, return_tensors="pt")["input_ids"]))
        assert len(lives) == 384 and 0.4 < (lives <= 2).float().mean() < 0.65
        assert 0.005 < (lives > ours.config.attention_window_size).float().mean() < 0.025


# ------------------------------------------------------------------------------------- what is kept


def test_kept_bytes_are_those_of_the_arithmetic():
    """The record's, of fp32: keys and values by hand, and RecurrentGemma's the same at each."""
    lengths = [row["tokens"] for row in RECORD["kept"]["pocket-small"]]
    assert tuple(lengths) == nb07_record.LENGTHS
    small = [row["bytes"] for row in RECORD["kept"]["pocket-small"]]
    assert small == [4 * 2 * 64 * 4 * length for length in lengths]  # layers, k and v, width, fp32
    assert {row["bytes"] for row in RECORD["kept"]["pocket-recurrent"]} == {38400}
    tiny = catalog.find("google/gemma-3-270m")
    for row in RECORD["kept"]["gemma-3-270m"]:
        by_rule = memory.kv_cache_bytes(tiny, row["tokens"], bytes_per_number=4)
        assert row["bytes"] == pytest.approx(by_rule, rel=0.02)


def test_the_text_reads_the_three_lines_as_they_are():
    grown = {}
    for line in shown(NAME, "kept-ms").splitlines()[::2]:
        name, rest = line.split(":", 1)
        grown[name] = numbers(rest.replace("8,192", ""))[0]
    assert grown["pocket-code"] == 64 and grown["pocket-recurrent"] == 1
    assert f"The 270M keeps {grown['gemma-3-270m']:.0f} times as much" in PROSE
    ms = {
        name: [row["ms"] for row in rows if row["tokens"] in (128, 8192)]
        for name, rows in RECORD["kept"].items()
    }
    first, last = ms["pocket-recurrent"]
    assert f"pocket-recurrent stays at {first:.1f}." in PROSE and f"{first:.1f}" == f"{last:.1f}"
    assert "goes from {:.1f} to {:.1f} ms".format(*ms["pocket-small"]) in PROSE


def test_the_real_ones_by_arithmetic():
    said = shown(NAME, "kept-of-2b")
    by_hand = {  # layers x (k, v) x width x bf16, of 2,048 tokens at most; state: fp32, and conv
        "Gemma 2B": lambda n: 18 * 2 * 256 * 2 * n,
        "RecurrentGemma 2B": lambda n: 8 * 2 * 256 * 2 * min(n, 2047) + 18 * 2560 * (4 + 3 * 2),
    }
    for line in said.splitlines():
        name, num, megabytes, _ = re.match(
            r"(.+?), ([\d,]+) tokens: ([\d.,]+) MB, of that ([\d.]+)", line
        ).groups()
        expected = by_hand[name](int(num.replace(",", ""))) / 1e6
        if (name, num) == ("RecurrentGemma 2B", "2,048"):
            assert f"{float(megabytes):.0f} MB, however long the text" in PROSE
        if (name, num) == ("Gemma 2B", "131,072"):
            assert f"would take {float(megabytes.replace(',', '')) / 1000:.1f} GB" in PROSE
        assert float(megabytes.replace(",", "")) == pytest.approx(expected, abs=0.06)


def test_both_small_models_are_as_sure_of_plain_text():
    lines = shown(NAME, "same-corpus").splitlines()[-2:]
    (_, gemma), (_, recurrent) = [numbers(line.split(":")[1]) for line in lines]
    assert gemma == pytest.approx(recurrent, rel=0.03) and round(gemma, 1) == round(recurrent, 1)
    assert f"Both have a perplexity of about {gemma:.1f}" in PROSE


def test_most_texts_of_the_training_are_shorter_than_a_hundred_tokens():
    from transformers import AutoTokenizer

    from pocket import corpus
    from pocket.recipes import recurrent

    words, rng = AutoTokenizer.from_pretrained(profile.FAMILY / "pocket-recurrent"), Random(1)
    kinds = recurrent.RECIPE.mixes[0]
    texts = [corpus.text_of(corpus.document(rng, kinds)) for _ in range(200)]
    assert sum(len(words(text)["input_ids"]) < 100 for text in texts) > 0.75 * 200


def test_a_second_text_gets_into_the_first():
    alone, mixed = shown(NAME, "two-at-once").splitlines()
    assert alone.split("[")[1] != mixed.split("[")[1]


# ------------------------------------------------------------------------------------- the pictures


def on_card(name: str) -> dict[str, float]:
    """What the card of a pocket model has measured, by the measure's name."""
    card = (profile.FAMILY / name / "README.md").read_text(encoding="utf-8")
    return {
        key: float(value) for key, value in re.findall(r"^\| ([^|]+) \| ([\d.]+) \|$", card, re.M)
    }


def right_of_twelve() -> dict[tuple[str, str], tuple[int, int]]:
    """Task and language -> how many of the twelve pictures' questions are right, and how many."""
    line = re.compile(r"(\w+), (\w+): (\d+) of (\d+) right")
    found = map(line.fullmatch, shown(NAME, "see-exam").splitlines())
    return {(one[1], one[2]): (int(one[3]), int(one[4])) for one in found}


def things_of_the_notebook() -> list[dict]:
    source = tagged(NAME, "see-load")
    told = {"shapes": shapes}
    exec(source[source.index("things = ") : source.index("picture = ")], told)
    return told["things"]


def test_the_parts_of_paligemma_have_the_sizes_that_the_text_says():
    whole, gemma = (catalog.find(f"google/{name}") for name in ("paligemma-3b-mix-224", "gemma-2b"))
    tower = (whole.num_parameters - gemma.num_parameters) / 1e9
    assert f"a Transformer of {tower:.1f} billion parameters" in PROSE
    eyes = whole.whole["vision_config"]
    assert f"has patches of {eyes['patch_size']} pixels, and reads pictures of 224, 448" in PROSE
    ours = catalog.find(str(profile.FAMILY / "pocket-see")).num_parameters
    assert f"{round(whole.num_parameters / ours, -2):,.0f} times as large" in PROSE


def test_a_prompt_is_the_pictures_tokens_then_bos_the_question_and_a_line_break():
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(profile.FAMILY / "pocket-see")
    picture = shapes.draw(things_of_the_notebook())
    text = "<image>answer en how many shapes are there?"
    assert f'prompt = "{text}"' in tagged(NAME, "see-tokens")
    ids = processor(images=picture, text=text, return_tensors="pt")["input_ids"][0]
    tokens = processor.tokenizer.convert_ids_to_tokens(ids)
    num_picture = tokens.count("<image>")
    side, patch = map(int, numbers(shown(NAME, "see-load").splitlines()[-1]))
    assert tokens[:num_picture] == ["<image>"] * num_picture and num_picture == (side // patch) ** 2
    assert tokens[num_picture] == "<bos>" and tokens[-1] == "\n"
    assert shown(NAME, "see-tokens").split() == " ".join(tokens[num_picture:]).split()
    assert num_picture > 2 * (len(tokens) - num_picture) and "The picture is most of it" in PROSE


def test_the_answers_about_the_picture_are_right_but_for_the_count_of_its_circles():
    things = things_of_the_notebook()
    said = dict(line.split(" → ") for line in shown(NAME, "see-ask").splitlines())
    assert said["<image>answer en how many shapes are there?"] == str(len(things))
    assert said["answer en what color is the star?"] == "yellow"
    assert said["answer vi ngôi sao vàng ở đâu?"] == "trên bên trái"
    assert said["caption en"] == "a yellow star, a red circle and a red circle"
    assert pictures.caption(things, is_vi=False) == "a yellow star and two red circles"
    assert "Above, it named two red circles one by one" in PROSE


def test_detect_finds_both_circles():
    _star, *circles = map(shapes.box, things_of_the_notebook())
    found = shapes.boxes(shown(NAME, "see-detect"))
    assert [name for _, name in found] == ["red circle"] * 2
    assert all(shapes.overlap(edges, wanted) >= 0.5 for (edges, _), wanted in zip(found, circles))
    assert f"has {shapes.NUM_BINS:,} tokens for them" in PROSE
    assert f"`<loc0000>` to `<loc{shapes.NUM_BINS - 1:04}>`" in PROSE


def test_the_exam_asks_twelve_pictures_and_the_text_reads_it_as_it_is():
    found, asked = right_of_twelve(), {}
    for row in shapes.exam_rows(12):
        for task, language, *_ in row["asked"]:
            asked[task, language] = asked.get((task, language), 0) + 1
    assert {kind: num for kind, (_, num) in found.items()} == asked
    shares = {kind: right / num for kind, (right, num) in found.items()}
    one_word = ("colour", "shape", "count", "presence")
    assert all(share >= 0.8 for (task, _), share in shares.items() if task in one_word)
    assert max(shares["describe", "en"], shares["describe", "vi"], shares["place", "vi"]) < 0.5


def test_the_shares_of_all_held_out_pictures_are_those_of_the_card():
    card, percent = on_card("pocket-see"), {}
    for measure, share in card.items():
        percent[measure] = f"{100 * share:.0f} %"
    assert f"On all {len(shapes.exam_rows())} held-out pictures it answers" in PROSE
    assert PROSE.count(f"{percent['colour and shape']} of the questions about colour") == 2
    counts = percent["count, en"], percent["count, vi"]
    assert "the counts {} are right in English and {} in Vietnamese".format(*counts) in PROSE
    boxed = percent["describe, en"], percent["detect, en"]
    assert "captions in English {} are right, and {} of the boxes".format(*boxed) in PROSE
    assert max(card["describe, en"], card["describe, vi"]) < 0.5 and card["place, vi"] < 0.5
    assert "less than half of the captions" in PROSE
    assert card["colour and shape"] >= 0.9 and min(card["count, en"], card["count, vi"]) >= 0.7


def test_the_text_says_how_many_pictures_and_kinds_ours_learned_from():
    num = RECIPES["see"].steps * see.PICTURES
    assert f"It saw {num:,} pictures." in PROSE
    assert (len(shapes.SHAPES), len(shapes.COLOURS)) == (4, 6)
    assert "Ours knows four shapes in six colours" in PROSE


# ---------------------------------------------------------------------------------------- the judge


def test_the_prompt_shown_holds_the_text_and_the_rule_between_the_marks():
    said = shown(NAME, "judge-model")
    assert "Gemma2ForCausalLM" in said
    turn = re.search(r"<start_of_turn>\nHuman Question: (.*)\n<end_of_turn>", said)
    assert (
        turn[1] in tagged(NAME, "judge-model") and "No Spoilers" in said.split("<end_of_turn>")[1]
    )


def test_one_word_decides_the_judges_score():
    tokens, *lines = shown(NAME, "judge-score").splitlines()
    assert tokens.endswith("['Y', 'No']")
    (first, *_), (second, *_) = map(numbers, lines)
    assert first > 0.5 > second and f"says {first:.2f} and {second:.2f}: one word" in PROSE
    told, other = (line.split("  ")[1].split() for line in lines)
    assert len(told) == len(other) and sum(a != b for a, b in zip(told, other)) == 1


def test_the_judges_exam_is_that_of_its_card_and_of_the_text():
    card = on_card("pocket-shield")
    for line in shown(NAME, "judge-exam").splitlines()[:2]:
        language, rest = line.split(": ", 1)
        area, right = numbers(rest)
        assert area == pytest.approx(
            card[f"area under the ROC curve, held out, {language}"], abs=0.012
        )
        assert right == pytest.approx(100 * card[f"accuracy, held out, {language}"], abs=1.2)
        assert f"{area:.2f} in {language}" in PROSE and f"{right:.0f} %" in PROSE


def test_where_the_judge_fails_is_said_as_it_is():
    lines = shown(NAME, "judge-failures").split("\n\n")[0].splitlines()
    areas = {line.split(":")[0]: numbers(line.split("area")[1])[0] for line in lines}
    unseen = [areas[f"unseen policy, {language}"] for language in ("English", "Vietnamese")]
    assert "the areas are {:.2f} and {:.2f}".format(*unseen) in PROSE
    own = [numbers(line.split("verdicts")[1]) for line in lines if line.startswith("own words")]
    wrong = sum(round(num * (1 - share / 100)) for share, num in own)
    assert f"Of our {sum(int(num) for _, num in own)} free texts it misjudges {wrong}" in PROSE


def test_the_exam_has_as_many_texts_and_rules_as_the_text_says_and_some_near_a_border():
    held_out = nb07_judge.texts("held out")
    assert len({row["policy"] for row in held_out}) == 10
    assert f"the exam: {len(held_out)} texts under ten rules" in PROSE
    (unseen,) = {row["policy"] for row in nb07_judge.texts("unseen policy")}
    rules = {row["rule"] for row in nb07_judge.texts("unseen policy")}
    assert any(rule.startswith('"No Personal Data"') for rule in rules)
    assert all(row["policy"] != unseen for row in nb07_judge.texts("dev", "held out"))
    kept = {}
    for row in held_out:
        if row["answer"] == "No":
            kept.setdefault(row["policy"], []).append(row["text"])
    assert sum(any(one in text.split() for one in ABBREVIATIONS) for text in kept["shouting"]) > 3
    assert any("end of the road" in text for text in kept["spoilers"])


def test_the_judge_is_sure_where_it_is_wrong_in_free_texts():
    wrong = shown(NAME, "judge-failures").split("\n\n")[1].splitlines()
    assert len(wrong) == 8
    assert all(not 0.05 < numbers(line)[0] < 0.95 for line in wrong)


def test_the_recap_states_the_areas_that_were_found():
    lines = shown(NAME, "judge-exam").splitlines()[:2]
    known = [numbers(line.split(": ", 1)[1])[0] for line in lines]
    lines = shown(NAME, "judge-failures").splitlines()
    unseen = [numbers(line.split("area")[1])[0] for line in lines if line.startswith("unseen")]
    assert len(known) == len(unseen) == 2
    (high,) = {f"{area:.2f}" for area in known}
    assert all(abs(area - 0.5) < 0.06 for area in unseen)
    assert f"the areas under the curve fell from {high} to about 0.5" in PROSE


# ----------------------------------------------------------------------------- the newest relatives


def test_the_newest_relatives_stand_with_date_purpose_and_source():
    said = shown(NAME, "relatives-table").splitlines()
    heads, notes, sources = said[::3], said[1::3], said[2::3]
    names = [re.match(r"[\d-]+  (.+) \(", head)[1] for head in heads]
    wanted = ("FunctionGemma", "T5Gemma 2", "TranslateGemma", "EmbeddingGemma", "DiffusionGemma")
    assert {*wanted} <= {*names}
    dates = [head.split()[0] for head in heads]
    assert all(re.fullmatch(r"202[56]-\d\d(-\d\d)?", date) for date in dates)
    assert [date[:7] for date in dates] == sorted(date[:7] for date in dates)
    assert all(note.strip() for note in notes)
    assert all(source.strip().startswith("https://") for source in sources)
    assert "since September 2025, oldest first" in PROSE and min(dates) >= "2025-09"


def test_the_talk_knew_five_of_the_family():
    import csv

    with (catalog.DATA / "variants.csv").open(encoding="utf-8") as file:
        known = [row["name"] for row in csv.DictReader(file) if row["released"] < "2024-07"]
    assert len(known) == 5 and "The talk of July 2024 knew five of the family" in PROSE

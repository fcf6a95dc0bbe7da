"""The game of 01: who gets a point, and that a text box and Enter are enough to play it."""

import unicodedata

import pytest
import torch

from gemma_lab import profile
from gemma_lab.lessons import nb01_game


def loaded(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def pocket():
    return loaded(str(profile.CHECKPOINTS / "pocket-small"))


def test_the_last_word_is_hidden_without_its_mark_and_with_composed_accents():
    assert nb01_game.split("  Trời mưa   to. ") == ("Trời mưa", "to")
    apart = unicodedata.normalize("NFD", "Một tuần có bảy ngày")
    assert nb01_game.split(apart) == ("Một tuần có bảy", "ngày")


@pytest.mark.parametrize("sentence", ["", "  ", "word", "word .", "…"])
def test_one_word_is_no_round(sentence):
    with pytest.raises(ValueError, match="at least two words: the last one is hidden"):
        nb01_game.split(sentence)


def test_chances_and_bars_are_the_librarys(pocket):
    model, tokenizer = pocket
    found = nb01_game.play(*pocket, "Một tuần có bảy ngày", "tháng")
    with torch.no_grad():
        inputs = tokenizer("Một tuần có bảy", return_tensors="pt")
        shares = model(**inputs).logits[0, -1].double().softmax(-1)
    ranked = shares.argsort(descending=True)[:5]
    assert list(found["top"].values()) == pytest.approx(shares[ranked].tolist(), rel=1e-4)
    assert list(found["top"]) == tokenizer.convert_ids_to_tokens(ranked.tolist())
    right = tokenizer.convert_tokens_to_ids("▁ngày")
    assert found["right"] == ("▁ngày", pytest.approx(shares[right].item(), rel=1e-4))
    assert found["model"] and not found["you"] and found["yours"][0] == "▁th"


@pytest.mark.parametrize(
    "guess", ["ngày", " NGÀY. ", unicodedata.normalize("NFD", "ngày"), "ngày x"]
)
def test_a_right_guess_is_right_however_it_is_typed(pocket, guess):
    assert nb01_game.play(*pocket, "Một tuần có bảy ngày", guess)["you"]


@pytest.mark.parametrize(
    "guess, word",
    [
        ("Nội", "Nội"),
        ("Hà Nội", "Nội"),
        (unicodedata.normalize("NFD", "là HÀ, nội."), "nội"),
        ("Thủ đô của Việt Nam là Hà Nội", "Nội"),
        ("Hà", "Hà"),  # nothing else is left to judge
        ("Hà Hà", "Hà"),
        ("à Nội", "à"),  # a part of a word repeats nothing
        ("Đà Nẵng", "Đà"),
        ("...", "..."),
    ],
)
def test_words_that_stand_there_already_are_no_part_of_a_guess(guess, word):
    assert nb01_game.new_word("Thủ đô của Việt Nam là Hà", guess) == word


def test_who_types_the_whole_name_of_the_capital_gets_the_point(pocket):
    sentence = "Thủ đô của Việt Nam là Hà Nội"
    assert nb01_game.ROUNDS[sentence].endswith("is Hà …")
    assert nb01_game.play(*pocket, sentence, "Hà Nội.")["you"]
    assert not nb01_game.play(*pocket, sentence, "Hà")["you"]


@pytest.mark.parametrize("guess", ["tháng", "ng", ".", "<eos>", "🙂"])
def test_a_wrong_guess_is_wrong(pocket, guess):
    found = nb01_game.play(*pocket, "Một tuần có bảy ngày", guess)
    assert not found["you"] and 0 <= found["yours"][1] < 0.1


def test_a_word_of_more_tokens_is_judged_and_shown_by_its_first(pocket):
    found = nb01_game.play(*pocket, "The cat drinks a bowl of milk", "milk")
    assert found["right"][0] == "▁m" and found["you"]
    assert "The model gave <i>milk</i> (first token ▁m) " in nb01_game.in_words(found)
    found = nb01_game.play(*pocket, "Một tuần có bảy ngày", "ngày")
    assert "first token" not in nb01_game.in_words(found)


def test_a_round_is_told_in_the_learners_words():
    found = {"word": "milk", "guess": "water", "you": False, "model": False, "top": {}}
    found |= {"right": ("▁milk", 0.077), "yours": ("▁water", 0.405)}
    wanted = "Nobody found it. The model gave <i>milk</i> 7.7 %, and your <i>water</i> 40.5 %."
    assert wanted in nb01_game.in_words(found)
    found |= {"guess": "1<2", "yours": ("▁", 0.004), "model": True}
    said = nb01_game.in_words(found)
    assert "The model found it." in said
    assert "and your <i>1&lt;2</i> (its first token is the space) 0.4 %." in said
    assert "your" not in nb01_game.in_words(found | {"you": True})


def test_ten_rounds_are_played_with_the_box_alone(pocket):
    told, asked, guess, own = nb01_game.game(*pocket).children
    sentences = list(nb01_game.ROUNDS)
    assert len(sentences) == 10 and "Rounds: 0." in asked.value
    won = 0
    for count, sentence in enumerate(sentences, 1):
        before, word = nb01_game.split(sentence)
        assert before in asked.value and f"{before} {word}" not in asked.value
        guess.set_state({"value": word if count % 2 else "x"})  # as a browser does, at Enter
        assert guess.value == ""  # ready for the next
        won += nb01_game.play(*pocket, sentence, "x")["model"]
        text = f"Rounds: {count}. Points: you {(count + 1) // 2}, the model {won}."
        assert text in asked.value and word in told.value and told.value.count("%") >= 6
    assert "The end" in asked.value and won > 0
    guess.value = "more"
    assert "Rounds: 10." in asked.value


def test_a_sentence_of_your_own_is_the_next_round(pocket):
    told, asked, guess, own = nb01_game.game(*pocket, {"a b": ""}).children
    own.value = "alone"
    assert "at least two words" in told.value and own.value == "alone"  # to be mended
    assert 'role="status"' in told.value
    own.value = "I <3 my cat"
    assert own.value == "" and told.value == ""
    assert "I &lt;3 my …" in asked.value and "cat" not in asked.value
    guess.value = "Cat"
    assert "Points: you 1" in asked.value and "<b>a …</b>" in asked.value


def test_boxes_have_labels_and_the_points_are_announced(pocket):
    told, asked, guess, own = nb01_game.game(*pocket).children
    assert guess.description == "Your guess" and own.description == "Your own"
    assert guess.placeholder and own.placeholder and 'role="status"' in asked.value
    assert not guess.continuous_update and not own.continuous_update
    guess.value = "x"
    assert told.value.startswith('<div role="status">')


def test_a_picture_stands_for_the_game_and_gives_no_round_away(pocket):
    assert nb01_game.EXAMPLE not in nb01_game.ROUNDS
    figure = nb01_game.picture(*pocket)
    found = nb01_game.play(*pocket, nb01_game.EXAMPLE, "x")
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == pytest.approx([100 * share for share in found["top"].values()])


def test_every_vietnamese_sentence_has_a_gloss():
    for sentence, gloss in nb01_game.ROUNDS.items():
        assert bool(gloss) != sentence.isascii(), sentence


@pytest.mark.slow
def test_the_270m_is_sure_as_the_text_says_and_each_hidden_word_is_one_token(real_gemma):
    model, tokenizer = loaded(real_gemma)
    found = {
        sentence: nb01_game.play(model, tokenizer, sentence, "x") for sentence in nb01_game.ROUNDS
    }
    for one in found.values():
        assert one["right"][0] == f"▁{one['word']}"
    by_word = {one["word"]: one for one in found.values()}
    assert by_word["Nội"]["right"][1] > 0.95 and by_word["air"]["right"][1] > 0.85
    bus = nb01_game.play(model, tokenizer, nb01_game.EXAMPLE, "x")["top"]
    assert 0.215 < bus["▁the"] < 0.225 and 0.115 < bus["▁bus"] < 0.125  # 22 % and 12 %

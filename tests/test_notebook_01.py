"""Numbers that the text of notebook 01 reads off plots, data, and the 270M's stored answers."""

import re

import pytest
from notebook_cells import numbers, shown, values_after

NAME = "01_nlp_basics"

ASKED = {
    "order-bars": {
        "scores": "scores",
        "senses": "list(senses)",
        "shown": "[shown[row['order']] for row in talk['orders']]",
        "mean": "mean",
    },
    "languages": {"recorded": "recorded", "ours": "ours"},
    "next-word-bars": {"top": "list(top)", "first": "first"},
}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    return values_after(NAME, ASKED, tmp_path_factory.mktemp("home"))


def test_the_eight_orders_that_make_sense_are_the_likeliest_of_120(notebook):
    found = notebook["order-bars"]
    ranking = sorted(found["scores"], key=found["scores"].get, reverse=True)
    assert len(ranking) == 120 and sorted(ranking[:8]) == sorted(found["senses"])
    assert found["scores"][ranking[7]] > found["scores"][ranking[8]] + 1  # no rounding decides it


def test_each_of_them_is_ten_times_likelier_than_the_mean_of_the_others(notebook):
    found = notebook["order-bars"]
    others = [score for text, score in found["scores"].items() if text not in found["senses"]]
    assert len(others) == 112 and found["mean"] == pytest.approx(sum(others) / 112)
    assert len(found["shown"]) == 8 and min(found["shown"]) > found["mean"] + 2.3


def test_one_story_costs_gemma_a_fifth_more_tokens_in_vietnamese(notebook):
    found = notebook["languages"]
    assert found["recorded"] == {
        "English": 50,
        "Vietnamese": 60,
        "French": 57,
        "Indonesian": 50,
        "Japanese": 54,
    }
    assert found["ours"] == 312  # the last line, Japanese, by the pocket tokenizer


def test_the_talks_ending_is_the_likeliest_and_the_other_five_follow(notebook):
    found = notebook["next-word-bars"]
    assert len(found["top"]) == 10 and found["top"][0] == found["first"]["đầu"] == "đầu"
    assert set(found["top"][:6]) == set(found["first"].values()) and len(found["first"]) == 6


def test_the_270m_finds_a_listed_order_likelier_in_four_of_five_pairs():
    said = shown(NAME, "real-orders")
    listed, share = re.search(r"(\d+) listed orders.* in (\d+)%", said).groups()
    places = said.split("eight:")[1]
    assert listed == "25" and 78 <= int(share) <= 86
    first, *_, last = numbers(places.splitlines()[0])
    assert 1 <= first <= 8 and 55 <= last <= 80
    assert "không đến linh bảo sao" in said


def test_the_270m_puts_the_talks_ending_first_and_the_five_others_far_behind():
    rows = [line.split("place") for line in shown(NAME, "real-next-word").splitlines()[:6]]
    place = {row.split()[0]: numbers(rest.replace(",", "")) for row, rest in rows}
    assert place["đầu"][0] == 1 and place["đầu"][1] > 98
    at, _, one_in = place["ngày"]
    assert 2 <= at <= 12 and one_in > 1000
    assert min(place[word][0] for word in ("giả", "hóa", "rẻ", "sỉ")) > 30


def test_the_270m_says_daily_for_exercise_and_work_and_is_unsure_at_the_market():
    lines = shown(NAME, "contexts").splitlines()
    real = [line.split("270M")[1] for line in lines if "270M" in line]
    pocket = [line.split("pocket")[1] for line in lines if "pocket" in line]
    assert numbers(real[0])[0] < 20 and all("ngày" in line.split(",")[0] for line in real[1:])
    assert pocket[0].split()[0] == pocket[2].split()[0] == "r"


def test_gemma_3_has_a_piece_for_the_emoji_and_none_for_numbers():
    rows = shown(NAME, "samples").splitlines()
    assert "Gemma 3" in rows[-1] and rows[-1].split(":")[0].endswith(" 1 tokens")
    assert rows[13].split("tokens: ")[1].endswith("2 0 6 1")

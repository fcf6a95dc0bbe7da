"""Numbers that the text of notebook 01 reads off plots and data, from its executed cells."""

import pytest
from notebook_cells import values_after

ASKED = {
    "order-bars": {
        "scores": "scores",
        "senses": "list(senses)",
        "shown": "[shown[row['order']] for row in talk['orders']]",
        "mean": "mean",
    },
    "languages": {"real": "real", "ours": "ours"},
    "next-word-bars": {"top": "list(top)", "first": "first"},
}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    return values_after("01_nlp_basics", ASKED, tmp_path_factory.mktemp("home"))


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
    assert found["real"] == {
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

"""Numbers that the text of notebook 01 reads off plots, data, and the 270M's stored answers."""

import json
import math
import re
from importlib.resources import files

import pytest
import torch
from notebook_cells import ROOT, code_cells, minutes, numbers, run_cells, shown, tags, values_after

from gemma_lab.lessons import nb01, nb01_views, views

NAME = "01_nlp_basics"

ASKED = {
    "order-bars": {
        "scores": "scores",
        "senses": "list(senses)",
        "shown": "[shown[row['order']] for row in talk['orders']]",
        "mean": "mean",
        "powers": "[nb01_views.power_of_ten(o['order'], model, tokenizer) for o in talk['orders']]",
    },
    "languages": {"recorded": "recorded", "ours": "ours"},
    "next-word-bars": {"top": "list(top)", "first": "first"},
}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    return values_after(NAME, ASKED, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def cells():
    text = (ROOT / "notebooks" / f"{NAME}.ipynb").read_text(encoding="utf-8")
    return json.loads(text)["cells"]


def starts(cells, heading: str) -> int:
    """The place of the cell that begins with a heading."""
    return next(at for at, cell in enumerate(cells) if "".join(cell["source"]).startswith(heading))


def test_the_minutes_hold_that_the_header_states(cells):
    header = "".join(cells[0]["source"])
    live = int(re.search(r"Live: (\d+) minutes\.", header)[1])
    assert minutes(cells[: starts(cells, "## Recap")]) <= live == 15


def test_a_learner_types_within_two_minutes(cells):
    box = next(at for at, cell in enumerate(cells) if "first-words" in tags(cell))
    prose = [cell for cell in cells[:box] if cell["cell_type"] == "markdown"]
    assert minutes(prose) <= 2
    assert "first-words" in tags(code_cells(NAME)[2])  # after set-up


def test_words_are_explained_before_they_are_used(cells):
    """Each stands in bold where it is explained; no cell of code uses a shape's letter before."""
    text = "\n".join("".join(cell["source"]) for cell in cells[2:])  # after the goals
    words = "token tokenizer vocabulary probability parameters logit softmax temperature top-p"
    for word in words.split():
        bold = re.search(rf"\*\*{word}s?\*\*", text, re.IGNORECASE)
        first = re.search(rf"(?<![_.\w-]){word}(?![_\w(-])", text, re.IGNORECASE)
        assert bold and bold.start() + 2 - first.start() < 150, word
    assert text.index("T is the number of tokens") < text.index("(1, T)")


def test_each_answer_of_an_exercise_is_used_below_it(cells):
    for name in ("my_pair", "my_line", "my_top_p"):
        users = [cell for cell in cells if re.search(rf"\b{name}\b", "".join(cell["source"]))]
        assert sum(cell["cell_type"] == "code" for cell in users) >= 2, name


def test_every_topic_of_the_talk_keeps_a_place(cells):
    text = "\n".join("".join(cell["source"]) for cell in cells)
    for topic in (
        "eight orders",
        "con ngựa",
        "gather experts|gathers experts",
        r"talk\[\"endings\"\]",
        "fields_of_ai",
        "Natural language processing",
        "statistical",
        "large language model",
        r"nb01_diagrams\.transformer",
    ):
        assert re.search(topic, text), topic


def test_the_eight_orders_that_make_sense_are_the_likeliest_of_120(notebook):
    found = notebook["order-bars"]
    ranking = sorted(found["scores"], key=found["scores"].get, reverse=True)
    assert len(ranking) == 120 and sorted(ranking[:8]) == sorted(found["senses"])
    assert found["scores"][ranking[7]] > found["scores"][ranking[8]] + 1  # no rounding decides it


def test_each_of_them_is_20_nats_above_the_mean_of_the_others(notebook):
    found = notebook["order-bars"]
    others = [score for text, score in found["scores"].items() if text not in found["senses"]]
    assert len(others) == 112 and found["mean"] == pytest.approx(sum(others) / 112)
    assert len(found["shown"]) == 8 and min(found["shown"]) > 20


def test_the_function_of_the_view_is_the_one_that_is_written_out_below(notebook):
    found = notebook["order-bars"]
    nats = [power * math.log(10) for power in found["powers"]]
    assert nats == pytest.approx([above + found["mean"] for above in found["shown"]], rel=1e-4)


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


def test_one_order_is_thousands_of_times_likelier_for_the_270m_than_another():
    lines = shown(NAME, "word-order").splitlines()
    powers = {line.split(" 10^")[0].strip(): numbers(line)[-1] for line in lines}
    assert len(powers) == 8 and max(powers.values()) == powers["Linh không đến, bảo sao."]
    factor = 10 ** (powers["Linh không đến, bảo sao."] - powers["Không đến, Linh bảo sao?"])
    assert min(powers.values()) == powers["Không đến, Linh bảo sao?"]
    assert 6000 < factor < 9000


def test_the_270m_finds_a_listed_order_likelier_in_four_of_five_pairs():
    said = shown(NAME, "real-orders")
    listed, share = re.search(r"(\d+) listed orders.* in (\d+)%", said).groups()
    places = said.split("eight:")[1]
    assert listed == "25" and 78 <= int(share) <= 86
    first, *_, last = numbers(places.splitlines()[0])
    assert 1 <= first <= 8 and 55 <= last <= 80
    assert "không đến linh bảo sao" in said


def test_the_270m_puts_the_talks_ending_first_and_the_five_others_far_behind():
    rows = [line.split("#") for line in shown(NAME, "real-next-word").splitlines()]
    found = {row.split(":")[0].strip(): numbers(rest.replace(",", "")) for row, rest in rows}
    assert found["hàng đầu"][0] == 1 and found["hàng đầu"][1] > 98
    assert 2 <= found["hàng ngày"][0] <= 12 and found["hàng ngày"][1] < 0.1
    far = [found[f"hàng {word}"] for word in ("giả", "hóa", "rẻ", "sỉ")]
    assert min(place for place, _ in far) > 30 and max(share for _, share in far) < 0.01


def test_between_temperature_1_9_and_2_the_270m_gives_the_ending_less_than_half():
    cold, one, warm = (numbers(line)[-1] for line in shown(NAME, "temperature").splitlines())
    assert cold > 0.999 and one > 0.98 and 0.42 < warm < 0.47


@pytest.mark.slow
def test_at_1_9_it_still_has_half_and_the_line_of_the_poem_has_7_and_9_tokens(real_gemma):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(real_gemma, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(real_gemma)
    data = files("gemma_lab").joinpath("data/vietnamese.json").read_text(encoding="utf-8")
    logits = views.next_logits(model, tokenizer(json.loads(data)["sentence"])["input_ids"])
    assert nb01_views.reshape(logits, 1.9).max() > 0.5 > nb01_views.reshape(logits, 2.0).max()
    lines = ("Write a poem about the river.", "Viết một bài thơ về dòng sông.")
    assert [len(nb01_views.numbered(tokenizer, line)) for line in lines] == [7, 9]


@pytest.mark.parametrize(
    "answer, shown",
    [(nb01.my_top_p, "1 by yours"), (lambda ps, p: ..., "– by yours"), (min, "– by yours")],
    ids=["right", "untouched", "wrong"],
)
def test_a_function_that_is_not_right_stops_no_run_all(answer, shown, capsys):
    logits = torch.tensor([9.0, 0, 0, 0])
    names = {"nb01": nb01, "nb01_views": nb01_views, "my_top_p": answer}
    names |= {"talk": {"sentence": "a b"}, "contexts": ["c d"], "real": None}
    names |= {"real_tokenizer": None, "next_logits": lambda text, model, tokenizer: logits}
    run_cells(NAME, "top-p-real", **names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.endswith(f"1 kept by top-p, {shown}") for line in lines)


def test_top_p_keeps_one_token_where_the_270m_is_sure_and_hundreds_where_not():
    sure, unsure = shown(NAME, "top-p-real").splitlines()
    assert "1 kept" in sure and 100 < numbers(unsure.split(":")[1].replace(",", ""))[0] < 2000


def test_the_270m_says_daily_for_exercise_and_work_and_is_unsure_at_the_market():
    lines = shown(NAME, "contexts").splitlines()
    real = [line.split("270M")[1] for line in lines if "270M" in line]
    pocket = [line.split("pocket")[1] for line in lines if "pocket" in line]
    assert numbers(real[0])[0] < 20 and all("ngày" in line.split(",")[0] for line in real[1:])
    assert pocket[0].split()[0] == pocket[2].split()[0] == "▁r"


def test_gemma_3_has_a_piece_for_the_emoji_and_none_for_numbers():
    rows = shown(NAME, "samples").splitlines()
    assert "Gemma 3" in rows[-1] and rows[-1].split(":")[0].endswith(" 1 token")
    assert rows[13].split("tokens: ")[1].endswith("2 0 6 1")

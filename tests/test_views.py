"""The views answer to their buttons and sliders, agree with transformers, and leave a picture."""

import html
import itertools

import ipywidgets
import matplotlib
import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

matplotlib.use("Agg")
from gemma_lab import figures, profile
from gemma_lab.hardware import T4
from gemma_lab.lessons import nb01, nb02, views

WORDS = ["Linh", "bảo", "sao"]
SCORES = {
    " ".join(order).lower(): -float(i) for i, order in enumerate(itertools.permutations(WORDS))
}


def test_pressing_the_words_tells_their_sense_and_place():
    view = nb01.word_order(WORDS, SCORES, {"linh bảo sao": "Linh asks <why>."})
    row, said = view.children
    *buttons, again = row.children
    assert "order of your own" in said.value
    for button in buttons:
        button.click()
    assert (
        "Linh bảo sao" in said.value
        and "Linh asks &lt;why&gt;." in said.value
        and "place 1 of 6" in said.value
    )
    assert all(button.disabled for button in buttons)
    again.click()
    assert not any(button.disabled for button in buttons) and "order of your own" in said.value
    for button in reversed(buttons):
        button.click()
    assert "No sense that we know of" in said.value and "place 6 of 6" in said.value


@pytest.mark.parametrize(
    "temperature, top_k, top_p",
    [(1.0, 0, 1.0), (0.7, 0, 1.0), (2.0, 5, 1.0), (1.3, 0, 0.8), (0.5, 4, 0.6)],
)
def test_reshape_is_what_generate_samples_from(temperature, top_k, top_p):
    torch.manual_seed(0)
    logits = torch.randn(1, 12, dtype=torch.float64) * 2
    warped = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        warped = TopKLogitsWarper(top_k)(None, warped)
    if top_p < 1:
        warped = TopPLogitsWarper(top_p)(None, warped)
    wanted = warped.softmax(-1)[0].tolist()
    got = nb01.reshape(dict(enumerate(logits.softmax(-1)[0].tolist())), temperature, top_k, top_p)
    assert list(got.values()) == sorted(got.values(), reverse=True)
    assert {token: p for token, p in enumerate(wanted) if p > 0} == pytest.approx(got)


@pytest.mark.parametrize("temperature", [0, 0.0, 1e-300, 0.005, 1e300])
def test_reshape_stands_the_ends_of_its_knobs(temperature):
    """0 is greedy; a flat distribution, and a token of probability 0, overflow nothing."""
    likely = {"a": 2e-7, "b": 1e-7, "c": 0.0} | {str(i): 1e-7 for i in range(9)}
    got = nb01.reshape(likely, temperature=temperature)
    assert sum(got.values()) == pytest.approx(1) and next(iter(got)) == "a"
    assert got["a"] == pytest.approx(1 if temperature < 1 else 1 / 11)  # "c" has no chance
    assert len(nb01.reshape(likely, top_p=0)) == 1
    assert temperature > 0 or len(got) == 1


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_reshape_refuses_what_is_no_temperature(temperature):
    with pytest.raises(ValueError, match="must be 0 or a number above it"):
        nb01.reshape({"a": 1.0}, temperature=temperature)


def test_the_sliders_change_the_bars():
    view = nb01.next_word({"a": 0.5, "b": 0.25, "c": 0.125, "<d>": 0.125})
    temperature, top_k, top_p, chart = view.children
    assert (
        "4 tokens are left" in chart.value
        and "&lt;d&gt;" in chart.value
        and "Entropy 1.75 bits" in chart.value
    )
    top_k.value = 2
    assert "2 tokens are left" in chart.value and "66.7 %" in chart.value
    top_k.value, top_p.value = 0, 0.5
    assert "1 token is left" in chart.value and "100.0 %" in chart.value
    top_p.value, temperature.value = 1.0, 0.1
    assert "99.9 %" in chart.value
    temperature.value = 0
    assert "1 token is left" in chart.value and "100.0 %" in chart.value


@pytest.fixture
def drawn(monkeypatch):
    """The texts and titles of every figure that a view draws."""
    found = []

    def png(figure, right=figures.png):
        words = [text.get_text() for axis in figure.axes for text in axis.texts]
        found.append(
            [figure.get_suptitle(), *(axis.get_title("left") for axis in figure.axes), *words]
        )
        return right(figure)

    monkeypatch.setattr(figures, "png", png)
    return found


def test_more_memory_fits_more(drawn):
    slider, image = nb02.fits(["google/gemma-7b-it", "google/gemma-2b-it"], T4).children
    before = image.value
    slider.value = 80
    assert image.value != before and bytes(image.value).startswith(b"\x89PNG")
    slider.value = 2
    counts = [sum("fits" in text for text in texts[2:]) for texts in drawn]
    assert counts[1:] == [8, 0] and 0 < counts[0] < 8


def test_show_leaves_a_picture_and_words(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    view = ipywidgets.HTML("x")
    figures.show(view, figures.share_bars({"a": 0.5}, "t"), "in words")
    assert shown[0]["image/png"].startswith(b"\x89PNG") and shown[0]["text/plain"] == "in words"
    assert shown[0]["application/vnd.jupyter.widget-view+json"]["model_id"] == view.model_id
    assert not figures.plt.get_fignums()


@pytest.fixture(scope="module")
def pocket():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = str(profile.CHECKPOINTS / "pocket-small")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder)


def test_the_next_tokens_are_those_of_the_librarys_logits(pocket):
    model, tokenizer = pocket
    ids = tokenizer("My grandmother kept")["input_ids"]
    with torch.no_grad():
        shares = model(torch.tensor([ids])).logits[0, -1].double().softmax(-1)
    found = views.next_tokens(model, ids, 5)
    assert [token for token, _ in found] == shares.argsort(descending=True)[:5].tolist()
    assert [share for _, share in found] == pytest.approx(
        [shares[i].item() for i, _ in found], rel=1e-4
    )


def test_chances_are_named_by_their_tokens(pocket):
    found = views.chances(*pocket, "Một tuần có bảy", 3)
    assert len(found) == 3 and next(iter(found)) == "▁ngày" and 0.9 < found["▁ngày"] < 0.96
    newline, emoji = pocket[1]("\n🙂")["input_ids"][-5], pocket[1]("🙂")["input_ids"][-1]
    assert views.piece(pocket[1], newline) == "⏎" and views.piece(pocket[1], emoji) == "<0x82>"


def test_the_box_goes_on_as_generate_does_and_begins_again_with_new_words(pocket):
    model, tokenizer = pocket
    view = views.go_on(model, tokenizer, "My grandmother kept")
    box, said, *rows, ten = view.children
    assert box.description == "Your words"
    first, second = (row.children[0] for row in rows[:2])
    ten.click()
    inputs = tokenizer(box.value, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=10, min_new_tokens=10, do_sample=False)
    wanted = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :])
    assert wanted.replace("\n", "<br>") in said.value.replace("<b>", "")
    box.value = "5 < 6 & 7"
    assert said.value == "5 &lt; 6 &amp; 7<b></b>"
    token = second.token
    second.click()
    assert said.value.endswith(f"<b>{html.escape(tokenizer.decode(token))}</b>")
    assert all("%" in row.children[1].value for row in rows)
    box.value = ""
    first.click()  # nothing typed: the model begins a text
    assert said.value.startswith("<b>")

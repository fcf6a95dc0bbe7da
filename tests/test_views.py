"""The views answer to their buttons and sliders, agree with transformers, and leave a picture."""

import html

import ipywidgets
import matplotlib
import pytest
import torch

matplotlib.use("Agg")
from gemma_lab import figures, profile
from gemma_lab.hardware import T4
from gemma_lab.lessons import nb02, views


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
    slider, image, title = nb02.fits(["google/gemma-7b-it", "google/gemma-2b-it"], T4).children
    before = image.value
    slider.value = 80
    assert '<span role="status">What fits 80.0 GiB</span>' == title.value
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
    assert said.value == '<span role="status">5 &lt; 6 &amp; 7<b></b></span>'
    token = second.token
    second.click()
    assert f"<b>{html.escape(tokenizer.decode(token))}</b>" in said.value
    assert all("%" in row.children[1].value for row in rows)
    box.value = "5 < 6 & 7  "  # spaces at the end would be tokens of their own
    assert (
        said.value == '<span role="status">5 &lt; 6 &amp; 7<b></b></span>' and second.token == token
    )
    box.value = ""
    first.click()  # nothing typed: the model begins a text
    assert said.value.startswith('<span role="status"><b>')

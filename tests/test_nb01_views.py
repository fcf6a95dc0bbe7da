"""The views of 01: a learner's own text goes through a model, and what they show is its answer."""

import re
from types import SimpleNamespace

import matplotlib
import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

matplotlib.use("Agg")
from gemma_lab import figures, profile
from gemma_lab.lessons import nb01_diagrams, nb01_views


@pytest.fixture(scope="module")
def pocket():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = str(profile.CHECKPOINTS / "pocket-small")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder)


def by_library(model, tokenizer, text: str) -> float:
    """The power of ten of a text's probability, from the library's own loss."""
    ids = tokenizer(f"{text}<eos>", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        nats = model(ids, labels=ids).loss.double() * (ids.shape[1] - 1)
    return -(nats / torch.tensor(10.0).double().log()).item()


def test_the_probability_of_a_text_is_that_of_the_librarys_loss(pocket):
    for text in ("Linh bảo sao không đến", "My grandmother kept", ""):
        power = nb01_views.power_of_ten(text, *pocket)
        assert power == pytest.approx(by_library(*pocket, text), rel=1e-4)


def test_pressing_the_words_tells_their_sense_and_how_much_likelier_they_are(pocket):
    box, row, said = nb01_views.word_order(*pocket).children
    *buttons, again = row.children
    assert "in another order" in said.value and box.value == "Linh bảo sao không đến"
    buttons[3].click()  # không
    assert said.value == '<span role="status"><b>Không</b> …</span>' and buttons[3].disabled
    again.click()
    *buttons, again = row.children
    assert "in another order" in said.value and not any(button.disabled for button in buttons)
    for at in (3, 4, 0, 1, 2):
        buttons[at].click()
    assert "Không đến Linh bảo sao" in said.value and "what will Linh say" in said.value
    first, second = (
        by_library(*pocket, text) for text in ("Không đến Linh bảo sao", "Linh bảo sao không đến")
    )
    factor = float(re.search(r"finds it ([\d,.]+) times less likely", said.value)[1])
    assert second > first and factor == pytest.approx(10 ** (second - first), abs=0.06)
    again.click()
    for at in (0, 4, 2, 3, 1):
        row.children[at].click()
    assert "On a published list" in said.value
    again.click()
    for at in (3, 0, 2, 4, 1):
        row.children[at].click()
    assert "It may make sense all the same" in said.value


@pytest.mark.parametrize(
    "powers, shown",
    [((-20, -21), "10.0 times likelier"), ((-24, -20), "10,000 times less likely")],
)
def test_only_a_small_factor_has_a_digit_after_the_point(powers, shown, monkeypatch):
    found = dict(zip(("B a", "A b"), powers))
    monkeypatch.setattr(nb01_views, "power_of_ten", lambda text, model, tokenizer: found[text])
    _, row, said = nb01_views.word_order(None, None, "a b.").children
    row.children[1].click()
    row.children[0].click()
    assert f"finds it {shown} than the order in the box" in said.value


def test_words_of_your_own_get_buttons(pocket):
    box, row, said = nb01_views.word_order(*pocket).children
    box.value = "dogs  bite <men>"
    *buttons, again = row.children
    assert [button.description for button in buttons] == ["dogs", "bite", "<men>"]
    for button in buttons:
        button.click()
    assert "Dogs bite &lt;men&gt;" in said.value
    assert "finds it exactly as likely: it is the order in the box." in said.value
    box.value = "“Don't come,” he  says – … linh!"
    assert [one.description for one in row.children[:-1]] == "Don't come he says linh".split()
    box.value = ""
    assert len(row.children) == 1 and "in another order" in said.value


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
    got = nb01_views.reshape(logits[0], temperature, top_k, top_p)
    assert got.tolist() == pytest.approx(warped.softmax(-1)[0].tolist())


@pytest.mark.parametrize("temperature", [0, 0.0, 1e-300, 0.005, 1e300])
def test_reshape_stands_the_ends_of_its_knobs(temperature):
    """0 is greedy; a flat distribution, and a token that can never come, overflow nothing."""
    logits = torch.tensor([2e-7, 1e-7, 0.0, *[1e-7] * 9]).log()
    got = nb01_views.reshape(logits, temperature)
    assert got.sum().item() == pytest.approx(1) and got.argmax() == 0 and got[2] == 0
    assert got[0].item() == pytest.approx(1 if temperature < 1 else 1 / 11)
    assert (nb01_views.reshape(logits, top_p=0) > 0).sum() == 1
    assert temperature > 0 or (got > 0).sum() == 1


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_reshape_refuses_what_is_no_temperature(temperature):
    with pytest.raises(ValueError, match="must be 0 or a number above it"):
        nb01_views.reshape(torch.zeros(2), temperature)


@pytest.fixture
def four():
    """A model that gives four tokens the same chances after every short text, and its tokenizer."""
    logits = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()[None, None]

    def model(ids, logits_to_keep):
        return SimpleNamespace(logits=logits + (ids.shape[1] > 2) * torch.tensor([0, 9.0, 0, 0]))

    class Tokenizer:
        def __call__(self, text):
            return {"input_ids": [0, *range(len(text.split()))]}

        def convert_ids_to_tokens(self, token):
            return ("a", "▁b", "\n", "<d>")[token]

    model.device, model.name_or_path = "cpu", "somewhere/four"
    return model, Tokenizer()


def test_the_sliders_and_the_text_change_the_bars(four):
    box, temperature, top_k, top_p, chart = nb01_views.next_word(*four, "a", num=3).children
    assert "4 tokens are left" in chart.value and "⏎" in chart.value
    assert "10.0% together" in chart.value and "<d>" not in chart.value
    top_k.value = 2
    assert "2 tokens are left" in chart.value and "66.7 %" in chart.value
    top_k.value, top_p.value = 0, 0.5
    assert "1 token is left" in chart.value and "100.0 %" in chart.value
    top_p.value, temperature.value = 1.0, 0.1
    assert "99.9 %" in chart.value
    temperature.value = 0
    assert "1 token is left" in chart.value and "100.0 %" in chart.value
    box.value = "a b c"  # now the second token is the likeliest
    assert "▁b" in chart.value and ">a<" not in chart.value


def test_a_look_shows_tokens_with_numbers_and_what_comes_next_for_each_model(four, pocket):
    box, shown = nb01_views.look([four, pocket, pocket], "a b", num=3).children
    assert (
        shown.value.count('<p role="status"><b>four</b>: 2 tokens') == 1
        and "▁b<br>1<" in shown.value
    )
    assert shown.value.count("<b>pocket-small</b>") == 1  # one that stands in for another
    box.value = "Viết"
    (token,) = pocket[1]("Viết")["input_ids"][1:]
    assert "<b>pocket-small</b>: 1 token<" in shown.value
    assert f"Viết<br>{token}</span>" in shown.value
    with torch.no_grad():
        best = pocket[0](torch.tensor([[2, token]])).logits[0, -1].softmax(-1).max()
    assert f"{100 * best:.1f} %" in shown.value
    box.value = ""
    assert "0 tokens" in shown.value


@pytest.mark.parametrize(
    "path, name",
    [
        ("cache/models--google--gemma-3-270m/snapshots/9b0cfec8", "gemma-3-270m"),
        ("gemma_lab/data/pocket-small", "pocket-small"),
        ("google/gemma-3-270m", "gemma-3-270m"),
    ],
)
def test_a_model_has_a_name_wherever_it_was_loaded_from(four, path, name):
    model, tokenizer = four
    model.name_or_path = path
    assert f"<b>{name}</b>" in nb01_views.look([(model, tokenizer)], "a", 3).children[1].value


def test_a_screen_reader_hears_what_changed_and_no_bars(four):
    heard = re.compile('<p role="status">(.*?)</p>')
    look = nb01_views.look([four], "a", 3).children[-1].value
    chart = nb01_views.next_word(*four, "a", 3).children[-1].value
    assert heard.findall(look) == ["<b>four</b>: 1 token"]
    assert heard.findall(chart) == ["4 tokens are left; those not shown: 10.0% together."]


def test_a_space_at_the_end_changes_no_answer(pocket):
    look, said = nb01_views.look([pocket], "One year").children
    words, *_, chart = nb01_views.next_word(*pocket, "One year").children
    for box, answer in ((look, said), (words, chart)):
        before = answer.value
        box.value = "One year  "
        assert answer.value == before
        box.value = "One day "
        assert answer.value != before


def test_every_control_has_a_label_that_a_screen_reader_says(four, pocket):
    views = (nb01_views.look([four], "a", 3), nb01_views.next_word(*four, "a", 3))
    views += (nb01_views.word_order(*pocket),)
    for view in views:
        assert view.children[0].description in ("Your text", "Your words")
    assert [one.description for one in views[1].children[1:4]] == [
        "temperature",
        "top-k (0: all)",
        "top-p",
    ]


def test_pictures_stand_for_the_views(four, pocket):
    axis = nb01_views.next_bars(torch.tensor([0.75, 0.25]).log(), four[1], 1.0, num=2).axes[0]
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([75, 25])


LINES = ("Write a poem about the river.", "Viết một bài thơ về dòng sông.")


def check_token_rows(tokenizer) -> None:
    figure = nb01_diagrams.token_rows(LINES, tokenizer)
    figure.canvas.draw()
    words = {text.get_text(): text for text in figure.axes[0].texts}
    for line in LINES:
        ids = tokenizer(line)["input_ids"][1:]
        assert f"{line}  {len(ids)} tokens" in words
        for token, name in zip(ids, tokenizer.convert_ids_to_tokens(ids)):
            assert f"{name}\n{token}" in words
    boxes = [patch.get_window_extent() for patch in figure.axes[0].patches]
    inside = [one.get_window_extent() for one in figure.axes[0].texts if "\n" in one.get_text()]
    assert len(inside) == len(boxes) == sum(len(tokenizer.tokenize(line)) for line in LINES)
    for text in inside:
        assert any(box.x0 <= text.x0 and text.x1 <= box.x1 for box in boxes)
        assert figure.bbox.y0 <= text.y0 and text.y1 <= figure.bbox.y1
    assert max(patch.get_bbox().x1 for patch in figure.axes[0].patches) <= figures.WIDTH
    pixels = [400 / figures.WIDTH / 72 * one.get_fontsize() for one in figure.axes[0].texts]
    assert min(size for size, one in zip(pixels, figure.axes[0].texts) if one.get_text()) > 10


def test_tokens_stand_in_boxes_over_their_numbers(pocket):
    check_token_rows(pocket[1])


def test_so_do_those_of_the_270m(real_gemma):
    from transformers import AutoTokenizer

    check_token_rows(AutoTokenizer.from_pretrained(real_gemma))

"""Notebook 07: the pictures of what PaliGemma reads, and a board for shapes."""

import gc
import io
import types

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from gemma_lab import shapes
from gemma_lab.lessons import nb07_draw, nb07_see

RED = shapes.draw([shapes.one("circle", "red", 0.5, 0.5)])


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def texts(figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


# ------------------------------------------------------------------------------------ its pictures


def test_patches_are_numbered_row_by_row():
    figure = nb07_see.patches(RED, 48, 8)
    assert texts(figure) == [str(at) for at in range(1, 37)]
    places = {int(text.get_text()): text.get_position() for text in figure.axes[1].texts}
    assert figure.axes[1].images[0].get_array().shape[:2] == (48, 48), "the tower's pixels"
    assert places[1] == (0.5, 0.5) and places[7] == (0.5, 1.5) and places[36] == (5.5, 5.5)


def test_sixteen_by_sixteen_patches_carry_no_numbers():
    assert texts(nb07_see.patches(RED, 224, 14)) == []


def test_in_the_prefix_all_look_at_all_and_the_answer_looks_back():
    figure = nb07_see.prefix_mask(2, ["how", "many"], ["3", "<eos>"])
    (mesh,) = figure.axes[0].collections
    seen = np.asarray(mesh.get_array()).reshape(6, 6)
    wanted = np.tril(np.ones((6, 6)))
    wanted[:4, :4] = 1
    assert (seen == wanted).all()


def test_the_mask_is_the_one_that_transformers_makes(monkeypatch):
    """Of a real PaliGemma: which positions change when one token changes."""
    from transformers import PaliGemmaForConditionalGeneration

    from pocket.recipes import RECIPES

    torch.manual_seed(0)
    model = PaliGemmaForConditionalGeneration(RECIPES["see"].config()).eval().double()
    ids, kinds = torch.tensor([[7, 8, 9, 10, 11, 12]]), torch.tensor([[0, 0, 0, 0, 1, 1]])
    asked = dict(attention_mask=torch.ones_like(ids), token_type_ids=kinds)
    with torch.no_grad():
        before = model(input_ids=ids, **asked).logits[0]
        seen = np.zeros((6, 6))
        for at in range(6):
            changed = ids.clone()
            changed[0, at] = 99
            after = model(input_ids=changed, **asked).logits[0]
            seen[:, at] = ((after - before).abs().amax(-1) > 1e-9).numpy()
    (mesh,) = nb07_see.prefix_mask(2, ["a", "b"], ["c", "d"]).axes[0].collections
    assert (np.asarray(mesh.get_array()).reshape(6, 6) == seen).all()


def test_boxes_are_drawn_at_their_edges_with_their_words():
    figure = nb07_see.boxed(RED, [((0.1, 0.2, 0.5, 0.8), "a $red$ circle")], "detect")
    (drawn,) = figure.axes[0].patches
    assert (drawn.get_x(), drawn.get_y()) == (0.2, 0.1)
    assert (drawn.get_width(), drawn.get_height()) == pytest.approx((0.6, 0.4))
    assert texts(figure) == ["a $red$ circle"]


def test_the_bar_names_both_counts():
    assert texts(nb07_see.shares_of_tokens(256, 9))[:2] == ["256", "9"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: nb07_see.patches(RED, 48, 0),
        lambda: nb07_see.prefix_mask(0, ["a"], ["b"]),
        lambda: nb07_see.prefix_mask(2, [], ["b"]),
        lambda: nb07_see.shares_of_tokens(0, 3),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(draw):
    with pytest.raises(ValueError, match=r"^[A-Z].*\.$"):
        draw()


# --------------------------------------------------------------------------------------- the board


class Model(types.SimpleNamespace):
    """Can be referred to weakly, as a model can."""


class Processor:
    """Keeps what it was asked."""

    def __init__(self, answer: str):
        self.answer, self.asked = answer, []

    def __call__(self, images, text, return_tensors):
        self.asked.append((images, text))
        given = dict(input_ids=torch.zeros(1, 3, dtype=torch.long), pixel_values=torch.zeros(1))
        return Inputs(given | {"labels": 0})

    def decode(self, tokens, skip_special_tokens):
        return f"{self.answer} "


class Inputs(dict):
    def to(self, device):
        return self


def model():
    def generate(input_ids, pixel_values, max_new_tokens, do_sample):
        return torch.zeros(1, 5, dtype=torch.long)

    return Model(generate=generate, device="cpu", dtype=torch.float32)


def parts(view) -> types.SimpleNamespace:
    above, ready, prompt, button, said = view.children
    choices, grid, image = above.children
    shape, colour, clear, upload = choices.children
    keys = [key for row in grid.children for key in row.children]
    names = locals()
    del names["view"], names["above"], names["choices"], names["grid"]
    return types.SimpleNamespace(**names)


def board(answer: str = "a red circle"):
    loaded, processor = model(), Processor(answer)
    view = parts(nb07_draw.board(loaded, processor))
    return view, processor, loaded


def shown(view) -> Image.Image:
    return Image.open(io.BytesIO(view.image.value)).convert("RGB")


def test_a_press_puts_a_shape_there_and_the_same_press_takes_it_away():
    view, *_ = board()
    view.clear.click()
    assert np.asarray(shown(view)).min() == 255 and {key.description for key in view.keys} == {"·"}
    view.shape.value, view.colour.value = "star", "blue"
    view.keys[5].click()
    drawn = shapes.draw([shapes.one("star", "blue", 5 / 6, 0.5)])
    assert np.array_equal(np.asarray(shown(view)), np.asarray(drawn))
    assert view.keys[5].description == "★" and view.keys[5].tooltip == "blue star"
    view.keys[5].click()
    assert np.asarray(shown(view)).min() == 255


def test_the_model_gets_the_board_and_the_words_and_its_answer_is_shown():
    view, processor, _ = board()
    view.prompt.value = " caption vi "
    view.button.click()
    ((picture, text),) = processor.asked
    assert text == "<image>caption vi" and np.array_equal(
        np.asarray(picture), np.asarray(shown(view))
    )
    assert "caption vi → a red circle<" in view.said.value and not view.button.disabled


def test_boxes_are_drawn_over_the_board():
    view, processor, _loaded = board("<loc0100><loc0100><loc0500><loc0500> red circle")
    before = view.image.value
    view.button.click()
    assert view.image.value != before
    processor.answer = "a red circle"
    view.button.click()
    assert view.image.value == before, "the boxes of the last answer are gone"


def test_a_prompt_of_the_list_is_taken_over():
    view, *_ = board()
    view.ready.value = nb07_draw.PROMPTS[-1]
    assert view.prompt.value == nb07_draw.PROMPTS[-1]


@pytest.mark.parametrize("prompt", ["", "   ", "<image>", "detect <loc0001>"])
def test_a_prompt_that_the_model_would_misread_is_not_asked(prompt):
    view, processor, _ = board()
    view.prompt.value = prompt
    view.button.click()
    assert "Type a prompt without" in view.said.value and not processor.asked


def test_the_board_keeps_no_model_in_memory():
    view, processor, loaded = board()
    del loaded
    gc.collect()
    view.button.click()
    assert "not loaded any more" in view.said.value and not processor.asked


def as_file(picture: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("is_8", [True, False])
def test_an_upload_of_ipywidgets_7_and_8_is_opened(is_8):
    data = as_file(Image.new("RGBA", (40, 20), (255, 0, 0, 255)))
    file = {"name": "a.png", "content": memoryview(data)}
    opened = nb07_draw.opened((file,) if is_8 else {"a.png": file})
    assert opened.size == (shapes.SIDE, shapes.SIDE) and opened.mode == "RGB"
    assert opened.getpixel((96, 96)) == (255, 0, 0) and opened.getpixel((96, 5)) == (255,) * 3
    assert nb07_draw.opened(() if is_8 else {}) is None


def test_what_is_see_through_becomes_white():
    data = as_file(Image.new("RGBA", (8, 8), (0, 0, 0, 0)))
    assert nb07_draw.opened(({"content": data},)).getpixel((9, 9)) == (255,) * 3


@pytest.mark.parametrize("data", [b"", b"no picture", as_file(Image.new("RGB", (9, 9)))[:40]])
def test_a_file_that_is_no_picture_is_said_to_be_none(data):
    with pytest.raises(ValueError, match="is no picture that Pillow opens: choose a PNG or JPEG"):
        nb07_draw.opened(({"content": data},))


def test_a_file_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(nb07_draw, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match="choose one below 20 MB"):
        nb07_draw.opened(({"content": b"x" * 11},))


# ------------------------------------------------------------------------------------ the exercise


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda side, patch: side // patch, "one row of patches"),
        (lambda side, patch: side * side, "every pixel"),
        (lambda side, patch: 3 * (side // patch) ** 2, "all its three colours"),
        (lambda side, patch: 256, "wrong for another"),
        (lambda side, patch: "many", "is a text, and no number"),
        (lambda side, patch: 7, "gave 7, not 256"),
    ],
)
def test_a_wrong_number_of_patches_gets_the_sentence_that_teaches(answer, said):
    verdict = nb07_see.check_num_patches.judge(answer)
    assert verdict.is_right is False and said in str(verdict)


def test_the_solution_is_right_and_the_talks_sizes_follow():
    assert nb07_see.check_num_patches.judge(nb07_see.my_num_patches).is_right
    sizes = [nb07_see.my_num_patches(side, 14) for side in (224, 448, 896)]
    assert sizes == [256, 1024, 4096]  # arXiv:2407.07726, section 3.1

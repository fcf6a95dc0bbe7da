"""The map of notebook 03 and its views: what is marked, what is refused, whose numbers they are."""

import html

import matplotlib
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch

matplotlib.use("Agg")
from gemma_lab import catalog, figures, profile
from gemma_lab.lessons import nb03, nb03_diagrams
from gemma_lab.scratch.gemma import Gemma

FOLDER = str(profile.CHECKPOINTS / "pocket-small")


def boxes(figure) -> list[tuple[str, bool]]:
    """The boxes of a map, in the order drawn: the one text in each, and whether it is marked."""
    figure.canvas.draw()
    texts = [(text.get_text(), text.get_window_extent()) for text in figure.axes[0].texts]
    found = []
    for box in figure.findobj(FancyBboxPatch):
        area = box.get_window_extent()
        (word,) = [
            words
            for words, at in texts
            if words and area.containsx(at.x0) and area.containsx(at.x1)
            if area.containsy(at.y0) and area.containsy(at.y1)
        ]
        found.append((word, to_hex(box.get_facecolor()).upper() == nb03_diagrams.HERE))
    return found


@pytest.mark.parametrize(
    "here, marked",
    [
        ("", []),
        ("RoPE", ["attention", "RoPE"]),
        ("norm and MLP", ["norm", "norm", "MLP", "norm", "gate, up", "GELU ×", "down"]),
    ],
)
def test_the_map_marks_where_you_are_and_each_box_holds_its_word(here, marked):
    found = boxes(nb03_diagrams.the_map(here))
    assert [word for word, is_marked in found if is_marked] == marked
    assert [word for word, _ in found[:7]] == [
        *("table", "norm", "attention", "norm", "MLP", "norm", "head")
    ]
    assert len(found) == 16


def test_every_part_is_on_the_map_and_can_be_read_at_400_pixels():
    for here in nb03_diagrams.PARTS:
        figure = nb03_diagrams.the_map(here)
        assert any(is_marked for _, is_marked in boxes(figure))
        width, height = figure.get_size_inches()
        assert width <= 5.6 and height <= 2.2
        sizes = [text.get_fontsize() for text in figure.axes[0].texts if text.get_text() != "+"]
        assert min(sizes) * 400 / (72 * width) >= 8.3
    with pytest.raises(ValueError, match="no part 'softmax': choose one of the whole, block"):
        nb03_diagrams.the_map("softmax")
    assert figures.plt.get_fignums() == []  # else a notebook shows it twice


def test_heads_share_keys_as_the_configurations_say():
    axes = nb03_diagrams.heads_and_keys().axes
    for axis, name in zip(axes, ("gemma-7b", "gemma-2-2b", "gemma-2b"), strict=True):
        info = catalog.find(f"google/{name}")
        heads, keys = (len(dots.get_offsets()) for dots in axis.collections)
        assert (heads, keys) == (info.num_attention_heads, info.num_key_value_heads)


@pytest.fixture
def drawn(monkeypatch):
    """The texts and titles of every figure that a view draws."""
    found = []

    def png(figure, right=figures.png):
        titles = [figure.get_suptitle(), *(axis.get_title("left") for axis in figure.axes)]
        found.append(titles)
        return right(figure)

    monkeypatch.setattr(figures, "png", png)
    return found


def test_rope_sliders_turn_the_wheels_and_say_the_distance(drawn):
    query, key, image, _, said = nb03.rope(7, 3, [1.0, 0.1, 0.01]).children
    key.value = 7
    assert "distance 4" in drawn[0][0] and "distance 0" in drawn[1][0]
    assert "Distance 0: the mean cosine is 1.00." in said.value
    assert bytes(image.value).startswith(b"\x89PNG")


def test_a_key_never_stands_after_its_query(drawn):
    query, key, *_, said = nb03.rope(7, 3, [1.0]).children
    key.value = 60
    assert key.value == 7
    query.value = 5
    assert (key.value, key.max) == (5, 5) and "Distance 0" in said.value
    query.value = 0
    assert query.value == 1  # a slider from 0 to 0 cannot be drawn
    with pytest.raises(ValueError, match="key at 4 is hidden from a query at 3: put it before"):
        nb03.rope_wheels(3, 4, [1.0])


@pytest.fixture(scope="module")
def pocket():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    how = {"dtype": torch.float32, "attn_implementation": "eager"}
    library = AutoModelForCausalLM.from_pretrained(FOLDER, **how).requires_grad_(False)
    return Gemma.from_folder(FOLDER), AutoTokenizer.from_pretrained(FOLDER), library


@pytest.mark.parametrize("words", ["Con ngựa đá con ngựa đá", "", "the rain " * 60])
def test_a_sentence_goes_through_the_model_and_its_attention_is_the_librarys(pocket, words):
    gemma, tokenizer, library = pocket
    tokens, weights = nb03.look(gemma, tokenizer, words)
    ids = tokenizer(words, return_tensors="pt")["input_ids"]
    assert tokens == tokenizer.convert_ids_to_tokens(ids[0])[: nb03.MOST_TOKENS]
    right = torch.cat(library(input_ids=ids, output_attentions=True).attentions)
    assert weights.allclose(right[:, :, : len(tokens), : len(tokens)], atol=1e-5)


def test_attention_heads_show_the_chosen_head_and_say_where_the_last_token_looks(pocket, drawn):
    gemma, tokenizer, library = pocket
    view = nb03.attention_heads(gemma, tokenizer, "My grandmother kept", layer=1, head=1)
    box, layer, head, image, _, said = view.children
    assert (layer.max, head.max) == (3, 1) and "Layer 1, head 1" in drawn[0]
    box.value, layer.value, head.value = "5 < 6 & 7", 2, 0
    assert "Layer 2, head 0" in drawn[-1] and bytes(image.value).startswith(b"\x89PNG")
    ids = tokenizer(box.value, return_tensors="pt")["input_ids"]
    row = library(input_ids=ids, output_attentions=True).attentions[2][0, 0, -1]
    most = tokenizer.convert_ids_to_tokens(ids[0])[row.argmax()]
    assert f"looks at {html.escape(most)} {row.max():.0%}" in said.value
    box.value = ""
    assert "The last token, &lt;bos&gt;, looks at &lt;bos&gt; 100%." in said.value


@pytest.mark.parametrize(
    "answer", [18_432, "18,432", [18_432], torch.tensor(18_432.0), ..., 7, "KiB", None]
)
def test_an_answer_is_used_where_it_is_right_and_else_the_solution(answer):
    found = nb03.bytes_of_a_token(answer)
    assert found == 18_432 and type(found) is int

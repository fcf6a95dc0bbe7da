"""The pictures of notebook 07: what stands in them, what is refused, and whether it can be read."""

import math

import matplotlib
import pytest
from matplotlib.patches import FancyBboxPatch, Rectangle

matplotlib.use("Agg")
from gemma_lab import catalog, figures
from gemma_lab.lessons import nb07_views

GEMMA_3 = (["a"] * 5 + ["g"]) * 3
BEFORE, HOLE, AFTER = 'def add(a, b):\n    """Add $a$ to $b$."""\n\treturn ', "a + b", "\n"


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def sizes_at_400(figure) -> list[float]:
    """The height in pixels of every text that is seen, on a page of 400."""
    figure.canvas.draw()
    per_point = 400 / (72 * figure.get_size_inches()[0])
    texts = figure.findobj(matplotlib.text.Text)
    return [text.get_fontsize() * per_point for text in texts if text.get_text().strip()]


def is_inside(figure) -> bool:
    """Whether nothing leaves the picture."""
    figure.canvas.draw()
    (x0, y0), (x1, y1) = figure.get_tightbbox().get_points()
    width, height = figure.get_size_inches()
    return x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height


@pytest.mark.parametrize(
    "make",
    [
        lambda: nb07_views.hole_order(BEFORE, HOLE, AFTER),
        lambda: nb07_views.hole_order("x" * 300 + "(", "y" * 200, ")" * 100 + "\n"),
        lambda: nb07_views.layer_map({"RecurrentGemma 2B": [*"rra" * 8, *"rr"], "270M": GEMMA_3}),
        lambda: nb07_views.layer_map({"Gemma 2 27B": ["a", "g"] * 23}),
        lambda: nb07_views.window_mask(16, 4),
        lambda: nb07_views.half_lives([0.01, 3, 70.5, 30_000], "Some remember", 2048),
        lambda: nb07_views.half_lives([5.0], "One", 4),
    ],
)
def test_all_words_are_in_the_picture_and_have_9_pixels_on_a_page_of_400(make):
    figure = make()
    assert min(sizes_at_400(figure)) >= 9
    assert is_inside(figure)
    assert figure.get_size_inches()[0] <= figures.WIDTH


def test_the_hole_stands_in_its_place_and_is_read_last():
    shown = words(nb07_views.hole_order(BEFORE, HOLE, AFTER))
    at = shown.index("As CodeGemma reads it: the hole comes last")
    indented = ["def add(a, b):", '    """Add $a$ to $b$."""', "    return ", "a + b"]
    assert shown[:at] == ["In the editor", *indented]
    read = [text for text in shown[at + 1 : -3] if text]
    assert read == [
        *("<|fim_prefix|>", "def add(a, b):⏎", '    """Add $a$ to $b$."""⏎', "    return "),
        *("<|fim_suffix|>", "⏎"),
        *("<|fim_middle|>", "a + b"),
        "<|file_separator|>",
    ]
    assert shown[-3:] == ["before the hole", "the hole", "after the hole"]


def test_the_last_line_break_takes_no_room_in_the_editor():
    heights = [nb07_views.hole_order(BEFORE, HOLE, end).get_figheight() for end in ("\n", "")]
    assert heights[0] == heights[1]


def test_code_has_the_colour_of_its_part_and_fits_it():
    figure = nb07_views.hole_order(BEFORE, HOLE, AFTER)
    figure.canvas.draw()
    areas = [box for box in figure.findobj(Rectangle) if box is not figure.patch]
    areas = [box for box in areas if box not in [axis.patch for axis in figure.axes]]
    edges = [matplotlib.colors.to_hex(box.get_edgecolor()).upper() for box in areas]
    blue, orange, green = figures.BLUE, figures.ORANGE, figures.GREEN
    assert edges == [blue, blue, blue, orange, blue, blue, blue, green, orange]
    code = [text for text in figure.axes[0].texts if text.get_family() == ["monospace"]]
    code = [text for text in code if text.get_text() and text.get_color() == "black"]
    for box, text in zip(areas, code, strict=True):
        area, letters = box.get_window_extent(), text.get_window_extent()
        assert abs(area.x0 - letters.x0) <= 2 and abs(letters.x1 - area.x1) <= 2, text.get_text()


def test_of_a_long_line_the_middle_is_left_out_and_never_the_hole():
    row = "    return max(abs(number) for number in range(1, n + 1) if number % 2 == "
    shown = words(nb07_views.hole_order(row, "1)", "\n"))
    assert shown[2] == "1)" and len(shown[1]) == 68
    assert shown[1].startswith("    return max(abs(") and shown[1].endswith(" number % 2 == ")
    assert shown[1].count("…") == 1


@pytest.mark.parametrize("parts", [("", "x", ""), ("x", "", ""), ("", "", ""), ("\n", "x\n", "\n")])
def test_a_part_may_be_empty(parts):
    shown = words(nb07_views.hole_order(*parts))
    assert [text for text in shown if "|" in text] == [
        *("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_separator|>")
    ]
    assert shown.count("x") == 2 or "x" not in "".join(parts) or "x⏎" in shown


def test_every_layer_has_a_box_with_its_letter():
    """Gemma 3: every sixth layer sees all. RecurrentGemma: every third attends."""
    info = catalog.find("google/gemma-3-270m")
    models = {"Gemma 3 270M": GEMMA_3, "RecurrentGemma 2B": [*"rra" * 8, *"rr"]}
    assert len(GEMMA_3) == info.num_hidden_layers
    figure = nb07_views.layer_map(models)
    shown = words(figure)
    assert shown[0] == "Gemma 3 270M: 18 layers" and "".join(shown[1:19]) == "aaaaagaaaaagaaaaag"
    assert shown[19] == "RecurrentGemma 2B: 26 layers" and shown[20:46] == models.popitem()[1]
    assert shown[46::2] == ["r", "a", "g"]
    assert shown[47::2] == ["recurrent", "attention over a window", "attention over all"]
    boxes = figure.findobj(FancyBboxPatch)
    assert len(boxes) == 18 + 26 + 3
    colours = {(text, box.get_facecolor()) for text, box in zip("".join(GEMMA_3), boxes)}
    assert len(colours) == 2  # a letter has one colour, and another letter another


def test_a_long_row_of_layers_goes_on_below():
    boxes = nb07_views.layer_map({"Gemma 2 27B": ["a", "g"] * 23}).findobj(FancyBboxPatch)[:46]
    rows = [box.get_y() for box in boxes]
    assert len(set(rows)) == 2 and rows[0] > rows[-1]
    with pytest.raises(ValueError, match="A layer of X is 'mlp': choose one of r, a and g."):
        nb07_views.layer_map({"X": ["r", "mlp"]})


def test_a_window_ends_and_a_state_fades():
    import torch

    left, right = (axis.collections[0] for axis in nb07_views.window_mask(9, 3).axes)
    seen, kept = (torch.tensor(panel.get_array()).reshape(9, 9) for panel in (left, right))
    every = torch.ones(9, 9).tril()
    assert seen.equal((every - every.tril(-3)).double())
    assert kept.bool().equal(every.bool())  # every earlier token, and no later one
    assert kept[8].tolist() == pytest.approx([2 ** (-back / 3) for back in range(8, -1, -1)])


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0), (4, -1)])
def test_without_tokens_or_a_window_there_is_no_mask(sizes):
    with pytest.raises(ValueError, match=f"must be 1 or more, not {sizes[0]} and {sizes[1]}"):
        nb07_views.window_mask(*sizes)


def test_half_lives_are_counted_on_both_sides_of_the_window():
    import torch

    tokens = torch.tensor([0.7, 1.0, 5.0, 5.5, 63.0, 64.0, 65.0, 500.0])
    figure = nb07_views.half_lives(tokens, "Two remember longer", 64)
    (axis,) = figure.axes
    assert sum(bar.get_height() for bar in axis.patches) == len(tokens)
    assert max(bar.get_height() for bar in axis.patches) == 2
    (line,) = axis.lines
    assert set(line.get_xdata()) == {64} and line.get_linestyle() == "--"
    assert axis.get_xscale() == "log" and axis.get_title("left") == "Two remember longer"
    assert words(figure) == ["the window: 64 tokens\n25% remember longer"]
    ticks = [text.get_text() for text in axis.get_xticklabels()]
    assert ticks == ["1", "4", "16", "64", "256"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("half-life, tokens", "channels")


@pytest.mark.parametrize(
    "tokens, named", [([], "none"), ([1, math.inf], "inf"), ([math.nan], "nan"), ([0.0], "0.0")]
)
def test_what_is_no_half_life_is_named(tokens, named):
    with pytest.raises(ValueError, match=f"a number above 0, not {named}."):
        nb07_views.half_lives(tokens, "", 64)

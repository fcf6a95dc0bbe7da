"""The plots show the numbers they are given, within the size that a page has room for."""

import re

import matplotlib
import pandas
import pytest
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

matplotlib.use("Agg")
from gemma_lab import catalog, diagrams, figures
from gemma_lab.lessons import nb01_diagrams, nb02, nb02_learn, nb03, nb04, nb05_live, nb06

TABLE = pandas.DataFrame({"ratio": [1.0, 0.2], "KL": [0.0, 4e-3]}, index=["fp32", "nf4"])


@pytest.fixture(autouse=True)
def close():
    yield
    figures.plt.close("all")


def test_precision_plot_shows_percent_and_leaves_the_reference_out_of_the_kl():
    figure = nb04.precision_plot({"one": TABLE, "two": TABLE}, "a finding")
    left, right = figure.axes
    assert list(left.lines[0].get_ydata()) == [100, 20]
    assert list(right.lines[1].get_ydata()) == [4e-3]
    assert right.get_yscale() == "log"
    assert {text.get_text() for text in left.get_legend().get_texts()} == {"one", "two"}
    assert figure.get_suptitle() == "a finding"


HISTORY = [{"step": 10, "loss": 3.0}, {"step": 20, "loss": 1.0}, {"step": 20, "eval_loss": 0.5}]


def test_loss_curve_shows_training_and_held_out():
    axis = nb05_live.loss_curve(HISTORY, {0: 7.0}, "a finding").axes[0]
    assert list(axis.lines[0].get_ydata()) == [3.0, 1.0]
    assert list(axis.lines[1].get_xdata()) == [0, 20]
    assert axis.get_ylim()[0] == 0 and "nats" in axis.get_ylabel()


def test_share_bars_are_in_percent_or_in_the_unit_given():
    axis = figures.share_bars({"a": 0.75, "b": 0.25}, "t", highlight=["b"]).axes[0]
    assert [bar.get_width() for bar in axis.patches] == [75, 25]
    assert axis.patches[0].get_facecolor() != axis.patches[1].get_facecolor()
    assert {text.get_text() for text in axis.texts} == {"75.0 %", "25.0 %"}
    axis = figures.share_bars({"a": -12.5}, "t", unit="nats").axes[0]
    assert axis.patches[0].get_width() == -12.5 and axis.texts[0].get_text() == "-12.5"


def test_attention_map_shows_every_weight():
    axis = figures.attention_map([[1.0, 0.0], [0.4, 0.6]], ["Linh", "bảo"], "t").axes[0]
    assert [text.get_text() for text in axis.texts] == ["1.00", "0.00", "0.40", "0.60"]


def test_differences_and_gains_are_sorted():
    axis = figures.differences({"x": -3.0, "y": 5.0}, "t", "a", "b").axes[0]
    assert [bar.get_width() for bar in axis.patches] == [-3, 5]
    assert [text.get_text() for text in axis.texts] == ["x -3.0", "y +5.0"]
    axis = nb02.gains({"x": (10.0, 30.0), "y": (50.0, 49.0)}, "t", ("one", "two")).axes[0]
    assert [text.get_text() for text in axis.texts] == ["-1.0", "+20.0"]


def test_fit_table_marks_what_fits():
    needs = {"m": dict(zip(nb02.PRECISIONS, (40.0, 20.0, 10.0, 5.0)))}
    texts = [text.get_text() for text in nb02.fit_table(needs, 15, "t").axes[0].texts]
    assert texts == ["m", "40.0", "20.0", "10.0 fits", "5.0 fits"]


BARS = {f"name {i}": 0.1 for i in range(18)}
DRAWN = {
    "precision_plot": lambda: nb04.precision_plot({"one": TABLE}, "t"),
    "loss_curve": lambda: nb05_live.loss_curve(HISTORY, {0: 1}, "t"),
    "share_bars": lambda: figures.share_bars(dict(list(BARS.items())[:12]), "t"),
    "differences": lambda: figures.differences(BARS, "t", "a", "b"),
    "gains": lambda: nb02.gains({name: (1, 2) for name in BARS}, "t", ("a", "b")),
    "fit_table": lambda: nb02.fit_table({"m": dict.fromkeys(nb02.PRECISIONS, 1.0)}, 2, "t"),
    "learning": lambda: nb02_learn.learning(dict.fromkeys(nb02_learn.STEPS, "x" * 80), "t", 800),
    "one_step": lambda: nb02_learn.one_step(list("abc"), [0, 0, 0], [1, -0.5, -0.5]),
    "curves": lambda: figures.curves({"a": ([1], [1])}, "t", "x", "y"),
    "masks": lambda: nb06.masks({"a": [[True]], "b": [[True]]}, "t"),
    "rope_wheels": lambda: nb03.rope_wheels(2, 1, [1.0]),
    "attention_map": lambda: figures.attention_map([[1.0]], ["x"], "t"),
    "long attention_map": lambda: figures.attention_map([[1 / 30] * 30] * 30, ["x"] * 30, "t"),
    "fields_of_ai": nb01_diagrams.fields_of_ai,
    "transformer": nb01_diagrams.transformer,
    "architecture": lambda: diagrams.architecture(
        {f"Gemma {name}": catalog.find(f"google/gemma-{name}") for name in ("7b", "2-2b")}
    ),
}


def too_small(figure, page_px: int = 400) -> list[str]:
    """The texts of a figure that are less than 8.3 pixels high on a page of `page_px`."""
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    points_px = min(page_px / (72 * figure.get_size_inches()[0]), 1.25)
    return [text.get_text() for text in texts if text.get_fontsize() * points_px < 8.3]


@pytest.mark.parametrize("name", DRAWN)
def test_figures_fit_a_page_and_can_be_read_at_400_pixels(name):
    figure = DRAWN[name]()
    width, height = figure.get_size_inches()
    assert width <= 5.6 and height <= 4.2
    assert too_small(figure) == []
    figure.set_size_inches(7, 3.5)  # as they once were
    assert too_small(figure)


@pytest.mark.parametrize("name", ["fields_of_ai", "transformer", "architecture"])
def test_words_stay_in_their_boxes(name):
    figure = DRAWN[name]()
    figure.canvas.draw()
    boxes = [box.get_window_extent() for box in figure.findobj(FancyBboxPatch)]
    texts = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    inside = 0
    for text in texts:
        x, y = (text.x0 + text.x1) / 2, (text.y0 + text.y1) / 2
        for box in (box for box in boxes if box.contains(x, y)):
            inside += 1
            assert box.x0 <= text.x0 and text.x1 <= box.x1 and text.height <= box.height
    assert inside == len(boxes) > 0


def test_a_long_sentence_gets_a_map_without_numbers():
    axis = figures.attention_map([[1 / 12] * 12] * 12, ["w"] * 12, "t").axes[0]
    assert list(axis.texts) == [] and len(axis.get_xticklabels()) == 12


def test_masks_show_every_square():
    figure = nb06.masks(
        {"one": [[True, False], [True, True]], "two": [[True, False], [False, True]]}, "t"
    )
    cells = [axis.collections[0].get_array().flatten().tolist() for axis in figure.axes]
    assert cells == [[1, 0, 1, 1], [1, 0, 0, 1]]


def test_curves_name_their_lines():
    axis = figures.curves(
        {"a": ([1, 10], [1, 2]), "b": ([1, 10], [3, 4])}, "t", "x", "y", scale="log"
    ).axes[0]
    assert [line.get_label() for line in axis.lines] == ["a", "b"] and axis.get_xscale() == "log"
    assert len({line.get_linestyle() for line in axis.lines}) == 2  # told apart without colour


def test_rope_wheels_mark_the_dot_product_of_the_distance():
    axis = nb03.rope_wheels(9, 5, [1.0, 0.5]).axes[3]
    line, point = axis.lines
    assert point.get_xdata()[0] == 4
    assert point.get_ydata()[0] == pytest.approx((-0.6536436 - 0.4161468) / 2)  # cos 4, cos 2
    assert line.get_ydata()[0] == 1


def test_architecture_is_drawn_from_the_sizes():
    small, second = catalog.find("google/gemma-2b"), catalog.find("google/gemma-2-2b")
    figure = diagrams.architecture({"one": small, "two": second})
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "table: 256,000×2,048 · 524.3 M" in texts and "k_proj 0.5 M\n2,048×256" in texts
    assert "one: 2.51 B, block × 18" in texts
    assert texts.count("RMSNorm: 2,048") == 3 and texts.count("RMSNorm: 2,304") == 5
    points_px = 400 / (72 * figure.get_size_inches()[0])
    sizes = [text.get_fontsize() for text in figure.axes[0].texts if text.get_text() not in "+"]
    assert min(sizes) * points_px > 9.5  # on a telephone


def test_the_drawings_of_the_slides_say_what_the_functions_draw(tmp_path):
    from tools import draw

    words = lambda file: re.findall(r"<!-- (.*?) -->", file.read_text(encoding="utf-8"))  # noqa: E731  # every text, drawn as paths
    for name, function in draw.drawings().items():
        drawn = function()
        (tmp_path / "new.svg").write_text(draw.svg(drawn), encoding="utf-8")
        if isinstance(drawn, str):
            assert (draw.FIGURES / f"{name}.svg").read_text(encoding="utf-8") == drawn, (
                f"run python -m tools.draw: {name}"
            )
            continue
        assert words(draw.FIGURES / f"{name}.svg") == words(tmp_path / "new.svg") != [], (
            f"run python -m tools.draw: {name}"
        )


def test_a_figure_with_more_than_it_can_show_is_refused():
    with pytest.raises(ValueError):
        figures.curves({str(i): ([1], [1]) for i in range(7)}, "t", "x", "y")
    with pytest.raises(ValueError):
        diagrams.architecture(dict.fromkeys("abc", catalog.find("google/gemma-2b")))

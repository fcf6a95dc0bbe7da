"""The pictures of notebook 04, section 4, show the numbers that they are given."""

import matplotlib
import pandas
import pytest
import torch
from test_figures import too_small

matplotlib.use("Agg")
from gemma_lab.lessons import nb04_bits

DAMAGE = pandas.DataFrame(
    {"English": [1e-4, 1e-1, 9.0, 4e-2], "Vietnamese": [2e-4, 2e-1, 9.5, 3e-2]},
    index=[8, 4, 2, "nf4"],
)


def test_bits_plot_draws_the_line_through_the_rows_of_bits_and_marks_nf4():
    axis = nb04_bits.bits_plot(DAMAGE, "a finding").axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    assert list(lines["Vietnamese"].get_xdata()) == [8, 4, 2]
    assert list(lines["Vietnamese"].get_ydata()) == [2e-4, 2e-1, 9.5]
    marks = [line.get_ydata()[0] for line in axis.lines if line.get_marker() == "*"]
    assert marks == [4e-2, 3e-2]
    assert axis.get_yscale() == "log" and axis.get_title(loc="left") == "a finding"
    left, right = axis.get_xlim()
    assert left > right  # the most bits stand at the left


def test_bits_plot_needs_no_nf4():
    axis = nb04_bits.bits_plot(DAMAGE.drop("nf4"), "a finding").axes[0]
    assert len(axis.lines) == 2 and not axis.texts


def test_levels_plot_marks_each_level_under_the_numbers():
    levels = {"even": torch.tensor([-1.0, 0.0, 1.0]), "other": torch.tensor([-0.5, 0.5])}
    numbers = torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
    axis = nb04_bits.levels_plot(levels, numbers, "a finding").axes[0]
    assert [list(line.get_xdata()) for line in axis.lines] == [[-1, 0, 1], [-0.5, 0.5]]
    assert [text.get_text() for text in axis.texts] == ["even", "other", "numbers"]
    outline = axis.collections[0].get_paths()[0].vertices
    assert outline[:, 1].max() == pytest.approx(1)  # the fullest bin
    assert abs(outline[outline[:, 1].argmax(), 0]) < 0.3  # which is near 0


@pytest.mark.parametrize(
    "figure",
    [
        lambda: nb04_bits.bits_plot(DAMAGE, "t"),
        lambda: nb04_bits.levels_plot({"a": torch.ones(1)}, torch.randn(9, 64), "t"),
    ],
)
def test_the_pictures_can_be_read_at_400_pixels(figure):
    drawn = figure()
    width, height = drawn.get_size_inches()
    assert width <= 5.6 and height <= 3.2
    assert too_small(drawn) == []

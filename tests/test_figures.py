"""The plots show the numbers they are given, within the size that a page has room for."""

import matplotlib
import pandas
import pytest

matplotlib.use("Agg")
from gemma_lab import figures

TABLE = pandas.DataFrame({"ratio": [1.0, 0.2], "KL": [0.0, 4e-3]}, index=["fp32", "nf4"])


@pytest.fixture(autouse=True)
def close():
    yield
    figures.plt.close("all")


def test_precision_plot_shows_percent_and_leaves_the_reference_out_of_the_kl():
    figure = figures.precision_plot({"one": TABLE, "two": TABLE}, "a finding")
    left, right = figure.axes
    assert list(left.lines[0].get_ydata()) == [100, 20]
    assert list(right.lines[1].get_ydata()) == [4e-3]
    assert right.get_yscale() == "log"
    assert {text.get_text() for text in left.get_legend().get_texts()} == {"one", "two"}
    assert figure.get_suptitle() == "a finding"


def test_loss_curve_shows_training_and_held_out():
    axis = figures.loss_curve([10, 20], [3.0, 1.0], "a finding", {0: 7.0, 20: 0.5}).axes[0]
    assert list(axis.lines[0].get_ydata()) == [3.0, 1.0]
    assert list(axis.lines[1].get_xdata()) == [0, 20]
    assert axis.get_ylim()[0] == 0 and "nats" in axis.get_ylabel()


def test_figures_fit_a_page():
    for figure in (figures.precision_plot({"one": TABLE}, "t"), figures.loss_curve([1], [1], "t")):
        width, height = figure.get_size_inches()
        assert width <= 7 and height <= 3.5

"""Pictures of shapes: what is drawn where, boxes in answers, and what counts as right."""

import random

import numpy as np
import pytest

from gemma_lab import shapes


def ink(picture, colour: str) -> np.ndarray:
    """Which pixels of a picture have a colour."""
    return (np.asarray(picture) == shapes.COLOURS[colour]).all(-1)


@pytest.mark.parametrize("shape", shapes.SHAPES)
@pytest.mark.parametrize("colour", shapes.COLOURS)
def test_an_object_is_drawn_where_its_box_is_in_its_colour(shape, colour):
    thing = shapes.one(shape, colour, 0.3, 0.6, 0.25, turn=9)
    rows, columns = np.nonzero(ink(shapes.draw([thing]), colour))
    drawn = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) / shapes.SIDE
    assert np.abs(drawn - shapes.box(thing)).max() < 0.012


def test_each_shape_covers_the_area_that_geometry_gives():
    """Shares of the square that would enclose a circle of the same size."""
    r = 0.5
    areas = {
        "circle": 36 / 2 * np.sin(np.radians(10)) * r**2,
        "square": 2 * (1.1 * r) ** 2,
        "triangle": 3 / 4 * 3**0.5 * (1.15 * r) ** 2,
        "star": 10 / 2 * np.sin(np.radians(36)) * 1.15 * r * 0.5 * r,
    }
    for shape, area in areas.items():
        picture = shapes.draw([shapes.one(shape, "red", 0.5, 0.5, 0.5)], side=400)
        assert ink(picture, "red").mean() == pytest.approx(area / 4, rel=0.03), shape


def test_later_objects_lie_above_and_a_shade_replaces_the_colour():
    below, above = (shapes.one("circle", colour, 0.5, 0.5) for colour in ("red", "blue"))
    picture = shapes.draw([below, above | {"shade": (1, 2, 3)}], ground=[250, 250, 250])
    assert picture.getpixel((96, 96)) == (1, 2, 3) and picture.getpixel((2, 2)) == (250, 250, 250)


def test_what_reaches_over_the_edge_is_kept_inside():
    thing = shapes.one("square", "red", 0, 1, 0.5)
    assert all(0 <= edge <= 1 for edge in shapes.box(thing))


@pytest.mark.parametrize(
    "given, said",
    [
        (("heart", "red", 0.5, 0.5), "An object is one of circle, square"),
        (("circle", "pink", 0.5, 0.5), "not 'pink' and 'circle'"),
        (("circle", "red", 40, 0.5), "shares of the picture's side, 0 to 1; not 40, 0.5, 0.24"),
        (("circle", "red", 0.5, 0.5, 0), "shares of the picture's side"),
        (("circle", "red", float("nan"), 0.5), "shares of the picture's side"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(given, said):
    with pytest.raises(shapes.PictureError, match=said):
        shapes.one(*given)


def test_boxes_are_read_from_an_answer_y_before_x():
    answer = (
        "<loc0256><loc0512><loc0768><loc1023> red circle ; <loc0000><loc0001><loc0002><loc0003>b"
    )
    first, second = shapes.boxes(answer)
    assert first == ((0.25, 0.5, 0.75, 1023 / 1024), "red circle")
    assert second == ((0, 1 / 1024, 2 / 1024, 3 / 1024), "b")


@pytest.mark.parametrize(
    "answer", ["", "no", "<loc0001><loc0002> x", "<loc9999>" * 4, "<loc12>" * 4]
)
def test_what_is_no_box_is_left_out(answer):
    assert shapes.boxes(answer) == []


def test_overlap_is_that_of_counted_points():
    rng = random.Random(0)
    for _ in range(40):
        first, second = (
            [*sorted(rng.sample(range(40), 2)), *sorted(rng.sample(range(40), 2))] for _ in "ab"
        )
        masks = []
        for top, bottom, left, right in (first, second):
            mask = np.zeros((40, 40), bool)
            mask[top:bottom, left:right] = True
            masks.append(mask)
        boxes = [(a / 40, c / 40, b / 40, d / 40) for a, b, c, d in (first, second)]
        union = (masks[0] | masks[1]).sum()
        assert shapes.overlap(*boxes) == pytest.approx((masks[0] & masks[1]).sum() / union)


def test_right_is_the_word_itself_or_boxes_that_overlap_by_half():
    assert shapes.is_right("colour", " Red", "red") and not shapes.is_right(
        "colour", "reddish", "red"
    )
    wanted = "<loc0000><loc0000><loc0512><loc0512> red star"
    near, far = wanted.replace("0512", "0448"), wanted.replace("0512", "0256")
    assert shapes.is_right("detect", near, wanted) and not shapes.is_right("detect", far, wanted)
    assert not shapes.is_right("detect", f"{wanted} ; {wanted}", wanted), "one too many"
    assert not shapes.is_right("detect", "", wanted)

"""The pictures that the model that sees learns from: right answers, and what is held out."""

import collections
import json
import random

import numpy as np
import pytest
import torch
from notebook_cells import ROOT

from gemma_lab import shapes
from pocket import pictures, see
from pocket.recipes import RECIPES
from pocket.tokenizer import VOCAB_SIZE

SEE = RECIPES["see"]
FILE = ROOT / "gemma_lab" / "data" / "pictures.jsonl"
RED = shapes.one("circle", "red", 0.5, 0.2)
STAR = shapes.one("star", "blue", 0.9, 0.9)
THREE = [RED, shapes.one("circle", "red", 0.2, 0.5), STAR]


@pytest.fixture(scope="module")
def processor():
    return see.reader(SEE)


def answers(task, things) -> dict[str, str]:
    """Every prompt that a task gives for a picture, and its answer."""
    rng = random.Random(1)
    asked = [task(rng, things, is_vi) for _ in range(200) for is_vi in (False, True)]
    return dict(one for one in asked if one)


def test_a_caption_counts_what_is_alike():
    assert answers(pictures.describe, THREE) == {
        "caption en": "two red circles and a blue star",
        "caption vi": "hai hình tròn đỏ và một ngôi sao xanh dương",
    }


def test_a_question_has_one_answer_or_is_not_asked():
    assert answers(pictures.colour, THREE)["answer en what color is the star?"] == "blue"
    mixed = [RED, shapes.one("circle", "black", 0.2, 0.8), STAR]
    assert not any("circle" in asked for asked in answers(pictures.colour, mixed))
    assert answers(pictures.shape, THREE)["answer vi hình màu xanh dương là hình gì?"] == "ngôi sao"
    assert {*answers(pictures.place, THREE)} == {
        "answer en where is the blue star?",
        "answer vi ngôi sao xanh dương ở đâu?",
    }
    assert answers(pictures.place, THREE)["answer en where is the blue star?"] == "bottom right"


def test_counts_are_right_and_some_are_none():
    found = answers(pictures.count, THREE)
    assert found["answer en how many shapes are there?"] == "3"
    assert found["answer en how many circles are there?"] == "2"
    assert found["answer vi có bao nhiêu hình màu đỏ?"] == "2"
    assert "0" in found.values()


def test_presence_is_asked_of_what_is_there_and_of_what_is_not():
    found = answers(pictures.presence, THREE)
    assert found["answer en is there a red circle?"] == "yes"
    assert found["answer en is there a red star?"] == "no"
    assert found["answer vi có ngôi sao đỏ không?"] == "không"


def test_detect_gives_the_boxes_of_all_of_a_kind():
    found = shapes.boxes(answers(pictures.detect, THREE)["detect red circle"])
    assert [name for _, name in found] == ["red circle"] * 2
    for (box, _), thing in zip(found, THREE):
        assert shapes.overlap(box, shapes.box(thing)) > 0.75


def test_objects_lie_apart_in_cells_of_their_own_in_reading_order():
    rng = random.Random(3)
    for _ in range(200):
        things = pictures.drawn(rng)
        cells = [pictures.cell_of(thing) for thing in things]
        assert cells == sorted(set(cells)) and 1 <= len(things) <= 4
        boxes = [shapes.box(thing) for thing in things]
        assert all(
            shapes.overlap(a, b) < 0.1 for at, a in enumerate(boxes) for b in boxes[at + 1 :]
        )


def test_what_is_held_out_is_never_drawn_in_training(processor):
    rng = random.Random(4)
    kinds = collections.Counter(pictures.split(pictures.drawn(rng)) for _ in range(2000))
    assert set(kinds) == {"train", "dev", "card"} and kinds["train"] > 1600
    assert all(pictures.split(pictures.picture(rng)) == "train" for _ in range(300))
    for row in pictures.exam("card", 10):
        moved = [thing | {"x": 0.5, "y": 0.5} for thing in row["things"][::-1]]
        assert pictures.split(row["things"]) == pictures.split(moved) == "card"


def test_the_exam_of_the_course_is_what_the_code_writes():
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    assert rows == json.loads(json.dumps(pictures.exam("card")))
    asked = collections.Counter(
        (task, language) for row in rows for task, language, *_ in row["asked"]
    )
    both = sum(asked[kind] for kind in asked if kind[0] in ("colour", "shape"))
    assert both >= 150 and asked["count", "en"] + asked["count", "vi"] >= 100


def test_the_processor_adds_the_tokens_that_paligemma_has(processor):
    words = processor.tokenizer
    assert words.convert_ids_to_tokens(range(VOCAB_SIZE, len(words))) == [*pictures.ADDED]
    assert SEE.config().image_token_index == words.convert_tokens_to_ids("<image>")


def test_training_reads_what_the_processor_makes(processor):
    picture = shapes.draw(THREE)
    made = processor(
        images=picture, text="<image>caption vi", suffix="một hình", return_tensors="pt"
    )
    ids, part = see.encoded(processor, [("caption vi", "một hình")])
    assert ids.tolist() == made["input_ids"].tolist()
    assert part.tolist() == made["token_type_ids"].tolist()
    assert torch.equal(see.pixels([picture]), made["pixel_values"])


def test_the_loss_is_transformers_own(processor):
    """With the labels of PaliGemma's processor, one row at a time."""
    torch.manual_seed(0)
    from transformers import PaliGemmaForConditionalGeneration

    model = PaliGemmaForConditionalGeneration(SEE.config()).eval()
    drawn, asked = [shapes.draw(THREE), shapes.draw([STAR])], []
    rng = random.Random(5)
    for things in (THREE, [STAR]):
        asked += [pictures.ask(rng, things)[1:] for _ in range(2)]
    ids, part = see.encoded(processor, asked)
    with torch.no_grad():
        ours = see.loss_of(model, see.pixels(drawn), ids, part).item()
        losses = []
        for at, (prompt, answer) in enumerate(asked):
            made = processor(
                images=drawn[at // 2], text=f"<image>{prompt}", suffix=answer, return_tensors="pt"
            )
            losses.append(model(**made).loss.item())
    assert ours == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_patches_are_labelled_with_what_lies_on_them():
    star = shapes.one("star", "blue", 0.75, 0.25, 0.3)
    is_there, *labels = see.patch_labels([star]).reshape(7, 6, 6)
    assert (is_there[:3, 3:] > 0).mean() > 0.4
    assert is_there[3:].sum() == is_there[:, :3].sum() == 0
    assert np.argwhere(is_there == 2).tolist() == [[1, 4]], "its middle"
    edges = [round(edge * 32) for edge in shapes.box(star)]
    wanted = [shapes.SHAPES.index("star"), [*shapes.COLOURS].index("blue"), *edges]
    assert [{*label[is_there > 0].tolist()} for label in labels] == [{one} for one in wanted]
    assert all((label[is_there == 0] == see.NO_LABEL).all() for label in labels)


def test_near_places_begin_as_near_vectors():
    torch.manual_seed(0)
    table = see.waves(1024, 128)
    near, far = (torch.cosine_similarity(table[:-by], table[by:]).mean() for by in (8, 400))
    assert near > 0.95 and abs(far) < 0.3
    assert 0.5 < table.std() < 2
    assert np.isfinite(table.numpy()).all()

"""Will it fit: verdicts and plans on described cards, the view, and memory that runs out."""

import gc
import weakref
from dataclasses import replace

import matplotlib
import pytest
import torch
from machines import LAPTOP, P100
from models import SMALL_IT
from transformers import AutoModelForCausalLM

matplotlib.use("Agg")
from gemma_lab import loading, memory
from gemma_lab.hardware import A100, GIB, T4
from gemma_lab.lessons import nb04_fit

TWO, SEVEN = "google/gemma-2b-it", "google/gemma-7b-it"


@pytest.mark.parametrize("name", nb04_fit.CARDS)
@pytest.mark.parametrize("doing", nb04_fit.DOING.values())
def test_what_is_said_is_what_the_parts_add_up_to(name, doing):
    card = nb04_fit.CARDS[name]
    for model in (TWO, SEVEN):
        asked = (model, "bf16", 1024, 1, doing, card)
        found, said = nb04_fit.parts(*asked), nb04_fit.verdict(*asked)
        fits = sum(found.values()) <= card.free_gib * GIB
        assert said.startswith("Fits" if fits else "Does not fit") and "\n" not in said
        assert ("next: " in said) != fits
        assert max(found, key=found.get) in said


def test_writing_fits_exactly_where_the_plan_says_so_unless_loading_needs_more():
    for card in nb04_fit.CARDS.values():
        for precision in memory.PRECISIONS:
            plan = loading.plan_loading(SEVEN, precision, card)
            sizes = [
                sum(nb04_fit.parts(SEVEN, precision, 1024, 1, doing, card).values())
                for doing in ("load", "generate")
            ]
            assert plan.needed_gib == pytest.approx(max(sizes) / GIB)


@pytest.mark.parametrize(
    "asked, wanted",
    [
        ((SEVEN, "fp32", 1024, 1, "generate", T4), "int8"),
        ((SEVEN, "nf4", 8192, 8, "generate", T4), "batch 1"),
        ((SEVEN, "nf4", 32768, 1, "generate", T4), "8,192 tokens"),
        ((SEVEN, "bf16", 1024, 1, "train", T4), "LoRA, or a smaller model"),
        ((SEVEN, "bf16", 1024, 1, "generate", nb04_fit.CARDS["RTX 3050, 4 GB"]), "a smaller model"),
    ],
)
def test_the_next_smaller_choice(asked, wanted):
    assert nb04_fit.smaller(*asked) == wanted


PLANS = {  # model, precisions, of 7B, GB to download
    "T4, 16 GB": (TWO, "fp32 bf16 int8 nf4", "nf4", 22.1),
    "L4, 24 GB": (TWO, "fp32 bf16 int8 nf4", "nf4", 22.1),
    "A100, 40 GB": (TWO, "fp32 bf16 int8 nf4", "nf4", 22.1),
    "RTX 4060, 8 GB": (TWO, "bf16 int8 nf4", "nf4", 22.1),
    "RTX 3050, 4 GB": (TWO, "nf4", "", 5.0),
    "Mac, 16 GB": ("google/gemma-3-270m", "fp32 bf16 int8 nf4", "", 0.5),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_plan_of_each_card_works_on_it(name):
    card, (model, ladder, large, download) = nb04_fit.CARDS[name], PLANS[name]
    plan = nb04_fit.plan_for(card)
    assert (plan["model"], " ".join(plan["ladder"]), plan["large"]) == (model, ladder, large)
    assert plan["download_gb"] == pytest.approx(download, abs=0.06)
    others = 3 + ("fp32" in ladder.split()) + bool(large)  # 4 GB: section 3, 6, Take it home
    assert plan["loads"] == len(plan["ladder"]) + others <= 9
    assert all(loading.plan_loading(model, one, card).fits for one in plan["ladder"])
    assert set(plan["ladder"]) & {"bf16", "int8", "nf4"}  # sections 3, 6 and Go deeper take one


def test_where_nothing_fits_a_smaller_model_is_named_or_what_to_close():
    full = replace(LAPTOP, measured_free_gib=1.0)
    for model, todo in {TWO: "Set MODEL", "google/gemma-3-270m": "Close other programs"}.items():
        plan = loading.plan_loading(model, "nf4", full)
        said = nb04_fit.none_fits(plan, full)
        assert not plan.fits and f"has 1.0 free. {todo}" in said


def test_a_card_that_torch_cannot_use_and_a_cpu_get_the_small_one():
    for machine in (P100, LAPTOP):
        plan = nb04_fit.plan_for(machine)
        assert plan["model"] == "google/gemma-3-270m" and plan["ladder"] and not plan["large"]


def test_every_control_changes_the_picture():
    view = nb04_fit.will_it_fit([TWO, SEVEN], LAPTOP)
    *controls, image, _ = view.children
    seen = {bytes(image.value)}
    changes = (SEVEN, "nf4", 8192, 8, "lora", A100)
    for control, value in zip(controls, changes, strict=True):
        control.value = value
        seen.add(bytes(image.value))
    controls[4].value = "train"  # nf4 is not trained: one sentence, and no bar
    seen.add(bytes(image.value))
    assert len(seen) == 8


def out_of_memory(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")


def test_memory_that_runs_out_while_generating_is_told_once_and_given_back(capsys, monkeypatch):
    rows, held = {"bf16": 1}, []

    def run():
        model = AutoModelForCausalLM.from_pretrained(SMALL_IT)
        held.append(weakref.ref(model))
        monkeypatch.setattr(model.lm_head, "forward", out_of_memory)
        model.generate(torch.ones(1, 2, dtype=torch.long), max_new_tokens=2)

    with nb04_fit.attempt("2B in fp32", "bf16"):
        run()
        rows["fp32"] = 2
    monkeypatch.undo()
    gc.collect()
    assert held[0]() is None and rows == {"bf16": 1}
    assert capsys.readouterr().out == "2B in fp32 ran out of memory. Next smaller choice: bf16.\n"


def test_memory_that_runs_out_while_quantizing_is_found_behind_transformers_error(
    capsys, monkeypatch
):
    import bitsandbytes

    monkeypatch.setattr(bitsandbytes.functional, "quantize_4bit", out_of_memory)
    plan = loading.plan_loading(SMALL_IT, "nf4", LAPTOP)
    with nb04_fit.attempt("7B in nf4", "2B"):
        AutoModelForCausalLM.from_pretrained(SMALL_IT, **plan.kwargs())
    assert "7B in nf4 ran out of memory" in capsys.readouterr().out


def test_a_real_refusal_of_the_cpu_is_one_too_and_other_errors_pass(capsys):
    with nb04_fit.attempt("a row", "a shorter one"):
        torch.empty(2**60, dtype=torch.uint8)
    with nb04_fit.attempt("a row", "a shorter one"):
        raise MemoryError
    assert capsys.readouterr().out.count("ran out of memory") == 2
    with pytest.raises(RuntimeError, match="shapes"), nb04_fit.attempt("a", "b"):
        torch.ones(2, 3) @ torch.ones(2, 3)

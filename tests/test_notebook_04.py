"""Notebook 04: what its text says of the pocket models, and what its asserts hold."""

import ast
from types import SimpleNamespace

import pytest
from notebook_cells import ROOT, numbers, run_cells, shown, shown_table, tagged

NAME = "04_quantized_inference"


def table(tag: str) -> dict[str, dict[str, float]]:
    """The ladder's table as numbers: percent, megabytes, nats."""
    rows = shown_table(NAME, tag)
    return {
        row: {name: numbers(text)[0] for name, text in cells.items()} for row, cells in rows.items()
    }


@pytest.mark.parametrize("tag", ["small-table", "large-table"])
def test_kl_rises_at_every_step(tag):
    kl = {precision: row["KL"] for precision, row in table(tag).items()}
    assert list(kl) == ["fp32", "bf16", "int8", "nf4"]
    assert kl["fp32"] == 0 < kl["bf16"] < kl["int8"] < kl["nf4"]


def test_the_small_model_keeps_a_third_and_a_fifth_of_its_bytes_and_moves_in_kl_alone():
    small = table("small-table")
    assert 48 <= small["bf16"]["ratio"] <= 52
    assert 28 <= small["int8"]["ratio"] <= 33 and 19 <= small["nf4"]["ratio"] <= 24
    spread = {
        name: max(row[name] for row in small.values()) - min(row[name] for row in small.values())
        for name in ("perplexity", "right", "top-1")
    }
    assert spread["perplexity"] < 0.03 and spread["right"] < 8 and spread["top-1"] < 5
    right = {precision: row["right"] for precision, row in small.items()}
    assert right["nf4"] < right["fp32"] <= min(right["bf16"], right["int8"])  # "all of it at nf4"


def test_four_poems_are_one_poem_and_kl_differs_by_hundreds():
    *poems, multiples = shown(NAME, "poems").splitlines()
    assert len(poems) == 4 and all("68 of 68 words shared" in line for line in poems)
    times = ast.literal_eval(multiples.split(": ", 1)[1])
    assert times["fp32"] == 0 and times["bf16"] == 1 < times["int8"] and times["nf4"] > 100


def test_the_larger_model_in_4_bits_is_the_better_buy():
    small, large = table("small-table"), table("large-table")
    assert large["nf4"]["KL"] < small["nf4"]["KL"]
    assert large["nf4"]["MB"] < small["fp32"]["MB"]
    assert large["nf4"]["right"] >= small["fp32"]["right"]
    assert large["nf4"]["perplexity"] < small["fp32"]["perplexity"]
    assert all(large[bits]["ratio"] < small[bits]["ratio"] for bits in ("int8", "nf4"))


def test_4_bits_cost_the_270m_more_in_vietnamese_and_kl_rises_at_every_step():
    rows = table("real-ladder")
    for language in ("English", "Vietnamese"):
        kl = [row[f"KL, {language}"] for row in rows.values()]
        assert kl == sorted(kl) and kl[0] == 0 < kl[1]
    last = rows["nf4"]
    assert last["KL, Vietnamese"] > 1.3 * last["KL, English"]
    assert 65 < last["top-1, English"] < 85 and 50 < last["top-1, Vietnamese"] < 70
    assert 0.33 < last["MB"] / rows["fp32"]["MB"] < 0.40


def test_llama_cpp_says_the_talks_word_too_and_is_faster():
    assert "chuyên gia hàng đầu" in shown(NAME, "serve")
    (times,) = numbers(shown(NAME, "serve-speed").splitlines()[-1])
    assert times > 1.5


def test_the_bare_question_is_not_answered():
    """With the chat template a poem begins with "A poem about"; without it nothing is answered."""
    said = shown(NAME, "bare-question").strip()
    assert len(said) > 20 and not said.startswith(("Here is", "A poem"))


def test_fp4_moves_both_models_further_than_nf4():
    lines = shown(NAME, "fp4").splitlines()
    assert len(lines) == 2
    for line in lines:
        nf4, fp4 = numbers(line.split("KL: nf4")[1].replace("fp4", ""))
        assert fp4 > nf4


def test_sdpa_is_far_below_bf16_on_a_cpu():
    """In fp32, as the text says; the bound for every type is the cell's own."""
    eager, sdpa = shown(NAME, "attention").splitlines()
    assert numbers(sdpa.split("KL to eager")[1])[0] < 0.01 * table("small-table")["bf16"]["KL"]
    assert "68 words" in eager and "68 words" in sdpa


# ---------------------------------------------------- the cells themselves, in other worlds


@pytest.mark.parametrize("card", ["T4", "A100", "CPU"])
def test_the_written_config_is_the_one_that_the_helper_chooses(card):
    import torch

    import gemma_lab
    from gemma_lab import hardware

    machine = gemma_lab.describe_machine() if card == "CPU" else getattr(hardware, card)
    known = {"T4": hardware.T4, "machine": machine, "MODEL": "google/gemma-2b-it"}
    cell = run_cells(NAME, "precisions", gemma_lab=gemma_lab, torch=torch, **known)
    plan = gemma_lab.plan_loading("google/gemma-2b-it", "nf4", machine)
    wanted = plan.kwargs()["quantization_config"].to_dict()
    loads = cell["ways_to_load"]("google/gemma-2b-it")
    assert loads["nf4"]["quantization_config"].to_dict() == wanted
    assert wanted["bnb_4bit_quant_type"] == "nf4" and wanted["bnb_4bit_use_double_quant"]
    assert wanted["bnb_4bit_compute_dtype"] == ("float16" if card == "T4" else "bfloat16")


@pytest.mark.parametrize("card, half", [("T4", "float16"), ("A100", "bfloat16")])
def test_the_16_bit_type_is_the_card_s_and_a_row_of_another_name_says_so(card, half, capsys):
    import torch

    import gemma_lab
    from gemma_lab import hardware

    names = {"T4": hardware.T4, "machine": getattr(hardware, card), "MODEL": "google/gemma-2b-it"}
    cell = run_cells(NAME, "precisions", gemma_lab=gemma_lab, torch=torch, **names)
    loads = cell["ways_to_load"]("google/gemma-2b-it")
    dtypes = {precision: row["dtype"] for precision, row in loads.items()}
    assert dtypes.pop("fp32") is torch.float32
    assert set(dtypes.values()) == {getattr(torch, half)}
    said = capsys.readouterr().out
    assert ("in bf16 needs" in said and f"It runs in {half}: " in said) == (half != "bfloat16")
    (line,) = [line for line in tagged(NAME, "take-home").splitlines() if line.startswith("half")]
    capability = names["machine"].compute_capability
    cuda = SimpleNamespace(is_available=lambda: True, get_device_capability=lambda: capability)
    home = {"cuda": cuda, "float16": torch.float16, "bfloat16": torch.bfloat16}
    exec(line, home)
    assert home["half"] is getattr(torch, half)


def test_without_access_to_the_larger_model_the_rest_goes_on(capsys):
    """Everything below the ladder of the smaller one, which asks for both."""
    import matplotlib.pyplot as plt
    import pandas
    import torch

    from gemma_lab import access, memory, scores
    from gemma_lab.lessons import nb04

    def refuse(hub_id):
        raise access.AccessError(f"Accept the licence of {hub_id}.")

    thoughts = torch.tensor([[0.9, 0.1], [0.2, 0.8]]).log()
    measured = scores.Scores([thoughts], [torch.tensor([0, 1])])
    ladder = {name: (1.0, measured, "A poem.") for name in ("fp32", "bf16", "int8", "nf4")}
    only_small = SimpleNamespace(
        from_pretrained=lambda path, **_: {"small": torch.nn.Module()}[path]
    )
    names = {
        "gemma_lab": SimpleNamespace(
            checkpoint=refuse,
            plan_loading=lambda *_: SimpleNamespace(kwargs=dict),
            portable_4bit=lambda model: model,
        ),
        "scores": SimpleNamespace(**vars(scores) | {"answer_log_probs": lambda *_: measured}),
        "AutoModelForCausalLM": only_small,
        "LARGE": "google/gemma-7b-it",
        "small_path": "small",
        "small_results": ladder,
        "compare_attention": lambda path: {"small": 0}[path],
        "compare_poems": lambda results: next(iter(results.values())),
        "AutoTokenizer": SimpleNamespace(from_pretrained=str),
        "machine": None,
        "rows": [],
        "climb": None,
        "memory": memory,
        "nb04": nb04,
        "pd": pandas,
        "plt": plt,
    }
    run_cells(NAME, "small-table", "large-table", "plot", "large-poems", "fp4", **names)
    said = capsys.readouterr().out
    assert said.count("Accept the licence of google/gemma-7b-it. Until then") == 1
    assert "small" in said.splitlines()[-1]


def test_other_levels_are_not_the_library_s(monkeypatch):
    """The by-hand assert holds, and stops a learner who takes fp4's levels for nf4's."""
    import torch
    from bitsandbytes import functional

    run_cells(NAME, "nf4-by-hand", torch=torch)
    fp4 = functional.get_4bit_type("fp4", device="cpu")
    monkeypatch.setattr(functional, "get_4bit_type", lambda *_, **__: fp4)
    with pytest.raises(AssertionError, match="as bitsandbytes has it"):
        run_cells(NAME, "nf4-by-hand", torch=torch)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("model, is_one_formula", [("small-it", True), ("gemma2-it", False)])
def test_the_bound_on_attention_tells_rounding_from_another_formula(dtype, model, is_one_formula):
    """In each type: sdpa is eager on a Gemma 1, but drops the cap of a Gemma 2."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from gemma_lab import memory, scores

    folder = ROOT / "gemma_lab" / "checkpoints" / f"pocket-{model}"
    device = "cpu" if dtype == "float32" else "cuda"  # described: what chooses the type in the cell
    names = {
        "gemma_lab": SimpleNamespace(attention_implementations=lambda *_: ["eager", "sdpa"]),
        "machine": SimpleNamespace(device=device),
        "ways_to_load": lambda _: dict.fromkeys(("fp32", "nf4"), {"dtype": getattr(torch, dtype)}),
        "rows": scores.one_answer_rows()[::6],
        "shared_words": lambda *_: 0,
        "write_poem": lambda *_: "",
        "device": "cpu",
        "small_path": folder,
        "AutoTokenizer": AutoTokenizer,
        "AutoModelForCausalLM": AutoModelForCausalLM,
        "torch": torch,
        "memory": memory,
        "scores": scores,
    }
    if is_one_formula:
        assert run_cells(NAME, "attention", **names)["distance"] >= 0
    else:
        with pytest.raises(AssertionError, match="one of them computes another"):
            run_cells(NAME, "attention", **names)

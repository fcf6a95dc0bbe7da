"""Notebook 04: what its text says of the pocket models, and what its asserts hold."""

import ast
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from machines import LAPTOP, MAC
from notebook_cells import ROOT, minutes, numbers, run_cells, shown, shown_table, tagged

NAME = "04_quantized_inference"
SPEEDS = ("prompt, tokens/s", "tokens/s")


def table(tag: str) -> dict[str, dict[str, float]]:
    """The ladder's table as numbers: percent, megabytes, nats."""
    rows = shown_table(NAME, tag)

    def first(text):
        return (numbers(text.replace(",", "")) or ["nan"])[0]

    return {
        row: {name: float(first(text)) for name, text in cells.items()}
        for row, cells in rows.items()
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
    order = ["bf16", "int8 weights", "int8", "nf4"]
    for language in ("English", "Vietnamese", "own text"):
        kl = [rows[f"KL, {language}"][precision] for precision in order]
        assert kl == sorted(kl) and rows[f"KL, {language}"]["fp32"] < 1e-5 < kl[0]
    nf4 = {name: row["nf4"] for name, row in rows.items()}
    assert nf4["KL, Vietnamese"] > 1.3 * nf4["KL, English"]
    assert 0.33 < nf4["MB"] / rows["MB"]["fp32"] < 0.40  # "to about a third only"
    assert all(rows["% of limit"][few] < 60 for few in ("int8", "nf4"))
    times = {name: rows[name]["bf16"] / rows[name]["fp32"] for name in SPEEDS}
    newer, older = times["prompt, tokens/s"] > 0.7, times["tokens/s"] > 1.2  # the text has both
    assert newer or older, times


def test_llama_cpp_says_the_talks_word_too_and_is_faster():
    assert "chuyên gia hàng đầu" in shown(NAME, "serve")
    (times,) = numbers(shown(NAME, "serve-speed").splitlines()[-1])
    assert times > 1.5


def test_the_bare_question_is_not_answered():
    """With the chat template a poem begins with "A poem about"; without it nothing is answered."""
    said = shown(NAME, "bare-question").strip()
    assert len(said) > 20 and not said.startswith(("Here is", "A poem"))


def test_fp4_moves_the_model_further_than_nf4():
    nf4, _, fp4 = (numbers(line)[-2:] for line in shown(NAME, "fp4").splitlines()[-3:])
    assert all(more > less for more, less in zip(fp4, nf4, strict=True))


def test_eager_and_sdpa_differ_by_rounding_alone():
    eager, sdpa = shown(NAME, "attention").splitlines()
    assert (
        numbers(sdpa.split("KL to eager")[1])[0] < table("real-ladder")["KL, English"]["nf4"] / 10
    )
    assert "plain products" in eager and "flash" in sdpa


def test_the_missing_bos_stands_out():
    found = [numbers(line)[-1] for line in shown(NAME, "missing-bos").replace(",", "").splitlines()]
    assert max(found) == found[3] and found[3] > 3 * sorted(found)[-2]  # "several times"


# ---------------------------------------------------- the cells themselves, in other worlds


def ways(machine, hub_id="google/gemma-2b-it") -> dict:
    import torch

    import gemma_lab

    names = {"gemma_lab": gemma_lab, "torch": torch, "machine": machine, "path": hub_id}
    return run_cells(NAME, "precisions", **names)["ways"]


@pytest.mark.parametrize("hub_id", ["google/gemma-2b-it", "google/gemma-3-270m"])
@pytest.mark.parametrize("card", ["T4", "A100", "CPU", "older CPU", "Mac"])
def test_the_written_arguments_are_those_that_the_helper_chooses(card, hub_id):
    import gemma_lab
    from gemma_lab import hardware, memory

    own = {"CPU": LAPTOP, "older CPU": replace(LAPTOP, cpu_has_bf16=False), "Mac": MAC}
    machine = own.get(card) or getattr(hardware, card)
    written = ways(machine, hub_id)
    assert list(written) == list(memory.PRECISIONS)
    for precision, arguments in written.items():
        wanted = gemma_lab.plan_loading(hub_id, precision, machine).kwargs()
        configs = [one.pop("quantization_config", None) for one in (arguments, wanted)]
        assert arguments == wanted
        ours, its = (config and config.to_dict() for config in configs)
        assert ours == its


@pytest.mark.parametrize("card, half", [("T4", "float16"), ("A100", "bfloat16")])
def test_the_16_bit_type_is_the_card_s_and_a_row_of_another_name_says_so(card, half, capsys):
    import torch

    from gemma_lab import hardware

    machine = getattr(hardware, card)
    dtypes = {precision: row["dtype"] for precision, row in ways(machine).items()}
    assert dtypes.pop("fp32") is torch.float32
    assert set(dtypes.values()) == {getattr(torch, half)}
    said = capsys.readouterr().out
    assert (f"It runs in {half}: " in said) == (half != "bfloat16")
    lines = tagged(NAME, "take-home").splitlines()
    choice = "\n".join(line for line in lines if line.startswith(("safe", "half")))
    capability = machine.compute_capability
    cuda = SimpleNamespace(is_available=lambda: True, get_device_capability=lambda: capability)
    types = {name: getattr(torch, name) for name in ("float16", "bfloat16", "float32")}
    for family, wanted in {
        "gemma": half,
        "gemma3_text": half.replace("float16", "float32"),
    }.items():
        config = SimpleNamespace(
            from_pretrained=lambda _, family=family: SimpleNamespace(model_type=family)
        )
        home = {"cuda": cuda, "AutoConfig": config, "NAME": "x", **types}
        exec(choice, home)
        assert home["half"] is getattr(torch, "bfloat16" if half == "bfloat16" else wanted)


def test_without_access_to_the_larger_model_the_rest_goes_on(capsys):
    """Its section says so once, and loads nothing."""
    import gemma_lab
    from gemma_lab import access, hardware, memory
    from gemma_lab.lessons import nb04_fit

    def checkpoint(hub_id):
        if "7b" in hub_id:
            raise access.AccessError(f"Accept the licence of {hub_id}.")
        raise AssertionError(f"{hub_id} is not wanted here")

    lab = SimpleNamespace(checkpoint=checkpoint, plan_loading=gemma_lab.plan_loading)
    names = {
        "gemma_lab": lab,
        "machine": hardware.T4,
        "T4": hardware.T4,
        "LARGE": "google/gemma-7b-it",
        "profile": "hub",
        "nb04_fit": nb04_fit,
        "memory": memory,
    }
    after = run_cells(NAME, "larger", "larger-load", **names)
    said = capsys.readouterr().out
    assert said.count("Accept the licence of google/gemma-7b-it. Until then") == 1
    assert after["larger"] == {}
    assert said.endswith("not measured here, in the hub profile\n")


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

    from gemma_lab import scores
    from gemma_lab.lessons import nb04_quality

    folder = ROOT / "gemma_lab" / "checkpoints" / f"pocket-{model}"
    names = {
        "gemma_lab": SimpleNamespace(attention_implementations=lambda *_: ["eager", "sdpa"]),
        "machine": SimpleNamespace(device="cpu"),
        "plan": SimpleNamespace(attn_implementation="eager"),
        "path": folder,
        "model": AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)),
        "tokenizer": AutoTokenizer.from_pretrained(folder),
        "begun": [own[0] for own in nb04_quality.paragraphs(1).values()],
        "scores": scores,
    }
    if is_one_formula:
        assert run_cells(NAME, "attention", "attention-bound", **names)["largest"] >= 0
    else:
        with pytest.raises(AssertionError, match="one of them computes another"):
            run_cells(NAME, "attention", "attention-bound", **names)


@pytest.mark.parametrize("fits", [True, False])
def test_what_is_rounded_by_hand_is_our_small_model_where_the_main_one_does_not_fit(fits):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import gemma_lab
    from gemma_lab import memory
    from gemma_lab.lessons import nb04_quality
    from gemma_lab.profile import CHECKPOINTS

    main = CHECKPOINTS / "pocket-large-it"

    def plan_loading(folder, precision, machine):
        plan = gemma_lab.plan_loading(folder, precision, machine)
        return plan if fits or folder != main else SimpleNamespace(fits=False)

    lab = {"plan_loading": plan_loading, "describe_machine": gemma_lab.describe_machine}
    names = {"AutoModelForCausalLM": AutoModelForCausalLM, "AutoTokenizer": AutoTokenizer}
    names |= {"gemma_lab": SimpleNamespace(**lab), "memory": memory, "torch": torch, "path": main}
    names["begun"] = [own[0] for own in nb04_quality.paragraphs(1).values()]
    found = run_cells(NAME, "bits-texts", **names)
    used = main.name if fits else "pocket-small-it"
    assert found["whole"].config.name_or_path.endswith(used) and found["ids"].shape == (2, 48)
    assert found["whole"].dtype == torch.float32


@pytest.mark.parametrize("fails", [[], ["fp32"], ["bf16"], ["fp32", "bf16", "int8", "nf4"]])
def test_the_ladder_keeps_its_rows_where_memory_runs_out(fails, capsys):
    """The first row that is measured is the reference; each failure is one sentence."""
    import time

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import gemma_lab
    from gemma_lab import bench, memory
    from gemma_lab.lessons import nb04_fit, nb04_quality
    from gemma_lab.profile import CHECKPOINTS
    from gemma_lab.scratch import quantize

    path = CHECKPOINTS / "pocket-small-it"

    def from_pretrained(path, name, **_):
        if name in fails:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")
        return AutoModelForCausalLM.from_pretrained(path)

    kinds = {"int8": {"quantization_config": ""}, "nf4": {"quantization_config": ""}}
    ways = {name: {"name": name} | kinds.get(name, {}) for name in memory.PRECISIONS}
    names = {
        "gemma_lab": gemma_lab,
        "machine": SimpleNamespace(device="cpu"),
        "ways": ways,
        "AutoModelForCausalLM": SimpleNamespace(from_pretrained=from_pretrained),
        "tokenizer": AutoTokenizer.from_pretrained(path),
        "path": path,
        "texts": nb04_quality.paragraphs(1),
        "begun": ["Rain is"],
        "gb_per_s": 10.0,
        "bench": bench,
        "memory": memory,
        "nb04_fit": nb04_fit,
        "nb04_quality": nb04_quality,
        "quantize": quantize,
        "time": time,
    }
    after = run_cells(NAME, "ladder-loop", **names)
    said = capsys.readouterr().out
    assert said.count("ran out of memory") == len(fails)
    wanted = [name for name in memory.PRECISIONS if name not in fails]
    assert [name for name in after["ladder"] if name != "int8 weights"] == wanted
    assert ("int8 weights" in after["ladder"]) == (set(fails) < set(memory.PRECISIONS))
    if wanted:
        first = after["ladder"][wanted[0]]
        assert first["KL, English"] < 1e-6 and first["peak_mb"] >= 0
        assert after["ladder"]["int8 weights"]["KL, English"] > 1e-6


def test_the_head_says_what_a_t4_needs():
    from gemma_lab import hardware, loading

    notebook = json.loads((ROOT / "notebooks" / f"{NAME}.ipynb").read_text(encoding="utf-8"))
    largest = loading.plan_loading("google/gemma-2b-it", "fp32", hardware.T4).needed_gib
    said = f"T4: estimated {largest:.0f} GiB"
    assert said in "".join(notebook["cells"][0]["source"])


def test_it_fits_25_live_minutes_up_to_take_it_home():
    notebook = json.loads((ROOT / "notebooks" / f"{NAME}.ipynb").read_text(encoding="utf-8"))
    texts = ["".join(cell["source"]) for cell in notebook["cells"]]
    end = next(at for at, text in enumerate(texts) if text.startswith("## Take it home"))
    assert minutes(notebook["cells"][:end]) <= 25

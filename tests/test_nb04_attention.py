"""Which attention ran, on this CPU as the profiler saw it, and on described cards by the rules."""

import json
from dataclasses import replace
from importlib.resources import files

import pytest
import torch
from machines import CARD_8_GB, GTX_1060, H100, LAPTOP, MAC
from models import TINY
from notebook_cells import finished
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
)

from gemma_lab import loading, profile, scores
from gemma_lab.hardware import A100, T4
from gemma_lab.lessons import nb04_attention as attention

IDS = torch.arange(10, 40)[None]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def tiny(**changes):
    torch.manual_seed(0)
    return GemmaForCausalLM(GemmaConfig(**TINY | changes)).eval()


def test_the_profiler_names_the_backend_and_counts_the_layers():
    assert attention.which_ran(tiny(attn_implementation="sdpa"), IDS) == {"flash, for CPUs": 2}
    assert attention.which_ran(tiny(attn_implementation="eager"), IDS) == {}


def test_the_profiler_prints_nothing(tmp_path):
    """A notebook shows what C++ writes to the console, too; its library asks the level once."""
    source = (
        "import torch, transformers\nfrom gemma_lab.lessons import nb04_attention as attention\n"
        f"config = transformers.GemmaConfig(**{TINY})\n"
        "model = transformers.GemmaForCausalLM(config)\n"
        "print(attention.which_ran(model, torch.arange(9)[None]))"
    )
    done = finished(source, tmp_path)
    assert done.stdout == "{'flash, for CPUs': 2}\n" and "profiler" not in done.stderr


def test_without_flash_math_ran():
    model = tiny(attn_implementation="sdpa")
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert attention.which_ran(model, IDS) == {"math": 2}


@pytest.mark.parametrize("num_tokens", [8, 30])
@pytest.mark.parametrize("num_key_value_heads", [1, 2, 4])
def test_the_rule_for_a_cpu_is_what_ran(num_tokens, num_key_value_heads):
    """With shared heads or not, with a full window, which needs a mask, or not."""
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        **TINY | {"num_key_value_heads": num_key_value_heads},
        sliding_window=16,
        attn_implementation="sdpa",
    )
    model = Gemma3ForCausalLM(config).eval()
    rule = attention.expected_backend(
        LAPTOP, "float32", num_key_value_heads < 4, has_mask=num_tokens > 16
    )
    assert attention.which_ran(model, IDS[:, :num_tokens]) == {rule: 2}


def test_the_names_are_those_of_operators_that_pytorch_has():
    for operator in attention.BACKENDS:
        space, name = operator.split("::")
        if space == "aten":
            assert hasattr(torch.ops.aten, name), operator


a100 = replace(A100, has_flash_attn=True)


@pytest.mark.parametrize(
    "machine, dtype, is_grouped, has_mask, backend",
    [
        (T4, "float16", True, False, "math"),  # Gemma 2B, one prompt
        (T4, "float16", False, False, "memory-efficient"),  # Gemma 7B
        (T4, "float16", True, True, "memory-efficient"),  # padded, or a full window
        (T4, "float32", True, False, "math"),  # the 270M
        (a100, "bfloat16", True, False, "flash"),
        (a100, "bfloat16", True, True, "memory-efficient"),
        (a100, "float32", True, False, "math"),
        (H100, "bfloat16", True, False, "flash"),
        (CARD_8_GB, "bfloat16", True, False, "flash"),
        (MAC, "float32", True, False, "math, for Apple GPUs"),
        (LAPTOP, "bfloat16", True, False, "flash, for CPUs"),
        (GTX_1060, "float32", True, True, "flash, for CPUs"),
    ],
)
def test_what_a_described_card_runs(machine, dtype, is_grouped, has_mask, backend):
    assert attention.expected_backend(machine, dtype, is_grouped, has_mask) == backend


def test_a_head_beyond_256_gets_no_flash():
    """Gemma 4's global layers have 512."""
    found = attention.expected_backend(a100, "bfloat16", True, False, head_dim=512)
    assert found == "memory-efficient"


@pytest.mark.parametrize(
    "machine, model, dtype, bound",
    [
        (T4, "google/gemma-2b-it", torch.float16, 5e-4),
        (T4, "google/gemma-3-270m", torch.float32, 1e-6),
        (a100, "google/gemma-2b-it", torch.bfloat16, 6e-3),
        (CARD_8_GB, "google/gemma-2b-it", torch.bfloat16, 6e-3),
        (MAC, "google/gemma-3-270m", torch.float32, 1e-6),
        (LAPTOP, "google/gemma-3-270m", torch.bfloat16, 6e-3),
    ],
)
def test_the_bound_goes_by_the_dtype_that_a_plan_chooses(machine, model, dtype, bound):
    plan = loading.plan_loading(model, "bf16", machine)
    assert getattr(torch, plan.dtype) is dtype
    assert attention.tolerance(dtype) == bound < 0.5 * 1.3e-2  # nf4's of pocket-small-it


def test_no_bound_is_made_up():
    with pytest.raises(ValueError, match="not in torch.int8: give model.dtype"):
        attention.tolerance(torch.int8)


def eager_against_sdpa(folder, dtype) -> float:
    """KL on two paragraphs, switching one loaded model."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = files("gemma_lab").joinpath("data/paragraphs.json").read_text("utf-8")
    rows = [
        tokenizer(texts[0], return_tensors="pt")["input_ids"] for texts in json.loads(text).values()
    ]
    model, found = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype), []
    for implementation in ("eager", "sdpa"):
        model.set_attn_implementation(implementation)
        thoughts = [scores.log_probs(model, ids, 1) for ids in rows]
        found.append(scores.Scores(thoughts, [ids[0, 1:] for ids in rows]))
    return scores.kl(*found)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["pocket-small-it", "pocket-large-it", "pocket-gemma2-it"])
def test_the_bound_tells_rounding_from_another_formula(name, dtype):
    """In each type: sdpa is eager on a Gemma 1, but drops the cap of a Gemma 2."""
    distance = eager_against_sdpa(profile.CHECKPOINTS / name, dtype)
    assert (distance < attention.tolerance(dtype)) == ("gemma2" not in name), distance
    if dtype is not torch.float32:
        assert distance > 1e-9  # two implementations did run


@pytest.mark.slow
def test_the_bound_holds_for_the_real_gemma(real_gemma):
    for dtype in (torch.float32, torch.bfloat16):
        assert eager_against_sdpa(real_gemma, dtype) < attention.tolerance(dtype)


@pytest.mark.parametrize("name", ["pocket-small-it", "pocket-gemma2-it"])
def test_a_switched_model_computes_what_a_loaded_one_does(name):
    folder = profile.CHECKPOINTS / name
    switched = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa")
    switched.set_attn_implementation("eager")
    loaded = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    with torch.no_grad():
        assert switched(IDS).logits.equal(loaded(IDS).logits)

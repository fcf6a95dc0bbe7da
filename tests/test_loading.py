"""Decisions on described machines, and safe 4-bit weights on a CPU."""

from dataclasses import replace

import pytest
import torch
from machines import CARD_4_GB, CARD_8_GB, H100, L4, LAPTOP, MAC, P100
from models import TINY
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    GemmaConfig,
    GemmaForCausalLM,
)

from gemma_lab import catalog, loading, memory
from gemma_lab.hardware import A100, T4


@pytest.mark.parametrize(
    "family, machine, dtype",
    [
        ("gemma", T4, "float16"),
        ("gemma2", T4, "float16"),
        ("gemma3_text", T4, "float32"),
        ("gemma3_text", A100, "bfloat16"),
        ("gemma", L4, "bfloat16"),
        ("gemma", H100, "bfloat16"),
        ("gemma", LAPTOP, "bfloat16"),
        ("gemma", MAC, "float16"),
        ("gemma4_text", MAC, "float32"),
        ("gemma3n_text", T4, "float32"),
        ("llama", T4, "float16"),
        ("recurrent_gemma", T4, "float16"),
        ("recurrent_gemma", L4, "bfloat16"),
        ("recurrent_gemma", MAC, "float16"),
    ],
)
def test_dtype_by_family_and_machine(family, machine, dtype):
    assert loading.choose_dtype(family, machine) == dtype


def test_gemma_2_never_gets_sdpa_and_a_t4_never_flash_attention():
    assert loading.choose_attention(catalog.find("google/gemma-2-2b").config) == "eager"
    on_a100 = loading.attention_implementations("google/gemma-2-2b", A100)
    assert on_a100 == ["eager", "flex_attention"]
    fast = replace(A100, has_flash_attn=True)
    assert "flash_attention_2" in loading.attention_implementations("google/gemma-2-2b", fast)
    assert loading.attention_implementations("google/gemma-2b", T4) == ["eager", "sdpa"]


@pytest.mark.parametrize("family", ["vaultgemma", "t5gemma", "gemma3_text"])
def test_attention_is_chosen_by_the_cap_and_not_by_a_name(family, tmp_path):
    config = AutoConfig.for_model(family)
    config.save_pretrained(tmp_path)
    caps = family != "gemma3_text"
    assert ('softcapping": 50' in (tmp_path / "config.json").read_text()) == caps
    plan = loading.plan_loading(str(tmp_path), "bf16", A100)
    assert plan.attn_implementation == ("eager" if caps else "sdpa")


def test_sdpa_really_drops_gemma_2s_soft_capping():
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=64,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        intermediate_size=64,
        attn_logit_softcapping=0.05,
        query_pre_attn_scalar=1,
    )
    model = Gemma2ForCausalLM(config).eval()
    for weight in model.parameters():
        weight.data *= 10
    logits = {}
    for attention in ("eager", "sdpa"):
        model.set_attn_implementation(attention)
        logits[attention] = model(torch.arange(20)[None]).logits
    assert not torch.allclose(logits["eager"], logits["sdpa"], atol=1e-3)


@pytest.mark.parametrize("hub_id", ["google/gemma-2b-it", "google/gemma-7b-it"])
@pytest.mark.parametrize("precision", memory.BITS)
def test_a_t4_gets_a_plan_that_fits_15_gb_and_does_not_overflow(hub_id, precision):
    plan = loading.plan_loading(hub_id, precision, T4)
    assert plan.dtype in ("float16", "float32")
    is_wide = precision in ("fp32", "bf16", "fp16")
    is_too_large = hub_id == "google/gemma-7b-it" and is_wide  # 34 and 17 GB
    assert plan.fits != is_too_large
    assert plan.fits or "does not fit" in plan.sentence
    if precision == "bf16":
        assert "not used with bfloat16" in plan.sentence
    if precision in ("nf4", "fp4"):
        assert plan.quantization["bnb_4bit_compute_dtype"] == "float16"
        assert plan.quantization["bnb_4bit_quant_type"] == precision


@pytest.mark.parametrize("machine", [T4, L4, A100, CARD_4_GB, CARD_8_GB, LAPTOP, MAC])
@pytest.mark.parametrize("size", ["2b", "7b", "7b-it"])
def test_codegemma_is_planned_as_gemma_of_its_size(size, machine):
    for precision in memory.BITS:
        plan = loading.plan_loading(f"google/codegemma-{size}", precision, machine)
        same = loading.plan_loading(f"google/gemma-{size}", precision, machine)
        sentence = same.sentence.replace("google/gemma-", "google/codegemma-")
        assert plan == replace(same, sentence=sentence)


# GiB by hand: 2.68 B parameters of which 2.00 B in linear layers, 8.58 B of which 7.47 B, and bytes
# for a number as in test_cards.py; beside them 1 GiB, 0.1 for what passes, a cache of 0.01 or 0.03.
RECURRENT = {
    "google/recurrentgemma-2b": {"fp32": 11.1, "bf16": 6.1, "int8": 4.2, "nf4": 3.3},
    "google/recurrentgemma-9b-it": {"fp32": 33.2, "bf16": 17.1, "int8": 10.2, "nf4": 6.8},
}


@pytest.mark.parametrize(
    "machine, dtype, two, nine",
    [
        (T4, "float16", "fp32 bf16 int8 nf4", "int8 nf4"),
        (L4, "bfloat16", "fp32 bf16 int8 nf4", "bf16 int8 nf4"),
        (A100, "bfloat16", "fp32 bf16 int8 nf4", "fp32 bf16 int8 nf4"),
        (CARD_4_GB, "bfloat16", "nf4", ""),
        (CARD_8_GB, "bfloat16", "bf16 int8 nf4", "nf4"),
        (LAPTOP, "bfloat16", "int8 nf4", ""),
        (MAC, "float16", "fp32 bf16 int8 nf4", "int8 nf4"),
    ],
)
def test_recurrentgemma_is_planned_with_a_type_that_is_safe(machine, dtype, two, nine):
    for (hub_id, needed), fits in zip(RECURRENT.items(), (two, nine), strict=True):
        for precision, gib in needed.items():
            plan = loading.plan_loading(hub_id, precision, machine)
            quantized = "bfloat16" if machine is MAC else dtype  # on its CPU
            types = {"fp32": "float32", "bf16": dtype}
            assert plan.dtype == types.get(precision, quantized)
            assert plan.attn_implementation == "sdpa"
            if machine.device == "cuda":  # quantizing on a CPU takes more
                assert plan.needed_gib == pytest.approx(gib, abs=0.06)
            assert plan.fits == (precision in fits.split())
            verdict = "fits" if plan.fits else "does not fit"
            assert f"{hub_id} in {precision} needs {plan.needed_gib:.1f} GiB and {verdict}:" in (
                plan.sentence
            )


def test_sdpa_is_right_for_recurrentgemma_beyond_its_window():
    config = AutoConfig.for_model(
        "recurrent_gemma", **TINY | {"attention_window_size": 8, "num_hidden_layers": 3}
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    logits = {}
    for attention in loading.attention_implementations("google/recurrentgemma-2b", T4):
        model.set_attn_implementation(attention)
        logits[attention] = model(torch.arange(40)[None], use_cache=False).logits
    assert torch.allclose(logits["eager"], logits["sdpa"], atol=1e-5)
    model.config.attention_window_size = 64
    wider = model(torch.arange(40)[None], use_cache=False).logits
    assert not torch.allclose(wider, logits["sdpa"], atol=1e-3)


def test_plan_arguments_are_those_of_transformers():
    arguments = loading.plan_loading("google/gemma-2b-it", "nf4", A100).kwargs()
    assert arguments["dtype"] is torch.bfloat16 and arguments["device_map"] == {"": 0}
    config = arguments["quantization_config"]
    assert (config.bnb_4bit_quant_type, config.bnb_4bit_compute_dtype) == ("nf4", torch.bfloat16)
    on_a_mac = loading.plan_loading("google/gemma-2b-it", "int8", MAC)
    assert on_a_mac.device_map == {"": "cpu"}
    assert on_a_mac.dtype == "bfloat16"  # its CPU has bfloat16
    wide = loading.plan_loading("unsloth/gemma-2b-it", "fp32", A100).kwargs()
    assert wide["dtype"] is torch.float32


@pytest.mark.parametrize("machine", [LAPTOP, MAC, P100, T4, A100])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "nf4", "fp4"])
def test_where_a_cpu_only_emulates_bfloat16_4_bits_multiply_in_float32(machine, precision):
    """What is stored stays in 16 bits, so that 4 bits take fewer bytes than 16."""
    newer = loading.plan_loading("google/gemma-2b-it", precision, machine)
    older = replace(machine, cpu_has_bf16=False)
    plan = loading.plan_loading("google/gemma-2b-it", precision, older)
    assert (plan.dtype, plan.needed_gib) == (newer.dtype, newer.needed_gib)
    is_other = precision in ("nf4", "fp4") and machine in (LAPTOP, MAC, P100)
    assert ("this CPU only emulates bfloat16" in plan.sentence) == is_other
    assert (plan.quantization != newer.quantization) == is_other
    if is_other:
        assert plan.kwargs()["quantization_config"].bnb_4bit_compute_dtype is torch.float32


def test_free_memory_not_total_decides_what_fits():
    assert loading.plan_loading("google/gemma-2b-it", "bf16", T4).fits
    busy = replace(T4, measured_free_gib=4.0)
    plan = loading.plan_loading("google/gemma-2b-it", "bf16", busy)
    assert not plan.fits and "Tesla T4 has 4.0 free" in plan.sentence
    assert loading.plan_loading("google/gemma-2b-it", "nf4", busy).fits
    assert loading.plan_loading("google/gemma-7b-it", "bf16", A100).fits
    assert not loading.plan_loading("google/gemma-7b-it", "nf4", LAPTOP).fits


@pytest.mark.parametrize("machine", [T4, MAC])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_what_is_loaded_in_float32_is_counted_in_float32(machine, precision):
    """Gemma 3 overflows in float16, so without bfloat16 its 4B part takes 14.5 GiB of weights."""
    plan = loading.plan_loading("google/gemma-3-4b-it", precision, machine)
    assert plan.dtype == "float32" and not plan.fits and plan.needed_gib > 15.5
    assert ("It runs in float32" in plan.sentence) == (precision != "fp32")


def test_a_quantized_model_without_16_bits_keeps_its_table_in_float32():
    on_t4 = loading.plan_loading("google/gemma-3-4b-it", "nf4", T4)
    on_a100 = loading.plan_loading("google/gemma-3-4b-it", "nf4", A100)
    table = catalog.find("google/gemma-3-4b-it").num_embedding_parameters
    assert (on_t4.dtype, on_a100.dtype) == ("float32", "bfloat16")
    assert on_t4.needed_gib - on_a100.needed_gib > 2 * table / 2**30


@pytest.mark.parametrize(
    "hub_id, machine, dtype",
    [
        ("google/gemma-2b-it", A100, "float16"),
        ("google/gemma-2b-it", LAPTOP, "float16"),
        ("google/gemma-3-1b-it", A100, "bfloat16"),
        ("google/gemma-3-1b-it", T4, "float32"),
    ],
)
def test_float16_is_float16_where_it_is_safe_and_said_to_be_another_type_elsewhere(
    hub_id, machine, dtype
):
    plan = loading.plan_loading(hub_id, "fp16", machine)
    assert plan.dtype == dtype
    assert ("overflows in float16" in plan.sentence) == (dtype != "float16")


def test_a_checkpoint_that_is_quantized_already_is_planned_as_what_it_is(tmp_path):
    four = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    GemmaForCausalLM(GemmaConfig(**TINY)).save_pretrained(tmp_path / "plain")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "plain", quantization_config=four)
    model.save_pretrained(tmp_path / "quantized")
    folder = str(tmp_path / "quantized")
    plan = loading.plan_loading(folder, "nf4", LAPTOP)
    assert plan.quantization is None
    again = AutoModelForCausalLM.from_pretrained(folder, **plan.kwargs())
    assert type(again.model.layers[0].mlp.up_proj).__name__ == "Linear4bit"
    for precision in ("bf16", "int8", "fp4"):
        with pytest.raises(ValueError, match=f"nf4.*which {precision} cannot undo") as error:
            loading.plan_loading(folder, precision, LAPTOP)
        assert "\n" not in str(error.value)


def lora_gradients(folder, evaluate_first, portable):
    """Gradients of all LoRA weights on one batch, after an evaluation or without one."""
    from peft import LoraConfig, get_peft_model

    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, quantization_config=config
    )
    if portable:
        loading.portable_4bit(model)
    torch.manual_seed(1)
    adapter = LoraConfig(
        r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, adapter)
    ids = torch.arange(3, 35)[None]
    if evaluate_first:
        with torch.no_grad():
            model.eval()(ids)
    model.train()
    model(ids, labels=ids).loss.backward()
    return torch.cat([p.grad.flatten().float() for p in model.parameters() if p.grad is not None])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    GemmaForCausalLM(GemmaConfig(**TINY)).save_pretrained(folder)
    return folder


def test_portable_4bit_keeps_lora_gradients_right_after_an_evaluation(tiny):
    fresh = lora_gradients(tiny, evaluate_first=False, portable=False)
    after = lora_gradients(tiny, evaluate_first=True, portable=True)
    assert torch.cosine_similarity(fresh, after, dim=0) > 0.999


def test_without_it_they_are_wrong_on_cpus_that_repack(tiny):
    import bitsandbytes

    layer = bitsandbytes.nn.Linear4bit(64, 64)
    fresh = lora_gradients(tiny, evaluate_first=False, portable=False)
    after = lora_gradients(tiny, evaluate_first=True, portable=False)
    cosine = torch.cosine_similarity(fresh, after, dim=0)
    assert (cosine < 0.99) == layer.support_avx512bf16_for_cpu

"""The byte arithmetic against real bitsandbytes modules and a real cache."""

import pytest
import torch
from machines import LAPTOP
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GemmaConfig,
    GemmaForCausalLM,
)

from gemma_lab import catalog, loading, memory, profile, scores
from gemma_lab.hardware import A100, T4

TINY = dict(
    vocab_size=512,
    hidden_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=64,
    intermediate_size=256,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    GemmaForCausalLM(GemmaConfig(**TINY)).to(torch.bfloat16).save_pretrained(folder)
    return folder


def stored_bytes(model):
    """Every stored tensor of a model, counted once, bitsandbytes' scales included."""
    tensors = list(model.parameters())
    for module in model.modules():
        weight = getattr(module, "weight", None)
        scales = getattr(weight, "SCB", None)
        tensors += [] if scales is None else [scales]
        if state := getattr(weight, "quant_state", None):
            tensors += [state.absmax] + ([state.state2.absmax] if state.nested else [])
    return sum(t.numel() * t.element_size() for t in {id(t): t for t in tensors}.values())


NF4 = dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)


@pytest.mark.parametrize(
    "precision, config",
    [
        ("bf16", None),
        ("int8", BitsAndBytesConfig(load_in_8bit=True)),
        ("nf4", BitsAndBytesConfig(**NF4)),
    ],
)
def test_weight_bytes_are_those_that_bitsandbytes_stores(tiny, precision, config):
    model = AutoModelForCausalLM.from_pretrained(
        tiny, dtype=torch.bfloat16, quantization_config=config
    )
    expected = pytest.approx(stored_bytes(model), rel=0.002)
    assert memory.weight_bytes(catalog.find(tiny), precision) == expected


@pytest.mark.parametrize(
    "hub_id, gigabytes",
    [
        ("google/gemma-7b-it", {"fp32": 34.2, "bf16": 17.1, "int8": 9.3, "nf4": 5.6}),
        ("google/gemma-2b-it", {"fp32": 10.0, "bf16": 5.0, "int8": 3.0, "nf4": 2.1}),
    ],
)
def test_sizes_of_the_real_models(hub_id, gigabytes):
    info = catalog.find(hub_id)
    assert {p: round(memory.weight_bytes(info, p) / 1e9, 1) for p in gigabytes} == gigabytes


def test_kv_cache_equals_a_real_cache(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16)
    cache = model(torch.ones(3, 7, dtype=torch.long), use_cache=True).past_key_values
    stored = sum(
        t.numel() * t.element_size() for layer in cache.layers for t in (layer.keys, layer.values)
    )
    assert memory.kv_cache_bytes(catalog.find(tiny), 7, batch_size=3) == stored


def test_a_t4_holds_2b_in_every_precision_and_7b_in_int8_and_4_bits():
    for name, expected in (("2b", set(memory.BITS)), ("7b", {"int8", "nf4", "fp4"})):
        info = catalog.find(f"google/gemma-{name}-it")
        assert {p for p in memory.BITS if memory.fit(info, p, T4).fits} == expected


def test_the_sentence_names_both_sides():
    sentence = memory.fit(catalog.find("google/gemma-7b-it"), "fp32", T4).sentence
    for words in ("google/gemma-7b-it in fp32", "does not fit", "has 14.3 free"):
        assert words in sentence
    assert memory.fit(catalog.find("google/gemma-7b-it"), "bf16", A100).fits
    assert not memory.fit(catalog.find("google/gemma-7b-it"), "nf4", LAPTOP).fits


@pytest.fixture(scope="module")
def path():
    return str(profile.CHECKPOINTS / "pocket-small-it")


@pytest.fixture(scope="module")
def tokenizer(path):
    return AutoTokenizer.from_pretrained(path)


@pytest.fixture(scope="module")
def nf4(path):
    arguments = loading.plan_loading(path, "nf4", LAPTOP).kwargs()
    return loading.portable_4bit(AutoModelForCausalLM.from_pretrained(path, **arguments))


def test_weight_mb_counts_the_scales_that_the_footprint_leaves_out(path, nf4):
    scales = 0
    for module in nf4.modules():
        if state := getattr(getattr(module, "weight", None), "quant_state", None):
            inner = state.state2
            tensors = (state.absmax, state.code, state.offset, inner.absmax, inner.code)
            scales += sum(t.numel() * t.element_size() for t in tensors)
    expected = nf4.get_memory_footprint() + scales
    assert memory.weight_mb(nf4) * 1e6 == pytest.approx(expected, rel=0.01)
    assert memory.weight_mb(nf4) * 1e6 > nf4.get_memory_footprint()


def test_weight_mb_of_int8_does_not_change_when_the_model_runs(path, tokenizer):
    config = BitsAndBytesConfig(load_in_8bit=True)
    model = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.bfloat16, quantization_config=config
    )
    before = memory.weight_mb(model)
    scores.answer_log_probs(model, tokenizer, scores.one_answer_rows()[:1])
    assert memory.weight_mb(model) == before
    rows = sum(m.out_features for m in model.modules() if type(m).__name__ == "Linear8bitLt")
    assert before * 1e6 == pytest.approx(model.get_memory_footprint() + 4 * rows, rel=0.001)

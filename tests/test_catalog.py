"""The table against transformers on the meta device, the byte arithmetic against real bitsandbytes modules."""

import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Gemma2Config, GemmaConfig, GemmaForCausalLM

from gemma_lab import catalog
from gemma_lab.hardware import A100, LAPTOP, T4

NAMES = ["hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size"]
REPORTED = {"gemma-2b": 1_981_884_416, "gemma-7b": 7_751_248_896, "gemma-2-2b": 2_024_517_888,
            "gemma-2-9b": 8_324_201_984, "gemma-2-27b": 26_047_480_320}  # fmt: skip


@pytest.mark.parametrize("name", REPORTED)
def test_parameters_equal_transformers_and_the_reports(name):
    info = catalog.lookup(f"google/{name}")
    config_class = {"gemma": GemmaConfig, "gemma2": Gemma2Config}[info.family]
    config = config_class(vocab_size=info.vocab_size, **{key: getattr(info, key) for key in NAMES})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert info.num_parameters == sum(p.numel() for p in model.parameters())
    assert info.num_parameters - info.num_embedding_parameters == REPORTED[name]


TINY = dict(vocab_size=512, hidden_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=64, intermediate_size=256)  # fmt: skip


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
        tensors += [found for name in ("SCB",) if (found := getattr(weight, name, None)) is not None]
        if state := getattr(weight, "quant_state", None):
            tensors += [state.absmax] + ([state.state2.absmax] if state.nested else [])
    return sum(t.numel() * t.element_size() for t in {id(t): t for t in tensors}.values())


@pytest.mark.parametrize("precision, config", [
    ("bf16", None),
    ("int8", BitsAndBytesConfig(load_in_8bit=True)),
    ("nf4", BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)),
])  # fmt: skip
def test_weight_bytes_are_those_that_bitsandbytes_stores(tiny, precision, config):
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16, quantization_config=config)
    assert catalog.weight_bytes(catalog.info_of(tiny), precision) == pytest.approx(stored_bytes(model), rel=0.002)


@pytest.mark.parametrize("hub_id, gigabytes", [
    ("google/gemma-7b-it", {"fp32": 34.2, "bf16": 17.1, "int8": 9.3, "nf4": 5.6}),
    ("google/gemma-2b-it", {"fp32": 10.0, "bf16": 5.0, "int8": 3.0, "nf4": 2.1}),
])  # fmt: skip
def test_sizes_of_the_real_models(hub_id, gigabytes):
    info = catalog.lookup(hub_id)
    assert {p: round(catalog.weight_bytes(info, p) / 1e9, 1) for p in gigabytes} == gigabytes


def test_kv_cache_equals_a_real_cache(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16)
    cache = model(torch.ones(3, 7, dtype=torch.long), use_cache=True).past_key_values
    stored = sum(t.numel() * t.element_size() for layer in cache.layers for t in (layer.keys, layer.values))
    assert catalog.kv_cache_bytes(catalog.info_of(tiny), 7, batch_size=3) == stored


def test_a_t4_holds_2b_in_every_precision_and_7b_in_int8_and_4_bits():
    fits = lambda hub_id: {p for p in catalog.BITS if catalog.fit(catalog.lookup(hub_id), p, T4).fits}  # noqa: E731
    assert fits("google/gemma-2b-it") == set(catalog.BITS)
    assert fits("google/gemma-7b-it") == {"int8", "nf4", "fp4"}


def test_the_sentence_names_both_sides():
    found = catalog.fit(catalog.lookup("google/gemma-7b-it"), "fp32", T4)
    assert "google/gemma-7b-it in fp32" in found.sentence and "does not fit" in found.sentence and "14.3" in found.sentence
    assert catalog.fit(catalog.lookup("google/gemma-7b-it"), "bf16", A100).fits
    assert not catalog.fit(catalog.lookup("google/gemma-7b-it"), "nf4", LAPTOP).fits


def test_unknown_names_are_answered_with_near_ones():
    with pytest.raises(ValueError, match="gemma-2b-it"):
        catalog.lookup("google/gemma2b-it")
    with pytest.raises(ValueError, match="not 'int4'"):
        catalog.weight_bytes(catalog.lookup("google/gemma-2b"), "int4")

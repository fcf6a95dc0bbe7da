"""The byte arithmetic against real bitsandbytes modules and a real cache."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import LAPTOP
from models import SMALL_IT, TINY, in_nf4
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    DynamicCache,
    GemmaConfig,
    GemmaForCausalLM,
)

from gemma_lab import catalog, memory, scores
from gemma_lab.hardware import A100, T4


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


BY_NAME = {info.name: info for info in catalog.CATALOG.values()}


def held_by_transformers(config, info, num_tokens: int) -> int:
    """Bytes of a `DynamicCache` in bfloat16 that these tokens went through, on the meta device."""
    cache = DynamicCache(config=config)
    for at, layer in enumerate(info.layers):
        shape = (1, layer.num_key_value_heads, num_tokens, layer.head_dim)
        empty = torch.empty(shape, dtype=torch.bfloat16, device="meta")
        cache.update(empty, empty, at)
    tensors = [part for layer in cache.layers for part in (layer.keys, layer.values)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("num_tokens", [1, 600, 5000])
@pytest.mark.parametrize("name", BY_NAME)
def test_kv_cache_equals_that_of_transformers_in_every_generation(name, num_tokens):
    info = BY_NAME[name]
    config = AutoConfig.for_model(**info.config)
    assert len(info.layers) == len(DynamicCache(config=config).layers)
    held = held_by_transformers(config, info, num_tokens)
    assert memory.kv_cache_bytes(info, num_tokens) == held


@settings(max_examples=40, deadline=None)
@given(
    family=st.sampled_from(["gemma", "gemma2", "gemma3_text"]),
    window=st.integers(2, 40),
    num_tokens=st.integers(1, 50),
    kinds=st.lists(st.booleans(), min_size=1, max_size=5),
)
def test_a_layer_keeps_its_window_less_the_token_being_computed(family, window, num_tokens, kinds):
    slides = [slide and family != "gemma" for slide in kinds]
    sizes = TINY | {"num_hidden_layers": len(kinds)}
    if family != "gemma":
        names = {True: "sliding_attention", False: "full_attention"}
        sizes |= {"sliding_window": window, "layer_types": [names[slide] for slide in slides]}
    config = AutoConfig.for_model(family, **sizes)
    info = catalog.ModelInfo("mine", config.to_dict())
    assert [layer.window for layer in info.layers] == [window if s else None for s in slides]
    held = held_by_transformers(config, info, num_tokens)
    assert memory.kv_cache_bytes(info, num_tokens) == held


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
def tokenizer():
    return AutoTokenizer.from_pretrained(SMALL_IT)


@pytest.fixture(scope="module")
def nf4():
    return in_nf4(SMALL_IT)


def test_weight_mb_counts_the_scales_that_the_footprint_leaves_out(nf4):
    scales = 0
    for module in nf4.modules():
        if state := getattr(getattr(module, "weight", None), "quant_state", None):
            inner = state.state2
            tensors = (state.absmax, state.code, state.offset, inner.absmax, inner.code)
            scales += sum(t.numel() * t.element_size() for t in tensors)
    expected = nf4.get_memory_footprint() + scales
    assert memory.weight_mb(nf4) * 1e6 == pytest.approx(expected, rel=0.01)
    assert memory.weight_mb(nf4) * 1e6 > nf4.get_memory_footprint()


def test_weight_mb_of_int8_does_not_change_when_the_model_runs(tokenizer):
    config = BitsAndBytesConfig(load_in_8bit=True)
    model = AutoModelForCausalLM.from_pretrained(
        SMALL_IT, dtype=torch.bfloat16, quantization_config=config
    )
    before = memory.weight_mb(model)
    scores.answer_log_probs(model, tokenizer, scores.one_answer_rows()[:1])
    assert memory.weight_mb(model) == before
    rows = sum(m.out_features for m in model.modules() if type(m).__name__ == "Linear8bitLt")
    assert before * 1e6 == pytest.approx(model.get_memory_footprint() + 4 * rows, rel=0.001)

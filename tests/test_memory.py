"""The byte arithmetic against real bitsandbytes modules and a real cache."""

import os
import pathlib
import subprocess
import sys

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

from gemma_lab import catalog, hardware, loading, memory, profile, scores


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
def test_kv_cache_drops_what_that_of_transformers_drops_in_every_generation(name, num_tokens):
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


REAL = {  # sizes beside TINY, a window of 4 where there is one
    "gemma": {},
    "gemma2": {"sliding_window": 4},
    "gemma3_text": {"sliding_window": 4, "num_hidden_layers": 7},
    "gemma3n_text": {
        "sliding_window": 4,
        "num_hidden_layers": 10,
        "num_kv_shared_layers": 5,
        "laurel_rank": 8,
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": 512,
    },
    "gemma4_text": {
        "sliding_window": 4,
        "num_hidden_layers": 6,
        "global_head_dim": 128,
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": 512,
    },
    "mistral": {"sliding_window": 4},
    "gpt2": {},
}


@pytest.mark.parametrize("family", REAL)
def test_kv_cache_equals_what_a_model_of_the_family_really_holds(family, tmp_path):
    """Eleven tokens through a tiny model with random weights, and its cache counted."""
    config = AutoConfig.for_model(family, **TINY | REAL[family])
    config.save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        cache = model(torch.ones(1, 11, dtype=torch.long), use_cache=True).past_key_values
    tensors = [part for layer in cache.layers for part in (layer.keys, layer.values)]
    held = sum(part.numel() * part.element_size() for part in tensors if part is not None)
    counted = memory.kv_cache_bytes(catalog.find(tmp_path), 11, bytes_per_number=4)
    assert counted == held > 0


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_what_is_quantized_in_gpt_2_are_its_own_linear_layers(precision, tmp_path):
    config = AutoConfig.for_model("gpt2", n_embd=128, n_layer=2, n_head=2, vocab_size=64)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(tmp_path)
    how = {"load_in_8bit": True} if precision == "int8" else {"load_in_4bit": True}
    how |= {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    model = AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.bfloat16, quantization_config=BitsAndBytesConfig(**how)
    )
    info = catalog.find(tmp_path)
    assert info.num_linear_parameters == 2 * 12 * 128**2
    assert memory.weight_bytes(info, precision) == pytest.approx(stored_bytes(model), rel=0.01)


# Two recurrent layers, one that attends, and a third recurrent one; wider inside than outside.
RECURRENT = dict(
    vocab_size=512,
    hidden_size=128,
    intermediate_size=512,
    num_hidden_layers=4,
    num_attention_heads=2,
    num_key_value_heads=1,
    lru_width=192,
    attention_window_size=64,
    block_types=["recurrent", "recurrent", "attention", "recurrent"],
)


def tiny_recurrent(folder, dtype):
    torch.manual_seed(0)
    config = AutoConfig.for_model("recurrent_gemma", **RECURRENT)
    model = AutoModelForCausalLM.from_config(config).to(dtype).eval()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("num_tokens", [5, 63, 64, 200])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_state_and_cache_equal_what_recurrentgemma_really_holds(num_tokens, dtype, tmp_path):
    """A prompt in two rows, and one more token: what its modules and the cache keep is counted."""
    model = tiny_recurrent(tmp_path, dtype)
    ids, cache = torch.ones(2, num_tokens, dtype=torch.long), DynamicCache(config=model.config)
    with torch.no_grad():
        for part in (ids[:, :-1], ids[:, -1:]):
            model(part, past_key_values=cache, use_cache=True)
    keys = [t for layer in cache.layers for t in (layer.keys, layer.values) if t is not None]
    blocks = [m for m in model.modules() if hasattr(m, "rg_lru")]
    state = [t for m in blocks for t in (m.rg_lru.recurrent_states, m.conv1d_state)]
    info, number = catalog.find(tmp_path), dtype.itemsize
    assert memory.kv_cache_bytes(info, num_tokens, 2, number) == sum(t.nbytes for t in keys) > 0
    assert memory.state_bytes(info, 2, number) == sum(t.nbytes for t in state) > 0


def test_the_state_of_recurrentgemma_is_checkable_by_hand():
    """2B: 18 layers of 2,560 numbers in 4 bytes and 3 x 2,560 in 2; 9B: 26 layers of 4,096."""
    two, nine = (catalog.find(f"google/recurrentgemma-{size}") for size in ("2b", "9b"))
    assert memory.state_bytes(two) == 18 * 2560 * (4 + 3 * 2)
    assert memory.state_bytes(nine, 3, 4) == 3 * 26 * 4096 * (4 + 3 * 4)
    assert memory.state_bytes(catalog.find("google/gemma-2b"), 3) == 0
    window = memory.kv_cache_bytes(two, 2047)
    assert window == 8 * 2 * 256 * 2047 * 2 == memory.kv_cache_bytes(two, 100_000)
    long, short = (memory.parts(two, "bf16", num_tokens, 4) for num_tokens in (2047, 1))
    assert long["cache"] == 4 * window + memory.state_bytes(two, 4)
    assert short["cache"] == 4 * 8 * 2 * 256 * 2 + memory.state_bytes(two, 4)
    assert short["activations"] == 4 * (2 * (3 * 7680 + 4 * 2560) + 10)  # 15,360 is gate and up


@pytest.mark.parametrize("precision", memory.PRECISIONS)
def test_gates_of_recurrentgemma_stay_as_they_are(precision, tmp_path):
    """They are no linear layers for bitsandbytes, and neither is the convolution."""
    tiny_recurrent(tmp_path, torch.bfloat16)
    how = loading.plan_loading(str(tmp_path), precision, LAPTOP).kwargs()
    model = AutoModelForCausalLM.from_pretrained(tmp_path, **how)
    said = memory.weight_bytes(catalog.find(tmp_path), precision)
    assert said == pytest.approx(stored_bytes(model), rel=0.002)


def test_recurrent_layers_keep_no_keys(tmp_path):
    """RecurrentGemma: two recurrent layers for each that attends, over a window of 4."""
    sizes = {"attention_window_size": 4, "num_hidden_layers": 6, "lru_width": 128}
    config = AutoConfig.for_model("recurrent_gemma", **TINY | sizes)
    config.save_pretrained(tmp_path)
    layers = catalog.find(tmp_path).layers
    attends = [kind for kind in config.layers_block_type if kind == "attention"]
    assert [layer.window for layer in layers] == [4] * len(attends) == [4, 4]


def test_weights_that_cannot_be_16_bit_take_four_bytes(tiny):
    info = catalog.find(tiny)
    model = AutoModelForCausalLM.from_pretrained(
        tiny, dtype=torch.float32, quantization_config=BitsAndBytesConfig(load_in_8bit=True)
    )
    assert memory.weight_bytes(info, "int8", rest=4) == pytest.approx(
        stored_bytes(model), rel=0.002
    )
    assert memory.weight_bytes(info, "bf16", rest=4) == memory.weight_bytes(info, "fp32")


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


# ------------------------------------------------------------------- parts, and the measured peak

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SIZES = dict(
    vocab_size=96, hidden_size=96, intermediate_size=320, num_attention_heads=4, head_dim=48
)


def kept_bytes(family: str, num_layers: int, rank: int, dtype) -> int:
    """Bytes that autograd saves of 2 x 40 tokens for a backward pass, weights aside."""
    import peft

    sizes = SIZES | {"num_key_value_heads": 2, "num_hidden_layers": num_layers}
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(family, **sizes),
        dtype=dtype,
        attn_implementation="eager" if family == "gemma2" else "sdpa",
    )
    if rank:
        places = peft.LoraConfig(r=rank, target_modules=SEVEN, task_type="CAUSAL_LM")
        model = peft.get_peft_model(model, places)
        model.enable_input_require_grads()
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    found, held = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)  # so that no other gets its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(input_ids=torch.arange(80).reshape(2, 40))
    return sum(found.values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("rank", [0, 8])
@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3_text"])
def test_a_layer_keeps_what_autograd_says(family, rank, dtype):
    """Within 3 %: three layers less two, at sizes that the factors were not counted at."""
    counted = kept_bytes(family, 3, rank, dtype) - kept_bytes(family, 2, rank, dtype)
    sizes = SIZES | {"num_key_value_heads": 2, "num_hidden_layers": 3}
    info = catalog.ModelInfo("mine", AutoConfig.for_model(family, **sizes).to_dict())
    said = memory.layer_bytes(info, rank, 40, 2, dtype.itemsize)
    assert said == pytest.approx(counted, rel=0.03)


def test_parts_are_checkable_by_hand():
    two = catalog.find("google/gemma-2b")
    found = memory.parts(two, "bf16", 512, 4, "lora", rank=16)
    adapters = 19_611_648
    assert found == {
        "weights": 2 * 2_506_172_416,
        "adapters": 4 * adapters,
        "gradients": 4 * adapters,
        "AdamW": 8 * adapters,
        "activations": 2 * 4 * 512 * 2048 * 18,
        "logits": 18 * 256 * 256_000,
    }
    whole = memory.parts(two, "bf16", 512, 4, "train")
    assert whole["weights"] == whole["gradients"] == whole["AdamW"] / 2 and not whole["adapters"]
    deep = memory.parts(two, "bf16", 512, 4, "lora", is_checkpointed=False)
    assert deep["activations"] == 18 * memory.layer_bytes(two, 16, 512, 4)
    writes, scores_all = (memory.parts(two, "bf16", 512, 1, doing) for doing in memory.DOING[1:3])
    assert writes["logits"] == 6 * 256_000 and scores_all["logits"] == 10 * 512 * 256_000


@pytest.mark.parametrize(
    "wrong, received",
    [
        ({"doing": "fly"}, "'fly'"),
        ({"num_tokens": 0}, "with 0 and 1"),
        ({"batch_size": -1}, "and -1"),
        ({"precision": "nf4", "doing": "train"}, "nf4 are not trained"),
        ({"precision": "int3"}, "not 'int3'"),
        (
            {"info": catalog.find("google/recurrentgemma-2b"), "doing": "lora"},
            "no layer of google/recurrentgemma-2b was counted",
        ),
    ],
)
def test_a_wrong_question_is_answered_in_a_sentence(wrong, received):
    asked = {"info": catalog.find("google/gemma-2b"), "precision": "bf16"}
    with pytest.raises(ValueError, match=received):
        memory.parts(**asked | wrong)


@pytest.mark.parametrize("hub_id", [*catalog.CATALOG, *catalog.VARIANTS])
def test_every_model_can_be_loaded_and_asked(hub_id):
    for doing in ("load", "generate", "score"):
        found = memory.parts(catalog.find(hub_id), "nf4", 2048, 2, doing)
        assert min(found.values()) >= 0 and found["weights"] > 1e8


NOWHERE = pathlib.Path("/no/such/folder")
JOB = """
import sys
import datasets, peft, torch, transformers, trl
from gemma_lab import hardware, loading, memory
folder, tokenizer, precision, doing, out = sys.argv[1:]
plan = loading.plan_loading(folder, precision, hardware.Machine("Linux", False, 2, 64, "cpu"))
ids = torch.arange(256 if doing == "lora" else 512)[None] + 1000
with memory.measured_peak("cpu") as found:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, **plan.kwargs())
    loading.portable_4bit(model)
    for weight in model.parameters():
        weight.data.flatten()[::512].clone()  # a mapped page counts once it is read
    if doing == "generate":
        model.generate(ids, max_new_tokens=4, do_sample=False)
    if doing == "lora":
        options = dict(use_cpu=True, bf16=False, fp16=False, report_to="none", max_steps=3)
        options |= dict(per_device_train_batch_size=1, save_strategy="no", max_length=256)
        row = {"input_ids": ids[0].tolist(), "labels": ids[0].tolist()}
        trl.SFTTrainer(
            model,
            args=trl.SFTConfig(out, **options),
            train_dataset=datasets.Dataset.from_list([row] * 3),
            peft_config=peft.LoraConfig(r=16, target_modules="all-linear"),
            processing_class=transformers.AutoTokenizer.from_pretrained(tokenizer),
        ).train()
print("above", found["peak"] - found["before"])
"""


# A CPU that emulates bfloat16 would train in it for a quarter of an hour.
TRAINS_IN = "bf16" if hardware.describe_machine().has_bf16 else "fp32"


def slow(*job):
    return pytest.param(*job, marks=pytest.mark.slow)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a high-water mark")
@pytest.mark.parametrize(
    "precision, doing",
    [
        ("bf16", "load"),
        slow("fp32", "load"),
        slow("int8", "load"),
        slow("bf16", "generate"),
        slow("nf4", "generate"),
        slow(TRAINS_IN, "lora"),
    ],
)
def test_the_peak_of_the_270m_is_within_15_percent(precision, doing, real_gemma, tmp_path):
    """What is held. Beside it glibc keeps, by luck, up to 0.35 GB of what quantizing let go."""
    job = [sys.executable, "-c", JOB, str(real_gemma), SMALL_IT, precision, doing, str(tmp_path)]
    gives_back = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    told = subprocess.run(job, capture_output=True, text=True, check=True, env=gives_back).stdout
    peak = int(told.split("above ")[1])
    info = catalog.find(real_gemma)
    load = memory.parts(info, precision, doing="load")
    done = memory.parts(info, precision, 256 if doing == "lora" else 512, doing=doing)
    if precision == "nf4":  # the table is mapped, so the file stays so
        done["file"] = load["file"]
    said = max(sum(load.values()), sum(done.values()))
    assert said == pytest.approx(peak, rel=0.15)


@pytest.mark.parametrize("precision", memory.PRECISIONS)
def test_weights_are_within_5_percent_of_what_the_270m_holds(precision, real_gemma):
    how = loading.plan_loading(str(real_gemma), precision, LAPTOP).kwargs()
    model = AutoModelForCausalLM.from_pretrained(real_gemma, **how)
    said = memory.weight_bytes(catalog.find(real_gemma), precision) / 1e6
    assert said == pytest.approx(memory.weight_mb(model), rel=0.05)


@pytest.mark.parametrize("precision", memory.PRECISIONS)
@pytest.mark.parametrize("name", ["pocket-small-it", "pocket-large-it", "pocket-gemma2-it"])
def test_weights_are_within_5_percent_of_what_pocket_models_hold(precision, name):
    folder = str(profile.CHECKPOINTS / name)
    how = loading.plan_loading(folder, precision, LAPTOP).kwargs()
    model = AutoModelForCausalLM.from_pretrained(folder, **how)
    said = memory.weight_bytes(catalog.find(folder), precision) / 1e6
    assert said == pytest.approx(memory.weight_mb(model), rel=0.05)


def test_a_measured_peak_sees_what_was_let_go_and_none_where_nobody_counts(monkeypatch):
    with memory.measured_peak("cpu") as found:
        torch.ones(2**26)  # 268 MB, gone at once
    if sys.platform == "linux":
        assert 2**28 * 0.95 < found["peak"] - found["before"] < 2**28 * 1.1
    monkeypatch.setattr(memory, "Path", lambda name: NOWHERE / name[1:])
    with memory.measured_peak("cpu") as found:
        pass
    assert found == {"before": None, "peak": None, "reserved": None}

"""What many GPUs hold and receive, against peft's counts, torch's AdamW, and autograd itself."""

import importlib.util
import re
from pathlib import Path

import peft
import pytest
import torch
import transformers

from gemma_lab import catalog, memory
from gemma_lab.lessons import nb05_machines

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def adapted(config: dict, rank: int, attention: str = "sdpa"):
    """A bfloat16 model of peft with float32 adapters on the seven linear layers."""
    made = transformers.AutoConfig.for_model(**config)
    model = transformers.AutoModelForCausalLM.from_config(
        made, dtype=torch.bfloat16, attn_implementation=attention
    )
    places = peft.LoraConfig(r=rank, target_modules=SEVEN, task_type="CAUSAL_LM")
    return peft.get_peft_model(model, places)


@pytest.mark.parametrize("rank", [1, 16])
@pytest.mark.parametrize("name", ["gemma-2b-it", "gemma-7b-it", "gemma-2-27b-it"])
def test_adapters_are_as_many_as_pefts(name, rank):
    info = catalog.find(f"google/{name}")
    with torch.device("meta"):
        trainable, _ = adapted(info.config, rank).get_nb_trainable_parameters()
    assert memory.num_adapter_parameters(info, rank) == trainable


SMALL = {
    "model_type": "gemma",
    "vocab_size": 96,
    "hidden_size": 96,
    "intermediate_size": 320,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 48,
}


def small(family: str, num_layers: int = 3) -> catalog.ModelInfo:
    return catalog.ModelInfo(
        "small", {**SMALL, "model_type": family, "num_hidden_layers": num_layers}
    )


def test_an_adapter_parameter_takes_16_bytes():
    """Weight, gradient and two averages, after a real step of torch's AdamW."""
    model = adapted(SMALL, 4)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights)
    model(input_ids=torch.arange(8)[None]).logits.float().sum().backward()
    optimizer.step()
    held = [tensor for weight in weights for tensor in (weight, weight.grad)]
    for state in optimizer.state.values():
        held += [state["exp_avg"], state["exp_avg_sq"]]
    found = sum(tensor.numel() * tensor.element_size() for tensor in held)
    assert found == 16 * memory.num_adapter_parameters(small("gemma"), 4)


def kept_bytes(family: str, num_layers: int, num_tokens: int, batch_size: int) -> int:
    """Bytes that autograd saves for a backward pass, weights aside."""
    attention = "eager" if family == "gemma2" else "sdpa"
    model = adapted(small(family, num_layers).config, 8, attention)
    model.enable_input_require_grads()
    frozen = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    sizes, held = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in frozen:
            sizes[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)  # so that no other gets its address
        return tensor

    ids = torch.arange(batch_size * num_tokens).reshape(batch_size, num_tokens) % 96
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(input_ids=ids)
    return sum(sizes.values())


@pytest.mark.parametrize("family", ["gemma", "gemma2"])
def test_one_layer_keeps_what_autograd_says(family):
    """Within 3 %: three layers less two, at sizes that the factors were not counted at."""
    counted = kept_bytes(family, 3, 40, 2) - kept_bytes(family, 2, 40, 2)
    assert memory.layer_bytes(small(family), 8, 40, 2) == pytest.approx(counted, rel=0.03)


def test_the_loss_holds_as_many_logits_as_trls():
    folder = importlib.util.find_spec("trl").submodule_search_locations[0]
    text = Path(folder, "trainer", "sft_trainer.py").read_text(encoding="utf-8")
    assert int(re.search(r"_CHUNK\w+_SIZE = (\d+)", text)[1]) == memory.CHUNK


def test_gemma_2b_on_16_gpus_by_hand():
    """Parameters as in the reports; ZeRO, section 7: 1/N of the states, and (N - 1)/N travels."""
    every, embedding, adapters = 2_506_172_416, 256_000 * 2048, 19_611_648
    activations = 2 * 4 * 512 * 2048 * 18 + 18 * 256 * 256_000
    found = nb05_machines.on_many_gpus(catalog.find("google/gemma-2b"), 16)
    plain = 2 * every + 20 * adapters + activations + 2**30
    layers = 2 * (every - embedding + adapters)
    sharded = (2 * every + 16 * adapters) / 16 + 2 * embedding + 2 * layers / 18
    assert found == {
        "gpus": 16,
        "plain_gib": pytest.approx(plain / 2**30, rel=1e-9),
        "plain_fits": "16 GiB",
        "plain_gb_a_step": pytest.approx(2 * 15 / 16 * 4 * adapters / 1e9, rel=1e-9),
        "sharded_gib": pytest.approx((sharded + activations) / 2**30 + 1, rel=1e-9),
        "sharded_fits": "16 GiB",
        "sharded_gb_a_step": pytest.approx(
            15 / 16 * (2 * layers + 2 * embedding + 2 * adapters) / 1e9, rel=1e-9
        ),
    }


@pytest.mark.parametrize("name", ["gemma-2b-it", "gemma-7b-it", "gemma-2-27b-it"])
def test_one_gpu_is_the_same_either_way_and_more_need_less(name):
    info = catalog.find(f"google/{name}")
    rows = [nb05_machines.on_many_gpus(info, num) for num in (1, 2, 4, 8, 16, 64)]
    assert rows[0]["plain_gib"] == rows[0]["sharded_gib"]
    assert rows[0]["plain_gb_a_step"] == rows[0]["sharded_gb_a_step"] == 0
    needs = [row["sharded_gib"] for row in rows]
    assert needs == sorted(needs, reverse=True)
    assert len({row["plain_gib"] for row in rows[1:]}) == 1
    assert all(row["sharded_gb_a_step"] > 50 * row["plain_gb_a_step"] for row in rows[1:])


def test_longer_rows_need_more_and_one_layer_outgrows_the_logits():
    info = catalog.find("google/gemma-7b")
    short, long = (nb05_machines.activation_bytes(info, 16, num, 4) for num in (512, 1024))
    inputs = 2 * 4 * 3072 * 28
    assert short - 512 * inputs == 18 * 256 * 256_000  # logits
    assert long - 1024 * inputs == memory.layer_bytes(info, 16, 1024, 4)


@pytest.mark.parametrize(
    ("gib", "expected"), [(16, "16 GiB"), (16.1, "24 GiB"), (80, "80 GiB"), (80.1, "none")]
)
def test_the_smallest_card_that_is_large_enough(gib, expected):
    assert nb05_machines.smallest_card(gib) == expected


def test_a_wrong_question_is_answered_in_a_sentence():
    with pytest.raises(ValueError, match="num_gpus must be a whole number from 1 on, not 0"):
        nb05_machines.on_many_gpus(catalog.find("google/gemma-2b"), 0)
    with pytest.raises(ValueError, match="Choose a Gemma 1, 2 or 3: .*gemma-3n-E4B"):
        nb05_machines.on_many_gpus(catalog.find("google/gemma-3n-E4B"), 2)

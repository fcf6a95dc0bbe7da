"""The budget of LoRA against peft, a saved adapter, torch's AdamW and bitsandbytes' 8-bit one."""

import bitsandbytes
import matplotlib
import pytest
import torch
from models import SMALL_IT
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

matplotlib.use("Agg")
from gemma_lab import catalog, figures, memory
from gemma_lab.hardware import GIB, T4
from gemma_lab.lessons import nb05_views as views

SEVEN = views.MODULES["all seven"]
NAMES = ["google/gemma-3-270m", "google/gemma-2b-it", "google/gemma-7b-it"]
ALIKE = ["google/gemma-3-270m", "google/gemma-2b", "google/gemma-7b", "google/gemma-2-2b"]


def with_peft(model, rank=16, modules=SEVEN):
    return get_peft_model(model, LoraConfig(r=rank, target_modules=list(modules)))


def small():
    return AutoModelForCausalLM.from_pretrained(SMALL_IT, dtype=torch.bfloat16)


def stepped(model, optimizer_class=torch.optim.AdamW):
    """The optimizer of what is trained, after a step, so that its state is there."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in trained:
        weight.grad = torch.zeros_like(weight)
    optimizer = optimizer_class(trained)
    optimizer.step()
    return optimizer


def num_bytes(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def moment_bytes(optimizer) -> int:
    states = optimizer.state.values()
    return num_bytes(state[name] for state in states for name in ("exp_avg", "exp_avg_sq"))


@pytest.mark.parametrize("modules", views.MODULES)
@pytest.mark.parametrize("name", ALIKE)
def test_counts_and_shares_are_those_of_peft(name, modules):
    info, chosen = catalog.find(name), views.MODULES[modules]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**info.config))
        trained, total = with_peft(model, 16, chosen).get_nb_trainable_parameters()
    found = views.budget(info, 16, chosen, "bf16", 32)
    assert found["trained_parameters"] == trained
    assert found["trained_percent"] == pytest.approx(100 * trained / total, rel=1e-12)


def test_a_saved_adapter_is_as_large_as_said_but_for_its_header(tmp_path):
    with_peft(small(), 8).save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    header = int.from_bytes(file.read_bytes()[:8], "little")
    said = views.budget(catalog.find(SMALL_IT), 8, SEVEN, "bf16", 32)["adapter_file_mb"]
    assert file.stat().st_size - 8 - header == round(1e6 * said)
    assert header < 200 * 2 * len(SEVEN) * catalog.find(SMALL_IT).num_hidden_layers


def test_gradients_and_moments_are_those_of_torch():
    model = with_peft(small(), 8)
    optimizer = stepped(model)
    found = views.budget(catalog.find(SMALL_IT), 8, SEVEN, "bf16", 32)
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert round(1e6 * found["gradients_mb"]) == num_bytes(gradients)
    assert round(1e6 * found["optimizer_mb"]) == moment_bytes(optimizer)


def test_full_fine_tuning_is_that_of_torch():
    model = small()
    optimizer = stepped(model)
    found = views.budget(catalog.find(SMALL_IT), 8, SEVEN, "bf16", 32)
    weights = list(model.parameters())
    assert round(1e9 * found["full_weights_gb"]) == num_bytes(weights)
    assert round(1e9 * found["full_gradients_gb"]) == num_bytes(w.grad for w in weights)
    assert round(1e9 * found["full_optimizer_gb"]) == moment_bytes(optimizer)


def states_in_8_bits(weights) -> list[dict]:
    optimizer = bitsandbytes.optim.AdamW8bit(weights)
    for at, weight in enumerate(weights):
        optimizer.init_state(optimizer.param_groups[0], weight, 0, at)
    return [optimizer.state[weight] for weight in weights]


def moment_bytes_in_8_bits(states) -> int:
    names = ("state1", "state2", "absmax1", "absmax2")
    return num_bytes(state[name] for state in states for name in names if name in state)


@pytest.mark.parametrize(
    "rank, types",
    [(4, {torch.float32}), (32, {torch.float32, torch.uint8}), (128, {torch.uint8})],
)
def test_moments_in_8_bits_are_those_of_bitsandbytes(rank, types):
    weights = [w for w in with_peft(small(), rank).parameters() if w.requires_grad]
    states = states_in_8_bits(weights)
    assert {state["state1"].dtype for state in states} == types
    found = views.budget(catalog.find(SMALL_IT), rank, SEVEN, "bf16", 8)
    assert round(1e6 * found["optimizer_mb"]) == moment_bytes_in_8_bits(states)


@pytest.mark.parametrize("numbers", [1, 4095, 4096, 4097, 4351, 4352, 4353])
def test_a_block_that_is_not_full_has_a_scale_too(numbers):
    states = states_in_8_bits([torch.nn.Parameter(torch.zeros(numbers))])
    assert views._moment_bytes(numbers, 8) == moment_bytes_in_8_bits(states)


@pytest.mark.parametrize("precision", views.FROZEN)
def test_frozen_weights_are_those_of_the_course(precision):
    info = catalog.find("google/gemma-2b-it")
    found = views.budget(info, 16, SEVEN, precision, 32)
    assert found["frozen_weights_gb"] == memory.weight_bytes(info, precision) / 1e9


@pytest.mark.parametrize(
    "wrong, received",
    [
        ({"rank": 0}, "not 0"),
        ({"rank": 2.5}, "not 2.5"),
        ({"modules": ()}, r"not \(\)"),
        ({"modules": ("lm_head",)}, "lm_head"),
        ({"precision": "fp32"}, "not 'fp32'"),
        ({"optimizer_bits": 16}, "not 16"),
        ({"info": catalog.find("google/gemma-3n-E4B-it")}, "E4B"),
    ],
)
def test_a_wrong_choice_is_told_in_one_sentence(wrong, received):
    right = {
        "info": catalog.find("google/gemma-2b-it"),
        "rank": 16,
        "modules": SEVEN,
        "precision": "bf16",
        "optimizer_bits": 32,
    }
    with pytest.raises(ValueError, match=received) as error:
        views.budget(**right | wrong)
    assert str(error.value).count(". ") == 0 and "\n" not in str(error.value)


@pytest.mark.parametrize("rank, total", [(16, 2.27), (256, 5.22)])
def test_the_sizes_of_gemma_2b_that_notebook_05_reads_aloud(rank, total):
    found = views.budget(catalog.find("google/gemma-2b-it"), rank, SEVEN, "nf4", 8)
    trained = (found["adapter_file_mb"] + found["gradients_mb"] + found["optimizer_mb"]) / 1e3
    frozen = found["frozen_weights_gb"]
    assert (round(frozen, 2), round(frozen + trained, 2)) == (2.07, total)
    assert (trained > frozen) == (rank == 256)
    full = found["full_weights_gb"] + found["full_gradients_gb"] + found["full_optimizer_gb"]
    assert round(full, 2) == 20.05 and full * 1e9 > T4.free_gib * GIB


# ------------------------------------------------------------------------- the view


@pytest.fixture
def drawn(monkeypatch):
    """Of every figure that a view draws: its title, its label and the ends of its bars."""
    found = []

    def png(figure, right=figures.png):
        (axis,) = figure.axes
        ends = [bar.get_x() + bar.get_width() for bar in axis.patches[-2:]]
        found.append((figure.get_suptitle(), axis.get_xlabel(), ends))
        return right(figure)

    monkeypatch.setattr(figures, "png", png)
    return found


def test_every_control_changes_the_picture(drawn):
    model, rank, layers, frozen, adamw, image, _ = views.lora_budget(NAMES).children
    assert bytes(image.value).startswith(b"\x89PNG")
    assert rank.options == (1, 2, 4, 8, 16, 32, 64, 128, 256) and rank.value == 16
    frozen.value, adamw.label, rank.value = "bf16", "32 bits", 64
    layers.label, model.label = "attention", "google/gemma-2b-it"
    titles, labels, ends = zip(*drawn)
    assert titles[0].startswith("Gemma 3 270M, rank 16: 3,796,992 trained, 1.40 %")
    assert "adapter file 15.2 MB, gradients + AdamW 22.9 MB" in labels[0]
    assert "frozen 0.54 GB" in labels[1]
    assert titles[3].startswith("Gemma 3 270M, rank 64: 15,187,968 trained")
    assert len(drawn) == 6 and len(set(ends_of[0] for ends_of in ends)) == 6
    assert titles[-1].startswith("Gemma 2B, rank 64: ")


def test_the_bars_add_up_to_the_budget(drawn):
    info = catalog.find("google/gemma-2b-it")
    found = views.budget(info, 256, views.MLP, "int8", 8)
    figures.png(views.budget_bars(info, 256, views.MLP, "int8", 8))
    small = found["adapter_file_mb"] + found["gradients_mb"] + found["optimizer_mb"]
    lora = found["frozen_weights_gb"] + small / 1e3
    assert drawn[0][2] == pytest.approx([lora, 8 * info.num_parameters / 1e9])


def test_a_folder_is_taken_too_and_every_rank_can_be_drawn(drawn):
    _, rank, *_ = views.lora_budget([SMALL_IT], rank=1).children
    rank.value = 256
    assert drawn[-1][0].startswith("pocket-small-it, rank 256")

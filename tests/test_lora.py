"""`gemma_lab.scratch.lora` against peft: small layers, the shapes of two Gemmas, the 270M."""

import math

import pytest
import torch
from models import SMALL_IT, TINY, in_nf4
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GemmaConfig,
    GemmaForCausalLM,
)

from gemma_lab import catalog
from gemma_lab.scratch import lora

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]
SETS = {"two": ["q_proj", "v_proj"], "attention": ATTENTION, "mlp": MLP, "seven": ATTENTION + MLP}
TYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}


class Block(nn.Module):
    """Two layers, one of them with a bias, and one that no adapter is put on."""

    def __init__(self):
        super().__init__()
        self.up_proj, self.act = nn.Linear(12, 20), nn.Tanh()
        self.down_proj, self.head = nn.Linear(20, 12, bias=False), nn.Linear(12, 5)

    def forward(self, x):
        return self.head(x + self.down_proj(self.act(self.up_proj(x))))


def pair(dtype=torch.float64, r=4, alpha=6, use_rslora=False, same=True):
    """(peft's model, ours): the same weights; with `same`, B not zero and the same A and B."""
    torch.manual_seed(0)
    base, ours = Block().to(dtype), Block().to(dtype)
    ours.load_state_dict(base.state_dict())
    names = ["up_proj", "down_proj"]
    theirs = get_peft_model(base, config(names, r, alpha, use_rslora))
    lora.add_lora(ours, names, r, alpha, use_rslora)
    if same:
        copy_adapters(theirs, ours)
    return theirs, ours


def config(names, r, alpha, use_rslora=False):
    return LoraConfig(r=r, lora_alpha=alpha, target_modules=names, use_rslora=use_rslora)


def copy_adapters(theirs, ours, std=0.3):
    """Random numbers into all A and B of peft's model, and the same into ours; by their names."""
    values = {}
    for name, weight in theirs.named_parameters():
        if "lora_" in name:
            weight.data.normal_(0, std)
            values[name.removeprefix("base_model.model.").replace(".default", "")] = weight.data
    found = ours.load_state_dict(values, strict=False)
    assert not found.unexpected_keys and not any("lora_" in name for name in found.missing_keys)


def inputs(dtype=torch.float64):
    torch.manual_seed(1)
    return torch.randn(3, 7, 12).to(dtype).requires_grad_()


def gradients(model, x) -> dict[str, torch.Tensor]:
    """Of a curved sum of the outputs: with respect to x, and to all that is trained."""
    x = x.detach().requires_grad_()
    model(x).double().square().sum().backward()
    found = {"x": x.grad}
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            found[name.removeprefix("base_model.model.").replace(".default", "")] = weight.grad
    return found


def assert_same(theirs, ours, dtype):
    x = inputs(dtype)
    assert torch.equal(theirs(x), ours(x))
    wanted, got = gradients(theirs, x), gradients(ours, x)
    assert wanted.keys() == got.keys() and len(wanted) == 5
    for name, gradient in wanted.items():
        assert torch.equal(gradient, got[name]) and gradient.abs().max() > 0, name


@pytest.mark.parametrize("use_rslora", [False, True])
@pytest.mark.parametrize("name", TYPES)
def test_outputs_and_gradients_are_those_of_peft(name, use_rslora):
    theirs, ours = pair(TYPES[name], use_rslora=use_rslora)
    assert_same(theirs, ours, TYPES[name])


def wrong_scale(layer):
    layer.scaling = 1.0


def wrong_root(layer):
    layer.scaling = 6 / math.sqrt(4)


def wrong_order(layer):
    """A and B for the layer the other way round: B A transposed, on a square layer."""
    a, b = layer.lora_A.weight, layer.lora_B.weight
    layer.lora_A.weight, layer.lora_B.weight = nn.Parameter(b.T), nn.Parameter(a.T)


def wrong_base(layer):
    layer.base_layer.requires_grad_(True)


@pytest.mark.parametrize("spoil", [wrong_scale, wrong_root, wrong_base])
def test_a_wrong_variant_is_seen(spoil):
    theirs, ours = pair()
    for module in ours.modules():
        if isinstance(module, lora.LoRALinear):
            spoil(module)
    with pytest.raises(AssertionError):
        assert_same(theirs, ours, torch.float64)


def square(spoil=None):
    """x W^T + x ΔW^T of a square layer by the formula of the paper, and our layer's output."""
    torch.manual_seed(0)
    layer = lora.LoRALinear(nn.Linear(6, 6, dtype=torch.float64), r=2, alpha=3)
    nn.init.normal_(layer.lora_B.weight)
    a, b = layer.lora_A.weight.clone(), layer.lora_B.weight.clone()
    if spoil:
        spoil(layer)
    x = torch.randn(5, 6, dtype=torch.float64)
    assert lora.trainable_parameters(layer) == [layer.lora_A.weight, layer.lora_B.weight]
    wanted = x @ (layer.base_layer.weight + 3 / 2 * b @ a).T + layer.base_layer.bias
    return wanted, layer(x), layer.delta_weight(), 3 / 2 * b @ a


def test_the_formula_of_the_paper():
    output, got, delta, change = square()
    torch.testing.assert_close(got, output, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(change, delta, rtol=1e-12, atol=1e-12)
    output, got, delta, change = square(wrong_order)
    assert not torch.allclose(got, output) and not torch.allclose(change, delta)


@pytest.mark.parametrize("name", TYPES)
def test_the_model_starts_unchanged_with_the_random_a_of_peft(name):
    torch.manual_seed(0)
    plain, changed = Block().to(TYPES[name]), Block().to(TYPES[name])
    changed.load_state_dict(plain.state_dict())
    changed = lora.add_lora(changed, ["up_proj", "down_proj"], r=8, alpha=8)
    x = inputs(TYPES[name])
    assert torch.equal(plain(x), changed(x))
    a, b = changed.up_proj.lora_A.weight, changed.up_proj.lora_B.weight
    assert a.dtype == b.dtype == (torch.float64 if name == "float64" else torch.float32)
    theirs = pair(r=8, same=False)[0].base_model.model.up_proj.lora_A["default"].weight
    bound = 1 / math.sqrt(12)
    for weight in (a, theirs):
        assert 0.9 * bound < weight.abs().max() <= bound
        assert weight.double().var().item() == pytest.approx(bound**2 / 3, rel=0.3)


def test_only_a_and_b_are_trained_and_a_step_moves_nothing_else():
    _, ours = pair()
    before = {name: weight.clone() for name, weight in ours.state_dict().items()}
    trained = lora.trainable_parameters(ours)
    assert [weight.shape for weight in trained] == [(4, 12), (20, 4), (4, 20), (12, 4)]
    optimizer = torch.optim.AdamW(trained, lr=0.1, weight_decay=0.1)
    ours(inputs()).square().sum().backward()
    optimizer.step()
    moved = {name for name, w in ours.state_dict().items() if not torch.equal(w, before[name])}
    assert len(moved) == 4 and all("lora_" in name for name in moved)


# ------------------------------------------------------------------------- counts


def on_meta(hub_id: str):
    with torch.device("meta"):
        built = AutoConfig.for_model(**catalog.find(hub_id).config)
        return AutoModelForCausalLM.from_config(built)


@pytest.mark.parametrize("hub_id", ["google/gemma-3-270m", "google/gemma-2b"])
@pytest.mark.parametrize("places", SETS)
def test_counts_are_those_of_peft_and_grow_with_the_rank(hub_id, places):
    counts = {}
    for rank in (1, 4, 16, 64):
        with torch.device("meta"):
            theirs = get_peft_model(on_meta(hub_id), config(SETS[places], rank, 16))
        ours = lora.add_lora(on_meta(hub_id), SETS[places], rank, 16)
        counts[rank] = sum(weight.numel() for weight in lora.trainable_parameters(ours))
        assert (counts[rank], sum(w.numel() for w in ours.parameters())) == (
            theirs.get_nb_trainable_parameters()
        )
    assert [count // counts[1] for count in counts.values()] == [1, 4, 16, 64]


# ------------------------------------------------------------------------- merging


def test_merged_equals_adapter_and_peft_s_merge():
    theirs, ours = pair()
    x = inputs()
    output = ours(x)
    merged = lora.merge(ours)
    kinds = {name: type(module) for name, module in merged.named_children()}
    assert kinds == {name: type(module) for name, module in Block().named_children()}
    torch.testing.assert_close(merged(x), output, rtol=1e-12, atol=1e-12)
    wanted = theirs.merge_and_unload().state_dict()
    assert wanted.keys() == merged.state_dict().keys()
    for name, weight in merged.state_dict().items():
        assert torch.equal(weight, wanted[name]), name
    assert lora.trainable_parameters(merged) == []


def test_merging_in_bfloat16_rounds_once_as_peft_does():
    theirs, ours = pair(torch.bfloat16)
    exact = {}
    for name in ("up_proj", "down_proj"):
        layer = ours.get_submodule(name)
        a, b = layer.lora_A.weight.double(), layer.lora_B.weight.double()
        exact[name] = layer.base_layer.weight.double() + 6 / 4 * b @ a
    merged, wanted = lora.merge(ours), theirs.merge_and_unload()
    for name, weight in exact.items():
        got = merged.get_submodule(name).weight
        assert got.dtype == torch.bfloat16
        assert torch.equal(got, wanted.get_submodule(name).weight)
        half_a_step = 2.0**-8 * weight.abs()  # bfloat16 has 8 binary digits
        assert ((got.double() - weight).abs() <= half_a_step).all()
        assert not torch.equal(got.double(), weight)


def test_a_change_rounded_before_it_is_added_is_seen():
    """ΔW in bfloat16 first, then the sum in bfloat16: two roundings, and another weight."""
    _, ours = pair(torch.bfloat16)
    layer = ours.up_proj
    twice = layer.base_layer.weight + layer.delta_weight().bfloat16()
    assert not torch.equal(lora.merge(layer).weight, twice)


def test_a_layer_keeps_its_own_w_and_merges_to_the_same_again():
    _, ours = pair()
    layer = ours.up_proj
    before = layer.base_layer.weight.clone()
    first, second = lora.merge(layer), lora.merge(layer)
    assert torch.equal(first.weight, second.weight) and torch.equal(layer.base_layer.weight, before)
    added_twice = first.weight + layer.delta_weight()
    assert not torch.allclose(added_twice, first.weight)


def test_a_tied_table_keeps_its_numbers_when_the_head_beside_it_is_merged():
    model = GemmaForCausalLM(GemmaConfig(**TINY))
    table = model.get_input_embeddings().weight.clone()
    model = lora.add_lora(model, "lm_head", 2, 2)
    nn.init.ones_(model.lm_head.lora_B.weight)
    lora.merge(model)
    assert torch.equal(model.get_input_embeddings().weight, table)
    assert not torch.equal(model.lm_head.weight, table)


# ------------------------------------------------------------------------- models


def test_in_four_bits_it_computes_as_peft_and_refuses_to_merge():
    torch.manual_seed(0)
    theirs = get_peft_model(in_nf4(SMALL_IT), config(MLP, 8, 8))
    ours = lora.add_lora(in_nf4(SMALL_IT), MLP, 8, 8)
    copy_adapters(theirs, ours)
    x = torch.randn(2, 5, ours.config.hidden_size)  # float32: peft rounds BAx to bfloat16 alone
    layer, right = ours.model.layers[1].mlp.up_proj, theirs.base_model.model.model.layers[1].mlp
    assert layer.base_layer.weight.dtype == torch.uint8
    assert layer.lora_A.weight.dtype == torch.float32
    torch.testing.assert_close(layer(x), right.up_proj(x))
    assert not torch.allclose(layer(x), layer.base_layer(x), atol=0.1)
    with pytest.raises(ValueError, match="Load the model in 16 bits and merge there"):
        lora.merge(ours)


def test_an_adapter_file_of_peft_loads(tmp_path):
    ids = torch.arange(10, 26)[None]
    theirs = get_peft_model(
        AutoModelForCausalLM.from_pretrained(SMALL_IT, dtype=torch.float32),
        config(ATTENTION, 4, 8),
    ).eval()
    ours = AutoModelForCausalLM.from_pretrained(SMALL_IT, dtype=torch.float32).eval()
    lora.add_lora(ours, ATTENTION, 4, 8)
    copy_adapters(theirs, ours)
    theirs.save_pretrained(tmp_path)
    file = load_file(tmp_path / "adapter_model.safetensors")
    values = {name.removeprefix("base_model.model."): weight for name, weight in file.items()}
    for weight in lora.trainable_parameters(ours):
        nn.init.zeros_(weight)
    assert ours.load_state_dict(values, strict=False).unexpected_keys == []
    with torch.no_grad():
        assert torch.equal(ours(ids).logits, theirs(ids).logits)


def test_on_google_s_weights_the_merged_model_is_the_adapted_one(real_gemma):
    tokenizer = AutoTokenizer.from_pretrained(real_gemma)
    model = AutoModelForCausalLM.from_pretrained(real_gemma, dtype=torch.float32).eval()
    ids = tokenizer("A fear of bridges is called", return_tensors="pt")["input_ids"]
    torch.manual_seed(0)
    with torch.no_grad():
        plain = model(ids).logits
        lora.add_lora(model, ATTENTION + MLP, r=16, alpha=16)
        assert torch.equal(model(ids).logits, plain)
        for weight in lora.trainable_parameters(model)[1::2]:  # every B
            weight.normal_(0, 0.01)
        adapted = model(ids).logits
        merged = lora.merge(model)(ids).logits
    assert (adapted - plain).abs().max() > 0.5
    assert (merged - adapted).abs().max() < 5e-4


# ------------------------------------------------------------------------- a user's mistakes


@pytest.mark.parametrize(
    "names, odd",
    [(["q_porj"], "q_porj"), (["up_proj", "act"], "act"), ([], r"\[\]"), ("upproj", "upproj")],
)
def test_a_name_that_no_linear_layer_has_is_told_with_those_there_are(names, odd):
    model = Block()
    with pytest.raises(ValueError, match=odd) as error:
        lora.add_lora(model, names, 4, 4)
    assert "down_proj, head, up_proj" in str(error.value)
    assert len(lora.trainable_parameters(model)) == 5  # nothing was frozen


def test_one_name_may_stand_alone():
    model = lora.add_lora(Block(), "up_proj", 4, 4)
    assert isinstance(model.up_proj, lora.LoRALinear) and isinstance(model.down_proj, nn.Linear)


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_below_one_is_refused(rank):
    with pytest.raises(ValueError, match=f"not {rank}"):
        lora.LoRALinear(nn.Linear(3, 3), rank, 1)


def test_twice_and_nothing_to_merge_are_refused():
    _, ours = pair()
    with pytest.raises(ValueError, match="has LoRA layers already"):
        lora.add_lora(ours, ["head"], 2, 2)
    with pytest.raises(ValueError, match="nothing to merge"):
        lora.merge(lora.merge(ours))


def test_the_same_seed_gives_the_same_a():
    def first_numbers():
        torch.manual_seed(7)
        model = lora.add_lora(Block(), ["up_proj", "down_proj"], 2, 2)
        return torch.cat([weight.flatten() for weight in lora.trainable_parameters(model)])

    assert torch.equal(first_numbers(), first_numbers())

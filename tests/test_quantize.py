"""`gemma_lab.scratch.quantize` against bitsandbytes' own bytes and float64 formulas."""

from functools import partial

import bitsandbytes
import pytest
import torch
from bitsandbytes import functional
from models import SMALL_IT
from torch import nn
from transformers import AutoModelForCausalLM

from gemma_lab.scratch import quantize

EVEN, NF4 = torch.linspace(-1, 1, 16), quantize.nf4_levels()


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pack(index):
    """Two indices a byte, as bitsandbytes stores them."""
    return (index[::2] << 4 | index[1::2])[:, None]


def rms_error(numbers, levels, block=64):
    return (quantize.round_blocks(numbers, levels, block) - numbers).double().square().mean().sqrt()


# int8


@pytest.mark.parametrize("shape", [(5, 64), (1, 7), (33, 640)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_int8_is_bitsandbytes_row_for_row(shape, dtype):
    weight = normal(*shape).to(dtype)
    levels, absmax = quantize.quantize_int8(weight)
    expected, scales, _ = functional.int8_vectorwise_quant(weight.half().clone())
    if dtype == torch.float16:  # the library knows no other type
        assert levels.equal(expected)
        assert absmax.equal(scales)
    back = functional.int8_vectorwise_dequant(levels, absmax)
    assert quantize.dequantize_int8(levels, absmax).allclose(back, rtol=1e-6)


def test_int8_is_the_formula_in_float64_and_a_scale_of_128_is_not():
    weight = normal(8, 100).double()
    scale = weight.abs().amax(-1, keepdim=True) / 127
    expected = (weight / scale).round() * scale
    assert quantize.round_even(weight).allclose(expected, atol=1e-6)
    wrong = weight.abs().amax(-1, keepdim=True) / 128
    assert not quantize.round_even(weight).allclose((weight / wrong).round() * wrong, atol=1e-3)


def test_the_largest_of_a_row_comes_back_and_the_error_is_at_most_half_a_step():
    weight = normal(6, 50)
    back, absmax = quantize.round_even(weight), weight.abs().amax(-1)
    assert back.abs().amax(-1).allclose(absmax)
    assert ((back - weight).abs().amax(-1) <= absmax / 127 / 2 + 1e-6).all()


def test_a_row_of_zeros_stays_zeros():
    weight = torch.zeros(2, 64)
    assert quantize.round_even(weight).equal(weight)
    assert quantize.round_blocks(weight, NF4).equal(weight)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(bad):
    weight = normal(3, 64)
    weight[1, 5] = bad
    for rounded in (quantize.round_even, lambda w: quantize.round_blocks(w, NF4)):
        with pytest.raises(ValueError, match="infinity or a NaN"):
            rounded(weight)


# LLM.int8()


def with_outliers(num_tokens=16, width=96):
    x = normal(num_tokens, width, seed=1)
    x[3, 10], x[7, 10], x[5, 40] = 55.0, -61.0, 8.5
    return x.half().float()


def library(x, weight, threshold):
    layer = bitsandbytes.nn.Linear8bitLt(
        weight.shape[1], weight.shape[0], False, has_fp16_weights=False, threshold=threshold
    )
    layer.weight = bitsandbytes.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    layer = layer.to("cpu").eval()
    with torch.no_grad():
        return layer(x)


@pytest.mark.parametrize("outliers", [True, False])
def test_llm_int8_is_the_layer_of_bitsandbytes(outliers):
    weight = (normal(24, 96) * 0.05).half()
    x = with_outliers() if outliers else normal(16, 96).half().float()
    ours = quantize.llm_int8(x, *quantize.quantize_int8(weight))
    assert ours.allclose(library(x, weight, 6.0), rtol=1e-4, atol=1e-4)
    for row in (3, 4):  # one token alone, as in decoding: other columns are apart, or none
        one = quantize.llm_int8(x[[row]], *quantize.quantize_int8(weight))
        assert one.allclose(library(x[[row]], weight, 6.0), rtol=1e-4, atol=1e-4)


def test_an_ignored_threshold_gives_another_result_and_a_worse_one():
    weight = (normal(24, 96) * 0.05).half()
    stored, x = quantize.quantize_int8(weight), with_outliers()
    split, whole = (quantize.llm_int8(x, *stored, t) for t in (6.0, float("inf")))
    assert not split.allclose(whole, atol=1e-2)
    exact = x.double() @ quantize.dequantize_int8(*stored).double().T  # of the same weights
    rows = [3, 5, 7]  # those that hold an outlier
    near, far = ((y - exact)[rows].norm() for y in (split, whole))
    assert far > 5 * near


def test_a_threshold_of_zero_leaves_weight_only_quantization():
    """Every column is apart then: inputs stay as they are, the weights are int8."""
    weight, x = normal(8, 96), normal(4, 96)
    y = quantize.llm_int8(x, *quantize.quantize_int8(weight), threshold=0.0)
    assert y.allclose(x @ quantize.round_even(weight).T, atol=1e-4)


# Levels and blocks


def test_nf4_levels_are_those_of_bitsandbytes_and_even_ones_are_not():
    table = functional.get_4bit_type("nf4", device="cpu")
    assert NF4.allclose(table, rtol=0, atol=1e-6)
    assert not EVEN.allclose(table, atol=0.1)


def test_dynamic_levels_are_those_of_bitsandbytes():
    expected = functional.create_dynamic_map()
    assert quantize.dynamic_levels().allclose(expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("num_bits", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("shape", [(4, 64), (3, 50)])
def test_fewer_bits_are_a_coarser_ruler_in_float64(num_bits, shape):
    weight = normal(*shape).double()
    blocks = torch.nn.functional.pad(weight.flatten(), (0, -weight.numel() % 64)).view(-1, 64)
    scale = blocks.abs().amax(-1, keepdim=True) / (2 ** (num_bits - 1) - 1)
    expected = ((blocks / scale).round() * scale).flatten()[: weight.numel()].view(shape)
    assert quantize.round_even(weight, num_bits, 64).allclose(expected, atol=1e-6)
    assert not quantize.round_even(weight, num_bits).allclose(expected, atol=1e-4) or shape[1] == 64


@pytest.mark.parametrize("num_bits", [1, 9, 2.5, "4"])
def test_other_numbers_of_bits_are_refused(num_bits):
    with pytest.raises(ValueError, match="from 2 to 8, not"):
        quantize.round_even(normal(2, 64), num_bits)


@pytest.mark.parametrize("shape", [(64,), (24, 128), (3, 50), (6,)])
def test_nf4_is_bitsandbytes_byte_for_byte(shape):
    weight = normal(*shape)
    index, absmax = quantize.quantize_blocks(weight, NF4)
    packed, state = functional.quantize_4bit(weight, quant_type="nf4")
    assert pack(index).equal(packed)
    assert absmax.equal(state.absmax)
    back = functional.dequantize_4bit(packed, state)
    assert quantize.round_blocks(weight, NF4).allclose(back.reshape(shape), atol=2e-6)


def test_each_number_gets_its_nearest_level():
    numbers = normal(10, 64).double()
    shares = numbers / numbers.abs().amax(-1, keepdim=True)
    nearest = (shares[..., None] - EVEN.double()).abs().argmin(-1)
    assert quantize.quantize_blocks(numbers, EVEN)[0].equal(nearest.flatten().to(torch.uint8))


@pytest.mark.parametrize("block", [0, -64])
def test_a_block_needs_a_number(block):
    with pytest.raises(ValueError, match="block must be a whole number from 1 up"):
        quantize.quantize_blocks(normal(64), NF4, block)


def test_nf4_suits_normal_numbers_and_even_levels_suit_uniform_ones():
    bell, flat = normal(2**18), torch.rand(2**18, generator=torch.Generator().manual_seed(0))
    assert rms_error(bell, NF4) < 0.99 * rms_error(bell, EVEN)
    fp4 = functional.get_4bit_type("fp4", device="cpu").sort().values
    read_aloud = {0.092: NF4, 0.101: EVEN, 0.122: fp4}  # in notebook 04
    for error, levels in read_aloud.items():
        assert rms_error(bell, levels) == pytest.approx(error, abs=1e-3)
    assert rms_error(2 * flat - 1, EVEN) < 0.9 * rms_error(2 * flat - 1, NF4)


def test_without_blocks_one_large_number_ruins_all_others():
    numbers = normal(4096)
    numbers[100] = 50.0
    whole, blocks = rms_error(numbers, NF4, 4096), rms_error(numbers, NF4, 64)
    assert whole > 5 * blocks


def differ(own, theirs):
    """Share of the indices that differ; by one at most: the library's search errs at a middle."""
    steps = (own.int() - theirs.int()).abs()
    assert steps.max() <= 1
    return steps.double().mean()


def test_double_quantization_is_that_of_bitsandbytes():
    weight = normal(300, 640)  # 3,000 blocks: twelve absmax of absmax, the last block shorter
    index, absmax = quantize.quantize_blocks(weight, NF4)
    own, second, mean = quantize.double_quantize(absmax)
    packed, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    assert pack(index).equal(packed)
    assert differ(own, state.absmax) < 0.01
    assert second.allclose(state.state2.absmax)
    assert mean.allclose(state.offset)
    levels = quantize.dynamic_levels()
    back = quantize.dequantize_blocks(state.absmax, second, levels, 256) + mean
    ours = quantize.dequantize_blocks(index, back, NF4).reshape(weight.shape)
    assert ours.allclose(functional.dequantize_4bit(packed, state), atol=2e-6)
    whole = quantize.quantize_blocks(absmax, levels, 256)[0]  # the mean not taken off
    assert not whole.equal(state.absmax)


def bits(*tensors, of):
    return 8 * sum(t.numel() * t.element_size() for t in tensors) / of.numel()


def test_bits_per_weight_are_the_bytes_of_bitsandbytes():
    weight = normal(512, 1024)
    levels, scales, _ = functional.int8_vectorwise_quant(weight.half())
    assert bits(levels, scales, of=weight) == quantize.bits_per_weight(8, 1024) == 8.03125
    packed, state = functional.quantize_4bit(weight, quant_type="nf4")
    assert bits(packed, state.absmax, of=weight) == quantize.bits_per_weight(4, 64) == 4.5
    packed, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    held = packed, state.absmax, state.state2.absmax
    doubly = quantize.bits_per_weight(4, 64, is_double=True)
    assert bits(*held, of=weight) == doubly == pytest.approx(4.127, abs=5e-4)


# A whole model


def test_round_weights_rounds_all_but_the_head_and_gives_all_back():
    model = AutoModelForCausalLM.from_pretrained(SMALL_IT, dtype=torch.float32)
    by_hand = AutoModelForCausalLM.from_pretrained(SMALL_IT, dtype=torch.float32)
    for name, layer in by_hand.named_modules():
        if isinstance(layer, nn.Linear) and name != "lm_head":
            layer.weight.data = quantize.round_even(layer.weight.data, 4, 64)
    ids = torch.tensor([[2, 7, 11, 300]])
    with torch.no_grad():
        before = model(ids).logits
        with quantize.round_weights(model, partial(quantize.round_even, num_bits=4, block=64)):
            rounded = model(ids).logits
        assert rounded.equal(by_hand(ids).logits)
        assert not rounded.allclose(before, atol=1e-2)
        assert model(ids).logits.equal(before)


def test_after_a_failure_the_weights_are_back():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    own = [layer.weight.clone() for layer in model]
    with pytest.raises(RuntimeError), quantize.round_weights(model, torch.zeros_like):
        model(torch.ones(1, 5))  # the first layer takes 4 numbers
    assert all(layer.weight.equal(weight) for layer, weight in zip(model, own))
    assert model(torch.ones(1, 4)).abs().sum() > 0


def test_a_model_without_plain_layers_is_refused():
    layer = bitsandbytes.nn.Linear8bitLt(4, 4, has_fp16_weights=False)
    for model in (nn.Sequential(layer), nn.LayerNorm(4)):
        with pytest.raises(ValueError, match="load the model unquantized"):
            with quantize.round_weights(model, torch.zeros_like):
                pass


def test_a_layer_of_google_s_is_bitsandbytes_byte_for_byte(real_gemma):
    from safetensors import safe_open

    with safe_open(real_gemma / "model.safetensors", "pt") as file:
        weight = file.get_tensor("model.layers.0.mlp.down_proj.weight")
    levels, absmax = quantize.quantize_int8(weight.half())
    expected, scales, _ = functional.int8_vectorwise_quant(weight.half())
    assert levels.equal(expected)
    assert absmax.equal(scales)
    index, absmax = quantize.quantize_blocks(weight, NF4)
    packed, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    assert pack(index).equal(packed)
    assert differ(quantize.double_quantize(absmax)[0], state.absmax) < 0.01

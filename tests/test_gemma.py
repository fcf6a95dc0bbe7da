"""`gemma_lab.scratch.gemma` against transformers (eager attention): tiny and shipped models."""

import itertools
import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from models import REPORTED
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    Gemma2Config,
    Gemma2ForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
)

from gemma_lab import catalog, profile
from gemma_lab.scratch import gemma as model

TOLERANCE = 1e-5
SHIPPED = sorted(path.parent.name for path in profile.CHECKPOINTS.glob("*/config.json"))
RELEASED = {  # all parameters, with the 256,000 rows of the released checkpoints
    "google/gemma-2b": 2_506_172_416,
    "google/gemma-7b": 8_537_680_896,
    "google/gemma-2-2b": 2_614_341_888,
    "google/gemma-2-9b": 9_241_705_984,
    "google/gemma-2-27b": 27_227_128_320,
}


def pair(config, seed: int = 0):
    """A transformers model with random weights, norms too, and ours with the same weights."""
    torch.manual_seed(seed)
    classes = {"gemma": GemmaForCausalLM, "gemma2": Gemma2ForCausalLM}
    reference = classes[config.model_type]._from_config(config, attn_implementation="eager").eval()
    for name, weight in reference.named_parameters():
        weight.data.normal_(0, 0.5 if "norm" in name else 1 / weight.shape[-1] ** 0.5)
    ours = model.Gemma(model.Config.from_transformers(config.to_dict())).eval()
    ours.load_state_dict(reference.state_dict())
    return reference, ours


def padding_of(num_tokens: int, widths) -> torch.Tensor:
    """(B, T): row b has widths[b] zeros on the left, and ones."""
    return (torch.arange(num_tokens)[None] >= torch.tensor(widths)[:, None]).long()


def pieces(num_tokens: int, steps) -> list[tuple[int, int]]:
    """Where pieces of a text begin and end: `steps` tokens each while they fit, then one each."""
    ends = [end for end in itertools.accumulate(steps) if end < num_tokens]
    ends += range(max(ends, default=0) + 1, num_tokens + 1)
    return list(zip([0, *ends], ends))


@torch.no_grad()
def differences(reference, ours, ids, widths=(0, 1, 2), steps=(5,)) -> dict[str, float]:
    """The largest absolute difference of each kind.

    Args: ids: (B, T), T at least 3; widths: of the padding, for each row.
    """
    found, num_tokens = {}, ids.shape[1]
    padded = padding_of(num_tokens, widths[: len(ids)])
    for name, mask in {"plain": torch.ones_like(ids), "padded": padded}.items():
        positions, real = (mask.cumsum(-1) - 1).clamp(min=0), mask.bool()
        right = reference(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            output_hidden_states=True,
            use_cache=False,
        )
        got = ours(ids, mask)
        past, cache = DynamicCache(config=reference.config), model.Cache(ours.config)
        their_steps, my_steps = [], []
        for begin, end in pieces(num_tokens, steps):
            theirs = reference(
                input_ids=ids[:, begin:end],
                attention_mask=mask[:, :end],
                position_ids=positions[:, begin:end],
                past_key_values=past,
                use_cache=True,
            )
            their_steps.append(theirs.logits)
            my_steps.append(ours(ids[:, begin:end], mask[:, :end], cache).logits)
        their_steps, my_steps = torch.cat(their_steps, dim=1), torch.cat(my_steps, dim=1)
        assert cache.num_tokens == num_tokens and len(right.hidden_states) == len(got.hidden_states)
        pairs = {
            "logits": (right.logits, got.logits),
            "cached": (their_steps, my_steps),
            "cached and uncached": (right.logits, my_steps),
            "reference's own": (right.logits, their_steps),
        }
        for at, states in enumerate(zip(right.hidden_states, got.hidden_states)):
            pairs[f"hidden {at}"] = states
        for kind, (a, b) in pairs.items():
            found[f"{name} {kind}"] = (a - b)[real].abs().max().item()
    return found


def too_large(found: dict[str, float]) -> dict[str, float]:
    """What is beyond the tolerance.

    A decode rounds another way than the one pass over a text, and where attention scores are large
    that shows: in transformers, whose own gap is allowed for, as in ours.
    """
    limits = {kind: TOLERANCE for kind in found if "reference" not in kind}
    for name in ("plain", "padded"):
        limits[f"{name} cached and uncached"] += found[f"{name} reference's own"]
    return {kind: found[kind] for kind, limit in limits.items() if found[kind] > limit}


@st.composite
def tiny_configs(draw):
    kv_heads, group = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    heads = kv_heads * group
    sizes = {
        "vocab_size": draw(st.integers(5, 40)),
        "hidden_size": heads * draw(st.integers(1, 4)),
        "intermediate_size": draw(st.integers(1, 20)),
        "num_hidden_layers": draw(st.integers(1, 4)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": 2 * draw(st.integers(1, 5)),
    }
    rope = {"rope_type": "default", "rope_theta": draw(st.sampled_from([100.0, 10_000.0]))}
    if draw(st.booleans()):  # the configuration of Gemma 2 wants a multiple of the heads
        return GemmaConfig(
            **sizes | {"hidden_size": draw(st.integers(1, 20))}, rope_parameters=rope
        )
    return Gemma2Config(
        **sizes,
        rope_parameters=rope,
        sliding_window=draw(st.integers(2, 7)),
        query_pre_attn_scalar=draw(st.integers(1, 30)),
        attn_logit_softcapping=draw(st.sampled_from([0.5, 5.0, 50.0])),
        final_logit_softcapping=draw(st.sampled_from([0.5, 30.0])),
    )


@settings(max_examples=60, deadline=None, derandomize=True, print_blob=False)
@given(
    config=tiny_configs(), num_tokens=st.integers(3, 15), seed=st.integers(0, 99), data=st.data()
)
def test_equals_transformers(config, num_tokens, seed, data):
    reference, ours = pair(config, seed)
    widths = data.draw(st.lists(st.integers(0, num_tokens - 1), min_size=1, max_size=3), "padding")
    steps = data.draw(st.lists(st.integers(1, num_tokens), max_size=3), "steps")
    ids = torch.randint(config.vocab_size, (len(widths), num_tokens))
    found = differences(reference, ours, ids, widths, steps)
    assert too_large(found) == {}


@pytest.fixture(scope="module")
def tiny():
    """A tiny model of each family, of which every part matters, and ids longer than the window."""
    sizes = dict(
        vocab_size=31,
        hidden_size=12,
        intermediate_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        head_dim=8,
    )
    first = pair(GemmaConfig(**sizes, num_key_value_heads=1))
    second = pair(
        Gemma2Config(
            **sizes,
            num_key_value_heads=2,
            sliding_window=5,
            query_pre_attn_scalar=20,
            attn_logit_softcapping=1.0,
            final_logit_softcapping=3.0,
        )
    )
    return {"gemma": first, "gemma2": second}, torch.randint(31, (2, 13))


def interleaved(x, cos, sin):
    """RoPE on neighbours, as the paper writes it: right in itself, wrong for Gemma's weights."""
    half = x.shape[-1] // 2
    cos, sin = (part[:, None, :, :half].repeat_interleave(2, dim=-1) for part in (cos, sin))
    turned = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
    return x * cos + turned * sin


def exact_gelu(self, x):
    return self.down_proj(F.gelu(self.gate_proj(x)) * self.up_proj(x))


def plain_weight(self, x):
    wide = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
    return wide * self.weight


def wider_window(num_tokens, num_keys, window, padding, right=model.causal_mask):
    return right(num_tokens, num_keys, None if window is None else window + 1, padding)


def narrower_window(num_tokens, num_keys, window, padding, right=model.causal_mask):
    return right(num_tokens, num_keys, None if window is None else window - 1, padding)


def cap_after_mask(q, k, v, visible, scaling, cap):
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = (q @ k.transpose(2, 3) * scaling).masked_fill(~visible, torch.finfo(q.dtype).min)
    weights = model.soft_cap(scores, cap).softmax(-1)
    return weights @ v, weights


def without_cap(q, k, v, visible, scaling, cap, right=model.attend):
    return right(q, k, v, visible, scaling, None)


def other_heads_share(q, k, v, visible, scaling, cap, right=model.attend):
    group = q.shape[1] // k.shape[1]
    return right(q, k.repeat(1, group, 1, 1), v.repeat(1, group, 1, 1), visible, scaling, cap)


WRONG = {
    "interleaved RoPE": (model, "apply_rope", interleaved, ("gemma", "gemma2")),
    "exact GELU": (model.MLP, "forward", exact_gelu, ("gemma", "gemma2")),
    "w instead of 1 + w": (model.RMSNorm, "forward", plain_weight, ("gemma", "gemma2")),
    "window too wide": (model, "causal_mask", wider_window, ("gemma2",)),
    "window too narrow": (model, "causal_mask", narrower_window, ("gemma2",)),
    "cap after mask": (model, "attend", cap_after_mask, ("gemma2",)),
    "no cap of attention": (model, "attend", without_cap, ("gemma2",)),
    "heads share in the wrong order": (model, "attend", other_heads_share, ("gemma2",)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_variant_differs(name, tiny, monkeypatch):
    models, ids = tiny
    place, attribute, wrong, families = WRONG[name]
    for family in families:
        assert too_large(differences(*models[family], ids)) == {}
    monkeypatch.setattr(place, attribute, wrong)
    for family in families:
        assert differences(*models[family], ids)["plain logits"] > 10 * TOLERANCE, family


def test_wrong_scales_differ(tiny):
    """The scale of the embedding, and query_pre_attn_scalar, which head_dim must not replace."""
    models, ids = tiny
    reference, ours = models["gemma2"]
    values = reference.config.to_dict() | {"query_pre_attn_scalar": 8}
    other = model.Gemma(model.Config.from_transformers(values)).eval()
    other.load_state_dict(reference.state_dict())
    assert differences(reference, other, ids)["plain logits"] > 10 * TOLERANCE
    with torch.no_grad():
        stream = ours(ids).hidden_states[0]
        assert stream.equal(reference.model.embed_tokens(ids))
        assert not stream.allclose(F.embedding(ids, ours.model.embed_tokens.weight))


@pytest.mark.parametrize("name", SHIPPED)
def test_equals_transformers_on_the_shipped_models(name):
    folder = profile.CHECKPOINTS / name
    reference = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = ["Write me a poem about the blue river. " * 5, "Dòng sông chảy qua làng tôi. " * 6]
    ids = tokenizer(texts, return_tensors="pt", truncation=True, max_length=41)["input_ids"]
    found = differences(reference, model.Gemma.from_folder(folder), ids, widths=(0, 35))
    assert too_large(found) == {}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["pocket-small", "pocket-gemma2-it"])
def test_equals_transformers_in_16_bits(name, dtype):
    """To the last bit: norms and softmax are computed in float32, as there."""
    folder, ids = profile.CHECKPOINTS / name, torch.arange(10, 60)[None]
    reference = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        right = reference(input_ids=ids, output_hidden_states=True, use_cache=False)
        got = model.Gemma.from_folder(folder).to(dtype)(ids)
    assert got.logits.dtype == dtype and got.logits.equal(right.logits)
    assert all(a.equal(b) for a, b in zip(right.hidden_states, got.hidden_states))


@pytest.mark.parametrize("hub_id", REPORTED)
def test_the_real_sizes_have_the_reported_parameters(hub_id):
    info = catalog.find(hub_id)
    config = model.Config(
        info.family,
        info.vocab_size,
        info.hidden_size,
        info.intermediate_size,
        info.num_hidden_layers,
        info.num_attention_heads,
        info.num_key_value_heads,
        info.head_dim,
    )
    with torch.device("meta"):
        built = model.Gemma(config)
    total = sum(weight.numel() for weight in built.parameters())
    assert total - built.model.embed_tokens.weight.numel() == REPORTED[hub_id]
    assert total == RELEASED[hub_id]


def test_a_sliding_layer_keeps_only_what_it_will_see(tiny):
    (_, ours), ids = tiny[0]["gemma2"], tiny[1]
    cache = model.Cache(ours.config)
    assert (cache.num_tokens, cache.num_bytes) == (0, 0)
    with torch.no_grad():
        ours(ids, cache=cache)
    assert ours.config.windows == (5, None, 5, None)
    kept = [4, 13, 4, 13]  # a window of 5 holds the new token too
    assert [keys.shape[2] for keys, _ in cache.layers] == kept
    assert cache.num_bytes == 2 * 4 * ids.shape[0] * 2 * 8 * sum(kept)
    # No view that keeps the rest alive.
    stored = [keys.untyped_storage().nbytes() for keys, _ in cache.layers]
    assert stored[0] * 13 == stored[1] * 4


def test_attention_weights_are_asked_for(tiny):
    for reference, ours in tiny[0].values():
        with torch.no_grad():
            got = ours(tiny[1], with_attentions=True).attentions
            right = reference(input_ids=tiny[1], output_attentions=True).attentions
        assert max((a - b).abs().max().item() for a, b in zip(got, right)) <= TOLERANCE
        assert ours(tiny[1]).attentions == []


def test_from_folder_reads_shards_and_old_config_files(tiny, tmp_path):
    reference, ours = tiny[0]["gemma"]
    reference.save_pretrained(tmp_path, max_shard_size="4kB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    file = tmp_path / "config.json"
    values = json.loads(file.read_text())
    values["rope_theta"] = values.pop("rope_parameters")["rope_theta"]  # as in the files of 2024
    file.write_text(json.dumps(values))
    read = model.Gemma.from_folder(tmp_path)
    assert read.config.rope_theta == 10_000.0
    with torch.no_grad():
        assert read(tiny[1]).logits.equal(ours(tiny[1]).logits)
    file.write_text(json.dumps(values | {"model_type": "llama"}))
    with pytest.raises(ValueError, match="'llama'"):
        model.Gemma.from_folder(tmp_path)


def test_a_configuration_without_layer_types_slides_as_in_transformers(tiny):
    reference, ours = tiny[0]["gemma2"]
    values = reference.config.to_dict()
    del values["layer_types"]  # as in 2024
    read = model.Config.from_transformers(values)
    assert read.windows == ours.config.windows == (5, None, 5, None)
    caps = "attn_logit_softcapping", "final_logit_softcapping"
    for name in ("sliding_window", "query_pre_attn_scalar", *caps):
        del values[name]
        read = model.Config.from_transformers(values)
        assert getattr(read, name) == getattr(Gemma2Config(), name)


LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}


@pytest.mark.parametrize(
    "change, says",
    [
        ({"rope_parameters": LINEAR}, "plain RoPE"),
        ({"tie_word_embeddings": False}, "tied head"),
        ({"model_type": "gemma3_text"}, "gemma3_text"),
    ],
)
def test_what_it_cannot_build_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        model.Config.from_transformers(GemmaConfig().to_dict() | change)


def test_padding_is_remembered_and_checked(tiny):
    (_, ours), ids = tiny[0]["gemma2"], tiny[1]
    padding = padding_of(13, (0, 6))
    with torch.no_grad():
        whole, cache = ours(ids, padding).logits, model.Cache(ours.config)
        ours(ids[:, :9], padding[:, :9], cache)
        assert ours(ids[:, 9:], cache=cache).logits.allclose(whole[:, 9:], atol=TOLERANCE)
        with pytest.raises(ValueError, match="13 cached and 1 new"):
            ours(ids[:, :1], torch.ones(2, 1), cache)


def test_weights_of_other_sizes_are_refused(tiny):
    reference, _ = tiny[0]["gemma"]
    values = reference.config.to_dict() | {"num_hidden_layers": 3}
    with pytest.raises(RuntimeError, match="layers.3"):
        model.Gemma(model.Config.from_transformers(values)).load_state_dict(reference.state_dict())

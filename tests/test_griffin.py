"""`gemma_lab.scratch.griffin` against transformers (eager attention): tiny, and the pocket one."""

import json
import types
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    GemmaConfig,
    RecurrentGemmaConfig,
    RecurrentGemmaForCausalLM,
)

from gemma_lab.scratch import griffin as model

TOLERANCE = 1e-5
FAMILY = Path(__file__).resolve().parent.parent / "pocket" / "family"
SHIPPED = sorted(path.parent.name for path in FAMILY.glob("pocket-recurrent*/config.json"))
TINY = dict(
    vocab_size=61,
    hidden_size=32,
    intermediate_size=96,
    num_hidden_layers=4,
    num_attention_heads=2,
    num_key_value_heads=1,
    attention_window_size=6,
    logits_soft_cap=5.0,
)


def pair(config, seed: int = 0):
    """A transformers model with random weights, biases too, and ours with the same weights."""
    torch.manual_seed(seed)
    reference = RecurrentGemmaForCausalLM._from_config(config, attn_implementation="eager").eval()
    for name, weight in reference.named_parameters():
        if name.endswith("recurrent_param"):  # a state that lasts some tens of tokens
            weight.data.normal_(-4, 1)
        else:
            is_small = "norm" in name or "bias" in name
            weight.data.normal_(0, 0.5 if is_small else 1 / weight.shape[-1] ** 0.5)
    ours = model.RecurrentGemma(model.Config.from_transformers(config.to_dict())).eval()
    ours.load_state_dict(reference.state_dict())
    return reference, ours


@pytest.fixture(scope="module")
def tiny():
    """A tiny model, of which every part matters, and ids of two texts longer than its window."""
    return *pair(RecurrentGemmaConfig(**TINY)), torch.randint(61, (2, 23))


def greedy(reference, ids, mask=None, num_tokens: int = 12) -> list[list[int]]:
    """What transformers answers."""
    mask = torch.ones_like(ids) if mask is None else mask
    answer = reference.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=num_tokens,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return answer[:, ids.shape[1] :].tolist()


def in_pieces(ours, ids, cuts, state=None):
    """Our logits of a text that is read piece by piece."""
    state = model.State(ours.config) if state is None else state
    ends = sorted({cut for cut in cuts if 0 < cut < ids.shape[1]} | {ids.shape[1]})
    return torch.cat([ours(ids[:, a:b], state=state) for a, b in zip([0, *ends], ends)], dim=1)


def their_steps(reference, ids, begin: int, cache=None):
    """transformers' logits of a text: the first `begin` tokens at once, then one by one."""
    cache = DynamicCache(config=reference.config) if cache is None else cache
    pieces = ids.split([begin, *[1] * (ids.shape[1] - begin)], dim=1)
    read = [reference(piece, past_key_values=cache, use_cache=True).logits for piece in pieces]
    return torch.cat(read, dim=1)


@torch.no_grad()
def differences(reference, ours, ids, cut: int = 9, pieces=(9, 12, 13)) -> dict[str, float]:
    """The largest absolute difference of each kind, where 1 is a large logit.

    Args: ids: (B, T); cut: where one text of a packed row ends, between 2 and T - 1.
    """
    num_tokens = ids.shape[1]
    right = reference(ids, use_cache=False).logits
    parts = ids.split([cut, num_tokens - cut], dim=1)
    alone = torch.cat([reference(part, use_cache=False).logits for part in parts], dim=1)
    places = torch.cat([torch.arange(part.shape[1]) for part in parts]).expand_as(ids)
    padded = places * (torch.arange(num_tokens) >= cut)  # the first text is only padding
    pairs = {
        "plain": (ours(ids), right),
        "in pieces": (in_pieces(ours, ids, pieces), right),
        "packed": (ours(ids, places), alone),
        "padded": (ours(ids, padded)[:, cut:], alone[:, cut:]),
    }
    if "attention" in reference.config.layers_block_type:  # transformers' cache needs one
        pairs["cached"] = in_pieces(ours, ids, pieces), their_steps(reference, ids, cut)
    size = max(1, right.abs().max().item())
    return {kind: (a - b).abs().max().item() / size for kind, (a, b) in pairs.items()}


def too_large(found: dict[str, float]) -> dict[str, float]:
    return {kind: value for kind, value in found.items() if not value <= TOLERANCE}


@st.composite
def tiny_configs(draw):
    kv_heads, group = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    heads = kv_heads * group
    widths = st.none() | st.integers(1, 6).map(lambda size: size * heads)
    patterns = ["rra", "a", "ra", "ar", "rrr"]
    names = {"r": "recurrent", "a": "attention"}
    return RecurrentGemmaConfig(
        vocab_size=draw(st.integers(5, 40)),
        hidden_size=heads * 4 * draw(st.integers(1, 3)),
        intermediate_size=draw(st.integers(2, 20)),
        num_hidden_layers=draw(st.integers(1, 6)),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        lru_width=draw(widths),
        attention_window_size=draw(st.integers(2, 7)),
        block_types=[names[kind] for kind in draw(st.sampled_from(patterns))],
        conv1d_width=draw(st.sampled_from([4, 2, 5])),
        logits_soft_cap=draw(st.sampled_from([1.0, 30.0])),
        rope_parameters={
            "rope_type": "default",
            "rope_theta": draw(st.sampled_from([100.0, 1e4])),
            "partial_rotary_factor": 0.5,
        },
    )


@settings(max_examples=40, deadline=None, derandomize=True, print_blob=False)
@given(
    config=tiny_configs(), num_tokens=st.integers(3, 15), seed=st.integers(0, 99), data=st.data()
)
def test_equals_transformers(config, num_tokens, seed, data):
    reference, ours = pair(config, seed)
    ids = torch.randint(config.vocab_size, (data.draw(st.integers(1, 3), "rows"), num_tokens))
    cut = data.draw(st.integers(2, num_tokens - 1), "cut")
    pieces = data.draw(st.lists(st.integers(1, num_tokens), max_size=5), "pieces")
    assert too_large(differences(reference, ours, ids, cut, pieces)) == {}


@pytest.mark.parametrize("name", SHIPPED)
def test_equals_transformers_on_the_pocket_model(name):
    reference = AutoModelForCausalLM.from_pretrained(
        FAMILY / name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(FAMILY / name)
    texts = ["Write me a poem about the blue river. " * 9, "Dòng sông chảy qua làng tôi. " * 9]
    ids = tokenizer(texts, return_tensors="pt", truncation=True, max_length=90)["input_ids"]
    ours = model.RecurrentGemma.from_folder(FAMILY / name)
    assert ids.shape == (2, 90) and ours.config.attention_window_size < 90
    assert too_large(differences(reference, ours, ids, 30, (30, 70, 71))) == {}


def test_answers_as_transformers_generate(tiny):
    reference, ours, ids = tiny
    state, new, answer = model.State(ours.config), ids, []
    with torch.no_grad():
        for _ in range(12):
            new = ours(new, state=state)[:, -1].argmax(-1, keepdim=True)
            answer.append(new)
    assert torch.cat(answer, dim=1).tolist() == greedy(reference, ids)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_equals_transformers_in_other_dtypes(dtype, tiny, tmp_path):
    """On average no further from it than it is, in that dtype, from its own float32."""
    reference, _, ids = tiny
    reference.save_pretrained(tmp_path)
    other = AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=dtype, attn_implementation="eager"
    ).eval()
    ours = model.RecurrentGemma.from_folder(tmp_path).to(dtype)
    with torch.no_grad():
        got, right = ours(ids), other(ids, use_cache=False).logits
        own = (right - reference(ids, use_cache=False).logits).abs()
    assert got.dtype == right.dtype == dtype
    assert (got - right).abs().mean() <= own.mean()
    assert (got - right).abs().max() <= 16 * torch.finfo(dtype).eps


# What is wrong, as a change of one place in the file.
WRONG = {
    "no root of 1 - a^2": (
        "torch.sqrt(1 - torch.exp(2 * log_a))",
        "torch.ones_like(log_a)",
    ),
    "the root not squared": ("torch.exp(2 * log_a)", "torch.exp(log_a)"),
    "c is 1": ("C = 8.0", "C = 1.0"),
    "gates swapped": ("        log_a = ", "        r, i = i, r\n        log_a = "),
    "a gate reads the blocks of its neighbours": (
        "blocks = x.unflatten(-1, bias.shape)",
        "blocks = x.unflatten(-1, bias.shape[::-1]).transpose(2, 3)",
    ),
    "state not reset at position 0": (
        "torch.exp(log_a).masked_fill(is_first, 0)",
        "torch.exp(log_a)",
    ),
    "first input scaled": (".masked_fill(is_first, 1)", ""),
    "convolution not causal": ("torch.cat((before, x), dim=1)", "torch.cat((x, before), dim=1)"),
    "convolution the other way round": ("weight[:, 0, start]", "weight[:, 0, back]"),
    "convolution looks over a border": ("positions >= back", "positions >= 0"),
    "RoPE on the whole head": ("num_turned = x.shape[-1] // 2", "num_turned = x.shape[-1]"),
    "RoPE on neighbours": (
        "first, second = x[..., :num_turned].chunk(2, dim=-1)",
        "first, second = x[..., :num_turned:2], x[..., 1:num_turned:2]",
    ),
    "window too wide": ("back < window", "back <= window"),
    "window too narrow": ("back < window", "back < window - 1"),
    "attention looks over a border": (
        "back <= positions[..., None]",
        "back <= positions[..., None] + 99",
    ),
    "heads share in the wrong order": (
        "q.unflatten(1, (self.num_key_value_heads, -1))",
        "q.unflatten(1, (-1, self.num_key_value_heads)).transpose(1, 2)",
    ),
    "keeps one key too few": ("num_keys - self.window + 1", "num_keys - self.window + 2"),
    "no soft cap": ("torch.tanh(logits / cap) * cap", "logits"),
    "embedding not scaled": ("dtype=torch.bfloat16).to(x)", "dtype=torch.bfloat16).to(x) ** 0"),
    "factor not rounded": ("0.5, dtype=torch.bfloat16)", "0.5)"),
    "exact GELU in the MLP": (
        'F.gelu(self.gate_proj(x), approximate="tanh")',
        "F.gelu(self.gate_proj(x))",
    ),
    "exact GELU in the recurrent block": (
        'F.gelu(self.linear_y(x), approximate="tanh")',
        "F.gelu(self.linear_y(x))",
    ),
    "w instead of 1 + w": ("(1.0 + self.weight.float())", "self.weight.float()"),
    "MLP before the norm": ("self.mlp_block(self.channel_pre_norm(x))", "self.mlp_block(x)"),
}


def changed(old: str, new: str) -> types.ModuleType:
    """The file with one place written another way."""
    source = Path(model.__file__).read_text(encoding="utf-8")
    assert source.count(old) == 1, old
    module = types.ModuleType(model.__name__)
    exec(compile(source.replace(old, new), model.__file__, "exec"), module.__dict__)
    return module


@pytest.fixture(scope="module")
def grouped():
    """A model with two keys for four heads and an MLP after each kind of layer, and ids."""
    config = RecurrentGemmaConfig(
        **TINY | {"num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2}
    )
    reference, ours = pair(config)
    ids = torch.randint(61, (2, 23))
    assert too_large(differences(reference, ours, ids)) == {}
    return reference, ids


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_variant_differs(name, grouped):
    (reference, ids), module = grouped, changed(*WRONG[name])
    wrong = module.RecurrentGemma(module.Config.from_transformers(reference.config.to_dict()))
    wrong.load_state_dict(reference.state_dict())
    assert max(differences(reference, wrong, ids).values()) > 10 * TOLERANCE


SHAPES = [(2, 1, 3), (1, 2, 1), (3, 7, 2), (2, 64, 5), (1, 100, 4)]


@pytest.mark.parametrize("shape", SHAPES)
def test_scan_equals_recurrence_and_the_formula(shape):
    torch.manual_seed(0)
    a, x = torch.rand(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    zero = x.new_zeros(shape[0], shape[2])
    states, last = model.recurrence(a, x, zero)
    assert (model.scan(a, x) - states).abs().max() <= 1e-12 and last.equal(states[:, -1])
    # h_t is the sum of x_s times the product of a from s + 1 to t.
    for t in range(shape[1]):
        kept = torch.stack([a[:, s + 1 : t + 1].prod(dim=1) for s in range(t + 1)], dim=1)
        assert (states[:, t] - (kept * x[:, : t + 1]).sum(dim=1)).abs().max() <= 1e-12
    # From another state than 0, which comes in with the first token.
    start = torch.randn_like(zero)
    joined = torch.cat((x[:, :1] + a[:, :1] * start[:, None], x[:, 1:]), dim=1)
    assert (model.scan(a, joined) - model.recurrence(a, x, start)[0]).abs().max() <= 1e-12
    assert model.scan(a.float(), x.float()).dtype == torch.float32


def test_scan_resets_and_does_not_overflow():
    a, x = torch.full((1, 4096, 1), 0.9999), torch.ones(1, 4096, 1)
    a[:, 1000], a[:, 2000] = 0, 1
    states = model.scan(a, x)
    assert states[0, 1000] == 1 and states.isfinite().all()
    assert states.allclose(model.recurrence(a, x, torch.zeros(1, 1))[0], rtol=1e-5)


@pytest.mark.parametrize("num_tokens", [2, 5])
def test_gradients_of_scan(num_tokens):
    torch.manual_seed(0)
    a = torch.rand(2, num_tokens, 3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, num_tokens, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model.scan, (a, x))
    zero = x.new_zeros(2, 3)
    by_loop = torch.autograd.grad(model.recurrence(a, x, zero)[0].square().sum(), (a, x))
    by_scan = torch.autograd.grad(model.scan(a, x).square().sum(), (a, x))
    assert all(one.allclose(two, rtol=1e-12) for one, two in zip(by_loop, by_scan))


def bytes_of(reference, cache) -> int:
    """What transformers keeps: in its modules, and in the cache."""
    parts = [part for layer in cache.layers if layer.is_initialized for part in vars(layer).items()]
    kept = [tensor for name, tensor in parts if name in ("keys", "values")]
    kept += [
        getattr(module, name)
        for module in reference.modules()
        for name in ("recurrent_states", "conv1d_state")
        if hasattr(module, name)
    ]
    return sum(tensor.numel() * tensor.element_size() for tensor in kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_the_state_has_as_many_bytes_after_8192_tokens_as_after_128(dtype):
    config = RecurrentGemmaConfig(**TINY | {"attention_window_size": 64})
    reference, ours = (part.to(dtype) for part in pair(config))
    size = torch.finfo(dtype).bits // 8
    recurrent, window = 32 * 4 + 3 * 32 * size, 2 * 63 * 16 * size
    state, cache, seen = model.State(ours.config), DynamicCache(config=config), {}
    assert state.num_bytes == 0
    for piece in torch.randint(61, (2, 8192)).split(32, dim=1):
        ours(piece, state=state)
        num_tokens = state.next_positions[0].item()
        if num_tokens <= 128 or num_tokens == 8192:
            seen[num_tokens] = state.num_bytes
        if num_tokens <= 128:
            reference(piece, past_key_values=cache, use_cache=True)
            assert bytes_of(reference, cache) == state.num_bytes
    assert seen[8192] == seen[128] == 2 * (3 * recurrent + window)
    assert seen[32] == 2 * (3 * recurrent + 2 * 32 * 16 * size) < seen[64] == seen[128]
    # No view that keeps the rest alive, and the state of the recurrence is exact.
    parts = [part for pair in state.layers for part in pair]
    assert sum(part.untyped_storage().nbytes() for part in parts) == seen[8192]
    kinds = [state.layers[layer][0].dtype for layer in range(4)]
    assert kinds == [torch.float32, torch.float32, dtype, torch.float32]


def test_the_real_size_has_the_parameters_of_transformers():
    """google/recurrentgemma-2b: transformers' defaults alone have an MLP of half its width.

    Google's own code for it: mlp_expanded_width = 3 * 2560; intermediate_size counts both halves.
    """
    config = RecurrentGemmaConfig(num_key_value_heads=1, intermediate_size=2 * 3 * 2560)
    with torch.device("meta"):
        ours = model.RecurrentGemma(model.Config.from_transformers(config.to_dict()))
        theirs = RecurrentGemmaForCausalLM(config)
    assert sum(weight.numel() for weight in ours.parameters()) == 2_682_862_080
    assert sum(weight.numel() for weight in theirs.parameters()) == 2_682_862_080
    assert {name: weight.shape for name, weight in ours.state_dict().items()} == {
        name: weight.shape for name, weight in theirs.state_dict().items()
    }
    assert ours.config.layers_block_type.count("attention") == 8


@torch.no_grad()
def test_two_texts_at_a_time_need_two_states(tiny):
    """In transformers the state lies in the modules: a second text overwrites that of the first."""
    reference, ours, ids = tiny
    right = reference(ids, use_cache=False).logits
    caches, states = [], []
    for row in ids.split(1):
        caches.append(DynamicCache(config=reference.config))
        their_steps(reference, row[:, :9], 9, caches[-1])
        states.append(model.State(ours.config))
        in_pieces(ours, row[:, :9], (), states[-1])
    for row in (0, 1):
        rest = ids[row : row + 1, 9:]
        mine = in_pieces(ours, rest, (1, 2), states[row])
        assert (mine - right[row, 9:]).abs().max() <= TOLERANCE
    gap = (their_steps(reference, ids[:1, 9:], 1, caches[0]) - right[0, 9:]).abs().amax(-1)[0]
    assert gap[0] > 0.1


def test_transformers_answers_a_prompt_of_one_token_from_the_text_before(tiny):
    """It takes such a prompt for a next token: the convolution sees what its modules still hold."""
    reference, _, ids = tiny
    reference(ids, use_cache=False)  # which forgets
    fresh = greedy(reference, ids[:1, :1])
    greedy(reference, ids[1:, :9])
    assert greedy(reference, ids[:1, :1]) != fresh
    greedy(reference, ids[1:, :9])
    after = greedy(reference, ids[:1, :9])  # a longer one starts anew
    reference(ids, use_cache=False)
    assert greedy(reference, ids[:1, :9]) == after


@torch.no_grad()
def test_transformers_reads_a_prompt_in_two_pieces_as_another_text(tiny):
    """The second piece does not see the last three inputs of the convolution; ours does."""
    reference, ours, ids = tiny
    right, cache = reference(ids, use_cache=False).logits, DynamicCache(config=reference.config)
    pieces = ids.split([9, 14], dim=1)
    theirs = [reference(piece, past_key_values=cache, use_cache=True).logits for piece in pieces]
    assert (theirs[0] - right[:, :9]).abs().max() <= TOLERANCE
    assert (theirs[1] - right[:, 9:]).abs().max() > 0.1
    assert (in_pieces(ours, ids, [9]) - right).abs().max() <= TOLERANCE


@torch.no_grad()
def test_what_leaks_in_transformers_is_the_convolution_alone(tiny, monkeypatch):
    """In packed rows; with the same leak ours has the same logits."""
    reference, ours, ids = tiny
    packed = torch.cat((torch.arange(9), torch.arange(14))).expand_as(ids)
    theirs = reference(ids, position_ids=packed, use_cache=False).logits
    alone = reference(ids[:, 9:], use_cache=False).logits
    assert (theirs[:, 9:] - alone).abs().max() > 0.1
    assert (ours(ids, packed)[:, 9:] - alone).abs().max() <= TOLERANCE
    right = model.convolve
    monkeypatch.setattr(
        model,
        "convolve",
        lambda x, before, positions, *rest: right(x, before, positions + 9, *rest),
    )
    assert (ours(ids, packed) - theirs).abs().max() <= TOLERANCE


def test_padding_on_the_left_changes_what_transformers_answers(tiny):
    reference, ours, ids = tiny
    prompt = ids[:1, :7]
    padded = torch.cat((torch.zeros_like(prompt), prompt), dim=1)
    mask = torch.cat((torch.zeros_like(prompt), torch.ones_like(prompt)), dim=1)
    alone = greedy(reference, prompt)
    assert greedy(reference, padded, mask) != alone
    state, positions = model.State(ours.config), (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        new, answer = ours(padded, positions, state)[:, -1].argmax(-1, keepdim=True), []
        while len(answer) < 12:
            answer.append(new.item())
            new = ours(new, state=state)[:, -1].argmax(-1, keepdim=True)
    assert [answer] == alone


def test_from_folder_reads_shards_and_old_config_files(tiny, tmp_path):
    reference, ours, ids = tiny
    reference.save_pretrained(tmp_path, max_shard_size="20kB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    file = tmp_path / "config.json"
    values = json.loads(file.read_text())
    values["rope_theta"] = values.pop("rope_parameters")["rope_theta"]  # as in the files of 2024
    file.write_text(json.dumps(values | {"lru_width": None}))
    read = model.RecurrentGemma.from_folder(tmp_path)
    assert read.config.rope_theta == 10_000.0 and read.config.lru_width == 32
    with torch.no_grad():
        assert read(ids).equal(ours(ids))
    file.write_text(json.dumps(values | {"model_type": "gemma"}))
    with pytest.raises(ValueError, match="'gemma'"):
        model.RecurrentGemma.from_folder(tmp_path)


def test_where_a_configuration_is_silent_it_means_what_transformers_reads():
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    sizes = {name: TINY[name] for name in (*names, "num_attention_heads")}
    read = model.Config.from_transformers(sizes | {"model_type": "recurrent_gemma"})
    theirs = RecurrentGemmaConfig(**sizes)
    assert read == model.Config.from_transformers(theirs.to_dict() | {"block_types": BLOCK_TYPES})
    assert read.num_key_value_heads == 2 and read.lru_width == theirs.lru_width == 32
    assert read.layers_block_type == theirs.layers_block_type


BLOCK_TYPES = ("recurrent", "recurrent", "attention")
PLAIN = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}


@pytest.mark.parametrize(
    "change, says",
    [
        (GemmaConfig().to_dict(), "builds recurrent_gemma, not 'gemma'"),
        ({"model_type": None}, "builds recurrent_gemma, not None"),
        ({"hidden_activation": "silu"}, "does not build hidden_activation=silu"),
        ({"attention_bias": True}, "attention_bias=True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings=False"),
        ({"rope_parameters": PLAIN | {"rope_type": "linear"}}, "rope_type=linear"),
        ({"rope_parameters": PLAIN | {"partial_rotary_factor": 1.0}}, "partial_rotary_factor=1.0"),
        ({"block_types": ["recurrent", "mamba"]}, "block_types={'mamba'}"),
    ],
)
def test_what_it_cannot_build_is_refused_in_one_sentence(change, says):
    values = RecurrentGemmaConfig(**TINY).to_dict()
    model.Config.from_transformers(values)
    with pytest.raises(ValueError, match=says) as refused:
        model.Config.from_transformers(values | change)
    assert str(refused.value).count(". ") == 0 and str(refused.value).endswith(".")


@torch.no_grad()
def test_positions_and_states_of_other_rows_are_refused(tiny):
    _, ours, ids = tiny
    with pytest.raises(ValueError, match=r"as \(2, 23\), like input_ids, not as \(1, 23\)"):
        ours(ids, torch.arange(23)[None])
    for seen, new in [(ids, ids[:1]), (ids[:1], ids)]:
        state = model.State(ours.config)
        ours(seen, state=state)
        says = f"state has {len(seen)} rows, input_ids have {len(new)}: give other texts a state"
        with pytest.raises(ValueError, match=says):
            ours(new, state=state)


def test_weights_of_other_sizes_are_refused(tiny):
    values = RecurrentGemmaConfig(**TINY | {"num_hidden_layers": 3}).to_dict()
    other = model.RecurrentGemma(model.Config.from_transformers(values))
    with pytest.raises(RuntimeError, match="layers.3"):
        other.load_state_dict(tiny[1].state_dict())

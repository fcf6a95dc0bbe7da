"""Gemma 1, 2 and 3 (its text part) from scratch, to be read from top to bottom.

Nothing here is needed to use a Gemma.
Sources: the reports on Gemma (arXiv:2403.08295), Gemma 2 (arXiv:2408.00118) and Gemma 3
(arXiv:2503.19786); where they are silent, transformers' `modeling_gemma.py`, `modeling_gemma2.py`
and `modeling_gemma3.py`. Their names are kept, so that a state dict loads as it is.
Shapes: B batch, T new tokens, S tokens looked at (cached and new), D hidden_size, H heads,
K key-value heads, h head_dim, V vocabulary.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# What a configuration of each family means where it is silent, as in transformers.
SILENT = {
    "gemma": {},
    "gemma2": dict(
        query_pre_attn_scalar=256,
        sliding_window=4096,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
    ),
    "gemma3_text": dict(
        query_pre_attn_scalar=256, sliding_window=4096, rope_theta=1e6, rope_local_base_freq=1e4
    ),
}
KINDS = "full_attention", "sliding_attention"  # of layers: the whole text, or a window
# One layer of so many, the last, looks at the whole text; the others slide.
PATTERN = {"gemma": 1, "gemma2": 2, "gemma3_text": 6}
# What this file builds where transformers has a choice.
BUILT = dict(
    hidden_activation="gelu_pytorch_tanh",
    attention_bias=False,
    tie_word_embeddings=True,
    use_bidirectional_attention=False,
)


def check_built(values: dict) -> None:
    """Raises ValueError for a configuration with what this file does not build, naming it."""
    family = values["model_type"]
    if family == "gemma3":
        raise ValueError("A whole Gemma 3 also reads images: pass its text_config alone.")
    if family not in SILENT:
        raise ValueError(f"This file builds {', '.join(SILENT)}, not {family!r}.")
    built = BUILT | ({"attn_logit_softcapping": None} if family == "gemma3_text" else {})
    odd = {name: values[name] for name in built if values.get(name) not in (None, built[name])}
    rope = values.get("rope_parameters") or {}
    for part in filter(None, (rope, *map(rope.get, KINDS), values.get("rope_scaling"))):
        if part.get("rope_type", part.get("type", "default")) != "default":
            odd["rope_scaling"] = part
    if others := set(values.get("layer_types") or ()).difference(KINDS):
        odd["layer_types"] = others
    if odd:
        named = ", ".join(f"{name}={value}" for name, value in odd.items())
        raise ValueError(f"This file does not build {named}.")


@dataclass(frozen=True)
class Config:
    """The sizes of a model, in transformers' names. None: a family has no such part."""

    model_type: str  # "gemma", "gemma2" or "gemma3_text"
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    layer_types: list[str]  # of KINDS, one for each layer
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    rope_local_base_freq: float | None = None  # in place of rope_theta where a layer slides
    query_pre_attn_scalar: float | None = None
    sliding_window: int | None = None
    attn_logit_softcapping: float | None = None
    final_logit_softcapping: float | None = None

    @classmethod
    def from_transformers(cls, values: dict) -> Config:
        """The sizes in the dictionary of a configuration of transformers or a config.json.

        Raises: ValueError for what this file does not build, naming it.
        """
        check_built(values)
        family, full, sliding = values["model_type"], *KINDS
        given = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        every = values.get("sliding_window_pattern", PATTERN[family])
        kinds = [sliding if (at + 1) % every else full for at in range(values["num_hidden_layers"])]
        given["layer_types"] = values.get("layer_types") or kinds
        # transformers 5 has rope_parameters, in Gemma 3 for each kind of layer; older files have
        # the names of this class.
        rope = values.get("rope_parameters") or {}
        parts = {"rope_theta": rope.get(full) or rope, "rope_local_base_freq": rope.get(sliding)}
        for name, part in parts.items():
            if part and "rope_theta" in part:
                given[name] = part["rope_theta"]
        return cls(**SILENT[family] | given)

    @property
    def windows(self) -> tuple[int | None, ...]:
        """For each layer how many tokens it looks at, its own included; None: all."""
        sizes = dict(zip(KINDS, (None, self.sliding_window)))
        return tuple(sizes[kind] for kind in self.layer_types)

    @property
    def rope_bases(self) -> tuple[float, ...]:
        """For each layer the theta of its RoPE: Gemma 3 has a smaller one where layers slide."""
        bases = dict(zip(KINDS, (self.rope_theta, self.rope_local_base_freq or self.rope_theta)))
        return tuple(bases[kind] for kind in self.layer_types)


class RMSNorm(nn.Module):
    """x divided by its root mean square, times (1 + weight): a weight of 0 leaves the scale at 1.

    Source: Zhang and Sennrich 2019, arXiv:1910.07467; the 1 + is Gemma's.
    """

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (..., D).    Returns: (..., D), computed in float32."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide * (1.0 + self.weight.float())).type_as(x)


def rope_table(positions: Tensor, head_dim: int, theta: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle of every pair of numbers in a head, at every position.

    Pair i, the numbers i and i + h/2, turns by theta^(-2i/h) radians for each position.

    Args: positions: (B, T).    Returns: two tensors of shape (B, T, h), float32.
    Source: Su et al. 2021, arXiv:2104.09864 §3.2.
    """
    even = torch.arange(0, head_dim, 2, dtype=torch.float, device=positions.device)  # 2i
    speeds = 1.0 / theta ** (even / head_dim)  # (h/2)
    angles = positions[..., None].float() * speeds  # (B, T, h/2)
    angles = torch.cat((angles, angles), dim=-1)  # (B, T, h)
    return angles.cos(), angles.sin()


def rotate_half(x: Tensor) -> Tensor:
    """The second half of the last axis, negated, then the first half.

    Args: x: (..., h), h even.    Returns: (..., h).
    Source: Su et al. 2021, §3.4.2; halves as in Gemma's released code; the paper has neighbours.
    """
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def apply_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries or keys, turned to their positions.

    Args: x: (B, heads, T, h); cos, sin: (B, T, h).    Returns: (B, heads, T, h).
    """
    cos, sin = cos[:, None].type_as(x), sin[:, None].type_as(x)  # (B, 1, T, h)
    return x * cos + rotate_half(x) * sin


def soft_cap(x: Tensor, cap: float | None) -> Tensor:
    """cap * tanh(x / cap): nearly x where x is small, never beyond +-cap. Without a cap, x.

    Source: Bello et al. 2016, arXiv:1611.09940; Gemma 2 report §2 (attention 50, logits 30).
    """
    return x if cap is None else torch.tanh(x / cap) * cap


def causal_mask(num_tokens: int, num_keys: int, window: int | None, padding: Tensor) -> Tensor:
    """True where a token may look: at itself and back, at most `window` tokens, never padding.

    Args: padding: (B, S or more), 1 for a token, 0 for padding. All rows end at one token.
    Returns: (B, 1, T, S).
    """
    key = torch.arange(num_keys, device=padding.device)  # (S)
    query = key[num_keys - num_tokens :, None]  # (T, 1)
    visible = key <= query  # (T, S)
    if window is not None:
        visible &= query - key < window
    return visible & padding[:, None, None, -num_keys:].bool()


def attend(
    q: Tensor, k: Tensor, v: Tensor, visible: Tensor, scaling: float, cap: float | None
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention; scores are capped before they are masked.

    Args: q: (B, H, T, h); k, v: (B, K, S, h), each shared by H / K heads; visible: (B, 1, T, S).
    Returns: the mean of the values, (B, H, T, h), and the weights, (B, H, T, S), of sum 1 over S.
    Source: arXiv:1706.03762 §3.2.1; one key for several heads: arXiv:1911.02150 (multi-query),
    arXiv:2305.13245 (grouped).
    """
    group = q.shape[1] // k.shape[1]
    shared = (part[:, :, None].expand(-1, -1, group, -1, -1) for part in (k, v))
    k, v = (part.flatten(1, 2) for part in shared)  # (B, H, S, h)
    scores = soft_cap(q @ k.transpose(2, 3) * scaling, cap)  # (B, H, T, S)
    # The least float, not -inf: a padding token sees nothing, and its row must not become NaN.
    scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1, dtype=torch.float32).type_as(q)
    return weights @ v, weights


class Cache:
    """Keys and values of the tokens so far, layer by layer.

    A sliding layer keeps only what its next token can see.
    """

    def __init__(self, config: Config):
        self.windows = config.windows
        self.layers: list[tuple[Tensor, Tensor] | None] = [None] * config.num_hidden_layers
        self.padding: Tensor | None = None  # (B, tokens so far), 1 for a token and 0 for padding

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values, (B, K, S, h), after the new ones, (B, K, T, h), are kept too."""
        before = self.layers[layer] or (k[:, :, :0], v[:, :, :0])
        k, v = (torch.cat((old, new), dim=2) for old, new in zip(before, (k, v)))
        self.layers[layer] = k, v
        if self.windows[layer] is not None:  # a copy of the end, so that the rest can be freed
            start = max(0, k.shape[2] - self.windows[layer] + 1)
            self.layers[layer] = k[:, :, start:].clone(), v[:, :, start:].clone()
        return k, v

    @property
    def num_tokens(self) -> int:
        """How many tokens the model has seen."""
        return 0 if self.padding is None else self.padding.shape[1]

    @property
    def num_bytes(self) -> int:
        """Bytes of all keys and values that are held now."""
        parts = [part for pair in self.layers if pair for part in pair]
        return sum(part.numel() * part.element_size() for part in parts)


class Attention(nn.Module):
    """H heads that look back, over K keys and values.

    Multi-head attention has K = H, multi-query K = 1, grouped-query something between.
    Gemma 3 norms queries and keys: scores stay small, and need no cap.
    Source of the norm: Henry et al. 2020, arXiv:2010.04245; Gemma 3 report §2.
    """

    def __init__(self, config: Config, layer: int):
        super().__init__()
        self.layer, self.window = layer, config.windows[layer]
        self.head_dim, self.cap = config.head_dim, config.attn_logit_softcapping
        self.scaling = (config.query_pre_attn_scalar or config.head_dim) ** -0.5
        queries = config.num_attention_heads * config.head_dim
        keys = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(queries, config.hidden_size, bias=False)
        norm = RMSNorm if config.model_type == "gemma3_text" else nn.Identity  # nothing
        self.q_norm = norm(config.head_dim, config.rms_norm_eps)
        self.k_norm = norm(config.head_dim, config.rms_norm_eps)

    def forward(
        self, x: Tensor, rope: tuple[Tensor, Tensor], padding: Tensor, cache: Cache | None
    ) -> tuple:
        """What the heads found, (B, T, D), and their weights, (B, H, T, S).

        Args: x: (B, T, D); padding: (B, S or more).
        """
        heads = (*x.shape[:2], -1, self.head_dim)
        projections = self.q_proj, self.k_proj, self.v_proj
        q, k, v = (project(x).view(heads).transpose(1, 2) for project in projections)
        q, k = self.q_norm(q), self.k_norm(k)  # (B, H, T, h), (B, K, T, h)
        q, k = apply_rope(q, *rope), apply_rope(k, *rope)
        if cache is not None:
            k, v = cache.extend(self.layer, k, v)  # (B, K, S, h)
        visible = causal_mask(q.shape[2], k.shape[2], self.window, padding)
        mean, weights = attend(q, k, v, visible, self.scaling, self.cap)
        return self.o_proj(mean.transpose(1, 2).reshape(*x.shape[:2], -1)), weights


class MLP(nn.Module):
    """GeGLU: one projection opens and closes gates, by GELU in its tanh form, for the other one.

    Source: Shazeer 2020, arXiv:2002.05202.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (B, T, D).    Returns: (B, T, D)."""
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class Block(nn.Module):
    """Attention and MLP, each added to the stream.

    Gemma 1 norms what goes in; Gemma 2 and 3 also what comes out. Mind the names:
    `post_attention_layernorm` stands before the MLP in Gemma 1, after the attention in 2 and 3.
    """

    def __init__(self, config: Config, layer: int):
        super().__init__()
        sizes = config.hidden_size, config.rms_norm_eps
        self.has_post_norms = config.model_type != "gemma"
        self.input_layernorm, self.self_attn = RMSNorm(*sizes), Attention(config, layer)
        self.post_attention_layernorm, self.mlp = RMSNorm(*sizes), MLP(config)
        if self.has_post_norms:
            self.pre_feedforward_layernorm = RMSNorm(*sizes)
            self.post_feedforward_layernorm = RMSNorm(*sizes)

    def forward(
        self, x: Tensor, rope: tuple[Tensor, Tensor], padding: Tensor, cache: Cache | None
    ) -> tuple:
        """The stream after this block, (B, T, D), and the attention weights, (B, H, T, S).

        Args: x: (B, T, D); padding: (B, S or more).
        """
        seen, weights = self.self_attn(self.input_layernorm(x), rope, padding, cache)
        if not self.has_post_norms:
            x = x + seen
            return x + self.mlp(self.post_attention_layernorm(x)), weights
        x = x + self.post_attention_layernorm(seen)
        fed = self.mlp(self.pre_feedforward_layernorm(x))
        return x + self.post_feedforward_layernorm(fed), weights


@dataclass
class Output:
    """What a forward pass gives."""

    logits: Tensor  # (B, T, V)
    hidden_states: list[Tensor]  # (B, T, D), after the embedding and each layer, the last normed
    attentions: list[Tensor]  # of each layer (B, H, T, S), if asked for


class Backbone(nn.Module):
    """Embedding table, blocks, final norm."""

    def __init__(self, config: Config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, at) for at in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Gemma(nn.Module):
    """A decoder-only language model. Its head is the embedding table again: tied."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.model = Backbone(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.lm_head.weight = self.model.embed_tokens.weight

    @classmethod
    def from_folder(cls, folder: str | Path) -> Gemma:
        """A checkpoint of transformers: config.json, and safetensors, which are read as float32."""
        from safetensors.torch import load_file

        values = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
        model, weights = cls(Config.from_transformers(values)), {}
        for file in sorted(Path(folder).glob("*.safetensors")):
            weights |= load_file(file)
        # The files hold the tied table once.
        weights.setdefault("lm_head.weight", weights["model.embed_tokens.weight"])
        model.load_state_dict(weights)
        return model.eval()

    def forward(
        self, input_ids: Tensor, padding: Tensor = None, cache: Cache = None, with_attentions=False
    ) -> Output:
        """Logits and hidden states of the new tokens and, if asked for, their attention weights.

        Args:
            input_ids: (B, T), the new tokens.
            padding: (B, cached + T), 1 for a token, 0 for padding on the left; by default none new.
            cache: what was seen before, to which the new tokens are added.
        Raises: ValueError for a padding of another length.
        """
        num_tokens, past = input_ids.shape[1], 0 if cache is None else cache.num_tokens
        if padding is None:
            new = torch.ones_like(input_ids)
            padding = torch.cat((cache.padding, new), dim=1) if past else new
        if padding.shape[1] != past + num_tokens:
            raise ValueError(
                f"padding has {padding.shape[1]} columns; "
                f"{past} cached and {num_tokens} new tokens need as many."
            )
        positions = (padding.long().cumsum(-1) - 1).clamp(min=0)[:, -num_tokens:]  # (B, T)
        bases, head_dim = self.config.rope_bases, self.config.head_dim
        ropes = {base: rope_table(positions, head_dim, base) for base in set(bases)}
        x = self.model.embed_tokens(input_ids)  # (B, T, D)
        x = x * x.new_tensor(self.config.hidden_size**0.5)  # rounded to the dtype of x
        hidden_states, attentions = [x], []
        for block, base in zip(self.model.layers, bases):
            x, weights = block(x, ropes[base], padding, cache)
            hidden_states.append(x)
            if with_attentions:
                attentions.append(weights)
        if cache is not None:
            cache.padding = padding
        hidden_states[-1] = x = self.model.norm(x)
        logits = soft_cap(self.lm_head(x), self.config.final_logit_softcapping)
        return Output(logits, hidden_states, attentions)

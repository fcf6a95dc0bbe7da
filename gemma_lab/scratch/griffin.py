"""RecurrentGemma from scratch, to be read from top to bottom.

Two layers of three keep a state of constant size instead of keys and values; the third attends to
a short window. Nothing here is needed to use a RecurrentGemma.
Sources: the reports on Griffin (arXiv:2402.19427) and RecurrentGemma (arXiv:2404.07839); where
they are silent, transformers' `modeling_recurrent_gemma.py`. Its names are kept, so that a state
dict loads as it is.
Shapes: B batch, T new tokens, S tokens looked at (kept and new), D hidden_size, W lru_width,
H heads, K key-value heads, h head_dim, V vocabulary.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

C = 8.0  # in the exponent of a_t; Griffin report §2.4
# What this file builds where transformers has a choice.
BUILT = dict(
    hidden_activation="gelu_pytorch_tanh",
    attention_bias=False,
    tie_word_embeddings=True,
    rope_type="default",
    partial_rotary_factor=0.5,  # RoPE turns half of each head
)


def check_built(values: dict) -> None:
    """Raises ValueError for a configuration with what this file does not build, naming it."""
    if values.get("model_type") != "recurrent_gemma":
        raise ValueError(f"This file builds recurrent_gemma, not {values.get('model_type')!r}.")
    odd = {name: values[name] for name in BUILT if values.get(name) not in (None, BUILT[name])}
    if others := set(values.get("block_types") or ()).difference(BLOCKS):
        odd["block_types"] = others
    if odd:
        named = ", ".join(f"{name}={value}" for name, value in odd.items())
        raise ValueError(f"This file does not build {named}.")


@dataclass(frozen=True)
class Config:
    """The sizes of a model, in transformers' names."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int  # of the two halves of the MLP together: each is half as wide
    num_hidden_layers: int
    num_attention_heads: int  # also the number of blocks of a gate
    num_key_value_heads: int
    lru_width: int  # numbers in the state of a recurrent layer
    block_types: list[str] | tuple[str, ...] = ("recurrent", "recurrent", "attention")  # repeated
    attention_window_size: int = 2048  # tokens that a token looks at, itself included
    conv1d_width: int = 4
    logits_soft_cap: float = 30.0
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0

    @classmethod
    def from_transformers(cls, values: dict) -> Config:
        """The sizes in the dictionary of a configuration of transformers or a config.json.

        Raises: ValueError for what this file does not build, naming it.
        """
        # transformers 5 has rope_parameters; older files have rope_theta beside the other sizes.
        values = values | (values.get("rope_parameters") or {})
        check_built(values)
        given = {name: value for name, value in values.items() if value is not None}
        given.setdefault("num_key_value_heads", given["num_attention_heads"])
        given.setdefault("lru_width", given["hidden_size"])
        return cls(**{part.name: given[part.name] for part in fields(cls) if part.name in given})

    @property
    def layers_block_type(self) -> list[str]:
        """What each layer is: the pattern, repeated."""
        return [*self.block_types * self.num_hidden_layers][: self.num_hidden_layers]


def recurrence(a: Tensor, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """The states h_t = a_t * h_(t-1) + x_t, and the last of them: one step for each token.

    Args: a, x: (B, T, W); state: (B, W), the state before the first token.
    Returns: (B, T, W) and (B, W).
    """
    states = []
    for t in range(x.shape[1]):
        state = a[:, t] * state + x[:, t]  # (B, W)
        states.append(state)
    return torch.stack(states, dim=1), state


def scan(a: Tensor, x: Tensor) -> Tensor:
    """The states of `recurrence` from a state of 0, in log2(T) steps for all tokens together.

    Before a step, x[t] is what the last `step` inputs left at t, and a[t] is how much of the
    state before them is left there. A step joins two such spans. None writes in place, so that
    autograd can go back: a training is faster this way.

    Args: a, x: (B, T, W).    Returns: (B, T, W).
    Source: Hillis and Steele 1986, doi:10.1145/7902.7903; Blelloch 1990, §1.4 (recurrences).
    """
    step = 1
    while step < x.shape[1]:
        x = torch.cat((x[:, :step], x[:, step:] + a[:, step:] * x[:, :-step]), dim=1)
        a = torch.cat((a[:, :step], a[:, step:] * a[:, :-step]), dim=1)
        step *= 2
    return x


def convolve(
    x: Tensor, before: Tensor, positions: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Each number of a token, summed with the same number of the three tokens before, by weight.

    Nothing comes over the border of a document, as in Google's own code. In transformers the
    convolution alone sees three tokens back over it: the end of the document before, or padding.

    Args: x: (B, T, W); before: (B, 3, W), the inputs before x; positions: (B, T);
    weight: (W, 1, 4), the newest last; bias: (W).
    Returns: (B, T, W), and the last three inputs, (B, 3, W).
    """
    num_tokens, width = x.shape[1], weight.shape[-1]
    inputs, total = torch.cat((before, x), dim=1), bias  # (B, 3 + T, W)
    for back in range(width):
        start = width - 1 - back
        earlier = inputs[:, start : start + num_tokens] * (positions >= back)[..., None]
        total = total + earlier * weight[:, 0, start]
    return total, inputs[:, num_tokens:].clone()  # a copy, so that the rest can be freed


class RGLRU(nn.Module):
    """The real-gated linear recurrent unit: h_t = a_t * h_(t-1) + sqrt(1 - a_t^2) * (i_t * x_t).

    a_t = exp(-8 r_t softplus(Lambda)) says how much stays of each number of the state. Two gates
    between 0 and 1 depend on x_t: r_t for what is forgotten, i_t for what comes in. The root
    keeps the size of the state: where much stays, little comes in. (Its gradient has no bound
    where a_t is near 1; transformers sets one, for trainings.)
    Source: Griffin report §2.4.
    """

    def __init__(self, config: Config):
        super().__init__()
        heads, size = config.num_attention_heads, config.lru_width // config.num_attention_heads
        self.recurrent_param = nn.Parameter(torch.zeros(config.lru_width))  # Lambda
        self.input_gate_weight = nn.Parameter(torch.zeros(heads, size, size))
        self.input_gate_bias = nn.Parameter(torch.zeros(heads, size))
        self.recurrent_gate_weight = nn.Parameter(torch.zeros(heads, size, size))
        self.recurrent_gate_bias = nn.Parameter(torch.zeros(heads, size))

    def forward(self, x: Tensor, positions: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The states, (B, T, W), and the last of them, (B, W) in float32.

        Args: x: (B, T, W); positions: (B, T), 0 where the state starts anew; state: (B, W).
        """

        def gate(weight: Tensor, bias: Tensor) -> Tensor:
            """(B, T, W): a matrix of blocks on its diagonal, one for each head, and a sigmoid."""
            blocks = x.unflatten(-1, bias.shape)  # (B, T, H, W/H)
            return torch.sigmoid(torch.einsum("bthi,hij->bthj", blocks, weight) + bias).flatten(2)

        r = gate(self.recurrent_gate_weight, self.recurrent_gate_bias)
        i = gate(self.input_gate_weight, self.input_gate_bias)
        log_a = -C * r * F.softplus(self.recurrent_param)  # (B, T, W)
        is_first = positions[..., None] == 0  # (B, T, 1)
        a = torch.exp(log_a).masked_fill(is_first, 0)
        scale = torch.sqrt(1 - torch.exp(2 * log_a)).masked_fill(is_first, 1)
        states, state = recurrence(a.float(), (i * x * scale).float(), state)
        return states.type_as(x), state


class Recurrent(nn.Module):
    """Convolution and RG-LRU in one branch, a GELU in the other; their product is what comes out.

    Source: Griffin report §2.3.
    """

    def __init__(self, config: Config):
        super().__init__()
        hidden, width, self.conv1d_width = config.hidden_size, config.lru_width, config.conv1d_width
        self.linear_y, self.linear_x = nn.Linear(hidden, width), nn.Linear(hidden, width)
        self.linear_out = nn.Linear(width, hidden)
        self.conv_1d = nn.Conv1d(width, width, config.conv1d_width, groups=width)
        self.rg_lru = RGLRU(config)

    def forward(self, x: Tensor, positions: Tensor, kept: tuple | None) -> tuple:
        """What the layer says, (B, T, D), and what it keeps: (B, W) in float32 and (B, 3, W).

        Args: x: (B, T, D); positions: (B, T); kept: the same two from before, if any.
        """
        y, x = F.gelu(self.linear_y(x), approximate="tanh"), self.linear_x(x)  # (B, T, W)
        if kept is None:
            none = x.new_zeros(x.shape[0], self.conv1d_width - 1, x.shape[2])
            kept = none[:, 0].float(), none
        state, before = kept
        x, before = convolve(x, before, positions, self.conv_1d.weight, self.conv_1d.bias)
        x, state = self.rg_lru(x, positions, state)
        return self.linear_out(x * y), (state, before)


def apply_rope(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """Queries or keys, the first half of each turned to its position; the rest stays as it is.

    Of the n numbers that turn, i and i + n/2 are a pair: theta^(-2i/n) radians for each position.

    Args: x: (B, heads, T, h); positions: (B, T).    Returns: (B, heads, T, h).
    Source: Su et al. 2021, arXiv:2104.09864 §3.2; halves as in Gemma; the paper has neighbours.
    """
    num_turned = x.shape[-1] // 2
    even = torch.arange(0, num_turned, 2, dtype=torch.float, device=x.device)  # 2i
    speeds = 1.0 / theta ** (even / num_turned)  # (n/2)
    angles = positions[:, None, :, None].float() * speeds  # (B, 1, T, n/2)
    cos, sin = angles.cos().type_as(x), angles.sin().type_as(x)
    first, second = x[..., :num_turned].chunk(2, dim=-1)
    turned = first * cos - second * sin, second * cos + first * sin
    return torch.cat((*turned, x[..., num_turned:]), dim=-1)


def local_mask(positions: Tensor, num_keys: int, window: int) -> Tensor:
    """True where a token may look: at itself and back, at most `window` tokens of its document.

    Google's own code looks at one token more: its window does not count the token itself.

    Args: positions: (B, T).    Returns: (B, 1, T, S).
    """
    key = torch.arange(num_keys, device=positions.device)  # (S)
    back = key[num_keys - positions.shape[1] :, None] - key  # (T, S), how far back a key is
    return ((back >= 0) & (back < window) & (back <= positions[..., None]))[:, None]


class Attention(nn.Module):
    """H heads that look back over a short window, and share K keys and values: 1 in Google's.

    Source: arXiv:2004.05150 (local attention), arXiv:1911.02150 (one key for several heads).
    """

    def __init__(self, config: Config):
        super().__init__()
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.num_key_value_heads = config.num_key_value_heads
        self.window, self.theta = config.attention_window_size, config.rope_theta
        queries = config.num_attention_heads * self.head_dim
        keys = config.num_key_value_heads * self.head_dim
        self.q_proj = nn.Linear(config.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(queries, config.hidden_size)

    def forward(self, x: Tensor, positions: Tensor, kept: tuple | None) -> tuple:
        """What the heads found, (B, T, D), and the keys and values that the next token can see.

        Args: x: (B, T, D); positions: (B, T); kept: keys and values from before, if any,
        (B, K, at most window - 1, h) each.
        """
        heads = (*x.shape[:2], -1, self.head_dim)
        projections = self.q_proj, self.k_proj, self.v_proj
        q, k, v = (project(x).view(heads).transpose(1, 2) for project in projections)
        q, k = (apply_rope(part, positions, self.theta) for part in (q, k))
        if kept is not None:
            k, v = (torch.cat(parts, dim=2) for parts in zip(kept, (k, v)))  # (B, K, S, h)
        num_keys = k.shape[2]
        start = max(0, num_keys - self.window + 1)
        kept = tuple(part[:, :, start:].clone() for part in (k, v))
        q = q.unflatten(1, (self.num_key_value_heads, -1))  # (B, K, H/K, T, h)
        scores = q @ k[:, :, None].mT * self.head_dim**-0.5  # (B, K, H/K, T, S)
        visible = local_mask(positions, num_keys, self.window)[:, None]  # (B, 1, 1, T, S)
        scores = scores.masked_fill(~visible, float("-inf"))  # each token sees itself at least
        weights = scores.softmax(-1, dtype=torch.float32).type_as(v)
        mean = (weights @ v[:, :, None]).flatten(1, 2)  # (B, H, T, h)
        return self.o_proj(mean.transpose(1, 2).flatten(2)), kept


BLOCKS = {"recurrent": Recurrent, "attention": Attention}


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


class MLP(nn.Module):
    """GeGLU: one projection opens and closes gates, by GELU in its tanh form, for the other one.

    Source: Shazeer 2020, arXiv:2002.05202; Griffin report §2.2, with biases.
    """

    def __init__(self, config: Config):
        super().__init__()
        hidden, width = config.hidden_size, config.intermediate_size // 2
        self.gate_proj, self.up_proj = nn.Linear(hidden, width), nn.Linear(hidden, width)
        self.down_proj = nn.Linear(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (B, T, D).    Returns: (B, T, D)."""
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class Block(nn.Module):
    """A recurrence or an attention over the tokens, then an MLP, each added to the stream."""

    def __init__(self, config: Config, kind: str):
        super().__init__()
        sizes = config.hidden_size, config.rms_norm_eps
        self.temporal_pre_norm, self.temporal_block = RMSNorm(*sizes), BLOCKS[kind](config)
        self.channel_pre_norm, self.mlp_block = RMSNorm(*sizes), MLP(config)

    def forward(self, x: Tensor, positions: Tensor, kept: tuple | None) -> tuple:
        """The stream after this block, (B, T, D), and what the block keeps."""
        seen, kept = self.temporal_block(self.temporal_pre_norm(x), positions, kept)
        x = x + seen
        return x + self.mlp_block(self.channel_pre_norm(x)), kept


class State:
    """All that a model keeps of a text. It stops growing once the windows are full.

    A recurrent layer keeps its state, in float32, and the last three inputs of its convolution; a
    layer that attends keeps the keys and values of the last window - 1 tokens. transformers keeps
    the first two in the modules of the model: there a model is in one text at a time.
    """

    def __init__(self, config: Config):
        self.layers: list[tuple[Tensor, Tensor] | None] = [None] * config.num_hidden_layers
        self.next_positions: Tensor | None = None  # (B, 1)

    @property
    def num_bytes(self) -> int:
        """Bytes of all that the layers keep now."""
        return sum(part.nbytes for pair in self.layers if pair for part in pair)


class Backbone(nn.Module):
    """Embedding table, blocks, final norm."""

    def __init__(self, config: Config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, kind) for kind in config.layers_block_type)
        self.final_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, input_ids: Tensor, positions: Tensor, state: State) -> Tensor:
        """The stream after the last block, normed, (B, T, D). `state` is brought up to date."""
        x = self.embed_tokens(input_ids)  # (B, T, D)
        # As in transformers, the factor has the few digits of bfloat16, whatever the model has.
        x = x * torch.tensor(x.shape[-1] ** 0.5, dtype=torch.bfloat16).to(x)
        for at, block in enumerate(self.layers):
            x, state.layers[at] = block(x, positions, state.layers[at])
        state.next_positions = positions[:, -1:] + 1
        return self.final_norm(x)


class RecurrentGemma(nn.Module):
    """The model of the RecurrentGemma report, §2. Its head is the embedding table again: tied."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.model = Backbone(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.lm_head.weight = self.model.embed_tokens.weight

    @classmethod
    def from_folder(cls, folder: str | Path) -> RecurrentGemma:
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

    def forward(self, input_ids: Tensor, positions: Tensor = None, state: State = None) -> Tensor:
        """Logits of the new tokens, (B, T, V).

        Args:
            input_ids: (B, T), the new tokens.
            positions: (B, T), of each token in its document: 0, 1, 2 and so on, and 0 again where
                another document begins; 0 for padding, which stands on the left. By default all
                tokens go on with the text in `state`.
            state: what was seen before, which this call brings up to date.
        Raises: ValueError for positions of another shape, or a state of another batch.
        """
        state = State(self.config) if state is None else state
        begin, count = state.next_positions, torch.ones_like(input_ids).cumsum(-1) - 1
        if begin is not None and len(begin) != len(input_ids):
            raise ValueError(
                f"The state has {len(begin)} rows, input_ids have {len(input_ids)}: "
                "give other texts a state of their own."
            )
        if positions is None:
            positions = count if begin is None else begin + count  # (B, T)
        if positions.shape != input_ids.shape:
            right, given = tuple(input_ids.shape), tuple(positions.shape)
            raise ValueError(f"Give positions as {right}, like input_ids, not as {given}.")
        cap = self.config.logits_soft_cap
        logits = self.lm_head(self.model(input_ids, positions, state))
        return torch.tanh(logits / cap) * cap

"""The table of models and their sizes.

Sizes are those of the checkpoints' `config.json` files on the Hub; the parameter counts that follow from them equal the
Gemma and Gemma 2 reports (arXiv:2403.08295, arXiv:2408.00118), but for the reports' 128 extra embedding rows.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

GEMMA_TERMS = "Gemma Terms of Use (https://ai.google.dev/gemma/terms)"


@dataclass(frozen=True)
class ModelInfo:
    """One checkpoint, in the names of its `transformers` configuration."""

    hub_id: str
    family: str  # transformers' model_type: "gemma", "gemma2"
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int = 256_000
    licence: str = GEMMA_TERMS
    pocket: str | None = None  # the pocket model that stands in for it
    mirror: str | None = None  # a copy on the Hub that is not gated; the licence is the same

    @property
    def is_instruct(self) -> bool:
        """True for `-it` models, which answer a chat; base models continue a text."""
        return self.hub_id.endswith("-it")

    @property
    def num_embedding_parameters(self) -> int:
        """Parameters of the embedding table, which is also the output head (tied)."""
        return self.vocab_size * self.hidden_size

    @property
    def num_linear_parameters(self) -> int:
        """Parameters of all linear layers in the stack: what quantization shrinks and LoRA adapts."""
        return self.num_hidden_layers * sum(rows * columns for rows, columns in self.linear_shapes.values())

    @property
    def num_parameters(self) -> int:
        """All parameters: embedding, linear layers, and one weight a channel for each norm."""
        norms = {"gemma": 2, "gemma2": 4}[self.family] * self.num_hidden_layers + 1
        return self.num_embedding_parameters + self.num_linear_parameters + norms * self.hidden_size

    @property
    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """(out_features, in_features) of the seven linear layers of one block."""
        queries, keys = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        return {
            "q_proj": (queries, self.hidden_size),
            "k_proj": (keys, self.hidden_size),
            "v_proj": (keys, self.hidden_size),
            "o_proj": (self.hidden_size, queries),
            "gate_proj": (self.intermediate_size, self.hidden_size),
            "up_proj": (self.intermediate_size, self.hidden_size),
            "down_proj": (self.hidden_size, self.intermediate_size),
        }


_SHAPES = {  # layers, hidden_size, heads, KV heads, head_dim, intermediate_size
    "gemma-2b": ("gemma", 18, 2048, 8, 1, 256, 16384),
    "gemma-7b": ("gemma", 28, 3072, 16, 16, 256, 24576),
    "gemma-2-2b": ("gemma2", 26, 2304, 8, 4, 256, 9216),
    "gemma-2-9b": ("gemma2", 42, 3584, 16, 8, 256, 14336),
    "gemma-2-27b": ("gemma2", 46, 4608, 32, 16, 128, 36864),
}


_POCKETS = {
    "gemma-2b": "pocket-small", "gemma-2b-it": "pocket-small-it", "gemma-7b-it": "pocket-large-it",
    "gemma-2-2b-it": "pocket-gemma2-it",
}  # fmt: skip


_MIRRORED = {"gemma-2b-it", "gemma-7b-it", "gemma-2-2b-it", "gemma-2-9b-it", "gemma-2-27b-it"}


def _rows():
    for stem, (family, layers, hidden, heads, kv_heads, head_dim, intermediate) in _SHAPES.items():
        for name in (stem, f"{stem}-it"):
            yield ModelInfo(
                f"google/{name}", family, hidden, layers, heads, kv_heads, head_dim, intermediate,
                pocket=_POCKETS.get(name), mirror=f"unsloth/{name}" if name in _MIRRORED else None,
            )  # fmt: skip


CATALOG = {info.hub_id: info for info in _rows()}


def lookup(hub_id: str) -> ModelInfo:
    """The catalog's entry for `hub_id`.

    Raises: ValueError, naming the closest ids.
    """
    if hub_id in CATALOG:
        return CATALOG[hub_id]
    close = difflib.get_close_matches(hub_id, CATALOG, n=3, cutoff=0.3) or list(CATALOG)
    raise ValueError(f"{hub_id!r} is not in the catalog; did you mean {' or '.join(close)}?")


def info_of(folder) -> ModelInfo:
    """The sizes of a Gemma or Gemma 2 checkpoint in a local folder, read from its config.json."""
    config = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
    names = (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
        "intermediate_size", "vocab_size",
    )  # fmt: skip
    return ModelInfo(Path(folder).name, config["model_type"], **{name: config[name] for name in names})

"""The table of models, `data/models.json`, and `find`, which knows any other model from its config.

The sizes are those of the checkpoints' `config.json` files on the Hub. The parameter counts that
follow from them equal the reports (arXiv:2403.08295, arXiv:2408.00118, arXiv:2503.19786,
arXiv:2404.07839), but for the 128 extra embedding rows of the first two.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from gemma_lab import access, failures, tokens

DATA = Path(__file__).with_name("data")
# Pocket models: what each stands for; of those outside the wheel also files, with bytes and sha256.
POCKETS = json.loads((DATA / "pocket_models.json").read_text(encoding="utf-8"))
# Families whose blocks are all alike: how many norms a block has, of hidden_size and of head_dim.
UNIFORM = {"gemma": (2, 0), "gemma2": (4, 0), "gemma3_text": (4, 2)}
AUTO_CLASSES = ("CausalLM", "ImageTextToText", "Seq2SeqLM")  # AutoModelFor...; the first there is


class ModelError(failures.OneLine, ValueError):
    """No such model, or none that can be read."""


@dataclass(frozen=True)
class Layer:
    """One layer's share of the cache: what it keeps for a token, and for how many tokens."""

    num_key_value_heads: int
    head_dim: int
    window: int | None  # None: every token


@dataclass(frozen=True)
class ModelInfo:
    """One checkpoint. What its text config holds is an attribute: `hidden_size`, `head_dim`, ..."""

    hub_id: str
    config: dict = field(repr=False)  # of the text part, in the names of transformers
    name: str = ""
    released: str = ""  # year and month
    part: str = ""  # "text" where the table leaves out what sees and hears
    pocket: str | None = None  # the pocket model that stands in for it
    mirror: str | None = None  # a copy on the Hub that is not gated; the licence is the same
    whole: dict | None = field(default=None, repr=False)  # the config with its other parts
    stored_as: str = ""  # "int8", "nf4", ... where the checkpoint is quantized already
    is_variant: bool = False  # for one task or of another architecture; Gemma 1 to 4 are none

    def __getattr__(self, name: str):
        config = self.__dict__.get("config", {})
        if name in config:
            return config[name]
        what = f"{name} needs a number that" if hasattr(type(self), name) else f"no {name!r}:"
        raise AttributeError(f"{what} the config lacks; it has {', '.join(config)}")

    @property
    def family(self) -> str:
        """transformers' model_type: "gemma", "gemma2", "gemma3_text", ..."""
        return self.config["model_type"]

    @property
    def num_embedding_parameters(self) -> int:
        """Parameters of the embedding table, which is Gemma's output head as well (tied)."""
        return self.vocab_size * self.hidden_size

    @property
    def num_parameters(self) -> int:
        """All parameters, a tied head counted once.

        Raises, as the next two: ValueError, if transformers has no class for it that writes text.
        """
        return self._counts[0]

    @property
    def num_linear_parameters(self) -> int:
        """Parameters of all linear layers but the head: what quantization shrinks."""
        return self._counts[1]

    @property
    def num_linear_rows(self) -> int:
        """Output rows of these layers: int8 keeps a scale for each."""
        return self._counts[2]

    @property
    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """(out_features, in_features) of the seven linear layers of a block of Gemma 1, 2 or 3."""
        queries = self.num_attention_heads * self.head_dim
        keys = self.num_key_value_heads * self.head_dim
        return {
            "q_proj": (queries, self.hidden_size),
            "k_proj": (keys, self.hidden_size),
            "v_proj": (keys, self.hidden_size),
            "o_proj": (self.hidden_size, queries),
            "gate_proj": (self.intermediate_size, self.hidden_size),
            "up_proj": (self.intermediate_size, self.hidden_size),
            "down_proj": (self.hidden_size, self.intermediate_size),
        }

    @functools.cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that keep keys and values of their own, as transformers' cache has them.

        The last layers of Gemma 3n and 4 share, recurrent ones keep none; what a decoder keeps of
        an encoder is left out. Imports transformers.
        """
        from transformers import AutoConfig
        from transformers.cache_utils import DynamicCache, DynamicLayer

        config = AutoConfig.for_model(**self.config)
        kinds = getattr(config, "layers_block_type", None)  # of RecurrentGemma
        found = []
        for at, kept in enumerate(DynamicCache(config=config).layers):
            if not isinstance(kept, DynamicLayer) or (kinds and kinds[at] != "attention"):
                continue
            sizes = config.per_layer_config[at]
            heads = getattr(sizes, "num_key_value_heads", None) or config.num_attention_heads
            size = getattr(sizes, "head_dim", None)
            size = size or config.hidden_size // config.num_attention_heads
            found.append(Layer(heads, size, getattr(kept, "sliding_window", None)))
        return tuple(found)

    @functools.cached_property
    def _counts(self) -> tuple[int, int, int]:
        """All parameters, those of linear layers, and the rows of these."""
        is_tied = self.config.get("tie_word_embeddings", True)
        is_plain = is_tied and not self.config.get("attention_bias")
        if self.whole or self.family not in UNIFORM or not is_plain:
            return _count_on_meta(self)
        shapes, count = self.linear_shapes.values(), self.num_hidden_layers
        wide, narrow = UNIFORM[self.family]
        norms = count * (wide * self.hidden_size + narrow * self.head_dim) + self.hidden_size
        linear = count * sum(out * into for out, into in shapes)
        rows = count * sum(out for out, _ in shapes)
        return self.num_embedding_parameters + linear + norms, linear, rows


def json_lines(path) -> list[dict]:
    """The rows of a file with one JSON object a line; a bare name is one of the course's own."""
    lines = DATA.joinpath(path).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _table() -> dict[str, ModelInfo]:
    pockets = {entry["stands_for"]: name for name, entry in POCKETS.items()}
    pockets["google/gemma-3-270m"] = pockets["google/gemma-2b"]  # the small base model
    table = {}
    for row in json.loads((DATA / "models.json").read_text(encoding="utf-8")):
        whole = row.get("whole")
        config = whole["text_config"] if whole else row["config"]
        about = config, row["name"], row["released"], row.get("part", "")
        is_variant = row.get("is_variant", False)
        for hub_id, mirror in row["repositories"].items():
            pocket = pockets.get(hub_id)
            table[hub_id] = ModelInfo(hub_id, *about, pocket, mirror, whole, is_variant=is_variant)
    return table


_TABLE = _table()
CATALOG = {hub_id: info for hub_id, info in _TABLE.items() if not info.is_variant}  # Gemma 1 to 4
VARIANTS = {hub_id: info for hub_id, info in _TABLE.items() if info.is_variant}
_BY_MIRROR = {info.mirror: info for info in _TABLE.values() if info.mirror}


def known(model: str) -> ModelInfo | None:
    """The table's entry for a repository or its mirror; None where there is none."""
    return _TABLE.get(model) or _BY_MIRROR.get(model)


def find(model: str | Path) -> ModelInfo:
    """The sizes of a model: from the table, a folder's config.json, or that of a repository.

    Args: model: an id such as "google/gemma-2b-it", one of your own, or a checkpoint's folder. An
        id that the table lacks is asked of the Hub, with your token.
    Raises: ModelError, naming the closest ids, or what is wrong with the folder.
    """
    name = str(model or "")
    if name and Path(name).is_dir():
        return _from_file(Path(name).name, Path(name, "config.json"))
    if info := known(name):
        return info
    close = difflib.get_close_matches(name, _TABLE, n=3, cutoff=0.6)
    advice = f" Did you mean {' or '.join(close)}?" if close else ""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII):
        raise ModelError(f"{name!r} is no folder here and no repository.{advice}")
    found = access.check_access(name, tokens.find_token())
    if found.status == "bad-token":  # what is public needs none
        found = access.check_access(name)
    if found.status not in ("ok", "no-network"):
        raise ModelError(f"{name} is not in the catalog.{advice} {found.advice}")
    from huggingface_hub import hf_hub_download

    kept = None
    for file in ("config.json", "adapter_config.json"):
        if kept:
            break
        with contextlib.suppress(OSError, ValueError):  # not there, not kept here, or no such name
            kept = hf_hub_download(name, file, local_files_only=found.status != "ok")
    if kept:
        return _from_file(name, Path(kept).with_name("config.json"))
    why = found.advice if found.status != "ok" else "Its config.json cannot be had."
    raise ModelError(f"{name} is not in the catalog.{advice} {why}")


def read_config(name: str, path: Path) -> dict:
    """What a checkpoint's config.json says. Raises: ModelError where it is none of a model."""
    file = path if path.is_file() else path.with_name("adapter_config.json")
    if not file.is_file():
        raise ModelError(f"{name} holds no config.json, so it is no checkpoint of transformers.")
    try:
        values = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ModelError(f"The config of {name} cannot be read: {error}.") from None
    if file != path:
        base = values.get("base_model_name_or_path") or "the model that it was trained on"
        raise ModelError(f"{name} is a LoRA adapter: load {base}, and the adapter onto it.")
    if "model_type" not in values:
        raise ModelError(f"The config of {name} cannot be read: it names no model_type.")
    return values


def _from_file(name: str, path: Path) -> ModelInfo:
    """What a config.json says, completed with transformers' defaults."""
    values = read_config(name, path)
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        config = AutoConfig.for_model(**values)
        text = config.get_text_config()
        # some families have other names of their own, such as n_layer, for the usual ones
        usual = {usual: getattr(text, usual) for usual in text.attribute_map}
        whole = None if text is config else config.to_dict()
    except (ValueError, KeyError, TypeError, AttributeError, StrictDataclassError) as error:
        why = " ".join(str(error).split())[:120].rstrip(".")
        raise ModelError(f"The config of {name} cannot be read: {why}; save it anew.") from None
    part = "text" if whole and _build(whole) is None else ""
    complete = {**text.to_dict(), **usual}
    return ModelInfo(name, complete, part=part, whole=whole, stored_as=_stored_as(values))


def _stored_as(values: dict) -> str:
    """The precision that a quantized checkpoint is stored in; "" for an ordinary one."""
    stored = values.get("quantization_config") or {}
    if stored.get("load_in_8bit"):
        return "int8"
    if stored.get("load_in_4bit"):
        return stored.get("bnb_4bit_quant_type", "fp4")
    return stored.get("quant_method", "")


def _build(config: dict):
    """The model as transformers builds it, on the meta device: nothing is allocated.

    None where a library is missing, such as timm, which sees for Gemma 3n.
    Raises: ValueError where transformers has no class that writes text.
    """
    import torch
    import transformers

    built = transformers.AutoConfig.for_model(**config)
    names = AUTO_CLASSES[::-1] if built.is_encoder_decoder else AUTO_CLASSES
    for name in names:
        auto = getattr(transformers, f"AutoModelFor{name}")
        if type(built) in auto._model_mapping:
            with torch.device("meta"), contextlib.suppress(ImportError):
                return auto.from_config(built)
            return None
    raise ModelError(f"transformers has no class that writes text for {built.model_type!r}.")


def _count_on_meta(info: ModelInfo) -> tuple[int, int, int]:
    """All parameters, those of linear layers, the rows of these; maybe of the text part."""
    import torch
    from transformers.pytorch_utils import Conv1D

    model = _build(info.config if info.part or not info.whole else info.whole)
    head, kinds = model.get_output_embeddings(), (torch.nn.Linear, Conv1D)  # GPT-2 has Conv1D
    linear = [m for m in model.modules() if isinstance(m, kinds) and m is not head]
    numbers = sum(module.weight.numel() for module in linear)
    rows = sum(getattr(module, "nf", None) or module.out_features for module in linear)
    return model.num_parameters(), numbers, rows

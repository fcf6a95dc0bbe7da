"""The table of models against transformers on the meta device."""

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, GemmaConfig

from gemma_lab import catalog, memory

NAMES = [
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
]


REPORTED = {"gemma-2b": 1_981_884_416, "gemma-7b": 7_751_248_896, "gemma-2-2b": 2_024_517_888,
            "gemma-2-9b": 8_324_201_984, "gemma-2-27b": 26_047_480_320}  # fmt: skip


@pytest.mark.parametrize("name", REPORTED)
def test_parameters_equal_transformers_and_the_reports(name):
    info = catalog.find(f"google/{name}")
    config_class = {"gemma": GemmaConfig, "gemma2": Gemma2Config}[info.family]
    config = config_class(vocab_size=info.vocab_size, **{key: getattr(info, key) for key in NAMES})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert info.num_parameters == sum(p.numel() for p in model.parameters())
    assert info.num_parameters - info.num_embedding_parameters == REPORTED[name]


def test_unknown_names_are_answered_with_near_ones():
    with pytest.raises(ValueError, match="gemma-2b-it"):
        catalog.find("google/gemma2b-it")
    with pytest.raises(ValueError, match="not 'int4'"):
        memory.weight_bytes(catalog.find("google/gemma-2b"), "int4")

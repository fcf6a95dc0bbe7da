"""`data/models.json`: configurations of the real models, against the catalog, the reports and transformers."""

import inspect
import json
from importlib.resources import files

import pandas
import pytest
import torch
import transformers
from transformers.models.gemma3.modeling_gemma3 import Gemma3Attention

from gemma_lab import catalog

ROWS = {
    row["name"]: row for row in json.loads(files("gemma_lab").joinpath("data/models.json").read_text(encoding="utf-8"))
}
IN_CATALOG = [name for name, row in ROWS.items() if row["hub_id"] in catalog.CATALOG]
# Millions of parameters without embeddings: the Gemma 3 report, arXiv:2503.19786, table 1.
GEMMA_3 = {"Gemma 3 1B": 698, "Gemma 3 4B": 3_209, "Gemma 3 27B": 25_600}


def config_of(name):
    return getattr(transformers, ROWS[name]["config_class"])(**ROWS[name]["config"])


@pytest.mark.parametrize("name", IN_CATALOG)
def test_gemma_1_and_2_are_those_of_the_catalog(name):
    config, info = config_of(name), catalog.find(ROWS[name]["hub_id"])
    for field in (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "head_dim",
    ):  # fmt: skip
        assert getattr(config, field) == getattr(info, field), field
    assert len(IN_CATALOG) == 5


@pytest.mark.parametrize("name", GEMMA_3)
def test_gemma_3_has_the_reported_parameters(name):
    with torch.device("meta"):
        model = transformers.Gemma3ForCausalLM(config_of(name))
    table = model.get_input_embeddings().weight.numel()
    assert (model.num_parameters() - table) / 1e6 == pytest.approx(GEMMA_3[name], abs=1)


@pytest.mark.parametrize("name, pattern, window, context, shared, billions", [
    ("Gemma 2 9B", 2, 4096, 8192, 0, (9.2, 9.3)),
    ("Gemma 3 1B", 6, 512, 32768, 0, (0.99, 1.01)), ("Gemma 3 4B", 6, 1024, 131072, 0, (3.8, 4.0)),
    ("Gemma 3 27B", 6, 1024, 131072, 0, (27, 27.1)), ("Gemma 3n E4B", 5, 512, 32768, 15, (6.5, 8)),
    ("Gemma 4 E4B", 6, 512, 131072, 18, (7, 8)), ("Gemma 4 31B", 6, 1024, 262144, 0, (30, 31.5)),
])  # fmt: skip
def test_what_decides_the_cache(name, pattern, window, context, shared, billions):
    """Every `pattern`-th layer is global; the numbers are from the reports and conversion scripts."""
    config = config_of(name)
    kinds = [
        "full_attention" if at % pattern == pattern - 1 else "sliding_attention" for at in range(config.num_hidden_layers)
    ]
    assert config.layer_types == kinds
    assert (config.sliding_window, config.max_position_embeddings) == (window, context)
    assert getattr(config, "num_kv_shared_layers", 0) == shared
    with torch.device("meta"):
        parameters = transformers.AutoModelForCausalLM.from_config(config).num_parameters()
    assert billions[0] < parameters / 1e9 < billions[1]


def test_the_talks_table_of_gemma_2_is_whole():
    scores = pandas.read_csv(files("gemma_lab").joinpath("data/benchmarks.csv"))
    scores = scores[scores["table"] == "gemma2"]
    means = scores.groupby("model")["score"].agg(["count", "sum"]).round(1)
    assert means.to_dict("index") == {
        "Gemma 2 9B": {"count": 6, "sum": 366.8}, "Gemma 2 27B": {"count": 6, "sum": 404.6},
        "Llama 3 8B": {"count": 4, "sum": 255.4}, "Llama 3 70B": {"count": 2, "sum": 160.8},
        "Grok-1 314B": {"count": 4, "sum": 223.0},
    }  # fmt: skip
    assert scores["mark"].dropna().tolist() == ["8-shot", "0-shot"]


def test_gemma_4_is_of_the_size_in_its_name():
    with torch.device("meta"):
        model = transformers.Gemma4ForCausalLM(config_of("Gemma 4 31B"))
    assert model.num_parameters() / 1e9 == pytest.approx(31, abs=1)


def test_every_row_says_where_it_is_from():
    assert all(row["source"].startswith("https://") and row["released"] >= "2024-02" for row in ROWS.values())


def test_gemma_3_norms_queries_and_keys_and_caps_no_scores():
    assert "self.q_norm" in inspect.getsource(Gemma3Attention) and "self.k_norm" in inspect.getsource(Gemma3Attention)
    assert config_of("Gemma 3 4B").attn_logit_softcapping is None

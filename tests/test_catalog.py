"""`find` and the table against transformers on the meta device, and against the reports."""

import inspect
import json
import os
from importlib.resources import files

import pytest
import torch
from hub_stand_in import Hub
from hypothesis import given, settings
from hypothesis import strategies as st
from models import REPORTED
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSeq2SeqLM,
)
from transformers.models.gemma3.modeling_gemma3 import Gemma3Attention
from transformers.pytorch_utils import Conv1D

from gemma_lab import catalog, loading
from gemma_lab.hardware import A100, T4

ROWS = json.loads(files("gemma_lab").joinpath("data/models.json").read_text(encoding="utf-8"))
ALL = catalog.CATALOG | catalog.VARIANTS
BY_NAME = {info.name: info for info in ALL.values()}
# Millions of parameters without the table: the Gemma 3 report, arXiv:2503.19786, table 1.
GEMMA_3 = {"Gemma 3 270M": 100, "Gemma 3 1B": 698, "Gemma 3 4B": 3_209, "Gemma 3 27B": 25_600}
# Billions of parameters of the text part: ranges around the sizes that Google names.
BILLIONS = {"Gemma 3n E4B": (6.5, 7.5), "Gemma 4 E4B": (7, 8), "Gemma 4 31B": (30, 31.5)}
BILLIONS["PaliGemma 3B"] = (2.9, 3)  # with what sees; "sub-3B": arXiv:2407.07726
# CodeGemma has "the same architectures as the Gemma model family": arXiv:2406.11409, section 1.
SAME_AS = {"CodeGemma 2B": "Gemma 2B", "CodeGemma 7B": "Gemma 7B"}
SAME_AS["ShieldGemma 2B"] = "Gemma 2 2B"  # "built upon Gemma2": arXiv:2407.21772
# Billions of parameters without and in the table; layers, heads, widths of model and recurrence,
# window: arXiv:2404.07839, table 1, which cuts 0.655 to 0.65.
RECURRENT = {
    "RecurrentGemma 2B": (2.03, 0.655, 26, 10, 2560, 2560, 2048),
    "RecurrentGemma 9B": (7.53, 1.05, 38, 16, 4096, 4096, 2048),
}
TOKEN = "hf_" + "x" * 34


def on_meta(config: dict):
    """The model as transformers builds it; no memory is taken."""
    with torch.device("meta"):
        kind = AutoModelForImageTextToText if "vision_config" in config else AutoModelForCausalLM
        return kind.from_config(AutoConfig.for_model(**config))


def counted(model) -> tuple[int, int, int]:
    """All parameters; those of linear layers without the head; the rows of these."""
    head = model.get_output_embeddings()
    kinds = (torch.nn.Linear, Conv1D)  # the second is GPT-2's, with its weight the other way round
    linear = [m for m in model.modules() if isinstance(m, kinds) and m is not head]
    rows = sum(m.weight.shape[isinstance(m, Conv1D)] for m in linear)
    sizes = sum(m.weight.numel() for m in linear), rows
    return sum(p.numel() for p in model.parameters()), *sizes


def sizes_of(info) -> tuple[int, int, int]:
    return info.num_parameters, info.num_linear_parameters, info.num_linear_rows


@pytest.mark.parametrize("name", BY_NAME)
def test_every_row_counts_as_transformers_does(name):
    info = BY_NAME[name]
    assert sizes_of(info) == counted(on_meta(info.whole or info.config))


def test_every_row_is_held_to_a_size_that_somebody_else_reports():
    """A new row needs its number: REPORTED in models.py, or one of the tables above."""
    held = {catalog.find(hub_id).name for hub_id in REPORTED} | GEMMA_3.keys() | BILLIONS.keys()
    held |= SAME_AS.keys() | RECURRENT.keys()
    assert set(BY_NAME) - held == set()
    for name, (low, high) in BILLIONS.items():
        assert low < BY_NAME[name].num_parameters / 1e9 < high, name


def test_a_row_without_a_size_names_it():
    config = {name: size for name, size in BY_NAME["Gemma 2B"].config.items() if name != "head_dim"}
    with pytest.raises(AttributeError, match="num_parameters needs a number that the config lacks"):
        _ = catalog.ModelInfo("mine", config).num_parameters


@pytest.mark.parametrize("hub_id", REPORTED)
def test_gemma_1_and_2_have_the_reported_parameters(hub_id):
    info = catalog.find(hub_id)
    assert info.num_parameters - info.num_embedding_parameters == REPORTED[hub_id]


@pytest.mark.parametrize("name", GEMMA_3)
def test_gemma_3_has_the_reported_parameters(name):
    info = BY_NAME[name]
    millions = (info.num_parameters - info.num_embedding_parameters) / 1e6
    assert millions == pytest.approx(GEMMA_3[name], abs=1)


@pytest.mark.parametrize("name", SAME_AS)
def test_what_goes_on_from_gemma_has_its_sizes(name):
    assert BY_NAME[name].config == BY_NAME[SAME_AS[name]].config


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrentgemma_has_the_reported_sizes(name):
    info = BY_NAME[name]
    table = info.num_embedding_parameters
    billions = (round((info.num_parameters - table) / 1e9, 2), round(table / 1e9, 3))
    sizes = (info.num_hidden_layers, info.num_attention_heads, info.hidden_size)
    sizes += (info.lru_width, info.attention_window_size)
    assert (*billions, *sizes) == pytest.approx(RECURRENT[name], abs=0.002)
    assert info.intermediate_size == 2 * 3 * info.hidden_size  # expansion factor 3, gate and up


@pytest.mark.parametrize("name, attends", [("RecurrentGemma 2B", 8), ("RecurrentGemma 9B", 12)])
def test_every_third_layer_of_recurrentgemma_keeps_a_window(name, attends):
    """Multi-query attention with heads of 256, as in the Griffin paper, arXiv:2402.19427."""
    assert BY_NAME[name].layers == (catalog.Layer(1, 256, 2048),) * attends


@pytest.mark.parametrize(
    "name, pattern, window, context, shared",
    [
        ("Gemma 2 9B", 2, 4096, 8192, 0),
        ("Gemma 3 1B", 6, 512, 32768, 0),
        ("Gemma 3 4B", 6, 1024, 131072, 0),
        ("Gemma 3 27B", 6, 1024, 131072, 0),
        ("Gemma 3n E4B", 5, 512, 32768, 15),
        ("Gemma 4 E4B", 6, 512, 131072, 18),
        ("Gemma 4 31B", 6, 1024, 262144, 0),
    ],
)
def test_what_decides_the_cache(name, pattern, window, context, shared):
    """Every `pattern`-th layer is global: from the reports and the conversion scripts."""
    info = BY_NAME[name]
    own = range(info.num_hidden_layers - shared)
    expected = [None if at % pattern == pattern - 1 else window for at in own]
    assert [layer.window for layer in info.layers] == expected
    assert info.max_position_embeddings == context


def test_global_layers_of_gemma_4_have_wider_heads_and_fewer_in_31b():
    """From the conversion script: head_dim 256 and 512, key-value heads 16 and 4 in 31B."""
    small, large = BY_NAME["Gemma 4 E4B"].layers, BY_NAME["Gemma 4 31B"].layers
    assert small[0] == catalog.Layer(2, 256, 512) and small[5] == catalog.Layer(2, 512, None)
    assert large[0] == catalog.Layer(16, 256, 1024) and large[5] == catalog.Layer(4, 512, None)


def test_every_row_says_where_it_is_from_and_each_repository_stands_once():
    assert all(row["source"].startswith("https://") for row in ROWS)
    assert all(row["released"] >= "2024-02" for row in ROWS)
    assert len(ALL) == sum(len(row["repositories"]) for row in ROWS)
    assert {info.part for info in ALL.values()} == {"", "text"}


def test_variants_are_known_and_found_but_are_no_generation():
    families = {info.name.split()[0] for info in catalog.VARIANTS.values()}
    assert families == {"CodeGemma", "PaliGemma", "ShieldGemma", "RecurrentGemma"}
    assert {info.name.split()[0] for info in catalog.CATALOG.values()} == {"Gemma"}
    for hub_id, info in catalog.VARIANTS.items():
        assert catalog.find(hub_id) is info and info.is_variant
    assert catalog.find("unsloth/codegemma-7b-it").hub_id == "google/codegemma-7b-it"
    with pytest.raises(ValueError, match="Did you mean google/codegemma-2b"):
        catalog.find("codegemma-2b")


def test_gemma_3_norms_queries_and_keys_and_caps_no_scores():
    source = inspect.getsource(Gemma3Attention)
    assert "self.q_norm" in source and "self.k_norm" in source
    assert AutoConfig.for_model(**BY_NAME["Gemma 3 4B"].config).attn_logit_softcapping is None


# ------------------------------------------------------------------- models of one's own

SMALL = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 80,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
}
LESS = {"hidden_size_per_layer_input": 16, "vocab_size_per_layer_input": 96}
OTHER_PARTS = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
VISION = OTHER_PARTS | {"model_type": "siglip_vision_model", "num_attention_heads": 2}
FOLDERS = {
    "gemma": {},
    "gemma2": {"sliding_window": 16},
    "gemma3_text": {"sliding_window": 16},
    "gemma3": {"text_config": SMALL, "vision_config": VISION},
    "gemma3n_text": {"sliding_window": 16, "num_kv_shared_layers": 2, "laurel_rank": 8} | LESS,
    "gemma4_text": {"sliding_window": 16, "global_head_dim": 48} | LESS,
    "llama": {"tie_word_embeddings": False},
    "qwen2": {"attention_bias": True},
    "gpt2": {},
    "bart": {"d_model": 64, "encoder_layers": 2, "decoder_layers": 2},
    "paligemma": {
        "text_config": SMALL | {"model_type": "gemma"},
        "vision_config": OTHER_PARTS
        | {"model_type": "siglip_vision_model", "num_attention_heads": 2},
    },
    "t5gemma": {"encoder": SMALL, "decoder": SMALL},
}


def write_config(folder, family, **changes):
    """A folder as `save_pretrained` leaves it; some of its fields are those of the class."""
    sizes = {} if family in ("gemma3", "paligemma", "t5gemma", "bart") else SMALL
    config = AutoConfig.for_model(family, **(sizes | FOLDERS[family] | changes))
    folder.mkdir(exist_ok=True)
    config.save_pretrained(folder)
    return config


@pytest.mark.parametrize("family", FOLDERS)
def test_any_folder_with_a_config_counts_as_transformers_does(family, tmp_path):
    config = write_config(tmp_path / "mine", family)
    classes = {"paligemma": AutoModelForImageTextToText}
    classes |= dict.fromkeys(("t5gemma", "bart"), AutoModelForSeq2SeqLM)
    with torch.device("meta"):
        model = classes.get(family, AutoModelForCausalLM).from_config(config)
    info = catalog.find(tmp_path / "mine")
    assert info.hub_id == "mine" and sizes_of(info) == counted(model)
    assert info.family == config.get_text_config().model_type


@settings(max_examples=25, deadline=None)
@given(
    family=st.sampled_from(sorted(catalog.UNIFORM)),
    sizes=st.fixed_dictionaries({name: st.integers(1, 9) for name in SMALL}),
    bias=st.booleans(),
    tied=st.booleans(),
)
def test_the_formula_is_that_of_transformers(family, sizes, bias, tied):
    sizes = {name: 2 * number for name, number in sizes.items()}
    sizes["num_attention_heads"] *= sizes["num_key_value_heads"]
    sizes["hidden_size"] *= sizes["num_attention_heads"]  # Gemma 3 insists on a multiple
    config = {"model_type": family, "attention_bias": bias, "tie_word_embeddings": tied} | sizes
    assert sizes_of(catalog.ModelInfo("mine", config)) == counted(on_meta(config))


def test_a_sparse_config_is_completed_with_the_defaults_of_transformers(tmp_path):
    """As of google/gemma-3-4b-it, whose file names neither the heads nor the vocabulary."""
    text = {"model_type": "gemma3_text", "hidden_size": 64, "num_hidden_layers": 2}
    sparse = {"model_type": "gemma3", "text_config": text}
    (tmp_path / "config.json").write_text(json.dumps(sparse))
    default = AutoConfig.for_model("gemma3_text")
    info = catalog.find(tmp_path)
    assert info.num_attention_heads == default.num_attention_heads
    assert info.vocab_size == default.vocab_size and len(info.layers) == 2


@pytest.mark.parametrize(
    "written, advice",
    [
        (None, "holds no config.json"),
        ("{", "cannot be read"),
        ("[1]", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"model_type": "nonsense"}', "cannot be read: Unrecognized model identifier: nonsense"),
        ('{"model_type": "gemma3_text", "hidden_size": 2}', "cannot be read: Class validation"),
    ],
)
def test_a_folder_that_is_no_checkpoint_says_so_in_one_line(tmp_path, written, advice):
    if written is not None:
        (tmp_path / "config.json").write_text(written)
    with pytest.raises(ValueError, match=advice) as error:
        catalog.find(tmp_path)
    assert "\n" not in str(error.value)


def test_a_model_that_writes_no_text_says_so_in_one_line(tmp_path):
    AutoConfig.for_model("siglip_vision_model").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no class that writes text") as error:
        _ = catalog.find(tmp_path).num_parameters
    assert "\n" not in str(error.value)


def test_where_a_part_cannot_be_built_the_text_is_counted_and_said_to_be_all(tmp_path):
    """Gemma 3n sees with timm, which the course does not need."""
    text = SMALL | FOLDERS["gemma3n_text"] | {"model_type": "gemma3n_text"}
    AutoConfig.for_model("gemma3n", text_config=text).save_pretrained(tmp_path)
    info = catalog.find(tmp_path)
    assert info.part == "text" and sizes_of(info) == counted(on_meta(info.config))
    assert loading.plan_loading(tmp_path, "bf16", A100).sentence.startswith("The text part of ")


@pytest.mark.parametrize("written", ["{", "{}", '{"base_model_name_or_path": null}'])
def test_a_damaged_adapter_is_one_sentence(tmp_path, written):
    (tmp_path / "adapter_config.json").write_text(written)
    with pytest.raises(ValueError, match=tmp_path.name) as error:
        catalog.find(tmp_path)
    assert "None" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("nothing", ["", None])
def test_nothing_is_not_the_working_folder(nothing):
    with pytest.raises(ValueError, match="no folder here and no repository"):
        catalog.find(nothing)


def test_an_adapter_names_its_base(tmp_path):
    adapter = {"base_model_name_or_path": "google/gemma-2b-it"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    with pytest.raises(ValueError, match="load google/gemma-2b-it, and the adapter onto it"):
        catalog.find(tmp_path)


def test_unknown_names_are_answered_with_near_ones():
    for name in ("google/gemma2b-it", "gemma-2b-it"):
        with pytest.raises(ValueError, match="google/gemma-2b-it") as error:
            catalog.find(name)
        assert "\n" not in str(error.value)


def test_a_mirror_is_found_as_its_original():
    assert catalog.find("unsloth/gemma-2b-it") is catalog.find("google/gemma-2b-it")


def test_a_missing_size_is_named_and_a_model_can_be_copied():
    import copy

    info = catalog.find("google/gemma-2b")
    with pytest.raises(AttributeError, match="num_experts"):
        _ = info.num_experts
    assert copy.deepcopy(info) == info


@pytest.fixture
def hub(tmp_path, monkeypatch):
    write_config(tmp_path / "me", "gemma3_text")  # the owner's folder, and a repository in it
    write_config(tmp_path / "me" / "my-finetune", "gemma3_text")
    (tmp_path / "me" / "weights-only").mkdir()
    server = Hub(tmp_path, gated={"me/closed"}, tokens={TOKEN})
    for name in [name for name in os.environ if name.startswith("HF_")]:
        monkeypatch.delenv(name)
    import huggingface_hub

    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    settings = {  # read from the environment when the client was imported
        "ENDPOINT": server.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": False,
    }
    for name, value in settings.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    yield server
    server.shutdown()


def test_a_repository_of_ones_own_is_planned_from_its_config(hub):
    info = catalog.find("me/my-finetune")
    assert (info.family, info.hidden_size, len(info.layers)) == ("gemma3_text", 64, 7)
    assert loading.plan_loading("me/my-finetune", "bf16", T4).dtype == "float32"
    assert loading.plan_loading("me/my-finetune", "nf4", A100).fits


def test_an_adapter_in_a_repository_names_its_base(hub):
    folder = hub.root / "me" / "my-lora"
    folder.mkdir()
    adapter = {"base_model_name_or_path": "google/gemma-2b-it"}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    with pytest.raises(ValueError, match="me/my-lora is a LoRA adapter: load google/gemma-2b-it"):
        catalog.find("me/my-lora")


def test_a_public_repository_is_known_in_spite_of_a_bad_token(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "b" * 34)
    assert catalog.find("me/my-finetune").hidden_size == 64


def test_a_repository_that_is_not_there_or_has_no_config_says_so(hub):
    for name in ("me/nobody", "me/weights-only"):
        with pytest.raises(ValueError, match=f"{name} is not in the catalog") as error:
            catalog.find(name)
        assert "\n" not in str(error.value)

"""Notebook 02: what it says of plots, data and pocket models; its cells that ask a real Gemma.

The first from its executed cells, the second against stand-ins for Colab and for the Hub.
"""

import csv
import shutil
from pathlib import Path

import pytest
from hub_stand_in import Hub, status
from notebook_cells import ROOT, printed, tagged, values_after, with_values

MIRROR = "unsloth/gemma-3-270m-it"
POCKET = ROOT / "gemma_lab" / "checkpoints" / "pocket-small-it"
ASKED = {
    "base-and-it": {"base": "continued", "instruct": "answered"},
    "fits": {"needs": "needs", "t4_gib": "T4.free_gib"},
    "averages": {"table": "table.to_dict()"},
    "lead-bars": {"lead": "lead.to_dict()", "wins": "wins"},
    "gain-bars": {"pairs": "pairs", "billions": "[size / 1e9 for size in sizes.values()]"},
}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    return values_after("02_meet_gemma", ASKED, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def scores():
    """The rows of benchmarks.csv: table -> (model, benchmark) -> score."""
    tables = {}
    with open(ROOT / "gemma_lab" / "data" / "benchmarks.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            table = tables.setdefault(row["table"], {})
            table[row["model"], row["benchmark"]] = float(row["score"])
    return tables


def test_the_instruction_tuned_model_answers_and_the_base_model_goes_on(notebook):
    said = notebook["base-and-it"]
    assert said["instruct"] == "The capital of Japan is Tokyo."
    assert "Tokyo" not in said["base"] and len(said["base"]) > 2 * len(said["instruct"])


def test_what_fits_a_free_t4(notebook):
    found = notebook["fits"]
    large, small = found["needs"]["google/gemma-7b-it"], found["needs"]["google/gemma-2b-it"]
    assert f"{found['t4_gib']:.1f}" == "14.7"
    assert large["nf4"] < large["int8"] < found["t4_gib"] < large["bf16"]
    assert small["fp32"] < found["t4_gib"]
    e4b = found["needs"]["google/gemma-4-E4B-it"]  # in float32 where it is not quantized
    assert all(gib > found["t4_gib"] for gib in e4b.values())


def test_the_table_is_the_data_and_the_overview_a_part_of_it(notebook, scores):
    assert set(scores["overview"].items()) < set(scores["full"].items())
    shown = notebook["averages"]["table"]
    assert sum(len(column) for column in shown.values()) == len(scores["full"]) == 5 * 18
    for (model, benchmark), score in scores["full"].items():
        assert shown[model][benchmark] == score


def test_gemma_7b_is_ahead_of_llama_2_13b_in_14_of_18(notebook, scores):
    full, lead = scores["full"], notebook["lead-bars"]["lead"]
    assert notebook["lead-bars"]["wins"] == sum(points > 0 for points in lead.values()) == 14
    assert len(lead) == 18
    for name, points in lead.items():
        assert points == pytest.approx(full["Gemma 7B", name] - full["LLaMA-2 13B", name])
    assert min(lead, key=lead.get) == "TriviaQA" and lead["NQ"] < 0
    assert max(lead, key=lead.get) == "MATH"
    assert lead["MATH"] == pytest.approx(20.4) and lead["GSM8K"] == pytest.approx(17.7)
    assert full["LLaMA-2 7B", "TriviaQA"] > full["Gemma 7B", "TriviaQA"]


def test_the_step_from_2b_to_7b_helps_school_arithmetic_most(notebook):
    gain = {
        name: after - before for name, (before, after) in notebook["gain-bars"]["pairs"].items()
    }
    assert len(gain) == 18 and min(gain.values()) > 0
    assert max(gain, key=gain.get) == "GSM8K" and gain["GSM8K"] == pytest.approx(28.7)
    assert min(gain, key=gain.get) == "SIQA" and gain["SIQA"] == pytest.approx(2.1)
    small, large, _ = notebook["gain-bars"]["billions"]
    assert round(large - small) == 6


# ------------------------------------------------------------------- cells that ask a real Gemma


def cell(tag: str) -> str:
    return tagged("02_meet_gemma", tag)


@pytest.mark.parametrize(
    "models, says",
    [
        ("google/gemini-2.5-flash google/gemma-3-4b", "google/gemma-3-4b: 5"),
        ("google/gemini-2.5-flash", "lists no Gemma today"),
    ],
)
def test_on_colab_the_first_gemma_of_the_account_is_asked(models, says, tmp_path):
    stand_in = str(ROOT / "tests" / "colab_stand_in")
    assert says in printed(cell("ask-colab"), tmp_path, PYTHONPATH=stand_in, COLAB_MODELS=models)


def test_elsewhere_the_cell_says_that_it_needs_colab(tmp_path):
    assert "Only Colab has google.colab.ai" in printed(cell("ask-colab"), tmp_path)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A Hub with a tiny Gemma 3 under the name of the public copy."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    folder = tmp_path_factory.mktemp("hub") / MIRROR
    config = Gemma3TextConfig(
        vocab_size=2048,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=64,
    )
    Gemma3ForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (POCKET / name).exists():
            shutil.copy(POCKET / name, folder)
    server = Hub(folder.parent.parent)
    yield server
    server.shutdown()


def first_word(hub, folder: Path, download: bool = True) -> str:
    """What the cell prints that asks a real Gemma, with its switch as it is or turned."""
    before, asks = (
        "\n".join(map(cell, ("first-words", "load-pockets", "base-and-it"))),
        cell("download-real"),
    )
    if download:
        asks = with_values(asks, DOWNLOAD=True)
    source = f"import gemma_lab\n{before}\nprint('=====')\n{asks}"
    return printed(source, folder, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1").split("=====\n")[1]


def test_nothing_is_downloaded_unasked(hub, tmp_path):
    hub.asked.clear()
    assert "DOWNLOAD is False" in first_word(hub, tmp_path, download=False) and not hub.asked


def test_the_public_copy_answers_without_a_token(hub, tmp_path):
    hub.asked.clear()
    said = first_word(hub, tmp_path)
    assert "Hub" not in said and any(path.endswith("model.safetensors") for path in hub.asked)


@pytest.mark.parametrize(
    "gated, faults, says",
    [({MIRROR}, [], "Make a Read token"), (set(), [status(503)], "wait a minute")],
)
def test_a_copy_that_cannot_be_had_gives_one_sentence(hub, tmp_path, gated, faults, says):
    hub.gated, hub.faults = gated, faults
    try:
        assert says in first_word(hub, tmp_path)
    finally:
        hub.gated, hub.faults = set(), []

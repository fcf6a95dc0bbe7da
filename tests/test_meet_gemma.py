"""The cells of notebook 02 that ask a real Gemma, against stand-ins for Colab and for the Hub."""

import shutil
from pathlib import Path

import pytest
from hub_stand_in import Hub
from notebook_cells import ROOT, printed, tagged, with_values

MIRROR = "unsloth/gemma-3-270m-it"
POCKET = ROOT / "gemma_lab" / "checkpoints" / "pocket-small-it"


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
    before, asks = "\n".join(map(cell, ("load-pockets", "base-and-it"))), cell("download-real")
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
    "gated, fault, says", [(True, None, "Make a Read token"), (False, 503, "wait a minute")]
)
def test_a_copy_that_cannot_be_had_gives_one_sentence(hub, tmp_path, gated, fault, says):
    hub.gated, hub.fault = {MIRROR} if gated else set(), fault
    try:
        assert says in first_word(hub, tmp_path)
    finally:
        hub.gated, hub.fault = set(), None

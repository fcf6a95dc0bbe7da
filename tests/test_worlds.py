"""Whole notebooks where this machine is not: in the hub profile, and on a GPU without a token."""

import json
import shutil

import nbformat
import pytest
from hub_stand_in import Hub
from notebook_cells import ROOT, tags, text_shown

from tools import find_notebooks
from tools.execute import execute

TOKEN = "hf_" + "x" * 34
# Our weights under Google's names: what a cell does must not depend on whose they are.
SERVED = {
    "google/gemma-2b": "pocket-small",
    "google/gemma-2b-it": "pocket-small-it",
    "google/gemma-7b-it": "pocket-large-it",
    "google/gemma-2-2b-it": "pocket-gemma2-it",
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    for name, pocket in SERVED.items():
        shutil.copytree(ROOT / "gemma_lab" / "checkpoints" / pocket, root / name)
    server = Hub(root, gated=set(SERVED), tokens={TOKEN}, accepted={TOKEN: set(SERVED)})
    yield server
    server.shutdown()


def executed(notebook: dict, folder, name: str) -> dict:
    """`execute` on a copy of a notebook in a folder of its own."""
    path = folder / f"{name}.ipynb"
    nbformat.write(nbformat.from_dict(notebook), path)
    return execute(path)


def stored(name: str) -> dict:
    return json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))


def said(result: dict) -> str:
    return "".join(text_shown(cell) for cell in result["notebook"].cells)


@pytest.mark.slow
@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda path: path.stem)
def test_hub_to_the_last_cell(path, hub, tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.delenv(name, raising=False)
    settings = {
        "GEMMA_LAB_PROFILE": "hub",
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    hub.asked.clear()
    result = executed(stored(path.stem), tmp_path, path.stem)
    assert result["error"] == ""
    assert "Profile:  hub" in said(result) and TOKEN not in json.dumps(result["notebook"])
    if path.stem[:2] in ("04", "05"):
        assert any(asked.endswith("model.safetensors") for asked in hub.asked)


GPU = """
from dataclasses import replace
from gemma_lab import hardware
machine = replace(hardware.{card}, ram_gib=machine.ram_gib)
"""


@pytest.mark.slow
@pytest.mark.parametrize("card", ["T4", "A100"])
def test_codelab_1_on_a_card_without_a_token_up_to_take_it_home(card, tmp_path):
    """The card is described; the CPU computes, in the card's 16-bit type, with pocket models."""
    notebook = stored("04_quantized_inference")
    last = next(at for at, cell in enumerate(notebook["cells"]) if "take-home" in tags(cell))
    notebook["cells"] = notebook["cells"][:last]
    for cell in notebook["cells"]:
        if "machine" in tags(cell):
            cell["source"] = "".join(cell["source"]) + GPU.format(card=card)
        if "load" in tags(cell):  # the card is described, not there
            source = "".join(cell["source"])
            assert source.count('device = 0 if machine.device == "cuda" else "cpu"') == 1
            cell["source"] = source.replace("device = 0 if machine", 'device = "cpu" if machine')
    result = executed(notebook, tmp_path, "04_quantized_inference")
    assert result["error"] == ""
    cells = result["notebook"].cells
    (attention,) = [text_shown(cell) for cell in cells if "attention" in tags(cell)]
    assert "sdpa" in attention and "KL to eager 0e+00" not in attention.split("sdpa")[1]

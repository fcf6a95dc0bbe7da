"""Section 4 of notebook 06 in the hub profile, against a Hub that serves our pocket model under Google's name."""

import shutil

import pytest
from hub_stand_in import Hub
from notebook_cells import ROOT, cell_with, printed

NAME, TOKEN = "google/gemma-2-2b-it", "hf_" + "x" * 30
CELLS = ("import pandas as pd", "folder = gemma_lab", "path = folder if", "tries =", "import dataclasses")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    names = (NAME, "google/gemma-2b-it")  # access to the second decides the profile
    for name in names:
        shutil.copytree(ROOT / "gemma_lab" / "checkpoints" / "pocket-gemma2-it", root / name)
    server = Hub(root, gated=set(names), tokens={TOKEN}, accepted={TOKEN})
    yield server
    server.shutdown()


def test_the_trap_is_measured_on_what_the_hub_serves(hub, tmp_path):
    cells = "\n".join(cell_with("06_gemma_2_and_beyond", words) for words in CELLS)
    source = f"""
import gemma_lab, matplotlib
matplotlib.use("Agg")
profile = gemma_lab.current_profile().name
from gemma_lab.model import Cache, Config, Gemma, causal_mask
import torch
{cells}
print(profile, path, PRECISION, kl["sdpa"] > 2 * kl["eager, 4 bits"] > 0)
"""
    said = printed(source, tmp_path, HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN, HF_HUB_DISABLE_XET="1", GEMMA_LAB_PROFILE="hub")
    assert f"hub {NAME} bf16 True" in said and f"{NAME} from the Hugging Face Hub" in said
    assert "--- eager" in said and "--- sdpa" in said and TOKEN not in said
    assert any(NAME in path and path.endswith("model.safetensors") for path in hub.asked)

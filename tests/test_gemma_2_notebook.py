"""Section 4 of notebook 06 in the hub profile: a Hub serves ours under Google's name."""

import shutil

import pytest
from hub_stand_in import Hub
from notebook_cells import ROOT, printed, tagged

NAME, FIRST, TOKEN = "google/gemma-2-2b-it", "google/gemma-2b-it", "hf_" + "x" * 30
CELLS = (
    "talk-table",
    "claims",
    "masks",
    "window-reach",
    "cap-model",
    "cap-poems",
    "cap-measure",
    "cap-proof",
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    for name in (NAME, FIRST):
        shutil.copytree(ROOT / "gemma_lab" / "checkpoints" / "pocket-gemma2-it", root / name)
    server = Hub(root, tokens={TOKEN})
    yield server
    server.shutdown()


@pytest.mark.parametrize(
    "is_open", [True, False], ids=["licence accepted", "licence of Gemma 2 not accepted"]
)
def test_the_trap_is_measured_on_what_the_hub_serves(hub, tmp_path, is_open):
    """Access to Gemma 1 decides the profile; without Gemma 2 the pocket model stays."""
    hub.asked.clear()
    hub.gated = {NAME, FIRST} if is_open else {NAME}
    hub.accepted = {TOKEN} if is_open else set()
    cells = "\n".join(tagged("06_gemma_2_and_beyond", tag) for tag in CELLS)
    source = f"""
import gemma_lab, matplotlib
matplotlib.use("Agg")
profile = gemma_lab.current_profile().name
{cells}
kl = summary["KL to eager, nats"]
print(profile, path, PRECISION, len(rows), kl["sdpa"] > 2 * kl["eager, 4 bits"] > 0)
"""
    said = printed(
        source,
        tmp_path,
        HF_ENDPOINT=hub.url,
        HF_TOKEN=TOKEN,
        HF_HUB_DISABLE_XET="1",
        GEMMA_LAB_PROFILE="hub",
    )
    assert "--- eager" in said and "--- sdpa" in said and TOKEN not in said
    was_loaded = any(NAME in path and path.endswith("model.safetensors") for path in hub.asked)
    if is_open:
        assert f"hub {NAME} bf16 30 True" in said and was_loaded
    else:
        assert "Until then this section asks the pocket model" in said and not was_loaded
        assert "licence" in said and "pocket-gemma2-it fp32 120 True" in said

"""Take it home: the cell alone in a fresh process, with Gemma from a Hub and rows from a file."""

import shutil
from pathlib import Path

import pytest
from hub_stand_in import Hub
from notebook_cells import ROOT, finished, tagged

NAME, TOKEN = "google/gemma-2b-it", "hf_" + "x" * 34


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    shutil.copytree(ROOT / "gemma_lab" / "checkpoints" / "pocket-small-it", root / NAME)
    server = Hub(root, gated={NAME}, tokens={TOKEN}, accepted={TOKEN: {NAME}})
    yield server
    server.shutdown()


def run(source: str, hub, folder: Path):
    """A learner's process: an empty folder, a token, and nothing of this course."""
    assert "gemma_lab" not in source
    blocked = "import sys; sys.modules['gemma_lab'] = None\n"
    return finished(
        blocked + source,
        folder / "home",
        cwd=folder,
        HF_ENDPOINT=hub.url,
        HF_TOKEN=TOKEN,
        HF_HUB_DISABLE_XET="1",
    )


@pytest.mark.parametrize("bits", ["nf4", "int8"])
def test_codelab_1_alone_writes_a_poem_and_no_warning_for_each_layer(hub, tmp_path, bits):
    source = tagged("04_quantized_inference", "take-home")
    if bits == "int8":  # what a learner tries next
        assert source.count("quantization_config=nf4") == 1
        source = source.replace(
            "quantization_config=nf4", "quantization_config=BitsAndBytesConfig(load_in_8bit=True)"
        )
    done = run(source, hub, tmp_path)
    assert "Google I/O event" in done.stdout and len(done.stdout.splitlines()) > 8
    assert "cast" not in done.stderr and "bitsandbytes" not in done.stderr


def test_codelab_2_alone_trains_on_a_file_and_saves_an_adapter(hub, tmp_path):
    """In 4 bits, and on the CPU where there is no NVIDIA card, though a Mac has another."""
    rows = ROOT / "gemma_lab" / "data" / "health_instructions_held_out.jsonl"
    few = rows.read_text(encoding="utf-8").splitlines(keepends=True)[:8]
    (tmp_path / "rows.jsonl").write_text("".join(few), encoding="utf-8")
    on_a_mac = "import transformers.training_args as its\nits.is_torch_mps_available = lambda: 1"
    ends = "assert start.is_loaded_in_4bit and args.device.type == 'cpu'"
    parts = [on_a_mac, tagged("05_lora_finetuning", "take-home"), ends]
    done = run("\n".join(parts), hub, tmp_path)
    assert "train_loss" in done.stdout
    (saved,) = tmp_path.glob("outputs/home/**/adapter_model.safetensors")
    assert saved.stat().st_size > 1000

"""Whole notebooks where this machine is not: in the hub profile, and on a GPU without a token."""

import json
import shutil

import nbformat
import pytest
from hub_stand_in import Hub
from notebook_cells import ROOT, made, tags, text_shown

from tools import find_notebooks
from tools.execute import execute

TOKEN = "hf_" + "x" * 34
SMALL, LARGE = "google/gemma-2b-it", "google/gemma-7b-it"
CHECKPOINTS, OF_07 = ROOT / "gemma_lab" / "checkpoints", ROOT / "pocket" / "family"
FAMILY = {
    "google/codegemma-2b": OF_07 / "pocket-code",
    "google/codegemma-7b-it": OF_07 / "pocket-code-it",
    "google/recurrentgemma-2b": OF_07 / "pocket-recurrent",
    "google/paligemma-3b-mix-224": OF_07 / "pocket-see",
    "google/shieldgemma-2b": OF_07 / "pocket-shield",
}
# Our weights under Google's names: what a cell does must not depend on whose they are.
POCKETS = {
    "google/gemma-2b": CHECKPOINTS / "pocket-small",
    SMALL: CHECKPOINTS / "pocket-small-it",
    LARGE: CHECKPOINTS / "pocket-large-it",
    "google/gemma-2-2b-it": CHECKPOINTS / "pocket-gemma2-it",
    "unsloth/gemma-3-270m-it": CHECKPOINTS / "pocket-small-it",
} | {name: folder for name, folder in FAMILY.items() if folder.is_dir()}
BASE_270M = ("google/gemma-3-270m", "unsloth/gemma-3-270m")  # these are Google's own, where it is


@pytest.fixture(scope="module")
def hub(tmp_path_factory, request):
    try:
        gemma = request.getfixturevalue("real_gemma")
    except pytest.skip.Exception:  # the notebooks run all the same
        gemma = CHECKPOINTS / "pocket-small"
    served = POCKETS | dict.fromkeys(BASE_270M, gemma)
    root = tmp_path_factory.mktemp("hub")
    for name, folder in served.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(folder, target_is_directory=True)
    server = Hub(root, gated={name for name in served if name.startswith("google/")})
    server.tokens = {TOKEN}
    yield server
    server.shutdown()


@pytest.fixture
def learner(hub, tmp_path, monkeypatch):
    """A new machine in the hub profile, whose token may read all; the Hub that it asks."""
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.delenv(name, raising=False)
    settings = {
        "GEMMA_LAB_PROFILE": "hub",
        "GEMMA_LAB_CACHE": str(tmp_path / "cache"),
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    hub.accepted = {TOKEN: set(hub.gated)}
    hub.forget()
    yield hub
    assert hub.leaked == []
    shutil.rmtree(tmp_path / "home", ignore_errors=True)  # half a gigabyte for each notebook


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
def test_hub_to_the_last_cell(path, learner, tmp_path):
    notebook = stored(path.stem)
    for cell in notebook["cells"]:  # the learner asks for what is downloaded on demand, too
        cell["source"] = "".join(cell["source"]).replace("DOWNLOAD = False", "DOWNLOAD = True")
    result = executed(notebook, tmp_path, path.stem)
    assert result["error"] == ""
    assert "Profile:  hub" in said(result) and TOKEN not in json.dumps(result["notebook"])
    loaded = {name for name in POCKETS if f"/{name}/model.safetensors" in learner.fetched}
    number = path.stem[:2]
    expected = {
        "02": {"unsloth/gemma-3-270m-it"},
        "04": {SMALL, LARGE},
        "05": {SMALL},
        "06": {"google/gemma-2-2b-it"},
        "07": {*FAMILY},
    }
    assert loaded >= expected.get(number, set())


FIRST_ANSWER = """
import gemma_lab, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
path = gemma_lab.checkpoint("google/gemma-3-270m")
tokenizer = AutoTokenizer.from_pretrained(path)
model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16)
text = "Google I/O 2024 là một sự kiện công nghệ quy tụ những chuyên gia hàng"
ids = model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=1, do_sample=False)
print(tokenizer.decode(ids[0]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("profile, repo", [("hub", BASE_270M[0]), ("mirror", BASE_270M[1])])
def test_googles_own_270m_comes_from_the_hub(
    profile, repo, real_gemma, learner, tmp_path, monkeypatch
):
    monkeypatch.setenv("GEMMA_LAB_PROFILE", profile)
    result = execute(made(tmp_path, FIRST_ANSWER))
    assert result["error"] == "" and f"{repo} from the Hugging Face Hub" in said(result)
    assert "những chuyên gia hàng đầu" in said(result)
    assert set(learner.fetched) == {
        f"/{repo}/{name}" for name in ("model.safetensors", "tokenizer.json")
    }


@pytest.mark.slow
def test_codelab_1_without_the_licence_of_7b_loses_only_that_part(learner, tmp_path):
    learner.accepted[TOKEN].remove(LARGE)
    name = "04_quantized_inference"
    result = executed(stored(name), tmp_path, name)
    assert result["error"] == ""
    assert f"Accept the licence on https://huggingface.co/{LARGE}" in said(result)
    assert not any(path.startswith(f"/{LARGE}/") for path in learner.fetched)
    last = [cell for cell in result["notebook"].cells if cell.cell_type == "code"][-1]
    assert text_shown(last)


@pytest.mark.slow
@pytest.mark.parametrize("missing", [{"google/codegemma-7b-it"}, {*FAMILY}], ids=["one", "all"])
def test_07_goes_on_with_our_small_model_for_each_that_is_refused(missing, learner, tmp_path):
    learner.accepted[TOKEN] -= missing
    name = "07_the_family"
    result = executed(stored(name), tmp_path, name)
    assert result["error"] == ""
    for hub_id, folder in FAMILY.items():
        is_fetched = f"/{hub_id}/model.safetensors" in learner.fetched
        advice = f"Accept the licence on https://huggingface.co/{hub_id}"
        assert (hub_id in missing) == (advice in said(result)) == (not is_fetched)
        assert hub_id not in missing or f"{folder.name} (ours" in said(result)


GPU = """
from dataclasses import replace
from gemma_lab import hardware
machine = replace(hardware.{card}, ram_gib=machine.ram_gib)
"""


ON_THE_CPU = {
    "plan.kwargs()": '(plan.kwargs() | {"device_map": {"": "cpu"}})',
    "plan.device_map": '{"": "cpu"}',
    "few.device_map": '{"": "cpu"}',
    '"cuda" if machine.device == "cuda" else "cpu"': '"cpu"',
    "precision, machine.device)": 'precision, "cpu")',
}


@pytest.mark.slow
@pytest.mark.parametrize("card", ["T4", "A100"])
def test_codelab_1_on_a_card_without_a_token_up_to_take_it_home(card, tmp_path):
    """The card is described; the CPU computes, in the card's 16-bit type, with pocket models."""
    notebook = stored("04_quantized_inference")
    last = next(at for at, cell in enumerate(notebook["cells"]) if "take-home" in tags(cell))
    deeper = [cell for cell in notebook["cells"] if {"load-again", "attention"} & {*tags(cell)}]
    notebook["cells"] = notebook["cells"][:last] + deeper
    changed = 0
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if "load" in tags(cell):
            source += GPU.format(card=card)
        for on_card, here in ON_THE_CPU.items():  # the card is described, not there
            changed += source.count(on_card) * (cell["cell_type"] == "code")
            source = source.replace(on_card, here)
        cell["source"] = source
    assert changed == 6
    result = executed(notebook, tmp_path, "04_quantized_inference")
    assert result["error"] == ""
    cells = result["notebook"].cells
    (attention,) = [text_shown(cell) for cell in cells if "attention" in tags(cell)]
    assert "sdpa" in attention and "KL to eager 0e+00" not in attention.split("sdpa")[1]

"""The profile, the pocket switch, and the real Hub path."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from hub_stand_in import Hub, cut, first
from machines import CARD_2_GB, LAPTOP, MAC
from models import TINY
from notebook_cells import printed
from transformers import AutoTokenizer, GemmaConfig, GemmaForCausalLM

from gemma_lab import catalog, download, install, loading, memory, profile
from gemma_lab.access import Access
from gemma_lab.hardware import T4

OK = Access("ok", "fine")
GOOD = "hf_" + "g" * 34


@pytest.mark.parametrize(
    "requested, machine, access, with_270m, without",
    [
        ("auto", LAPTOP, None, "laptop", "pocket"),
        ("auto", MAC, None, "laptop", "pocket"),
        ("auto", T4, OK, "hub", "hub"),
        ("pocket", T4, OK, "pocket", "pocket"),
        ("laptop", T4, OK, "laptop", "pocket"),
        ("laptop", LAPTOP, None, "laptop", "pocket"),
        ("auto", T4, Access("no-token", "Make one."), "laptop", "pocket"),
        ("auto", T4, Access("no-network", "Check."), "laptop", "pocket"),
        ("hub", LAPTOP, OK, "hub", "hub"),
        ("mirror", T4, None, "hub", "hub"),
        ("hub", T4, Access("no-network", "Check."), "hub", "hub"),
    ],
)
def test_profile(requested, machine, access, with_270m, without):
    for has_270m, name in ((True, with_270m), (False, without)):
        chosen = profile.choose_profile(requested, machine, access, has_270m)
        assert chosen.name == name and chosen.reason
    if with_270m != without:
        assert "--with-gemma" in chosen.reason


BEFORE_UNSLOTH = """
import sys
from gemma_lab import access, hardware, profile
found = access.Access("ok", "")
print(profile.choose_profile("auto", hardware.T4, found).name)
print([name for name in ("transformers", "peft", "trl") if name in sys.modules])
"""


def test_a_profile_is_chosen_on_a_card_before_transformers_is_imported(tmp_path):
    """In 05, set-up comes before Unsloth, which has to be imported first."""
    assert printed(BEFORE_UNSLOTH, tmp_path) == "hub\n[]\n"


def test_a_card_that_is_too_small_is_named_with_what_is_needed():
    reason = profile.choose_profile("auto", CARD_2_GB, OK).reason
    assert "google/gemma-2b-it in 4 bits needs 2.9 GiB; NVIDIA GeForce MX570 has 1.9" in reason


def test_profile_says_what_to_do():
    refused = Access("licence", "Accept the licence.")
    reason = profile.choose_profile("auto", T4, refused).reason
    assert "Accept the licence." in reason and "mirror" in reason and "Gemma Terms of Use" in reason
    with pytest.raises(PermissionError, match="Accept the licence"):
        profile.choose_profile("hub", T4, refused)
    with pytest.raises(ValueError, match="not 'gpu'"):
        profile.choose_profile("gpu", T4, None)


def test_pocket_checkpoints_say_what_they_are(capsys):
    path = profile.checkpoint("google/gemma-7b-it")
    assert AutoTokenizer.from_pretrained(path).vocab_size == 2048
    printed, says = capsys.readouterr().out, "M parameters) standing in for google/gemma"
    assert printed.startswith(f"pocket-large-it (ours, 6.1 {says}-7b-it")
    assert printed.count("\n") == 1
    profile.checkpoint("google/gemma-2b")
    assert capsys.readouterr().out.startswith(f"pocket-small (ours, 1.2 {says}-2b.")
    with pytest.raises(ValueError, match="google/gemma-2b, google/gemma-2b-it, google/gemma-7b-it"):
        profile.checkpoint("google/gemma-2-27b")


@pytest.fixture
def sources(monkeypatch, tmp_path):
    """Where Gemma 3 270M may come from: a copy, granted repositories, the package."""
    found = types.SimpleNamespace(copy=None, granted=(), package=tmp_path / "made", asked=[])
    found.cached = ()
    found.refusal = Access("licence", "Accept it.")

    def access(repo_id, is_public=False):
        found.asked.append(repo_id)
        return OK if repo_id in found.granted else found.refusal

    def fetch(repo_id, out_of_reach=""):
        if out_of_reach and repo_id not in found.cached:
            raise download.DownloadError(f"{repo_id} is not here. {out_of_reach}")
        return f"the copy of {repo_id}" if out_of_reach else repo_id

    def convert():
        if isinstance(found.package, str):
            raise install.SetupError(found.package)
        return found.copy or found.package

    monkeypatch.setattr(profile, "_access", access)
    monkeypatch.setattr(profile.download, "fetch", fetch)
    monkeypatch.setattr(profile.gemma3, "find", lambda: found.copy)
    monkeypatch.setattr(profile.gemma3, "is_here", lambda: bool(found.copy or found.package))
    monkeypatch.setattr(profile.gemma3, "convert", convert)
    monkeypatch.setattr(profile.tokens, "find_token", lambda: "a token")
    return found


REAL, COPY = "google/gemma-3-270m", "unsloth/gemma-3-270m"


@pytest.mark.parametrize("name", ["laptop", "hub"])
def test_gemma_3_270m_comes_from_the_best_source_at_hand(sources, name, monkeypatch, capsys):
    """Copy, Hub, mirror, package; each line names the terms."""

    def get():
        got, said = profile.checkpoint(REAL, profile=name), capsys.readouterr().out
        assert "Terms of Use" in said and said.count("\n") == 1
        return got

    assert get() == str(sources.package) and sources.asked == [REAL, COPY]
    sources.granted = (COPY,)
    assert get() == COPY
    sources.granted = (REAL, COPY)
    assert get() == REAL
    monkeypatch.setattr(profile.tokens, "find_token", lambda: None)
    assert get() == COPY
    sources.asked.clear()
    sources.copy = sources.package.with_name("copy")
    assert get() == str(sources.copy) and sources.asked == []


def test_in_hub_without_a_network_what_was_downloaded_before_still_loads(sources, capsys):
    sources.refusal = Access("no-network", "Check the network.")
    assert profile.checkpoint(REAL, profile="hub") == str(sources.package)
    sources.cached = (COPY,)
    assert profile.checkpoint(REAL, profile="hub") == f"the copy of {COPY}"
    assert "Check the network." in capsys.readouterr().out
    sources.cached, sources.package = (), None
    for name in ("hub", "laptop"):
        assert profile.checkpoint(REAL, profile=name).endswith("pocket-small")
        assert f"{COPY} is not here. Check the network." in capsys.readouterr().out


@pytest.mark.parametrize(
    "name, package, says",
    [
        ("laptop", "The package is damaged.", "The package is damaged."),
        (
            "laptop",
            None,
            "Accept it. Google's Gemma 3 270M is not here: `python3 course.py --with-",
        ),
        ("hub", None, "Accept it. Google's Gemma 3 270M is not here"),
        ("pocket", None, "This cell asks for it. Google's Gemma 3 270M is not here"),
        ("pocket", Path("made"), "This cell asks for it. The profile laptop gives Google's own."),
    ],
)
def test_where_it_cannot_be_had_pocket_small_takes_its_place_and_says_why(
    sources, capsys, name, package, says
):
    sources.package = package
    assert profile.checkpoint(REAL, profile=name).endswith("pocket-small")
    said = capsys.readouterr().out
    assert f"standing in for {REAL}. {says}" in said and said.count("\n") == 1


def test_laptop_is_one_model_more(sources, monkeypatch, capsys):
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "laptop")
    assert profile.main_model() == REAL
    for info in catalog.CATALOG.values():
        if info.pocket and info.hub_id != REAL:
            assert profile.checkpoint(info.hub_id).endswith(info.pocket)
    assert profile.checkpoint(REAL) == str(sources.package)


@pytest.mark.parametrize("name, machine", [("pocket", LAPTOP), ("hub", T4)])
def test_elsewhere_gemma_2b_is_the_main_model(monkeypatch, name, machine):
    chosen = profile.choose_profile(name, machine, OK)
    monkeypatch.setattr(profile, "current_profile", lambda: chosen)
    assert profile.main_model() == "google/gemma-2b-it"


def test_a_misspelt_profile_is_named():
    with pytest.raises(ValueError, match="pokcet"):
        profile.checkpoint("google/gemma-2b-it", profile="pokcet")


@pytest.mark.parametrize("name", ["", None])
def test_no_name_is_no_folder(name):
    with pytest.raises(profile.ProfileError, match="No pocket model stands in for"):
        profile.checkpoint(name, profile="pocket")


def test_a_folder_of_your_own_is_taken_as_it_is(tmp_path, capsys):
    GemmaConfig(**TINY).save_pretrained(tmp_path)
    assert profile.checkpoint(str(tmp_path)) == str(tmp_path)


def test_the_command_says_what_this_machine_can_run():
    command = [sys.executable, "-m", "gemma_lab"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Machine: " in said and "Profile: pocket. GEMMA_LAB_PROFILE asks for it." in said
    rows = {line.split()[0]: line for line in said.splitlines() if line.startswith("google/")}
    assert set(rows) == set(catalog.CATALOG)
    machine = loading.hardware.describe_machine()
    needed = memory.needed_gib(catalog.find("google/gemma-2b"), "fp32")
    assert f"{needed:.1f} " in rows["google/gemma-2b"]
    assert ("fits" in rows["google/gemma-2b"]) == (machine.free_gib > 4)


def test_the_command_says_laptop_and_why(real_gemma, tmp_path):
    code = "import runpy; runpy.run_module('gemma_lab', run_name='__main__')"
    said = printed(code, tmp_path, GEMMA_LAB_PROFILE="auto", CUDA_VISIBLE_DEVICES="")
    why = "There is no NVIDIA GPU to use. Google's Gemma 3 270M is here."
    assert f"Profile: laptop. {why}" in said


LOAD = """
import time, torch
from huggingface_hub import constants
from transformers import AutoModelForCausalLM
time.sleep = lambda seconds: None  # the client waits before it tries again; here that is not needed
constants.DOWNLOAD_CHUNK_SIZE = 1000  # this tiny file is written in many parts, as a real one is
from gemma_lab import profile
path = profile.checkpoint("google/gemma-2b-it")
model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
print(model.generate(torch.tensor([[2, 7]]), max_new_tokens=3, do_sample=False).shape[1])
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    for name in ("google/gemma-2b-it", "unsloth/gemma-2b-it"):
        GemmaForCausalLM(GemmaConfig(**TINY)).save_pretrained(root / name)
    gated = {"google/gemma-2b-it"}
    server = Hub(root, gated=gated, tokens={GOOD, "hf_new"}, accepted={GOOD: gated})
    yield server
    server.shutdown()


def load_from(hub, tmp_path, profile, token="", *faults):
    """What a fresh process prints that loads Gemma 2B with the real clients from the stand-in."""
    hub.faults = faults
    hub.forget()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path),
        "GEMMA_LAB_PROFILE": profile,
        "HF_HUB_DISABLE_XET": "1",
    }
    environment |= {"HF_TOKEN": token} if token else {}
    done = subprocess.run(
        [sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=False
    )
    assert not token or token not in done.stdout + done.stderr
    return done


def test_the_real_loading_path_with_a_good_token(hub, tmp_path):
    done = load_from(hub, tmp_path, "hub", GOOD)
    assert done.stdout.splitlines()[-1:] == ["5"], done.stderr[-2000:]
    assert "google/gemma-2b-it from the Hugging Face Hub" in done.stdout


def test_the_mirror_loads_in_spite_of_a_bad_token_and_names_its_terms(hub, tmp_path):
    done = load_from(hub, tmp_path, "mirror", "hf_no")
    assert done.stdout.splitlines()[-1:] == ["5"], done.stderr[-2000:]
    assert len(hub.sent) == 2  # to learn that it is bad; no download came with it
    assert "unsloth/gemma-2b-it" in done.stdout and "same Gemma Terms of Use" in done.stdout


@pytest.mark.parametrize(
    "token, advice",
    [("", "Make a Read token"), ("hf_new", "Accept the licence"), ("hf_no", "refused")],
)
def test_a_refusal_comes_before_any_download(hub, tmp_path, token, advice):
    done = load_from(hub, tmp_path, "hub", token)
    assert done.returncode and advice in done.stderr.splitlines()[-1]
    assert not any("safetensors" in path for path in hub.asked)


def test_a_connection_cut_once_is_resumed_by_the_very_same_load(hub, tmp_path):
    done = load_from(hub, tmp_path, "hub", GOOD, first(1, cut))
    assert done.stdout.splitlines()[-1:] == ["5"], done.stderr[-2000:]
    assert len(hub.ranges) == 1 and not hub.ranges[0].startswith("bytes=0-")


@pytest.mark.slow
def test_a_connection_cut_every_time_fails_and_the_next_load_recovers(hub, tmp_path):
    done = load_from(hub, tmp_path, "hub", GOOD, cut)
    assert done.returncode and "The connection broke off" in done.stderr.splitlines()[-1]
    assert load_from(hub, tmp_path, "hub", GOOD).stdout.splitlines()[-1:] == ["5"]

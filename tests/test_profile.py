"""The profile, the pocket switch, and the real Hub path."""

import os
import subprocess
import sys

import pytest
import torch
from hub_stand_in import Hub
from machines import LAPTOP, MAC
from models import TINY
from transformers import AutoTokenizer, GemmaConfig, GemmaForCausalLM

from gemma_lab import catalog, loading, memory, profile
from gemma_lab.access import Access
from gemma_lab.hardware import T4

OK = Access("ok", "fine")
GOOD = "hf_" + "g" * 34


@pytest.mark.parametrize(
    "requested, machine, access, name",
    [
        ("auto", LAPTOP, None, "pocket"),
        ("auto", MAC, None, "pocket"),
        ("auto", T4, OK, "hub"),
        ("pocket", T4, OK, "pocket"),
        ("auto", T4, Access("no-token", "Make one."), "pocket"),
        ("hub", LAPTOP, OK, "hub"),
        ("mirror", T4, None, "hub"),
        ("hub", T4, Access("no-network", "Check."), "hub"),
    ],
)
def test_profile(requested, machine, access, name):
    chosen = profile.choose_profile(requested, machine, access)
    assert chosen.name == name and chosen.reason


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


def test_a_misspelt_profile_is_named():
    with pytest.raises(ValueError, match="pokcet"):
        profile.checkpoint("google/gemma-2b-it", profile="pokcet")


def test_a_folder_of_your_own_is_taken_as_it_is(tmp_path, capsys):
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
    server = Hub(root, gated={"google/gemma-2b-it"}, tokens={GOOD, "hf_new"}, accepted={GOOD})
    yield server
    server.shutdown()


def load_from(hub, tmp_path, profile, token="", fault=None, cuts=10**9):
    """What a fresh process prints that loads Gemma 2B with the real clients from the stand-in."""
    hub.fault, hub.cuts = fault, cuts
    for log in (hub.asked, hub.sent, hub.ranges):
        log.clear()
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
    done = load_from(hub, tmp_path, "hub", GOOD, fault="cut", cuts=1)
    assert done.stdout.splitlines()[-1:] == ["5"], done.stderr[-2000:]
    assert hub.cuts == 0 and len(hub.ranges) == 1 and not hub.ranges[0].startswith("bytes=0-")


@pytest.mark.slow
def test_a_connection_cut_every_time_fails_and_the_next_load_recovers(hub, tmp_path):
    done = load_from(hub, tmp_path, "hub", GOOD, fault="cut")
    assert done.returncode and "5" not in done.stdout.splitlines()
    assert load_from(hub, tmp_path, "hub", GOOD).stdout.splitlines()[-1:] == ["5"]


def test_the_stand_in_cuts_and_resumes_as_a_real_host(hub):
    """The full size is announced, half of it comes, and the rest can be had from there."""
    import httpx

    url = f"{hub.url}/unsloth/gemma-2b-it/resolve/main/model.safetensors"
    whole = (hub.root / "unsloth/gemma-2b-it/model.safetensors").read_bytes()
    hub.fault, hub.cuts = "cut", 1
    head = httpx.head(url)
    assert int(head.headers["Content-Length"]) == len(whole) and not head.content and hub.cuts == 1
    arrived = b""
    with pytest.raises(httpx.RemoteProtocolError), httpx.stream("GET", url) as answer:
        assert answer.status_code == 200 and int(answer.headers["Content-Length"]) == len(whole)
        for chunk in answer.iter_bytes():
            arrived += chunk
    assert arrived == whole[: len(whole) // 2]
    rest = httpx.get(url, headers={"Range": f"bytes={len(arrived)}-"})
    assert rest.status_code == 206 and arrived + rest.content == whole
    assert rest.headers["Content-Range"] == f"bytes {len(arrived)}-{len(whole) - 1}/{len(whole)}"
    assert httpx.get(url, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
